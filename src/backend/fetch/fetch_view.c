#include "backend/fetch/fetch.h"

enum err
fetch_view_open(struct fetcher *fetcher, struct answerer *of, const struct view_ops *ops,
                size_t size, struct query_control *control, struct view **ret_view, struct why *why)
{
    struct budget *budget = control == NULL ? NULL : control->budget;
    struct fetch_view *v = mem_new(budget, size);
    if (v == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the query");
    v->view.ops = ops;
    v->of = of;
    v->budget = budget;
    v->size = size;
    atomic_init(&v->users, 1);
    enum err e = fetch_session_open(fetcher, budget, &v->session, why);
    if (e)
        fetch_view_drop(v);
    else
        *ret_view = &v->view;
    return e;
}

void
fetch_view_keep(struct fetch_view *v)
{
    atomic_fetch_add_explicit(&v->users, 1, memory_order_relaxed);
}

void
fetch_view_drop(struct fetch_view *v)
{
    if (atomic_fetch_sub_explicit(&v->users, 1, memory_order_acq_rel) > 1) return;
    fetch_session_close(v->session);
    mem_free(v->budget, v, v->size);
}

void
fetch_view_free(struct view *view)
{
    fetch_view_drop((struct fetch_view *)view);
}
