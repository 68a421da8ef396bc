/*
 * signing_keys_test.c - files of secrets, good and bad, and the set that is made of them.
 */
#include "auth/users.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/failing_memory.h"
#include "lib/test.h"

#define must(call) assert_int_equal((call), OK)

static char dir[] = "/tmp/firekeep-keys-XXXXXX";
static char path_a[64], path_b[64], path_token[64];

static void
write_file(const char *path, const char *text, size_t size)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void
write_text(const char *path, const char *text)
{
    write_file(path, text, strlen(text));
}

static struct access_key_settings ann_keys[] = {
    {.id = "AKIA1", .secret_file = path_a, .session_token_file = path_token},
    {.id = "AKIA2", .secret_file = path_b},
};
static struct access_key_settings bob_keys[] = {{.id = "AKIA3", .secret_file = path_a}};
static struct user_settings settings[] = {
    {.name = "ann", .access_keys = ann_keys, .access_key_count = 2},
    {.name = "eve"},
    {.name = "bob", .access_keys = bob_keys, .access_key_count = 1},
};
static const struct user_list list = {.items = settings, .count = 3};

static struct signing_keys *
read_keys(void)
{
    struct signing_keys *keys = NULL;
    must(signing_keys_read(&list, NULL, &keys, NULL));
    return keys;
}

static int
set_up(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL) return -1;
    snprintf(path_a, sizeof path_a, "%s/a", dir);
    snprintf(path_b, sizeof path_b, "%s/b", dir);
    snprintf(path_token, sizeof path_token, "%s/token", dir);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    unlink(path_a);
    unlink(path_b);
    unlink(path_token);
    return rmdir(dir);
}

static int
write_good_files(void **state)
{
    (void)state;
    write_text(path_a, "secret/A+\n");
    write_text(path_b, "new-secret\r\nold-secret");
    write_text(path_token, "token==\n");
    return 0;
}

UNIT_TEST(test_keys_are_found_with_their_secrets_and_users)
{
    struct signing_keys *keys = read_keys();
    assert_int_equal(signing_keys_count(keys), 3);
    const struct signing_key *one = signing_keys_find(keys, bytes_of_text("AKIA1"));
    const struct signing_key *two = signing_keys_find(keys, bytes_of_text("AKIA2"));
    const struct signing_key *three = signing_keys_find(keys, bytes_of_text("AKIA3"));
    assert_int_equal(one->user, 0);
    assert_int_equal(one->secret_count, 1);
    assert_true(bytes_equal_text(one->secrets[0], "secret/A+"));
    assert_true(bytes_equal_text(one->session_token, "token=="));
    assert_int_equal(two->user, 0);
    assert_int_equal(two->secret_count, 2);
    assert_true(bytes_equal_text(two->secrets[0], "new-secret"));
    assert_true(bytes_equal_text(two->secrets[1], "old-secret"));
    assert_int_equal(two->session_token.size, 0);
    assert_int_equal(three->user, 2);
    assert_null(signing_keys_find(keys, bytes_of_text("AKIA4")));
    assert_null(signing_keys_find(keys, bytes_of_text("AKIA")));
    assert_null(signing_keys_find(keys, bytes_of_text("")));
    assert_null(signing_keys_find(keys, bytes_of("AKIA1", 6)));
    signing_keys_free(keys);
}

UNIT_TEST(test_a_list_without_keys_makes_an_empty_set)
{
    struct user_list nobody = {.count = 0};
    struct signing_keys *keys = NULL;
    must(signing_keys_read(&nobody, NULL, &keys, NULL));
    assert_int_equal(signing_keys_count(keys), 0);
    assert_null(signing_keys_find(keys, bytes_of_text("AKIA1")));
    signing_keys_free(keys);
}

UNIT_TEST(test_sets_differ_if_a_file_has_changed)
{
    const char *const changes[][2] = {
        {path_a, "secret/B+\n"},
        {path_a, "secret/A+\nanother\n"},
        {path_b, "new-secret\nold-secres\n"},
        {path_b, "new-secret\n"},
        {path_token, "token=\n"},
    };
    struct signing_keys *before = read_keys(), *again = read_keys();
    assert_true(signing_keys_equal(before, again));
    signing_keys_free(again);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        write_text(changes[i][0], changes[i][1]);
        again = read_keys();
        assert_false(signing_keys_equal(before, again));
        signing_keys_free(again);
        write_good_files(NULL);
    }
    /* The end of the last line may be missing. */
    write_text(path_a, "secret/A+");
    again = read_keys();
    assert_true(signing_keys_equal(before, again));
    signing_keys_free(again);
    settings[2].access_key_count = 0;
    again = read_keys();
    assert_false(signing_keys_equal(before, again));
    signing_keys_free(again);
    settings[1].access_keys = bob_keys; /* another user has the key */
    settings[1].access_key_count = 1;
    again = read_keys();
    assert_false(signing_keys_equal(before, again));
    signing_keys_free(again);
    settings[1].access_key_count = 0;
    settings[2].access_key_count = 1;
    signing_keys_free(before);
}

static void
expect_error(enum err expected, const char *sentence)
{
    struct signing_keys *keys = NULL;
    struct why why = {.text = ""};
    enum err e = signing_keys_read(&list, NULL, &keys, &why);
    if (e != expected || strstr(why.text, sentence) == NULL)
        fail_msg("%s: %s", err_word(e), why.text);
    assert_null(strstr(why.text, "hidden"));
}

UNIT_TEST(test_files_of_another_form_are_refused_and_not_shown)
{
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        {"", "it is empty"},
        {"\n", "line 1 is empty, or has blanks or bytes beyond ASCII"},
        {"hidden one\n", "line 1 is empty, or has blanks"},
        {"hidden\n\n", "line 2 is empty"},
        {"hidden\nhidden\x7f\n", "line 2 is empty, or has blanks"},
        {"hidden\xc3\xbc\n", "line 1 is empty, or has blanks"},
        {"hidden\rhidden\n", "line 1 is empty, or has blanks"},
        {"hidden1\nhidden2\nhidden3\n", "it has more lines than 2"},
    };
    char sentence[200];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text(path_b, cases[i].text);
        snprintf(sentence, sizeof sentence, "access key AKIA2: secret_file: cannot use %s: %s",
                 path_b, cases[i].sentence);
        expect_error(ERR_INPUT, sentence);
    }
    write_good_files(NULL);
    write_text(path_token, "hidden\nhidden\n");
    expect_error(ERR_INPUT, "access key AKIA1: session_token_file: cannot use ");
    expect_error(ERR_INPUT, ": it has more lines than 1");
    write_good_files(NULL);
    write_file(path_b, "hid\0den", 7);
    expect_error(ERR_INPUT, ": line 1 is empty, or has blanks");
}

UNIT_TEST(test_secrets_have_a_largest_size)
{
    static char text[20000];
    memset(text, 'x', sizeof text);
    write_file(path_b, text, SIGNING_SECRET_BYTES_MAX);
    signing_keys_free(read_keys());
    write_file(path_b, text, SIGNING_SECRET_BYTES_MAX + 1);
    expect_error(ERR_INPUT, ": line 1 is longer than 256 bytes");
    write_file(path_b, text, sizeof text);
    expect_error(ERR_LIMIT, "access key AKIA2: secret_file: cannot read ");
}

UNIT_TEST(test_a_file_that_cannot_be_read_is_an_error)
{
    unlink(path_b);
    expect_error(ERR_MISSING, "access key AKIA2: secret_file: cannot open ");
    must(mkfifo(path_b, 0600));
    expect_error(ERR_IO, "it is not a regular file");
    unlink(path_b);
}

UNIT_TEST(test_more_keys_than_the_limit_are_refused)
{
    static struct access_key_settings many[SIGNING_KEYS_MAX + 1];
    struct user_settings user = {.access_keys = many, .access_key_count = SIGNING_KEYS_MAX + 1};
    struct user_list users = {.items = &user, .count = 1};
    struct signing_keys *keys;
    assert_int_equal(signing_keys_read(&users, NULL, &keys, NULL), ERR_LIMIT);
}

static bool secret_freed;

static void
look_for_secret(const void *memory, size_t size)
{
    if (size >= 8 && memmem(memory, size, "secret", 6) != NULL) secret_freed = true;
}

UNIT_TEST(test_memory_of_secrets_is_overwritten_before_it_is_freed)
{
    mem_watch_frees(look_for_secret);
    signing_keys_free(read_keys());
    mem_watch_frees(NULL);
    assert_false(secret_freed);
}

static enum err
read_and_free(void)
{
    struct budget memory;
    struct signing_keys *keys = NULL;
    budget_init(&memory, "test", 0, NULL);
    enum err e = signing_keys_read(&list, &memory, &keys, NULL);
    signing_keys_free(keys);
    assert_int_equal(budget_used(&memory), 0);
    return e;
}

UNIT_TEST(test_each_allocation_may_fail)
{
    fail_each_allocation(read_and_free);
}

#define WITH_FILES(test) cmocka_unit_test_setup(test, write_good_files)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FILES(test_keys_are_found_with_their_secrets_and_users),
        WITH_FILES(test_a_list_without_keys_makes_an_empty_set),
        WITH_FILES(test_sets_differ_if_a_file_has_changed),
        WITH_FILES(test_files_of_another_form_are_refused_and_not_shown),
        WITH_FILES(test_secrets_have_a_largest_size),
        WITH_FILES(test_a_file_that_cannot_be_read_is_an_error),
        WITH_FILES(test_more_keys_than_the_limit_are_refused),
        WITH_FILES(test_memory_of_secrets_is_overwritten_before_it_is_freed),
        WITH_FILES(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
