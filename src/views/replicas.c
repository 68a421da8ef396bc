/*
 * replicas.c - see stack.h. Names, values and metadata are forwarded, but for those of replica
 * labels. Sets of labels and exemplars are gathered and sorted, since their order differs without
 * these labels.
 *
 * Without these labels the order differs, and all series of one replica may come between a series
 * and that of the next replica, if the label comes early. To keep memory small, a first pass over
 * the labels finds the combinations of values of replica labels. Then the view below is asked once
 * for each of them: a strand. Its series come in the order of the answer, so strands are merged as
 * they are read, with one batch of each.
 *
 * Some series are late: in a strand they would come after one that is greater without the labels.
 * Take A, which is the beginning of B, whose next label comes before a replica label:
 *
 *     {job="x", n="1", replica="a"}  {job="x", replica="a"}   ->   {job="x"}  {job="x", n="1"}
 *
 * The first pass keeps the labels of such series, which are rare, and of those whose combination is
 * one too many. Each of them is selected when its turn comes.
 *
 * If the view below is not of one moment, new series may be in the answer.
 *
 * Invariants:
 *
 * 1. Names of replica labels are in order, each once, at least one.
 * 2. A view has a user for each of its sets.
 * 3. Combinations are at most STRANDS_MAX, in the order of their labels, as strands are.
 * 4. Keys are in order: by the labels without the replica's, then by the replica's.
 * 5. The present series has at least one strand that is READ, and `merge` has exactly those, in the
 *    order of their replica labels.
 */
#include "views/stack.h"

#include <assert.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/text/texts.h"
#include "model/labels.h"
#include "model/select.h"
#include "views/gather.h"
#include "views/replica_merge.h"

enum { REPLICAS_LABEL_BYTES_MAX = 64 * 1024 * 1024 };

struct replicas_view {
    struct view view; /* first: callers get it */
    struct budget *budget;
    struct arena arena;                     /* has the names */
    struct bytes names[REPLICA_LABELS_MAX]; /* in order, each once */
    uint32_t name_count;
};

enum { GATHERED_AT_ONCE = 4096 }; /* sets of labels, before equal ones become one */

static bool
is_replica_label(const struct replicas_view *v, struct bytes name)
{
    for (uint32_t i = 0; i < v->name_count; i++)
        if (bytes_equal(v->names[i], name)) return true;
    return false;
}

/* Splits the labels of a series into those of its replica (`dropped` may be NULL) and the rest,
 * both as labels. Lack of memory shows in the buffers. Both labels and names are in order. Bytes
 * between two dropped labels are copied as they are. */
static void
replicas_split(const struct replicas_view *v, struct bytes labels, struct buf *rest,
               struct buf *dropped)
{
    struct cursor c = cursor_of(labels);
    const uint8_t *from = c.at, *at = c.at;
    struct label label;
    uint32_t next = 0;
    buf_clear(rest);
    if (dropped != NULL) buf_clear(dropped);
    for (; next < v->name_count && labels_next(&c, &label); at = c.at) {
        int order = bytes_compare(v->names[next], label.name);
        while (order < 0 && ++next < v->name_count)
            order = bytes_compare(v->names[next], label.name);
        if (order != 0 || next == v->name_count) continue;
        buf_put(rest, from, (size_t)(at - from));
        if (dropped != NULL) buf_put(dropped, at, (size_t)(c.at - at));
        from = c.at;
    }
    buf_put(rest, from, labels.size - (size_t)(from - labels.at));
}

/* --- series with their samples ---------------------------------------------------------------- */

enum { STRANDS_MAX = 64 };

/* The control of a question that is asked several times below. */
struct replicas_control {
    struct query_control below;  /* counts reads first */
    struct query_control *above; /* the question's; NULL: unlimited */
};

/* A series that is selected alone, identified by its labels. */
struct replica_key {
    struct bytes labels;
    struct bytes rest;
    struct bytes dropped;
};

/* One of the sets that are merged: the series of a combination, or a late one. */
struct strand {
    struct matched_set all;
    struct bytes dropped; /* the values of all replica labels */
    struct buf labels;    /* labels of its series, or of the last one, without `dropped` */
    enum {
        STRAND_UNREAD,  /* its first series is to be read */
        STRAND_WAITING, /* its series is a later one of the answer */
        STRAND_READ,    /* its series is the present one of the answer */
        STRAND_ENDED,
    } state;
};

struct replicas_set {
    struct series_set set; /* first: callers get it */
    struct replicas_view *view;
    struct budget *budget;
    struct arena arena; /* has labels, and the copies of hints */
    struct replicas_control control;
    struct query_request request; /* template of requests below */
    struct query_hints wanted;    /* the wanted shard, and from_labels */
    struct strand *strands;       /* one for each combination */
    uint32_t strand_count, strand_capacity;
    struct replica_key *keys;
    size_t key_count, key_capacity, next_key;
    struct strand *late; /* of the present series */
    uint32_t late_count, late_capacity;
    struct buf rest, dropped;   /* of the series that is looked at */
    struct replica_merge merge; /* merge of the current series */
    struct series_cost ended;   /* spent by sets that were freed */
    uint64_t series_seen;       /* series that were not skipped */
    struct warnings warnings;   /* of sets that were freed */
};

/* --- accounting ------------------------------------------------------------------------------- */

static bool
must_end(void *context)
{
    struct why why;
    return query_control_check(context, &why) != OK;
}

/* `limited`: all limits of the question apply to this pass alone. */
static void
control_begin(struct replicas_control *c, struct query_control *above, bool limited)
{
    c->above = above;
    if (above == NULL) return;
    struct query_control *below = &c->below;
    below->env = above->env;
    below->deadline_ns = above->deadline_ns;
    below->all_canceled = &above->canceled;
    if (above->env != NULL) { /* also checks the client and the deadline now and then */
        below->is_gone = must_end;
        below->gone_context = above;
    }
    below->budget = above->budget;
    below->names = above->names;
    if (limited) {
        below->series_max = above->series_max;
        below->samples_max = above->samples_max;
        below->bytes_max = above->bytes_max;
    } else {
        below->left_out = above->left_out;
    }
}

/* Returns the control for requests below; may be NULL. */
static struct query_control *
control_below(struct replicas_control *c)
{
    return c->above == NULL ? NULL : &c->below;
}

/* Translates the result of a request: if it was canceled, the control above has the reason. */
static enum err
control_result(struct replicas_control *c, enum err e, struct why *why)
{
    enum err ended = e == ERR_CANCELED ? query_control_check(c->above, why) : OK;
    return ended ? ended : e;
}

/* Passes the counts of reads on to the question's control. `e`: result of a call below. */
static enum err
account(struct replicas_set *s, enum err e, struct why *why)
{
    struct query_control *below = &s->control.below, *above = s->control.above;
    if (above == NULL) return e;
    thinned_pass(below, above);
    uint64_t bytes = atomic_exchange_explicit(&below->bytes_seen, 0, memory_order_relaxed);
    uint64_t samples = atomic_exchange_explicit(&below->samples_seen, 0, memory_order_relaxed);
    if (e) return control_result(&s->control, e, why);
    if (bytes > 0) e = query_control_add_bytes(above, bytes, why);
    return e || samples == 0 ? e : query_control_add_samples(above, samples, why);
}

/* Counts a series that is not skipped. */
static enum err
account_series(struct replicas_set *s, struct why *why)
{
    s->series_seen++;
    return query_control_add_series(s->control.above, why);
}

/* --- the first pass --------------------------------------------------------------------------- */

/* Splits the labels of a series. *ret_wanted: it is in the wanted shard, and not before
 * from_labels. */
static enum err
split(struct replicas_set *s, struct bytes labels, bool *ret_wanted, struct why *why)
{
    const struct bytes from = s->wanted.from_labels;
    replicas_split(s->view, labels, &s->rest, &s->dropped);
    if (buf_error(&s->rest) || buf_error(&s->dropped)) return views_no_memory(why);
    *ret_wanted = query_hints_want(&s->wanted, buf_bytes(&s->rest)) &&
                  (from.size == 0 || labels_compare(buf_bytes(&s->rest), from) >= 0);
    return OK;
}

/* Returns the strand of a combination. NULL: there are too many, or there is no memory. */
static struct strand *
find_strand(struct replicas_set *s, struct bytes dropped, bool *ret_lost)
{
    for (uint32_t i = 0; i < s->strand_count; i++)
        if (bytes_equal(s->strands[i].dropped, dropped)) return &s->strands[i];
    assert(s->strand_count <= STRANDS_MAX); /* invariant 3 */
    if (s->strand_count == STRANDS_MAX) return NULL;
    struct bytes copy = dropped.size == 0 ? bytes_of("", 0) : arena_copy(&s->arena, dropped);
    *ret_lost = copy.at == NULL ||
                !array_reserve(s->budget, &s->strands, &s->strand_capacity, s->strand_count + 1);
    if (*ret_lost) return NULL;
    struct strand *st = &s->strands[s->strand_count++];
    *st = (struct strand){.dropped = copy};
    buf_init(&st->labels, s->budget, REPLICAS_LABEL_BYTES_MAX);
    return st;
}

/* Adds a series to its combination, or to the keys. */
static enum err
add_series(struct replicas_set *s, struct bytes labels)
{
    bool lost = false;
    struct bytes rest = buf_bytes(&s->rest), dropped = buf_bytes(&s->dropped);
    struct strand *st = find_strand(s, dropped, &lost);
    if (lost) return ERR_NOMEM;
    if (st != NULL &&
        (st->state == STRAND_UNREAD || labels_compare(rest, buf_bytes(&st->labels)) > 0)) {
        st->state = STRAND_WAITING;
        buf_clear(&st->labels);
        buf_put_bytes(&st->labels, rest);
        return buf_error(&st->labels);
    }
    if (!array_reserve(s->budget, &s->keys, &s->key_capacity, s->key_count + 1)) return ERR_NOMEM;
    struct replica_key *key = &s->keys[s->key_count];
    *key = (struct replica_key){arena_copy(&s->arena, labels), arena_copy(&s->arena, rest),
                                arena_copy(&s->arena, dropped)};
    if (key->labels.at == NULL || key->rest.at == NULL || key->dropped.at == NULL) return ERR_NOMEM;
    s->key_count++;
    return OK;
}

static int
compare_strands(const void *a, const void *b)
{
    return labels_compare(((const struct strand *)a)->dropped, ((const struct strand *)b)->dropped);
}

static int
compare_keys(const void *a, const void *b)
{
    const struct replica_key *left = a, *right = b;
    int order = labels_compare(left->rest, right->rest);
    return order != 0 ? order : labels_compare(left->dropped, right->dropped);
}

/* Reads the labels of all wanted series; makes the strands, without sets, and the keys. */
static enum err
scan(struct replicas_set *s, const struct query_request *below, struct why *why)
{
    struct replicas_control control = {.above = NULL};
    struct query_request request = *below;
    struct series_set *set = NULL;
    control_begin(&control, request.control, true);
    request.control = control_below(&control);
    request.kind = SELECT_LABELS;
    enum err e = view_select(s->view->view.below, &request, &set, why);
    while (e == OK) {
        struct bytes labels;
        bool wanted;
        e = series_set_next(set, &labels, why);
        if (e || labels.at == NULL) break;
        e = split(s, labels, &wanted, why);
        if (e == OK && wanted && add_series(s, labels)) e = views_no_memory(why);
    }
    if (e == OK) e = views_take_warnings(&s->warnings, set, why);
    series_set_free(set);
    if (s->strand_count > 1)
        qsort(s->strands, s->strand_count, sizeof *s->strands, compare_strands); /* invariant 3 */
    if (s->key_count > 1) qsort(s->keys, s->key_count, sizeof *s->keys, compare_keys);
    for (uint32_t i = 0; i < s->strand_count; i++) {
        s->strands[i].state = STRAND_UNREAD;
        buf_clear(&s->strands[i].labels);
    }
    return control_result(&control, e, why);
}

/* --- strands ---------------------------------------------------------------------------------- */

/* Drops strands, or late series. */
static void
drop_strands(struct replicas_set *s, struct strand *list, uint32_t *count)
{
    while (*count > 0) {
        struct strand *st = &list[--*count];
        views_add_spent(&s->ended, st->all.set);
        matched_set_fini(&st->all, s->budget);
        buf_fini(&st->labels);
    }
}

/* Does the same after their last series, and keeps their warnings. */
static enum err
end_strands(struct replicas_set *s, struct strand *list, uint32_t *count, struct why *why)
{
    enum err e = OK;
    for (uint32_t i = 0; i < *count && e == OK; i++)
        e = views_take_warnings(&s->warnings, list[i].all.set, why);
    drop_strands(s, list, count);
    return e;
}

/* Says whether a series of a strand is late. ERR_AGAIN: it was not when the first pass saw it. */
static enum err
is_late(const struct replicas_set *s, const struct strand *st, bool *ret, struct why *why)
{
    const struct replica_key key = {.rest = buf_bytes(&s->rest), .dropped = buf_bytes(&s->dropped)};
    *ret = st->state != STRAND_UNREAD && labels_compare(key.rest, buf_bytes(&st->labels)) <= 0;
    if (!*ret || bsearch(&key, s->keys, s->key_count, sizeof key, compare_keys) != NULL) return OK;
    return why_set(why, ERR_AGAIN, "series of a source changed while they were read: try again");
}

/* Reads a strand's next series; they are in the order of the answer. */
static enum err
strand_advance(struct replicas_set *s, struct strand *st, struct why *why)
{
    for (;;) {
        struct bytes labels;
        bool wanted, late = false;
        enum err e = account(s, series_set_next(st->all.set, &labels, why), why);
        if (e == OK && labels.at == NULL) {
            st->state = STRAND_ENDED;
            return OK;
        }
        if (e == OK) e = split(s, labels, &wanted, why);
        if (e) return e;
        if (!wanted || !bytes_equal(buf_bytes(&s->dropped), st->dropped)) continue;
        e = is_late(s, st, &late, why);
        if (e) return e;
        if (late) continue;
        buf_clear(&st->labels);
        buf_put_bytes(&st->labels, buf_bytes(&s->rest));
        st->state = STRAND_WAITING;
        return buf_error(&st->labels) ? views_no_memory(why) : account_series(s, why);
    }
}

/* Copies the request's sets into `arena`, each with the matchers of `more`, too. */
static enum err
extend_sets(const struct query_request *request, const struct matched_set *more,
            struct arena *arena, struct matcher_set **ret)
{
    uint32_t count = request->set_count == 0 ? 1 : request->set_count;
    struct matcher_set *sets = arena_new(arena, count * sizeof *sets);
    if (sets == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        struct matcher_set from = request->set_count == 0 ? sets[i] : request->sets[i];
        struct matcher **all = arena_alloc(arena, (from.count + more->matcher_count) * sizeof *all);
        if (all == NULL) return ERR_NOMEM;
        if (from.count > 0) memcpy(all, from.matchers, from.count * sizeof *all);
        memcpy(all + from.count, more->matchers, more->matcher_count * sizeof *all);
        sets[i] = (struct matcher_set){all, from.count + more->matcher_count};
    }
    *ret = sets;
    return OK;
}

static enum err
open_strand(struct replicas_set *s, struct strand *st, struct why *why)
{
    struct query_request request = s->request;
    struct matcher_set *sets = NULL;
    struct arena arena;
    enum err e = OK;
    bool alone = s->strand_count == 1 && s->key_count == 0; /* matchers would select all */
    arena_init(&arena, s->budget, 0, 0);
    for (uint32_t i = 0; i < s->view->name_count && e == OK && !alone; i++) {
        struct label label = {s->view->names[i], labels_get(st->dropped, s->view->names[i])};
        e = matched_set_add(&st->all, label, s->budget, why);
    }
    if (e == OK && st->all.matcher_count > 0) {
        e = extend_sets(&s->request, &st->all, &arena, &sets);
        if (e) e = views_no_memory(why);
        request.sets = sets;
        request.set_count = request.set_count == 0 ? 1 : request.set_count;
    }
    if (e == OK) e = account(s, view_select(s->view->view.below, &request, &st->all.set, why), why);
    arena_fini(&arena);
    return e;
}

/* --- late series ------------------------------------------------------------------------------ */

/* Only damage can hide the series, with a warning. */
static enum err
open_key(struct replicas_set *s, const struct replica_key *key, struct why *why)
{
    if (!array_reserve(s->budget, &s->late, &s->late_capacity, s->late_count + 1))
        return views_no_memory(why);
    struct strand *st = &s->late[s->late_count++];
    bool found = false;
    *st = (struct strand){.dropped = key->dropped};
    enum err e = matched_set_find(&st->all, s->view->view.below, &s->request, key->labels,
                                  s->budget, &found, why);
    e = account(s, e, why);
    if (e || !found) return e;
    st->state = STRAND_READ;
    return account_series(s, why);
}

/* --- the set ---------------------------------------------------------------------------------- */

/* Advances the strands, and finds the labels of the next series; `at` NULL after the last. */
static enum err
find_least(struct replicas_set *s, struct bytes *ret_labels, struct why *why)
{
    bool any = s->next_key < s->key_count;
    struct bytes least = any ? s->keys[s->next_key].rest : bytes_of("", 0);
    for (uint32_t i = 0; i < s->strand_count; i++) {
        struct strand *st = &s->strands[i];
        bool is_past = st->state == STRAND_READ || st->state == STRAND_UNREAD;
        enum err e = is_past ? strand_advance(s, st, why) : OK;
        if (e) return e;
        if (st->state == STRAND_ENDED) continue;
        if (!any || labels_compare(buf_bytes(&st->labels), least) < 0)
            least = buf_bytes(&st->labels);
        any = true;
    }
    if (least.size == 0) least = bytes_of("", 0); /* a series without labels */
    *ret_labels = any ? least : bytes_of(NULL, 0);
    return OK;
}

/* Opens the late ones of a series, and merges them with those of the strands: invariant 5. */
static enum err
replicas_begin_series(struct replicas_set *s, struct bytes labels, struct why *why)
{
    while (s->next_key < s->key_count && bytes_equal(s->keys[s->next_key].rest, labels)) {
        enum err e = open_key(s, &s->keys[s->next_key++], why);
        if (e) return e;
    }
    for (uint32_t i = 0, k = 0; i < s->strand_count || k < s->late_count;) {
        bool is_late = k < s->late_count;
        if (is_late && i < s->strand_count)
            is_late = labels_compare(s->late[k].dropped, s->strands[i].dropped) < 0;
        struct strand *st = is_late ? &s->late[k++] : &s->strands[i++];
        if (st->state == STRAND_WAITING && bytes_equal(buf_bytes(&st->labels), labels))
            st->state = STRAND_READ;
        if (st->state == STRAND_READ && replica_merge_add(&s->merge, st))
            return views_no_memory(why);
    }
    return OK;
}

static enum err
replicas_set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct replicas_set *s = (struct replicas_set *)set;
    enum err e;
    replica_merge_clear(&s->merge);
    do { /* damage may hide a late series */
        e = end_strands(s, s->late, &s->late_count, why);
        if (e == OK) e = find_least(s, ret_labels, why);
        if (e == OK && ret_labels->at != NULL) e = replicas_begin_series(s, *ret_labels, why);
    } while (e == OK && ret_labels->at != NULL && s->merge.count == 0);
    if (e == OK && ret_labels->at == NULL) e = end_strands(s, s->strands, &s->strand_count, why);
    if (e) *ret_labels = bytes_of(NULL, 0);
    return e;
}

static enum err
strand_batch(void *from, struct sample_batch *ret_batch, struct why *why)
{
    return series_set_batch(((struct strand *)from)->all.set, ret_batch, why);
}

static enum err
replicas_set_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    struct replicas_set *s = (struct replicas_set *)set;
    return account(s, replica_merge_batch(&s->merge, ret_batch, why), why);
}

static const char *
replicas_set_warning(struct series_set *set, uint32_t index)
{
    struct replicas_set *s = (struct replicas_set *)set;
    const char *sentence;
    for (uint32_t k = 0; (sentence = warnings_at(&s->warnings, k)) != NULL; k++)
        if (index-- == 0) return sentence;
    for (uint32_t i = 0; i < s->strand_count && sentence == NULL; i++)
        sentence = views_warning(s->strands[i].all.set, &index);
    for (uint32_t i = 0; i < s->late_count && sentence == NULL; i++)
        sentence = views_warning(s->late[i].all.set, &index);
    return sentence;
}

/* Estimates samples by the largest replica, since mostly one replica is read. */
static struct series_cost
replicas_set_cost(const struct series_set *set)
{
    const struct replicas_set *s = (const struct replicas_set *)set;
    struct series_cost all = {.series = s->key_count};
    for (uint32_t i = 0; i < s->strand_count; i++) {
        struct series_cost one = series_set_cost(s->strands[i].all.set);
        all.series += one.series;
        if (one.samples > all.samples) all.samples = one.samples;
        if (one.blocks > all.blocks) all.blocks = one.blocks;
        if (one.bytes > all.bytes) all.bytes = one.bytes;
        if (one.rollups > all.rollups) all.rollups = one.rollups;
    }
    return all;
}

static struct series_cost
replicas_set_spent(const struct series_set *set)
{
    const struct replicas_set *s = (const struct replicas_set *)set;
    struct series_cost all = s->ended;
    for (uint32_t i = 0; i < s->strand_count; i++)
        views_add_spent(&all, s->strands[i].all.set);
    for (uint32_t i = 0; i < s->late_count; i++)
        views_add_spent(&all, s->late[i].all.set);
    all.series = s->series_seen;
    return all;
}

static void
replicas_set_free(struct series_set *set)
{
    struct replicas_set *s = (struct replicas_set *)set;
    drop_strands(s, s->late, &s->late_count);
    drop_strands(s, s->strands, &s->strand_count);
    array_free(s->budget, s->strands, s->strand_capacity);
    array_free(s->budget, s->late, s->late_capacity);
    array_free(s->budget, s->keys, s->key_capacity);
    buf_fini(&s->rest);
    buf_fini(&s->dropped);
    replica_merge_fini(&s->merge);
    warnings_fini(&s->warnings);
    arena_fini(&s->arena);
    view_free(&s->view->view);
    mem_free(s->budget, s, sizeof *s);
}

/* --- requests --------------------------------------------------------------------------------- */

/* Makes the view below select the same shard, by passing the labels that do not count. */
static void
set_shard_below(const struct replicas_view *v, struct query_hints *h)
{
    if (h->shard_without_count > 0) h->shard_count = 0;
    h->shard_without = v->names;
    h->shard_without_count = v->name_count;
}

/* Runs the first pass, and makes the template of requests below, where labels differ. If there is
 * only one strand, its series are those of the answer, sample by sample. */
static enum err
begin(struct replicas_set *s, const struct query_request *request, struct why *why)
{
    struct query_request below = *request;
    if (below.kind == SELECT_CHUNKS) below.kind = SELECT_SAMPLES;
    below.hints.limit = 0;
    below.hints.summaries = 0;
    below.hints.from_labels = bytes_of(NULL, 0);
    set_shard_below(s->view, &below.hints);
    s->wanted = request->hints;
    enum err e = scan(s, &below, why);
    /* Copies values that are used after the call. */
    bool lost = query_hints_keep_shard(&request->hints, &s->arena, &s->wanted) != OK;
    s->wanted.from_labels = arena_copy(&s->arena, request->hints.from_labels);
    below.tenant = arena_copy(&s->arena, request->tenant);
    lost |= below.tenant.at == NULL || s->wanted.from_labels.at == NULL;
    below.control = control_below(&s->control);
    if (s->key_count == 0 && s->strand_count == 1) {
        below.kind = request->kind;
        below.hints.summaries = request->hints.summaries;
    }
    s->request = below;
    return e == OK && lost ? views_no_memory(why) : e;
}

/* Says whether no series has a replica label: the first pass has seen all of them, if the view is
 * of one moment, as views with marks are. */
static bool
is_as_below(const struct replicas_set *s, const struct query_request *request)
{
    struct view_mark mark;
    if (!view_has_mark(s->view->view.below, &mark)) return false;
    bool of_all = request->hints.shard_count < 2 || s->request.hints.shard_count > 1;
    return of_all && request->hints.from_labels.size == 0 && s->key_count == 0 &&
           s->strand_count == 1 && s->strands[0].dropped.size == 0;
}

static enum err
replicas_select(struct view *view, const struct query_request *request, struct series_set **ret_set,
                struct why *why)
{
    static const struct series_set_ops ops = {.next = replicas_set_next,
                                              .batch = replicas_set_batch,
                                              .warning = replicas_set_warning,
                                              .cost = replicas_set_cost,
                                              .spent = replicas_set_spent,
                                              .free = replicas_set_free};
    struct replicas_view *v = (struct replicas_view *)view;
    if (request->unmerged) return view_select(view->below, request, ret_set, why);
    struct budget *budget = views_budget(request, v->budget);
    struct replicas_set *s = mem_new(budget, sizeof *s);
    if (s == NULL) return views_no_memory(why);
    s->set.ops = &ops;
    s->view = v;
    view_hold(view); /* invariant 2 */
    s->budget = budget;
    arena_init(&s->arena, budget, 0, 0);
    buf_init(&s->rest, budget, REPLICAS_LABEL_BYTES_MAX);
    buf_init(&s->dropped, budget, REPLICAS_LABEL_BYTES_MAX);
    warnings_init(&s->warnings, budget);
    control_begin(&s->control, request->control, false);
    replica_merge_init(&s->merge, strand_batch, request, budget);
    enum err e = begin(s, request, why);
    bool as_below = e == OK && is_as_below(s, request);
    for (uint32_t i = 0; i < s->strand_count && e == OK && !as_below; i++)
        e = open_strand(s, &s->strands[i], why);
    if (e == OK && !as_below) {
        *ret_set = &s->set;
        return OK;
    }
    replicas_set_free(&s->set);
    if (e) return e;
    struct query_request below = *request;
    set_shard_below(v, &below.hints);
    return view_select(view->below, &below, ret_set, why);
}

/* --- texts ------------------------------------------------------------------------------------ */

struct replicas_texts {
    struct text_gathering all; /* first */
    const struct replicas_view *view;
};

static enum err
forward_name(void *context, struct bytes name)
{
    const struct replicas_texts *x = context;
    return is_replica_label(x->view, name) ? OK : x->all.to->each(x->all.to->context, name);
}

static enum err
replicas_gather_series(void *context, struct bytes labels)
{
    struct replicas_texts *x = context;
    struct text_gathering *all = &x->all;
    replicas_split(x->view, labels, &all->labels, NULL);
    if (buf_error(&all->labels)) return ERR_NOMEM;
    enum err e = text_gathering_add(all, buf_bytes(&all->labels));
    size_t unsorted = all->count - all->sorted_count;
    if (unsorted > GATHERED_AT_ONCE && unsorted > all->sorted_count) text_gathering_sort(all);
    return e;
}

/* Asks without the limit: without replica labels the first series may be others. */
static enum err
series(const struct replicas_view *v, const struct query_request *request,
       const struct text_sink *to, struct why *why)
{
    struct replicas_texts x = {.view = v};
    struct text_sink here = {replicas_gather_series, &x, text_gathering_warn};
    struct query_request below = *request;
    below.hints.limit = 0;
    text_gathering_begin(&x.all, true, request->hints.limit, to, views_budget(request, v->budget));
    enum err e = view_series(v->view.below, &below, &here, why);
    text_gathering_sort(&x.all);
    return text_gathering_end(&x.all, e, why);
}

static enum err
replicas_look_up(struct view *view, enum lookup_kind kind, const struct query_request *request,
                 struct bytes name, const struct text_sink *to, struct why *why)
{
    const struct replicas_view *v = (const struct replicas_view *)view;
    if (kind == LOOKUP_NAMES) {
        struct replicas_texts x = {.view = v, .all.to = to};
        struct text_sink here = {forward_name, &x, text_gathering_warn};
        struct query_request below = *request;
        uint64_t *limit = &below.hints.limit;
        if (*limit > 0) *limit = *limit > UINT64_MAX - v->name_count ? 0 : *limit + v->name_count;
        return view_label_names(v->view.below, &below, &here, why);
    }
    if (kind == LOOKUP_SERIES) return series(v, request, to, why);
    return is_replica_label(v, name) ? OK
                                     : view_label_values(v->view.below, request, name, to, why);
}

/* --- exemplars ------------------------------------------------------------------- */

struct replicas_exemplars {
    struct exemplar_gathering all; /* first */
    const struct replicas_view *view;
};

static enum err
gather_exemplar(void *context, const struct exemplar *exemplar)
{
    struct replicas_exemplars *x = context;
    struct exemplar of_all = *exemplar;
    replicas_split(x->view, exemplar->series_labels, &x->all.labels, NULL);
    of_all.series_labels = buf_bytes(&x->all.labels);
    return buf_error(&x->all.labels) ? ERR_NOMEM : exemplar_gathering_add(&x->all, &of_all);
}

static enum err
exemplars(struct view *view, const struct query_request *request, const struct exemplar_sink *to,
          struct why *why)
{
    const struct replicas_view *v = (const struct replicas_view *)view;
    struct replicas_exemplars x = {.view = v};
    struct exemplar_sink here = {gather_exemplar, &x, exemplar_gathering_warn};
    exemplar_gathering_begin(&x.all, to, views_budget(request, v->budget));
    enum err e = view_exemplars(v->view.below, request, &here, why);
    return exemplar_gathering_end(&x.all, e, true, why);
}

/* --- the rest of the view --------------------------------------------------------------------- */

/* The choice of samples depends on some that are newer. */
static int64_t
replicas_same_before(const struct view *view, struct bytes tenant, const struct view_mark *before)
{
    const struct replicas_view *v = (const struct replicas_view *)view;
    int64_t same_ms = view_same_before(v->view.below, tenant, before);
    if (same_ms == INT64_MAX || same_ms < INT64_MIN + REPLICA_AHEAD_MS) return same_ms;
    return same_ms - REPLICA_AHEAD_MS;
}

/* Surveys below. It is not exact, since blocks of replicas that are not current may be left unread.
 */
static enum err
replicas_survey(struct view *view, const struct query_request *request, struct series_survey *ret,
                struct why *why)
{
    const struct replicas_view *v = (const struct replicas_view *)view;
    bool known;
    enum err e = view_survey(v->view.below, request, ret, &known, why);
    ret->exact = false;
    return e;
}

static void
replicas_free_view(struct view *view)
{
    struct replicas_view *v = (struct replicas_view *)view;
    view_free(view->below);
    arena_fini(&v->arena);
    mem_free(v->budget, v, sizeof *v);
}

uint32_t
replica_labels_of(const char *text, struct bytes ret_names[REPLICA_LABELS_MAX])
{
    uint32_t count = 0;
    while (*text != '\0' && count < REPLICA_LABELS_MAX) {
        size_t size = strcspn(text, ",");
        ret_names[count++] = bytes_of(text, size);
        text += size + (text[size] == ',');
    }
    return count;
}

static int
compare_names(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

/* Copies the names: invariant 1. */
static enum err
take_names(struct replicas_view *v, const struct bytes *names, uint32_t count, struct why *why)
{
    for (uint32_t i = 0; i < count; i++) {
        if (names[i].size == 0 || is_replica_label(v, names[i])) continue;
        if (v->name_count == REPLICA_LABELS_MAX) {
            return why_set(why, ERR_INPUT, "at most %d replica labels are allowed",
                           REPLICA_LABELS_MAX);
        }
        struct bytes copy = arena_copy(&v->arena, names[i]);
        if (copy.at == NULL) return views_no_memory(why);
        v->names[v->name_count++] = copy;
    }
    qsort(v->names, v->name_count, sizeof *v->names, compare_names);
    for (uint32_t i = 1; i < v->name_count; i++)
        assert(bytes_compare(v->names[i - 1], v->names[i]) < 0); /* invariant 1 */
    return OK;
}

enum err
replicas_view_new(struct view *inner, const struct bytes *names, uint32_t count,
                  struct budget *budget, struct view **ret_view, struct why *why)
{
    static const struct view_ops ops = {
        .select = replicas_select,
        .exemplars = exemplars,
        .look_up = replicas_look_up,
        .same_before = replicas_same_before,
        .survey = replicas_survey,
        .free = replicas_free_view,
    };
    struct replicas_view *v = mem_new(budget, sizeof *v);
    if (v == NULL) {
        view_free(inner);
        return views_no_memory(why);
    }
    v->view.ops = &ops;
    v->view.below = inner;
    v->budget = budget;
    arena_init(&v->arena, budget, 0, 0);
    enum err e = take_names(v, names, count, why);
    if (e == OK && v->name_count > 0) {
        *ret_view = &v->view;
        return OK;
    }
    if (e == OK) v->view.below = NULL; /* the caller owns `inner` again */
    if (e == OK) *ret_view = inner;
    view_free(&v->view);
    return e;
}
