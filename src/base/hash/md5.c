/*
 * md5.c - see md5.h. A lane is a message that is being hashed; the compiler's vectors of four words
 * hold the same word of four lanes. A lane hashes its message's whole blocks, then one or two
 * blocks with the rest, padding and length, then takes the next message. Lanes without a message
 * hash the same block again and again, and their results are ignored.
 */
#include "base/hash/md5.h"

#include <string.h>

enum { LANES = 4, BLOCK = 64, LENGTH_BYTES = 8, IDLE = SIZE_MAX };

typedef uint32_t words __attribute__((vector_size(4 * LANES)));

struct md5_lane {
    const uint8_t *at;
    size_t step;   /* BLOCK, or 0 */
    size_t blocks; /* from `at` on */
    size_t number; /* number of the message; IDLE: the lane has no message */
    bool ending;   /* in `end` */
    uint8_t end[2 * BLOCK];
};

struct hashing {
    words a, b, c, d;
    struct md5_lane lanes[LANES];
};

static const uint32_t sines[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391};

/* --- a block of each lane --------------------------------------------------------------------- */

static inline words
every(uint32_t word)
{
    return (words){word, word, word, word};
}

#define STEP(a, b, f, word, i, turn)                  \
    do {                                              \
        a += (f) + w[word] + every(sines[i]);         \
        a = (a << (turn) | a >> (32 - (turn))) + (b); \
    } while (0)
#define ROUND1(b, c, d) ((d) ^ ((b) & ((c) ^ (d))))
#define ROUND2(b, c, d) ((c) ^ ((d) & ((b) ^ (c))))
#define ROUND3(b, c, d) ((b) ^ (c) ^ (d))
#define ROUND4(b, c, d) ((c) ^ ((b) | ~(d)))
/* Four steps, after which a, b, c, d are where they were. */
#define FOUR(round, i, w0, w1, w2, w3, t0, t1, t2, t3)    \
    do {                                                  \
        STEP(a, b, round(b, c, d), (w0) % 16, i, t0);     \
        STEP(d, a, round(a, b, c), (w1) % 16, i + 1, t1); \
        STEP(c, d, round(d, a, b), (w2) % 16, i + 2, t2); \
        STEP(b, c, round(c, d, a), (w3) % 16, i + 3, t3); \
    } while (0)

static void
hash_block(struct hashing *h, const words w[16])
{
    words a = h->a, b = h->b, c = h->c, d = h->d;
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4)
        FOUR(ROUND1, i, i, i + 1, i + 2, i + 3, 7, 12, 17, 22);
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4)
        FOUR(ROUND2, 16 + i, 5 * i + 1, 5 * i + 6, 5 * i + 11, 5 * i + 16, 5, 9, 14, 20);
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4)
        FOUR(ROUND3, 32 + i, 3 * i + 5, 3 * i + 8, 3 * i + 11, 3 * i + 14, 4, 11, 16, 23);
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4)
        FOUR(ROUND4, 48 + i, 7 * i, 7 * i + 7, 7 * i + 14, 7 * i + 21, 6, 10, 15, 21);
    h->a += a;
    h->b += b;
    h->c += c;
    h->d += d;
}

/* Hashes the same number of blocks in all lanes. */
static void
hash_blocks(struct hashing *h, size_t blocks)
{
    struct md5_lane *l = h->lanes;
    words w[16];
    for (; blocks > 0; blocks--) {
        for (size_t i = 0; i < 16; i++) {
            w[i] = (words){load_le32(l[0].at + 4 * i), load_le32(l[1].at + 4 * i),
                           load_le32(l[2].at + 4 * i), load_le32(l[3].at + 4 * i)};
        }
        hash_block(h, w);
        for (unsigned k = 0; k < LANES; k++)
            l[k].at += l[k].step;
    }
}

/* --- lanes ------------------------------------------------------------------------------------ */

static void
begin_lane(struct hashing *h, unsigned k, const struct bytes *messages, size_t number)
{
    static const uint8_t nothing[BLOCK];
    struct md5_lane *l = &h->lanes[k];
    l->number = number;
    l->ending = false;
    l->at = number == IDLE ? nothing : messages[number].at;
    l->step = number == IDLE ? 0 : BLOCK;
    l->blocks = number == IDLE ? SIZE_MAX : messages[number].size / BLOCK;
    h->a[k] = 0x67452301;
    h->b[k] = 0xefcdab89;
    h->c[k] = 0x98badcfe;
    h->d[k] = 0x10325476;
}

static void
end_lane(struct md5_lane *l, struct bytes message)
{
    size_t left = message.size % BLOCK;
    l->blocks = left + 1 + LENGTH_BYTES <= BLOCK ? 1 : 2;
    memset(l->end, 0, sizeof l->end);
    if (left > 0) memcpy(l->end, message.at + (message.size - left), left);
    l->end[left] = 0x80;
    store_le64(l->end + l->blocks * BLOCK - LENGTH_BYTES, (uint64_t)message.size * 8);
    l->at = l->end;
    l->ending = true;
}

void
md5_many(const struct bytes *messages, size_t count, uint8_t (*ret_digests)[MD5_BYTES])
{
    struct hashing h;
    size_t next = 0, done = 0;
    for (unsigned k = 0; k < LANES; k++)
        begin_lane(&h, k, messages, next < count ? next++ : IDLE);
    while (done < count) {
        size_t blocks = SIZE_MAX;
        for (unsigned k = 0; k < LANES; k++)
            blocks = h.lanes[k].blocks < blocks ? h.lanes[k].blocks : blocks;
        hash_blocks(&h, blocks);
        for (unsigned k = 0; k < LANES; k++) {
            struct md5_lane *l = &h.lanes[k];
            if (l->number == IDLE) continue;
            l->blocks -= blocks;
            if (l->blocks > 0) continue;
            if (!l->ending) {
                end_lane(l, messages[l->number]);
                continue;
            }
            store_le32(ret_digests[l->number], h.a[k]);
            store_le32(ret_digests[l->number] + 4, h.b[k]);
            store_le32(ret_digests[l->number] + 8, h.c[k]);
            store_le32(ret_digests[l->number] + 12, h.d[k]);
            done++;
            begin_lane(&h, k, messages, next < count ? next++ : IDLE);
        }
    }
}

/* --- piece by piece --------------------------------------------------------------------------- */

void
md5_begin(struct md5_stream *s)
{
    *s = (struct md5_stream){.state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}};
}

/* Whole blocks, in the first lane; the others go over the first block for nothing. */
static void
add_blocks(struct md5_stream *s, const uint8_t *at, size_t blocks)
{
    struct hashing h = {every(s->state[0]), every(s->state[1]), every(s->state[2]),
                        every(s->state[3])};
    for (unsigned k = 0; k < LANES; k++) {
        h.lanes[k].at = at;
        h.lanes[k].step = k == 0 ? BLOCK : 0;
    }
    hash_blocks(&h, blocks);
    s->state[0] = h.a[0];
    s->state[1] = h.b[0];
    s->state[2] = h.c[0];
    s->state[3] = h.d[0];
}

void
md5_add(struct md5_stream *s, struct bytes piece)
{
    size_t held = (size_t)(s->size % BLOCK);
    if (piece.size == 0) return;
    s->size += piece.size;
    if (held > 0) {
        size_t room = BLOCK - held, part = piece.size < room ? piece.size : room;
        memcpy(s->rest + held, piece.at, part);
        piece = bytes_of(piece.at + part, piece.size - part);
        if (held + part < BLOCK) return;
        add_blocks(s, s->rest, 1);
    }
    size_t blocks = piece.size / BLOCK;
    if (blocks > 0) add_blocks(s, piece.at, blocks);
    size_t left = piece.size % BLOCK;
    if (left > 0) memcpy(s->rest, piece.at + (piece.size - left), left);
}

void
md5_end(struct md5_stream *s, uint8_t ret_digest[MD5_BYTES])
{
    struct md5_lane last;
    struct bytes rest = bytes_of(s->rest, (size_t)(s->size % BLOCK));
    end_lane(&last, rest);
    store_le64(last.end + last.blocks * BLOCK - LENGTH_BYTES, s->size * 8);
    add_blocks(s, last.end, last.blocks);
    for (unsigned i = 0; i < 4; i++)
        store_le32(ret_digest + 4 * i, s->state[i]);
}
