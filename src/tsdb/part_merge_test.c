/*
 * Merging parts: against a model, over windows, with deletions and expiry; damage, failing devices
 * and refused memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tsdb/part_merge_testing.h"

static uint64_t seed_now;

static int
tell_seed(void **state)
{
    (void)state;
    print_message("last seed %llu\n", (unsigned long long)seed_now);
    return 0;
}

/* What came of a merge; counts are added up over tenants. */
struct outcome {
    enum err e;
    uint32_t input; /* with ERR_CORRUPT */
    struct part_info info;
    uint64_t counted[LEDGER_KIND_COUNT];
    uint32_t steps;
    struct why why;
};

/* Merges, `samples` a step; compares the counts with the model's if there is one. */
static struct outcome
run_merge(const struct part_merge_options *options, uint64_t samples, const struct model *model)
{
    struct outcome o = {.input = UINT32_MAX};
    struct part_merge *m = NULL;
    const struct part_merge_counts *counts;
    uint32_t count;
    bool done = false;
    o.e = part_merge_new(options, &m, &o.why);
    for (; o.e == OK && !done; o.steps++) {
        o.e = part_merge_step(m, samples, &done, &o.input, &o.why);
    }
    if (o.e == OK) o.e = part_merge_finish(m, &o.info, &counts, &count, &o.why);
    if (o.e == OK && model != NULL) check_counts(model, counts, count);
    for (uint32_t i = 0; o.e == OK && i < count; i++) {
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
            const struct part_merge_counts *c = &counts[i];
            o.counted[k] +=
                c->written[k] + c->duplicate[k] + c->superseded[k] + c->deleted[k] + c->expired[k];
        }
    }
    part_merge_free(m);
    assert_int_equal(budget_used(options->budget), 0);
    return o;
}

/* Merges, and the part is what the model says. */
static struct outcome
merge_and_check(struct world *w, const struct part_merge_options *options, uint64_t samples)
{
    struct model m;
    seed_now = w->seed;
    model_init(&m, w, options);
    struct outcome o = run_merge(options, samples, &m);
    if (o.e) fail_msg("seed %llu: %s", (unsigned long long)w->seed, o.why.text);
    if (m.want.tenant_count == 0) {
        assert_int_equal(o.info.number, 0);
    } else {
        assert_int_equal(o.info.number, options->number);
        assert_int_equal(o.info.from_pos, options->from_pos);
        assert_int_equal(o.info.to_pos, options->to_pos);
        check_part(w, options->number, &m.want);
    }
    model_fini(&m);
    return o;
}

static struct world_shape
shape_of(uint64_t seed)
{
    static const struct world_shape shapes[] = {
        {2, 2, 6, 60, false},  {3, 1, 20, 30, false}, {8, 3, 4, 20, false}, {2, 12, 3, 9, false},
        {4, 1, 3, 700, false}, {1, 4, 9, 40, false},  {5, 40, 2, 5, false}, {3, 1, 2, 9000, true},
    };
    return shapes[seed % (sizeof shapes / sizeof shapes[0])];
}

/* --- what comes out --------------------------------------------------------------------------- */

static void
test_a_merge_gives_what_the_model_gives(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 96; seed++) {
        struct world w;
        world_init(&w, seed, shape_of(seed));
        struct part_merge_options o = world_options(&w);
        o.with_metadata = rng_below(&w.r, 4) > 0;
        o.level = (int)rng_below(&w.r, 3);
        merge_and_check(&w, &o, 1 + rng_below(&w.r, 100));
        o.window = world_range(&w);
        merge_and_check(&w, &o, 1 + rng_below(&w.r, 10000));
        if (rng_below(&w.r, 2) == 0) o.window = (struct time_range){INT64_MIN, INT64_MAX};
        world_delete(&w);
        merge_and_check(&w, &o, 1 + rng_below(&w.r, 10000));
        o.expired_before_ms = world_time(&w);
        merge_and_check(&w, &o, 1 + rng_below(&w.r, 10000));
        world_fini(&w);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_merge_gives_what_the_model_gives, tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
