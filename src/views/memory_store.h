/*
 * memory_store.h - series in memory, which views read: for tests of rules.
 *
 * Samples of a series are added in the order of their times, as in a Prometheus, and not while sets
 * of series are open. Views see samples that are added after they were opened.   Threads: any
 * number that read, or one that adds.
 */
#ifndef VIEWS_MEMORY_STORE_H
#define VIEWS_MEMORY_STORE_H

#include "model/select.h"

struct memory_store;

/* ERR_NOMEM. */
MUST_CHECK enum err memory_store_new(struct budget *budget, struct memory_store **ret_store);
/* Its views must be freed. NULL is fine. */
void memory_store_free(struct memory_store *store);

struct memory_sample {
    int64_t t_ms;
    uint64_t bits;                     /* a float */
    const struct histogram *histogram; /* instead of the float, unless NULL; has passed its check */
};

enum memory_verdict {
    MEMORY_TAKEN,    /* added, or equal to the last sample */
    MEMORY_CONFLICT, /* the last sample has the same time and another value */
    MEMORY_LATE,     /* the last sample has a later time */
};

/*
 * Adds a copy of a sample to the series of these canonical labels. Unless it is taken *ret_last,
 * which may be NULL, is the last sample of the series, a view until the next call. ERR_NOMEM.
 */
MUST_CHECK enum err memory_store_add(struct memory_store *store, struct bytes labels,
                                     const struct memory_sample *sample,
                                     enum memory_verdict *ret_verdict,
                                     struct memory_sample *ret_last);
/* Returns the verdict of memory_store_add(), and adds nothing. */
enum memory_verdict memory_store_judge(const struct memory_store *store, struct bytes labels,
                                       const struct memory_sample *sample,
                                       struct memory_sample *ret_last);

/*
 * Opens a view, to be freed before the store. It supports view_select() only, and ignores the
 * tenant. The context is the store. ERR_NOMEM.
 */
MUST_CHECK enum err memory_store_open(void *context, struct query_control *control,
                                      struct view **ret_view, struct why *why);

#endif
