/*
 * dir_test.c - descriptions of directories, log segments and series: figures agree with the files,
 * with the store's own and with select(); nothing is changed; a running server is not reported as
 * damage.
 */
#include "lib/test.h"
#include "lib/tsdb/tsdb_machine.h"
#include "tsdb/inspect/inspect.h"
#include "tsdb/store/store.h"

#define T0 SIM_BEGIN

enum { SENDS = 300 }; /* enough to fill some segments */

struct look {
    struct machine *m;
    struct budget budget;
    struct inspect_options options;
};

static struct look
look_of(struct machine *m)
{
    struct look l = {.m = m};
    budget_init(&l.budget, "inspect", 0, NULL);
    l.options = (struct inspect_options){.env = m->env, .now_ms = env_realtime_ms(m->env)};
    return l;
}

static void
look_dir(struct look *l, struct inspect_dir *d)
{
    l->options.memory = &l->budget;
    enum err e = inspect_dir(&l->options, STORE_DIR, d, &l->m->why);
    if (e) print_error("inspect: %s\n", l->m->why.text);
    must(e);
}

/* --- content ---------------------------------------------------------------------------------- */

/* Sends ten samples from `t_ms` on of each of `series` series; every fifth has histograms. */
static void
send(struct machine *m, const char *tenant, unsigned series, int64_t t_ms)
{
    struct rq rq;
    rq_init(&rq, RW_V2);
    for (unsigned s = 0; s < series; s++) {
        char labels[80];
        snprintf(labels, sizeof labels, "__name__=m%u,instance=i%u,job=%s", s % 3, s,
                 s % 2 == 0 ? "a" : "b");
        rq_series(&rq, labels);
        for (int64_t i = 0; i < 10; i++) {
            struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT, .count = (uint64_t)i};
            h.zero_count = (uint64_t)i;
            if (s % 5 == 4)
                rq_histogram(&rq, t_ms + i * 1000, &h, 0);
            else
                rq_float(&rq, t_ms + i * 1000, double_bits((double)(s * 100) + (double)i / 4), 0);
        }
        if (s % 4 == 0) rq_exemplar(&rq, t_ms, double_bits(1.5), "trace=x");
    }
    must(machine_send(m, tenant, &rq));
    machine_commit(m);
    rq_fini(&rq);
}

/* Writes three parts over two days and two tenants; the last requests are only in the log. */
static void
fill(struct machine *m)
{
    send(m, "one", 10, T0 - 2 * DAY_MS);
    machine_flush(m);
    send(m, "one", 12, T0 - DAY_MS);
    send(m, "two", 5, T0 - DAY_MS);
    machine_flush(m);
    send(m, "two", 7, T0 - DAY_MS + MINUTE_MS);
    machine_flush(m);
    send(m, "one", 3, T0);
    send(m, "one", 3, T0); /* duplicates */
}

/* --- directories ------------------------------------------------------------------------------ */

static void
check_sums(const struct inspect_dir *d)
{
    uint64_t samples[LEDGER_KIND_COUNT] = {0}, by_time[LEDGER_KIND_COUNT] = {0}, parts = 0;
    uint64_t bytes = 0, stored[LEDGER_KIND_COUNT] = {0};
    for (uint32_t i = 0; i < d->part_count; i++)
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
            samples[k] += d->parts[i].facts.sample_count[k];
    for (uint32_t i = 0; i < d->partition_count; i++) {
        parts += d->partitions[i].parts;
        bytes += d->partitions[i].data_bytes + d->partitions[i].index_bytes;
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
            by_time[k] += d->partitions[i].samples[k];
    }
    for (uint32_t i = 0; i < d->tenant_count; i++)
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
            stored[k] += d->tenants[i].totals.stored[k];
    assert_int_equal(parts, d->part_count);
    assert_int_equal(bytes, d->data_bytes + d->index_bytes);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        assert_int_equal(samples[k], d->samples[k]);
        assert_int_equal(by_time[k], d->samples[k]);
        assert_int_equal(stored[k], d->samples[k]);
    }
}

static uint64_t
all_bytes(const struct inspect_dir *d)
{
    return d->data_bytes + d->index_bytes + d->meta_bytes + d->log_bytes + d->rules_bytes +
           d->small_bytes + d->other_bytes;
}

UNIT_TEST(test_a_directory_is_accounted_for_to_the_byte_and_nothing_is_changed)
{
    struct machine m;
    struct inspect_dir d;
    struct tsdb_stats stats;
    machine_init(&m, 1);
    machine_must_open(&m);
    fill(&m);
    tsdb_stats(m.db, &stats);
    struct tree_sum before = tree_sum_of(sim_env_env(m.sim), STORE_DIR);
    struct look l = look_of(&m);
    look_dir(&l, &d); /* while the store is open */
    assert_int_equal(d.remarks.count, 0);
    assert_int_equal(all_bytes(&d), before.bytes);
    check_sums(&d);
    assert_int_equal(d.part_count, 3);
    assert_int_equal(d.partition_count, 2);
    assert_int_equal(d.tenant_count, 2);
    assert_int_equal(d.other_count, 0);
    assert_int_equal(d.store_pos, stats.store_pos);
    assert_int_equal(d.data_bytes, stats.part_data_bytes);
    assert_int_equal(d.data_bytes + d.index_bytes, stats.part_bytes);
    assert_int_equal(d.log_bytes, stats.wal.segment_bytes);
    assert_int_equal(d.log_end_pos, stats.wal.end_pos);
    assert_int_equal(d.segment_count, stats.wal.segment_count);
    assert_true(d.log_end_pos > d.store_pos);
    assert_true(before.hash == tree_sum_of(sim_env_env(m.sim), STORE_DIR).hash);
    inspect_dir_fini(&d);
    assert_int_equal(budget_used(&l.budget), 0);
    machine_fini(&m);
}

/* The older of two parts that have samples of several days is written last. */
UNIT_TEST(test_parts_that_span_several_partitions_are_summed_up_together)
{
    struct machine m;
    struct inspect_dir d;
    machine_init(&m, 1);
    machine_must_open(&m);
    send(&m, "one", 3, T0 - 2 * DAY_MS);
    send(&m, "one", 3, T0);
    machine_flush(&m);
    send(&m, "two", 3, T0 - 4 * DAY_MS);
    send(&m, "two", 3, T0 - DAY_MS);
    machine_flush(&m);
    struct look l = look_of(&m);
    look_dir(&l, &d);
    check_sums(&d);
    assert_int_equal(d.part_count, 2);
    assert_int_equal(d.partition_count, 1);
    assert_true(d.partitions[0].several);
    assert_int_equal(d.partitions[0].time.min_ms, T0 - 4 * DAY_MS);
    assert_int_equal(d.partitions[0].time.max_ms, T0 + 9000);
    inspect_dir_fini(&d);
    assert_int_equal(budget_used(&l.budget), 0);
    machine_fini(&m);
}

static void
write_text(struct machine *m, const char *path, const char *content)
{
    struct file file;
    struct env *env = sim_env_env(m->sim);
    must(file_open(env, path, FILE_REPLACE, &file, NULL));
    must(file_write_at(&file, bytes_of_text(content), 0, NULL));
    must(file_close(&file));
}

UNIT_TEST(test_unnamed_entries_are_listed)
{
    struct machine m;
    struct inspect_dir d;
    char name[SNAPSHOT_NAME_BYTES];
    machine_init(&m, 2);
    machine_must_open(&m);
    fill(&m);
    must(tsdb_snapshot(m.db, NULL, false, NULL, NULL, name, &m.why));
    struct selector selector;
    struct tsdb_deletion gone;
    must(selector_parse(text("m1{job!=\"b\",instance=~\"i.*\"}"), &selector, NULL));
    must(tsdb_delete(m.db, text("one"), &selector, 1, T0 - 3 * DAY_MS, T0, &gone, &m.why));
    machine_close(&m);
    must(env_mkdir(m.env, STORE_DIR "/parts/00000000000000aa", NULL));
    write_text(&m, STORE_DIR "/parts/00000000000000aa/part", "begun");
    write_text(&m, STORE_DIR "/notes.txt", "four");
    write_text(&m, STORE_DIR "/wal/junk", "j");
    must(env_mkdir(m.env, STORE_DIR "/rules", NULL));
    write_text(&m, STORE_DIR "/rules/one.groups", "seven..");
    write_text(&m, STORE_DIR "/rules/state", "state");
    struct look l = look_of(&m);
    look_dir(&l, &d);
    assert_int_equal(d.remarks.count, 0);
    assert_int_equal(d.rules_bytes, 12);
    assert_int_equal(d.other_count, 3);
    assert_string_equal(d.others[0].path, "notes.txt");
    assert_int_equal(d.others[0].bytes, 4);
    assert_string_equal(d.others[1].path, "parts/00000000000000aa");
    assert_int_equal(d.others[1].bytes, 5);
    assert_string_equal(d.others[2].path, "wal/junk");
    assert_int_equal(all_bytes(&d) + tree_sum_of(sim_env_env(m.sim), STORE_DIR "/snapshots").bytes,
                     tree_sum_of(sim_env_env(m.sim), STORE_DIR).bytes);
    assert_int_equal(d.snapshot_count, 1);
    assert_string_equal(d.snapshots[0].name, name);
    assert_int_equal(d.snapshots[0].parts, 3);
    assert_int_equal(d.snapshots[0].bytes, d.data_bytes + d.index_bytes + d.meta_bytes);
    assert_int_equal(d.tombstone_count, 1);
    assert_true(bytes_equal_text(d.tombstones[0].selector,
                                 "{__name__=\"m1\", job!=\"b\", instance=~\"i.*\"}"));
    assert_int_equal(d.receipt_count, 1);
    assert_int_equal(d.receipts[0].id, d.tombstones[0].id);
    assert_int_equal(d.receipts[0].state, DELETION_HELD);
    assert_true(bytes_equal(d.receipts[0].selector, d.tombstones[0].selector));
    inspect_dir_fini(&d);
    /* The snapshot is a directory like any other, without a log. */
    char path[120];
    snprintf(path, sizeof path, STORE_DIR "/snapshots/%s", name);
    must(inspect_dir(&l.options, path, &d, &m.why));
    assert_int_equal(d.remarks.count, 0);
    assert_int_equal(d.part_count, 3);
    assert_false(d.has_log);
    assert_int_equal(d.other_count, 0);
    /* A remark of the caller counts as any other. */
    must(inspect_dir_remark(&d, false, "a note"));
    must(inspect_dir_remark(&d, true, "damage"));
    assert_int_equal(d.remarks.count, 2);
    assert_int_equal(d.remarks.damage_count, 1);
    assert_string_equal(d.remarks.items[1].text, "damage");
    for (unsigned i = 2; i < INSPECT_REMARKS_MAX + 3; i++)
        must(inspect_dir_remark(&d, false, "a note"));
    must(inspect_dir_remark(&d, true, "damage")); /* once more: counted, kept and left out once */
    must(inspect_dir_remark(&d, true, "other damage"));
    assert_int_equal(d.remarks.count, INSPECT_REMARKS_MAX);
    assert_int_equal(d.remarks.left_out, 4);
    assert_int_equal(d.remarks.damage_count, 2);
    inspect_dir_fini(&d);
    machine_fini(&m);
}

/* --- beside a server -------------------------------------------------------------------------- */

struct meddler {
    struct machine *m;
    unsigned merges; /* pending */
};

/* Merges all parts into new ones after the first part was read. */
static void
meddle(void *context, uint64_t done, uint64_t all)
{
    struct meddler *x = context;
    struct tsdb_merge_options options = {.mode = TSDB_MERGE_FULL};
    struct tsdb_merge_result result = {.input_count = 1};
    (void)done;
    (void)all;
    if (x->merges == 0) return;
    x->merges--;
    send(x->m, "two", 2, T0 - DAY_MS + x->merges * MINUTE_MS);
    machine_flush(x->m);
    while (result.input_count > 0)
        must(tsdb_merge(x->m->db, &options, &result, &x->m->why));
}

UNIT_TEST(test_parts_that_are_merged_meanwhile_are_not_damage)
{
    for (unsigned merges = 1; merges < 40; merges *= 3) {
        struct machine m;
        struct inspect_dir d;
        machine_init(&m, 3);
        machine_must_open(&m);
        fill(&m);
        struct meddler meddler = {&m, merges};
        struct look l = look_of(&m);
        l.options.progress = meddle;
        l.options.context = &meddler;
        look_dir(&l, &d);
        assert_int_equal(d.remarks.damage_count, 0);
        if (meddler.merges == 0) { /* all merges are done */
            struct tsdb_stats stats;
            tsdb_stats(m.db, &stats);
            assert_int_equal(d.remarks.count, 0);
            assert_int_equal(d.data_bytes + d.index_bytes, stats.part_bytes);
            check_sums(&d);
        } else {
            assert_int_equal(d.remarks.count, 1);
            assert_false(d.remarks.items[0].damage);
        }
        inspect_dir_fini(&d);
        machine_fini(&m);
    }
}

UNIT_TEST(test_missing_or_damaged_parts_are_reported_and_the_rest_explained)
{
    struct machine m;
    struct inspect_dir d;
    struct file file;
    machine_init(&m, 4);
    machine_must_open(&m);
    fill(&m);
    machine_close(&m);
    struct look l = look_of(&m);
    must(env_remove_tree(m.env, STORE_DIR "/parts/0000000000000002", NULL));
    look_dir(&l, &d);
    assert_int_equal(d.remarks.damage_count, 1);
    assert_non_null(strstr(d.remarks.items[0].text, "0000000000000002"));
    assert_int_equal(d.part_count, 3);
    assert_true(d.parts[1].unreadable && !d.parts[2].unreadable);
    assert_true(d.parts[2].facts.series_count > 0);
    inspect_dir_fini(&d);

    must(file_open(m.env, STORE_DIR "/MANIFEST", FILE_UPDATE, &file, NULL));
    must(file_write_at(&file, text("????"), 20, NULL));
    look_dir(&l, &d);
    assert_int_equal(d.remarks.damage_count, 2); /* one copy is left */
    assert_true(d.manifest_whole);
    inspect_dir_fini(&d);

    must(file_truncate(&file, 30, NULL));
    must(file_close(&file));
    look_dir(&l, &d);
    assert_false(d.manifest_whole);
    assert_true(d.segment_count > 0 && d.log_bytes > 0);
    assert_int_equal(d.other_count, 2); /* the parts, which no manifest names now */
    inspect_dir_fini(&d);
    machine_fini(&m);
}

UNIT_TEST(test_a_newer_version_is_reported_but_is_not_damage)
{
    struct machine m;
    struct inspect_dir d;
    machine_init(&m, 8);
    machine_must_open(&m);
    fill(&m);
    machine_close(&m);
    struct look l = look_of(&m);
    write_text(&m, STORE_DIR "/FORMAT", "firekeep storage\nversion 99\nmin_reader 98\n");
    assert_int_equal(inspect_dir(&l.options, STORE_DIR, &d, &m.why), ERR_UNSUPPORTED);
    assert_non_null(strstr(m.why.text, "99"));
    write_text(&m, STORE_DIR "/FORMAT", "nonsense");
    look_dir(&l, &d);
    assert_int_equal(d.remarks.damage_count, 1);
    assert_int_equal(d.version, 0);
    assert_int_equal(d.part_count, 3);
    inspect_dir_fini(&d);
    machine_fini(&m);
}

UNIT_TEST(test_refused_memory_is_an_error_that_says_so_and_leaks_nothing)
{
    struct machine m;
    machine_init(&m, 5);
    machine_must_open(&m);
    fill(&m);
    machine_close(&m);
    struct look l = look_of(&m);
    l.options.memory = &l.budget;
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        struct inspect_dir d;
        mem_fail_nth(nth, true);
        enum err e = inspect_dir(&l.options, STORE_DIR, &d, &m.why);
        if (e == OK) inspect_dir_fini(&d);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(budget_used(&l.budget), 0);
        if (fired) assert_true(e == ERR_NOMEM && strlen(m.why.text) > 0);
    }
    machine_fini(&m);
}

/* --- the log ---------------------------------------------------------------------------------- */

UNIT_TEST(test_segments_together_hold_what_was_sent)
{
    struct machine m;
    struct inspect_dir d;
    uint64_t items[WAL_TYPE_LAST + 1] = {0}, accepted[LEDGER_KIND_COUNT] = {0};
    struct time_range times = {INT64_MAX, INT64_MIN};
    machine_init(&m, 6);
    m.options.wal_budget_bytes = 0;
    machine_must_open(&m);
    for (unsigned i = 0; i < SENDS; i++)
        send(&m, "one", 40, T0 - DAY_MS + i * 20000);
    struct look l = look_of(&m);
    look_dir(&l, &d);
    assert_true(d.segment_count > 1);
    for (uint32_t i = 0; i < d.segment_count; i++) {
        char path[80];
        struct inspect_target t;
        struct inspect_segment s;
        snprintf(path, sizeof path, STORE_DIR "/wal/%016llx.wal",
                 (unsigned long long)d.segments[i].number);
        must(inspect_path(m.env, path, &t, &m.why));
        must(inspect_segment(&l.options, &t, &s, &m.why));
        uint64_t sum = s.header_bytes + s.rest_bytes + s.log.damaged_bytes;
        for (unsigned k = 0; k <= WAL_TYPE_LAST; k++) {
            sum += s.types[k].record_bytes;
            items[k] += s.types[k].items;
        }
        assert_int_equal(sum, s.log.segment.file_bytes);
        assert_int_equal(s.types[WAL_COMMIT].count, s.commits);
        assert_true(s.commit_bytes_p50 <= s.commit_bytes_max);
        assert_int_equal(s.remarks.count, 0);
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
            accepted[k] += s.accepted[k];
        if (s.samples.min_ms < times.min_ms) times.min_ms = s.samples.min_ms;
        if (s.samples.max_ms > times.max_ms) times.max_ms = s.samples.max_ms;
        inspect_segment_fini(&s);
    }
    assert_int_equal(items[WAL_FLOATS], SENDS * 32 * 10);
    assert_int_equal(items[WAL_HISTOGRAMS], SENDS * 8 * 10);
    assert_int_equal(items[WAL_EXEMPLARS], SENDS * 10);
    assert_int_equal(items[WAL_FLOATS], accepted[LEDGER_FLOAT]);
    assert_int_equal(items[WAL_HISTOGRAMS], accepted[LEDGER_HISTOGRAM]);
    assert_int_equal(items[WAL_EXEMPLARS], accepted[LEDGER_EXEMPLAR]);
    assert_true(items[WAL_SERIES] >= 40);
    assert_int_equal(times.min_ms, T0 - DAY_MS);
    assert_int_equal(times.max_ms, T0 - DAY_MS + (SENDS - 1) * 20000 + 9 * 1000);
    inspect_dir_fini(&d);
    machine_fini(&m);
}

int
main(void)
{
#define claim(test) cmocka_unit_test_teardown(test, tell_seed)
    const struct CMUnitTest tests[] = {
        claim(test_a_directory_is_accounted_for_to_the_byte_and_nothing_is_changed),
        claim(test_parts_that_span_several_partitions_are_summed_up_together),
        claim(test_unnamed_entries_are_listed),
        claim(test_parts_that_are_merged_meanwhile_are_not_damage),
        claim(test_missing_or_damaged_parts_are_reported_and_the_rest_explained),
        claim(test_a_newer_version_is_reported_but_is_not_damage),
        claim(test_refused_memory_is_an_error_that_says_so_and_leaks_nothing),
        claim(test_segments_together_hold_what_was_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
