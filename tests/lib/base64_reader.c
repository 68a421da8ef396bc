/* base64_reader.c - see base64_reader.h. */
#include "lib/base64_reader.h"

enum err
base64_get(struct bytes text, struct buf *to)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t before = to->size, padding = 0;
    uint32_t held = 0;
    unsigned bits = 0;
    if (text.size % 4 != 0) return ERR_INPUT;
    while (padding < 2 && padding < text.size && text.at[text.size - 1 - padding] == '=')
        padding++;
    if (!buf_reserve(to, text.size / 4 * 3)) return buf_error(to);
    for (size_t i = 0; i < text.size - padding; i++) {
        const char *found = memchr(alphabet, text.at[i], 64);
        if (found == NULL) {
            to->size = before;
            return ERR_INPUT;
        }
        held = held << 6 | (uint32_t)(found - alphabet);
        bits += 6;
        if (bits < 8) continue;
        bits -= 8;
        buf_put_u8(to, (uint8_t)(held >> bits));
        held &= (1u << bits) - 1;
    }
    if (held == 0) return OK;
    to->size = before;
    return ERR_INPUT;
}
