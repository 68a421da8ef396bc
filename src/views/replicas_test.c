/* replicas_test.c - replicas read as one, over random series in memory. */
#include "lib/views/replicas_rig.h"

/* --- model ------------------------------------------------------------------------------------ */

static enum err
all_at_once(void *from, struct sample_batch *ret, struct why *why)
{
    struct given_series **at = from;
    (void)why;
    *ret = (struct sample_batch){.count = 0};
    if (*at == NULL) return OK;
    *ret = (struct sample_batch){
        .count = (*at)->count, .times_ms = (*at)->times_ms, .value_bits = (*at)->bits};
    *at = NULL;
    return OK;
}

struct samples {
    uint32_t count;
    int64_t times_ms[8 * SAMPLES];
    uint64_t bits[8 * SAMPLES];
};

static void
add_batch(struct samples *to, const struct sample_batch *b)
{
    assert_true(to->count + b->count <= 8 * SAMPLES);
    memcpy(to->times_ms + to->count, b->times_ms, b->count * sizeof(int64_t));
    memcpy(to->bits + to->count, b->value_bits, b->count * sizeof(uint64_t));
    to->count += b->count;
}

/* Merges by the rules that replica_merge_test.c tests. */
static void
merge_plainly(struct given_series **replicas, unsigned count, const struct query_request *r,
              struct samples *ret)
{
    struct given_series *left[SERIES_MAX];
    struct replica_merge m;
    struct sample_batch b = {.count = 1};
    ret->count = 0;
    replica_merge_init(&m, all_at_once, r, NULL);
    for (unsigned i = 0; i < count; i++) {
        left[i] = replicas[i];
        assert_int_equal(replica_merge_add(&m, &left[i]), OK);
    }
    while (b.count > 0) {
        assert_int_equal(replica_merge_batch(&m, &b, NULL), OK);
        if (b.count > 0) add_batch(ret, &b);
    }
    replica_merge_fini(&m);
}

static void
check_samples(struct series_set *set, struct given_series **replicas, unsigned count,
              const struct query_request *r)
{
    static struct samples want, got;
    struct sample_batch b = {.count = 1};
    merge_plainly(replicas, count, r, &want);
    got.count = 0;
    while (b.count > 0) {
        assert_int_equal(series_set_batch(set, &b, NULL), OK);
        if (b.count > 0) add_batch(&got, &b);
    }
    assert_int_equal(got.count, want.count);
    assert_memory_equal(got.times_ms, want.times_ms, got.count * sizeof(int64_t));
    assert_memory_equal(got.bits, want.bits, got.count * sizeof(uint64_t));
}

static void
check_select(struct replicas_rig *g, const struct query_request *r)
{
    struct given_series *wanted[SERIES_MAX];
    struct series_set *set;
    struct bytes labels;
    struct why why;
    unsigned count = find_wanted(g, r, wanted), same;
    assert_int_equal(view_select(g->view, r, &set, &why), OK);
    for (unsigned i = 0; i < count; i += same) {
        assert_int_equal(series_set_next(set, &labels, &why), OK);
        assert_non_null(labels.at);
        assert_true(bytes_equal(labels, wanted[i]->rest));
        for (same = 1; i + same < count; same++)
            if (!bytes_equal(wanted[i + same]->rest, wanted[i]->rest)) break;
        bool drains = r->kind != SELECT_LABELS && rng_below(&g->given.rng, 4) > 0;
        if (drains) check_samples(set, &wanted[i], same, r);
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(series_set_next(set, &labels, &why), OK);

        assert_null(labels.at);
    }
    series_set_free(set);
}

/* --- series with samples ---------------------------------------------------------------------- */

UNIT_TEST(test_series_of_replicas_are_one_in_label_order)
{
    static struct replicas_rig g;
    struct bytes not_counted = bytes_of_text("f");
    for (uint64_t seed = 0; seed < 3000; seed++) {
        replicas_rig_random(&g, seed, (unsigned)(seed % 120), 1 + seed % 3);
        struct rng rng = {seed};
        struct query_request r = replicas_request(&g);
        struct matcher *matchers[4];
        if (seed % 2 == 0) g.given.view.ops = &ops_of_a_moment;
        struct matcher_set sets[2];
        for (unsigned i = 0; i < 4; i++)
            matchers[i] = random_matcher(&rng);
        r.sets = sets;
        r.set_count = (uint32_t)rng_below(&rng, 3);
        sets[0] = (struct matcher_set){matchers, (uint32_t)rng_below(&rng, 3)};
        sets[1] = (struct matcher_set){matchers + 2, 1 + (uint32_t)rng_below(&rng, 2)};
        r.hints.shard_count = rng_below(&rng, 4) == 0 ? 3 : 0;
        r.hints.shard = (uint32_t)rng_below(&rng, 3);
        if (rng_below(&rng, 4) == 0) { /* another view of this kind may be above */
            r.hints.shard_without = &not_counted;
            r.hints.shard_without_count = 1;
        }
        uint64_t kind = rng_below(&rng, 8);
        r.kind = kind <= SELECT_LABELS ? (enum select_kind)kind : SELECT_CHUNKS;
        r.hints.summaries = SUMMARY_COUNT; /* hints of this kind are not used */
        if (g.given.count > 0 && rng_below(&rng, 4) == 0)
            r.hints.from_labels = g.given.series[rng_below(&rng, g.given.count)]->rest;
        check_select(&g, &r);
        for (unsigned i = 0; i < 4; i++)
            matcher_free(matchers[i]);
        replicas_rig_end(&g);
    }
}

/* Checks the order of two series, with their replica labels and without. */
static void
check_order(const struct given_series *a, const struct given_series *b)
{
    int with = labels_compare(a->labels, b->labels), without = labels_compare(a->rest, b->rest);
    if ((with < 0) == (without < 0)) return;
    if (without > 0) {
        check_order(b, a);
        return;
    }
    /* The orders differ only if a->rest is a prefix of b->rest and a replica label of `a` follows
     * the next label of `b`. */
    assert_true(a->rest.size < b->rest.size);
    assert_true(a->rest.size == 0 || memcmp(a->rest.at, b->rest.at, a->rest.size) == 0);
    struct cursor c = cursor_of(bytes_of(b->rest.at + a->rest.size, b->rest.size - a->rest.size));
    struct cursor dropped = cursor_of(a->dropped);
    struct label next, label, last = {bytes_of(NULL, 0), bytes_of(NULL, 0)};
    assert_true(labels_next(&c, &next));
    while (labels_next(&dropped, &label))
        last = label;
    assert_true(bytes_compare(last.name, next.name) > 0);
}

UNIT_TEST(test_only_labels_that_begin_like_others_change_order_when_combined)
{
    static struct replicas_rig g;
    for (uint64_t seed = 0; seed < 300; seed++) {
        replicas_rig_random(&g, seed, 100, 1 + seed % 3);
        for (unsigned i = 0; i < g.given.count; i++) {
            for (unsigned k = 0; k < g.given.count; k++) {
                const struct given_series *a = g.given.series[i], *b = g.given.series[k];
                if (i != k && bytes_equal(a->dropped, b->dropped)) check_order(a, b);
            }
        }
        replicas_rig_end(&g);
    }
}

UNIT_TEST(test_as_many_sets_are_read_as_there_are_replicas)
{
    static struct replicas_rig g;
    replicas_rig_begin(&g, 1);
    g.names[g.name_count++] = bytes_of_text("__replica__");
    for (unsigned i = 0; i < 50; i++) {
        char job[8];
        snprintf(job, sizeof job, "%u", i);
        PUT_SERIES(&g, "__name__", "up", "__replica__", "a", "job", job);
        if (i % 7 != 0) PUT_SERIES(&g, "__name__", "up", "__replica__", "b", "job", job);
    }
    replicas_rig_open(&g);
    struct query_request r = replicas_request(&g);
    check_select(&g, &r);
    assert_int_equal(g.given.most_sets, 2);
    assert_int_equal(g.given.selects, 3); /* one for the list, and one for each replica */
    replicas_rig_end(&g);
}

UNIT_TEST(test_a_selection_without_replica_labels_is_passed_unchanged)
{
    static struct replicas_rig g;
    replicas_rig_begin(&g, 1);
    g.names[g.name_count++] = bytes_of_text("replica");
    PUT_SERIES(&g, "job", "x");
    PUT_SERIES(&g, "job", "x", "to", "y");
    replicas_rig_open(&g);
    struct query_request r = replicas_request(&g);
    struct series_set *set;
    for (unsigned i = 0; i < 2; i++) {
        g.given.view.ops = i == 0 ? &given_ops : &ops_of_a_moment;
        assert_int_equal(view_select(g.view, &r, &set, NULL), OK);
        assert_int_equal(set->ops->next == given_next, i); /* else there may be more by now */
        series_set_free(set);
        check_select(&g, &r);
    }
    replicas_rig_end(&g);
    replicas_rig_begin(&g, 1);
    g.names[0] = bytes_of_text("");
    g.name_count = 1;
    replicas_rig_open(&g);
    assert_ptr_equal(g.view, &g.given.view); /* without any request */
    replicas_rig_end(&g);
}

UNIT_TEST(test_series_that_are_wanted_unmerged_have_all_their_labels)
{
    static struct replicas_rig g;
    struct bytes labels;
    struct series_set *set;
    replicas_rig_begin(&g, 1);
    g.names[g.name_count++] = bytes_of_text("replica");
    PUT_SERIES(&g, "job", "x", "replica", "a");
    PUT_SERIES(&g, "job", "x", "replica", "b");
    replicas_rig_open(&g);
    struct query_request r = replicas_request(&g);
    r.unmerged = true;
    assert_int_equal(view_select(g.view, &r, &set, NULL), OK);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(series_set_next(set, &labels, NULL), OK);
        assert_true(bytes_equal(labels, g.given.series[i]->labels));
    }
    series_set_free(set);
    assert_int_equal(g.given.selects, 1);
    replicas_rig_end(&g);
}

/* Its replica label sorts it after the position. */
UNIT_TEST(test_a_series_before_the_place_that_is_asked_for_is_left_out)
{
    static struct replicas_rig g;
    replicas_rig_begin(&g, 1);
    g.given.view.ops = &ops_of_a_moment;
    g.names[g.name_count++] = bytes_of_text("r");
    PUT_SERIES(&g, "a", "1", "r", "1");
    PUT_SERIES(&g, "a", "1", "c", "1");
    replicas_rig_open(&g);
    struct query_request r = replicas_request(&g);
    r.hints.from_labels = g.given.series[0]->rest;
    assert_true(labels_get(r.hints.from_labels, bytes_of_text("c")).size > 0);
    check_select(&g, &r);
    replicas_rig_end(&g);
}

UNIT_TEST(test_many_combinations_are_read_series_by_series)
{
    static struct replicas_rig g;
    for (uint64_t seed = 0; seed < 20; seed++) {
        replicas_rig_begin(&g, seed);
        g.names[g.name_count++] = bytes_of_text("b");
        g.names[g.name_count++] = bytes_of_text("q");
        for (unsigned i = 0; i < SERIES_MAX; i++) {
            char replica[8], shop[8];
            snprintf(replica, sizeof replica, "%u", i / 3);
            snprintf(shop, sizeof shop, "%u", i / 6);
            if (i % 3 == 0)
                PUT_SERIES(&g, "a", "x", "b", replica, "shop", shop);
            else if (i % 3 == 1)
                PUT_SERIES(&g, "a", "x", "b", replica, "c", shop);
            else if (i % 9 == 2)
                PUT_SERIES(&g, "a", "y", "b", replica);
        }
        replicas_rig_open(&g);
        struct query_request r = replicas_request(&g);
        check_select(&g, &r);
        replicas_rig_end(&g);
    }
}

/* --- labels, exemplars, the rest -------------------------------------------------------------- */

struct texts {
    struct replicas_rig *of;
    unsigned count, warnings;
    struct bytes items[SERIES_MAX];
};

static enum err
keep_text(void *context, struct bytes text)
{
    struct texts *t = context;
    t->items[t->count++] = arena_copy(&t->of->arena, text);
    return OK;
}

static enum err
count_warning(void *context, const char *sentence)
{
    assert_string_equal(sentence, "half of it is gone");
    ((struct texts *)context)->warnings++;
    return OK;
}

static enum err
keep_exemplar(void *context, const struct exemplar *x)
{
    return keep_text(context, x->series_labels);
}

static void
check_texts(const struct texts *got, struct given_series **wanted, unsigned count)
{
    unsigned at = 0;
    for (unsigned i = 0; i < count; i++) {
        if (i > 0 && bytes_equal(wanted[i - 1]->rest, wanted[i]->rest)) continue;
        if (at == got->count) break;
        assert_true(bytes_equal(got->items[at++], wanted[i]->rest));
    }
    assert_int_equal(at, got->count);
}

UNIT_TEST(test_sets_of_labels_and_exemplars_come_once_in_order)
{
    static struct replicas_rig g;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct given_series *wanted[SERIES_MAX];
        struct texts got = {.of = &g}, few = {.of = &g}, exemplars = {.of = &g};
        struct text_sink to = {keep_text, &got, count_warning};
        struct exemplar_sink exemplars_to = {keep_exemplar, &exemplars, count_warning};
        replicas_rig_random(&g, seed, 60, 2);
        g.given.warning = "half of it is gone";
        struct query_request r = replicas_request(&g);
        unsigned count = find_wanted(&g, &r, wanted);
        assert_int_equal(view_series(g.view, &r, &to, NULL), OK);
        assert_int_equal(got.warnings, 1);
        check_texts(&got, wanted, count);
        assert_int_equal(view_exemplars(g.view, &r, &exemplars_to, NULL), OK);
        check_texts(&exemplars, wanted, count);
        assert_int_equal(exemplars.count, got.count);
        r.hints.limit = 3;
        to.context = &few;
        assert_int_equal(view_series(g.view, &r, &to, NULL), OK);
        check_texts(&few, wanted, count);
        assert_int_equal(few.count, got.count < 4 ? got.count : 4);
        replicas_rig_end(&g);
    }
}

UNIT_TEST(test_replica_labels_have_no_names_and_no_values)
{
    static struct replicas_rig g;
    struct texts got = {.of = &g};
    struct text_sink to = {keep_text, &got, count_warning};
    replicas_rig_begin(&g, 1);
    g.names[g.name_count++] = bytes_of_text("b");
    g.names[g.name_count++] = bytes_of_text("a");
    g.names[g.name_count++] = bytes_of_text("a");
    PUT_SERIES(&g, "a", "1", "b", "1", "c", "1", "d", "1");
    replicas_rig_open(&g);
    struct query_request r = replicas_request(&g);
    r.hints.limit = 1;
    assert_int_equal(view_label_names(g.view, &r, &to, NULL), OK);
    assert_int_equal(got.count, 2);
    assert_true(bytes_equal_text(got.items[0], "c"));
    assert_true(bytes_equal_text(got.items[1], "d"));
    got.count = 0;
    assert_int_equal(view_label_values(g.view, &r, bytes_of_text("a"), &to, NULL), OK);
    assert_int_equal(got.count, 0);
    assert_int_equal(view_label_values(g.view, &r, bytes_of_text("c"), &to, NULL), OK);
    assert_int_equal(got.count, 1);
    replicas_rig_end(&g);
}

UNIT_TEST(test_marks_and_surveys_of_the_view_below_are_returned)
{
    static struct replicas_rig g;
    struct view_mark mark;
    struct series_survey s;
    bool known;
    replicas_rig_random(&g, 1, 10, 2);
    struct query_request r = replicas_request(&g);
    assert_false(view_has_mark(g.view, &mark));
    assert_true(view_concerns(g.view, &r));
    assert_int_equal(view_survey(g.view, &r, &s, &known, NULL), OK);
    assert_false(known);
    replicas_rig_end(&g);
    replicas_rig_begin(&g, 1);
    g.given.view.ops = &ops_of_a_moment;
    put_shops(&g, 2);
    assert_true(view_has_mark(g.view, &mark));
    assert_int_equal(mark.edits, 4);
    mark.epoch = 5 * REPLICA_AHEAD_MS; /* the epoch is reported as the time */
    assert_int_equal(view_same_before(g.view, r.tenant, &mark), 4 * REPLICA_AHEAD_MS);
    mark.epoch = INT64_MAX;
    assert_int_equal(view_same_before(g.view, r.tenant, &mark), INT64_MAX);
    mark.epoch = (uint64_t)INT64_MIN;
    assert_int_equal(view_same_before(g.view, r.tenant, &mark), INT64_MIN);
    assert_false(view_concerns(g.view, &r));
    assert_int_equal(view_survey(g.view, &r, &s, &known, NULL), OK);
    assert_true(known);
    assert_int_equal(s.cost.series, g.given.count);
    assert_false(s.exact);
    replicas_rig_end(&g);
}

UNIT_TEST(test_names_are_between_commas)
{
    struct bytes names[REPLICA_LABELS_MAX];
    assert_int_equal(replica_labels_of("", names), 0);
    assert_int_equal(replica_labels_of("one", names), 1);
    assert_true(bytes_equal_text(names[0], "one"));
    assert_int_equal(replica_labels_of("a,bc", names), 2);
    assert_true(bytes_equal_text(names[1], "bc"));
    assert_int_equal(replica_labels_of("1,2,3,4,5,6,7,8,9,a,b,c,d,e,f,g,h", names),
                     REPLICA_LABELS_MAX);
}

UNIT_TEST(test_a_view_without_memory_or_with_too_many_names_frees_the_one_below)
{
    static struct replicas_rig g;
    struct bytes names[REPLICA_LABELS_MAX + 1];
    char text[REPLICA_LABELS_MAX + 1];
    struct why why;
    for (uint32_t i = 0; i <= REPLICA_LABELS_MAX; i++) {
        text[i] = (char)('a' + i);
        names[i] = bytes_of(&text[i], 1);
    }
    for (uint64_t nth = 0; nth <= 2; nth++) {
        replicas_rig_begin(&g, 1);
        mem_fail_nth(nth, false);
        enum err e = replicas_view_new(&g.given.view, names, nth == 0 ? REPLICA_LABELS_MAX + 1 : 1,
                                       &g.budget, &g.view, &why);
        mem_fail_nth(0, false);
        assert_int_equal(e, nth == 0 ? ERR_INPUT : ERR_NOMEM);
        assert_true(g.given.freed);
        assert_int_equal(budget_used(&g.budget), 0);
        arena_fini(&g.arena);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series_of_replicas_are_one_in_label_order),
        cmocka_unit_test(test_only_labels_that_begin_like_others_change_order_when_combined),
        cmocka_unit_test(test_as_many_sets_are_read_as_there_are_replicas),
        cmocka_unit_test(test_a_selection_without_replica_labels_is_passed_unchanged),
        cmocka_unit_test(test_series_that_are_wanted_unmerged_have_all_their_labels),
        cmocka_unit_test(test_a_series_before_the_place_that_is_asked_for_is_left_out),
        cmocka_unit_test(test_many_combinations_are_read_series_by_series),
        cmocka_unit_test(test_sets_of_labels_and_exemplars_come_once_in_order),
        cmocka_unit_test(test_replica_labels_have_no_names_and_no_values),
        cmocka_unit_test(test_marks_and_surveys_of_the_view_below_are_returned),
        cmocka_unit_test(test_names_are_between_commas),
        cmocka_unit_test(test_a_view_without_memory_or_with_too_many_names_frees_the_one_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
