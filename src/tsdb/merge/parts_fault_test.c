/* parts_fault_test.c - merges that are abandoned, and merges with damaged inputs, failing devices
 * and refused memory. */
#include "lib/tsdb/part_merge.h"

/* Makes a small world whose merge takes all paths. */
static void
small_world(struct merge_world *w, struct part_merge_options *o, bool touched)
{
    for (uint64_t seed = 1;; seed++) {
        merge_world_init(w, seed, (struct merge_world_shape){3, 3, 12, 25, false});
        const uint64_t *have = part_info(w->parts[1])->sample_count;
        if (have[LEDGER_FLOAT] > 9 && have[LEDGER_HISTOGRAM] > 9 && have[LEDGER_EXEMPLAR] > 2)
            break;
        merge_world_fini(w);
    }
    *o = merge_world_options(w);
    if (!touched) return;
    merge_world_delete(w);
    o->window = (struct time_range){BASE_MS + 5 * STEP_MS, BASE_MS + 40 * STEP_MS};
    o->expired_before_ms = BASE_MS + 9 * STEP_MS;
}

static enum err
count_names(void *context, const char *name, bool is_dir)
{
    uint32_t *count = context;
    (void)name;
    assert_true(is_dir);
    ++*count;
    return OK;
}

UNIT_TEST(test_a_merge_given_up_at_any_step_leaves_only_a_directory)
{
    struct merge_world w;
    struct part_merge_options o;
    small_world(&w, &o, false);
    bool done = false;
    uint32_t steps = 0;
    for (; !done; steps++) {
        struct part_merge *m;
        uint32_t input, names = 0;
        assert_int_equal(part_merge_new(&o, &m, NULL), OK);
        for (uint32_t i = 0; i < steps && !done; i++)
            assert_int_equal(part_merge_step(m, 1, &done, &input, NULL), OK);
        part_merge_free(m);
        assert_int_equal(budget_used(&w.budget), 0);
        assert_int_equal(env_listdir(w.env, "/parts", count_names, &names, NULL), OK);
        assert_in_range(names, 3, 4);
    }
    assert_true(steps > 100);
    merge_world_merge_and_check(&w, &o, 1000);
    merge_world_fini(&w);
}

/* Opens the part without its cached pages; the part is NULL if it cannot be opened. */
static void
reopen(struct merge_world *w, uint32_t input)
{
    part_unref(w->parts[input]);
    w->parts[input] = w->inputs[input].part = NULL;
    if (part_open(w->env, &w->cache_budget, w->cache, "/parts", input + 1, &w->parts[input],
                  NULL) == OK)
        w->inputs[input].part = w->parts[input];
}

static void
flip(struct file *file, uint64_t at)
{
    uint8_t byte;
    assert_int_equal(file_read_at(file, &byte, 1, at, NULL), OK);
    byte ^= (uint8_t)(1u << at % 8);
    assert_int_equal(file_write_at(file, bytes_of(&byte, 1), at, NULL), OK);
}

static void
flip_every_byte(bool touched)
{
    struct merge_world w;
    struct part_merge_options o;
    struct merge_model m;
    struct file file;
    uint32_t opened = 0, noticed = 0;
    small_world(&w, &o, touched);
    merge_model_init(&m, &w, &o);
    assert_int_equal(file_open(w.env, "/parts/0000000000000002/part", FILE_UPDATE, &file, NULL),
                     OK);
    uint64_t size = part_info(w.parts[1])->file_bytes;
    for (uint64_t at = 0; at < size; at++) {
        flip(&file, at);
        reopen(&w, 1);
        if (w.parts[1] != NULL) {
            struct merge_outcome x = merge_world_merge(&o, 1000, NULL);
            opened++;
            noticed += x.e == ERR_CORRUPT;
            if (x.e == ERR_CORRUPT) {
                assert_int_equal(x.input, 1);
                assert_non_null(strstr(x.why.text, "0000000000000002"));
            } else {
                assert_int_equal(x.e, OK);
                check_part(&w, OUTPUT, &m.want);
            }
        }
        flip(&file, at);
    }
    assert_true(opened > size * 7 / 10);
    assert_true(noticed > opened * (touched ? 5 : 8) / 10);
    file_close(&file);
    reopen(&w, 1);
    merge_world_merge_and_check(&w, &o, 1000);
    merge_model_fini(&m);
    merge_world_fini(&w);
}

UNIT_TEST(test_no_flipped_byte_makes_a_wrong_sample)
{
    flip_every_byte(false);
    flip_every_byte(true);
}

/* Merges with a fault. Returns true if the fault was reached. */
static bool
merge_with_fault(struct merge_world *w, const struct part_merge_options *o,
                 const struct merge_model *m, struct fault fault, enum err want)
{
    for (uint32_t i = 0; i < w->shape.inputs; i++)
        reopen(w, i);
    fault_env_arm(w->fault, fault);
    struct merge_outcome x = merge_world_merge(o, 100, m);
    bool fired = fault_env_fired(w->fault);
    fault_env_disarm(w->fault);
    if (x.e == OK) {
        check_part(w, OUTPUT, &m->want);
    } else {
        assert_int_equal(x.e, want);
        assert_string_not_equal(x.why.text, "");
        assert_true(fired);
    }
    return fired;
}

UNIT_TEST(test_a_device_failure_is_reported)
{
    static const struct {
        enum fault_kind kind;
        enum err want;
    } faults[] = {{FAULT_EIO, ERR_IO},  {FAULT_ENOSPC, ERR_FULL}, {FAULT_TORN, ERR_IO},
                  {FAULT_SYNC, ERR_IO}, {FAULT_EINTR, OK},        {FAULT_SHORT, OK}};
    for (unsigned touched = 0; touched < 2; touched++) {
        struct merge_world w;
        struct part_merge_options o;
        struct merge_model m;
        small_world(&w, &o, touched);
        merge_model_init(&m, &w, &o);
        for (unsigned f = 0; f < 12; f++) {
            uint64_t nth = 1;
            struct fault fault = {faults[f / 2].kind, nth, f % 2 == 1};
            while (merge_with_fault(&w, &o, &m, fault, faults[f / 2].want))
                fault.nth = ++nth;
            assert_true(nth > 1);
        }
        merge_world_merge_and_check(&w, &o, 1000);
        merge_model_fini(&m);
        merge_world_fini(&w);
    }
}

UNIT_TEST(test_a_failed_allocation_is_reported)
{
    for (unsigned n = 0; n < 4; n++) {
        struct merge_world w;
        struct part_merge_options o;
        struct merge_model m;
        bool fired = true;
        small_world(&w, &o, n % 2);
        merge_model_init(&m, &w, &o);
        for (uint64_t nth = 1; fired; nth++) {
            for (uint32_t i = 0; i < w.shape.inputs; i++)
                reopen(&w, i);
            mem_fail_nth(nth, n >= 2);
            struct merge_outcome x = merge_world_merge(&o, 100, NULL);
            fired = mem_fail_fired();
            mem_fail_nth(0, false);
            if (x.e == OK) {
                check_part(&w, OUTPUT, &m.want);
            } else {
                assert_int_equal(x.e, ERR_NOMEM);
                assert_string_not_equal(x.why.text, "");
                assert_true(fired);
            }
        }
        merge_model_fini(&m);
        merge_world_fini(&w);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_merge_given_up_at_any_step_leaves_only_a_directory),
        cmocka_unit_test(test_no_flipped_byte_makes_a_wrong_sample),
        cmocka_unit_test(test_a_device_failure_is_reported),
        cmocka_unit_test(test_a_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
