/*
 * suggest.c - compares words by the edit distance with swaps of neighbours ("optimal string
 * alignment": no piece is edited twice), which may be up to a third of the length. Two common
 * mistakes have a larger distance and are near as well: a word that ends early or goes on at a
 * separator (memory.limit-bytes for memory.limit), and a missing section (listen-address for
 * web.listen-address).
 */
#include "base/text/suggest.h"

#include <limits.h>
#include <stdio.h>

enum { FAR = UINT_MAX, PIECE_MIN = 4, DISTANCE_MAX = 4 };

static uint8_t
fold(uint8_t c)
{
    if (c == '_') return '-';
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

static unsigned
least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned
suggest_distance(struct bytes a, struct bytes b)
{
    if (a.size >= SUGGEST_BYTES_MAX || b.size >= SUGGEST_BYTES_MAX) return FAR;
    unsigned rows[3][SUGGEST_BYTES_MAX]; /* last three rows of the matrix: row i is rows[i % 3] */
    for (unsigned j = 0; j <= b.size; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= a.size; i++) {
        unsigned *now = rows[i % 3];
        const unsigned *before = rows[(i + 2) % 3];
        const unsigned *twice_before = rows[(i + 1) % 3];
        now[0] = i;
        uint8_t ca = fold(a.at[i - 1]);
        for (unsigned j = 1; j <= b.size; j++) {
            uint8_t cb = fold(b.at[j - 1]);
            now[j] = least(least(before[j], now[j - 1]) + 1, before[j - 1] + (ca != cb));
            bool swapped =
                i > 1 && j > 1 && ca == fold(b.at[j - 2]) && cb == fold(a.at[i - 2]) && ca != cb;
            if (swapped) now[j] = least(now[j], twice_before[j - 2] + 1);
        }
    }
    return rows[a.size % 3][b.size];
}

static bool
same_folded(const uint8_t *a, const uint8_t *b, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (fold(a[i]) != fold(b[i])) return false;
    return true;
}

bool
suggest_is_same(struct bytes a, struct bytes b)
{
    return a.size == b.size && same_folded(a.at, b.at, a.size);
}

/* True if the longer one begins with the shorter and a separator, or ends with '.' and it. */
static bool
is_piece(struct bytes a, struct bytes b)
{
    struct bytes piece = a.size < b.size ? a : b;
    struct bytes whole = a.size < b.size ? b : a;
    if (piece.size < PIECE_MIN || piece.size == whole.size) return false;
    uint8_t next = fold(whole.at[piece.size]);
    if ((next == '-' || next == '.') && same_folded(piece.at, whole.at, piece.size)) return true;
    size_t left = whole.size - piece.size;
    return whole.at[left - 1] == '.' && same_folded(piece.at, whole.at + left, piece.size);
}

void
suggest_begin(struct suggestion *s, struct bytes word)
{
    *s = (struct suggestion){.word = word, .distance = FAR};
}

void
suggest_try(struct suggestion *s, const char *candidate)
{
    struct bytes c = bytes_of_text(candidate);
    if (c.size >= SUGGEST_BYTES_MAX || s->word.size >= SUGGEST_BYTES_MAX) return;
    size_t longer = c.size > s->word.size ? c.size : s->word.size;
    unsigned near = least((unsigned)longer / 3, DISTANCE_MAX);
    if (near == 0) near = 1;
    unsigned distance = (unsigned)(2 * longer - c.size - s->word.size); /* the least possible */
    if (distance <= near) distance = suggest_distance(s->word, c);
    if (distance > near) {
        if (!is_piece(s->word, c)) return;
        distance = DISTANCE_MAX + 1; /* after all that are near by letters */
    }
    if (distance >= s->distance) return;
    s->distance = distance;
    memcpy(s->best, c.at, c.size);
    s->best[c.size] = 0;
}

struct hint
suggest_hint(const struct suggestion *s, const char *before)
{
    struct hint hint = {""};
    if (s->distance == FAR) return hint;
    snprintf(hint.text, sizeof hint.text, "; did you mean '%s%s'?", before, s->best);
    return hint;
}
