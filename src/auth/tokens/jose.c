/* jose.c - see jose.h. */
#include "auth/tokens/jose.h"

/* Returns the six bits of a character; 64 if it is not in the alphabet. */
static unsigned
sextet(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') return (unsigned)(c - 'A');
    if (c >= 'a' && c <= 'z') return (unsigned)(c - 'a' + 26);
    if (c >= '0' && c <= '9') return (unsigned)(c - '0' + 52);
    return c == '-' ? 62 : c == '_' ? 63 : 64;
}

enum err
base64url_get(struct bytes text, struct buf *to)
{
    size_t rest = text.size % 4, size = text.size / 4 * 3 + rest * 3 / 4;
    uint32_t bits = 0;
    if (text.size == 0) return OK;
    if (rest == 1) return ERR_INPUT;
    if (!buf_reserve(to, size)) return buf_error(to);
    uint8_t *out = to->at + to->size;
    for (size_t i = 0; i < text.size; i++) {
        unsigned six = sextet(text.at[i]);
        if (six == 64) return ERR_INPUT;
        bits = bits << 6 | six;
        if (i % 4 != 0) *out++ = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    if (rest != 0 && (bits & ((1U << (8 - 2 * rest)) - 1)) != 0) return ERR_INPUT;
    to->size += size;
    return OK;
}
