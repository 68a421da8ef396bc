/* lookup_private.h - private to lookup*.c: texts, each once. */
#ifndef TSDB_READ_LOOKUP_PRIVATE_H
#define TSDB_READ_LOOKUP_PRIVATE_H

#include "tsdb/read/select_private.h"

struct texts {
    struct budget *budget;
    uint64_t seed;
    struct arena arena;
    struct bytes *items; /* as they came: */
    uint32_t count;
    uint32_t capacity;
    uint32_t ordered_count; /* so many in order */
    uint32_t *slots;        /* index and 1; open addressing; NULL: all came in order */
    uint32_t slot_count;    /* a power of two */
    uint32_t wanted;        /* the first ones are enough; 0: all are wanted */
    struct bytes beyond;    /* so many are there: this one and later ones are not wanted; or NULL */
};

/* `context` is the texts; the text is copied if it is wanted and not there. ERR_NOMEM. */
MUST_CHECK enum err texts_add(void *context, struct bytes text);
static inline bool
texts_want(const struct texts *texts, struct bytes text)
{
    return texts->beyond.at == NULL || bytes_compare(text, texts->beyond) < 0;
}

/* The same of a text that is not there: for those of one registry, if they are the first. */
MUST_CHECK enum err texts_add_another(struct texts *texts, struct bytes text);

/* --- lookup_part.c, lookup_head.c ------------------------------------------------------------- */

/* Adds the values of a label that the source's series have which are selected and have something in
 * the time; `name` NULL: their label names. */
MUST_CHECK enum err lookup_part(struct store_query *q, struct query_source *s,
                                const struct bytes *name, struct texts *texts, struct why *why);
MUST_CHECK enum err lookup_head(struct store_query *q, const struct query_source *s,
                                const struct bytes *name, struct texts *texts, struct why *why);

#endif
