/*
 * backlog_test.c - after any history of a destination, the reported backlog is never less than the
 * real one, and is zero where that is zero.
 */
#include "lib/test.h"

#include "lib/relay/relay_rig.h"
#include "relay/operate/backlog.h"

struct reported {
    struct relay_backlog backlog;
    uint32_t count;
    char name[32];
};

static enum err
note_backlog(void *context, const char *name, const struct relay_backlog *backlog)
{
    struct reported *reported = context;
    reported->backlog = *backlog;
    reported->count++;
    snprintf(reported->name, sizeof reported->name, "%s", name);
    return OK;
}

static bool
is_not_there(void *context, const char *name)
{
    (void)context;
    return strcmp(name, "there") != 0;
}

static struct relay_backlog
look(struct world *w)
{
    struct budget memory;
    struct reported reported = {.count = 0};
    struct backlog_options options = {
        .env = w->m.env,
        .dir = "relay",
        .log_dir = STORE_DIR "/wal",
        .memory = &memory,
        .each = note_backlog,
        .context = &reported,
    };
    budget_init(&memory, "backlog", 0, NULL);
    must(relay_backlogs(&options, &w->m.why));
    assert_int_equal(reported.count, 1);
    assert_string_equal(reported.name, "there");
    assert_int_equal(budget_used(&memory), 0);
    options.wanted = is_not_there;
    must(relay_backlogs(&options, &w->m.why));
    assert_int_equal(reported.count, 1);
    return reported.backlog;
}

static void
rest(struct world *w)
{
    relay_stop(w->relay);
    while (!relay_is_idle(w->relay)) {
        world_turn(w, 1);
    }
    must(relay_close(w->relay, &w->m.why));
    w->relay = NULL;
    world_remove(w);
    machine_close(&w->m);
}

static void
wake(struct world *w)
{
    machine_must_open(&w->m);
    world_open(w);
}

static uint64_t
open_samples(const struct relay_status *s)
{
    return s->fates.count[ITEM_FLOAT][FATE_OPEN] + s->fates.count[ITEM_HISTOGRAM][FATE_OPEN];
}

static void
expect_no_less(struct world *w, const struct relay_status *before)
{
    struct relay_backlog b = look(w);
    uint64_t letters = 0;
    assert_string_equal(b.unreadable.text, "");
    assert_true(b.destination_known);
    assert_int_equal(b.type, w->settings.type);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        letters += before->fates.count[kind][FATE_DEAD_LETTERED];
    }
    /* Letters after the cursor are queued: their items are read again. */
    if (b.filling || !b.queued_known) return;
    assert_true(b.letters + b.samples >= letters + open_samples(before));
    assert_true(b.samples >= open_samples(before));
    assert_true(b.exemplars >= before->fates.count[ITEM_EXEMPLAR][FATE_OPEN]);
}

static void
go_through(uint64_t seed, uint64_t log_budget_bytes, bool from_store, unsigned *counted)
{
    struct world *w = &the_world;
    world_init(w, seed);
    w->refusal |= REFUSAL_OF_CALL;
    w->may_repeat = w->drops = true;
    if (log_budget_bytes > 0) w->settings.log_budget_bytes = log_budget_bytes;
    if (from_store) {
        w->settings.start = START_BEGINNING;
        world_log(w, 900, 10);
        machine_flush(&w->m);
    }
    world_open(w);
    for (unsigned i = 0; i < 10; i++) {
        world_log(w, 900, 10);
        w->moods = (struct moods){.retry = (unsigned)rng_below(&w->rng, 130), .mixed = 10};
        world_turn(w, (uint32_t)rng_below(&w->rng, 80));
        if (world_happens(w, 60)) machine_flush(&w->m);
        world_turn(w, (uint32_t)rng_below(&w->rng, 40));
        rest(w);
        struct relay_backlog b = look(w);
        *counted += b.queued_known && b.samples > 0;
        wake(w);
        world_turn(w, 1);
        struct relay_status status = world_status(w);
        rest(w);
        expect_no_less(w, &status);
        wake(w);
    }
    w->moods = (struct moods){.retry = 0};
    world_turn_until_settled(w);
    world_turn(w, 60);
    struct relay_status status = world_status(w);
    rest(w);
    expect_no_less(w, &status);
    struct relay_backlog b = look(w);
    assert_true(b.queued_known && !b.filling);
    assert_int_equal(b.samples, 0);
    assert_int_equal(b.exemplars, 0);
    assert_int_equal(b.log_bytes, 0);
    b.letters = 0;
    assert_true(relay_backlog_is_none(&b));
    wake(w);
    world_fini(w);
}

UNIT_TEST(test_the_reported_backlog_is_never_too_small_and_exact_if_empty)
{
    unsigned counted = 0;
    for (uint64_t seed = 1; seed < 10; seed++) {
        go_through(seed, 0, false, &counted);
        go_through(100 + seed, 32 * 1024, true, &counted);
        go_through(200 + seed, 4 * 1024, false, &counted);
    }
    assert_true(counted > 20);
}

UNIT_TEST(test_a_state_that_cannot_be_read_is_named)
{
    struct world *w = &the_world;
    world_init(w, 7);
    w->refusal |= REFUSAL_OF_CALL;
    world_open(w);
    world_log(w, 100, 10);
    world_turn_until_settled(w);
    rest(w);
    must(env_write_whole(w->m.env, "relay/there", "state", bytes_of_text("FKRELAY"), &w->m.why));
    struct relay_backlog b = look(w);
    assert_non_null(strstr(b.unreadable.text, "relay/there/state: the file is damaged"));
    assert_false(relay_backlog_is_none(&b));
    must(env_unlink(w->m.env, "relay/there/state", NULL));
    b = look(w);
    assert_non_null(strstr(b.unreadable.text, "relay/there/state is missing"));
    /* under construction: still not a destination */
    must(env_mkdir(w->m.env, "relay/.north.new", NULL));
    b = look(w);
    machine_must_open(&w->m);
    world_fini(w);
}

UNIT_TEST(test_objects_that_wait_are_counted_and_weighed)
{
    struct world *w = &the_world;
    world_init(w, 7);
    world_open(w);
    world_log(w, 100, 0);
    world_turn_until_settled(w);
    world_turn(w, 60);
    rest(w);
    struct relay_backlog b = look(w);
    assert_true(relay_backlog_is_none(&b));
    must(env_mkdir(w->m.env, "relay/there/objects", NULL));
    must(env_write_whole(w->m.env, "relay/there/objects", "1", bytes_of_text("one"), NULL));
    must(env_write_whole(w->m.env, "relay/there/objects", "2", bytes_of_text("three"), NULL));
    b = look(w);
    assert_int_equal(b.own_files.objects, 2);
    assert_int_equal(b.own_files.object_bytes, 8);
    assert_string_equal(b.unreadable.text, "");
    assert_false(relay_backlog_is_none(&b));
    must(env_remove_tree(w->m.env, "relay/there/objects", NULL));
    must(env_write_whole(w->m.env, "relay/there", "objects", bytes_of_text("x"), NULL));
    b = look(w);
    assert_int_equal(b.own_files.objects, 0);
    assert_non_null(strstr(b.unreadable.text, "relay/there/objects"));
    assert_false(relay_backlog_is_none(&b));
    machine_must_open(&w->m);
    world_fini(w);
}

/* Somebody removes its directory once its name was read. */
static bool
is_removed(void *context, const char *name)
{
    (void)context;
    assert_string_equal(name, "there");
    must(env_remove_tree(the_world.m.env, "relay/there", NULL));
    return true;
}

UNIT_TEST(test_a_directory_that_is_removed_meanwhile_is_not_reported)
{
    struct world *w = &the_world;
    struct budget memory;
    struct reported reported = {.count = 0};
    struct backlog_options options = {
        .dir = "relay",
        .log_dir = STORE_DIR "/wal",
        .memory = &memory,
        .wanted = is_removed,
        .each = note_backlog,
        .context = &reported,
    };
    budget_init(&memory, "backlog", 0, NULL);
    world_init(w, 7);
    options.env = w->m.env;
    w->refusal |= REFUSAL_OF_CALL;
    world_open(w);
    world_log(w, 100, 10);
    world_turn_until_settled(w);
    rest(w);
    must(relay_backlogs(&options, &w->m.why));
    assert_int_equal(reported.count, 0);
    assert_int_equal(budget_used(&memory), 0);
    machine_must_open(&w->m);
    world_fini(w);
}

UNIT_TEST(test_files_are_reported_to_a_caller_that_asks_for_them)
{
    struct world *w = &the_world;
    struct budget memory;
    struct reported reported = {.count = 0};
    struct backlog_options options = {
        .dir = "relay",
        .log_dir = STORE_DIR "/wal",
        .memory = &memory,
        .each = note_backlog,
        .context = &reported,
    };
    budget_init(&memory, "backlog", 0, NULL);
    world_init(w, 7);
    options.env = w->m.env;
    w->refusal |= REFUSAL_OF_CALL;
    world_open(w);
    world_turn_until_settled(w);
    rest(w);
    must(env_write_whole(w->m.env, "relay", "west", bytes_of_text("x"), &w->m.why));
    look(w);
    options.files = true;
    must(relay_backlogs(&options, &w->m.why));
    assert_int_equal(reported.count, 2);
    assert_string_equal(reported.name, "west");
    assert_int_equal(reported.backlog.condition, BACKLOG_FILE);
    assert_non_null(
        strstr(reported.backlog.unreadable.text, "relay/west is a file, expected a directory"));
    machine_must_open(&w->m);
    world_fini(w);
}

UNIT_TEST(test_dead_letters_are_counted_in_their_files_as_far_as_bytes_go)
{
    struct world *w = &the_world;
    struct budget memory;
    struct backlog_options options = {.dir = "relay", .memory = &memory};
    budget_init(&memory, "backlog", 0, NULL);
    world_init(w, 7);
    options.env = w->m.env;
    w->refusal |= REFUSAL_OF_CALL;
    world_open(w);
    world_log(w, 400, 5);
    world_turn_until_settled(w);
    rest(w);
    struct relay_backlog b = look(w), counted = b;
    uint64_t letters = b.letters, plenty = 1024 * 1024, left = plenty;
    assert_true(b.letters_known && letters > 0);

    counted.letters = 0;
    relay_backlog_count_letters(&options, "there", &left, &counted);
    assert_true(counted.letters_known);
    assert_int_equal(counted.letters, letters);
    assert_string_equal(counted.letters_problem.text, "");
    assert_true(left < plenty);

    uint64_t bytes = plenty - left;
    left = bytes - 1;
    counted = b;
    relay_backlog_count_letters(&options, "there", &left, &counted);
    assert_int_equal(left, bytes - 1);
    assert_int_equal(counted.letters, letters);
    assert_non_null(
        strstr(counted.letters_problem.text, "using the number in the state of the destination"));
    assert_int_equal(budget_used(&memory), 0);
    machine_must_open(&w->m);
    world_fini(w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_directory_that_is_removed_meanwhile_is_not_reported),
        cmocka_unit_test(test_files_are_reported_to_a_caller_that_asks_for_them),
        cmocka_unit_test(test_dead_letters_are_counted_in_their_files_as_far_as_bytes_go),
        cmocka_unit_test(test_the_reported_backlog_is_never_too_small_and_exact_if_empty),
        cmocka_unit_test(test_a_state_that_cannot_be_read_is_named),
        cmocka_unit_test(test_objects_that_wait_are_counted_and_weighed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
