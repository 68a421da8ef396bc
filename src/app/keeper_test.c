/*
 * keeper_test.c - the commit thread, a store on a simulated disk, and the server's own samples:
 * after own_sync() returned, a power failure loses none, for any wal.ack.
 *
 * It defines what api/api.h and app/merger.c have, so that neither is linked.
 */
#include <poll.h>

#include "app/own_writes.h"
#include "base/log.h"
#include "lib/test.h"
#include "lib/tsdb/tsdb_machine.h"

enum { WAIT_S = 60, SEEDS = 20, WRITES = 5 };

static struct machine m;
static struct keeper keeper;
static struct own_writes *writes;
static bool is_running;
static unsigned written; /* samples of own_write() so far */

void
api_committed(struct api *api)
{
    (void)api;
}

const char *
api_refuses_writes(struct api *api)
{
    (void)api;
    return NULL;
}

bool
api_doubts_clock(struct api *api, struct why *why)
{
    (void)api, (void)why;
    return false;
}

void
merger_wake(struct merger *merger)
{
    (void)merger;
}

static const char *
holds_writes(void *context)
{
    (void)context;
    return NULL;
}

static bool
takes_writes(void *context)
{
    (void)context;
    return true;
}

/* --- the rig ---------------------------------------------------------------------------------- */

enum ack { MEMORY, WRITTEN, FSYNC };

static void
rig_open(uint64_t seed, enum ack ack)
{
    machine_init(&m, seed);
    m.options.wal_sync = ack == FSYNC ? WAL_SYNC_FSYNC : WAL_SYNC_WRITTEN;
    m.options.ack_memory = ack == MEMORY;
    machine_must_open(&m);
    keeper = (struct keeper){.tsdb = m.db, .synced_by_time = ack != FSYNC};
    keeper_init(&keeper, env_real());
    struct own_writes_options options = {
        .env = env_real(),
        .tsdb = m.db,
        .keeper = &keeper,
        .holds_writes = holds_writes,
        .takes_writes = takes_writes,
    };
    must(own_writes_new(&options, &writes));
    keeper.writes = writes;
    written = 0;
}

static void
rig_run(void)
{
    must(keeper_start(&keeper, &m.why));
    is_running = true;
}

static void
rig_stop(void)
{
    keeper_stop_flushing(&keeper);
    keeper_stop_committing(&keeper);
    is_running = false;
}

static void
rig_close(void)
{
    if (is_running) rig_stop();
    keeper_fini(&keeper);
    own_writes_free(writes);
    machine_fini(&m);
}

/* Ends the threads that a failed test left. Runs after each test. */
static int
rig_clean_up(void **state)
{
    if (is_running) {
        fault_env_disarm(m.fe);
        rig_stop();
    }
    return tell_seed(state);
}

/* Fails the power: writes that the threads still try do not reach the disk. */
static void
rig_power_loss(void)
{
    fault_env_arm(m.fe, (struct fault){FAULT_EIO, 1, true});
    sim_env_power_loss(m.sim);
    if (is_running) rig_stop();
    fault_env_disarm(m.fe);
    machine_restart(&m);
}

#define wait_for(condition)                                                                  \
    for (int waited_ms = 0; !(condition); waited_ms++) {                                     \
        if (waited_ms == WAIT_S * 1000) fail_msg("not within %d s: %s", WAIT_S, #condition); \
        poll(NULL, 0, 1);                                                                    \
    }

/* Writes a sample a millisecond after the last one, with its number as the value. */
static enum err
write_next(uint64_t *ret_ticket)
{
    struct rules_written result = {0};
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=m");
    rq_float(&rq, SIM_BEGIN + written, double_bits(written), 0);
    rq_close(&rq);
    enum err e = own_write(writes, text("a"), buf_bytes(&rq.out), &result, &m.why);
    rq_fini(&rq);
    if (e == OK) written++;
    *ret_ticket = result.ticket;
    return e;
}

static void
write_and_settle(void)
{
    uint64_t ticket;
    must(write_next(&ticket));
    must(own_settle(writes, ticket, &m.why));
}

static void
expect_written(unsigned count)
{
    struct buf lines;
    buf_init(&lines, NULL, 1 << 20);
    for (unsigned i = 0; i < count; i++)
        buf_printf(&lines, "{__name__=\"m\"} %lld %u\n", SIM_BEGIN + i, i);
    buf_put_u8(&lines, '\0');
    expect_all(&m, "a", (char *)lines.at);
    buf_fini(&lines);
}

static uint64_t
commits_undone(void)
{
    struct tsdb_stats stats;
    tsdb_stats(m.db, &stats);
    return stats.undone_epochs_total;
}

static uint64_t
commits_ended(void)
{
    lock_take(&keeper.commit.lock);
    uint64_t count = keeper.commits_ended;
    lock_drop(&keeper.commit.lock);
    return count;
}

UNIT_TEST(test_the_commit_thread_rests_until_a_commit_is_wanted)
{
    rig_open(1, WRITTEN);
    rig_run();
    write_and_settle();
    keeper_want_commit(&keeper);
    wait_for(commits_ended() > 0);
    int64_t began_ns = env_monotonic_ns(env_real());
    uint64_t before = commits_ended();
    wait_for(commits_ended() >= before + 2); /* the first may be wanted, the next one is not */
    assert_true(env_monotonic_ns(env_real()) - began_ns >= NS_PER_S);
    rig_close();
}

/* --- promises of own_sync() ------------------------------------------------------------------- */

UNIT_TEST(test_a_power_failure_takes_nothing_that_was_settled_before_a_sync)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        for (enum ack ack = MEMORY; ack <= FSYNC; ack++) {
            rig_open(seed, ack);
            rig_run();
            for (unsigned i = 0; i < WRITES; i++) {
                write_and_settle();
                must(own_sync(writes, &m.why));
            }
            rig_power_loss();
            expect_written(WRITES);
            rig_close();
        }
    }
}

UNIT_TEST(test_where_each_commit_is_synced_a_sync_returns_at_once)
{
    rig_open(1, FSYNC); /* no thread that could sync runs */
    must(own_sync(writes, &m.why));
    rig_close();
}

/* --- failures --------------------------------------------------------------------------------- */

/* Waits for the log and syncs; the log returns after one second at most. */
static void
sync_when_the_log_is_back(void)
{
    enum err e;
    wait_for((e = own_sync(writes, &m.why)) != ERR_AGAIN);
    must(e);
}

/* Ends with committed samples whose sync failed; syncs go on failing. A sample that the sync of
 * each second has already taken cannot fail: then another one is written. */
static void
write_what_cannot_be_synced(void)
{
    enum err e = OK;
    while (e == OK) {
        fault_env_disarm(m.fe);
        write_and_settle();
        fault_env_arm(m.fe, (struct fault){FAULT_SYNC, 1, true});
        e = own_sync(writes, &m.why);
    }
    assert_int_equal(e, ERR_AGAIN);
}

UNIT_TEST(test_the_sync_after_a_failed_one_makes_all_writes_durable)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        rig_open(seed, WRITTEN);
        rig_run();
        write_what_cannot_be_synced();
        fault_env_disarm(m.fe);
        sync_when_the_log_is_back();
        rig_power_loss();
        expect_written(written);
        rig_close();
    }
}

/* The disk accepts a new segment of the log, but not the data it failed to sync in the last one. */
UNIT_TEST(test_samples_that_the_log_lost_are_synced_by_a_flush)
{
    rig_open(1, WRITTEN);
    rig_run();
    keeper_stop_flushing(&keeper);
    uint64_t hits = fault_env_hits(m.fe);
    write_what_cannot_be_synced();
    /* Three syncs fail: the first, and both of the first attempt to reopen; the next attempt is a
     * second later. */
    wait_for(fault_env_hits(m.fe) >= hits + 3);
    fault_env_arm(m.fe, (struct fault){FAULT_TORN, 1, false});
    wait_for(tsdb_log_lost(m.db));
    wait_for(!tsdb_is_down(m.db));
    write_and_settle(); /* the commit thread cuts the head to flush */
    wait_for(tsdb_has_frozen(m.db));
    assert_int_equal(own_sync(writes, &m.why), ERR_AGAIN);
    assert_int_equal(own_sync(writes, &m.why), ERR_AGAIN);
    must(tsdb_flush(m.db, &m.why));
    sync_when_the_log_is_back();
    rig_power_loss();
    expect_written(written);
    rig_close();
}

/* own_settle() does not wait if wal.ack is memory, so the writer has not seen the failure. */
UNIT_TEST(test_a_commit_that_failed_before_a_sync_is_returned_by_it)
{
    rig_open(1, MEMORY);
    rig_run();
    write_and_settle();
    must(own_sync(writes, &m.why));
    fault_env_arm(m.fe, (struct fault){FAULT_TORN, 1, true});
    write_and_settle();
    keeper_want_commit(&keeper);
    wait_for(commits_undone() > 0);
    fault_env_disarm(m.fe);
    wait_for(!tsdb_is_down(m.db));
    assert_int_equal(own_sync(writes, &m.why), ERR_AGAIN);
    expect_written(1);
    sync_when_the_log_is_back();
    rig_close();
}

UNIT_TEST(test_no_sync_waits_for_a_log_that_is_down)
{
    rig_open(1, WRITTEN);
    rig_run();
    uint64_t ticket;
    fault_env_arm(m.fe, (struct fault){FAULT_EIO, 1, true});
    err_ignore(write_next(&ticket), "the log may be down already");
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(own_sync(writes, &m.why), ERR_AGAIN);
        assert_true(tsdb_is_down(m.db));
    }
    fault_env_disarm(m.fe);
    sync_when_the_log_is_back();
    rig_close();
}

UNIT_TEST(test_no_sync_waits_for_a_disk_that_hangs)
{
    rig_open(1, WRITTEN); /* the commit thread is off: it has been hanging for 11 s */
    atomic_store(&keeper.commit_began_ns, env_monotonic_ns(env_real()) - 11 * NS_PER_S);
    assert_int_equal(own_sync(writes, &m.why), ERR_CANCELED);
    assert_string_equal(m.why.text, keeper_hangs(&keeper));
    rig_close();
}

UNIT_TEST(test_a_commit_that_hangs_is_logged_once_and_when_it_ends)
{
    uint64_t errors = log_count(LOG_ERROR), lines = log_count(LOG_INFO);
    rig_open(1, WRITTEN);
    int64_t now_ns = env_monotonic_ns(env_real());
    atomic_store(&keeper.commit_began_ns, now_ns);
    keeper_tick(&keeper);
    assert_int_equal(log_count(LOG_ERROR), errors);
    atomic_store(&keeper.commit_began_ns, now_ns - 11 * NS_PER_S);
    keeper_tick(&keeper);
    keeper_tick(&keeper);
    assert_int_equal(log_count(LOG_ERROR), errors + 1);
    atomic_store(&keeper.commit_began_ns, 0);
    keeper_tick(&keeper);
    keeper_tick(&keeper);
    assert_int_equal(log_count(LOG_ERROR), errors + 1);
    assert_int_equal(log_count(LOG_INFO), lines + 1);
    rig_close();
}

UNIT_TEST(test_a_sync_after_the_last_commit_is_canceled)
{
    rig_open(1, WRITTEN);
    rig_run();
    write_and_settle();
    rig_stop();
    assert_int_equal(own_sync(writes, &m.why), ERR_CANCELED);
    rig_close();
}

static int
mute(void **state)
{
    (void)state;
    log_to_fd(-1);
    return 0;
}

#define KEEPER_TEST(name) cmocka_unit_test_teardown(name, rig_clean_up)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        KEEPER_TEST(test_the_commit_thread_rests_until_a_commit_is_wanted),
        KEEPER_TEST(test_a_power_failure_takes_nothing_that_was_settled_before_a_sync),
        KEEPER_TEST(test_where_each_commit_is_synced_a_sync_returns_at_once),
        KEEPER_TEST(test_the_sync_after_a_failed_one_makes_all_writes_durable),
        KEEPER_TEST(test_samples_that_the_log_lost_are_synced_by_a_flush),
        KEEPER_TEST(test_a_commit_that_failed_before_a_sync_is_returned_by_it),
        KEEPER_TEST(test_no_sync_waits_for_a_log_that_is_down),
        KEEPER_TEST(test_no_sync_waits_for_a_disk_that_hangs),
        KEEPER_TEST(test_a_commit_that_hangs_is_logged_once_and_when_it_ends),
        KEEPER_TEST(test_a_sync_after_the_last_commit_is_canceled),
    };
    return cmocka_run_group_tests(tests, mute, NULL);
}
