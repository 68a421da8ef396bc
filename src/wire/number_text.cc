/*
 * number_text.cc - see number.h. The digits come from std::to_chars (Ryu) and go into
 * std::from_chars, which C lacks; the layout is ours. Nothing here throws.
 */
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include <strings.h>

#include "wire/number.h"

namespace
{

enum { DIGITS_MAX = 17, GO_BYTES = 128 };

/* Range of decimal exponents that are not written, and the limit of integers without one. */
struct layout {
    int least;
    int above;
    double integers_below;
};
constexpr layout OF_SAMPLES = {-6, 21, 9007199254740992.0};
constexpr layout OF_SENTENCES = {-4, 6, 1e6};
constexpr layout PLAIN = {-400, 400, 9007199254740992.0};

/* 0.d1d2d3... * 10^point */
struct shortest {
    char digits[DIGITS_MAX + 1];
    int count;
    int point;
};

/* A positive finite number. */
shortest
shortest_of(double value)
{
    char text[32];
    char *end = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific).ptr;
    shortest d = {};
    char *at = text;
    for (; at != end && *at != 'e'; at++)
        if (*at != '.') d.digits[d.count++] = *at;
    int exponent = 0;
    if (at != end) at++;
    if (at != end && *at == '+') at++;
    std::from_chars(at, end, exponent);
    d.point = exponent + 1;
    return d;
}

char *
put_zeros(char *to, int count)
{
    std::memset(to, '0', static_cast<size_t>(count));
    return to + count;
}

char *
put_digits(char *to, const char *digits, int count)
{
    std::memcpy(to, digits, static_cast<size_t>(count));
    return to + count;
}

char *
put_fixed(char *to, const shortest &d)
{
    if (d.point <= 0) {
        *to++ = '0';
        *to++ = '.';
        to = put_zeros(to, -d.point);
        return put_digits(to, d.digits, d.count);
    }
    if (d.point >= d.count) {
        to = put_digits(to, d.digits, d.count);
        return put_zeros(to, d.point - d.count);
    }
    to = put_digits(to, d.digits, d.point);
    *to++ = '.';
    return put_digits(to, d.digits + d.point, d.count - d.point);
}

char *
put_exponent(char *to, const shortest &d)
{
    *to++ = d.digits[0];
    if (d.count > 1) *to++ = '.';
    to = put_digits(to, d.digits + 1, d.count - 1);
    int exponent = d.point - 1;
    *to++ = 'e';
    *to++ = exponent < 0 ? '-' : '+';
    int magnitude = exponent < 0 ? -exponent : exponent;
    if (magnitude >= 100) *to++ = static_cast<char>('0' + magnitude / 100);
    *to++ = static_cast<char>('0' + magnitude / 10 % 10);
    *to++ = static_cast<char>('0' + magnitude % 10);
    return to;
}

char *
put_text(char *to, const char *text)
{
    size_t size = std::strlen(text);
    std::memcpy(to, text, size);
    return to + size;
}

constexpr uint64_t SIGN_BIT = 1ull << 63;
constexpr uint64_t INFINITY_BITS = 0x7ff0000000000000u;
constexpr uint64_t ORDINARY_NAN_BITS = 0x7ff8000000000001u;
constexpr uint64_t STALE_BITS = 0x7ff0000000000002u;

bool
is_word(const char *text, size_t size, const char *word)
{
    return size == std::strlen(word) && strncasecmp(text, word, size) == 0;
}

/* Digits beyond the range of doubles: zero if they are too small, else refused. The position of the
 * first digit that is not zero, and the exponent, decide. */
bool
settle_range(const char *text, const char *end, uint64_t *ret_bits)
{
    long place = 0;
    bool point = false, found = false;
    const char *at = text;
    for (; at != end && *at != 'e' && *at != 'E'; at++) {
        if (*at == '.') {
            point = true;
            continue;
        }
        found = found || *at != '0';
        if (found && !point) place++;
        if (!found && point) place--;
    }
    long exponent = 0;
    if (at != end) {
        bool negative = at + 1 != end && at[1] == '-';
        at += at + 1 != end && (at[1] == '+' || at[1] == '-') ? 2 : 1;
        if (std::from_chars(at, end, exponent).ec != std::errc()) exponent = 1000000000;
        if (negative) exponent = -exponent;
    }
    if (found && place + exponent > 0) return false;
    *ret_bits = 0;
    return true;
}

bool
parse_digits(const char *at, const char *end, uint64_t *ret_bits)
{
    bool starts = *at >= '0' && *at <= '9';
    if (!starts && (*at != '.' || end - at < 2 || at[1] < '0' || at[1] > '9')) return false;
    double value = 0;
    std::from_chars_result r = std::from_chars(at, end, value);
    if (r.ptr != end) return false;
    if (r.ec == std::errc::result_out_of_range) return settle_range(at, end, ret_bits);
    if (r.ec != std::errc()) return false;
    std::memcpy(ret_bits, &value, sizeof value);
    return true;
}

} // namespace

bool
number_parse(const char *text, size_t size, uint64_t *ret_bits)
{
    uint64_t sign = 0, bits = 0;
    const char *at = text, *end = text + size;
    if (is_word(text, size, "nan")) {
        *ret_bits = ORDINARY_NAN_BITS;
        return true;
    }
    if (at != end && (*at == '+' || *at == '-')) {
        sign = *at == '-' ? SIGN_BIT : 0;
        at++;
    }
    if (at == end) return false;
    size_t left = static_cast<size_t>(end - at);
    if (is_word(at, left, "inf") || is_word(at, left, "infinity"))
        bits = INFINITY_BITS;
    else if (!parse_digits(at, end, &bits))
        return false;
    *ret_bits = bits | sign;
    return true;
}

bool
number_parse_go(const char *text, size_t size, uint64_t *ret_bits)
{
    char plain[GO_BYTES]; /* without underscores, with a NUL */
    size_t n = 0, sign = size > 0 && (text[0] == '+' || text[0] == '-');
    if (number_parse(text, size, ret_bits)) return true;
    if (size >= sizeof plain) return false;
    bool hex = size > sign + 2 && text[sign] == '0' && (text[sign + 1] | 0x20) == 'x';
    auto is_digit = [hex](char c) {
        unsigned char byte = static_cast<unsigned char>(c);
        return hex ? std::isxdigit(byte) != 0 : std::isdigit(byte) != 0;
    };
    for (size_t i = 0; i < size; i++) {
        if (text[i] != '_') {
            plain[n++] = text[i];
            continue;
        }
        bool after = i > sign && (is_digit(text[i - 1]) || (hex && i == sign + 2));
        if (!after || i + 1 == size || !is_digit(text[i + 1])) return false;
    }
    if (!hex) return number_parse(plain, n, ret_bits);
    plain[n] = 0;
    char *end;
    double value = std::strtod(plain, &end);
    bool has_exponent = std::strpbrk(plain, "pP") != nullptr;
    if (end != plain + n || !has_exponent || !std::isfinite(value)) return false;
    std::memcpy(ret_bits, &value, sizeof value);
    return true;
}

bool
number_parse_exact(const char *text, size_t size, uint64_t *ret_bits)
{
    static const char prefix[] = "NaN(0x";
    constexpr size_t prefix_size = sizeof prefix - 1;
    if (is_word(text, size, "stale")) {
        *ret_bits = STALE_BITS;
        return true;
    }
    if (size <= prefix_size || std::memcmp(text, prefix, prefix_size) != 0)
        return number_parse(text, size, ret_bits);
    uint64_t bits = 0;
    const char *last = text + size - 1;
    std::from_chars_result r = std::from_chars(text + prefix_size, last, bits, 16);
    if (r.ec != std::errc() || r.ptr != last || *last != ')') return false;
    if ((bits & ~SIGN_BIT) <= INFINITY_BITS) return false; /* not a NaN */
    *ret_bits = bits;
    return true;
}

static size_t
print(uint64_t bits, const layout &as, char *to)
{
    double value;
    std::memcpy(&value, &bits, sizeof value);
    char *at = to;
    if (std::isnan(value)) return static_cast<size_t>(put_text(at, "NaN") - to);
    if (std::isinf(value))
        return static_cast<size_t>(put_text(at, value > 0 ? "+Inf" : "-Inf") - to);
    if (std::signbit(value)) {
        *at++ = '-';
        value = -value;
    }
    /* Most samples are counts: below 2^53 the integer's own digits are the shortest. */
    if (value < as.integers_below) {
        uint64_t whole = static_cast<uint64_t>(value);
        if (static_cast<double>(whole) == value)
            return static_cast<size_t>(std::to_chars(at, at + 17, whole).ptr - to);
    }
    shortest d = shortest_of(value);
    bool fixed = d.point - 1 >= as.least && d.point - 1 < as.above;
    at = fixed ? put_fixed(at, d) : put_exponent(at, d);
    return static_cast<size_t>(at - to);
}

size_t
number_print(uint64_t bits, char *to)
{
    return print(bits, OF_SAMPLES, to);
}

size_t
number_print_sentence(uint64_t bits, char *to)
{
    return print(bits, OF_SENTENCES, to);
}

size_t
number_print_plain(uint64_t bits, char *to)
{
    return print(bits, PLAIN, to);
}

size_t
number_print_exact(uint64_t bits, char *to)
{
    if ((bits & ~SIGN_BIT) <= INFINITY_BITS || bits == ORDINARY_NAN_BITS)
        return number_print(bits, to);
    char *at = to;
    if (bits == STALE_BITS) return static_cast<size_t>(put_text(at, "stale") - to);
    at = put_text(at, "NaN(0x");
    at = std::to_chars(at, at + 16, bits, 16).ptr;
    *at++ = ')';
    return static_cast<size_t>(at - to);
}

size_t
number_print_json(uint64_t bits, char *to)
{
    if (bits == SIGN_BIT) return static_cast<size_t>(put_text(to, "-0.0") - to);
    return number_print(bits, to);
}
