/*
 * base64.c - three bytes are two entries of a table that holds two characters for each 12 bits:
 * half the look-ups of the usual one. It is spelled out by the preprocessor, so that it needs no
 * moment at which it is made. With AVX2, 24 bytes at a time are taken apart by
 * multiplications and become characters by a look-up in a register (W. Mula, D. Lemire: Faster
 * Base64 Encoding and Decoding using AVX2 Instructions, 2018).
 */
#include "base/text/base64.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* All pairs that begin with the character of number `a`. */
#define CHAR(n)                \
    ((n) < 26   ? 'A' + (n)    \
     : (n) < 52 ? 'a' + (n)-26 \
     : (n) < 62 ? '0' + (n)-52 \
                : ((n) == 62 ? '+' : '/'))
#define PAIR(a, b)    (uint16_t)(CHAR(a) | CHAR(b) << 8)
#define FOUR(a, b)    PAIR(a, b), PAIR(a, b + 1), PAIR(a, b + 2), PAIR(a, b + 3)
#define SIXTEEN(a, b) FOUR(a, b), FOUR(a, b + 4), FOUR(a, b + 8), FOUR(a, b + 12)
#define ROW(a)        SIXTEEN(a, 0), SIXTEEN(a, 16), SIXTEEN(a, 32), SIXTEEN(a, 48)
#define ROWS(a)       ROW(a), ROW(a + 1), ROW(a + 2), ROW(a + 3)
#define BLOCK(a)      ROWS(a), ROWS(a + 4), ROWS(a + 8), ROWS(a + 12)

static const uint16_t pairs[4096] = {BLOCK(0), BLOCK(16), BLOCK(32), BLOCK(48)};

/* Encodes whole groups of three bytes. */
static void
put_threes(uint8_t *out, const uint8_t *p, const uint8_t *end)
{
    for (; p != end; p += 3, out += 4) {
        uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        store_le16(out, pairs[v >> 12]);
        store_le16(out + 2, pairs[v & 0xfff]);
    }
}

#if defined(__x86_64__)

/* Returns the characters of 32 numbers of six bits: each range of numbers has its own offset. */
__attribute__((target("avx2"))) static inline __m256i
characters(__m256i numbers)
{
    const __m256i away = _mm256_broadcastsi128_si256(
        _mm_setr_epi8('a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                      '0' - 52, '0' - 52, '0' - 52, '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0));
    __m256i range = _mm256_subs_epu8(numbers, _mm256_set1_epi8(51));
    __m256i upper = _mm256_cmpgt_epi8(_mm256_set1_epi8(26), numbers);
    range = _mm256_or_si256(range, _mm256_and_si256(upper, _mm256_set1_epi8(13)));
    return _mm256_add_epi8(numbers, _mm256_shuffle_epi8(away, range));
}

/* Encodes as many groups as it can, reading 28 bytes each time. Returns the number of bytes
 * encoded. */
__attribute__((target("avx2"))) static size_t
put_threes_avx2(uint8_t *out, const uint8_t *p, size_t size)
{
    const __m256i spread = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10));
    size_t n = 0;
    for (; n + 28 <= size; n += 24, out += 32) {
        __m128i low = _mm_loadu_si128((const void *)(p + n));
        __m128i high = _mm_loadu_si128((const void *)(p + n + 12));
        __m256i in = _mm256_shuffle_epi8(_mm256_set_m128i(high, low), spread);
        /* In 16 bits each: the first and third number shifted down, the second and fourth up. */
        __m256i odd = _mm256_mulhi_epu16(_mm256_and_si256(in, _mm256_set1_epi32(0x0fc0fc00)),
                                         _mm256_set1_epi32(0x04000040));
        __m256i even = _mm256_mullo_epi16(_mm256_and_si256(in, _mm256_set1_epi32(0x003f03f0)),
                                          _mm256_set1_epi32(0x01000010));
        _mm256_storeu_si256((void *)out, characters(_mm256_or_si256(odd, even)));
    }
    return n;
}

#endif

void
base64_put(struct buf *to, struct bytes from)
{
    size_t size = base64_size(from.size);
    if (size == 0 || !buf_reserve(to, size)) return;
    uint8_t *out = to->at + to->size;
    size_t wide = 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) wide = put_threes_avx2(out, from.at, from.size);
#endif
    const uint8_t *p = from.at + from.size / 3 * 3;
    put_threes(out + wide / 3 * 4, from.at + wide, p);
    if (from.size % 3 != 0) {
        bool two = from.size % 3 == 2;
        uint32_t v = (uint32_t)p[0] << 16 | (two ? (uint32_t)p[1] << 8 : 0);
        out += from.size / 3 * 4;
        store_le16(out, pairs[v >> 12]);
        out[2] = two ? (uint8_t)(pairs[v & 0xfff] & 0xff) : '=';
        out[3] = '=';
    }
    to->size += size;
}

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
