/*
 * relay_lost_test.c - files of the log that are emptied, cut, removed or partly zeroed after a
 * crash, under a destination with a backlog. Samples in the store arrive; only samples that neither
 * has are dropped, and the store's own account agrees.
 *
 * SEEDS=n runs that many seeds.
 */
#include "lib/test.h"

#include "lib/relay/relay_rig.h"
#include "relay/state/directory.h"

enum { FILES_MAX = 16, NAME_BYTES = 40, REQUESTS_MAX = 90, TURNS_MAX = 30000, ZEROS = 4096 };

struct files {
    char names[FILES_MAX][NAME_BYTES];
    uint32_t count;
};

static enum err
note_file(void *context, const char *name, bool is_dir)
{
    struct files *f = context;
    uint64_t number;
    if (is_dir || !wal_segment_name(name, &number)) return OK;
    assert_true(f->count < FILES_MAX);
    snprintf(f->names[f->count++], NAME_BYTES, "%s", name);
    return OK;
}

enum harm { HARM_EMPTY, HARM_CUT, HARM_REMOVE, HARM_ZERO_PAGE, HARMS };

static void
harm_file(struct world *w, const char *name, enum harm harm)
{
    static const uint8_t zeros[ZEROS];
    char path[100];
    struct file file;
    snprintf(path, sizeof path, STORE_DIR "/wal/%s", name);
    if (harm == HARM_REMOVE) {
        must(env_unlink(w->m.env, path, NULL));
        must(env_syncdir(w->m.env, STORE_DIR "/wal", NULL));
        return;
    }
    must(file_open(w->m.env, path, FILE_UPDATE, &file, NULL));
    if (harm == HARM_EMPTY) must(file_truncate(&file, 0, NULL));
    uint64_t at = WAL_SEGMENT_HEADER_BYTES + rng_below(&w->rng, 40000);
    if (harm == HARM_CUT) must(file_truncate(&file, at, NULL));
    at = WAL_SEGMENT_HEADER_BYTES + ZEROS * rng_below(&w->rng, 12);
    if (harm == HARM_ZERO_PAGE) must(file_write_at(&file, bytes_of(zeros, ZEROS), at, NULL));
    must(file_sync(&file, NULL));
    must(file_close(&file));
}

/* Harms one to three files of the log, one after the other. */
static void
harm_log(struct world *w)
{
    struct files files = {.count = 0};
    must(env_listdir(w->m.env, STORE_DIR "/wal", note_file, &files, NULL));
    enum harm harm = (enum harm)rng_below(&w->rng, HARMS);
    uint32_t more = (uint32_t)(rng_below(&w->rng, 2) * rng_below(&w->rng, 3));
    uint32_t first = (uint32_t)rng_below(&w->rng, files.count);
    for (uint32_t i = first; i <= first + more && i < files.count; i++)
        harm_file(w, files.names[i], harm);
}

/* Delivers some samples, then the destination fails; now and then the head becomes a part. */
static void
live_until_crash(struct world *w)
{
    world_open(w);
    unsigned before = (unsigned)rng_below(&w->rng, 6);
    uint64_t flush[] = {rng_below(&w->rng, REQUESTS_MAX), rng_below(&w->rng, REQUESTS_MAX)};
    if (rng_below(&w->rng, 3) == 0) w->settings.log_budget_bytes = 100000;
    for (unsigned i = 0; i < before; i++) {
        world_log(w, 600, 0);
        world_turn_until_settled(w);
    }
    sim_env_advance_ns(w->m.sim, 2 * NS_PER_S); /* the state is saved */
    world_turn(w, 20);
    w->fails_each = 1;
    unsigned requests = 2 + (unsigned)rng_below(&w->rng, REQUESTS_MAX);
    for (unsigned i = 0; i < requests; i++) {
        world_log(w, 100 + (uint32_t)rng_below(&w->rng, 600), 0);
        world_turn(w, (uint32_t)rng_below(&w->rng, 3));
        if (i == flush[0] || i == flush[1]) machine_flush(&w->m);
    }
    world_turn(w, (uint32_t)rng_below(&w->rng, 2) * 40);
    world_remove(w);
    machine_close(&w->m);
    sim_env_kill(w->m.sim);
}

static bool is_stored[SAMPLES_MAX];
static uint64_t life;  /* seed of the life, for messages */
static bool uncounted; /* lost samples were not counted before, and repeats count as taken */

static void
see(void *context, struct bytes labels, const struct sample_batch *b, uint32_t i)
{
    (void)context;
    (void)labels;
    is_stored[(uint32_t)bits_double(b->value_bits[i])] = true;
}

static void
look_at_store(struct world *w)
{
    struct question q;
    memset(is_stored, 0, sizeof is_stored);
    question_init(&q, "anonymous", every_series, 1, INT64_MIN / 2, INT64_MAX / 2);
    must(machine_select(&w->m, &q, see, NULL));
    question_fini(&q);
    uint64_t gone = 0;
    for (uint32_t i = 0; i < w->count; i++)
        gone += !is_stored[i];
    struct ledger ledger = machine_ledger(&w->m, "anonymous");
    assert_true(ledger.count[LEDGER_FLOAT][LEDGER_DAMAGED] <= gone);
}

static void
go_on_until_settled(struct world *w)
{
    w->fails_each = 0;
    world_open(w);
    for (unsigned i = 0; i < TURNS_MAX && (i < 100 || !world_is_settled(w)); i++) {
        if (i == 20) world_log(w, 400, 0);
        world_turn(w, 1); /* the equation is checked each time */
        if (tsdb_flush_due(w->m.db)) machine_flush(&w->m);
    }
    assert_true(world_is_settled(w));
    world_turn(w, 30);
}

static void
check_what_arrived(struct world *w, uint32_t count_before)
{
    uint64_t lost = 0;
    enum err e =
        dead_letters_each(w->m.env, "relay/there", NULL, world_note_dead, w, NULL, &w->m.why);
    assert_true(e == OK || e == ERR_MISSING);
    for (uint32_t i = 0; i < w->count; i++) {
        bool there = w->sent[i].delivered || w->sent[i].dead;
        lost += !there || (uncounted && !is_stored[i]);
        if (!there && (i >= count_before || is_stored[i])) {
            fail_msg("life %llu: sample %u is in the store and did not arrive",
                     (unsigned long long)life, i);
        }
    }
    struct relay_status s = world_status(w);
    uint64_t dropped = fates_dropped(&s.fates, ITEM_FLOAT);
    if (dropped > lost) {
        fail_msg("life %llu: %llu are dropped and %llu are lost", (unsigned long long)life,
                 (unsigned long long)dropped, (unsigned long long)lost);
    }
}

static void
live_with_a_harmed_log(uint64_t seed)
{
    struct world *w = &the_world;
    life = seed;
    world_init(w, seed);
    w->may_repeat = w->drops = true;
    live_until_crash(w);
    harm_log(w);
    machine_must_open(&w->m);
    look_at_store(w);
    uint32_t count = w->count;
    go_on_until_settled(w);
    check_what_arrived(w, count);
    world_fini(w);
}

static enum err
copy_states(void *context, const char *from, const char *to, struct why *why)
{
    struct world *w = context;
    (void)from; /* the states of this world are elsewhere, and those of its snapshots, too */
    (void)to;
    return relay_copy_states(w->m.env, "relay", "copy", NULL, why);
}

/* Some requests arrive, and are sent, between the copy of the states and the flush. */
static enum err
flush_later(void *context, struct why *why)
{
    struct world *w = context;
    uint64_t more = rng_below(&w->rng, 4);
    (void)why;
    for (uint64_t i = 0; i < more; i++) {
        world_log(w, 100, 3);
        world_turn(w, (uint32_t)rng_below(&w->rng, 20));
    }
    machine_flush(&w->m);
    return OK;
}

/* A snapshot is taken while the destination works. Some time later the server is killed, and the
 * snapshot takes the place of its directory. */
static void
live_until_restored(struct world *w)
{
    char name[SNAPSHOT_NAME_BYTES], snapshot[100];
    machine_close(&w->m);
    w->m.options.snapshot_more = copy_states;
    w->m.options.snapshot_context = w;
    machine_must_open(&w->m);
    world_open(w);
    world_turn(w, 5);
    sim_env_advance_ns(w->m.sim, 2 * NS_PER_S); /* a state is saved before anything is logged */
    world_turn(w, 5);
    unsigned requests = (unsigned)(rng_below(&w->rng, 3) * rng_below(&w->rng, REQUESTS_MAX / 2));
    for (unsigned i = 0; i < requests; i++) {
        world_log(w, 100 + (uint32_t)rng_below(&w->rng, 400), 3);
        world_turn(w, (uint32_t)rng_below(&w->rng, 4));
        if (rng_below(&w->rng, 4) == 0) sim_env_advance_ns(w->m.sim, NS_PER_S);
        if (rng_below(&w->rng, 20) == 0) machine_flush(&w->m);
        if (rng_below(&w->rng, 8) == 0) w->fails_each = (uint32_t)rng_below(&w->rng, 2);
    }
    must(tsdb_snapshot(w->m.db, NULL, false, flush_later, w, name, &w->m.why));
    world_turn(w, (uint32_t)rng_below(&w->rng, 2) * 40);
    world_remove(w);
    machine_close(&w->m);
    sim_env_kill(w->m.sim);
    snprintf(snapshot, sizeof snapshot, STORE_DIR "/snapshots/%s", name);
    must(env_rename(w->m.env, snapshot, "snapshot", NULL));
    must(env_remove_tree(w->m.env, STORE_DIR, NULL));
    must(env_rename(w->m.env, "snapshot", STORE_DIR, NULL));
    must(env_remove_tree(w->m.env, "relay", NULL));
    must(env_rename(w->m.env, "copy", "relay", NULL));
}

static void
live_with_a_restored_snapshot(uint64_t seed)
{
    struct world *w = &the_world;
    life = seed;
    world_init(w, seed);
    w->may_repeat = w->drops = w->forgets_shown = true;
    live_until_restored(w);
    machine_must_open(&w->m);
    look_at_store(w);
    uint32_t count = w->count;
    go_on_until_settled(w);
    check_what_arrived(w, count);
    world_fini(w);
}

UNIT_TEST(test_a_restored_snapshot_delivers_all_that_is_stored)
{
    const char *given = getenv("SEEDS");
    uint64_t seeds = given == NULL ? 60 : strtoull(given, NULL, 10);
    for (uint64_t seed = 1; seed <= seeds; seed++)
        live_with_a_restored_snapshot(200000 + seed);
}

UNIT_TEST(test_stored_samples_arrive_when_files_of_the_log_are_lost)
{
    const char *given = getenv("SEEDS");
    uint64_t seeds = given == NULL ? 60 : strtoull(given, NULL, 10);
    for (uint64_t seed = 1; seed <= seeds; seed++)
        live_with_a_harmed_log(seed);
}

/* A part is written after the store began to be read; then the log loses what that part has. */
UNIT_TEST(test_parts_written_during_a_fill_are_read_if_the_log_is_lost)
{
    live_with_a_harmed_log(6047);
    live_with_a_harmed_log(12037);
    live_with_a_harmed_log(28044);
}

/* The next record, which shows that samples are missing, is written later. */
UNIT_TEST(test_the_position_stays_before_damage_until_its_size_is_known)
{
    live_with_a_harmed_log(33045);
}

/* The damage begins before the end of the parts, and ends after it. */
UNIT_TEST(test_a_hole_that_parts_have_in_part_is_read_from_the_store)
{
    live_with_a_harmed_log(17053);
    live_with_a_harmed_log(25015);
    live_with_a_harmed_log(27050);
    live_with_a_harmed_log(31021);
}

/* --- damage at chosen positions --------------------------------------------------------------- */

/* A stretch of the log that is overwritten by zeros. */
struct zeroing {
    struct world *w;
    uint64_t from_pos, to_pos;
    uint64_t bytes; /* bytes that were overwritten */
};

static enum err
zero_segment(void *context, const struct wal_segment_info *info)
{
    struct zeroing *z = context;
    static const uint8_t zeros[1 << 20];
    uint64_t from = z->from_pos > info->base_pos ? z->from_pos : info->base_pos;
    uint64_t to = z->to_pos < info->end_pos ? z->to_pos : info->end_pos;
    char path[100];
    struct file file;
    if (info->state != WAL_SEGMENT_LIVE || from >= to) return OK;
    assert_true(to - from <= sizeof zeros);
    snprintf(path, sizeof path, STORE_DIR "/wal/%016llx.wal", (unsigned long long)info->number);
    must(file_open(z->w->m.env, path, FILE_UPDATE, &file, NULL));
    uint64_t at = WAL_SEGMENT_HEADER_BYTES + from - info->base_pos;
    must(file_write_at(&file, bytes_of(zeros, to - from), at, NULL));
    must(file_sync(&file, NULL));
    must(file_close(&file));
    z->bytes += to - from;
    return OK;
}

/* Damages the log between these positions; only in complete commits of the log on disk. */
static void
zero_log(struct world *w, uint64_t from_pos, uint64_t to_pos)
{
    struct zeroing z = {w, from_pos, to_pos, 0};
    must(wal_segments(w->m.env, STORE_DIR "/wal", NULL, zero_segment, &z, &w->m.why));
    assert_true(z.bytes > 0);
}

/* Positions at which commits end: ends[i] is the end of the first i requests of log_many(). */
enum { REQUESTS = 180, EACH = 300 };
static uint64_t ends[REQUESTS + 1];

static void
log_many(struct world *w, unsigned from, unsigned to)
{
    ends[from] = wal_end(tsdb_wal(w->m.db));
    for (unsigned i = from; i < to; i++) {
        world_log(w, EACH, 0);
        ends[i + 1] = wal_end(tsdb_wal(w->m.db));
    }
}

static void
pass_seconds(struct world *w, unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        sim_env_advance_ns(w->m.sim, NS_PER_S);
        world_turn(w, 30);
    }
}

/* Begins a life in which nothing is delivered and all that is logged is counted. */
static void
begin_stuck(struct world *w, uint64_t seed)
{
    life = seed;
    world_init(w, seed);
    w->may_repeat = w->drops = true;
    w->fails_each = 1;
    world_open(w);
}

/* Kills the server. What it wrote is on disk. */
static void
kill_server(struct world *w)
{
    world_remove(w);
    machine_close(&w->m);
    sim_env_kill(w->m.sim);
}

static void
start_server(struct world *w)
{
    machine_must_open(&w->m);
    look_at_store(w);
}

/* Delivers all there is. What neither log nor store has is dropped, except for as many samples as
 * the store gives twice: which these are is unknown. */
static void
expect_all_that_is_stored(struct world *w, uint64_t repeats)
{
    uint32_t count = w->count;
    uint64_t lost = 0, dead = 0;
    for (uint32_t i = 0; i < count; i++)
        lost += !is_stored[i];
    go_on_until_settled(w);
    check_what_arrived(w, count);
    for (uint32_t i = 0; i < count; i++)
        dead += w->sent[i].dead;
    world_log(w, 10, 0);
    world_turn_until_settled(w);
    world_turn(w, 30);
    struct relay_status s = world_status(w);
    assert_in_range(w->repeated, 0, repeats);
    uint64_t dropped = fates_dropped(&s.fates, ITEM_FLOAT);
    /* After a restart, a repeat that was refused is missing and counts as lost. */
    uint64_t refused = uncounted ? w->count / 1000 : 0;
    assert_in_range(dropped, lost > repeats ? lost - repeats : 0, lost + refused);
    assert_int_equal(s.fates.count[ITEM_FLOAT][FATE_DROPPED + DROP_DAMAGED], dropped);
    if (uncounted)
        assert_true(s.taken[ITEM_FLOAT] >= w->count - lost);
    else /* a repeat that is refused is a letter of its own */
        assert_in_range(s.taken[ITEM_FLOAT], w->count, w->count + w->letters - dead);
    world_fini(w);
}

static void
expect_stored(const struct world *w, uint32_t lost)
{
    uint32_t gone = 0;
    for (uint32_t i = 0; i < w->count; i++)
        gone += !is_stored[i];
    assert_int_equal(gone, lost);
}

/* Leaves the log with everything up to request `to`, which parts have. */
static void
leave_log_at(struct world *w, unsigned to)
{
    log_many(w, 0, to);
    machine_flush(&w->m);
    w->settings.log_budget_bytes = 6000;
    for (unsigned i = 0; i < 20 && w->fills == 0; i++)
        pass_seconds(w, 1);
    assert_int_equal(w->fills, 1);
    w->settings.log_budget_bytes = 1 << 30;
}

/* While the store is read up to request 20, the log goes on to 50, counted up to 40, in parts up to
 * 30. Then records are damaged that are in parts, or only in the log, counted or not. */
UNIT_TEST(test_damage_after_a_fill_is_read_from_the_store_or_counted)
{
    static const struct {
        unsigned from, to;
        uint32_t lost;
        uint32_t repeats;
    } damage[] = {
        {20, 25, 0, 0},        {22, 30, 0, 2 * EACH},
        {15, 35, 5 * EACH, 0}, {28, 35, 5 * EACH, 8 * EACH},
        {30, 35, 5 * EACH, 0}, {25, 45, 15 * EACH, 5 * EACH},
        {38, 45, 7 * EACH, 0}, {40, 45, 5 * EACH, 0},
        {42, 50, 8 * EACH, 0}, {10, 50, 20 * EACH, 0},
    };
    struct world *w = &the_world;
    for (unsigned i = 0; i < sizeof damage / sizeof *damage; i++) {
        begin_stuck(w, 900 + i);
        leave_log_at(w, 20);
        log_many(w, 20, 30);
        machine_flush(&w->m);
        log_many(w, 30, 40);
        pass_seconds(w, 3);
        log_many(w, 40, 50);
        log_many(w, 50, 51);
        kill_server(w);
        zero_log(w, ends[damage[i].from], ends[damage[i].to]);
        start_server(w);
        expect_stored(w, damage[i].lost);
        expect_all_that_is_stored(w, damage[i].repeats);
    }
}

/* Each hole is in parts, or was in the head, or both. */
UNIT_TEST(test_several_holes_are_read_from_the_store_or_counted)
{
    static const unsigned flushes[] = {0, 4, 6, 8, 13, 20, 25};
    struct world *w = &the_world;
    for (unsigned i = 0; i < sizeof flushes / sizeof *flushes; i++) {
        begin_stuck(w, 920 + i);
        log_many(w, 0, flushes[i]);
        if (flushes[i] > 0) machine_flush(&w->m);
        log_many(w, flushes[i], 30);
        pass_seconds(w, i % 2 == 0 ? 3 : 0);
        kill_server(w);
        zero_log(w, ends[5], ends[7]);
        zero_log(w, ends[12], ends[15]);
        zero_log(w, ends[22], ends[23]);
        start_server(w);
        expect_all_that_is_stored(w, EACH * flushes[i]);
    }
}

/* The destination fails after the hole, until its backlog is too large. */
UNIT_TEST(test_a_hole_is_counted_once_if_the_log_is_left_after_it)
{
    struct world *w = &the_world;
    for (unsigned i = 0; i < 2; i++) {
        begin_stuck(w, 930 + i);
        log_many(w, 0, 10);
        kill_server(w);
        zero_log(w, ends[5], ends[7]);
        start_server(w);
        expect_stored(w, 2 * EACH);
        world_open(w);
        pass_seconds(w, i == 0 ? 0 : 3);
        log_many(w, 10, 20);
        machine_flush(&w->m);
        w->settings.log_budget_bytes = 6000;
        pass_seconds(w, 5);
        assert_int_equal(w->fills, 1);
        world_remove(w);
        look_at_store(w);
        expect_all_that_is_stored(w, 0);
    }
}

/* The store was not opened on the damaged log: it has all samples. */
UNIT_TEST(test_damage_while_the_server_runs_loses_nothing)
{
    struct world *w = &the_world;
    for (unsigned i = 0; i < 6; i++) {
        begin_stuck(w, 940 + i);
        bool down = i % 2 == 0, begins_later = i >= 2;
        if (begins_later) leave_log_at(w, 10);
        unsigned from = begins_later ? 10 : 0;
        log_many(w, from, from + 10);
        if (down) {
            must(relay_close(w->relay, &w->m.why));
            w->relay = NULL;
        }
        log_many(w, from + 10, from + 20);
        zero_log(w, ends[from + (i < 4 ? 5 : 0)], ends[from + (i < 4 ? 15 : 20)]);
        look_at_store(w);
        if (!down) world_remove(w);
        expect_stored(w, 0);
        expect_all_that_is_stored(w, 2 * REQUESTS * EACH);
    }
}

/* Delivery goes on where the log is damaged, and the server is killed after some steps. */
UNIT_TEST(test_killed_at_any_step_at_a_hole_it_loses_nothing)
{
    struct world *w = &the_world;
    for (unsigned steps = 0; steps < 160; steps += 1 + steps / 8) {
        begin_stuck(w, 950);
        leave_log_at(w, 10);
        log_many(w, 10, 20);
        machine_flush(&w->m);
        log_many(w, 20, 30);
        pass_seconds(w, 3);
        log_many(w, 30, 40);
        kill_server(w);
        zero_log(w, ends[14], ends[25]);
        zero_log(w, ends[32], ends[34]);
        start_server(w);
        w->fails_each = 0;
        world_open(w);
        for (unsigned i = 0; i < steps; i++) {
            world_turn(w, 1);
            if (tsdb_flush_due(w->m.db)) machine_flush(&w->m);
        }
        w->forgets_shown = true; /* the state that is saved is older than the last one shown */
        kill_server(w);
        start_server(w);
        expect_all_that_is_stored(w, 2 * REQUESTS * EACH);
    }
}

/* Samples that were delivered before the damage are not sent again, unless their part is. */
UNIT_TEST(test_a_hole_around_the_cursor_is_counted_from_the_cursor_on)
{
    struct world *w = &the_world;
    for (unsigned i = 0; i < 4; i++) {
        begin_stuck(w, 960 + i);
        w->fails_each = 0;
        log_many(w, 0, 10);
        world_turn_until_settled(w);
        sim_env_advance_ns(w->m.sim, 2 * NS_PER_S);
        world_turn(w, 20); /* the state is saved */
        w->fails_each = 1;
        if (i == 1) machine_flush(&w->m);
        log_many(w, 10, 12);
        if (i >= 2) machine_flush(&w->m);
        log_many(w, 12, 20);
        if (i == 3) pass_seconds(w, 3);
        kill_server(w);
        zero_log(w, ends[5], ends[15]);
        start_server(w);
        uint32_t delivered_and_lost = 0;
        for (uint32_t n = 0; n < 10 * EACH; n++) {
            delivered_and_lost += !is_stored[n];
            is_stored[n] = true; /* it need not come again */
        }
        assert_int_equal(delivered_and_lost, i == 0 ? 5 * EACH : 0);
        expect_all_that_is_stored(w, i >= 2 ? 10 * EACH : 0);
    }
}

/* Segments before the one that is missing cannot be read either. */
UNIT_TEST(test_a_removed_segment_is_read_from_the_store_or_counted)
{
    struct world *w = &the_world;
    for (unsigned i = 0; i < 8; i++) {
        begin_stuck(w, 970 + i);
        unsigned begin = i < 4 ? 0 : 20;
        if (begin > 0) leave_log_at(w, begin);
        unsigned middle = i % 2 == 0 ? 40 : 100;
        log_many(w, begin, middle);
        if (i % 4 >= 2) machine_flush(&w->m);
        log_many(w, middle, REQUESTS);
        pass_seconds(w, i % 2 == 0 ? 3 : 0);
        kill_server(w);
        harm_file(w, "0000000000000002.wal", HARM_REMOVE); /* of three or four */
        start_server(w);
        expect_all_that_is_stored(w, REQUESTS * EACH);
    }
}

/* Parts reach beyond the end of the log, also beyond the end of the fill that was begun. */
UNIT_TEST(test_a_log_that_ends_before_the_parts_do_loses_nothing)
{
    struct world *w = &the_world;
    for (unsigned i = 0; i < 6; i++) {
        struct files files = {.count = 0};
        struct file file;
        char path[100];
        begin_stuck(w, 980 + i);
        unsigned begin = i < 3 ? 10 : 0;
        if (begin > 0) leave_log_at(w, begin);
        log_many(w, begin, 20);
        machine_flush(&w->m);
        kill_server(w);
        must(env_listdir(w->m.env, STORE_DIR "/wal", note_file, &files, NULL));
        assert_int_equal(files.count, 1);
        snprintf(path, sizeof path, STORE_DIR "/wal/%s", files.names[0]);
        must(file_open(w->m.env, path, FILE_UPDATE, &file, NULL));
        uint64_t cut = ends[8 + 2 * (i % 3)] - 512; /* the log's first position is 512 */
        must(file_truncate(&file, WAL_SEGMENT_HEADER_BYTES + cut, NULL));
        must(file_sync(&file, NULL));
        must(file_close(&file));
        start_server(w);
        expect_stored(w, 0);
        expect_all_that_is_stored(w, 20 * EACH);
    }
}

/* The count of the store's items lasts while the log is followed again. */
UNIT_TEST(test_a_lost_end_of_the_log_explains_items_that_were_counted)
{
    struct world *w = &the_world;
    begin_stuck(w, 984);
    leave_log_at(w, 10);
    log_many(w, 10, 30);
    pass_seconds(w, 3);
    w->fails_each = 0;
    for (unsigned i = 0; i < 1000 && world_state(w).fill.active; i++)
        world_turn(w, 1);
    assert_true(world_state(w).expected.until_pos > 0);
    w->fails_each = 1;
    pass_seconds(w, 2);
    kill_server(w);
    zero_log(w, ends[15], ends[30]);
    start_server(w);
    expect_stored(w, 15 * EACH);
    uncounted = true; /* what was sent in the last second is lost, too */
    expect_all_that_is_stored(w, 15 * EACH);
    uncounted = false;
}

/* The first commits after the log lost its end have the numbers of those that it lost. */
UNIT_TEST(test_the_end_of_a_log_that_is_lost_twice_is_read_from_the_store)
{
    struct world *w = &the_world;
    begin_stuck(w, 985);
    log_many(w, 0, 3);
    pass_seconds(w, 3);
    kill_server(w);
    zero_log(w, ends[1], ends[3]);
    machine_must_open(&w->m);
    world_open(w);
    pass_seconds(w, 3); /* what is lost is counted */
    log_many(w, 3, 7);
    machine_flush(&w->m);
    kill_server(w);
    zero_log(w, ends[3], ends[7]);
    start_server(w);
    expect_stored(w, 2 * EACH);
    world_open(w);
    log_many(w, 7, 11);
    world_turn(w, 3);
    world_remove(w);
    memset(is_stored + 7 * EACH, true, 4 * EACH);
    expect_all_that_is_stored(w, EACH);
}

/* The letter of a settled sample is the only one that the destination has of it. */
UNIT_TEST(test_letters_stay_when_the_log_ends_before_the_cursor)
{
    struct world *w = &the_world;
    for (unsigned i = 0; i < 2; i++) {
        begin_stuck(w, 986 + i);
        w->fails_each = 0;
        log_many(w, 0, 5);
        world_turn_until_settled(w);
        pass_seconds(w, 2); /* the state is saved */
        if (i == 1) machine_flush(&w->m);
        kill_server(w);
        zero_log(w, ends[2], ends[5]);
        start_server(w);
        expect_stored(w, i == 1 ? 0 : 3 * EACH);
        uint32_t count = w->count;
        go_on_until_settled(w);
        check_what_arrived(w, count);
        assert_true(w->sent[999].dead);
        struct relay_status s = world_status(w);
        assert_int_equal(s.fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED], 1);
        assert_int_equal(s.taken[ITEM_FLOAT], w->count);
        assert_int_equal(fates_dropped(&s.fates, ITEM_FLOAT), 0);
        world_fini(w);
    }
}

/* One of two records of a commit is damaged after the server has read it. The part that has it ends
 * with this commit. */
UNIT_TEST(test_a_commit_damaged_in_part_is_read_from_the_store)
{
    struct world *w = &the_world;
    for (unsigned i = 0; i < 4; i++) {
        begin_stuck(w, 990 + i);
        log_many(w, 0, 5);
        uint64_t pos = wal_end(tsdb_wal(w->m.db));
        world_send(w, EACH, 0);
        world_log(w, EACH, 0);
        if (i >= 2) log_many(w, 5, 10);
        kill_server(w);
        start_server(w);
        expect_stored(w, 0);
        assert_int_equal(world_spoil_log(w, pos, WAL_FLOATS, 1), EACH);
        if (i % 2 == 0) machine_flush(&w->m);
        expect_all_that_is_stored(w, 12 * EACH);
    }
}

/* Steps with the server as it runs: writes of the head become due and are done. */
static void
step_with_flushes(struct world *w, unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        world_turn(w, 1);
        if (tsdb_flush_due(w->m.db)) machine_flush(&w->m);
    }
}

/* Overwrites random commits of the log. */
static void
zero_some(struct world *w, unsigned logged)
{
    unsigned from = (unsigned)rng_below(&w->rng, logged);
    unsigned to = from + 1 + (unsigned)rng_below(&w->rng, logged - from);
    struct zeroing z = {w, ends[from], ends[to], 0};
    must(wal_segments(w->m.env, STORE_DIR "/wal", NULL, zero_segment, &z, &w->m.why));
}

/* Random actions: requests, parts, damage while the server runs and while it is stopped, a
 * destination that is up, down, or too far behind. */
static void
live_with_holes(uint64_t seed)
{
    struct world *w = &the_world;
    unsigned logged = 0;
    begin_stuck(w, seed);
    w->forgets_shown = true;
    for (unsigned i = 0; i < 25 && logged < REQUESTS - 20; i++) {
        unsigned more = 1 + (unsigned)rng_below(&w->rng, 15);
        switch (rng_below(&w->rng, 9)) {
        case 0:
        case 1:
        case 2:
            log_many(w, logged, logged + more);
            logged += more;
            break;
        case 3:
            machine_flush(&w->m);
            break;
        case 4:
            w->fails_each = (uint32_t)rng_below(&w->rng, 4);
            break;
        case 5:
            w->settings.log_budget_bytes = rng_below(&w->rng, 2) == 0 ? 6000 : 1 << 30;
            break;
        case 6:
            step_with_flushes(w, 1 + (unsigned)rng_below(&w->rng, 60));
            break;
        case 7:
            pass_seconds(w, 1 + (unsigned)rng_below(&w->rng, 3));
            break;
        default:
            if (logged == 0) break;
            bool runs = rng_below(&w->rng, 3) == 0;
            if (runs) {
                zero_some(w, logged);
                break;
            }
            kill_server(w);
            zero_some(w, logged);
            if (rng_below(&w->rng, 2) == 0) zero_some(w, logged);
            machine_must_open(&w->m);
            world_open(w);
        }
    }
    kill_server(w);
    start_server(w);
    uncounted = true; /* which samples are lost between two saved states is unknown */
    expect_all_that_is_stored(w, UINT64_MAX);
    uncounted = false;
}

UNIT_TEST(test_stored_samples_arrive_when_the_log_has_random_holes)
{
    const char *given = getenv("SEEDS");
    uint64_t seeds = given == NULL ? 60 : strtoull(given, NULL, 10);
    for (uint64_t seed = 1; seed <= seeds; seed++)
        live_with_holes(2000 + seed);
}

/* Items that the log lost at its end may come until the count is closed. Then a hole has items that
 * were counted, and the store has lost as many. */
UNIT_TEST(test_a_loss_of_the_store_explains_items_that_were_counted)
{
    live_with_holes(60039);
}

/* --- two destinations ------------------------------------------------------------------------- */

static bool arrived[SAMPLES_MAX]; /* at the second destination */

static void
other_begin(struct writer *writer, struct writer_call *c, struct writer_step *step)
{
    if (writer->w->fails_each == 1) {
        fake_say(step, VERDICT_RETRY, "unavailable");
        return;
    }
    for (uint32_t i = 0; i < c->count; i++)
        arrived[c->numbers[i]] = true;
    fake_say(step, VERDICT_DELIVERED, "");
}

struct other {
    struct destination_settings settings;
    struct relay_options options;
    struct relay_guard *guard;
    struct relay *relay;
    struct writer_class writer;
};

static void
other_open(struct world *w, struct other *o)
{
    memset(o, 0, sizeof *o);
    o->settings = w->settings;
    o->settings.name = "other";
    o->writer = fake_writer;
    o->writer.begin = other_begin;
    o->options = w->options;
    o->options.settings = &o->settings;
    o->options.writer = &o->writer;
    o->options.guard = NULL;
    o->options.wal = tsdb_wal(w->m.db);
    o->options.tsdb = w->m.db;
    must(relay_guard_new(&o->options, NULL, &o->guard, &w->m.why));
    o->options.guard = o->guard;
    must(relay_open(&o->options, &o->relay, &w->m.why));
}

static void
other_close(struct other *o)
{
    relay_free(o->relay);
    relay_guard_free(o->guard);
}

static void
other_expect(struct world *w, struct other *o, uint64_t lost)
{
    struct relay_status s;
    relay_status(o->relay, &s);
    const uint64_t *fates = s.fates.count[ITEM_FLOAT];
    for (uint32_t i = 0; i < w->count; i++) {
        bool refused = i % 1000 == 999; /* a dead letter */
        if (is_stored[i] && !refused && !arrived[i]) fail_msg("sample %u did not arrive", i);
    }
    assert_int_equal(s.difference[ITEM_FLOAT], 0);
    assert_int_equal(fates[FATE_OPEN], 0);
    assert_int_equal(fates[FATE_DROPPED + DROP_DAMAGED], lost);
    assert_int_equal(s.taken[ITEM_FLOAT], w->count);
}

/* The store's loss explains what each of them misses. */
UNIT_TEST(test_two_destinations_account_for_the_same_hole)
{
    struct world *w = &the_world;
    struct other o;
    for (unsigned i = 0; i < 3; i++) {
        memset(arrived, 0, sizeof arrived);
        begin_stuck(w, 1000 + i);
        other_open(w, &o);
        log_many(w, 0, 10);
        if (i > 0) machine_flush(&w->m);
        log_many(w, 10, 20);
        other_close(&o);
        kill_server(w);
        zero_log(w, ends[i == 1 ? 6 : 12], ends[14]);
        start_server(w);
        expect_stored(w, i == 1 ? 4 * EACH : 2 * EACH);
        w->fails_each = 0;
        world_open(w);
        other_open(w, &o);
        for (unsigned turn = 0; turn < 3000; turn++) {
            if (turn == 20) {
                uint32_t count = w->count;
                log_many(w, 20, 21);
                memset(is_stored + count, true, w->count - count);
            }
            world_turn(w, 1);
            relay_step(o.relay);
            if (tsdb_flush_due(w->m.db)) machine_flush(&w->m);
        }
        check_what_arrived(w, 20 * EACH);
        uint64_t lost = i == 1 ? 4 * EACH : 2 * EACH;
        struct relay_status s = world_status(w);
        if (i == 1) lost = 0; /* the part sends more samples again than are lost */
        assert_int_equal(fates_dropped(&s.fates, ITEM_FLOAT), lost);
        other_expect(w, &o, lost);
        other_close(&o);
        world_fini(w);
    }
}

/* A running destination loses its state: its directory, the directory of all, or a file. */
UNIT_TEST(test_a_state_that_is_removed_meanwhile_is_written_again)
{
    static const char *const removed[] = {"relay/there/state", "relay/there", "relay"};
    struct world *w = &the_world;
    for (unsigned i = 0; i < 3; i++) {
        world_init(w, 700 + i);
        world_open(w);
        world_log(w, 400, 0);
        world_turn_until_settled(w);
        w->fails_each = 1;
        world_log(w, 400, 0);
        pass_seconds(w, 3);
        assert_false(world_is_settled(w));
        if (i == 0) must(env_unlink(w->m.env, "relay/there/state.previous", NULL));
        if (i == 0) must(env_unlink(w->m.env, removed[i], NULL));
        if (i > 0) must(env_remove_tree(w->m.env, removed[i], NULL));
        pass_seconds(w, 3);
        w->fails_each = 0;
        w->may_repeat = true;
        world_crash(w);
        world_turn_until_settled(w);
        world_check_account(w);
        world_fini(w);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_restored_snapshot_delivers_all_that_is_stored),
        cmocka_unit_test(test_stored_samples_arrive_when_files_of_the_log_are_lost),
        cmocka_unit_test(test_parts_written_during_a_fill_are_read_if_the_log_is_lost),
        cmocka_unit_test(test_the_position_stays_before_damage_until_its_size_is_known),
        cmocka_unit_test(test_a_hole_that_parts_have_in_part_is_read_from_the_store),
        cmocka_unit_test(test_damage_after_a_fill_is_read_from_the_store_or_counted),
        cmocka_unit_test(test_several_holes_are_read_from_the_store_or_counted),
        cmocka_unit_test(test_a_hole_is_counted_once_if_the_log_is_left_after_it),
        cmocka_unit_test(test_damage_while_the_server_runs_loses_nothing),
        cmocka_unit_test(test_killed_at_any_step_at_a_hole_it_loses_nothing),
        cmocka_unit_test(test_a_hole_around_the_cursor_is_counted_from_the_cursor_on),
        cmocka_unit_test(test_a_removed_segment_is_read_from_the_store_or_counted),
        cmocka_unit_test(test_a_log_that_ends_before_the_parts_do_loses_nothing),
        cmocka_unit_test(test_a_lost_end_of_the_log_explains_items_that_were_counted),
        cmocka_unit_test(test_the_end_of_a_log_that_is_lost_twice_is_read_from_the_store),
        cmocka_unit_test(test_letters_stay_when_the_log_ends_before_the_cursor),
        cmocka_unit_test(test_a_commit_damaged_in_part_is_read_from_the_store),
        cmocka_unit_test(test_stored_samples_arrive_when_the_log_has_random_holes),
        cmocka_unit_test(test_a_loss_of_the_store_explains_items_that_were_counted),
        cmocka_unit_test(test_two_destinations_account_for_the_same_hole),
        cmocka_unit_test(test_a_state_that_is_removed_meanwhile_is_written_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
