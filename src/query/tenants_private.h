/* tenants_private.h - what tenants.c and tenants_select.c share: a question put to each tenant. */
#ifndef QUERY_TENANTS_PRIVATE_H
#define QUERY_TENANTS_PRIVATE_H

#include "base/buf.h"
#include "query/tenants.h"

struct tenants_view {
    struct view view;
    struct view *below;
    struct budget *budget;
    bool no_labels;               /* below */
    _Atomic uint32_t references; /* its sets have one each */
};

void tenants_view_unref(struct tenants_view *view);

extern const struct bytes TENANT_LABEL, ORIGINAL_LABEL;

struct asked_tenant {
    struct bytes name;
    struct query_request request; /* without hints about labels, which are others below */
};

/* Of the request only its matchers are needed afterwards, for as long as requests are. */
struct question {
    struct arena arena;
    struct budget *budget;
    struct asked_tenant *tenants; /* in order of their names; those that matchers left */
    uint32_t tenant_count;
    struct matcher **made;
    uint32_t made_count;
};

/* To be ended in any case. */
MUST_CHECK enum err question_begin(struct question *question, const struct tenants_view *view,
                                   const struct query_request *request, struct why *why);
void question_end(struct question *question);

/* Appends the labels of a series as they are in the answer. */
void tenant_labels_put(struct buf *to, struct bytes labels, struct bytes tenant);

MUST_CHECK enum err tenants_select(struct tenants_view *view, const struct query_request *request,
                                   struct series_set **ret_set, struct why *why);

#endif
