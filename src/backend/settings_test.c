/* settings_test.c - secrets in settings: variables, files, and limits. */
#include "lib/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/settings.h"

/* --- secrets ---------------------------------------------------------------------------------- */

static void
check_fetched(struct secret secret, struct bytes expected)
{
    struct buf to;
    struct why why = {""};
    buf_init(&to, NULL, 1 << 20);
    buf_put_text(&to, "before:");
    enum err e = secret_fetch(&secret, &to, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, OK);
    assert_int_equal(to.size, 7 + expected.size);
    assert_memory_equal(to.at, "before:", 7);
    if (expected.size > 0) assert_memory_equal(to.at + 7, expected.at, expected.size);
    buf_fini(&to);
}

static void
check_refused(struct secret secret, enum err expected, const char *sentence)
{
    struct buf to;
    struct why why = {""};
    buf_init(&to, NULL, 1 << 20);
    buf_put_text(&to, "before:");
    assert_int_equal(secret_fetch(&secret, &to, &why), expected);
    assert_string_equal(why.text, sentence);
    assert_int_equal(to.size, 7);
    assert_int_equal(buf_error(&to), OK);
    assert_int_equal(secret_fetch(&secret, &to, NULL), expected);
    buf_fini(&to);
}

static void
check_text(const char *text, const char *expected)
{
    check_fetched((struct secret){.text = text}, bytes_of_text(expected));
}

UNIT_TEST(test_variables_in_a_secret_are_replaced_by_their_value)
{
    setenv("FIREKEEP_TEST_a1", "one ${FIREKEEP_TEST_B}", 1);
    setenv("FIREKEEP_TEST_B", "", 1);
    unsetenv("FIREKEEP_TEST_C");
    check_text("plain", "plain");
    check_text("${FIREKEEP_TEST_a1}", "one ${FIREKEEP_TEST_B}"); /* replaced once, not again */
    check_text("<${FIREKEEP_TEST_a1}|${FIREKEEP_TEST_B}>", "<one ${FIREKEEP_TEST_B}|>");
    check_refused((struct secret){.text = "x${FIREKEEP_TEST_C}"}, ERR_MISSING,
                  "environment variable FIREKEEP_TEST_C is not set");
}

UNIT_TEST(test_text_that_is_not_a_variable_is_unchanged)
{
    static const char *const texts[] = {"$",      "$$",    "${",     "${}",    "${1a}",
                                        "${A-B}", "$HOME", "${A B}", "${HOME", "}{$"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_text(texts[i], texts[i]);
    char name[400] = "${";
    memset(name + 2, 'A', 300);
    name[302] = '}';
    check_text(name, name);
}

/* Writes a file of `size` bytes 's', then `tail`. */
static void
write_file(const char *path, size_t size, const char *tail)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (size_t i = 0; i < size; i++)
        fputc('s', f);
    fputs(tail, f);
    assert_int_equal(fclose(f), 0);
}

/* Opening a pipe would wait for a writer, without end. */
UNIT_TEST(test_a_pipe_is_refused_as_a_secret_file)
{
    char dir[] = "/tmp/firekeep-secret-XXXXXX", path[64], sentence[128];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/pipe", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(sentence, sizeof sentence, "cannot read %s: it is a pipe, which may have no writer",
             path);
    check_refused((struct secret){.file = path}, ERR_IO, sentence);
    unlink(path);
    rmdir(dir);
}

UNIT_TEST(test_a_secret_file_is_read_each_time_without_its_last_newline)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {{"pass", "pass"},          {"pass\n", "pass"}, {"pass\r\n", "pass"},
                 {"pass\n\n", "pass\n"},    {"", ""},           {"\n", ""},
                 {" ${HOME} ", " ${HOME} "}};
    char path[] = "/tmp/firekeep-secret-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(path, 0, cases[i].text);
        check_fetched((struct secret){.file = path}, bytes_of_text(cases[i].expected));
    }
    unlink(path);
    char sentence[100];
    snprintf(sentence, sizeof sentence, "cannot open %s: No such file or directory", path);
    check_refused((struct secret){.file = path}, ERR_MISSING, sentence);
    check_refused((struct secret){.file = "/"}, ERR_IO, "cannot read /: Is a directory");
}

UNIT_TEST(test_a_secret_of_more_than_64_kib_is_refused)
{
    enum { MAX = 64 * 1024 };
    char *text = calloc(1, MAX + 3);
    assert_non_null(text);
    memset(text, 's', MAX);
    check_text(text, text);
    char path[] = "/tmp/firekeep-secret-XXXXXX", sentence[100];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    write_file(path, MAX, "\r\n");
    check_fetched((struct secret){.file = path}, bytes_of(text, MAX));
    write_file(path, MAX, "st");
    snprintf(sentence, sizeof sentence, "%s: secret must be at most 64 KiB", path);
    check_refused((struct secret){.file = path}, ERR_LIMIT, sentence);
    unlink(path);
    text[MAX] = 's';
    check_refused((struct secret){.text = text}, ERR_LIMIT, "secret must be at most 64 KiB");
    check_refused((struct secret){.file = "/dev/zero"}, ERR_LIMIT,
                  "/dev/zero: secret must be at most 64 KiB");
    free(text);
}

UNIT_TEST(test_each_refused_allocation_of_a_secret_is_reported)
{
    struct secret secret = {.text = "secret"};
    unsigned nth = 1;
    for (;; nth++) {
        struct buf to;
        struct why why = {""};
        buf_init(&to, NULL, 1024);
        mem_fail_nth(nth, false);
        enum err e = secret_fetch(&secret, &to, &why);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        assert_int_equal(to.size, fired ? 0 : 6);
        buf_fini(&to);
        if (!fired) break;
    }
    assert_int_equal(nth, 3);
}

/* --- the rest --------------------------------------------------------------------------------- */

UNIT_TEST(test_each_type_has_a_word_of_its_own)
{
    for (unsigned t = 0; t < DESTINATION_TYPE_COUNT; t++) {
        const char *word = destination_type_word((enum destination_type)t);
        assert_non_null(word);
        assert_string_not_equal(word, "unknown");
        for (unsigned u = 0; u < t; u++)
            assert_string_not_equal(word, destination_type_word((enum destination_type)u));
    }
    assert_string_equal(destination_type_word(DESTINATION_REMOTE_WRITE), "remote_write");
    assert_string_equal(destination_type_word(DESTINATION_TYPE_COUNT), "unknown");
}

UNIT_TEST(test_a_list_is_freed_once_and_an_empty_one_as_well)
{
    struct destinations list = {.arena = mem_new(NULL, sizeof(struct arena))};
    assert_non_null(list.arena);
    arena_init(list.arena, NULL, 0, 0);
    list.items = arena_new(list.arena, 2 * sizeof *list.items);
    assert_non_null(list.items);
    list.count = 2;
    destinations_free(&list);
    assert_null(list.arena);
    assert_null(list.items);
    assert_int_equal(list.count, 0);
    destinations_free(&list);
    destinations_free(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variables_in_a_secret_are_replaced_by_their_value),
        cmocka_unit_test(test_text_that_is_not_a_variable_is_unchanged),
        cmocka_unit_test(test_a_pipe_is_refused_as_a_secret_file),
        cmocka_unit_test(test_a_secret_file_is_read_each_time_without_its_last_newline),
        cmocka_unit_test(test_a_secret_of_more_than_64_kib_is_refused),
        cmocka_unit_test(test_each_refused_allocation_of_a_secret_is_reported),
        cmocka_unit_test(test_each_type_has_a_word_of_its_own),
        cmocka_unit_test(test_a_list_is_freed_once_and_an_empty_one_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
