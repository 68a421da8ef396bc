/*
 * open_views.c - see gen.h. Views are a list: a new one is mostly the newest, and there are
 * not many.
 *
 * Invariants:
 *  1. The list is in the order of epochs and linked both ways, from `oldest` to `newest`.
 *  2. A lost view stays lost.
 *  3. A page's notes are [0, count), count <= capacity. Its slots, twice as many, hold the newest
 *     note of each series, which links to the series' older ones in the page.
 *  4. A page is freed only if no view that is not lost has an epoch before page->to.
 */
#include "tsdb/head/gen.h"

#include <assert.h>

#include "base/hash/hash.h"

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
    assert((view->older == NULL ? views->oldest : view->older->newer) == view); /* invariant 1 */
    assert((view->newer == NULL ? views->newest : view->newer->older) == view); /* invariant 1 */
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
views_validate(const struct views *views)
{
    const struct head_view *last = NULL;
    for (const struct head_view *v = views->oldest; v != NULL; v = v->newer) {
        assert(v->older == last);                                  /* invariant 1 */
        assert(last == NULL || !is_before(v->epoch, last->epoch)); /* invariant 1 */
        last = v;
    }
    assert(views->newest == last); /* invariant 1 */
}

static void
lose(struct views *views, struct head_view *view, enum view_loss reason)
{
    assert(reason != VIEW_NOT_LOST);
    if (view->lost != VIEW_NOT_LOST) return; /* invariant 2 */
    view->lost = reason;
    views->lost_total++;
}

/* Loses the view with the oldest epoch, which needs the most notes. False if all are lost. */
static bool
lose_oldest(struct views *views)
{
    struct head_view *v = views->oldest;
    while (v != NULL && v->lost != VIEW_NOT_LOST) {
        v = v->newer;
    }
    if (v != NULL) lose(views, v, VIEW_LOST_MEMORY);
    return v != NULL;
}

void
views_keep_only(struct views *views, uint32_t epoch)
{
    for (struct head_view *v = views->oldest; v != NULL; v = v->newer) {
        if (v->epoch != epoch) lose(views, v, VIEW_LOST_COMMIT);
    }
}

/* --- pages of notes --------------------------------------------------------------------------- */

enum { PAGE_NOTES_MIN = 256, PAGE_NOTES_MAX = 1 << 20 };

struct view_note {
    const void *series;
    int64_t first_ms; /* first time of the chunk */
    uint32_t older;   /* the series' next older note in this page, plus 1; 0 after the last */
    uint32_t tag;
    uint8_t count;
    uint8_t now;
    uint8_t before;
};

struct view_notes_page {
    struct view_notes_page *older;
    uint32_t capacity; /* a power of two */
    uint32_t count;
    uint32_t to;     /* views of this epoch and later ones need no note here */
    uint32_t *slots; /* hash table by series: its newest note, plus 1 */
    struct view_note notes[];
};

static size_t
slots_bytes(uint32_t capacity)
{
    return 2 * (size_t)capacity * sizeof(uint32_t);
}

static size_t
page_bytes(uint32_t capacity)
{
    return sizeof(struct view_notes_page) + (size_t)capacity * sizeof(struct view_note);
}

static void
page_free(struct view_notes_page *p, struct views *views)
{
    mem_free(&views->budget, p->slots, slots_bytes(p->capacity));
    mem_free(&views->budget, p, page_bytes(p->capacity));
}

static enum err
page_new(struct view_notes *notes, struct views *views, uint32_t capacity)
{
    struct view_notes_page *p = mem_alloc(&views->budget, page_bytes(capacity));
    uint32_t *slots = mem_new(&views->budget, slots_bytes(capacity));
    if (p == NULL || slots == NULL) {
        mem_free(&views->budget, p, page_bytes(capacity));
        mem_free(&views->budget, slots, slots_bytes(capacity));
        return ERR_NOMEM;
    }
    *p = (struct view_notes_page){.older = notes->newest, .capacity = capacity, .slots = slots};
    notes->newest = p;
    return OK;
}

/* Adds a page twice as large as the newest, or as large as there is memory for. */
static enum err
page_fit(struct view_notes *notes, struct views *views)
{
    uint32_t capacity = PAGE_NOTES_MIN;
    if (notes->newest != NULL) capacity = 2 * notes->newest->capacity;
    if (capacity > PAGE_NOTES_MAX) capacity = PAGE_NOTES_MAX;
    enum err e = page_new(notes, views, capacity);
    while (e && capacity > PAGE_NOTES_MIN) {
        capacity /= 2;
        e = page_new(notes, views, capacity);
    }
    return e;
}

void
view_notes_trim(struct view_notes *notes, struct views *views)
{
    struct view_notes_page **link = &notes->newest;
    uint32_t oldest = 0;
    bool any = false;
    for (const struct head_view *v = views->oldest; v != NULL && !any; v = v->newer) {
        any = v->lost == VIEW_NOT_LOST;
        oldest = v->epoch;
    }
    while (*link != NULL && any && is_before(oldest, (*link)->to)) {
        link = &(*link)->older;
    }
    struct view_notes_page *p = *link;
    *link = NULL;
    while (p != NULL) {
        struct view_notes_page *older = p->older;
        assert(!any || !is_before(oldest, p->to)); /* invariant 4 */
        page_free(p, views);
        p = older;
    }
}

void
view_notes_fini(struct view_notes *notes, struct views *views)
{
    while (notes->newest != NULL) {
        struct view_notes_page *p = notes->newest;
        notes->newest = p->older;
        page_free(p, views);
    }
}

/* --- notes of open chunks --------------------------------------------------------------------- */

static uint32_t *
views_slot_of(const struct view_notes_page *p, const void *series)
{
    uint32_t mask = 2 * p->capacity - 1, at = (uint32_t)hash_mix(0, (uintptr_t)series) & mask;
    while (p->slots[at] != 0 && p->notes[p->slots[at] - 1].series != series) {
        at = (at + 1) & mask;
    }
    return &p->slots[at];
}

void
view_notes_append(struct view_notes *notes, struct view_notes *frozen, struct views *views,
                  const void *series, const struct hchunk_open *o, uint32_t epoch)
{
    if (views->newest == NULL || o->count == 0 || o->tag == epoch) return;
    if (!views_meet(views, o->tag - 2, epoch - 2)) return;
    if (notes->newest == NULL || notes->newest->count == notes->newest->capacity) {
        view_notes_trim(notes, views); /* perhaps no view needs the full pages any more */
        while (page_fit(notes, views) != OK) {
            if (!lose_oldest(views)) return;
            view_notes_trim(notes, views);
            if (frozen != NULL) view_notes_trim(frozen, views);
            if (!views_meet(views, o->tag - 2, epoch - 2)) return; /* the lost view needed it */
        }
    }
    struct view_notes_page *p = notes->newest;
    assert(p->count < p->capacity); /* invariant 3 */
    uint32_t *slot = views_slot_of(p, series);
    assert(*slot <= p->count); /* invariant 3 */
    p->notes[p->count] = (struct view_note){.series = series,
                                            .first_ms = hchunk_first_ms(o),
                                            .older = *slot,
                                            .tag = o->tag,
                                            .count = o->count,
                                            .now = o->pending_now,
                                            .before = o->pending_before};
    *slot = ++p->count;
    p->to = epoch - 2;
}

uint32_t
view_notes_visible(const struct view_notes *notes, const void *series, const struct chunk_marks *c,
                   uint32_t epoch)
{
    if (chunk_marks_suffice(c, epoch)) {
        return hchunk_visible(c->count, c->tag, c->now, c->before, epoch);
    }
    for (const struct view_notes_page *p = notes->newest; p != NULL; p = p->older) {
        for (uint32_t i = *views_slot_of(p, series); i != 0; i = p->notes[i - 1].older) {
            const struct view_note *n = &p->notes[i - 1];
            if (n->first_ms != c->first_ms || is_before(epoch, n->tag - 2)) continue;
            return hchunk_visible(n->count, n->tag, n->now, n->before, epoch);
        }
    }
    return 0;
}
