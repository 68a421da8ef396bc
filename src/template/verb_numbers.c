/*
 * verb_numbers.c - numbers under verbs: see verbs_private.h. A precision of an integer is its least
 * number of digits, and so is a width with the flag 0.
 */
#include <math.h>
#include <stdio.h>

#include "base/quote.h"
#include "base/utf8.h"
#include "template/verbs_private.h"
#include "wire/number.h"

/* --- integers --------------------------------------------------------------------------------- */

static void
put_blank(struct tmpl_verb *v)
{
    bool zero = v->zero;
    v->zero = false;
    if (v->has_width) tmpl_put_padding(v, v->width);
    v->zero = zero;
}

/* The digits wanted at least. */
static size_t
digits_wanted(const struct tmpl_verb *v, bool negative)
{
    if (v->has_precision) return v->precision;
    if (!v->zero || v->minus || !v->has_width) return 0;
    return v->width - (v->width > 0 && (negative || v->plus || v->space));
}

static void
put_prefix(struct tmpl_verb *v, unsigned base, bool starts_with_0, int32_t verb)
{
    if (v->sharp && base == 2) buf_put_text(v->scratch, "0b");
    if (v->sharp && base == 16) buf_put_text(v->scratch, verb == 'X' ? "0X" : "0x");
    if (verb == 'O') buf_put_text(v->scratch, "0o");
    if (v->sharp && base == 8 && !starts_with_0) buf_put_text(v->scratch, "0");
}

void
tmpl_put_base(struct tmpl_verb *v, uint64_t bits, unsigned base, bool is_signed, int32_t verb)
{
    const char *all = verb == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    char digits[64];
    size_t at = sizeof digits;
    bool negative = is_signed && (int64_t)bits < 0;
    uint64_t rest = negative ? 0 - bits : bits;
    if (v->has_precision && v->precision == 0 && bits == 0) {
        put_blank(v);
        return;
    }
    do {
        digits[--at] = all[rest % base];
        rest /= base;
    } while (rest > 0);
    size_t count = sizeof digits - at, wanted = digits_wanted(v, negative);
    size_t zeros = wanted > count ? wanted - count : 0;
    tmpl_clear_scratch(v);
    if (negative || v->plus || v->space)
        buf_put_u8(v->scratch, negative ? '-' : v->plus ? '+' : ' ');
    put_prefix(v, base, zeros > 0 || digits[at] == '0', verb);
    if (zeros > 0 && buf_reserve(v->scratch, zeros)) {
        memset(v->scratch->at + v->scratch->size, '0', zeros);
        v->scratch->size += zeros;
    }
    buf_put(v->scratch, digits + at, count);
    bool zero = v->zero;
    v->zero = false; /* the zeros are there already */
    tmpl_put_padded(v, buf_bytes(v->scratch));
    v->zero = zero;
}

void
tmpl_put_0x(struct tmpl_verb *v, uint64_t bits, bool with_0x)
{
    bool sharp = v->sharp;
    v->sharp = with_0x;
    tmpl_put_base(v, bits, 16, false, 'v');
    v->sharp = sharp;
}

static int32_t
rune_of(uint64_t bits)
{
    bool is_rune = bits <= 0x10ffff && (bits < 0xd800 || bits > 0xdfff);
    return is_rune ? (int32_t)bits : RUNE_BAD;
}

static void
put_rune(struct tmpl_verb *v, uint64_t bits)
{
    uint8_t text[UTF8_BYTES_MAX];
    tmpl_put_padded(v, bytes_of(text, utf8_put(text, (uint32_t)rune_of(bits))));
}

static void
put_quoted_rune(struct tmpl_verb *v, uint64_t bits)
{
    int32_t c = rune_of(bits);
    tmpl_clear_scratch(v);
    if (v->plus && c >= 0x80)
        buf_printf(v->scratch, c < 0x10000 ? "'\\u%04x'" : "'\\U%08x'", (unsigned)c);
    else
        quote_rune(v->scratch, c);
    tmpl_put_padded(v, buf_bytes(v->scratch));
}

static void
put_code_point(struct tmpl_verb *v, uint64_t bits)
{
    unsigned digits = v->has_precision && v->precision > 4 ? v->precision : 4;
    tmpl_clear_scratch(v);
    if (digits > v->scratch->limit) digits = (unsigned)v->scratch->limit;
    buf_printf(v->scratch, "U+%0*llX", (int)digits, (unsigned long long)bits);
    if (v->sharp && bits <= 0x10ffff && rune_is_printable((int32_t)bits)) {
        uint8_t text[UTF8_BYTES_MAX];
        buf_put_text(v->scratch, " '");
        buf_put(v->scratch, text, utf8_put(text, (uint32_t)bits));
        buf_put_text(v->scratch, "'");
    }
    bool zero = v->zero;
    v->zero = false;
    tmpl_put_padded(v, buf_bytes(v->scratch));
    v->zero = zero;
}

bool
tmpl_put_integer(struct tmpl_verb *v, uint64_t bits, bool is_signed, int32_t verb)
{
    switch (verb) {
    case 'v':
        if (v->sharp_v && !is_signed)
            tmpl_put_0x(v, bits, true);
        else
            tmpl_put_base(v, bits, 10, is_signed, verb);
        return true;
    case 'd':
        tmpl_put_base(v, bits, 10, is_signed, verb);
        return true;
    case 'b':
        tmpl_put_base(v, bits, 2, is_signed, verb);
        return true;
    case 'o':
    case 'O':
        tmpl_put_base(v, bits, 8, is_signed, verb);
        return true;
    case 'x':
    case 'X':
        tmpl_put_base(v, bits, 16, is_signed, verb);
        return true;
    case 'c':
        put_rune(v, bits);
        return true;
    case 'q':
        put_quoted_rune(v, bits);
        return true;
    case 'U':
        put_code_point(v, bits);
        return true;
    default:
        return false;
    }
}

/* --- floats ----------------------------------------------------------------------------------- */

/* Fraction times a power of two: 4503599627370496p-52. */
static void
put_binary(struct buf *to, double magnitude)
{
    uint64_t bits = double_bits(magnitude);
    int exponent = (int)(bits >> 52);
    uint64_t fraction = bits & ((1ull << 52) - 1);
    if (exponent > 0) fraction |= 1ull << 52;
    buf_printf(to, "%llup%+d", (unsigned long long)fraction, (exponent > 0 ? exponent : 1) - 1075);
}

/* The digits after the point of 53 bits of which the first stands before it; rounded to even. */
static uint64_t
round_hex(uint64_t mantissa, unsigned digits)
{
    unsigned dropped = 52 - 4 * digits;
    uint64_t half = 1ull << (dropped - 1), rest = mantissa & ((1ull << dropped) - 1);
    uint64_t kept = mantissa >> dropped;
    kept += rest > half || (rest == half && (kept & 1) != 0);
    return kept << dropped;
}

/* 0x1.8p+01 */
static void
put_hex(struct buf *to, double magnitude, bool has_precision, uint32_t precision, bool capitals)
{
    enum { DIGITS = 13 };
    const char *digits = capitals ? "0123456789ABCDEF" : "0123456789abcdef";
    int exponent = 0;
    uint64_t mantissa = 0;
    if (magnitude != 0) {
        mantissa = (uint64_t)ldexp(frexp(magnitude, &exponent), 53);
        exponent--;
    }
    if (has_precision && precision < DIGITS) mantissa = round_hex(mantissa, precision);
    if (mantissa >> 53 != 0) {
        mantissa >>= 1;
        exponent++;
    }
    buf_put_text(to, capitals ? "0X" : "0x");
    buf_put_u8(to, (uint8_t)digits[mantissa >> 52]);
    uint64_t fraction = mantissa << 12;
    if (has_precision ? precision > 0 : fraction != 0) buf_put_u8(to, '.');
    for (uint32_t i = 0; has_precision ? i < precision : fraction != 0; i++, fraction <<= 4) {
        buf_put_u8(to, (uint8_t)digits[fraction >> 60]);
        if (buf_error(to)) return;
    }
    buf_printf(to, "%c%+03d", capitals ? 'P' : 'p', exponent);
}

/* The C library's e, f and g are those of Go. */
static void
put_decimal(struct buf *to, double magnitude, int32_t verb, uint32_t precision)
{
    enum { DIGITS_MAX = 330 };
    if (precision > to->limit) { /* it cannot fit */
        (void)buf_reserve(to, (size_t)precision + DIGITS_MAX);
        return;
    }
    size_t size = (size_t)precision + DIGITS_MAX;
    if (!buf_reserve(to, size)) return;
    char format[] = {'%', '.', '*', (char)verb, 0};
    int written;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    written = snprintf((char *)to->at + to->size, size, format, (int)precision, magnitude);
#pragma GCC diagnostic pop
    to->size += (size_t)written;
}

static void
put_shortest(struct buf *to, double magnitude, bool capitals)
{
    char text[NUMBER_TEXT_BYTES];
    size_t size = number_print_sentence(double_bits(magnitude), text);
    for (size_t i = 0; capitals && i < size; i++) {
        if (text[i] == 'e') text[i] = 'E';
    }
    buf_put(to, text, size);
}

/* Without its sign. */
static void
put_magnitude(struct tmpl_verb *v, double magnitude, int32_t verb)
{
    struct buf *to = v->scratch;
    switch (verb) {
    case 'b':
        put_binary(to, magnitude);
        break;
    case 'x':
    case 'X':
        put_hex(to, magnitude, v->has_precision, v->precision, verb == 'X');
        break;
    case 'e':
    case 'E':
    case 'f':
    case 'F':
        put_decimal(to, magnitude, verb == 'F' ? 'f' : verb, v->has_precision ? v->precision : 6);
        break;
    default:
        if (v->has_precision)
            put_decimal(to, magnitude, verb == 'G' ? 'G' : 'g', v->precision);
        else
            put_shortest(to, magnitude, verb == 'G');
    }
}

/* The flag #: a point always, and the zeros at the end that %g leaves out. */
static void
add_point(struct tmpl_verb *v, size_t begin, int32_t verb)
{
    struct buf *to = v->scratch;
    bool hex = verb == 'x' || verb == 'X', general = verb == 'v' || verb == 'g' || verb == 'G';
    int64_t digits = general || verb == 'x' ? (v->has_precision ? (int64_t)v->precision : 6) : 0;
    uint8_t tail[16];
    size_t tail_size = 0;
    bool point = false, counts = false;
    for (size_t i = begin; i < to->size; i++) {
        uint8_t c = to->at[i];
        bool exponent = c == 'p' || c == 'P' || (!hex && (c == 'e' || c == 'E'));
        if (exponent && to->size - i <= sizeof tail) {
            tail_size = to->size - i;
            memcpy(tail, to->at + i, tail_size);
            to->size = i;
            break;
        }
        point |= c == '.';
        if (c == '.') continue;
        counts |= c != '0';
        digits -= counts;
    }
    if (!point) {
        if (to->size - begin == 1 && to->at[begin] == '0') digits--;
        buf_put_u8(to, '.');
    }
    for (; digits > 0 && buf_error(to) == OK; digits--) {
        buf_put_u8(to, '0');
    }
    buf_put(to, tail, tail_size);
}

/* "+Inf", and "NaN", whose sign only a flag shows. */
static void
put_not_finite(struct tmpl_verb *v, double number, char sign)
{
    bool nan = isnan(number), zero = v->zero;
    v->zero = false;
    tmpl_clear_scratch(v);
    if (!nan || v->space || v->plus) buf_put_u8(v->scratch, (uint8_t)sign);
    buf_put_text(v->scratch, nan ? "NaN" : "Inf");
    tmpl_put_padded(v, buf_bytes(v->scratch));
    v->zero = zero;
}

bool
tmpl_put_float(struct tmpl_verb *v, double number, int32_t verb)
{
    if (verb > 0x7f || verb == 0 || strchr("vbgGxXfeEF", (int)verb) == NULL) return false;
    char sign = signbit(number) && !isnan(number) ? '-' : v->space && !v->plus ? ' ' : '+';
    if (!isfinite(number)) {
        put_not_finite(v, number, sign);
        return true;
    }
    bool shows = v->plus || sign != '+';
    tmpl_clear_scratch(v);
    if (shows) buf_put_u8(v->scratch, (uint8_t)sign);
    put_magnitude(v, fabs(number), verb);
    if (v->sharp && verb != 'b') add_point(v, shows, verb);
    struct bytes text = buf_bytes(v->scratch);
    bool zeros = shows && v->zero && !v->minus && v->has_width && v->width > text.size;
    if (zeros) { /* between the sign and the digits */
        buf_put_u8(v->to, text.at[0]);
        tmpl_put_padding(v, v->width - text.size);
        buf_put(v->to, text.at + 1, text.size - 1);
    } else {
        tmpl_put_padded(v, text);
    }
    return true;
}
