/*
 * examine_test.c - the examination of destinations at rest finds no fault, whatever happened
 * before, and reports queued samples as they were counted; it finds every change made to their
 * files.
 */
#include "lib/test.h"

#include <inttypes.h>

#include "lib/relay/relay_rig.h"
#include "relay/feed/fill.h"
#include "relay/operate/operate.h"
#include "relay/state/directory.h"

static const char LOG_DIR[] = STORE_DIR "/wal";
static const char THERE[] = "relay/there";

struct said {
    char text[16384];
    size_t size;
    struct examine_report report;
};

static void
note_line(void *context, const char *line)
{
    struct said *said = context;
    int more = snprintf(said->text + said->size, sizeof said->text - said->size, "%s\n", line);
    if (more > 0 && said->size + (size_t)more < sizeof said->text) said->size += (size_t)more;
}

static enum err
examine(struct world *w, struct env *env, bool with_settings, struct said *ret_said)
{
    struct budget memory;
    struct destinations list = {.items = &w->settings, .count = 1};
    struct examine_options options = {
        .env = env,
        .dir = "relay",
        .log_dir = LOG_DIR,
        .memory = &memory,
        .destinations = with_settings ? &list : NULL,
        .stored = !w->without_store,
        .say = note_line,
        .context = ret_said,
    };
    budget_init(&memory, "examine", 0, NULL);
    memset(ret_said, 0, sizeof *ret_said);
    enum err e = relay_examine(&options, &ret_said->report, &w->m.why);
    assert_int_equal(budget_used(&memory), 0);
    return e;
}

static void
expect_well(struct world *w, bool with_settings)
{
    struct said said;
    must(examine(w, w->m.env, with_settings, &said));
    if (said.report.wrong > 0) fail_msg("%s", said.text);
    assert_int_equal(said.report.destinations, 1);
}

static void
expect_said(struct world *w, uint64_t wrong, const char *text)
{
    struct said said;
    must(examine(w, w->m.env, true, &said));
    if (said.report.wrong != wrong || strstr(said.text, text) == NULL)
        fail_msg("%llu findings: %s", (unsigned long long)said.report.wrong, said.text);
}

/* Stops everything, as after SIGTERM or, with `crash_instead`, after a power loss. */
static void
rest(struct world *w, bool crash_instead)
{
    if (!crash_instead) {
        relay_stop(w->relay);
        while (!relay_is_idle(w->relay))
            world_turn(w, 1);
        must(relay_close(w->relay, &w->m.why));
        w->relay = NULL;
    }
    world_remove(w);
    machine_close(&w->m);
    if (crash_instead) sim_env_power_loss(w->m.sim);
}

static void
wake(struct world *w)
{
    machine_must_open(&w->m);
    world_open(w);
}

/* --- nothing is wrong ------------------------------------------------------------------------- */

UNIT_TEST(test_nothing_is_wrong_whatever_a_destination_goes_through)
{
    struct world *w = &the_world;
    for (uint64_t seed = 1; seed < 25; seed++) {
        world_init(w, seed);
        w->refusal |= REFUSAL_OF_CALL;
        w->drops = true;
        if (seed % 3 == 0) w->settings.dead_letters_max_bytes = 16 * 1024;
        world_open(w);
        for (unsigned i = 0; i < 12; i++) {
            world_log(w, 300, 10);
            w->moods = (struct moods){.retry = (unsigned)rng_below(&w->rng, 80), .mixed = 10};
            world_turn(w, (uint32_t)rng_below(&w->rng, 100));
            if (world_happens(w, 25)) world_decide(w, LETTERS_DROP);
            if (world_happens(w, 25)) world_decide(w, LETTERS_REPLAY);
            world_turn(w, (uint32_t)rng_below(&w->rng, 60));
            if (world_happens(w, 30)) machine_flush(&w->m);
            if (!world_happens(w, 50)) continue;
            rest(w, world_happens(w, 50));
            expect_well(w, true);
            expect_well(w, false);
            wake(w);
        }
        world_fini(w);
    }
}

/* Checks that a state accounts for items before its cursor, and for no others. */
static void
expect_no_term_below_zero(struct world *w)
{
    struct relay_state s = world_state(w);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t settled = fates_settled(&s.fates, kind);
        for (unsigned fate = 0; fate < FATE_COUNT; fate++) {
            assert_in_range(s.fates.count[kind][fate], 0, w->count);
            assert_in_range(s.ahead.count[kind][fate], 0, w->count);
        }
        assert_int_equal(s.taken[kind], settled);
    }
}

static void
run_for(struct world *w, int64_t seconds)
{
    int64_t began_ns = env_monotonic_ns(w->m.env);
    while (env_monotonic_ns(w->m.env) - began_ns < seconds * NS_PER_S)
        world_turn(w, 1);
}

/* Letters that are removed while the cursor is before them are read as items again: the saved
 * account has them neither as letters nor as dropped. */
UNIT_TEST(test_letters_removed_after_a_blocked_cursor_are_not_a_finding)
{
    struct world *w = &the_world;
    for (unsigned how = 0; how < 12; how++) {
        world_init(w, 80 + how);
        w->refusal = REFUSAL_OF_CALL | REFUSAL_SAYS_ALL;
        w->holds_first = w->drops = true;
        w->settings.batch.max_age_ms = 100;
        w->settings.retry.max_backoff_ms = 300;
        w->settings.dead_letters_max_bytes = how % 2 == 0 ? 32 * 1024 : 64 << 20;
        if (how % 2 != 0) w->settings.dead_letters_max_age_ms = 4000;
        world_open(w);
        world_log(w, 3000, 40);
        w->sent[0].poison = false;
        for (unsigned turns = 0; turns < 4; turns++) {
            run_for(w, 3);
            expect_no_term_below_zero(w);
            expect_well(w, true);
            if (how % 3 == 1) { /* some of them are being sent again */
                world_decide(w, LETTERS_REPLAY);
                world_turn(w, 30);
            }
            if (how % 3 != 2) continue;
            rest(w, turns % 2 == 0);
            expect_well(w, true);
            wake(w);
        }
        w->holds_first = false;
        world_turn_until_settled(w);
        world_turn(w, 60);
        rest(w, how % 4 < 2);
        expect_no_term_below_zero(w);
        expect_well(w, true);
        machine_must_open(&w->m);
        world_fini(w);
    }
}

/* It changes from the log to the store and back, and gets all of it again. */
UNIT_TEST(test_nothing_is_wrong_while_the_store_is_read)
{
    struct world *w = &the_world;
    unsigned filling = 0;
    for (uint64_t seed = 30; seed < 50; seed++) {
        world_init(w, seed);
        w->refusal |= REFUSAL_OF_CALL;
        w->may_repeat = w->drops = true;
        w->settings.start = START_BEGINNING;
        w->settings.log_budget_bytes = 32 * 1024;
        world_log(w, 900, 10);
        machine_flush(&w->m);
        world_open(w);
        for (unsigned i = 0; i < 14; i++) {
            world_log(w, 900, 10);
            w->moods = (struct moods){.retry = (unsigned)rng_below(&w->rng, 100)};
            world_turn(w, (uint32_t)rng_below(&w->rng, 60));
            machine_flush(&w->m);
            world_turn(w, (uint32_t)rng_below(&w->rng, 60));
            if (i == 9)
                err_ignore(relay_replay(w->relay, world_sent_ms(500), NULL), "it may be behind");
            filling += world_status(w).state == RELAY_FILLING;
            if (!world_happens(w, 60)) continue;
            rest(w, world_happens(w, 50));
            expect_well(w, true);
            wake(w);
        }
        world_fini(w);
    }
    assert_true(filling > 10);
}

/* Letters are on both sides of the store's end, and of the time from which it sends again. */
UNIT_TEST(test_nothing_is_wrong_while_all_is_given_again)
{
    struct world *w = &the_world;
    for (unsigned i = 0; i < 16; i++) {
        world_init(w, 55);
        w->refusal |= REFUSAL_OF_CALL;
        w->may_repeat = w->drops = true;
        world_open(w);
        world_log(w, 900, 10);
        machine_flush(&w->m);
        world_log(w, 900, 10);
        world_turn_until_settled(w);
        world_turn(w, 60);
        relay_wish(w->relay, true);
        world_turn(w, 2);
        /* with letters that are being sent again */
        if (i % 2 == 0) world_decide(w, LETTERS_REPLAY);
        world_turn(w, 60);
        must(relay_replay(w->relay, world_sent_ms(1200), &w->m.why));
        w->moods.retry = 50;
        relay_wish(w->relay, false);
        world_turn(w, 1u << i / 2);
        rest(w, false);
        expect_well(w, true);
        wake(w);
        w->moods.retry = 0;
        world_turn_until_settled(w);
        world_turn(w, 60);
        rest(w, true);
        expect_well(w, true);
        wake(w);
        assert_int_equal(world_status(w).difference[ITEM_FLOAT], 0);
        world_fini(w);
    }
}

static void
check_waits(struct world *w, uint64_t queued)
{
    char text[64];
    struct said said;
    must(examine(w, w->m.env, true, &said));
    assert_int_equal(said.report.wrong, 0);
    snprintf(text, sizeof text, "balanced; %llu queued in the log", (unsigned long long)queued);
    if (strstr(said.text, text) == NULL) fail_msg("no \"%s\" in %s", text, said.text);
}

/* Samples queued in the log are counted as the destination counts them. */
UNIT_TEST(test_queued_samples_are_counted_for_the_selection)
{
    struct world *w = &the_world;
    static const char *selectors[] = {"m1", "{__name__=\"m2\"}"};
    for (uint64_t seed = 60; seed < 66; seed++) {
        world_init(w, seed);
        if (seed % 2 == 0) w->settings.select = (struct text_list){selectors, 2};
        world_open(w);
        world_log(w, 400, 0);
        world_turn_until_settled(w);
        world_turn(w, 30);
        w->moods.retry = 100;
        relay_wish(w->relay, true);
        world_turn(w, 2);
        for (unsigned i = 0; i < 10; i++)
            world_log(w, 500, 0);
        for (unsigned i = 0; i < 200; i++) {
            world_turn(w, 1);
            sim_env_advance_ns(w->m.sim, 50 * NS_PER_MS);
        }
        uint64_t queued = world_status(w).fates.count[ITEM_FLOAT][FATE_OPEN];
        assert_true(queued > 500);
        rest(w, false);
        check_waits(w, queued);
        wake(w);
        world_fini(w);
    }
}

UNIT_TEST(test_of_a_record_that_is_half_settled_the_rest_waits)
{
    struct world *w = &the_world;
    world_init(w, 66);
    w->settings.concurrency = 1;
    w->settings.batch.max_samples = 64;
    world_open(w);
    world_log(w, 500, 0);
    while (world_status(w).fates.count[ITEM_FLOAT][FATE_DELIVERED] < 100) {
        world_turn(w, 1);
        w->moods.retry = 60;
    }
    uint64_t queued = world_status(w).fates.count[ITEM_FLOAT][FATE_OPEN];
    assert_in_range(queued, 1, 400);
    w->moods.retry = 100;
    rest(w, false);
    check_waits(w, queued);
    wake(w);
    world_fini(w);
}

UNIT_TEST(test_samples_before_the_start_time_are_not_queued)
{
    struct world *w = &the_world;
    world_init(w, 67);
    world_log(w, 500, 0);
    w->settings.start = START_TIME;
    w->settings.start_ms = world_sent_ms(300);
    w->settings.paused = true;
    world_open(w);
    world_log(w, 50, 0);
    world_turn(w, 5);
    rest(w, false);
    check_waits(w, 250);
    wake(w);
    world_fini(w);
}

UNIT_TEST(test_where_no_destination_ever_was_nothing_is_wrong)
{
    struct world *w = &the_world;
    struct said said;
    world_init(w, 70);
    machine_close(&w->m);
    must(examine(w, w->m.env, true, &said));
    assert_int_equal(said.report.destinations + said.report.wrong, 0);
    must(env_rmdir(w->m.env, "relay", NULL));
    must(examine(w, w->m.env, true, &said));
    assert_int_equal(said.report.destinations + said.report.wrong, 0);
    machine_must_open(&w->m);
    world_fini(w);
}

/* --- something is ----------------------------------------------------------------------------- */

static void
load(struct world *w, const char *path, struct buf *to)
{
    struct file file;
    uint64_t size;
    must(file_open(w->m.env, path, FILE_READ, &file, NULL));
    must(file_size(&file, &size, NULL));
    buf_clear(to);
    assert_true(buf_reserve(to, size + 1));
    must(file_read_at(&file, to->at, size, 0, NULL));
    must(file_close(&file));
    to->size = size;
}

static void
store(struct world *w, const char *path, struct bytes content)
{
    struct file file;
    must(file_open(w->m.env, path, FILE_REPLACE, &file, NULL));
    must(file_write_at(&file, content, 0, NULL));
    must(file_close(&file));
}

/* Makes a destination at rest with some of everything. */
static void
begin_with_everything(struct world *w, uint64_t seed)
{
    world_init(w, seed);
    w->refusal |= REFUSAL_OF_CALL;
    world_open(w);
    for (unsigned i = 0; i < 3; i++) {
        world_log(w, 150, 10);
        world_turn_until_settled(w);
        world_turn(w, 60);
    }
    rest(w, false);
    world_decide(w, LETTERS_REPLAY);
    struct reset decision = {.from = RESET_NOW};
    must(reset_put(w->m.env, THERE, &decision, NULL));
    expect_said(w, 0, "reset: the destination resumes from now");
}

struct paths {
    char at[16][200];
    uint32_t count;
    const char *dir;
};

static enum err
note_path(void *context, const char *name, bool is_dir)
{
    struct paths *paths = context;
    if (is_dir) return OK;
    assert_true(paths->count < 16);
    snprintf(paths->at[paths->count++], sizeof paths->at[0], "%s/%s", paths->dir, name);
    return OK;
}

UNIT_TEST(test_each_changed_byte_of_each_file_is_found)
{
    struct world *w = &the_world;
    struct paths paths = {.dir = THERE};
    struct buf content;
    begin_with_everything(w, 80);
    buf_init(&content, NULL, 1 << 20);
    must(env_listdir(w->m.env, THERE, note_path, &paths, NULL));
    paths.dir = "relay/there/dead-letters";
    must(env_listdir(w->m.env, paths.dir, note_path, &paths, NULL));
    assert_int_equal(paths.count, 4); /* two states, a decision, letters */
    for (uint32_t i = 0; i < paths.count; i++) {
        load(w, paths.at[i], &content);
        for (size_t at = 0; at < content.size; at++) {
            struct said said;
            uint8_t bit = (uint8_t)(1u << rng_below(&w->rng, 8));
            content.at[at] ^= bit;
            store(w, paths.at[i], buf_bytes(&content));
            must(examine(w, w->m.env, false, &said));
            content.at[at] ^= bit;
            if (said.report.wrong == 0 || strstr(said.text, paths.at[i]) == NULL)
                fail_msg("%s, byte %zu: %s", paths.at[i], at, said.text);
        }
        store(w, paths.at[i], buf_bytes(&content));
        expect_said(w, 0, "balanced");
    }
    buf_fini(&content);
    wake(w);
    world_fini(w);
}

UNIT_TEST(test_a_destination_that_is_not_configured_is_named)
{
    struct world *w = &the_world;
    world_init(w, 4);
    world_open(w);
    world_log(w, 100, 0);
    world_turn_until_settled(w);
    rest(w, false);
    const char *name = w->settings.name;
    w->settings.name = "elsewhere";
    expect_said(w, 0, "there: not in the configuration, so no log is kept for it");
    expect_said(w, 0, "relay/elsewhere is missing: it starts as a new destination");
    w->settings.name = name;
    wake(w);
    world_fini(w);
}

UNIT_TEST(test_unknown_and_unfinished_files_are_named)
{
    struct world *w = &the_world;
    begin_with_everything(w, 81);
    static const struct {
        const char *dir, *name, *text;
    } strays[] = {
        {"relay", "notes.txt", "relay/notes.txt: unknown"},
        {THERE, "state.tmp",
         "relay/there/state.tmp: unfinished file of an interrupted write, harmless"},
        {THERE, "notes.txt", "relay/there/notes.txt: unknown"},
        {THERE, "state.damaged", "relay/there/state.damaged: set aside"},
        {"relay/there/dead-letters", "00000009.letters.bak", "00000009.letters.bak: unknown"},
        {"relay/there/dead-letters", "names.tmp",
         "names.tmp: unfinished file of an interrupted write, harmless"},
    };
    for (unsigned i = 0; i < sizeof strays / sizeof *strays; i++) {
        char path[200];
        snprintf(path, sizeof path, "%s/%s", strays[i].dir, strays[i].name);
        store(w, path, bytes_of_text("x"));
        expect_said(w, 0, strays[i].text);
    }
    must(env_mkdir(w->m.env, "relay/.east.new", NULL));
    expect_said(w, 0, "relay/.east.new: a destination that was being created, harmless");
    must(env_unlink(w->m.env, "relay/there/state", NULL));
    expect_said(w, 1, "firekeep destinations reset there --from=");
    wake(w); /* the decision takes effect, and nothing blocks it */
    world_fini(w);
}

/* Changes the account of a state and corrects its checksum. */
static void
change_state(struct world *w, void (*change)(struct relay_state *state))
{
    struct buf memory, scratch;
    struct relay_state s;
    buf_init(&memory, NULL, RELAY_STATE_BYTES_MAX);
    buf_init(&scratch, NULL, RELAY_STATE_BYTES_MAX);
    must(relay_state_read(w->m.env, THERE, &memory, &s, NULL));
    change(&s);
    must(relay_state_write(w->m.env, THERE, &scratch, &s, NULL));
    buf_fini(&memory);
    buf_fini(&scratch);
}

static void
lose_a_letter_in_the_account(struct relay_state *s)
{
    s->fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED]--;
}
static void
take_one_more(struct relay_state *s)
{
    s->taken[ITEM_FLOAT]++;
}
static void
go_ahead_of_the_log(struct relay_state *s)
{
    s->cursor.pos += 1 << 30;
}
static void
go_into_a_record(struct relay_state *s)
{
    s->cursor.pos -= 8;
}
static void
go_before_the_log(struct relay_state *s)
{
    s->cursor.pos = 1;
}
static void
begin_to_fill(struct relay_state *s)
{
    s->fill_count = 3;
    s->fill = (struct relay_fill){.active = true, .to_pos = s->cursor.pos};
    s->cursor = (struct relay_cursor){.pos = fill_first_pos(3)};
}
static void
fill_another(struct relay_state *s)
{
    s->fill_count++;
}
static void
fill_nonsense(struct relay_state *s)
{
    s->fill_count--;
    s->fill.place = bytes_of("nonsense", 8);
}
static void
fill_backwards(struct relay_state *s)
{
    s->fill.place = bytes_of(NULL, 0);
    s->fill.from_pos = s->fill.to_pos + 1;
}
static void
fill_what_was_not_counted(struct relay_state *s)
{
    s->fill.from_pos = 0;
    s->expected.until_pos = 1;
}
static void
fill_and_follow(struct relay_state *s)
{
    s->expected.until_pos = 0;
    s->fill.active = false;
}

UNIT_TEST(test_a_state_that_does_not_fit_is_found)
{
    struct world *w = &the_world;
    struct buf whole;
    begin_with_everything(w, 82);
    buf_init(&whole, NULL, 1 << 20);
    load(w, "relay/there/state", &whole);
    static const struct {
        void (*change)(struct relay_state *state);
        bool again; /* with the earlier changes */
        uint64_t wrong;
        const char *text;
    } cases[] = {
        {lose_a_letter_in_the_account, false, 1, "DOES NOT BALANCE"},
        {take_one_more, false, 1, "DOES NOT BALANCE"},
        {go_ahead_of_the_log, false, 1, "is after the end of the log"},
        {go_into_a_record, false, 1, "no record of the log begins or ends at position"},
        {go_before_the_log, false, 0, "is no longer in the log"},
        {begin_to_fill, false, 0, "balanced"},
        {fill_another, true, 1, "does not belong to its last read"},
        {fill_nonsense, true, 1, "the place in the store is invalid"},
        {fill_backwards, true, 1, "ends before it begins"},
        {fill_what_was_not_counted, true, 1, "counted up to a position before the end"},
        {fill_and_follow, true, 1, "in the store and in the log at the same time"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!cases[i].again) store(w, "relay/there/state", buf_bytes(&whole));
        change_state(w, cases[i].change);
        struct said said;
        must(examine(w, w->m.env, false, &said));
        if (said.report.wrong < cases[i].wrong || (cases[i].wrong == 0 && said.report.wrong > 0) ||
            strstr(said.text, cases[i].text) == NULL)
            fail_msg("case %u: %s", i, said.text);
    }
    store(w, "relay/there/state", buf_bytes(&whole));
    expect_said(w, 0, "balanced");
    buf_fini(&whole);
    wake(w);
    world_fini(w);
}

static void
expect_text(struct world *w, const char *text)
{
    struct said said;
    must(examine(w, w->m.env, false, &said));
    if (said.report.wrong == 0 || strstr(said.text, text) == NULL) fail_msg("%s", said.text);
}

UNIT_TEST(test_letters_that_are_lost_are_counted)
{
    struct world *w = &the_world;
    char expected[100];
    world_init(w, 83);
    w->refusal |= REFUSAL_OF_CALL;
    world_open(w);
    world_log(w, 500, 10);
    world_turn_until_settled(w);
    world_turn(w, 60);
    uint64_t dead = world_status(w).fates.count[ITEM_FLOAT][FATE_DEAD_LETTERED];
    rest(w, false);
    must(env_remove_tree(w->m.env, "relay/there/dead-letters", NULL));
    snprintf(expected, sizeof expected, "%" PRIu64 " dead letters count as dropped (damaged)",
             dead);
    expect_said(w, 2, expected); /* and the account does not balance */
    expect_said(w, 2, "(counted 0)");
    wake(w);
    world_turn(w, 60);
    assert_int_equal(world_status(w).fates.count[ITEM_FLOAT][FATE_DROPPED + DROP_DAMAGED], dead);
    rest(w, false);
    expect_well(w, true);
    machine_must_open(&w->m);
    world_fini(w);
}

UNIT_TEST(test_items_taken_from_a_missing_log_are_a_finding)
{
    struct world *w = &the_world;
    world_init(w, 85);
    world_open(w);
    world_log(w, 300, 0);
    world_turn_until_settled(w);
    world_turn(w, 30);
    rest(w, false);
    must(env_remove_tree(w->m.env, LOG_DIR, NULL));
    expect_text(w, ": 300 items were taken from a log that is missing");
    world_fini(w);
}

/* Data that cannot be read now is not damaged. */
UNIT_TEST(test_a_device_failure_is_not_a_finding)
{
    struct world *w = &the_world;
    struct fault_env *fe;
    struct said said;
    begin_with_everything(w, 83);
    must(fault_env_new(w->m.env, &fe));
    uint64_t nth = 1;
    for (;; nth++) {
        fault_env_arm(fe, (struct fault){FAULT_EIO, nth, false});
        enum err e = examine(w, fault_env_env(fe), true, &said);
        bool fired = fault_env_fired(fe);
        fault_env_disarm(fe);
        assert_int_equal(said.report.wrong, 0);
        if (!fired) break;
        assert_true(e == ERR_IO || e == OK); /* a file that was only read may fail to close */
    }
    assert_true(nth > 30);
    fault_env_free(fe);
    uint64_t sites = 1;
    for (;; sites++) {
        mem_fail_nth(sites, false);
        enum err e = examine(w, w->m.env, true, &said);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(said.report.wrong, 0);
        if (!fired) break;
        assert_true(e == ERR_NOMEM || e == ERR_IO || e == OK);
    }
    assert_true(sites > 20);
    wake(w);
    world_fini(w);
}

/* --- a log without a store -------------------------------------------------------------------- */

static void
log_only(struct world *w, uint64_t seed)
{
    world_init(w, seed);
    w->without_store = true;
    machine_close(&w->m);
    w->m.options.log_only = true;
    machine_must_open(&w->m);
}

/*
 * Lets the log go on without a destination, and give up the part before `pos` and more, but not
 * all. Returns how many of all logged samples it gave up.
 */
static uint32_t
go_on_without_a_destination(struct world *w, uint64_t pos)
{
    uint32_t logged[64], given_up = 0;
    uint64_t ends[64];
    struct wal_stats log;
    machine_must_open(&w->m);
    for (unsigned i = 0; i < 64; i++) {
        world_log(w, 900, 0);
        logged[i] = w->count;
        ends[i] = wal_end(tsdb_wal(w->m.db));
        if (i != 40) continue;
        machine_flush(&w->m);
        must(tsdb_maintain(w->m.db, &w->m.why));
    }
    wal_stats(tsdb_wal(w->m.db), &log);
    for (unsigned i = 0; i < 64 && ends[i] <= log.begin_pos; i++)
        given_up = logged[i];
    machine_close(&w->m);
    assert_true(log.begin_pos > pos);
    assert_true(log.segment_count > 1);
    return given_up;
}

static void
expect_lost(struct world *w, uint64_t lost)
{
    char expected[120];
    snprintf(expected, sizeof expected,
             "at most %" PRIu64 " samples that it has not taken are lost", lost);
    expect_said(w, 1, expected);
    w->settings.name =
        "elsewhere"; /* a destination without configuration was reported when it was removed */
    expect_said(w, 0, expected);
    w->settings.name = "there";
}

UNIT_TEST(test_without_a_store_samples_that_left_the_log_count_as_lost)
{
    struct world *w = &the_world;
    for (uint64_t seed = 90; seed < 93; seed++) {
        log_only(w, seed);
        world_open(w);
        world_log(w, 300, 0);
        world_turn_until_settled(w);
        rest(w, false);
        uint64_t pos = world_state(w).cursor.pos;
        expect_lost(w, go_on_without_a_destination(w, pos) - 300);
        machine_must_open(&w->m);
        world_fini(w);
    }
}

/* So it knows which samples were never its own. */
UNIT_TEST(test_a_new_destination_notes_what_the_log_had_accepted_where_it_begins)
{
    struct world *w = &the_world;
    log_only(w, 93);
    world_log(w, 300, 0);
    world_open(w);
    uint64_t pos = world_state(w).cursor.pos;
    rest(w, true);
    expect_lost(w, go_on_without_a_destination(w, pos) - 300);
    machine_must_open(&w->m);
    world_fini(w);
}

int
main(void)
{
#define claim(test) cmocka_unit_test_teardown(test, tell_seed)
    const struct CMUnitTest tests[] = {
        claim(test_nothing_is_wrong_whatever_a_destination_goes_through),
        claim(test_letters_removed_after_a_blocked_cursor_are_not_a_finding),
        claim(test_nothing_is_wrong_while_the_store_is_read),
        claim(test_nothing_is_wrong_while_all_is_given_again),
        claim(test_queued_samples_are_counted_for_the_selection),
        claim(test_of_a_record_that_is_half_settled_the_rest_waits),
        claim(test_samples_before_the_start_time_are_not_queued),
        claim(test_where_no_destination_ever_was_nothing_is_wrong),
        claim(test_each_changed_byte_of_each_file_is_found),
        claim(test_a_destination_that_is_not_configured_is_named),
        claim(test_unknown_and_unfinished_files_are_named),
        claim(test_a_state_that_does_not_fit_is_found),
        claim(test_letters_that_are_lost_are_counted),
        claim(test_items_taken_from_a_missing_log_are_a_finding),
        claim(test_a_device_failure_is_not_a_finding),
        claim(test_without_a_store_samples_that_left_the_log_count_as_lost),
        claim(test_a_new_destination_notes_what_the_log_had_accepted_where_it_begins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
