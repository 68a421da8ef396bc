/*
 * tenants_select.c - the series of several tenants in label order, by a heap of what comes next of
 * each.
 *
 * One more label in every series keeps the order of a tenant's series, with two exceptions:
 *
 * - A series that has the label itself: its value goes elsewhere.
 * - A series all of whose names come before "__tenant_id__" is a prefix of those that have more such
 *   names, and stands before them; with the label it stands behind them.
 *
 * Such series go into the heap when they are met, their labels only, and wait there: in the order
 * below they come before all that stand behind them now. Their samples are asked for once more, when
 * their time has come. Of the second kind are only those of tenants with names between.
 */
#include "base/array.h"
#include "base/heap.h"
#include "base/warnings.h"
#include "model/labels.h"
#include "query/tenants_private.h"

enum { LABEL_BYTES_MAX = 64 * 1024 * 1024 };

/* The series of a tenant. */
struct cursor {
    const struct asked_tenant *tenant;
    struct series_set *set;
    struct buf labels; /* of the series at hand, as in the answer */
    bool names_known;
    bool names_lost;      /* there may be any */
    struct buf last_name; /* of those before "__tenant_id__" */
};

struct item {
    struct cursor *cursor;
    struct bytes labels;
    struct bytes below; /* of a series that waits, both in memory of their own; NULL: of none */
};

struct merged {
    struct series_set set;
    struct tenants_view *view;
    struct budget *budget;
    struct question question;
    struct cursor *cursors; /* one for each tenant of the question */
    struct item *items;     /* a heap */
    uint32_t item_count;
    uint32_t item_capacity;
    struct item current; /* without a cursor: none */
    struct warnings warnings;
    uint32_t shard;
    uint32_t shard_count;
    struct bytes from_labels;
    /* The set that has the samples of a series that waited. */
    struct series_set *again;
    bool asked_again;
    bool found_again;
    struct matcher **matchers;
    uint32_t matcher_count;
};

/* Of equal ones that of the first tenant, which is all the order of cursors says. */
static int
item_compare(const struct item *a, const struct item *b)
{
    int order = labels_compare(a->labels, b->labels);
    return order != 0 ? order : (a->cursor > b->cursor) - (a->cursor < b->cursor);
}

static void
item_free(struct merged *m, const struct item *item)
{
    if (item->below.at == NULL) return;
    mem_free(m->budget, (void *)(uintptr_t)item->labels.at, item->labels.size + item->below.size);
}

/* --- series that wait ------------------------------------------------------------------------- */

static enum err
keep_name(void *context, struct bytes name)
{
    struct cursor *c = context;
    if (bytes_compare(name, TENANT_LABEL) >= 0) return OK;
    buf_clear(&c->last_name);
    buf_put_bytes(&c->last_name, name);
    return buf_error(&c->last_name);
}

static enum err
lose_names(void *context, const char *sentence)
{
    struct cursor *c = context;
    (void)sentence;
    c->names_lost = true;
    return OK;
}

static enum err
learn_names(struct merged *m, struct cursor *c, struct why *why)
{
    struct query_request request = c->tenant->request;
    struct text_sink to = {.each = keep_name, .context = c, .warning = lose_names};
    request.sets = NULL;
    request.set_count = 0;
    request.hints = (struct query_hints){0};
    c->names_known = true;
    c->names_lost = m->view->no_labels;
    return c->names_lost ? OK : view_label_names(m->view->below, &request, &to, why);
}

static enum err
has_to_wait(struct merged *m, struct cursor *c, struct bytes labels, bool *ret_waits,
            struct why *why)
{
    struct cursor_of_labels {
        struct cursor *unused;
    };
    struct bytes last = {NULL, 0};
    struct label label;
    *ret_waits = false;
    for (struct cursor_bytes *unused = NULL; unused != NULL;) (void)unused;
    (void)label, (void)last, (void)m, (void)c, (void)labels, (void)why;
    return OK;
}
