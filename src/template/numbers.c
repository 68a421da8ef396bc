/* numbers.c - see numbers.h. The shapes are those of Go's strconv with base 0. */
#include "template/numbers.h"

#include <math.h>
#include <stdlib.h>

#include "base/ascii.h"
#include "base/hex.h"
#include "base/quote.h"
#include "wire/number.h"

static uint8_t
lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool
is_sign(uint8_t c)
{
    return c == '+' || c == '-';
}

/* Without its sign. */
static struct bytes
unsigned_part(struct bytes text, bool *ret_negative)
{
    bool sign = text.size > 0 && is_sign(text.at[0]);
    *ret_negative = sign && text.at[0] == '-';
    return bytes_of(text.at + sign, text.size - sign);
}

/* 0x, 0o or 0b: 16, 8 or 2; else 0. */
static unsigned
prefix_base(struct bytes text)
{
    if (text.size < 2 || text.at[0] != '0') return 0;
    uint8_t c = lower(text.at[1]);
    return c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
}

/* Each _ stands between digits, or between a prefix and a digit. */
static bool
underscores_part_digits(struct bytes text)
{
    unsigned base = prefix_base(text);
    bool digit_before = base != 0;
    for (size_t i = base != 0 ? 2 : 0; i < text.size; i++) {
        uint8_t c = text.at[i];
        bool is_digit = ascii_is_digit(c) || (base == 16 && hex_digit(c) >= 0);
        if (c == '_') {
            if (!digit_before || i + 1 == text.size) return false;
            uint8_t next = text.at[i + 1];
            if (!ascii_is_digit(next) && (base != 16 || hex_digit(next) < 0)) return false;
        }
        digit_before = is_digit;
    }
    return true;
}

/* --- floats ----------------------------------------------------------------------------------- */

/* Without underscores, and with a NUL at the end. */
static bool
put_plain(struct buf *to, struct bytes text)
{
    buf_clear(to);
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] != '_') buf_put_u8(to, text.at[i]);
    }
    buf_put_u8(to, 0);
    return buf_error(to) == OK;
}

/* Digits with a point and an exponent, which hexadecimal ones must have. */
static bool
is_float_shape(struct bytes text, bool hex)
{
    bool point = false, digits = false;
    size_t i = hex ? 2 : 0;
    for (; i < text.size; i++) {
        uint8_t c = text.at[i];
        bool is_digit = hex ? hex_digit(c) >= 0 : ascii_is_digit(c);
        if (c == '.' && point) return false;
        if (c == '.')
            point = true;
        else if (is_digit)
            digits = true;
        else if (c != '_')
            break;
    }
    if (!digits) return false;
    if (i == text.size) return !hex;
    if (lower(text.at[i++]) != (hex ? 'p' : 'e')) return false;
    if (i < text.size && is_sign(text.at[i])) i++;
    if (i == text.size || !ascii_is_digit(text.at[i])) return false;
    for (; i < text.size; i++) {
        if (!ascii_is_digit(text.at[i]) && text.at[i] != '_') return false;
    }
    return true;
}

static bool
is_word(struct bytes text)
{
    uint64_t bits;
    return text.size > 0 && ascii_is_letter(text.at[text.size - 1]) && text.size <= 8 &&
           number_parse((const char *)text.at, text.size, &bits);
}

enum tmpl_float_result
tmpl_float_read(struct bytes text, struct buf *scratch, double *ret)
{
    bool negative;
    uint64_t bits;
    struct bytes rest = unsigned_part(text, &negative);
    bool hex = prefix_base(rest) == 16;
    if (is_word(rest) && (rest.size == text.size || lower(rest.at[0]) == 'i')) {
        if (!number_parse((const char *)text.at, text.size, &bits)) return TMPL_FLOAT_SYNTAX;
        *ret = bits_double(bits);
        return TMPL_FLOAT_OK;
    }
    if (!is_float_shape(rest, hex)) return TMPL_FLOAT_SYNTAX;
    if (memchr(rest.at, '_', rest.size) != NULL && !underscores_part_digits(rest)) {
        return TMPL_FLOAT_SYNTAX;
    }
    if (!put_plain(scratch, rest)) return TMPL_FLOAT_NO_MEMORY;
    double value;
    if (hex)
        value = strtod((const char *)scratch->at, NULL);
    else if (number_parse((const char *)scratch->at, scratch->size - 1, &bits))
        value = bits_double(bits);
    else
        value = (double)INFINITY;
    *ret = negative ? -value : value;
    return isinf(value) ? TMPL_FLOAT_RANGE : TMPL_FLOAT_OK;
}

/* --- integers --------------------------------------------------------------------------------- */

/* A leading zero alone means octal. False: no integer, or beyond 64 bits. */
static bool
read_magnitude(struct bytes text, uint64_t *ret)
{
    unsigned base = prefix_base(text);
    size_t i = base != 0 ? 2 : 0;
    if (base == 0) base = text.size > 1 && text.at[0] == '0' ? 8 : 10;
    uint64_t v = 0;
    bool any = false;
    for (; i < text.size; i++) {
        if (text.at[i] == '_') continue;
        int digit = hex_digit(text.at[i]);
        if (digit < 0 || (unsigned)digit >= base) return false;
        if (__builtin_mul_overflow(v, (uint64_t)base, &v)) return false;
        if (__builtin_add_overflow(v, (uint64_t)digit, &v)) return false;
        any = true;
    }
    *ret = v;
    return any && underscores_part_digits(text);
}

static bool
contains_any(struct bytes text, const char *any)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] != 0 && strchr(any, text.at[i]) != NULL) return true;
    }
    return false;
}

static bool
read_integer(struct bytes source, struct tmpl_number *n)
{
    bool negative;
    uint64_t v;
    struct bytes rest = unsigned_part(source, &negative);
    if (!read_magnitude(rest, &v)) return false;
    uint64_t most = (uint64_t)INT64_MAX + negative;
    if (v <= most) {
        n->is_integer = n->is_real = true;
        n->integer = (int64_t)(negative ? 0 - v : v);
        n->real = (double)n->integer;
        return true;
    }
    /* What an unsigned one can be is a float, at least; a sign is none of those. */
    n->is_real = rest.size == source.size;
    n->real = (double)v;
    return n->is_real;
}

/* --- characters ------------------------------------------------------------------------------- */

/* The bytes of an escape, or of the character, after the opening quote. */
static size_t
character_size(struct bytes text)
{
    unsigned bytes;
    if (text.at[0] != '\\' || text.size < 2) {
        rune_get(text.at, text.size, &bytes);
        return bytes;
    }
    uint8_t c = text.at[1];
    if (c == 'u') return 6;
    if (c == 'U') return 10;
    return c == 'x' || (c >= '0' && c <= '7') ? 4 : 2;
}

static bool
read_character(struct bytes source, struct buf *scratch, struct buf *sentence,
               struct tmpl_number *n)
{
    uint8_t literal[16] = {'\''};
    struct bytes text = bytes_of(source.at + 1, source.size - 1);
    size_t size = character_size(text);
    bool escaped = text.at[0] == '\\' && text.size > 1;
    if (text.at[0] == '\'' || size > text.size) {
        buf_put_text(sentence, "invalid syntax");
        return false;
    }
    memcpy(literal + 1, text.at, size);
    literal[size + 1] = '\'';
    buf_clear(scratch);
    bool read = quote_read(bytes_of(literal, size + 2), scratch);
    if (buf_error(scratch)) return false;
    if (!read || scratch->size == 0) {
        buf_put_text(sentence, "invalid syntax");
        return false;
    }
    if (size + 1 != text.size) {
        buf_put_text(sentence, "malformed character constant: ");
        buf_put_cut(sentence, source);
        return false;
    }
    unsigned bytes;
    bool is_byte = escaped && (text.at[1] == 'x' || ascii_is_digit(text.at[1]));
    n->integer = is_byte ? scratch->at[0] : rune_get(scratch->at, scratch->size, &bytes);
    n->real = (double)n->integer;
    n->is_integer = n->is_real = true;
    return true;
}

/* --- all of them ------------------------------------------------------------------------------ */

static bool
fail(struct buf *sentence, const char *before, struct bytes source)
{
    buf_put_text(sentence, before);
    quote_text(sentence, source);
    return false;
}

bool
tmpl_number_read(struct bytes source, struct buf *scratch, struct buf *sentence,
                 struct tmpl_number *ret)
{
    struct tmpl_number n = {.integer = 0};
    if (source.at[0] == '\'') {
        if (!read_character(source, scratch, sentence, &n)) return false;
        *ret = n;
        return true;
    }
    bool written_real = contains_any(source, ".eEpP");
    if (source.at[source.size - 1] == 'i') {
        buf_put_text(sentence, "complex constants are not supported: ");
        buf_put_cut(sentence, source);
        return false;
    }
    if (!read_integer(source, &n)) {
        enum tmpl_float_result r = tmpl_float_read(source, scratch, &n.real);
        if (r != TMPL_FLOAT_OK) return fail(sentence, "illegal number syntax: ", source);
        if (!written_real) return fail(sentence, "integer overflow: ", source);
        n.is_real = true;
        n.is_integer = n.real >= -0x1p63 && n.real < 0x1p63 && n.real == trunc(n.real);
        if (n.is_integer) n.integer = (int64_t)n.real;
    }
    bool plain_hex = source.size > 2 && prefix_base(source) == 16 && !contains_any(source, "pP");
    n.is_real_first = written_real && !plain_hex;
    *ret = n;
    return true;
}
