/*
 * head.c - generations, epochs, time and views of the head. Samples come in through ingest/;
 * tenants, ledgers and metadata are in tenant.c.
 *
 *      head_new_gen         head_cut_locked         the part is live (store/edit.c)
 *     -------------> active --------------> frozen -------------------------------> freed
 *
 * A commit makes an epoch durable (head_epoch_moved) or, with all later ones, void (head_undo).
 *
 * Invariants, under the head lock:
 *  1. From the first head_new_gen() on there is an active generation. Its `before` is the frozen
 *     one; both are NULL if none is frozen. A frozen generation has no `before`.
 *  2. Generation numbers rise: next_gen is greater than every number given.
 *  3. head->cut describes the frozen generation and is zero without one.
 *  4. durable_epoch never goes back.
 *  5. Void ranges are not empty, and each begins at or after the beginning of the one before: an
 *     undo voids all epochs from the durable one to the one that the log is filling.
 *  6. With HEAD_UNDO_DUE and HEAD_IS_SETTLED the log is down, so nothing is appended. Nothing is
 *     cut with HEAD_UNDO_DUE.
 *  7. A tenant's id is its index in `tenants`.
 */
#include "tsdb/head/head.h"

#include "base/hash/hash.h"
#include "tsdb/head/ingest/ingest.h"

#include <assert.h>
#include <string.h>

/* --- views ------------------------------------------------------------------------------------ */

/*
 * Views are a list: a new one is mostly the newest, and there are not many.
 *
 * Invariants:
 *  1. The list is in the order of epochs and linked both ways, from `oldest` to `newest`.
 *  2. A lost view stays lost.
 *  3. A page's notes are [0, count), count <= capacity. Its slots, twice as many, hold the newest
 *     note of each series, which links to the series' older ones in the page.
 *  4. A page is freed only if no view that is not lost has an epoch before page->to.
 */

static bool
is_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

void
views_open(struct views *views, struct head_view *view, uint32_t epoch, int64_t now_ns)
{
    struct head_view *older = views->newest;
    while (older != NULL && is_before(epoch, older->epoch))
        older = older->older;
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

static void
lose(struct views *views, struct head_view *view, enum view_loss reason)
{
    assert(reason != VIEW_NOT_LOST);
    if (view->lost != VIEW_NOT_LOST) return; /* invariant 2 */
    view->lost = reason;
    views->lost_total++;
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
    while (*link != NULL && any && is_before(oldest, (*link)->to))
        link = &(*link)->older;
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
    while (p->slots[at] != 0 && p->notes[p->slots[at] - 1].series != series)
        at = (at + 1) & mask;
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
            /* Loses the view with the oldest epoch, which needs the most notes. */
            struct head_view *v = views->oldest;
            while (v != NULL && v->lost != VIEW_NOT_LOST)
                v = v->newer;
            if (v == NULL) return; /* all are lost */
            lose(views, v, VIEW_LOST_MEMORY);
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
    if (chunk_marks_suffice(c, epoch))
        return hchunk_visible(c->count, c->tag, c->now, c->before, epoch);
    for (const struct view_notes_page *p = notes->newest; p != NULL; p = p->older) {
        for (uint32_t i = *views_slot_of(p, series); i != 0; i = p->notes[i - 1].older) {
            const struct view_note *n = &p->notes[i - 1];
            if (n->first_ms != c->first_ms || is_before(epoch, n->tag - 2)) continue;
            return hchunk_visible(n->count, n->tag, n->now, n->before, epoch);
        }
    }
    return 0;
}

/*
 * The configurations of the last grace are combined to one
 * object each time that they change, so that a query pins all of them with one reference.
 */

/* True if both hide the same. */
static bool
rules_configured_equal(const struct rules_configured *a, const struct rules_configured *b)
{
    bool none = series_rules_count(a->rules) == 0 && series_rules_count(b->rules) == 0;
    return none || (a->kept_ms == b->kept_ms && series_rules_equal(a->rules, b->rules));
}

/* Forgets former configurations from this one on, which are the oldest. */
static void
rules_in_force_forget(struct rules_in_force *f, uint32_t from)
{
    for (uint32_t i = from; i < f->former_count; i++)
        series_rules_unref(f->former[i].was.rules);
    if (from < f->former_count) f->former_count = from;
}

static void
rules_in_force_fini(struct rules_in_force *f)
{
    rules_in_force_forget(f, 0);
    series_rules_unref(f->now.rules);
    series_rules_unref(f->all);
    *f = (struct rules_in_force){.all = NULL};
}

static int64_t
longer(int64_t a_ms, int64_t b_ms)
{
    if (a_ms == 0 || b_ms == 0) return 0;
    return a_ms > b_ms ? a_ms : b_ms;
}

void
rules_in_force_combine(struct rules_in_force *f)
{
    struct series_rules *former[SERIES_RULES_FORMER_MAX], *all = NULL;
    bool hides = series_rules_count(f->now.rules) > 0;
    f->kept_ms = f->now.kept_ms;
    for (uint32_t i = 0; i < f->former_count; i++) {
        former[i] = f->former[i].was.rules;
        hides &= series_rules_count(former[i]) > 0;
        f->kept_ms = longer(f->kept_ms, f->former[i].was.kept_ms);
    }
    if (hides && f->former_count == 0) all = series_rules_ref(f->now.rules);
    if (hides && f->former_count > 0) {
        enum err e = series_rules_with(f->now.rules, former, f->former_count, NULL, &all);
        err_ignore(e, "nothing is hidden until the next change");
    }
    series_rules_unref(f->all);
    f->all = all;
}

void
rules_in_force_add_former(struct rules_in_force *f, const struct rules_former *former)
{
    assert(f->former_count < SERIES_RULES_FORMER_MAX);
    f->former[f->former_count] = *former;
    series_rules_ref(former->was.rules);
    f->former_count++;
}

static void
remove_former(struct rules_in_force *f, uint32_t at)
{
    series_rules_unref(f->former[at].was.rules);
    f->former_count--;
    memmove(&f->former[at], &f->former[at + 1], (f->former_count - at) * sizeof f->former[0]);
}

/* Replaces what is configured; takes a reference. False if both hide the same: then kept_ms, which
 * may differ without rules, is in force at once. */
static bool
rules_in_force_change(struct rules_in_force *f, const struct rules_configured *next, int64_t now_ms,
                      int64_t now_ns)
{
    struct rules_former left = {f->now, now_ms, now_ns};
    if (rules_configured_equal(&f->now, next)) {
        bool differs = f->now.kept_ms != next->kept_ms; /* without rules, it may */
        f->now.kept_ms = next->kept_ms;
        if (differs) rules_in_force_combine(f); /* which ends merges, and cached results */
        return false;
    }
    if (f->former_count == SERIES_RULES_FORMER_MAX) {
        /* The two oldest become one that keeps all, as long as the younger. */
        struct rules_former *last = &f->former[f->former_count - 2];
        int64_t kept_ms = longer(last[0].was.kept_ms, last[1].was.kept_ms);
        remove_former(f, f->former_count - 1);
        series_rules_unref(last->was.rules);
        last->was = (struct rules_configured){NULL, kept_ms};
    }
    memmove(&f->former[1], &f->former[0], f->former_count * sizeof f->former[0]);
    f->former[0] = left; /* with the reference of `now` */
    f->former_count++;
    f->now = (struct rules_configured){series_rules_ref(next->rules), next->kept_ms};
    /* One that is configured again has its grace when it is replaced again. */
    for (uint32_t i = f->former_count; i-- > 1;)
        if (rules_configured_equal(&f->former[i].was, next)) remove_former(f, i);
    rules_in_force_combine(f);
    return true;
}

void
rules_in_force_begin(struct rules_in_force *f, const struct rules_configured *first)
{
    rules_in_force_fini(f);
    f->now = (struct rules_configured){series_rules_ref(first->rules), first->kept_ms};
    rules_in_force_combine(f);
}

/* A clock that is earlier was never set: this source was written then. */
#define BUILD_TIME_MS 1763596800000LL

void
head_init(struct head *head)
{
    lock_init(&head->lock, LOCK_RANK_HEAD);
    lock_init(&head->epoch_lock, LOCK_RANK_EPOCH);
    atomic_init(&head->late_min_ms, INT64_MAX);
    atomic_init(&head->late_max_ms, INT64_MIN);
}

enum err
head_begin(struct head *head)
{
    return scratch_new(&head->budget, &head->scratch);
}

void
head_fini(struct head *head)
{
    rules_in_force_fini(&head->rules);
    gen_unref(head->frozen);
    gen_unref(head->active);
    cut_free(head, &head->cut);
    scratch_free(&head->budget, head->scratch);
    tenants_free(head);
    lock_fini(&head->lock);
    lock_fini(&head->epoch_lock);
}

/* --- time ------------------------------------------------------------------------------------- */

int64_t
head_lived_ms(const struct head *head)
{
    return (env_monotonic_ns(head->env) - head->begun_ns) / NS_PER_MS;
}

int64_t
retention_clock_ms(const struct head *head)
{
    int64_t now = env_realtime_ms(head->env);
    if (head->retention_base_ms == INT64_MIN) return now;
    int64_t most = head->retention_base_ms + head_lived_ms(head);
    return now < most ? now : most;
}

int64_t
retention_now_ms(struct head *head)
{
    assert(lock_is_mine(&head->lock));
    int64_t now = retention_clock_ms(head), newest = head->newest_ms;
    bool own_counts = newest == INT64_MIN || head->own_counts;
    if (own_counts && head->own_newest_ms > newest) newest = head->own_newest_ms;
    return newest < now ? newest : now;
}

bool
head_set_limits(struct head *head, const struct tsdb_limits *limits)
{
    assert(lock_is_mine(&head->lock));
    struct rules_configured next = {limits->retention_rules, limits->retention_ms};
    if (head->options->rules_as_stored) next = head->rules.now;
    bool changed = rules_in_force_change(&head->rules, &next, env_realtime_ms(head->env),
                                         env_monotonic_ns(head->env));
    head->limits = *limits;
    head->limits.retention_rules = NULL;
    retention_settle(head);
    head->limits.retention_ms = head->rules.kept_ms;
    return changed;
}

/*
 * The rest of the grace of former rules. The clock counts, so that it passes while no server runs,
 * but not faster than this process lives, and not ahead of the newest sample: a clock that jumps
 * ahead ends no grace. A clock that was ahead when the rules changed does not prolong it: no grace
 * takes longer than its time in one process.
 */
static int64_t
grace_left_ms(const struct head *head, const struct rules_former *former)
{
    int64_t grace_ms = head->limits.retention_grace_ms;
    int64_t now_ns = env_monotonic_ns(head->env), now_ms = env_realtime_ms(head->env);
    int64_t left_ms = grace_ms - (now_ns - former->seen_ns) / NS_PER_MS;
    int64_t newest_ms = head->newest_ms == INT64_MIN ? head->own_newest_ms : head->newest_ms;
    int64_t most_ms = head->begun_ms + head_lived_ms(head);
    if (now_ms > most_ms) now_ms = most_ms;
    if (now_ms > newest_ms) now_ms = newest_ms;
    if (head->clock == TSDB_CLOCK_GOOD && now_ms > former->left_ms) {
        int64_t by_clock_ms = grace_ms - (now_ms - former->left_ms);
        if (by_clock_ms < left_ms) left_ms = by_clock_ms;
    }
    return left_ms < 0 ? 0 : left_ms;
}

bool
retention_settle(struct head *head)
{
    assert(lock_is_mine(&head->lock));
    uint32_t count = head->rules.former_count, left = count;
    while (left > 0 && grace_left_ms(head, &head->rules.former[left - 1]) == 0)
        left--;
    if (left == count) return false;
    rules_in_force_forget(&head->rules, left);
    rules_in_force_combine(&head->rules);
    head->limits.retention_ms = head->rules.kept_ms;
    return true;
}

int64_t
retention_grace_left_ms(const struct head *head)
{
    assert(lock_is_mine(&head->lock));
    int64_t most_ms = 0;
    for (uint32_t i = 0; i < head->rules.former_count; i++) {
        int64_t left_ms = grace_left_ms(head, &head->rules.former[i]);
        if (left_ms > most_ms) most_ms = left_ms;
    }
    return most_ms;
}

int64_t
retention_rules_now_ms(struct head *head)
{
    if (head->clock != TSDB_CLOCK_GOOD) return INT64_MIN;
    int64_t now_ms = retention_now_ms(head);
    if (now_ms < 0) return INT64_MIN; /* no sample is older than the Unix epoch and a rule */
    return now_ms - now_ms % RETENTION_STEP_MS;
}

struct series_rules *
retention_rules(struct head *head, int64_t *ret_now_ms)
{
    assert(lock_is_mine(&head->lock));
    *ret_now_ms = INT64_MIN;
    if (head->rules.former_count > 0) retention_settle(head);
    if (head->rules.all == NULL) return NULL;
    *ret_now_ms = retention_rules_now_ms(head);
    return *ret_now_ms == INT64_MIN ? NULL : series_rules_ref(head->rules.all);
}

void
look_at_clock(struct head *head)
{
    int64_t now = env_realtime_ms(head->env);
    bool behind =
        head->newest_ms != INT64_MIN && now < head->newest_ms - head->limits.max_future_ms;
    head->clock = behind                       ? TSDB_CLOCK_BEFORE_SAMPLES
                  : now < BUILD_TIME_MS        ? TSDB_CLOCK_BEFORE_RELEASE
                  : head->differs_from_buckets ? TSDB_CLOCK_NOT_BUCKETS
                                               : TSDB_CLOCK_GOOD;
    bool first = head->clock == TSDB_CLOCK_GOOD && head->retention_base_ms == INT64_MIN;
    if (first) head->retention_base_ms = now - head_lived_ms(head);
}

void
head_note_time(struct head *head, enum tsdb_origin origin, int64_t t_ms)
{
    int64_t *newest = origin == TSDB_FROM_SENDER ? &head->newest_ms : &head->own_newest_ms;
    if (t_ms > *newest) *newest = t_ms;
}

/* --- epochs ----------------------------------------------------------------------------------- */

void
head_validate(const struct head *head)
{
    assert(lock_is_mine(&head->lock));
    assert(head->active->before == head->frozen);                 /* invariant 1 */
    assert(head->frozen == NULL || head->frozen->before == NULL); /* invariant 1 */
    assert(head->active->number < head->next_gen);                /* invariant 2 */
    assert(head->frozen != NULL || head->cut.ledgers == NULL);    /* invariant 3 */
    assert(head->frozen != NULL || head->cut.part == NULL);       /* invariant 3 */
    assert(head->cut.tenant_count <= head->tenant_count);         /* invariant 3 */

    for (uint32_t i = 0; i < head->tenant_count; i++)
        assert(head->tenants[i]->id == i); /* invariant 7 */
    const struct head_view *last = NULL;
    for (const struct head_view *v = head->views.oldest; v != NULL; v = v->newer) {
        assert(v->older == last);                                  /* invariant 1 */
        assert(last == NULL || !is_before(v->epoch, last->epoch)); /* invariant 1 */
        last = v;
    }
    assert(head->views.newest == last); /* invariant 1 */
    if (head->outage != HEAD_UNDO_DUE) gen_validate(head->active);
    if (head->frozen != NULL) gen_validate(head->frozen);
}

/* Void epochs that directly follow the durable one count as visible, so that the samples that come
 * next are at most two epochs ahead: see gen.h. */
uint64_t
head_visible_epoch(const struct head *head)
{
    if (head->outage == HEAD_UNDO_DUE) return head->durable_epoch;
    uint32_t slot = (head->void_count - 1) % VOIDS_REMEMBERED;
    bool voids_follow = head->void_count > 0 && head->voids[slot].first == head->durable_epoch + 1;
    return voids_follow ? head->voids[slot].last : head->durable_epoch;
}

void
head_epoch_moved(struct head *head)
{
    assert(lock_is_mine(&head->lock));
    uint64_t epoch = wal_durable_epoch(head->wal);
    assert(epoch >= head->durable_epoch); /* invariant 4 */
    lock_take(&head->epoch_lock);
    head->durable_epoch = epoch;
    lock_drop(&head->epoch_lock);
}

void
head_undo(struct head *head)
{
    assert(lock_is_mine(&head->lock));
    for (struct head_view *v = head->views.oldest; v != NULL; v = v->newer)
        if (v->epoch != (uint32_t)head->durable_epoch) lose(&head->views, v, VIEW_LOST_COMMIT);
    assert(wal_is_down(head->wal)); /* invariant 6 */
    bool undone = gen_undo(head->active, (uint32_t)head->durable_epoch) == OK;
    head->outage = undone ? HEAD_IS_SETTLED : HEAD_UNDO_DUE;
    tenants_undo(head, head->durable_epoch);
    uint64_t first = head->durable_epoch + 1, last = wal_filling(head->wal).epoch;
    assert(first <= last); /* invariant 5 */
    lock_take(&head->epoch_lock);
    uint32_t before = (head->void_count - 1) % VOIDS_REMEMBERED;
    assert(head->void_count == 0 || head->voids[before].first <= first); /* invariant 5 */
    uint32_t slot = head->void_count++ % VOIDS_REMEMBERED;
    head->voids[slot].first = first;
    head->voids[slot].last = last;
    lock_drop(&head->epoch_lock);
#ifdef LOCK_CHECK
    head_validate(head);
#endif
}

enum tsdb_epoch
head_epoch_state(struct head *head, uint64_t epoch)
{
    enum tsdb_epoch state = TSDB_EPOCH_DURABLE;
    lock_take(&head->epoch_lock);
    uint32_t known = head->void_count < VOIDS_REMEMBERED ? head->void_count : VOIDS_REMEMBERED;
    for (uint32_t i = 0; i < known; i++)
        if (epoch >= head->voids[i].first && epoch <= head->voids[i].last) state = TSDB_EPOCH_VOID;
    if (head->void_count > VOIDS_REMEMBERED &&
        epoch < head->voids[head->void_count % VOIDS_REMEMBERED].first)
        state = TSDB_EPOCH_VOID;
    if (state != TSDB_EPOCH_VOID && epoch > head->durable_epoch) state = TSDB_EPOCH_PENDING;
    lock_drop(&head->epoch_lock);
    return epoch == 0 ? TSDB_EPOCH_DURABLE : state;
}

/* --- generations ------------------------------------------------------------------------------ */

/*
 * Says whether the next generation goes on with the registry of the active one, which saves adding
 * its series again. It gets a new one if this one is large for its budget or a quarter of its
 * series are dead; or any is, while a limit refuses new series.
 */
static bool
registry_lasts(const struct head *head)
{
    const struct gen *gen = head->active;
    const struct registry *r = gen->registry;
    uint64_t limit = head->options->head_bytes_max;
    if (limit != 0 && registry_bytes(r) > limit / 4) return false;
    if (head->series_refused) return gen->series_count == r->series.count;
    return gen->series_count >= r->series.count / 4 * 3;
}

enum err
head_new_gen(struct head *head, struct registry *shared, struct gen **ret_gen)
{
    struct registry *registry = shared;
    struct gen *gen;
    enum err e = OK;
    if (shared != NULL)
        registry_ref(registry);
    else
        e = registry_new(&head->budget, head->next_ref, head->hash_seed, &registry);
    if (e == OK) e = gen_new(&head->budget, head->next_gen, registry, &head->views, &gen);
    registry_unref(registry);
    if (e) return e;
    assert(head->active == NULL || head->active->number < gen->number); /* invariant 2 */
    head->next_gen++;
    gen->begun_ns = env_monotonic_ns(head->env);
    *ret_gen = gen;
    return OK;
}

void
cut_free(struct head *head, struct cut *cut)
{
    mem_free(head->cut_budget, cut->ledgers, cut->tenant_count * sizeof *cut->ledgers);
    part_unref(cut->part);
    *cut = (struct cut){0};
}

static bool
is_beyond(const struct head *head, uint64_t bytes_max)
{
    uint64_t bytes = gen_bytes(head->active) + registry_bytes(head->active->registry);
    return bytes_max != 0 && bytes > bytes_max;
}

bool
head_is_large(const struct head *head)
{
    return is_beyond(head, head->options->head_bytes_max / 5 * 2);
}

bool
head_is_full(const struct head *head)
{
    return is_beyond(head, head->options->head_bytes_max);
}

enum err
head_cut_locked(struct head *head, uint64_t pos)
{
    assert(lock_is_mine(&head->lock));
    assert(head->frozen == NULL);          /* invariant 1 */
    assert(head->active->before == NULL);  /* invariant 1 */
    assert(head->cut.ledgers == NULL);     /* invariant 3 */
    assert(head->outage != HEAD_UNDO_DUE); /* invariant 6 */
    struct cut cut = {.pos = pos,
                      .segment = wal_filling(head->wal).segment,
                      .epoch = head->durable_epoch,
                      .metadata = head->metadata_changed};
    struct wal_stats log;
    wal_stats(head->wal, &log);
    memcpy(cut.log_totals, log.totals, sizeof cut.log_totals);
    cut.tenant_count = head->tenant_count;
    cut.ledgers = mem_alloc(head->cut_budget, head->tenant_count * sizeof *cut.ledgers);
    if (cut.ledgers == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < head->tenant_count; i++)
        cut.ledgers[i] = head->tenants[i]->total;
    struct registry *registry = head->active->registry;
    head->next_ref = registry->ref_base + registry->series.count;
    struct gen *next;
    enum err e = head_new_gen(head, registry_lasts(head) ? registry : NULL, &next);
    if (e) {
        cut_free(head, &cut);
        return e;
    }
    next->begin_pos = cut.pos;
    next->before = head->active;
    head->frozen = head->active;
    head->active = next;
    head->cut = cut;
    head->cut_wanted = head->parts_wanted = false;
    head->metadata_changed = head->metadata_due = false;
    head->series_refused = false;
#ifdef LOCK_CHECK
    head_validate(head);
#endif
    return OK;
}
