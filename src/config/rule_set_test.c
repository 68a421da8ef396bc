/* rule_set_test.c - sets of rule files. */
#include "lib/test.h"
#include "lib/texts.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/lists/lists.h"
#include "config/rule_set.h"
#include "sys/fault.h"

/* --- a directory of rules --------------------------------------------------------------------- */

static char dir[64];

static int
begin(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/firekeep-rules-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int
end(void **state)
{
    (void)state;
    mem_fail_nth(0, false);
    return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Returns a path in memory of the test, which stays valid for four more calls. */
static const char *
in_dir(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static void
put_file(const char *name, const char *text)
{
    write_text_file(in_dir(name), text);
}

/* Writes a file with a group for each letter, of one rule each. */
static void
put_groups(const char *name, const char *letters)
{
    char text[2000];
    size_t used = (size_t)snprintf(text, sizeof text, "groups:\n");
    for (const char *p = letters; *p != '\0'; p++) {
        used +=
            (size_t)snprintf(text + used, sizeof text - used,
                             "- name: %c\n  rules: [{record: '%c:sum', expr: sum(up)}]\n", *p, *p);
    }
    put_file(name, text);
}

static struct rule_settings
settings_of(const char *yaml, bool tenancy)
{
    struct settings settings;
    struct rule_settings rules;
    struct why why = {""};
    settings_default(&settings);
    settings.tenancy_enabled = tenancy;
    enum err e =
        rule_settings_yaml(in_dir("firekeep.yml"), bytes_of_text(yaml), &settings, &rules, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, OK);
    return rules;
}

static enum err
read_set_of(const char *yaml, bool tenancy, const struct rule_set_options *options,
            struct rule_set *ret_set, struct why *why)
{
    struct rule_settings rules = settings_of(yaml, tenancy);
    enum err e = rule_set_read(&rules, options, ret_set, why);
    rule_settings_free(&rules); /* the set does not need them */
    return e;
}

static struct rule_set
read_set(const char *yaml, bool tenancy)
{
    struct rule_set_options options = {.env = env_real()};
    struct rule_set set;
    struct why why = {""};
    enum err e = read_set_of(yaml, tenancy, &options, &set, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, OK);
    return set;
}

static void
check_failure(const char *yaml, enum err expected_err, const char *expected)
{
    struct rule_set_options options = {.env = env_real()};
    struct rule_set set = {.tenant_count = 7};
    struct why why = {""};
    enum err e = read_set_of(yaml, false, &options, &set, &why);
    assert_string_equal(why.text, expected);
    assert_int_equal(e, expected_err);
    assert_int_equal(set.tenant_count, 7);
    assert_int_equal(read_set_of(yaml, false, &options, &set, NULL), expected_err);
}

/* Checks the groups, "a.yml:x a.yml:y b.yml:z". */
static void
check_groups(const struct rule_set_tenant *tenant, const char *expected)
{
    char text[1000] = "";
    size_t used = 0, dir_size = strlen(dir) + 1;
    for (uint32_t i = 0; i < tenant->group_count; i++) {
        const struct rule_group *group = &tenant->groups[i];
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s:%s", i == 0 ? "" : " ",
                                 group->file + dir_size, group->name);
        assert_int_equal(group->rule_count, 1);
    }
    assert_string_equal(text, expected);
}

/* --- finding ---------------------------------------------------------------------------------- */

UNIT_TEST(test_groups_are_in_the_order_of_patterns_files_and_their_text)
{
    put_groups("b.yml", "yx");
    put_groups("a.yml", "cx");
    put_groups(".hidden.yml", "h");
    put_groups("z.yaml", "z");
    put_file("c.yml", "");
    put_file("d.txt", "no rules");
    struct rule_set set = read_set("rule_files: [z.yaml, '*.yml']\n", false);
    assert_int_equal(set.tenant_count, 1);
    assert_string_equal(set.tenants[0].tenant, "");
    check_groups(&set.tenants[0], "z.yaml:z .hidden.yml:h a.yml:c a.yml:x b.yml:y b.yml:x");
    assert_int_equal(set.file_count, 5);
    assert_int_equal(set.group_count, 6);
    assert_int_equal(set.rule_count, 6);
    assert_int_equal(set.unmatched_count, 0);
    rule_set_free(&set);
}

UNIT_TEST(test_a_file_that_two_patterns_name_is_read_once)
{
    put_groups("a.yml", "a");
    put_groups("b.yml", "b");
    struct rule_set set = read_set("rule_files: [b.yml, './x/../b.yml', '*.yml']\n", false);
    check_groups(&set.tenants[0], "b.yml:b a.yml:a");
    assert_int_equal(set.file_count, 2);
    rule_set_free(&set);
}

UNIT_TEST(test_tenants_may_share_files)
{
    put_groups("a.yml", "a");
    put_groups("b.yml", "b");
    struct rule_set set = read_set("tenants:\n"
                                   "  one: {rule_files: ['*.yml']}\n"
                                   "  two: {}\n"
                                   "  three: {rule_files: [b.yml]}\n",
                                   true);
    assert_int_equal(set.tenant_count, 3);
    assert_string_equal(set.tenants[0].tenant, "one");
    check_groups(&set.tenants[0], "a.yml:a b.yml:b");
    check_groups(&set.tenants[1], "");
    assert_string_equal(set.tenants[2].tenant, "three");
    check_groups(&set.tenants[2], "b.yml:b");
    assert_int_equal(set.file_count, 2);
    assert_int_equal(set.group_count, 2);
    assert_ptr_equal(set.tenants[0].groups[1].rules, set.tenants[2].groups[0].rules);
    rule_set_free(&set);
}

UNIT_TEST(test_patterns_that_match_no_file_are_reported_without_an_error)
{
    put_groups("a.yml", "a");
    struct rule_set set =
        read_set("rule_files: ['none*.yml', a.yml, missing.yml, 'gone/*.yml']\n", false);
    check_groups(&set.tenants[0], "a.yml:a");
    assert_int_equal(set.unmatched_count, 3);
    assert_string_equal(set.unmatched[0].pattern, in_dir("none*.yml"));
    assert_true(set.unmatched[0].is_wild);
    assert_string_equal(set.unmatched[1].pattern, in_dir("missing.yml"));
    assert_false(set.unmatched[1].is_wild);
    assert_string_equal(set.unmatched[2].pattern, in_dir("gone/*.yml"));
    assert_string_equal(set.unmatched[2].tenant, "");
    rule_set_free(&set);
    set = read_set("tenants: {one: {rule_files: [x.yml]}, two: {rule_files: [x.yml]}}\n", true);
    assert_int_equal(set.unmatched_count, 2);
    assert_string_equal(set.unmatched[1].tenant, "two");
    rule_set_free(&set);
}

UNIT_TEST(test_without_patterns_there_are_no_rules)
{
    struct rule_set set = read_set("log: {}\n", false);
    assert_int_equal(set.tenant_count, 0);
    assert_null(set.arena);
    rule_set_free(&set);
    rule_set_free(NULL);
}

/* --- errors ----------------------------------------------------------------------------------- */

struct reported {
    unsigned count;
    char sentences[8][300];
};

static void
take_sentence(void *context, struct bytes sentence)
{
    struct reported *reported = context;
    assert_true(reported->count < 8);
    snprintf(reported->sentences[reported->count++], sizeof reported->sentences[0], "%.*s",
             (int)sentence.size, (const char *)sentence.at);
}

UNIT_TEST(test_all_errors_of_all_files_are_reported)
{
    struct reported reported = {0};
    struct rule_set_options options = {
        .env = env_real(), .report = take_sentence, .context = &reported};
    struct rule_set set;
    struct why why = {""};
    char expected[300];
    put_file("a.yml", "groups:\n- name: a\n  rules: [{record: a, expr: '('}, {expr: up}]\n");
    put_groups("b.yml", "b");
    put_file("c.yml", "groups: 5\n");
    assert_int_equal(mkdir(in_dir("d.yml"), 0700), 0);
    assert_int_equal(read_set_of("rule_files: ['*.yml']\n", false, &options, &set, &why),
                     ERR_INPUT);
    assert_int_equal(reported.count, 4);
    snprintf(expected, sizeof expected,
             "%s:3:29: group 'a', rule 1 'a': invalid expression: 1:2: parse error: unclosed left "
             "parenthesis",
             in_dir("a.yml"));
    assert_string_equal(why.text, expected);
    strcat(expected, "\n  (\n   ^");
    assert_string_equal(reported.sentences[0], expected);
    snprintf(expected, sizeof expected,
             "%s:3:35: group 'a', rule 2: 'record' or 'alert' is required", in_dir("a.yml"));
    assert_string_equal(reported.sentences[1], expected);
    snprintf(expected, sizeof expected, "%s:1:9: groups: expected a list, got '5'",
             in_dir("c.yml"));
    assert_string_equal(reported.sentences[2], expected);
    snprintf(expected, sizeof expected, "cannot open %s: Is a directory", in_dir("d.yml"));
    assert_string_equal(reported.sentences[3], expected);
}

UNIT_TEST(test_a_file_or_directory_that_cannot_be_read_is_an_error)
{
    char expected[300];
    put_groups("a.yml", "a");
    assert_int_equal(mkdir(in_dir("d.yml"), 0700), 0);
    snprintf(expected, sizeof expected, "cannot open %s: Is a directory", in_dir("d.yml"));
    check_failure("rule_files: ['*.yml']\n", ERR_IO, expected);
    snprintf(expected, sizeof expected, "cannot list directory %s/: Not a directory",
             in_dir("a.yml"));
    check_failure("rule_files: ['a.yml/*.yml']\n", ERR_IO, expected);
}

UNIT_TEST(test_a_pipe_is_an_error_and_is_not_waited_for)
{
    char expected[300];
    put_groups("a.yml", "a");
    assert_int_equal(mkfifo(in_dir("f.yml"), 0600), 0);
    snprintf(expected, sizeof expected, "cannot open %s: it is not a regular file",
             in_dir("f.yml"));
    check_failure("rule_files: ['*.yml']\n", ERR_IO, expected);
    check_failure("rule_files: [a.yml, f.yml]\n", ERR_IO, expected);
}

UNIT_TEST(test_a_link_to_nothing_is_an_error_and_no_missing_file)
{
    char expected[300];
    put_groups("a.yml", "a");
    assert_int_equal(symlink("../nowhere/b.yml", in_dir("b.yml")), 0);
    snprintf(expected, sizeof expected, "cannot open %s: what it links to does not exist",
             in_dir("b.yml"));
    check_failure("rule_files: ['*.yml']\n", ERR_IO, expected);
    check_failure("rule_files: [a.yml, b.yml]\n", ERR_IO, expected);
    assert_int_equal(unlink(in_dir("b.yml")), 0);
    assert_int_equal(symlink("b.yml", in_dir("b.yml")), 0);
    snprintf(expected, sizeof expected, "cannot open %s: Too many levels of symbolic links",
             in_dir("b.yml"));
    check_failure("rule_files: ['*.yml']\n", ERR_IO, expected);
}

UNIT_TEST(test_too_long_files_and_paths_are_refused)
{
    char expected[700], yaml[500], name[300];
    put_file("a.yml", "");
    assert_int_equal(truncate(in_dir("a.yml"), RULE_FILE_BYTES_MAX + 1), 0);
    snprintf(expected, sizeof expected, "%s: must be at most 16384 KiB", in_dir("a.yml"));
    check_failure("rule_files: [a.yml]\n", ERR_LIMIT, expected);
    memset(name, 'x', sizeof name);
    name[255 - strlen(dir)] = '\0'; /* one byte too long, with the '/' */
    snprintf(yaml, sizeof yaml, "rule_files: [%s]\n", name);
    snprintf(expected, sizeof expected, "cannot open %s/%s: path is longer than 255 bytes", dir,
             name);
    check_failure(yaml, ERR_LIMIT, expected);
    memcpy(name + strlen(name) - 1, "*", 1);
    name[0] = '*';
    put_file(name + 1, "");
    struct rule_set_options options = {.env = env_real()};
    struct rule_set set;
    snprintf(yaml, sizeof yaml, "rule_files: ['*']\n");
    assert_int_equal(unlink(in_dir("a.yml")), 0);
    assert_int_equal(read_set_of(yaml, false, &options, &set, NULL), OK); /* 255 bytes */
    rule_set_free(&set);
}

UNIT_TEST(test_limits_are_met_one_beyond_them)
{
    char name[32];
    for (unsigned i = 0; i < RULE_SET_FILES_MAX; i++) {
        snprintf(name, sizeof name, "%05u.yml", i);
        put_file(name, "");
    }
    struct rule_set set = read_set("rule_files: ['*.yml']\n", false);
    assert_int_equal(set.file_count, RULE_SET_FILES_MAX);
    rule_set_free(&set);
    put_file("last", "");
    check_failure("rule_files: ['*.yml', last]\n", ERR_LIMIT,
                  "at most 10000 rule files are allowed");
    check_failure("rule_files: ['*']\n", ERR_LIMIT, "at most 10000 rule files are allowed");
    /* Each file has as many groups as possible. */
    struct buf groups;
    buf_init(&groups, NULL, 1 << 20);
    buf_put_text(&groups, "groups:\n");
    for (unsigned i = 0; i < RULE_GROUPS_MAX; i++)
        buf_printf(&groups, "- name: g%u\n", i);
    buf_put_u8(&groups, '\0');
    for (unsigned i = 0; i < RULE_SET_GROUPS_MAX / RULE_GROUPS_MAX; i++) {
        snprintf(name, sizeof name, "%05u.groups", i);
        put_file(name, (const char *)groups.at);
    }
    buf_fini(&groups);
    set = read_set("rule_files: ['*.groups']\n", false);
    assert_int_equal(set.group_count, RULE_SET_GROUPS_MAX);
    rule_set_free(&set);
    put_groups("last", "x");
    check_failure("rule_files: ['*.groups', last]\n", ERR_LIMIT,
                  "at most 100000 groups of rules are allowed");
}

UNIT_TEST(test_each_failure_is_reported_and_leaves_nothing)
{
    static const char yaml[] = "rule_files: ['*.yml', none.yml]\n";
    put_groups("a.yml", "ab");
    put_groups("b.yml", "c");
    struct rule_settings rules = settings_of(yaml, false);
    struct budget budget;
    budget_init(&budget, "test", 0, NULL);
    for (uint64_t nth = 1;; nth++) {
        struct rule_set_options options = {.env = env_real(), .budget = &budget};
        struct rule_set set = {NULL};
        struct why why = {""};
        mem_fail_nth(nth, false);
        enum err e = rule_set_read(&rules, &options, &set, &why);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (fired) {
            assert_int_equal(e, ERR_NOMEM);
            assert_string_not_equal(why.text, "");
        } else {
            assert_int_equal(e, OK);
        }
        rule_set_free(&set);
        assert_int_equal(budget_used(&budget), 0);
        if (!fired) break;
    }
    struct fault_env *fe;
    unsigned survived = 0;
    assert_int_equal(fault_env_new(env_real(), &fe), OK);
    for (uint64_t nth = 1;; nth++) {
        struct rule_set_options options = {.env = fault_env_env(fe), .budget = &budget};
        struct rule_set set = {NULL};
        struct why why = {""};
        fault_env_arm(fe, (struct fault){.kind = FAULT_EIO, .nth = nth});
        enum err e = rule_set_read(&rules, &options, &set, &why);
        bool fired = fault_env_fired(fe);
        fault_env_disarm(fe);
        survived += fired && e == OK;
        if (e) assert_string_not_equal(why.text, "");
        rule_set_free(&set);
        assert_int_equal(budget_used(&budget), 0);
        if (!fired) break;
    }
    assert_int_equal(survived, 2); /* the one that closes a file after reading */
    fault_env_free(fe);
    rule_settings_free(&rules);
}

int
main(void)
{
#define RULES_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        RULES_TEST(test_groups_are_in_the_order_of_patterns_files_and_their_text),
        RULES_TEST(test_a_file_that_two_patterns_name_is_read_once),
        RULES_TEST(test_tenants_may_share_files),
        RULES_TEST(test_patterns_that_match_no_file_are_reported_without_an_error),
        RULES_TEST(test_without_patterns_there_are_no_rules),
        RULES_TEST(test_all_errors_of_all_files_are_reported),
        RULES_TEST(test_a_file_or_directory_that_cannot_be_read_is_an_error),
        RULES_TEST(test_a_pipe_is_an_error_and_is_not_waited_for),
        RULES_TEST(test_a_link_to_nothing_is_an_error_and_no_missing_file),
        RULES_TEST(test_too_long_files_and_paths_are_refused),
        RULES_TEST(test_limits_are_met_one_beyond_them),
        RULES_TEST(test_each_failure_is_reported_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
