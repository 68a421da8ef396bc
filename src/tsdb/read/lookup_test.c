/*
 * lookup_test.c - names and values of selected series are those of their labels, wherever they are
 * stored, at any time, with deletions.
 */
#include <stdlib.h>

#include "lib/test.h"
#include "lib/tsdb/tsdb_machine.h"
#include "model/selector.h"

enum { SERIES = 6000, STAGES = 5 }; /* more than ROWS_FEW of lookup.c */

#define T0 (SIM_BEGIN - 60 * MINUTE_MS)

static struct machine m;

static int
setup(void **state)
{
    (void)state;
    machine_init(&m, 1);
    machine_must_open(&m);
    return 0;
}

static int
teardown(void **state)
{
    if (machine_seed >= 0) machine_fini(&m);
    return tell_seed(state);
}

/* Sends samples of random series at one time. */
static void
send_some(struct rng *r, int64_t t_ms)
{
    for (unsigned i = 0; i < SERIES; i++) {
        if (rng_below(r, 3) == 0) continue;
        char labels[128];
        struct rq rq;
        snprintf(labels, sizeof labels, "__name__=m%u,i=%u,z=%u%s", i % 13, i, i * 617 % SERIES,
                 i % 5 == 0 ? ",extra=x" : "");
        rq_init(&rq, RW_V1);
        rq_series(&rq, labels);
        rq_float(&rq, t_ms, double_bits(i), 0);
        must(machine_send(&m, "a", &rq));
        rq_fini(&rq);
    }
    machine_commit(&m);
}

/* --- texts that were given, and those that are wanted ----------------------------------------- */

struct list {
    struct arena arena;
    struct bytes items[8 * SERIES];
    uint32_t count;
    const char *wanted; /* a label; NULL for names */
};

static enum err
put_text(void *context, struct bytes text)
{
    struct list *l = context;
    l->items[l->count++] = arena_copy(&l->arena, text);
    assert_true(l->count < sizeof l->items / sizeof l->items[0]);
    return OK;
}

static enum err
put_of_series(void *context, struct bytes labels)
{
    struct list *l = context;
    struct cursor c = cursor_of(labels);
    struct label label;
    while (labels_next(&c, &label)) {
        if (l->wanted == NULL) err_ignore(put_text(l, label.name), "it makes none");
        if (l->wanted != NULL && bytes_equal_text(label.name, l->wanted))
            err_ignore(put_text(l, label.value), "it makes none");
    }
    return OK;
}

static int
by_bytes(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

static void
check(const char *wanted, const char *text, int64_t min_ms, int64_t max_ms)
{
    static struct list given, want;
    struct selector s = {.count = 0};
    if (text != NULL) must(selector_parse(bytes_of_text(text), &s, &m.why));
    struct matcher_set set = {s.matchers, s.count};
    struct query_request r = {.tenant = bytes_of_text("a"),
                              .sets = &set,
                              .set_count = text != NULL,
                              .min_ms = min_ms,
                              .max_ms = max_ms};
    given.count = want.count = 0;
    want.wanted = wanted;
    arena_init(&given.arena, NULL, 0, 0);
    arena_init(&want.arena, NULL, 0, 0);
    must(machine_texts(&m, &r, wanted == NULL ? "*" : wanted, put_text, &given));
    must(machine_texts(&m, &r, "", put_of_series, &want));
    qsort(want.items, want.count, sizeof want.items[0], by_bytes);
    uint32_t count = 0;
    for (uint32_t i = 0; i < want.count; i++) {
        if (i > 0 && bytes_equal(want.items[i], want.items[i - 1])) continue;
        assert_true(count < given.count);
        assert_true(bytes_equal(given.items[count++], want.items[i]));
    }
    assert_int_equal(given.count, count);
    arena_fini(&given.arena);
    arena_fini(&want.arena);
    selector_fini(&s);
}

/* With a limit, checks that the result is the start of the whole one. */
static void
check_limited(const char *wanted, const char *text, int64_t min_ms)
{
    static struct list whole, first;
    static const uint64_t limits[] = {1, 3, 10, 50, 100000};
    struct selector s = {.count = 0};
    if (text != NULL) must(selector_parse(bytes_of_text(text), &s, &m.why));
    struct matcher_set set = {s.matchers, s.count};
    struct query_request r = {.tenant = bytes_of_text("a"),
                              .sets = &set,
                              .set_count = text != NULL,
                              .min_ms = min_ms,
                              .max_ms = INT64_MAX};
    whole.count = 0;
    arena_init(&whole.arena, NULL, 0, 0);
    must(machine_texts(&m, &r, wanted, put_text, &whole));
    for (unsigned i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        first.count = 0;
        arena_init(&first.arena, NULL, 0, 0);
        r.hints.limit = limits[i];
        must(machine_texts(&m, &r, wanted, put_text, &first));
        uint32_t wanted_count = whole.count < limits[i] + 1 ? whole.count : (uint32_t)limits[i] + 1;
        assert_int_equal(first.count, wanted_count);
        for (uint32_t k = 0; k < first.count; k++)
            assert_true(bytes_equal(first.items[k], whole.items[k]));
        arena_fini(&first.arena);
    }
    arena_fini(&whole.arena);
    selector_fini(&s);
}

static void
check_all_limited(int64_t last_ms)
{
    static const char *const selectors[] = {NULL, "{__name__=~\".+\"}", "m3", "{i=~\"1.*\"}"};
    static const char *const wanted[] = {"", "*", "__name__", "i", "z"};
    for (unsigned s = 0; s < sizeof selectors / sizeof selectors[0]; s++) {
        for (unsigned w = 0; w < sizeof wanted / sizeof wanted[0]; w++) {
            check_limited(wanted[w], selectors[s], INT64_MIN);
            check_limited(wanted[w], selectors[s], last_ms);
        }
    }
}

static void
check_all(int64_t last_ms)
{
    static const char *const selectors[] = {NULL,
                                            "{__name__=~\".+\"}",
                                            "m3",
                                            "{z=~\".*7\"}",
                                            "{i=\"77\"}",
                                            "{extra=\"x\",__name__!=\"m2\"}",
                                            "{extra=\"\",i=~\"1.*\"}",
                                            "{i=\"none\"}"};
    static const char *const labels[] = {NULL, "__name__", "i", "z", "extra", "none"};
    for (unsigned s = 0; s < sizeof selectors / sizeof selectors[0]; s++) {
        for (unsigned l = 0; l < sizeof labels / sizeof labels[0]; l++) {
            check(labels[l], selectors[s], INT64_MIN, INT64_MAX);
            check(labels[l], selectors[s], T0 + 1, last_ms - 1);
            check(labels[l], selectors[s], last_ms, INT64_MAX);
        }
    }
    check_all_limited(last_ms);
}

UNIT_TEST(test_values_of_selected_series_are_those_of_their_labels)
{
    struct rng r = {5};
    for (unsigned stage = 0; stage < STAGES; stage++) {
        struct tsdb_deletion deletion;
        struct selector s;
        int64_t t_ms = T0 + stage * MINUTE_MS;
        send_some(&r, t_ms);
        check_all(t_ms);
        if (stage == 1) tsdb_want_cut(m.db);
        if (stage == 1) continue; /* the next samples go into two generations */
        machine_flush(&m);
        check_all(t_ms);
        if (stage != 3) continue;
        must(selector_parse(bytes_of_text("{i=~\"1.*|7\"}"), &s, &m.why));
        must(tsdb_delete(m.db, bytes_of_text("a"), &s, 1, T0 + 1, INT64_MAX, &deletion, &m.why));
        check_all(t_ms);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_values_of_selected_series_are_those_of_their_labels,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
