/* views.c - see views.h. A list, as they come: mostly at its end, and there are not many. */
#include "tsdb/head/views.h"

static bool
is_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

void
views_open(struct views *views, struct head_view *view, uint32_t epoch, int64_t now_ns)
{
    struct head_view *older = views->newest;
    while (older != NULL && is_before(epoch, older->epoch)) {
        older = older->older;
    }
    *view = (struct head_view){.older = older, .opened_ns = now_ns, .epoch = epoch};
    view->newer = older == NULL ? views->oldest : older->newer;
    *(older == NULL ? &views->oldest : &older->newer) = view;
    *(view->newer == NULL ? &views->newest : &view->newer->older) = view;
}

void
views_close(struct views *views, struct head_view *view)
{
    *(view->older == NULL ? &views->oldest : &view->older->newer) = view->newer;
    *(view->newer == NULL ? &views->newest : &view->newer->older) = view->older;
}

bool
views_next(const struct views *views, uint32_t from, uint32_t *ret_epoch)
{
    bool found = false;
    for (const struct head_view *v = views->newest; v != NULL && !is_before(v->epoch, from);
         v = v->older) {
        if (v->lost) continue;
        *ret_epoch = v->epoch;
        found = true;
    }
    return found;
}

bool
views_meet(const struct views *views, uint32_t from, uint32_t to)
{
    uint32_t epoch;
    return views_next(views, from, &epoch) && is_before(epoch, to);
}

void
views_lose(struct views *views, uint32_t from, uint32_t to)
{
    for (struct head_view *v = views->oldest; v != NULL; v = v->newer) {
        v->lost |= !is_before(v->epoch, from) && is_before(v->epoch, to);
    }
}

void
views_keep_only(struct views *views, uint32_t epoch)
{
    for (struct head_view *v = views->oldest; v != NULL; v = v->newer) {
        v->lost |= v->epoch != epoch;
    }
}
