/*
 * relay_lost_test.c - files of the log that are emptied, cut, removed or partly zeroed after a
 * crash, under a destination with a backlog. Samples in the store arrive; only samples that neither
 * has are dropped, and the store's own account agrees.
 *
 * SEEDS=n runs that many seeds.
 */
#include "lib/test.h"

#include "lib/relay/relay_rig.h"

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
    for (uint32_t i = first; i <= first + more && i < files.count; i++) {
        harm_file(w, files.names[i], harm);
    }
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
static uint64_t life; /* seed of the life, for messages */

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
    for (uint32_t i = 0; i < w->count; i++) {
        gone += !is_stored[i];
    }
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
        lost += !there;
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

UNIT_TEST(test_stored_samples_arrive_when_files_of_the_log_are_lost)
{
    const char *given = getenv("SEEDS");
    uint64_t seeds = given == NULL ? 60 : strtoull(given, NULL, 10);
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        live_with_a_harmed_log(seed);
    }
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

static void
pass_seconds(struct world *w, unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        sim_env_advance_ns(w->m.sim, NS_PER_S);
        world_turn(w, 30);
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
        cmocka_unit_test(test_stored_samples_arrive_when_files_of_the_log_are_lost),
        cmocka_unit_test(test_parts_written_during_a_fill_are_read_if_the_log_is_lost),
        cmocka_unit_test(test_the_position_stays_before_damage_until_its_size_is_known),
        cmocka_unit_test(test_a_hole_that_parts_have_in_part_is_read_from_the_store),
        cmocka_unit_test(test_a_state_that_is_removed_meanwhile_is_written_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
