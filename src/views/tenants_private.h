/* tenants_private.h - shared by the files of tenants.h: a question to each of several tenants. */
#ifndef VIEWS_TENANTS_PRIVATE_H
#define VIEWS_TENANTS_PRIVATE_H

#include "base/buf.h"
#include "views/tenants.h"

struct tenants_view {
    struct view view; /* first: callers get it */
    struct view *below;
    struct budget *budget;
    bool no_labels;              /* `below` has no label names */
    _Atomic uint32_t references; /* acquire-release: the last one frees; sets have one each */
};

void tenants_view_unref(struct tenants_view *view);

#define ORIGINAL_LABEL "original___tenant_id__"

struct tenant_request {
    struct bytes name;
    struct query_request request; /* without hints about labels, which differ below */
};

/* The caller's matchers stay as long as its requests are used. */
struct tenants_question {
    struct arena arena;
    struct budget *budget;
    struct tenant_request *tenants; /* tenants that matchers select, by name */
    uint32_t tenant_count;
    struct matcher **made;
    uint32_t made_count;
};

/* tenants_question_end() is required in any case. */
MUST_CHECK enum err tenants_question_begin(struct tenants_question *question,
                                           const struct tenants_view *view,
                                           const struct query_request *request, struct why *why);
void tenants_question_end(struct tenants_question *question);
enum err tenants_no_memory(struct why *why);

/* Appends the labels of a series as they are in the answer. */
void tenant_labels_put(struct buf *to, struct bytes labels, struct bytes tenant);

/* --- tenants_select.c, tenants_texts.c: questions to several tenants -------------------------- */

MUST_CHECK enum err tenants_select(struct tenants_view *view, const struct query_request *request,
                                   struct series_set **ret_set, struct why *why);
MUST_CHECK enum err tenants_look_up(const struct tenants_view *view, enum lookup_kind kind,
                                    const struct query_request *request, struct bytes name,
                                    const struct text_sink *to, struct why *why);
MUST_CHECK enum err tenants_exemplars(const struct tenants_view *view,
                                      const struct query_request *request,
                                      const struct exemplar_sink *to, struct why *why);
MUST_CHECK enum err tenants_metadata(const struct tenants_view *view,
                                     const struct query_request *request, struct bytes family,
                                     enum err (*each)(void *context,
                                                      const struct metadata *metadata),
                                     void *context, struct why *why);

#endif
