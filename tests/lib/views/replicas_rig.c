/*
 * replicas_rig.c - see replicas_rig.h.
 *
 * The view below the replicas answers from an array sorted by labels. Its sets give batches of
 * random size and check that the matchers of the query outlive them. find_wanted() computes the
 * merged order the plain way: it splits labels into those of the replica and the rest, and sorts.
 */
#include "lib/views/replicas_rig.h"

#include "model/select.h"

/* --- a view of what it was given -------------------------------------------------------------- */

struct given_set {
    struct series_set set; /* first */
    struct given *of;
    const struct given_series *found[SERIES_MAX];
    unsigned count, next;
    uint32_t sample;
    bool labels_only;
    struct query_control *control;
    struct asked_with asked;
    struct series_cost spent;
    int64_t times_ms[BATCH_MAX];
    uint64_t bits[BATCH_MAX];
    uint8_t labels[LABELS_BYTES];
};

static bool
is_selected(struct bytes labels, const struct query_request *r)
{
    for (uint32_t i = 0; i < r->set_count; i++) {
        uint32_t k = 0;
        while (k < r->sets[i].count &&
               matcher_matches(r->sets[i].matchers[k],
                               labels_get(labels, matcher_name(r->sets[i].matchers[k]))))
            k++;
        if (k == r->sets[i].count) return true;
    }
    return r->set_count == 0;
}

static bool
is_hinted_at(struct bytes labels, const struct query_hints *h)
{
    return query_hints_want(h, labels) &&
           (h->from_labels.size == 0 || labels_compare(labels, h->from_labels) >= 0);
}

enum err
given_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct given_set *s = (struct given_set *)set;
    enum err e = query_control_check(s->control, why);
    if (e) return e;
    asked_with_check(&s->asked);
    *ret_labels = bytes_of(NULL, 0);
    s->sample = 0;
    if (s->next == s->count) return OK;
    const struct given_series *x = s->found[s->next++];
    /* the caller's view of them ends with the next call */
    memset(s->labels, 0x55, sizeof s->labels);
    memcpy(s->labels, x->labels.at, x->labels.size);
    *ret_labels = bytes_of(s->labels, x->labels.size);
    s->spent.series++;
    return query_control_add_series(s->control, why);
}

static enum err
given_batch(struct series_set *set, struct sample_batch *ret, struct why *why)
{
    struct given_set *s = (struct given_set *)set;
    const struct given_series *x = s->found[s->next - 1];
    uint32_t n = 0, most = 1 + (uint32_t)rng_below(&s->of->rng, BATCH_MAX);
    assert_false(s->labels_only);
    for (; n < most && s->sample < x->count; n++, s->sample++) {
        s->times_ms[n] = x->times_ms[s->sample];
        s->bits[n] = x->bits[s->sample];
    }
    *ret = (struct sample_batch){.count = n, .times_ms = s->times_ms, .value_bits = s->bits};
    s->spent.samples += n;
    if (s->control != NULL) thinned_note(s->control, s->of->thinned_to_ms);
    enum err e = query_control_add_bytes(s->control, 2 * n, why);
    return e ? e : query_control_add_samples(s->control, n, why);
}

static const char *
given_warning(struct series_set *set, uint32_t index)
{
    return index == 0 ? ((struct given_set *)set)->of->warning : NULL;
}

static struct series_cost
given_spent(const struct series_set *set)
{
    return ((const struct given_set *)set)->spent;
}

static void
given_set_free(struct series_set *set)
{
    asked_with_check(&((struct given_set *)set)->asked);
    ((struct given_set *)set)->of->sets--;
    free(set);
}

static enum err
given_select(struct view *view, const struct query_request *r, struct series_set **ret,
             struct why *why)
{
    static const struct series_set_ops ops = {.next = given_next,
                                              .batch = given_batch,
                                              .warning = given_warning,
                                              .spent = given_spent,
                                              .free = given_set_free};
    struct given *g = (struct given *)view;
    assert_false(g->freed);
    assert_true(bytes_equal_text(r->tenant, "t"));
    bool first = g->selects == 0, hides = g->hides_after > 0 && g->selects >= g->hides_after;
    if (g->error && g->selects++ >= g->fails) return why_set(why, g->error, "as told");
    g->selects += g->error == OK;
    struct given_set *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->set.ops = &ops;
    s->of = g;
    s->control = r->control;
    s->labels_only = r->kind == SELECT_LABELS;
    asked_with_keep(&s->asked, r);
    for (unsigned i = 0; i < g->count; i++) {
        if (g->has_late && i == g->late && first) continue;
        if (hides && i >= g->hidden) continue;
        struct bytes labels = g->series[i]->labels;
        if (!is_selected(labels, r) || !is_hinted_at(labels, &r->hints)) continue;
        s->found[s->count++] = g->series[i];
    }
    if (++g->sets > g->most_sets) g->most_sets = g->sets;
    *ret = &s->set;
    return OK;
}

static enum err
given_texts(struct view *view, const struct query_request *r, const struct text_sink *to,
            struct why *why)
{
    struct given *g = (struct given *)view;
    enum err e = why_set(why, g->error, "as told");
    for (unsigned i = 0; i < g->count && e == OK; i++)
        if (is_selected(g->series[i]->labels, r)) e = to->each(to->context, g->series[i]->labels);
    if (e == OK && g->warning != NULL) e = to->warning(to->context, g->warning);
    return e;
}

/* Returns the names of labels, which are single letters, up to the limit of the request. */
static enum err
given_names(struct view *view, const struct query_request *r, const struct text_sink *to,
            struct why *why)
{
    struct given *g = (struct given *)view;
    enum err e = why_set(why, g->error, "as told");
    uint64_t count = 0;
    for (uint8_t name = 'a'; name <= 'z' && e == OK; name++) {
        bool any = false;
        for (unsigned i = 0; i < g->count && !any; i++) {
            any = is_selected(g->series[i]->labels, r) &&
                  labels_get(g->series[i]->labels, bytes_of(&name, 1)).size > 0;
        }
        if (!any) continue;
        if (r->hints.limit > 0 && count++ > r->hints.limit) break;
        e = to->each(to->context, bytes_of(&name, 1));
    }
    return e;
}

static enum err
given_look_up(struct view *view, enum lookup_kind kind, const struct query_request *r,
              struct bytes name, const struct text_sink *to, struct why *why)
{
    if (kind == LOOKUP_NAMES) return given_names(view, r, to, why);
    if (kind == LOOKUP_SERIES) return given_texts(view, r, to, why);
    return to->each(to->context, name); /* the requested label */
}

static enum err
given_exemplars(struct view *view, const struct query_request *r, const struct exemplar_sink *to,
                struct why *why)
{
    struct given *g = (struct given *)view;
    enum err e = why_set(why, g->error, "as told");
    for (unsigned i = 0; i < g->count && e == OK; i++) {
        struct exemplar x = {.series_labels = g->series[i]->labels, .t_ms = 7};
        if (is_selected(g->series[i]->labels, r)) e = to->each(to->context, &x);
    }
    return e;
}

static enum err
given_metadata(struct view *view, const struct query_request *r, struct bytes family,
               enum err (*each)(void *context, const struct metadata *m), void *context,
               struct why *why)
{
    struct metadata m = {.family = family};
    (void)view, (void)r, (void)why;
    return each(context, &m);
}

static struct view_mark
given_mark(const struct view *view)
{
    (void)view;
    return (struct view_mark){3, 4};
}

static int64_t
given_same_before(const struct view *view, struct bytes tenant, const struct view_mark *mark)
{
    (void)view, (void)tenant;
    return (int64_t)mark->epoch;
}

static enum err
given_survey(struct view *view, const struct query_request *r, struct series_survey *ret,
             struct why *why)
{
    (void)r, (void)why;
    *ret = (struct series_survey){.cost.series = ((struct given *)view)->count, .exact = true};
    return OK;
}

static bool
given_concerns(const struct view *view, const struct query_request *r)
{
    (void)view;
    return r->min_ms > 5;
}

static void
given_free(struct view *view)
{
    ((struct given *)view)->freed = true;
}

const struct view_ops given_ops = {
    .select = given_select,
    .exemplars = given_exemplars,
    .metadata = given_metadata,
    .look_up = given_look_up,
    .free = given_free,
};

const struct view_ops ops_of_a_moment = {
    .select = given_select,
    .exemplars = given_exemplars,
    .metadata = given_metadata,
    .look_up = given_look_up,
    .mark = given_mark,
    .same_before = given_same_before,
    .survey = given_survey,
    .concerns = given_concerns,
    .free = given_free,
};

/* --- the rig ---------------------------------------------------------------------------------- */

static int
compare_given(const void *a, const void *b)
{
    return labels_compare((*(struct given_series *const *)a)->labels,
                          (*(struct given_series *const *)b)->labels);
}

/* Returns the labels, computed the simple way. */
static struct bytes
labels_with(struct replicas_rig *g, struct bytes labels, bool of_replica)
{
    struct buf to;
    struct cursor c = cursor_of(labels);
    buf_init(&to, NULL, LABELS_BYTES);
    for (struct label label; labels_next(&c, &label);) {
        bool is_one = false;
        for (uint32_t i = 0; i < g->name_count; i++)
            is_one |= bytes_equal(label.name, g->names[i]);
        if (is_one == of_replica) labels_put(&to, label);
    }
    struct bytes copy = arena_copy(&g->arena, buf_bytes(&to));
    buf_fini(&to);
    return copy;
}

void
replicas_rig_begin(struct replicas_rig *g, uint64_t seed)
{
    memset(g, 0, sizeof *g);
    g->given.view.ops = &given_ops;
    g->given.rng.state = seed;
    arena_init(&g->arena, NULL, 0, 0);
    budget_init(&g->budget, "query", 0, NULL);
}

/* Returns false if the series exists already. */
static bool
replicas_rig_add(struct replicas_rig *g, struct bytes labels)
{
    struct given *of = &g->given;
    for (unsigned i = 0; i < of->count; i++)
        if (bytes_equal(of->series[i]->labels, labels)) return false;
    struct given_series *s = &g->all[of->count];
    assert_true(of->count < SERIES_MAX && labels.size <= LABELS_BYTES);
    if (labels.size > 0) memcpy(s->room, labels.at, labels.size);
    s->labels = bytes_of(s->room, labels.size);
    of->series[of->count++] = s;
    s->count = (uint32_t)rng_below(&of->rng, SAMPLES);
    int64_t t_ms = (int64_t)rng_below(&of->rng, 20);
    for (uint32_t i = 0; i < s->count; i++) {
        s->times_ms[i] = t_ms;
        s->bits[i] = rng_below(&of->rng, 20) == 0 ? STALE_NAN_BITS
                                                  : double_bits((double)rng_below(&of->rng, 100));
        t_ms += rng_below(&of->rng, 10) == 0 ? 50 : 10;
    }
    return true;
}

void
replicas_rig_open(struct replicas_rig *g)
{
    struct given *of = &g->given;
    if (of->count > 0) qsort(of->series, of->count, sizeof(void *), compare_given);
    for (unsigned i = 0; i < of->count; i++) {
        of->series[i]->rest = labels_with(g, of->series[i]->labels, false);
        of->series[i]->dropped = labels_with(g, of->series[i]->labels, true);
    }
    assert_int_equal(
        replicas_view_new(&of->view, g->names, g->name_count, &g->budget, &g->view, NULL), OK);
}

void
replicas_rig_end(struct replicas_rig *g)
{
    view_free(g->view);
    assert_true(g->given.freed);
    assert_int_equal(g->given.sets, 0);
    assert_int_equal(budget_used(&g->budget), 0);
    arena_fini(&g->arena);
}

void
replicas_rig_random(struct replicas_rig *g, uint64_t seed, unsigned series, uint64_t values)
{
    static const char *const names = "abcdefg";
    replicas_rig_begin(g, seed);
    struct rng *rng = &g->given.rng;
    g->name_count = 1 + (uint32_t)rng_below(rng, 3);
    for (uint32_t i = 0; i < g->name_count; i++) /* a name may occur twice, or be in no series */
        g->names[i] = bytes_of(&"abcdefgz"[rng_below(rng, 8)], 1);
    for (unsigned i = 0; i < series; i++) {
        struct buf labels;
        buf_init(&labels, NULL, LABELS_BYTES);
        for (unsigned k = 0; k < 7; k++) {
            char value[8];
            if (rng_below(rng, 3) == 0) continue;
            snprintf(value, sizeof value, "%u", (unsigned)rng_below(rng, values));
            labels_put(&labels, (struct label){bytes_of(&names[k], 1), bytes_of_text(value)});
        }
        (void)replicas_rig_add(g, buf_bytes(&labels));
        buf_fini(&labels);
    }
    replicas_rig_open(g);
}

struct query_request
replicas_request(struct replicas_rig *g)
{
    return (struct query_request){
        .tenant = bytes_of_text("t"), .max_ms = 2000, .budget = &g->budget};
}

struct matcher *
random_matcher(struct rng *rng)
{
    static const char *const patterns[] = {"", "0", "1", "0|1", ".+", "[01]?"};
    struct matcher *m;
    assert_int_equal(matcher_new((enum matcher_type)rng_below(rng, 4),
                                 bytes_of(&"abcdefg"[rng_below(rng, 7)], 1),
                                 bytes_of_text(patterns[rng_below(rng, 6)]), NULL, &m, NULL),
                     OK);
    return m;
}

void
put_series(struct replicas_rig *g, const char *const *pairs)
{
    struct buf labels;
    buf_init(&labels, NULL, LABELS_BYTES);
    for (; *pairs != NULL; pairs += 2)
        labels_put(&labels, (struct label){bytes_of_text(pairs[0]), bytes_of_text(pairs[1])});
    assert_true(replicas_rig_add(g, buf_bytes(&labels)));
    buf_fini(&labels);
}

static int
compare_wanted(const void *a, const void *b)
{
    const struct given_series *x = *(struct given_series *const *)a;
    const struct given_series *y = *(struct given_series *const *)b;
    int order = labels_compare(x->rest, y->rest);
    return order != 0 ? order : labels_compare(x->dropped, y->dropped);
}

unsigned
find_wanted(const struct replicas_rig *g, const struct query_request *r,
            struct given_series **wanted)
{
    unsigned count = 0;
    for (unsigned i = 0; i < g->given.count; i++) {
        struct given_series *s = g->given.series[i];
        if (is_selected(s->labels, r) && is_hinted_at(s->rest, &r->hints)) wanted[count++] = s;
    }
    if (count > 0) qsort(wanted, count, sizeof *wanted, compare_wanted);
    return count;
}

void
put_shops(struct replicas_rig *g, unsigned replicas)
{
    g->names[g->name_count++] = bytes_of_text("replica");
    for (unsigned i = 0; i < replicas; i++) {
        char replica[12], shop[12];
        snprintf(replica, sizeof replica, "%u", i);
        snprintf(shop, sizeof shop, "%u", i / 2);
        PUT_SERIES(g, "job", shop, "replica", replica);
        if (i % 4 == 0) PUT_SERIES(g, "job", shop, "of", "x", "replica", replica);
    }
    replicas_rig_open(g);
}
