/*
 * memory_store.h - series in memory, which views read: what rules are tested over.
 *
 * Samples of a series come in the order of their times, as at a Prometheus. Nothing is added while
 * sets of series are open, and views see what is added after they were opened.   Threads: any
 * number that read, or one that adds.
 */
#ifndef VIEWS_MEMORY_STORE_H
#define VIEWS_MEMORY_STORE_H

#include "model/select.h"

struct memory_store;

/* ERR_NOMEM. */
MUST_CHECK enum err memory_store_new(struct budget *budget, struct memory_store **ret_store);
/* No view of it is open. NULL is fine. */
void memory_store_free(struct memory_store *store);

struct memory_sample {
    int64_t t_ms;
    uint64_t bits;                     /* of a float */
    const struct histogram *histogram; /* instead; NULL: there is none. Has passed its check */
};

enum memory_verdict {
    MEMORY_TAKEN,    /* or it was there already */
    MEMORY_CONFLICT, /* the last sample has the same time and another value */
    MEMORY_LATE,     /* there is one of a later time */
};

/*
 * Adds a sample to the series of these labels, canonical ones; all is copied. *ret_last, may be
 * NULL: the sample that was the last one, a view until the next call, unless it was taken.
 * ERR_NOMEM.
 */
MUST_CHECK enum err memory_store_add(struct memory_store *store, struct bytes labels,
                                     const struct memory_sample *sample,
                                     enum memory_verdict *ret_verdict,
                                     struct memory_sample *ret_last);
/* What memory_store_add() would say, and nothing else. */
enum memory_verdict memory_store_judge(const struct memory_store *store, struct bytes labels,
                                       const struct memory_sample *sample,
                                       struct memory_sample *ret_last);

/*
 * A view, which ends before the store. It answers nothing but view_select(), for all tenants alike.
 * The context is the store. ERR_NOMEM.
 */
MUST_CHECK enum err memory_store_open(void *context, struct query_control *control,
                                      struct view **ret_view, struct why *why);

#endif
