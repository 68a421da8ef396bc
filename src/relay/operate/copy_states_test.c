/* copy_states_test.c - copies of states and dead letters that change meanwhile. */
#include "lib/test.h"

#include <stdio.h>
#include <string.h>

#include "relay/operate/copy_states.h"
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

static void
make_relay(void)
{
    static const char *const dirs[] = {"/relay", "/relay/east", "/relay/east/dead-letters",
                                       "/relay/.test-1"};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        must(env_mkdir(env, dirs[i], NULL));
    put("/relay/east/state", "cursor");
    put("/relay/east/asking.lock", "");
    put("/relay/east/dead-letters/00000002.letters", "two");
    put("/relay/east/dead-letters/0000000a.letters", "ten");
    put("/relay/east/dead-letters/1.request", "x");
    put("/relay/.test-1/state", "x");
}

UNIT_TEST(test_states_and_letters_are_copied_and_nothing_else)
{
    make_relay();
    must(env_mkdir(env, "/relay/new", NULL));
    must(relay_copy_states(env, "/relay", "/copy", &memory, &why));
    assert_string_equal(copied("east/state"), "cursor");
    assert_string_equal(copied("east/dead-letters/00000002.letters"), "two");
    assert_string_equal(copied("east/dead-letters/0000000a.letters"), "ten");
    assert_string_equal(copied("east/dead-letters/1.request"), "");
    assert_string_equal(copied(".test-1/state"), "");
    struct file_facts facts;
    assert_int_equal(env_facts(env, "/copy/east/asking.lock", &facts, NULL), ERR_MISSING);
    assert_int_equal(env_facts(env, "/copy/new", &facts, NULL), ERR_MISSING);
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
    must(env_unlink(sim_env_env(sim), "/relay/east/dead-letters/00000002.letters", NULL));
    put("/relay/east/state", "without two");
}

UNIT_TEST(test_a_copied_state_names_no_letter_that_is_not_copied)
{
    make_relay();
    must(copy_while("00000002.letters", remove_the_older, 1));
    assert_string_equal(copied("east/state"), "without two");
    assert_string_equal(copied("east/dead-letters/00000002.letters"), "");
    assert_string_equal(copied("east/dead-letters/0000000a.letters"), "ten");
}

UNIT_TEST(test_letters_removed_while_the_state_is_read_begin_it_again)
{
    make_relay();
    must(copy_while("/east/state", remove_the_older, 1));
    assert_int_equal(world.made, 1);
    assert_string_equal(copied("east/state"), "without two");
}

static void
begin_a_file(void)
{
    put("/relay/east/dead-letters/0000000a.letters", "ten, and its end");
    put("/relay/east/dead-letters/0000000b.letters", "eleven");
}

UNIT_TEST(test_a_file_begun_meanwhile_is_left_out)
{
    make_relay();
    must(copy_while("00000002.letters", begin_a_file, 1));
    assert_string_equal(copied("east/dead-letters/0000000a.letters"), "ten, and its end");
    assert_string_equal(copied("east/dead-letters/0000000b.letters"), "");
}

static void
remove_the_oldest(void)
{
    char path[80];
    snprintf(path, sizeof path, "/relay/east/dead-letters/%08x.letters", world.made + 1);
    must(env_unlink(sim_env_env(sim), path, NULL));
    snprintf(path, sizeof path, "/relay/east/dead-letters/%08x.letters", world.made + 2);
    put(path, "next");
}

UNIT_TEST(test_letters_that_are_removed_all_the_time_end_it)
{
    make_relay();
    assert_int_equal(copy_while("/east/state", remove_the_oldest, 1000), ERR_AGAIN);
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
        assert_string_equal(copied("east/dead-letters/00000002.letters"), "two");
        assert_string_equal(copied("east/dead-letters/0000000a.letters"), "ten");
        assert_string_equal(copied("east/state"), "cursor");
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
        IN_WORLD(test_letters_removed_while_the_state_is_read_begin_it_again),
        IN_WORLD(test_a_file_begun_meanwhile_is_left_out),
        IN_WORLD(test_letters_that_are_removed_all_the_time_end_it),
        IN_WORLD(test_a_failure_ends_it_or_the_copy_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
