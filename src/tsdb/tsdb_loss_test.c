/* tsdb_loss_test.c - samples lost by deletions, damage and failed commits are gone, and counted. */
#include <inttypes.h>

#include "lib/test.h"
#include "lib/tsdb/tsdb_claim.h"
#include "model/selector.h"
#include "tsdb/store/store.h"

static void
part_name(uint64_t number, char *to, size_t size)
{
    snprintf(to, size, STORE_DIR "/parts/%016llx/part", (unsigned long long)number);
}

static struct tsdb_deletion delete (const char *tenant, const char *selector_text, int64_t min_ms,
                                    int64_t max_ms)
{
    struct selector selector;
    struct tsdb_deletion d;
    must(selector_parse(text(selector_text), &selector, &machine.why));
    must(tsdb_delete(machine.db, text(tenant), &selector, 1, min_ms, max_ms, &d, &machine.why));
    return d;
}

static void
merge_all(enum tsdb_merge_mode mode)
{
    struct tsdb_merge_options options = {.mode = mode};
    struct tsdb_merge_result r;
    do {
        must(tsdb_merge(machine.db, &options, &r, &machine.why));
    } while (r.input_count > 0);
}

UNIT_TEST(test_deleted_samples_are_hidden_at_once_and_later_erased)
{
    struct tsdb_stats stats;
    for (int i = 0; i < 4; i++) {
        must_send_float("a", "__name__=m,x=1", T0 + i * 1000, i);
        must_send_float("a", "__name__=m,x=2", T0 + i * 1000, i);
        must_send_float("b", "__name__=m,x=1", T0 + i * 1000, i);
        machine_commit(&machine);
        machine_flush(&machine);
    }
    struct tsdb_deletion d = delete ("a", "m{x='1'}", T0 + 1000, T0 + 2000);
    assert_int_equal(d.series, 1);
    assert_int_equal(d.samples, 2);
    /* deleted samples are not counted again */
    d = delete ("a", "{x=~'1|2'}", T0 + 2000, T0 + 2999);
    assert_int_equal(d.series, 1);
    assert_int_equal(d.samples, 1);
    static const char left[] = "{__name__=\"m\", x=\"1\"} 1767222000000 0\n"
                               "{__name__=\"m\", x=\"1\"} 1767222003000 3\n"
                               "{__name__=\"m\", x=\"2\"} 1767222000000 0\n"
                               "{__name__=\"m\", x=\"2\"} 1767222001000 1\n"
                               "{__name__=\"m\", x=\"2\"} 1767222003000 3\n";
    static const char others[] = "{__name__=\"m\", x=\"1\"} 1767222000000 0\n"
                                 "{__name__=\"m\", x=\"1\"} 1767222001000 1\n"
                                 "{__name__=\"m\", x=\"1\"} 1767222002000 2\n"
                                 "{__name__=\"m\", x=\"1\"} 1767222003000 3\n";
    expect_all(&machine, "a", left);
    expect_all(&machine, "b", others);
    machine_verified_restart(&machine);
    expect_all(&machine, "a", left);
    merge_all(TSDB_MERGE_CLEAN);
    expect_all(&machine, "a", left);
    struct ledger l = machine_ledger(&machine, "a");
    assert_int_equal(l.count[LEDGER_FLOAT][LEDGER_DELETED], 3);
    assert_int_equal(l.stored[LEDGER_FLOAT], 5);
    tsdb_stats(machine.db, &stats);
    assert_int_equal(stats.tombstones, 0);
    machine_verified_restart(&machine);
    expect_all(&machine, "a", left);
    expect_all(&machine, "b", others);
}

UNIT_TEST(test_samples_that_come_after_a_deletion_stay)
{
    must_send_float("a", "__name__=m", T0, 1);
    machine_commit(&machine);
    machine_flush(&machine);
    delete ("a", "m", INT64_MIN, INT64_MAX);
    expect_all(&machine, "a", "");
    must_send_float("a", "__name__=m", T0, 2); /* another value: the first one is deleted */
    machine_commit(&machine);
    expect_all(&machine, "a", "{__name__=\"m\"} 1767222000000 2\n");
    machine_flush(&machine);
    expect_all(&machine, "a", "{__name__=\"m\"} 1767222000000 2\n");
    merge_all(TSDB_MERGE_FULL);
    machine_verified_restart(&machine);
    expect_all(&machine, "a", "{__name__=\"m\"} 1767222000000 2\n");
    delete ("nobody", "m", INT64_MIN, INT64_MAX);
    delete ("a", "other", INT64_MIN, INT64_MAX);
    delete ("a", "m", T0 + 1, T0);
    merge_all(TSDB_MERGE_CLEAN);
    expect_all(&machine, "a", "{__name__=\"m\"} 1767222000000 2\n");
}

/* With the parts that are flushed meanwhile it might never end. */
UNIT_TEST(test_a_full_merge_can_be_limited_to_the_parts_of_its_request)
{
    struct tsdb_stats stats;
    for (int i = 0; i < 3; i++) {
        if (i == 2) tsdb_stats(machine.db, &stats);
        must_send_float("a", "__name__=m", T0 + i, i);
        machine_commit(&machine);
        machine_flush(&machine);
    }
    struct tsdb_merge_options options = {.mode = TSDB_MERGE_FULL, .up_to_pos = stats.store_pos};
    struct tsdb_merge_result r;
    must(tsdb_merge(machine.db, &options, &r, &machine.why));
    assert_int_equal(r.input_count, 2);
    must(tsdb_merge(machine.db, &options, &r, &machine.why));
    assert_int_equal(r.input_count, 0);
    tsdb_stats(machine.db, &stats);
    assert_int_equal(stats.parts, 2);
}

UNIT_TEST(test_part_without_its_root_is_put_aside_and_counted)
{
    char path[100];
    must_send_float("a", "__name__=m", T0, 1);
    machine_commit(&machine);
    machine_flush(&machine);
    must_send_float("b", "__name__=m", T0, 2);
    must_send_float("a", "__name__=m", T0 + 1, 3);
    machine_commit(&machine);
    machine_flush(&machine);
    machine_close(&machine);
    part_name(1, path, sizeof path);
    must(sim_env_damage(machine.sim, path, 20)); /* the header */
    machine_must_open(&machine);
    assert_int_equal(machine.opening.parts_set_aside, 1);
    assert_int_equal(machine.opening.parts, 1);
    assert_non_null(strstr(machine.opening.first_damage, "0000000000000001"));
    expect_all(&machine, "b", "{__name__=\"m\"} 1767222000000 2\n");
    expect_all(&machine, "a", "{__name__=\"m\"} 1767222000001 3\n");
    struct ledger l = machine_ledger(&machine, "a");
    assert_int_equal(l.count[LEDGER_FLOAT][LEDGER_DAMAGED], 1);
    assert_int_equal(l.stored[LEDGER_FLOAT], 1);
    assert_int_equal(machine_ledger(&machine, "b").count[LEDGER_FLOAT][LEDGER_DAMAGED], 0);
    machine_restart(&machine); /* reported again, counted once */
    l = machine_ledger(&machine, "a");
    assert_int_equal(l.count[LEDGER_FLOAT][LEDGER_DAMAGED], 1);
    must_send_float("a", "__name__=m", T0 + 2, 4);
    machine_commit(&machine);
    machine_flush(&machine);
    machine_close(&machine);
    /* while the part is set aside */
    assert_int_equal(machine_verify(&machine, false), ERR_CORRUPT);
    machine_must_open(&machine);
    assert_int_equal(machine.opening.parts_set_aside, 1);
    machine_close(&machine);
    must(env_rename(machine.env, STORE_DIR "/parts/0000000000000001.damaged",
                    STORE_DIR "/parts/0000000000000001.lost", NULL));
    machine_must_open(&machine);
    must_send_float("a", "__name__=m", T0 + 3, 5);
    machine_commit(&machine);
    machine_flush(&machine);
    machine_verified_restart(&machine); /* the loss is in the ledger */
    assert_int_equal(machine.opening.parts_set_aside, 0);
    l = machine_ledger(&machine, "a");
    assert_int_equal(l.count[LEDGER_FLOAT][LEDGER_DAMAGED], 1);
}

UNIT_TEST(test_store_without_its_manifest_is_refused_and_not_swept)
{
    char path[100];
    struct file file = FILE_CLOSED;
    must_send_float("a", "__name__=m", T0, 1);
    machine_commit(&machine);
    machine_flush(&machine);
    machine_close(&machine);
    must(env_rename(machine.env, STORE_DIR "/MANIFEST", STORE_DIR "/away", NULL));
    assert_int_equal(machine_verify(&machine, false), ERR_CORRUPT);
    assert_int_equal(machine_open(&machine), ERR_CORRUPT);
    assert_non_null(strstr(machine.why.text, "MANIFEST is missing"));
    part_name(1, path, sizeof path);
    must(file_open(machine.env, path, FILE_READ, &file, NULL));
    must(file_close(&file));
    must(env_rename(machine.env, STORE_DIR "/away", STORE_DIR "/MANIFEST", NULL));
    machine_must_open(&machine);
    expect_all(&machine, "a", "{__name__=\"m\"} 1767222000000 1\n");
}

/* Replaces the manifest with the one before the flush, or removes it. */
static void
spoil_manifest(unsigned how)
{
    struct file file;
    if (how == 0) {
        must(env_unlink(machine.env, STORE_DIR "/MANIFEST", NULL));
    } else if (how == 1) {
        must(env_rename(machine.env, STORE_DIR "/older", STORE_DIR "/MANIFEST", NULL));
    } else {
        must(file_open(machine.env, STORE_DIR "/MANIFEST", FILE_UPDATE, &file, NULL));
        must(file_truncate(&file, 0, NULL));
        must(file_close(&file));
    }
}

UNIT_TEST(test_a_manifest_that_is_removed_meanwhile_is_written_again)
{
    char expected[400] = "";
    for (unsigned how = 0; how < 3; how++) {
        if (how == 1) must(env_link(machine.env, STORE_DIR "/MANIFEST", STORE_DIR "/older", NULL));
        must_send_float("a", "__name__=m", T0 + how * 1000, how);
        machine_commit(&machine);
        machine_flush(&machine);
        must(tsdb_look_at_manifest(machine.db, &machine.why));
        spoil_manifest(how);
        assert_int_equal(tsdb_look_at_manifest(machine.db, &machine.why), ERR_IO);
        static const char *const words[] = {"MANIFEST was removed", "MANIFEST was replaced",
                                            "MANIFEST was truncated"};
        assert_non_null(strstr(machine.why.text, words[how]));
        assert_null(strstr(machine.why.text, "cannot"));
        must(tsdb_look_at_manifest(machine.db, &machine.why));
        sim_env_kill(machine.sim);
        machine_verified_restart(&machine);
        size_t size = strlen(expected);
        snprintf(expected + size, sizeof expected - size, "{__name__=\"m\"} 176722200%u000 %u\n",
                 how, how);
        expect_all(&machine, "a", expected);
    }
}

UNIT_TEST(test_a_manifest_that_cannot_be_written_again_is_tried_again)
{
    must_send_float("a", "__name__=m", T0, 1);
    machine_commit(&machine);
    machine_flush(&machine);
    must(env_unlink(machine.env, STORE_DIR "/MANIFEST", NULL));
    fault_env_arm(machine.fe, (struct fault){FAULT_ENOSPC, 1, true});
    assert_int_equal(tsdb_look_at_manifest(machine.db, &machine.why), ERR_IO);
    fault_env_disarm(machine.fe);
    assert_non_null(strstr(machine.why.text, "cannot be written again"));
    assert_int_equal(tsdb_look_at_manifest(machine.db, &machine.why), ERR_IO);
    must(tsdb_look_at_manifest(machine.db, &machine.why));
    machine_verified_restart(&machine);
    expect_all(&machine, "a", "{__name__=\"m\"} 1767222000000 1\n");
}

UNIT_TEST(test_a_part_whose_file_is_removed_meanwhile_is_damaged)
{
    char path[200], name[SNAPSHOT_NAME_BYTES];
    struct tsdb_merge_options options = {.mode = TSDB_MERGE_FULL};
    struct tsdb_merge_result r;
    struct tsdb_stats stats;
    for (int i = 0; i < 3; i++) {
        must_send_float("a", "__name__=m", T0 + i * 1000, i);
        machine_commit(&machine);
        machine_flush(&machine);
    }
    part_name(2, path, sizeof path);
    must(env_unlink(machine.env, path, NULL));
    assert_int_equal(tsdb_snapshot(machine.db, NULL, false, NULL, NULL, name, &machine.why),
                     ERR_CORRUPT);
    assert_int_equal(tsdb_merge(machine.db, &options, &r, &machine.why), ERR_CORRUPT);
    assert_non_null(strstr(machine.why.text, path));
    tsdb_stats(machine.db, &stats);
    assert_int_equal(stats.parts_left_alone, 1);
    merge_all(TSDB_MERGE_FULL); /* the other parts */
    expect_all(&machine, "a",
               "{__name__=\"m\"} 1767222000000 0\n"
               "{__name__=\"m\"} 1767222001000 1\n"
               "{__name__=\"m\"} 1767222002000 2\n");
}

UNIT_TEST(test_nothing_is_written_to_a_directory_that_replaced_the_open_one)
{
    struct tsdb_stats stats;
    struct file file;
    must_send_float("a", "__name__=m", T0, 1);
    machine_commit(&machine);
    must(env_rename(machine.env, STORE_DIR, "/away", NULL));
    for (unsigned there = 0; there < 2; there++) {
        if (there) must(env_mkdir(machine.env, STORE_DIR, NULL));
        err_ignore(tsdb_maintain(machine.db, &machine.why), "what it would write has no place");
        tsdb_stats(machine.db, &stats);
        assert_true(stats.dir == TSDB_DIR_MOVED);
        struct rq rq;
        rq_init(&rq, RW_V1);
        rq_series(&rq, "__name__=m");
        rq_float(&rq, T0 + 1000, double_bits(2), 0);
        assert_int_equal(machine_send(&machine, "a", &rq), ERR_AGAIN);
        rq_fini(&rq);
        tsdb_want_cut(machine.db);
        machine_commit(&machine);
        assert_int_equal(tsdb_flush(machine.db, &machine.why), ERR_CORRUPT);
        assert_int_equal(file_open(machine.env, STORE_DIR "/MANIFEST", FILE_READ, &file, NULL),
                         ERR_MISSING);
    }
    must(env_remove_tree(machine.env, STORE_DIR, NULL));
    must(env_rename(machine.env, "/away", STORE_DIR, NULL));
    must(tsdb_maintain(machine.db, &machine.why));
    must_send_float("a", "__name__=m", T0 + 1000, 2);
    machine_commit(&machine);
    machine_flush(&machine);
    machine_verified_restart(&machine);
    expect_all(&machine, "a",
               "{__name__=\"m\"} 1767222000000 1\n"
               "{__name__=\"m\"} 1767222001000 2\n");
}

UNIT_TEST(test_log_that_is_gone_is_damage)
{
    must_send_float("a", "__name__=m", T0, 1);
    machine_commit(&machine);
    machine_flush(&machine);
    must_send_float("a", "__name__=m", T0 + 1, 1);
    machine_commit(&machine);
    machine_close(&machine);
    must(env_remove_tree(machine.env, STORE_DIR "/wal", NULL));
    assert_int_equal(machine_verify(&machine, false), ERR_CORRUPT);
    machine_must_open(&machine);
    assert_int_equal(machine.opening.damage.places, 1);
    expect_all(&machine, "a", "{__name__=\"m\"} 1767222000000 1\n");
}

static void
send_exemplar(const char *tenant, const char *labels, int64_t t_ms)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_series(&rq, labels);
    rq_exemplar(&rq, t_ms, double_bits(1), "trace_id=x");
    must(machine_send(&machine, tenant, &rq));
    rq_fini(&rq);
}

/* Ingestion never logs one twice, but every logged exemplar counts. */
UNIT_TEST(test_an_exemplar_that_is_logged_twice_is_a_duplicate)
{
    send_exemplar("a", "__name__=m", T0);
    machine_commit(&machine);
    struct wal *wal = tsdb_wal(machine.db);
    struct wal_reader *reader;
    struct wal_record record;
    must(wal_reader_open(wal, "again", 0, &reader, &machine.why));
    while (wal_reader_next(reader, &record, &machine.why) == OK) {
        must(wal_reserve(wal, wal_put_bytes(record.payload.size), &machine.why));
        must(wal_put(wal, record.type, record.payload, false));
    }
    wal_count(wal, LEDGER_EXEMPLAR, 1);
    wal_reader_close(reader);
    machine_commit(&machine);
    machine_restart(&machine);
    struct ledger l = machine_ledger(&machine, "a");
    assert_int_equal(l.count[LEDGER_EXEMPLAR][LEDGER_RECEIVED], 2);
    assert_int_equal(l.count[LEDGER_EXEMPLAR][LEDGER_ACCEPTED], 1);
    assert_int_equal(l.count[LEDGER_EXEMPLAR][LEDGER_DUPLICATE], 1);
    assert_int_equal(l.pending[LEDGER_EXEMPLAR], 1);
}

static void
first_segment(char *to, size_t size)
{
    snprintf(to, size, STORE_DIR "/wal/%016d.wal", 1);
}

/* The samples and their ledger record are damaged: their tenant is unknown, their number is not. */
UNIT_TEST(test_samples_of_an_unknown_tenant_count_as_received_and_damaged)
{
    uint64_t base = wal_end(tsdb_wal(machine.db)), ends[3];
    char path[100];
    for (int i = 0; i < 3; i++) {
        must_send_float("a", "__name__=m", T0 + i, i);
        machine_commit(&machine);
        ends[i] = wal_end(tsdb_wal(machine.db));
    }
    machine_close(&machine);
    first_segment(path, sizeof path);
    for (uint64_t pos = ends[0]; pos < ends[1]; pos += 4)
        must(sim_env_damage(machine.sim, path, WAL_SEGMENT_HEADER_BYTES + pos - base));
    machine_must_open(&machine);
    struct ledger l = machine_ledger(&machine, "a");
    assert_int_equal(l.count[LEDGER_FLOAT][LEDGER_RECEIVED], 3);
    assert_int_equal(l.count[LEDGER_FLOAT][LEDGER_ACCEPTED], 3);
    assert_int_equal(l.count[LEDGER_FLOAT][LEDGER_DAMAGED], 1);
    assert_int_equal(l.pending[LEDGER_FLOAT], 2);
}

/* A commit may still fail, and counts never decrease. */
UNIT_TEST(test_uncommitted_samples_are_in_no_count_that_is_shown)
{
    must_send_float("a", "__name__=m", T0, 1);
    machine_commit(&machine);
    must_send_float("a", "__name__=m", T0 + 1, 2);
    struct ledger l = machine_ledger(&machine, "a");
    assert_int_equal(l.count[LEDGER_FLOAT][LEDGER_RECEIVED], 1);
    assert_int_equal(l.pending[LEDGER_FLOAT], 1);
    machine_commit(&machine);
    l = machine_ledger(&machine, "a");
    assert_int_equal(l.count[LEDGER_FLOAT][LEDGER_RECEIVED], 2);
    assert_int_equal(l.pending[LEDGER_FLOAT], 2);
}

/* Damages the log. With a flush between commits, labels logged before it serve samples after it. */
static void
damage_each_place_of_the_log(int flushed_before)
{
    uint32_t damaged = 0, lost = 0;
    for (uint64_t offset = 0; offset < 4000; offset += 10) {
        machine_fini(&machine);
        machine_init(&machine, offset);
        machine_must_open(&machine);
        for (int i = 0; i < 6; i++) {
            if (i == flushed_before) machine_flush(&machine);
            must_send_float(i % 2 == 0 ? "a" : "b", "__name__=m", T0 + i, i);
            must_send_float("c", "__name__=m", T0 + i, i);
            send_exemplar("b", "__name__=m", T0 + i);
            machine_commit(&machine);
        }
        const uint32_t wanted = 12 - 2 * (uint32_t)flushed_before;
        machine_close(&machine);
        char path[100];
        first_segment(path, sizeof path);
        enum err e = sim_env_damage(machine.sim, path, WAL_SEGMENT_HEADER_BYTES + offset);
        if (e == ERR_INPUT) break;
        must(e);
        machine_must_open(&machine);
        machine_ledger(&machine, NULL);
        const struct wal_gaps *gaps = &machine.opening.damage.gaps;
        for (uint32_t i = 0; i < gaps->count; i++) {
            uint64_t from_pos = gaps->of[i].from_pos, to_pos = gaps->of[i].to_pos;
            assert_int_equal(tsdb_lacks(machine.db, from_pos, to_pos),
                             from_pos >= tsdb_store_pos(machine.db));
            assert_false(tsdb_lacks(machine.db, from_pos - 8, to_pos));
            assert_false(tsdb_lacks(machine.db, from_pos, to_pos + 8));
        }
        damaged += machine.opening.damage.places > 0;
        lost += machine.opening.replayed_samples < wanted;
        if (machine.opening.replayed_samples < wanted) /* the last commit looks like a torn one */
            assert_true(machine.opening.damage.places > 0 || machine.opening.damage.torn_bytes > 0);
        uint64_t received = 0, exemplars = 0, pending = 0;
        static const char *const names[] = {"a", "b", "c"};
        for (int i = 0; i < 3; i++) {
            struct ledger l = machine_ledger(&machine, names[i]);
            received += l.count[LEDGER_FLOAT][LEDGER_RECEIVED];
            exemplars += l.count[LEDGER_EXEMPLAR][LEDGER_RECEIVED];
        }
        bool torn = machine.opening.damage.torn_bytes > 0; /* the last commit */
        assert_in_range(received, torn ? 10 : 12, 12);
        assert_in_range(exemplars, torn ? 5 : 6, 6);
        must_send_float("a", "__name__=after", T0, 1);
        machine_commit(&machine);
        machine_flush(&machine);
        must_send_float("b", "__name__=after", T0, 1);
        machine_commit(&machine);
        machine_flush(&machine);
        must(tsdb_maintain(machine.db, &machine.why));
        for (int i = 0; i < 3; i++) {
            struct ledger l = machine_ledger(&machine, names[i]);
            pending += l.pending[LEDGER_FLOAT];
        }
        assert_int_equal(pending, 0);
        machine_close(&machine);
        must(machine_verify(&machine, true));
        machine_must_open(&machine);
    }
    assert_true(damaged > 10);
    assert_true(lost > 10);
}

UNIT_TEST(test_damage_of_the_log_is_reported_and_each_tenant_balances)
{
    damage_each_place_of_the_log(0);
    damage_each_place_of_the_log(4);
}

/* --- invalid records with valid checksums ----------------------------------------------------- */

static void
collect_line(void *context, const char *line)
{
    buf_printf(context, "%s\n", line);
}

/* Closes the store; checks that tsdb_verify() fails with this line. */
static void
verify_must_say(const char *expected)
{
    struct tsdb_report report;
    struct buf said;
    buf_init(&said, NULL, 1 << 20);
    enum err e = tsdb_verify(machine.env, STORE_DIR, collect_line, &said, &report, &machine.why);
    assert_int_equal(e, ERR_CORRUPT);
    assert_true(report.damaged_places > 0);
    buf_put_u8(&said, '\0');
    if (strstr((const char *)said.at, expected) == NULL) fail_msg("%s", (const char *)said.at);
    buf_fini(&said);
}

static enum err
note_position(void *context, const struct wal_record *record, struct why *why)
{
    (void)why;
    *(uint64_t *)context = record->pos;
    return OK;
}

/* Returns its position in the log. */
static uint64_t
put_nonsense_record(void)
{
    struct wal_options options = {.env = machine.env,
                                  .dir = STORE_DIR "/wal",
                                  .segment_bytes = WAL_SEGMENT_BYTES_MIN,
                                  .batch_bytes_max = 256 * 1024};
    struct wal *wal;
    struct wal_damage damage;
    must(wal_open(&options, &wal, &machine.why));
    must(wal_recover(wal, 0, NULL, NULL, &damage, &machine.why));
    must(wal_put(wal, WAL_FLOATS, bytes_of_text("nonsense"), false));
    assert_true(wal_take(wal));
    must(wal_commit(wal, &machine.why));
    wal_free(wal);
    uint64_t pos = 0;
    must(
        wal_verify(machine.env, options.dir, 0, false, note_position, &pos, &damage, &machine.why));
    return pos;
}

/* The manifest says that a sample more is in parts. */
UNIT_TEST(test_a_ledger_that_does_not_balance_is_reported)
{
    struct manifest m;
    struct arena arena;
    struct tsdb_report report;
    struct buf said;
    must(send_float("anonymous", "__name__=a", T0, 1));
    machine_commit(&machine);
    machine_flush(&machine);
    machine_close(&machine);
    arena_init(&arena, NULL, 0, 0);
    for (unsigned more = 0; more < 2; more++) {
        must(manifest_read(machine.env, STORE_DIR, &arena, &m, &machine.why));
        m.tenants[0].totals.stored[LEDGER_FLOAT] += more;
        must(manifest_write(machine.env, STORE_DIR, &m, NULL, &machine.why));
        buf_init(&said, NULL, 1 << 16);
        enum err e =
            tsdb_verify(machine.env, STORE_DIR, collect_line, &said, &report, &machine.why);
        assert_int_equal(e, more == 0 ? OK : ERR_CORRUPT);
        buf_put_u8(&said, '\0');
        assert_int_equal(report.ledger_balances, more == 0);
        bool complains = strstr((char *)said.at, ": DOES NOT BALANCE") != NULL;
        assert_int_equal(complains, more > 0);
        buf_fini(&said);
    }
    arena_fini(&arena);
}

UNIT_TEST(test_a_record_that_cannot_be_decoded_is_named_by_its_position)
{
    char expected[100];
    must_send_float("a", "__name__=m", T0, 1);
    machine_commit(&machine);
    machine_close(&machine);
    snprintf(expected, sizeof expected,
             "log record at position %" PRIu64 " has a valid checksum but cannot be decoded",
             put_nonsense_record());
    verify_must_say(expected);
    assert_int_equal(machine_open(&machine), ERR_CORRUPT);
    assert_string_equal(machine.why.text, expected);
}

/* Flips one bit of the last byte of the log that is not 0. */
static void
flip_end_of_log(void)
{
    static uint8_t bytes[WAL_SEGMENT_BYTES_MIN];
    struct file file;
    size_t size;
    must(file_open(machine.env, STORE_DIR "/wal/0000000000000001.wal", FILE_UPDATE, &file, NULL));
    must(file_read_some(&file, bytes, sizeof bytes, 0, &size, NULL));
    while (size > 0 && bytes[size - 1] == 0)
        size--;
    assert_true(size > 0);
    bytes[size - 1] ^= 1;
    must(file_write_at(&file, bytes_of(&bytes[size - 1], 1), size - 1, NULL));
    must(file_close(&file));
}

UNIT_TEST(test_the_last_commits_of_the_log_do_not_vanish_unnoticed)
{
    for (int i = 0; i < 3; i++) {
        must_send_float("a", "__name__=m", T0 + i * 1000, i);
        machine_commit(&machine);
    }
    sim_env_advance_ns(machine.sim, 10 * NS_PER_S);
    must(tsdb_maintain(machine.db, &machine.why)); /* the end of the log is known now */
    machine_close(&machine);
    flip_end_of_log();
    verify_must_say("its last commits are missing");
    machine_must_open(&machine);
    assert_int_equal(machine.opening.damage.places, 1);
    assert_int_equal(machine.opening.damage.samples[LEDGER_FLOAT], 1);
    assert_non_null(strstr(machine.opening.damage.first, "its last commits are missing"));
    expect_all(&machine, "a",
               "{__name__=\"m\"} 1767222000000 0\n"
               "{__name__=\"m\"} 1767222001000 1\n");
    struct ledger l = machine_ledger(&machine, "a");
    assert_int_equal(l.count[LEDGER_FLOAT][LEDGER_RECEIVED], 3);
    assert_int_equal(l.count[LEDGER_FLOAT][LEDGER_DAMAGED], 1);
    machine_flush(&machine);
    for (int i = 3; i < 5; i++) {
        machine_verified_restart(&machine); /* it has been counted once */
        l = machine_ledger(&machine, "a");
        assert_int_equal(l.count[LEDGER_FLOAT][LEDGER_DAMAGED], 1);
        assert_int_equal(l.count[LEDGER_FLOAT][LEDGER_RECEIVED], i);
        must_send_float("a", "__name__=m", T0 + i * 1000, i);
        machine_commit(&machine);
    }
}

/* The parts have what the log lost, and nothing has come since. */
UNIT_TEST(test_a_head_is_written_out_when_the_log_ends_before_the_parts)
{
    for (int i = 0; i < 3; i++) {
        must_send_float("a", "__name__=m", T0 + i * 1000, i);
        machine_commit(&machine);
    }
    machine_flush(&machine);
    machine_close(&machine);
    flip_end_of_log();
    machine_must_open(&machine);
    uint64_t pos = tsdb_store_pos(machine.db);
    assert_true(wal_end(tsdb_wal(machine.db)) < pos);
    machine_flush(&machine);
    assert_int_equal(tsdb_store_pos(machine.db), pos);
    must_send_float("a", "__name__=m", T0 + 3000, 3);
    machine_commit(&machine);
    machine_flush(&machine);
    assert_true(tsdb_store_pos(machine.db) > pos);
    machine_verified_restart(&machine);
    expect_all(&machine, "a",
               "{__name__=\"m\"} 1767222000000 0\n"
               "{__name__=\"m\"} 1767222001000 1\n"
               "{__name__=\"m\"} 1767222002000 2\n"
               "{__name__=\"m\"} 1767222003000 3\n");
}

/* Writes the same part with m{x="2"} before m{x="1"}. */
static void
swap_series_of_part_1(void)
{
    static const uint32_t pairs[2][2] = {{0, 2}, {0, 1}};
    static const struct label labels[3] = {
        {{(const uint8_t *)"__name__", 8}, {(const uint8_t *)"m", 1}},
        {{(const uint8_t *)"x", 1}, {(const uint8_t *)"1", 1}},
        {{(const uint8_t *)"x", 1}, {(const uint8_t *)"2", 1}}};
    const int64_t time = T0;
    const uint64_t bits = double_bits(1);
    const struct sample_batch batch = {
        .kind = SAMPLE_FLOAT, .count = 1, .times_ms = &time, .value_bits = &bits};
    struct part_writer *w;
    struct part_info info;
    struct manifest manifest;
    struct arena arena;
    char path[100];
    arena_init(&arena, NULL, 0, 0);
    must(manifest_read(machine.env, STORE_DIR, &arena, &manifest, &machine.why));
    assert_int_equal(manifest.part_count, 1);
    part_name(1, path, sizeof path);
    must(env_unlink(machine.env, path, &machine.why));
    must(part_writer_new(machine.env, NULL, STORE_DIR "/parts", 1, manifest.parts[0].from_pos,
                         manifest.parts[0].to_pos, &w, &machine.why));
    must(part_write_tenant(w, text("a"), &machine.why));
    for (int i = 0; i < 3; i++)
        must(part_write_pair(w, labels[i], &machine.why));
    for (int i = 0; i < 2; i++) {
        must(part_write_series(w, pairs[i], 2, &machine.why));
        must(part_write_samples(w, &batch, &machine.why));
    }
    must(part_writer_finish(w, &info, &machine.why));
    part_writer_free(w);
    arena_fini(&arena);
}

UNIT_TEST(test_series_out_of_order_are_named_by_their_part_and_tenant)
{
    must_send_float("a", "__name__=m,x=1", T0, 1);
    must_send_float("a", "__name__=m,x=2", T0, 1);
    machine_commit(&machine);
    machine_flush(&machine);
    machine_close(&machine);
    must(machine_verify(&machine, true));
    swap_series_of_part_1();
    verify_must_say("damaged: part 0000000000000001, tenant a: series are not in label order\n");
    machine_must_open(&machine);
}

/* --- a disk that hangs ------------------------------------------------------------------------ */

static struct {
    const struct env_ops *ops;
    unsigned syncs, under_lock;
    bool sends; /* a write arrives during the first sync */
} watched;

static int
watch_datasync(struct env *env, int file)
{
    bool is_free = pthread_mutex_trylock(&machine.db->head.lock.mutex) == 0;
    if (is_free) (void)pthread_mutex_unlock(&machine.db->head.lock.mutex);
    watched.under_lock += !is_free;
    if (watched.syncs++ == 0 && watched.sends && is_free)
        must_send_float("a", "__name__=m", T0 + 1000, 2);
    return watched.ops->datasync(env, file);
}

static void
commit_with_cut(bool sends)
{
    struct env_ops ops = *machine.env->ops;
    watched = (typeof(watched)){.ops = machine.env->ops, .sends = sends};
    ops.datasync = watch_datasync;
    must_send_float("a", "__name__=m", T0, 1);
    tsdb_want_cut(machine.db);
    machine.env->ops = &ops;
    machine_commit(&machine);
    machine.env->ops = watched.ops;
    assert_true(tsdb_has_frozen(machine.db));
}

/* Readers of the head would wait as long as the disk. */
UNIT_TEST(test_the_first_sync_of_a_commit_is_not_under_the_lock_of_the_head)
{
    commit_with_cut(false);
    assert_int_equal(watched.syncs, 1);
    assert_int_equal(watched.under_lock, 0);
}

UNIT_TEST(test_samples_that_come_while_a_cut_is_committed_are_in_it)
{
    struct tsdb_stats stats;
    commit_with_cut(true);
    assert_int_equal(watched.syncs, 2);
    assert_int_equal(watched.under_lock, 1);
    must(tsdb_flush(machine.db, &machine.why));
    tsdb_stats(machine.db, &stats);
    assert_int_equal(stats.part_samples, 2);
    machine_verified_restart(&machine);
    expect_all(&machine, "a",
               "{__name__=\"m\"} 1767222000000 1\n"
               "{__name__=\"m\"} 1767222001000 2\n");
}

static enum err
remove_segment(void *context, const char *name, bool is_dir)
{
    char path[100];
    uint64_t number;
    (void)context;
    if (is_dir || !wal_segment_name(name, &number)) return OK;
    must(path_join(path, sizeof path, STORE_DIR "/wal", name));
    return env_unlink(machine.env, path, NULL);
}

UNIT_TEST(test_removing_the_log_triggers_a_flush_of_all_memory)
{
    struct rq rq;
    must_send_float("a", "__name__=m", T0, 1);
    machine_commit(&machine);
    assert_false(tsdb_flush_due(machine.db));
    must(env_listdir(machine.env, STORE_DIR "/wal", remove_segment, NULL, NULL));
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=m");
    rq_float(&rq, T0 + 1000, double_bits(2), 0);
    must(machine_send(&machine, "a", &rq));
    assert_int_equal(tsdb_commit(machine.db, &machine.why),
                     ERR_IO); /* 503: the sender repeats it */
    assert_int_equal(tsdb_epoch(machine.db, machine.result.wait_epoch), TSDB_EPOCH_VOID);
    assert_true(tsdb_flush_due(machine.db));
    must(tsdb_reopen(machine.db, &machine.why));
    must(machine_send(&machine, "a", &rq));
    rq_fini(&rq);
    assert_true(tsdb_flush_due(machine.db));
    machine_flush(&machine);
    assert_false(tsdb_flush_due(machine.db));
    sim_env_kill(machine.sim);
    machine_verified_restart(&machine);
    expect_all(&machine, "a",
               "{__name__=\"m\"} 1767222000000 1\n"
               "{__name__=\"m\"} 1767222001000 2\n");
}

UNIT_TEST(test_a_head_is_written_out_while_the_log_is_down_without_what_is_void)
{
    must_send_float("a", "__name__=m", T0, 1);
    machine_commit(&machine);
    must_send_float("a", "__name__=m", T0 + 1000, 2);
    fault_env_arm(machine.fe, (struct fault){FAULT_EIO, 1, true});
    assert_int_equal(tsdb_commit(machine.db, &machine.why), ERR_IO);
    assert_int_equal(tsdb_reopen(machine.db, &machine.why), ERR_IO);
    fault_env_disarm(machine.fe);
    assert_true(tsdb_is_down(machine.db));
    assert_false(tsdb_is_flushed(machine.db));
    tsdb_want_cut(machine.db);
    assert_true(tsdb_has_frozen(machine.db));
    must(tsdb_flush(machine.db, &machine.why));
    assert_true(tsdb_is_flushed(machine.db));
    machine_verified_restart(&machine);
    assert_int_equal(machine.opening.replayed_samples, 0);
    expect_all(&machine, "a", "{__name__=\"m\"} 1767222000000 1\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        claim(test_deleted_samples_are_hidden_at_once_and_later_erased),
        claim(test_samples_that_come_after_a_deletion_stay),
        claim(test_a_full_merge_can_be_limited_to_the_parts_of_its_request),
        claim(test_part_without_its_root_is_put_aside_and_counted),
        claim(test_store_without_its_manifest_is_refused_and_not_swept),
        claim(test_a_manifest_that_is_removed_meanwhile_is_written_again),
        claim(test_a_manifest_that_cannot_be_written_again_is_tried_again),
        claim(test_a_part_whose_file_is_removed_meanwhile_is_damaged),
        claim(test_nothing_is_written_to_a_directory_that_replaced_the_open_one),
        claim(test_removing_the_log_triggers_a_flush_of_all_memory),
        claim(test_a_head_is_written_out_while_the_log_is_down_without_what_is_void),
        claim(test_log_that_is_gone_is_damage),
        claim(test_an_exemplar_that_is_logged_twice_is_a_duplicate),
        claim(test_samples_of_an_unknown_tenant_count_as_received_and_damaged),
        claim(test_uncommitted_samples_are_in_no_count_that_is_shown),
        claim(test_damage_of_the_log_is_reported_and_each_tenant_balances),
        claim(test_a_ledger_that_does_not_balance_is_reported),
        claim(test_a_record_that_cannot_be_decoded_is_named_by_its_position),
        claim(test_the_last_commits_of_the_log_do_not_vanish_unnoticed),
        claim(test_a_head_is_written_out_when_the_log_ends_before_the_parts),
        claim(test_series_out_of_order_are_named_by_their_part_and_tenant),
        claim(test_the_first_sync_of_a_commit_is_not_under_the_lock_of_the_head),
        claim(test_samples_that_come_while_a_cut_is_committed_are_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
