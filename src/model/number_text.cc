/*
 * number_text.cc - see number.h. The digits come from std::to_chars (Ryu), the one thing C has not;
 * their layout is ours. Nothing here throws.
 */
#include <charconv>
#include <cmath>
#include <cstring>

#include "model/number.h"

namespace
{

enum { DIGITS_MAX = 17, EXPONENT_BELOW_FIXED = -6, EXPONENT_ABOVE_FIXED = 21 };

/* 0.d1d2d3... * 10^point */
struct decimal {
    char digits[DIGITS_MAX + 1];
    int count;
    int point;
};

/* A positive finite number. */
decimal
decimal_of(double value)
{
    char text[32];
    char *end = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific).ptr;
    decimal d = {};
    char *at = text;
    for (; at != end && *at != 'e'; at++) {
        if (*at != '.') d.digits[d.count++] = *at;
    }
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
put_fixed(char *to, const decimal &d)
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
put_exponent(char *to, const decimal &d)
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

size_t
print(uint64_t bits, bool fixed_always, char *to)
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
    if (value < 9007199254740992.0) {
        uint64_t whole = static_cast<uint64_t>(value);
        if (static_cast<double>(whole) == value) {
            return static_cast<size_t>(std::to_chars(at, at + 17, whole).ptr - to);
        }
    }
    decimal d = decimal_of(value);
    bool fixed =
        fixed_always || (d.point - 1 >= EXPONENT_BELOW_FIXED && d.point - 1 < EXPONENT_ABOVE_FIXED);
    at = fixed ? put_fixed(at, d) : put_exponent(at, d);
    return static_cast<size_t>(at - to);
}

} // namespace

size_t
number_print(uint64_t bits, char *to)
{
    return print(bits, false, to);
}

size_t
number_print_fixed(uint64_t bits, char *to)
{
    return print(bits, true, to);
}
