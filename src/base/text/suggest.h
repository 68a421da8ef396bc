/*
 * suggest.h - "did you mean ...?": the candidate nearest to a mistyped word.
 *
 *     struct suggestion s;
 *     suggest_begin(&s, word);
 *     for (each candidate) suggest_try(&s, candidate);
 *     printf("unknown word%s\n", suggest_hint(&s, "").text);
 */
#ifndef BASE_TEXT_SUGGEST_H
#define BASE_TEXT_SUGGEST_H

#include "base/bytes.h"

enum { SUGGEST_BYTES_MAX = 64 };

struct suggestion {
    struct bytes word;
    unsigned distance;            /* distance from `word` to `best` */
    char best[SUGGEST_BYTES_MAX]; /* a copy: the caller may reuse the memory of a candidate */
};

/* Keeps a view of `word`, which outlives the suggestion. */
void suggest_begin(struct suggestion *s, struct bytes word);
/* Compares a word; the nearest one so far is copied. */
void suggest_try(struct suggestion *s, const char *candidate);
/* Returns "; did you mean '--best'?", where `before` is "--"; "" if no candidate is near. The first
 * of equally near candidates wins. */
struct hint {
    char text[SUGGEST_BYTES_MAX + 32];
};
struct hint suggest_hint(const struct suggestion *s, const char *before);

/* Returns how many letters must be inserted, removed, replaced or swapped with their neighbour to
 * turn one word into the other. Case is ignored and '_' equals '-'. UINT_MAX if one has
 * SUGGEST_BYTES_MAX bytes or more. */
unsigned suggest_distance(struct bytes a, struct bytes b);

/* True if the words differ only in case, and in '_' for '-'. */
bool suggest_is_same(struct bytes a, struct bytes b);

#endif
