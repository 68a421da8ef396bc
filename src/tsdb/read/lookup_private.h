/* lookup_private.h - private to lookup*.c: a set of texts. */
#ifndef TSDB_READ_LOOKUP_PRIVATE_H
#define TSDB_READ_LOOKUP_PRIVATE_H

#include "tsdb/read/select_private.h"

/* Different texts; at the end sorted, and the first `wanted` of them returned. */
struct lookup_texts {
    struct budget *budget;
    uint64_t seed;
    struct arena arena;
    struct bytes *items; /* in the order in which they came */
    uint32_t count;
    uint32_t capacity;
    uint32_t ordered_count; /* the first items that ascend */
    uint32_t *slots;        /* index + 1; open addressing; NULL while all came in order */
    uint32_t slot_count;    /* a power of two, or 0 */
    uint32_t wanted;        /* the first in order that are enough; 0 for all */
    struct bytes beyond;    /* this text and later ones are not wanted; at is NULL without limit */
};

/* Adds a copy of the text, if it is wanted and not in the set. `context` is the set. ERR_NOMEM. */
MUST_CHECK enum err texts_add(void *context, struct bytes text);
static inline bool
texts_want(const struct lookup_texts *texts, struct bytes text)
{
    return texts->beyond.at == NULL || bytes_compare(text, texts->beyond) < 0;
}

/* Does the same for a text that is not in the set: one of a registry, which has each once, if the
 * set has texts of that registry only. */
MUST_CHECK enum err texts_add_another(struct lookup_texts *texts, struct bytes text);

/* --- lookup_part.c, lookup_head.c ------------------------------------------------------------- */

/* Adds the values that a label has in the source's series that are selected and have samples in the
 * time range; with `name` NULL, the names of their labels. */
MUST_CHECK enum err lookup_part(struct store_query *q, struct query_source *s,
                                const struct bytes *name, struct lookup_texts *texts,
                                struct why *why);
MUST_CHECK enum err lookup_head(struct store_query *q, const struct query_source *s,
                                const struct bytes *name, struct lookup_texts *texts,
                                struct why *why);

#endif
