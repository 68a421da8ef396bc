/* file_pattern_test.c - file names that match patterns. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sys/paths.h"
#include "sys/sim.h"

/* --- a directory with some names -------------------------------------------------------------- */

static struct env *
make_names(struct sim_env **ret_sim, const char *const *names)
{
    struct file file;
    assert_int_equal(sim_env_new(1, ret_sim), OK);
    struct env *env = sim_env_env(*ret_sim);
    assert_int_equal(env_mkdir(env, "/d", NULL), OK);
    for (; *names != NULL; names++) {
        char path[FILE_PATH_BYTES];
        snprintf(path, sizeof path, "/d/%s", *names);
        assert_int_equal(file_open(env, path, FILE_CREATE, &file, NULL), OK);
        assert_int_equal(file_close(&file), OK);
    }
    return env;
}

struct found {
    char text[512];
    enum err stop_with;
};

static enum err
note(void *context, const char *path)
{
    struct found *found = context;
    size_t used = strlen(found->text);
    snprintf(found->text + used, sizeof found->text - used, "%s%s", used == 0 ? "" : " ", path);
    return found->stop_with;
}

/* Checks that exactly these words are found, in any order. */
static void
check_found(struct env *env, const char *pattern, const char *expected)
{
    struct found found = {"", OK};
    struct why why = {""};
    assert_int_equal(file_pattern_expand(env, pattern, note, &found, &why), OK);
    assert_string_equal(why.text, "");
    assert_int_equal(strlen(found.text), strlen(expected));
    char words[512];
    snprintf(words, sizeof words, "%s", expected);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " "))
        if (strstr(found.text, word) == NULL) fail_msg("%s lacks %s", found.text, word);
}

UNIT_TEST(test_wildcards_match_names_of_one_directory)
{
    static const char *const names[] = {"a.yml", "b.yml", "ab.yaml", ".c.yml", "*.yml", "x", NULL};
    struct sim_env *sim;
    struct env *env = make_names(&sim, names);
    check_found(env, "/d/*.yml", "/d/a.yml /d/b.yml /d/.c.yml /d/*.yml");
    check_found(env, "/d/?.yml", "/d/a.yml /d/b.yml /d/*.yml");
    check_found(env, "/d/[b-z].yml", "/d/b.yml");
    check_found(env, "/d/\\*.yml", "/d/*.yml");
    check_found(env, "/d/*", "/d/a.yml /d/b.yml /d/ab.yaml /d/.c.yml /d/*.yml /d/x");
    check_found(env, "/d/z*", "");
    check_found(env, "/none/*", "");
    check_found(env, "/d/a.yml", "/d/a.yml");
    /* without wildcards, the file system is not read */
    check_found(env, "/d/none.yml", "/d/none.yml");
    sim_env_free(sim);
}

UNIT_TEST(test_the_error_of_a_caller_ends_it)
{
    static const char *const names[] = {"a", "b", NULL};
    struct sim_env *sim;
    struct env *env = make_names(&sim, names);
    struct found found = {"", ERR_MISSING};
    assert_int_equal(file_pattern_expand(env, "/d/*", note, &found, NULL), ERR_MISSING);
    assert_int_equal(strlen(found.text), strlen("/d/a"));
    sim_env_free(sim);
}

UNIT_TEST(test_patterns_that_cannot_be_expanded_are_refused)
{
    static const struct {
        const char *pattern, *expected;
        bool is_wild;
    } cases[] = {
        {"a.yml", "", false},
        {"/x/y/a.yml", "", false},
        {"x/*.yml", "", true},
        {"x/[ab]?", "", true},
        {"x/a\\b", "", true},
        {"*/a", "wildcards are only allowed after the last '/'", true},
        {"/x?/a", "wildcards are only allowed after the last '/'", true},
        {"/[x]/a*", "wildcards are only allowed after the last '/'", true},
        {"[a", "has a '[' without ']', or ends in a backslash", true},
        {"x/a[b]c[", "has a '[' without ']', or ends in a backslash", true},
        {"a\\", "has a '[' without ']', or ends in a backslash", true},
        {"a[]", "has a '[' without ']', or ends in a backslash", true},
        {"a[!]", "has a '[' without ']', or ends in a backslash", true},
        {"a[!", "has a '[' without ']', or ends in a backslash", true},
        {"a[]]", "", true},
        {"a[!]]", "", true},
        {"a\\[", "", true},
        {"x/", "must end with the name of a file", false},
        {"/", "must end with the name of a file", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct why why = {""};
        enum err e = file_pattern_check(cases[i].pattern, &why);
        assert_string_equal(why.text, cases[i].expected);
        assert_int_equal(e, cases[i].expected[0] == '\0' ? OK : ERR_INPUT);
        assert_int_equal(file_pattern_is_wild(cases[i].pattern), cases[i].is_wild);
    }
}

UNIT_TEST(test_too_long_a_path_is_reported)
{
    struct sim_env *sim;
    static const char *const names[] = {NULL};
    struct env *env = make_names(&sim, names);
    struct found found = {"", OK};
    struct why why = {""};
    char pattern[400];
    memset(pattern, 'x', sizeof pattern);
    memcpy(pattern + 256, "/*", 3);
    assert_int_equal(file_pattern_expand(env, pattern, note, &found, &why), ERR_LIMIT);
    assert_non_null(strstr(why.text, "path is longer than 255 bytes"));
    sim_env_free(sim);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wildcards_match_names_of_one_directory),
        cmocka_unit_test(test_the_error_of_a_caller_ends_it),
        cmocka_unit_test(test_patterns_that_cannot_be_expanded_are_refused),
        cmocka_unit_test(test_too_long_a_path_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
