/*
 * tsdb_read_only_test.c - a store opened only for reading leaves its directory as it was, in any
 * state, and answers like one that is opened for writing.
 */
#include "lib/test.h"
#include "lib/tsdb/tsdb_machine.h"

#define T0 (SIM_BEGIN - 60 * MINUTE_MS)

/* --- the directory ---------------------------------------------------------------------------- */

static void
put_file(struct machine *m, const char *path, const char *content)
{
    struct file file;
    must(file_open(m->env, path, FILE_REPLACE, &file, NULL));
    must(file_write_at(&file, text(content), 0, NULL));
    must(file_close(&file));
}

static void
flip(struct machine *m, const char *path, uint64_t from_end)
{
    struct file file;
    uint8_t byte;
    uint64_t size;
    must(file_open(m->env, path, FILE_UPDATE, &file, NULL));
    must(file_size(&file, &size, NULL));
    must(file_read_at(&file, &byte, 1, size - from_end, NULL));
    byte ^= 1;
    must(file_write_at(&file, bytes_of(&byte, 1), size - from_end, NULL));
    must(file_close(&file));
}

/* --- content ---------------------------------------------------------------------------------- */

static void
send(struct machine *m, unsigned nth)
{
    struct rq rq;
    rq_init(&rq, RW_V2);
    for (unsigned s = 0; s < 8; s++) {
        char labels[60];
        snprintf(labels, sizeof labels, "__name__=m,s=%u", s);
        rq_series(&rq, labels);
        for (int64_t i = 0; i < 10; i++)
            rq_float(&rq, T0 + (nth * 10 + i) * 1000, double_bits((double)(s + nth)), 0);
    }
    must(machine_send(m, "a", &rq));
    machine_commit(m);
    rq_fini(&rq);
}

/* Writes two parts, and more samples to the log. */
static void
fill(struct machine *m)
{
    machine_init(m, 1);
    machine_must_open(m);
    for (unsigned nth = 0; nth < 2; nth++) {
        send(m, nth);
        machine_flush(m);
    }
    send(m, 2);
    machine_close(m);
}

static uint64_t
samples(struct machine *m)
{
    static const struct matcher_text all[] = {{MATCH_EQUAL, "__name__", "m"}};
    struct question q;
    struct series_set *set;
    struct answerer *a = tsdb_answerer(m->db);
    uint64_t count = 0;
    question_init(&q, "a", all, 1, INT64_MIN / 2, INT64_MAX / 2);
    must(answerer_select(a, &q.request, &set, &m->why));
    for (;;) {
        struct bytes labels;
        must(series_set_next(set, &labels, &m->why));
        if (labels.at == NULL) break;
        for (struct sample_batch b = {.count = 1}; b.count > 0;) {
            must(series_set_batch(set, &b, &m->why));
            count += b.count;
        }
    }
    series_set_free(set);
    question_fini(&q);
    return count;
}

/* Checks that reading changes nothing and finds `wanted` samples. */
static void
check_reading(struct machine *m, uint64_t wanted)
{
    uint64_t before = tree_sum_of(m->env, STORE_DIR).hash;
    m->options.read_only = true;
    machine_must_open(m);
    assert_int_equal(samples(m), wanted);
    assert_true(tsdb_is_down(m->db));
    assert_false(tsdb_commit_due(m->db));
    machine_close(m);
    m->options.read_only = false;
    assert_true(tree_sum_of(m->env, STORE_DIR).hash == before);
}

/* --- the tests -------------------------------------------------------------------------------- */

UNIT_TEST(test_a_store_that_is_only_read_stays_as_it_is)
{
    struct machine m;
    fill(&m);
    check_reading(&m, 240);
    must(env_mkdir(m.env, STORE_DIR "/parts/00000000000000ff", NULL)); /* a server removes it */
    must(env_mkdir(m.env, STORE_DIR "/snapshots", NULL));
    must(env_mkdir(m.env, STORE_DIR "/snapshots/x.tmp", NULL));
    put_file(&m, STORE_DIR "/parts/00000000000000ff/part", "half of a part");
    put_file(&m, STORE_DIR "/wal/next.tmp", "");
    put_file(&m, STORE_DIR "/wal/00000000000000f0.wal", "");
    check_reading(&m, 240);
    uint64_t before = tree_sum_of(m.env, STORE_DIR).hash;
    machine_must_open(&m);
    assert_int_equal(samples(&m), 240);
    machine_close(&m);
    assert_true(tree_sum_of(m.env, STORE_DIR).hash != before);
    machine_fini(&m);
}

UNIT_TEST(test_a_damaged_store_that_is_only_read_stays_as_it_is)
{
    struct machine m;
    fill(&m);
    flip(&m, STORE_DIR "/parts/0000000000000001/part", 1);
    check_reading(&m, 160);
    assert_int_equal(m.opening.parts_set_aside, 1);
    assert_non_null(strstr(m.opening.first_damage, "0000000000000001"));
    flip(&m, STORE_DIR "/MANIFEST", 1);
    check_reading(&m, 160);
    assert_true(m.opening.manifest_mended);
    must(env_remove_tree(m.env, STORE_DIR "/wal", NULL));
    check_reading(&m, 80);
    assert_true(m.opening.damage.places > 0);
    machine_fini(&m);
}

UNIT_TEST(test_read_only_use_is_refused_beside_a_server_or_without_a_store)
{
    struct machine m;
    struct tsdb *other;
    struct tsdb_opening opening;
    machine_init(&m, 1);
    m.options.read_only = true;
    assert_int_equal(machine_open(&m), ERR_MISSING);
    m.options.read_only = false;
    machine_must_open(&m);
    struct tsdb_options options = m.options;
    options.read_only = true;
    assert_int_equal(tsdb_open(&options, &m.limits, &other, &opening, &m.why), ERR_AGAIN);
    assert_non_null(strstr(m.why.text, "in use"));
    machine_fini(&m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_store_that_is_only_read_stays_as_it_is, tell_seed),
        cmocka_unit_test_teardown(test_a_damaged_store_that_is_only_read_stays_as_it_is, tell_seed),
        cmocka_unit_test_teardown(test_read_only_use_is_refused_beside_a_server_or_without_a_store,
                                  tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
