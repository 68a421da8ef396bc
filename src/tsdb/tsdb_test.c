/* tsdb_test.c - time, temporary refusals, and visibility of samples. */
#include "lib/test.h"
#include "lib/tsdb/tsdb_claim.h"

/* --- time ------------------------------------------------------------------------------------- */

UNIT_TEST(test_retention_counts_from_the_newest_sample)
{
    must(send_float("anonymous", "__name__=a", SIM_BEGIN - 900 * DAY_MS, 1));
    expect_result(1, 0); /* nothing is newer */
    must(send_float("anonymous", "__name__=a", SIM_BEGIN, 1));
    must(send_float("anonymous", "__name__=b", SIM_BEGIN - 365 * DAY_MS, 1));
    expect_result(1, 0);
    must(send_float("anonymous", "__name__=b", SIM_BEGIN - 365 * DAY_MS - 1, 1));
    expect_result(0, 1);
    must(send_float("anonymous", "__name__=b", SIM_BEGIN + 10 * MINUTE_MS, 1));
    expect_result(1, 0);
    must(send_float("anonymous", "__name__=b", SIM_BEGIN + 10 * MINUTE_MS + 1, 1));
    expect_result(0, 1);
    machine_commit(&machine);
    machine_verified_restart(&machine);
}

UNIT_TEST(test_suspect_clock_refuses_only_for_a_while)
{
    must(send_float("anonymous", "__name__=a", SIM_BEGIN, 1));
    machine_commit(&machine);
    sim_env_set_realtime_ms(machine.sim, SIM_BEGIN - DAY_MS);
    must(tsdb_maintain(machine.db, &machine.why));
    assert_int_equal(send_float("anonymous", "__name__=a", SIM_BEGIN + 1, 2), ERR_AGAIN);
    assert_non_null(strstr(machine.why.text, "clock"));
    must(send_float("anonymous", "__name__=a", SIM_BEGIN - 2 * DAY_MS, 3));
    expect_result(1, 0);
    machine_commit(&machine);
    sim_env_set_realtime_ms(machine.sim, SIM_BEGIN);
    must(tsdb_maintain(machine.db, &machine.why));
    must(send_float("anonymous", "__name__=a", SIM_BEGIN + 1, 2));
    expect_result(1, 0);
    machine_commit(&machine);
    machine_verified_restart(&machine);
}

UNIT_TEST(test_the_name_of_a_new_directory_outlives_a_loss_of_power)
{
    static const char *const dirs[] = {"above/store", "above/slashed//"};
    char expected[64];
    snprintf(expected, sizeof expected, "{__name__=\"a\"} %lld 1\n", (long long)T0);
    must(env_mkdir(machine.env, "above", &machine.why));
    must(env_syncdir(machine.env, ".", &machine.why));
    for (unsigned i = 0; i < 2; i++) {
        machine_close(&machine);
        machine.options.dir = dirs[i];
        machine_must_open(&machine);
        must(send_float("anonymous", "__name__=a", T0, 1));
        machine_commit(&machine);
        sim_env_power_loss(machine.sim);
        machine_restart(&machine);
        expect_all(&machine, "anonymous", expected);
    }
}

/* --- not now ---------------------------------------------------------------------------------- */

UNIT_TEST(test_nearly_full_disk_refuses_until_there_is_room)
{
    fault_env_set_free(machine.fe, 1000);
    must(tsdb_maintain(machine.db, &machine.why));
    assert_int_equal(send_float("anonymous", "__name__=a", T0, 1), ERR_AGAIN);
    assert_non_null(strstr(machine.why.text, "nearly full"));
    expect_all(&machine, "anonymous", "");
    fault_env_set_free(machine.fe, UINT64_MAX);
    must(tsdb_maintain(machine.db, &machine.why));
    must(send_float("anonymous", "__name__=a", T0, 1));
    machine_commit(&machine);
}

static enum err
count_name(void *context, const char *name, bool is_dir)
{
    (void)name;
    *(unsigned *)context += is_dir;
    return OK;
}

/* The default reserve is 1 GiB, or 5 % of a smaller disk. */
UNIT_TEST(test_a_reserve_of_the_disk_is_kept_if_none_is_said)
{
    uint64_t free_bytes, total;
    machine.options.min_free_bytes = 0;
    machine_restart(&machine);
    must(env_space(machine.env, STORE_DIR, &free_bytes, &total, &machine.why));
    uint64_t reserve = total / 20 < 1u << 30 ? total / 20 : 1u << 30;
    fault_env_set_free(machine.fe, reserve - 1);
    must(tsdb_maintain(machine.db, &machine.why));
    assert_int_equal(send_float("a", "__name__=m", T0, 1), ERR_AGAIN);
    fault_env_set_free(machine.fe, reserve);
    must(tsdb_maintain(machine.db, &machine.why));
    must(send_float("a", "__name__=m", T0, 1));
}

UNIT_TEST(test_a_flush_that_fails_leaves_nothing_that_takes_room)
{
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        must(send_float("anonymous", "__name__=up", T0 + (int64_t)nth, 1));
        machine_commit(&machine);
        tsdb_want_cut(machine.db);
        machine_commit(&machine);
        enum err e = ERR_FULL;
        for (unsigned attempt = 0; e != OK; attempt++) {
            assert_true(attempt < 5);
            if (attempt < 4) fault_env_arm(machine.fe, (struct fault){FAULT_ENOSPC, nth, false});
            e = tsdb_flush(machine.db, &machine.why);
            if (attempt == 0) fired = fault_env_fired(machine.fe);
            fault_env_disarm(machine.fe);
            unsigned dirs = 0;
            must(env_listdir(machine.env, STORE_DIR "/parts", count_name, &dirs, NULL));
            assert_in_range(dirs, nth - 1, nth); /* one of each round, and one in progress */
        }
    }
    machine_verified_restart(&machine);
}

/* An unreachable destination holds the log back, which must not make the store write the head
 * repeatedly. */
UNIT_TEST(test_a_log_kept_for_a_reader_is_not_written_out_twice)
{
    struct wal_reader *reader;
    machine.limits.wal_budget_bytes = (uint64_t)1 << 20;
    tsdb_set_limits(machine.db, &machine.limits);
    must(wal_reader_open(tsdb_wal(machine.db), "away", 0, &reader, &machine.why));
    struct wal_stats wal = {0};
    uint64_t begun = 0;
    int64_t t = T0;
    while (wal.segment_bytes <= machine.limits.wal_budget_bytes / 2) {
        must(send_float("anonymous", "__name__=up", t++, 1));
        machine_commit(&machine);
        wal_stats(tsdb_wal(machine.db), &wal);
        bool due =
            wal_bytes_from(tsdb_wal(machine.db), begun) > machine.limits.wal_budget_bytes / 4;
        assert_int_equal(tsdb_flush_due(machine.db), due);
        if (!due) continue;
        machine_flush(&machine);
        begun = wal.end_pos;
        must(tsdb_maintain(machine.db, &machine.why));
        assert_false(tsdb_flush_due(machine.db));
    }
    assert_int_equal(wal.readers_behind, 0);
    must(send_float("anonymous", "__name__=up", t++, 1));
    machine_commit(&machine);
    assert_false(tsdb_flush_due(machine.db));
    wal_reader_close(reader);
    machine_verified_restart(&machine);
}

struct snapshots {
    uint32_t whole;
    uint32_t unfinished;
};

static void
ignore_line(void *context, const char *line)
{
    (void)context;
    (void)line;
}

static enum err
look_at_snapshot(void *context, const char *name, bool is_dir)
{
    struct snapshots *found = context;
    struct tsdb_report report;
    char dir[200];
    assert_true(is_dir);
    if (strstr(name, ".tmp") != NULL) {
        found->unfinished++;
        return OK;
    }
    found->whole++;
    snprintf(dir, sizeof dir, STORE_DIR "/snapshots/%s", name);
    must(tsdb_verify(machine.env, dir, ignore_line, NULL, &report, &machine.why));
    assert_int_equal(report.parts, 2);
    struct file_facts facts;
    snprintf(dir, sizeof dir, STORE_DIR "/snapshots/%s/rules/one.groups", name);
    must(env_facts(machine.env, dir, &facts, &machine.why));
    snprintf(dir, sizeof dir, STORE_DIR "/snapshots/%s/rules/state", name);
    must(env_facts(machine.env, dir, &facts, &machine.why));
    snprintf(dir, sizeof dir, STORE_DIR "/snapshots/%s/rules/two.groups.tmp", name);
    assert_int_equal(env_facts(machine.env, dir, &facts, &machine.why), ERR_MISSING);
    return OK;
}

UNIT_TEST(test_a_snapshot_is_whole_or_not_there)
{
    bool fired = true, lacked_name = false;
    for (int part = 0; part < 2; part++) {
        must(send_float("anonymous", "__name__=up", T0 + part, 1));
        machine_commit(&machine);
        machine_flush(&machine);
    }
    const char *rules = STORE_DIR "/rules";
    must(env_mkdir(machine.env, rules, &machine.why));
    must(env_syncdir(machine.env, STORE_DIR, &machine.why));
    must(env_write_whole(machine.env, rules, "one.groups", bytes_of_text("rules"), &machine.why));
    must(env_write_whole(machine.env, rules, "two.groups.tmp", bytes_of_text("rul"), &machine.why));
    must(env_write_whole(machine.env, rules, "state", bytes_of_text("state"), &machine.why));
    for (uint64_t nth = 1; fired; nth++) {
        char name[SNAPSHOT_NAME_BYTES];
        struct snapshots before = {0}, after = {0};
        enum err e =
            env_listdir(machine.env, STORE_DIR "/snapshots", look_at_snapshot, &before, NULL);
        assert_true(e == OK || e == ERR_MISSING);
        fault_env_arm(machine.fe, (struct fault){FAULT_EIO, nth, nth % 2 == 0});
        e = tsdb_snapshot(machine.db, NULL, false, NULL, NULL, name, &machine.why);
        fired = fault_env_fired(machine.fe);
        fault_env_disarm(machine.fe);
        lacked_name |= e && strstr(machine.why.text, "random bytes for a snapshot name") != NULL;
        if (nth % 3 == 0) sim_env_power_loss(machine.sim);
        machine_restart(&machine);
        bool made = e == OK;
        e = env_listdir(machine.env, STORE_DIR "/snapshots", look_at_snapshot, &after, NULL);
        assert_true(e == OK || e == ERR_MISSING);
        assert_int_equal(after.unfinished, 0);
        assert_in_range(after.whole, before.whole + made, before.whole + 1);
    }
    assert_true(lacked_name);
    machine_verified_restart(&machine);
}

/* The snapshot that was listed last. */
struct listed {
    struct tsdb_snapshot_facts last;
    uint32_t count;
};

static enum err
note_listed(void *context, const struct tsdb_snapshot_facts *facts)
{
    struct listed *l = context;
    l->last = *facts;
    l->count++;
    return OK;
}

static struct listed
list_snapshots(void)
{
    struct listed l = {.count = 0};
    must(tsdb_snapshots(machine.db, note_listed, &l, &machine.why));
    return l;
}

UNIT_TEST(test_snapshots_are_listed_with_what_they_alone_hold)
{
    char name[SNAPSHOT_NAME_BYTES];
    struct tsdb_stats stats;
    struct tsdb_merge_result merged;
    const struct tsdb_merge_options full = {.mode = TSDB_MERGE_FULL};
    assert_int_equal(list_snapshots().count, 0);
    for (int part = 0; part < 2; part++) {
        must(send_float("anonymous", "__name__=up", T0 + part, 1));
        machine_commit(&machine);
        machine_flush(&machine);
    }
    must(tsdb_snapshot(machine.db, NULL, false, NULL, NULL, name, &machine.why));
    must(env_mkdir(machine.env, STORE_DIR "/snapshots/mine", &machine.why));
    tsdb_stats(machine.db, &stats);
    struct listed l = list_snapshots();
    assert_int_equal(l.count, 1);
    assert_string_equal(l.last.name, name);
    assert_int_equal(l.last.parts, 2);
    assert_int_equal(l.last.bytes, stats.part_bytes);
    assert_int_equal(l.last.held_bytes, 0);
    must(tsdb_merge(machine.db, &full, &merged, &machine.why));
    assert_int_equal(merged.output_count, 1);
    assert_int_equal(list_snapshots().last.held_bytes, l.last.bytes);
}

UNIT_TEST(test_only_a_snapshot_without_readers_is_deleted)
{
    static const char *const names[] = {
        "",
        "x",
        "..",
        "../parts",
        "20260101T000000Z-",
        "20260101T000000Z-0000000000000000/..",
        "20260101T000000Z-0000000000000000.tmp",
        "20260101T000000Z-0000000000000000",
    };
    char name[SNAPSHOT_NAME_BYTES], dir[200];
    struct tsdb_reading_lock lock;
    must(send_float("anonymous", "__name__=up", T0, 1));
    machine_commit(&machine);
    machine_flush(&machine);
    must(tsdb_snapshot(machine.db, NULL, false, NULL, NULL, name, &machine.why));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(tsdb_snapshot_delete(machine.db, names[i], &machine.why), ERR_MISSING);
        assert_string_equal(machine.why.text, "no snapshot has this name");
    }
    snprintf(dir, sizeof dir, STORE_DIR "/snapshots/%s", name);
    must(tsdb_reading_lock_take(machine.env, dir, &lock, &machine.why));
    assert_int_equal(tsdb_snapshot_delete(machine.db, name, &machine.why), ERR_AGAIN);
    assert_string_equal(machine.why.text, "another process is using the snapshot");
    tsdb_reading_lock_drop(&lock);
    assert_int_equal(list_snapshots().count, 1);
    snprintf(dir, sizeof dir, STORE_DIR "/snapshots/%s/FORMAT", name);
    must(env_unlink(machine.env, dir, &machine.why));
    must(tsdb_snapshot_delete(machine.db, name, &machine.why));
    assert_int_equal(list_snapshots().count, 0);
    assert_int_equal(tsdb_snapshot_delete(machine.db, name, &machine.why), ERR_MISSING);
    machine_verified_restart(&machine);
}

UNIT_TEST(test_a_deleted_snapshot_is_whole_or_gone)
{
    bool fired = true;
    for (int part = 0; part < 2; part++) {
        must(send_float("anonymous", "__name__=up", T0 + part, 1));
        machine_commit(&machine);
        machine_flush(&machine);
    }
    for (uint64_t nth = 1; fired; nth++) {
        char name[SNAPSHOT_NAME_BYTES];
        struct file_facts facts;
        must(tsdb_snapshot(machine.db, NULL, false, NULL, NULL, name, &machine.why));
        fault_env_arm(machine.fe, (struct fault){FAULT_EIO, nth, nth % 2 == 0});
        enum err e = tsdb_snapshot_delete(machine.db, name, &machine.why);
        fired = fault_env_fired(machine.fe);
        fault_env_disarm(machine.fe);
        if (nth % 3 == 0) sim_env_power_loss(machine.sim);
        machine_restart(&machine);
        struct listed l = list_snapshots();
        assert_in_range(l.count, 0, e == OK ? 0 : 1);
        if (l.count == 1) {
            assert_int_equal(l.last.parts, 2);
            must(tsdb_snapshot_delete(machine.db, name, &machine.why));
        }
        char unfinished[200];
        snprintf(unfinished, sizeof unfinished, STORE_DIR "/snapshots/%s.tmp", name);
        assert_int_equal(env_facts(machine.env, unfinished, &facts, NULL), ERR_MISSING);
    }
    machine_verified_restart(&machine);
}

static enum err
flush_and_replace_state(void *context, struct why *why)
{
    const char *content = context;
    must(send_float("anonymous", "__name__=recorded", T0, 1));
    machine_commit(&machine);
    machine_flush(&machine);
    if (content == NULL) return why_set(why, ERR_FULL, "no space");
    must(env_mkdir(machine.env, STORE_DIR "/rules", NULL));
    return env_write_whole(machine.env, STORE_DIR "/rules", "state", bytes_of_text(content), why);
}

/* Checks the state of rules in a snapshot; `expected` is "" if it has none. */
static void
check_state(const char *snapshot, const char *expected)
{
    char path[200];
    struct buf found;
    snprintf(path, sizeof path, STORE_DIR "/snapshots/%s/rules/state", snapshot);
    buf_init(&found, NULL, 100);
    enum err e = env_read_whole(machine.env, path, &found, NULL);
    assert_int_equal(e, expected[0] == '\0' ? ERR_MISSING : OK);
    assert_true(bytes_equal_text(buf_bytes(&found), expected));
    buf_fini(&found);
}

UNIT_TEST(test_a_snapshot_has_the_state_of_rules_from_before_its_flush)
{
    static char first[] = "first", second[] = "second";
    char name[SNAPSHOT_NAME_BYTES], dir[200];
    struct tsdb_report report;
    must(
        tsdb_snapshot(machine.db, NULL, false, flush_and_replace_state, first, name, &machine.why));
    check_state(name, ""); /* the file is missing */
    must(tsdb_snapshot(machine.db, NULL, false, flush_and_replace_state, second, name,
                       &machine.why));
    check_state(name, "first");
    sim_env_power_loss(machine.sim);
    check_state(name, "first");
    /* It has the flushed samples. */
    snprintf(dir, sizeof dir, STORE_DIR "/snapshots/%s", name);
    must(tsdb_verify(machine.env, dir, ignore_line, NULL, &report, &machine.why));
    assert_int_equal(report.parts, 2);
    machine_restart(&machine);
}

UNIT_TEST(test_no_snapshot_is_made_when_its_flush_fails)
{
    struct snapshots found = {0};
    char name[SNAPSHOT_NAME_BYTES];
    assert_int_equal(
        tsdb_snapshot(machine.db, NULL, false, flush_and_replace_state, NULL, name, &machine.why),
        ERR_FULL);
    assert_string_equal(machine.why.text, "snapshot: no space");
    must(env_listdir(machine.env, STORE_DIR "/snapshots", look_at_snapshot, &found, NULL));
    assert_int_equal(found.whole + found.unfinished, 0);
}

UNIT_TEST(test_a_snapshot_ends_with_the_suffix_once_in_a_second)
{
    char name[SNAPSHOT_NAME_BYTES];
    assert_true(tsdb_is_snapshot_suffix("0123456789abcdef"));
    assert_false(tsdb_is_snapshot_suffix("0123456789ABCDEF"));
    assert_false(tsdb_is_snapshot_suffix("0123456789abcde"));
    assert_false(tsdb_is_snapshot_suffix("0123456789abcdef0"));
    must(tsdb_snapshot(machine.db, "0123456789abcdef", false, NULL, NULL, name, &machine.why));
    assert_string_equal(strchr(name, '-'), "-0123456789abcdef");
    assert_int_equal(
        tsdb_snapshot(machine.db, "0123456789abcdef", false, NULL, NULL, name, &machine.why),
        ERR_AGAIN);
    must(tsdb_snapshot_delete(machine.db, name, &machine.why));
}

UNIT_TEST(test_snapshots_omit_a_directory_in_place_of_the_state_of_rules)
{
    char name[SNAPSHOT_NAME_BYTES];
    must(env_mkdir(machine.env, STORE_DIR "/rules", NULL));
    must(env_mkdir(machine.env, STORE_DIR "/rules/state", NULL));
    must(tsdb_snapshot(machine.db, NULL, false, NULL, NULL, name, &machine.why));
    check_state(name, "");
}

/* Wraps the machine's env to count listings of rule files without the lock that must be held. */
static struct {
    const struct env_ops *ops;
    struct env_ops guarded;
    struct lock replacing;
    unsigned listed, unguarded;
} rules_guard;

/* Does the same as lock_is_mine(), which only debug builds have. */
static bool
is_held(struct lock *lock)
{
    if (pthread_mutex_trylock(&lock->mutex) != 0) return true;
    pthread_mutex_unlock(&lock->mutex);
    return false;
}

static int
list_guarded(struct env *env, const char *path,
             int (*each)(void *context, const char *name, bool is_dir), void *context)
{
    bool are_rules = strcmp(path, STORE_DIR "/rules") == 0;
    rules_guard.listed += are_rules;
    rules_guard.unguarded += are_rules && !is_held(&rules_guard.replacing);
    return rules_guard.ops->listdir(env, path, each, context);
}

UNIT_TEST(test_files_of_rules_are_not_replaced_while_a_snapshot_lists_them)
{
    char name[SNAPSHOT_NAME_BYTES];
    must(env_mkdir(machine.env, STORE_DIR "/rules", &machine.why));
    must(env_write_whole(machine.env, STORE_DIR "/rules", "a.groups", bytes_of_text("rules"),
                         &machine.why));
    lock_init(&rules_guard.replacing, LOCK_RANK_APP);
    machine.options.rules_lock = &rules_guard.replacing;
    machine_restart(&machine);
    rules_guard.ops = machine.env->ops;
    rules_guard.guarded = *machine.env->ops;
    rules_guard.guarded.listdir = list_guarded;
    machine.env->ops = &rules_guard.guarded;
    must(tsdb_snapshot(machine.db, NULL, false, NULL, NULL, name, &machine.why));
    machine.env->ops = rules_guard.ops;
    assert_int_equal(rules_guard.listed, 1);
    assert_int_equal(rules_guard.unguarded, 0);
    assert_false(is_held(&rules_guard.replacing));
    machine.options.rules_lock = NULL;
    machine_restart(&machine);
    lock_fini(&rules_guard.replacing);
}

UNIT_TEST(test_failed_commit_takes_everything_back)
{
    must(send_float("anonymous", "__name__=kept", T0, 1));
    machine_commit(&machine);
    struct ledger before = machine_ledger(&machine, "anonymous");
    must(send_float("anonymous", "__name__=kept", T0 + 1, 2));
    must(send_float("anonymous", "__name__=gone", T0, 3));
    must(send_float("anonymous", "__name__=gone", T0, 4));
    fault_env_arm(machine.fe, (struct fault){FAULT_SYNC, 1, false});
    assert_int_equal(tsdb_commit(machine.db, &machine.why), ERR_IO);
    assert_true(tsdb_is_down(machine.db));
    assert_int_equal(send_float("anonymous", "__name__=kept", T0 + 1, 2), ERR_AGAIN);
    struct ledger after = machine_ledger(&machine, "anonymous");
    assert_memory_equal(&after, &before, sizeof after);
    fault_env_disarm(machine.fe);
    must(tsdb_reopen(machine.db, &machine.why));
    char lines[200];
    snprintf(lines, sizeof lines, "{__name__=\"kept\"} %lld 1\n", (long long)T0);
    expect_all(&machine, "anonymous", lines);
    must(send_float("anonymous", "__name__=gone", T0, 4)); /* the first value is deleted */
    expect_result(1, 0);
    machine_commit(&machine);
    snprintf(lines, sizeof lines, "{__name__=\"gone\"} %lld 4\n{__name__=\"kept\"} %lld 1\n",
             (long long)T0, (long long)T0);
    expect_at_every_stage("anonymous", lines);
}

UNIT_TEST(test_commit_fails_without_memory_and_is_taken_back_later)
{
    struct rng rng = {5};
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    struct histogram h = random_histogram(&rng, &arena, SAMPLE_HISTOGRAM_INT);
    for (int i = 0; i < 2; i++) {
        struct rq rq;
        rq_init(&rq, RW_V1);
        rq_series(&rq, "__name__=h");
        rq_histogram(&rq, T0 + i, &h, 0);
        must(machine_send(&machine, "anonymous", &rq));
        rq_fini(&rq);
        if (i == 0) machine_commit(&machine);
    }
    fault_env_arm(machine.fe, (struct fault){FAULT_SYNC, 1, false});
    memory_arm(&machine, 1, true);
    assert_int_not_equal(step(&machine, tsdb_commit(machine.db, &machine.why)), OK);
    assert_int_equal(step(&machine, tsdb_reopen(machine.db, &machine.why)), ERR_NOMEM);
    memory_arm(&machine, 0, false);
    fault_env_disarm(machine.fe);
    char lines[100];
    snprintf(lines, sizeof lines, "{__name__=\"h\"} %lld h%.17g\n", (long long)T0,
             bits_double(h.sum_bits));
    expect_all(&machine, "anonymous", lines);
    must(tsdb_reopen(machine.db, &machine.why));
    expect_all(&machine, "anonymous", lines);
    must(send_float("anonymous", "__name__=h", T0 + 1, 1));
    expect_result(1, 0);
    machine_commit(&machine);
    machine_flush(&machine);
    machine_verified_restart(&machine);
    arena_fini(&arena);
}

UNIT_TEST(test_late_samples_after_failed_commits_are_all_there)
{
    enum { COUNT = 3000 };
    must(send_float("anonymous", "__name__=late", T0 + COUNT, COUNT));
    machine_commit(&machine);
    for (int i = 0; i < 3; i++) {
        must(send_float("anonymous", "__name__=late", T0 + COUNT + 1, 1));
        fault_env_arm(machine.fe, (struct fault){FAULT_SYNC, 1, false});
        assert_int_equal(tsdb_commit(machine.db, &machine.why), ERR_IO);
        must(tsdb_reopen(machine.db, &machine.why));
    }
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=late");
    for (int i = COUNT - 1; i >= 0; i--)
        rq_float(&rq, T0 + i, double_bits(i), 0);
    must(machine_send(&machine, "anonymous", &rq));
    rq_fini(&rq);
    expect_result(COUNT, 0);
    machine_commit(&machine);
    struct buf lines;
    buf_init(&lines, NULL, 1 << 24);
    for (int i = 0; i <= COUNT; i++)
        buf_printf(&lines, "{__name__=\"late\"} %lld %d\n", (long long)T0 + i, i);
    buf_put_u8(&lines, 0);
    expect_at_every_stage("anonymous", (const char *)lines.at);
    buf_fini(&lines);
}

/* Sends random requests until memory runs out; then checks that accepted samples are complete. */
static void
fill_head(uint64_t seed)
{
    struct rng rng = {seed};
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    for (uint32_t n = 0;; n++) {
        struct rq rq;
        rq_init(&rq, rng_below(&rng, 2) == 0 ? RW_V1 : RW_V2);
        for (uint32_t i = 0, count = 1 + (uint32_t)rng_below(&rng, 30); i < count; i++) {
            char labels[100];
            snprintf(labels, sizeof labels, "__name__=m,i=%d,n=%d", (int)rng_below(&rng, 40),
                     (int)rng_below(&rng, 1 + n / 4));
            rq_series(&rq, labels);
            for (uint64_t k = rng_below(&rng, 100); k > 0; k--) {
                int64_t t = T0 + (int64_t)rng_below(&rng, 3000) * (rng_below(&rng, 3) > 0 ? n : 1);
                rq_float(&rq, t, rng_next(&rng), 0);
            }
            arena_reset(&arena);
            struct histogram h = random_histogram(&rng, &arena, SAMPLE_HISTOGRAM_INT);
            if (rng_below(&rng, 4) == 0) rq_histogram(&rq, T0 + n, &h, 0);
            if (rng_below(&rng, 4) == 0) rq_exemplar(&rq, T0 + n, n, "trace_id=abc");
        }
        enum err e = machine_send(&machine, "anonymous", &rq);
        rq_fini(&rq);
        if (e == ERR_NOMEM) break;
        must(e);
        if (n % 3 == 0) machine_commit(&machine);
        assert_true(n < 100000);
    }
    arena_fini(&arena);
}

UNIT_TEST(test_exhausted_head_refuses_and_tears_nothing)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        machine_fini(&machine);
        machine_init(&machine, seed);
        machine.options.head_bytes_max = 3 << 20;
        machine.limits.max_future_ms = 1000 * DAY_MS;
        machine_must_open(&machine);
        for (int round = 0; round < 2; round++) {
            fill_head(seed * 10 + (uint64_t)round);
            assert_true(strlen(machine.why.text) > 0);
            must(tsdb_commit(machine.db, &machine.why));
            machine_verified_restart(&machine);
            tsdb_want_cut(machine.db);
            must(tsdb_commit(machine.db, &machine.why));
            must(tsdb_flush(machine.db, &machine.why));
            machine_verified_restart(&machine);
            must(send_float("anonymous", "__name__=again", T0 + round, 1));
        }
    }
}

static uint64_t
floats_received(void)
{
    return machine_ledger(&machine, "anonymous").count[LEDGER_FLOAT][LEDGER_RECEIVED];
}

static enum err
send_new_series(int n, int count)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    for (int i = 0; i < count; i++) {
        char labels[100];
        snprintf(labels, sizeof labels, "__name__=m,n=%d,i=%d", n, i);
        rq_series(&rq, labels);
        rq_float(&rq, T0, double_bits(i), 0);
    }
    enum err e = machine_send(&machine, "anonymous", &rq);
    machine_commit(&machine);
    rq_fini(&rq);
    return e;
}

/* Sends requests of 5000 new series, all or nothing, until memory runs out. */
static void
fill_by_large_requests(void)
{
    enum err e = OK;
    for (int n = 0; e == OK; n++) {
        uint64_t before = floats_received();
        e = send_new_series(n, 5000);
        assert_int_equal(floats_received() - before, e == OK ? 5000 : 0);
    }
    assert_int_equal(e, ERR_NOMEM);
}

UNIT_TEST(test_a_large_request_is_not_begun_without_room_for_all_of_it)
{
    for (uint64_t mib = 16; mib < 24; mib++) {
        machine_fini(&machine);
        machine_init(&machine, mib);
        machine.options.head_bytes_max = mib << 20;
        machine_must_open(&machine);
        fill_by_large_requests();
    }
}

UNIT_TEST(test_a_request_that_no_head_could_hold_is_not_to_be_repeated)
{
    machine_fini(&machine);
    machine_init(&machine, 4);
    machine.options.head_bytes_max = 16 << 20;
    machine_must_open(&machine);
    assert_int_equal(send_new_series(1, 100000), ERR_LIMIT);
    assert_non_null(strstr(machine.why.text, "send fewer series per request"));
    tsdb_want_cut(machine.db);
    machine_commit(&machine);
    must(tsdb_flush(machine.db, &machine.why));
    must(send_float("b", "__name__=x", T0, 1)); /* other tenants go on */
    machine_commit(&machine);
    machine_verified_restart(&machine);
}

UNIT_TEST(test_nothing_is_seen_before_its_commit)
{
    struct rq rq;
    char lines[200];
    must(send_float("anonymous", "__name__=a", T0, 1));
    machine_commit(&machine);
    snprintf(lines, sizeof lines, "{__name__=\"a\"} %lld 1\n", (long long)T0);
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=a");
    rq_float(&rq, T0 + 1, double_bits(2), 0);
    rq_float(&rq, T0 - 1, double_bits(3), 0);
    rq_series(&rq, "__name__=b");
    rq_float(&rq, T0, double_bits(4), 0);
    must(machine_send(&machine, "anonymous", &rq));
    rq_fini(&rq);
    assert_true(tsdb_commit_due(machine.db));
    expect_all(&machine, "anonymous", lines);
    machine_commit(&machine);
    assert_false(tsdb_commit_due(machine.db));
    snprintf(lines, sizeof lines,
             "{__name__=\"a\"} %lld 3\n{__name__=\"a\"} %lld 1\n{__name__=\"a\"} %lld 2\n"
             "{__name__=\"b\"} %lld 4\n",
             (long long)T0 - 1, (long long)T0, (long long)T0 + 1, (long long)T0);
    expect_at_every_stage("anonymous", lines);
}

static void
commit_now(void *context)
{
    (void)context;
    machine_commit(&machine);
}

UNIT_TEST(test_acknowledged_from_memory_is_seen_at_once)
{
    machine.options.ack_memory = true;
    machine.options.commit_now = commit_now;
    machine_restart(&machine);
    must(send_float("anonymous", "__name__=a", T0, 1));
    assert_int_equal(machine.result.wait_epoch, 0);
    char lines[100];
    snprintf(lines, sizeof lines, "{__name__=\"a\"} %lld 1\n", (long long)T0);
    expect_all(&machine, "anonymous", lines);
    expect_at_every_stage("anonymous", lines);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        claim(test_retention_counts_from_the_newest_sample),
        claim(test_suspect_clock_refuses_only_for_a_while),
        claim(test_the_name_of_a_new_directory_outlives_a_loss_of_power),
        claim(test_nearly_full_disk_refuses_until_there_is_room),
        claim(test_a_reserve_of_the_disk_is_kept_if_none_is_said),
        claim(test_a_flush_that_fails_leaves_nothing_that_takes_room),
        claim(test_a_log_kept_for_a_reader_is_not_written_out_twice),
        claim(test_a_snapshot_is_whole_or_not_there),
        claim(test_a_snapshot_has_the_state_of_rules_from_before_its_flush),
        claim(test_no_snapshot_is_made_when_its_flush_fails),
        claim(test_snapshots_are_listed_with_what_they_alone_hold),
        claim(test_only_a_snapshot_without_readers_is_deleted),
        claim(test_a_deleted_snapshot_is_whole_or_gone),
        claim(test_a_snapshot_ends_with_the_suffix_once_in_a_second),
        claim(test_snapshots_omit_a_directory_in_place_of_the_state_of_rules),
        claim(test_files_of_rules_are_not_replaced_while_a_snapshot_lists_them),
        claim(test_failed_commit_takes_everything_back),
        claim(test_commit_fails_without_memory_and_is_taken_back_later),
        claim(test_late_samples_after_failed_commits_are_all_there),
        claim(test_exhausted_head_refuses_and_tears_nothing),
        claim(test_a_large_request_is_not_begun_without_room_for_all_of_it),
        claim(test_a_request_that_no_head_could_hold_is_not_to_be_repeated),
        claim(test_nothing_is_seen_before_its_commit),
        claim(test_acknowledged_from_memory_is_seen_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
