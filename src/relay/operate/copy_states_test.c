/* copy_states_test.c - copies of states and dead letters that change meanwhile. */
#include "lib/test.h"

#include <stdio.h>
#include <string.h>

#include "relay/state/directory.h"
#include "relay/state/state.h"
#include "sys/fault.h"
#include "sys/sim.h"

#define must(call) assert_int_equal((call), OK)

static struct sim_env *sim;
static struct fault_env *fe;
static struct env *env;
static struct budget memory;
static struct why why;

static int
setup(void **state)
{
    (void)state;
    must(sim_env_new(1, &sim));
    must(fault_env_new(sim_env_env(sim), &fe));
    env = fault_env_env(fe);
    budget_init(&memory, "test", 0, NULL);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    assert_int_equal(budget_used(&memory), 0);
    fault_env_free(fe);
    sim_env_free(sim);
    return 0;
}

static void
put(const char *path, const char *text)
{
    struct file file;
    must(file_open(sim_env_env(sim), path, FILE_REPLACE, &file, NULL));
    must(file_write_at(&file, bytes_of_text(text), 0, NULL));
    must(file_sync(&file, NULL));
    must(file_close(&file));
}

/* Returns the content of a file of the copy; "" if there is none. */
static const char *
copied(const char *name)
{
    static char text[100];
    char path[200];
    size_t size = 0;
    snprintf(path, sizeof path, "/copy/%s", name);
    if (env_read_some(env, path, text, sizeof text - 1, &size, NULL)) size = 0;
    text[size] = '\0';
    return text;
}

/* Writes a state that lists these files of dead letters, the last of which is appended to. */
static void
put_state(uint64_t cursor, uint32_t first, uint32_t last)
{
    struct letter_list list = {.number = first};
    struct buf bytes, scratch;
    buf_init(&bytes, NULL, 4096);
    buf_init(&scratch, NULL, 4096);
    for (uint32_t number = first; number <= last; number++) {
        list.number = number;
        struct letter_file *file = letter_list_current(&list);
        file->bytes = 3;
        letter_file_count(file, ITEM_FLOAT, 1);
    }
    letter_list_put(&list, &bytes);
    const struct relay_state state = {.cursor.pos = cursor, .letters = buf_bytes(&bytes)};
    must(relay_state_write(sim_env_env(sim), "/relay/east", &scratch, &state, &why));
    letter_list_fini(&list);
    buf_fini(&bytes);
    buf_fini(&scratch);
}

static uint64_t
copied_cursor(void)
{
    struct buf bytes;
    struct relay_state state;
    buf_init(&bytes, NULL, 4096);
    must(relay_state_read(sim_env_env(sim), "/copy/east", &bytes, &state, &why));
    buf_fini(&bytes);
    return state.cursor.pos;
}

static void
make_relay(void)
{
    static const char *const dirs[] = {"/relay", "/relay/east", "/relay/east/dead-letters",
                                       "/relay/.test-1"};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        must(env_mkdir(env, dirs[i], NULL));
    put_state(1, 2, 3);
    put("/relay/east/asking.lock", "");
    put("/relay/east/dead-letters/00000002.ndjson.gz", "two");
    put("/relay/east/dead-letters/00000003.ndjson", "three");
    put("/relay/east/dead-letters/ahead.tmp", "x");
    put("/relay/.test-1/state", "x");
}

UNIT_TEST(test_states_and_letters_are_copied_and_nothing_else)
{
    make_relay();
    must(env_mkdir(env, "/relay/new", NULL));
    must(relay_copy_states(env, "/relay", "/copy", &memory, &why));
    assert_int_equal(copied_cursor(), 1);
    assert_string_equal(copied("east/dead-letters/00000002.ndjson.gz"), "two");
    assert_string_equal(copied("east/dead-letters/00000003.ndjson"), "three");
    assert_string_equal(copied("east/dead-letters/ahead.tmp"), "");
    assert_string_equal(copied(".test-1/state"), "");
    struct file_facts facts;
    assert_int_equal(env_facts(env, "/copy/east/asking.lock", &facts, NULL), ERR_MISSING);
    assert_int_equal(env_facts(env, "/copy/new", &facts, NULL), ERR_MISSING);
}

/* The destination was not opened since: nothing changes its files. */
UNIT_TEST(test_letters_of_an_earlier_version_are_copied_as_they_are)
{
    struct buf scratch;
    const struct relay_state old = {.cursor.pos = 5, .letters = bytes_of("\1", 1)};
    make_relay();
    buf_init(&scratch, NULL, 4096);
    must(relay_state_write(env, "/relay/east", &scratch, &old, &why));
    buf_fini(&scratch);
    put("/relay/east/dead-letters/00000002.letters", "old");
    put("/relay/east/dead-letters/1.request", "wish");
    must(relay_copy_states(env, "/relay", "/copy", &memory, &why));
    assert_string_equal(copied("east/dead-letters/00000002.letters"), "old");
    assert_string_equal(copied("east/dead-letters/1.request"), "wish");
}

UNIT_TEST(test_without_destinations_no_directory_is_made)
{
    struct file_facts facts;
    must(relay_copy_states(env, "/relay", "/copy", &memory, &why));
    assert_int_equal(env_facts(env, "/copy", &facts, NULL), ERR_MISSING);
}

/* --- a server that goes on -------------------------------------------------------------------- */

/* Makes a change before a file is opened, `left` times. */
static struct {
    struct env_ops guarded;
    const struct env_ops *ops;
    const char *name; /* end of the path */
    void (*change)(void);
    int left, made;
} world;

static int
open_guarded(struct env *e, const char *path, enum file_mode mode)
{
    size_t size = strlen(path), end = strlen(world.name);
    if (mode == FILE_READ && world.left > 0 && size > end &&
        strcmp(path + size - end, world.name) == 0) {
        world.left--;
        world.made++;
        world.change();
    }
    return world.ops->open(e, path, mode);
}

static enum err
copy_while(const char *name, void (*change)(void), int times)
{
    world.ops = env->ops;
    world.guarded = *env->ops;
    world.guarded.open = open_guarded;
    world.name = name;
    world.change = change;
    world.left = times;
    world.made = 0;
    env->ops = &world.guarded;
    enum err e = relay_copy_states(env, "/relay", "/copy", &memory, &why);
    env->ops = world.ops;
    return e;
}

static void
remove_the_older(void)
{
    must(env_unlink(sim_env_env(sim), "/relay/east/dead-letters/00000002.ndjson.gz", NULL));
    put_state(2, 3, 3);
}

UNIT_TEST(test_a_copied_state_names_no_letter_that_is_not_copied)
{
    make_relay();
    must(copy_while("00000002.ndjson.gz", remove_the_older, 1));
    assert_int_equal(copied_cursor(), 2);
    assert_string_equal(copied("east/dead-letters/00000002.ndjson.gz"), "");
    assert_string_equal(copied("east/dead-letters/00000003.ndjson"), "three");
}

static void
begin_a_file(void)
{
    put("/relay/east/dead-letters/00000003.ndjson", "three, and its end");
    put("/relay/east/dead-letters/00000004.ndjson", "four");
    put_state(3, 2, 4);
}

/* The state is that of before: what it does not know is cut. */
UNIT_TEST(test_a_file_begun_meanwhile_is_left_out)
{
    make_relay();
    must(copy_while("00000002.ndjson.gz", begin_a_file, 1));
    assert_int_equal(copied_cursor(), 1);
    assert_string_equal(copied("east/dead-letters/00000003.ndjson"), "three, and its end");
    assert_string_equal(copied("east/dead-letters/00000004.ndjson"), "");
}

static void
pack_the_last(void)
{
    must(env_unlink(sim_env_env(sim), "/relay/east/dead-letters/00000003.ndjson", NULL));
    put("/relay/east/dead-letters/00000003.ndjson.gz", "packed");
}

UNIT_TEST(test_a_file_packed_meanwhile_is_copied_packed)
{
    make_relay();
    must(copy_while("00000003.ndjson", pack_the_last, 1));
    assert_string_equal(copied("east/dead-letters/00000003.ndjson.gz"), "packed");
}

/* A state is never copied with all of its files. */
static void
lose_one_more(void)
{
    put_state(1, 90, 91);
}

UNIT_TEST(test_letters_that_are_removed_all_the_time_end_it)
{
    make_relay();
    assert_int_equal(copy_while("/east/state", lose_one_more, 1000), ERR_AGAIN);
    assert_non_null(strstr(why.text, "destination east"));
}

UNIT_TEST(test_a_failure_ends_it_or_the_copy_is_whole)
{
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        teardown(NULL);
        setup(NULL);
        make_relay();
        fault_env_arm(fe, (struct fault){FAULT_EIO, nth, false});
        enum err e = relay_copy_states(env, "/relay", "/copy", &memory, &why);
        fired = fault_env_fired(fe);
        fault_env_disarm(fe);
        if (e) continue; /* reported; closing a file that was read may fail */
        assert_string_equal(copied("east/dead-letters/00000002.ndjson.gz"), "two");
        assert_string_equal(copied("east/dead-letters/00000003.ndjson"), "three");
        assert_int_equal(copied_cursor(), 1);
    }
}

int
main(void)
{
#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_states_and_letters_are_copied_and_nothing_else),
        IN_WORLD(test_without_destinations_no_directory_is_made),
        IN_WORLD(test_a_copied_state_names_no_letter_that_is_not_copied),
        IN_WORLD(test_letters_of_an_earlier_version_are_copied_as_they_are),
        IN_WORLD(test_a_file_packed_meanwhile_is_copied_packed),
        IN_WORLD(test_a_file_begun_meanwhile_is_left_out),
        IN_WORLD(test_letters_that_are_removed_all_the_time_end_it),
        IN_WORLD(test_a_failure_ends_it_or_the_copy_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
