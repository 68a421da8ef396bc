/* numbers.c - see numbers.h. */
#include "template/numbers.h"

#include "base/hex.h"
#include "base/quote.h"
#include "wire/number.h"

static bool
read_character(struct bytes source, struct buf *scratch, struct tmpl_number *n)
{
    unsigned bytes;
    if (!quote_read(source, scratch) || scratch->size == 0) return false;
    int32_t c = rune_get(scratch->at, scratch->size, &bytes);
    n->integer = scratch->size == 1 ? scratch->at[0] : c; /* '\xff' is a byte */
    n->real = (double)n->integer;
    n->is_integer = true;
    return bytes == scratch->size;
}

/* `text` without a sign. A leading zero alone means octal. */
static bool
read_integer(struct bytes text, bool negative, struct tmpl_number *n)
{
    static const struct {
        char prefix;
        unsigned base;
    } bases[] = {{'x', 16}, {'o', 8}, {'b', 2}};
    unsigned base = text.size > 1 && text.at[0] == '0' ? 8 : 10;
    size_t i = 0;
    uint64_t v = 0;
    for (unsigned k = 0; k < sizeof bases / sizeof *bases && text.size > 2; k++) {
        if (text.at[0] != '0' || (text.at[1] | 0x20) != bases[k].prefix) continue;
        base = bases[k].base;
        i = 2;
    }
    for (; i < text.size; i++) {
        int digit = hex_digit(text.at[i]);
        if (digit < 0 || (unsigned)digit >= base) return false;
        if (__builtin_mul_overflow(v, (uint64_t)base, &v)) return false;
        if (__builtin_add_overflow(v, (uint64_t)digit, &v)) return false;
    }
    n->is_integer = v <= (uint64_t)INT64_MAX + negative;
    if (n->is_integer) n->integer = (int64_t)(negative ? 0 - v : v);
    n->real = negative ? -(double)v : (double)v;
    return text.size > 0;
}

bool
tmpl_number_read(struct bytes source, struct buf *scratch, struct tmpl_number *ret)
{
    uint64_t bits;
    bool sign = source.at[0] == '+' || source.at[0] == '-', point = false;
    *ret = (struct tmpl_number){.is_integer = false};
    buf_clear(scratch);
    if (source.at[0] == '\'') return read_character(source, scratch, ret);
    for (size_t i = sign; i < source.size; i++) {
        if (source.at[i] != '_') buf_put_u8(scratch, source.at[i]);
        point |= source.at[i] == '.' || (source.at[i] | 0x20) == 'e';
    }
    struct bytes text = buf_bytes(scratch);
    if (buf_error(scratch)) return false;
    if (read_integer(text, source.at[0] == '-', ret)) return true;
    if (!point || !number_parse((const char *)text.at, text.size, &bits)) return false;
    ret->real = source.at[0] == '-' ? -bits_double(bits) : bits_double(bits);
    return true;
}
