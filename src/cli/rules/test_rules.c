/*
 * test_rules.c - `firekeep test rules FILE...`: unit tests of rules, in promtool's format and with
 * its verdicts.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/log.h"
#include "base/text/quote.h"
#include "cli/cli.h"
#include "cli/rules/rule_tests.h"
#include "cli/rules/rule_unit.h"
#include "config/config.h"
#include "model/regex/replacer.h"
#include "rules/load/rule_files.h"
#include "sys/env.h"

enum { FILE_BYTES_MAX = 1 << 30 };

static const uint64_t memory_bytes_max = UINT64_C(2) << 30;

struct test_rules_options {
    struct flag_texts run;
    bool ignore_unknown_fields;
    const char *features;
};

static const struct flag test_rules_flags[] = {
    {"run", 0, FLAG_TEXTS, offsetof(struct test_rules_options, run), "REGEX",
     "run only tests whose names match, anywhere in them; may be repeated, any will do"},
    {"ignore-unknown-fields", 0, FLAG_SWITCH,
     offsetof(struct test_rules_options, ignore_unknown_fields), NULL,
     "accept fields that rule files do not have"},
    {"query.features", 0, FLAG_TEXT, offsetof(struct test_rules_options, features), "LIST",
     "optional behaviour of PromQL, as the server has it (default none)"},
    REMOVED_FLAG("debug", "'promtool test rules --debug' does it"),
    REMOVED_FLAG("diff", "'promtool test rules --diff' does it"),
    REMOVED_FLAG("junit", "'promtool test rules --junit=FILE' writes JUnit XML"),
    {0},
};

static const char test_rules_notes[] =
    "\nRuns the tests of each FILE, which has the format of promtool's unit tests: docs/rules.md.\n"
    "promtool runs the same files, and writes JUnit XML and differences in colours.\n"
    "\nExit status: 0 all tests passed; 1 a test failed, or a file cannot be read; 2 wrong "
    "usage.\n";

/* --- a run ------------------------------------------------------------------------------------ */

struct running {
    const struct test_rules_options *options;
    struct promql_features features;
    struct searcher *names; /* names of tests to run; NULL: all */
    struct env *env;
    struct budget memory;

    /* The current file. */
    struct arena arena;
    const char *path;
    struct rule_tests tests;
    const struct rule_group **groups; /* in the order of evaluation */
    uint32_t group_count;
    struct text_list wrong;    /* errors of its rule files */
    struct text_list failures; /* failures of its tests */
    bool lacks_memory;         /* some of these texts were lost for lack of memory */
};

/* Appends a copy; a lack of memory is reported at the end. */
static void
tests_keep_text(struct running *r, struct text_list *list, struct bytes text)
{
    const char **items = arena_push(&r->arena, list->items, list->count, sizeof(const char *));
    char *copy = arena_alloc(&r->arena, text.size + 1);
    if (items == NULL || copy == NULL) {
        r->lacks_memory = true;
        return;
    }
    if (text.size > 0) memcpy(copy, text.at, text.size);
    copy[text.size] = '\0';
    list->items = items;
    items[list->count++] = copy;
}

/* Keeps a failure of a test. */
static void
take_failure(void *context, struct bytes text)
{
    struct running *r = context;
    tests_keep_text(r, &r->failures, text);
}

static void
print_warning(void *context, const char *text)
{
    (void)context;
    fflush(stdout);
    fprintf(stderr, "  WARNING: %s\n", text);
}

static void
warn_unmatched(void *context, const char *pattern)
{
    struct buf shown;
    (void)context;
    buf_init(&shown, NULL, 8 * FILE_PATH_BYTES);
    buf_put_shown(&shown, bytes_of_text(pattern));
    fflush(stdout);
    fprintf(stderr, "  WARNING: no file match pattern %.*s\n", (int)shown.size,
            (const char *)shown.at);
    buf_fini(&shown);
}

/* --- rule files ------------------------------------------------------------------------------- */

static void
note_wrong(void *context, struct bytes sentence)
{
    struct running *r = context;
    tests_keep_text(r, &r->wrong, sentence);
}

/* Notes the errors of the file. */
static enum err
read_rule_file(struct running *r, const char *path, struct why *why)
{
    const struct rule_file_options reading = {
        .ignore_unknown_fields = r->options->ignore_unknown_fields,
        .report = note_wrong,
        .context = r,
    };
    struct rule_groups groups = {NULL};
    struct buf text;
    uint32_t wrong = r->wrong.count;
    enum err e = config_read(path, RULE_FILE_BYTES_MAX, &text, why);
    if (e == OK) e = rule_file_parse(path, buf_bytes(&text), &reading, &r->arena, &groups, why);
    buf_fini(&text);
    for (uint32_t i = 0; e == OK && i < groups.count; i++) {
        const struct rule_group **items =
            arena_push(&r->arena, r->groups, r->group_count, sizeof(const struct rule_group *));
        if (items == NULL) return why_set(why, ERR_NOMEM, "%s: not enough memory", path);
        r->groups = items;
        items[r->group_count++] = &groups.items[i];
    }
    if (e == ERR_NOMEM) return why_set(why, e, "%s: not enough memory", path);
    if (e && r->wrong.count == wrong) note_wrong(r, bytes_of_text(why_text(why, e)));
    return OK;
}

/* A group, its position in group_eval_order, and in the files. */
struct placed_group {
    const struct rule_group *group;
    uint32_t place, number;
};

static uint32_t
place_in_order(const struct running *r, const struct rule_group *group)
{
    const struct text_list *order = &r->tests.group_eval_order;
    uint32_t place = 0;
    while (place < order->count && strcmp(order->items[place], group->name) != 0)
        place++;
    return place < order->count ? place : 0; /* others are first, as in promtool */
}

static int
compare_places(const void *a, const void *b)
{
    const struct placed_group *x = a, *y = b;
    if (x->place != y->place) return x->place < y->place ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

static enum err
sort_groups(struct running *r, struct why *why)
{
    struct placed_group *placed = arena_alloc(&r->arena, (r->group_count + 1) * sizeof *placed);
    if (placed == NULL) return why_set(why, ERR_NOMEM, "%s: not enough memory", r->path);
    for (uint32_t i = 0; i < r->group_count; i++)
        placed[i] = (struct placed_group){r->groups[i], place_in_order(r, r->groups[i]), i};
    if (r->group_count > 1) qsort(placed, r->group_count, sizeof *placed, compare_places);
    for (uint32_t i = 0; i < r->group_count; i++)
        r->groups[i] = placed[i].group;
    return OK;
}

static enum err
read_rule_files(struct running *r, struct why *why)
{
    struct text_list paths = {NULL};
    enum err e = rule_tests_find_files(r->env, r->path, &r->tests.rule_files, &r->arena,
                                       warn_unmatched, NULL, &paths, why);
    for (uint32_t i = 0; e == OK && i < paths.count; i++)
        e = read_rule_file(r, paths.items[i], why);
    return e ? e : sort_groups(r, why);
}

/* --- tests ------------------------------------------------------------------------------------ */

static enum err
run_tests(struct running *r, struct why *why)
{
    struct buf text;
    enum err e = config_read(r->path, RULE_TESTS_BYTES_MAX, &text, why);
    if (e == OK) e = rule_tests_parse(r->path, buf_bytes(&text), &r->arena, &r->tests, why);
    buf_fini(&text);
    if (e == OK) e = read_rule_files(r, why);
    const struct rule_unit_options options = {
        .env = r->env,
        .memory = &r->memory,
        .file = r->path,
        .evaluation_interval_ms = r->tests.evaluation_interval_ms,
        .fuzzy_compare = r->tests.fuzzy_compare,
        .groups = r->groups,
        .group_count = r->group_count,
        .wrong = r->wrong,
        .features = r->features,
        .fail = take_failure,
        .warn = print_warning,
        .context = r,
    };
    for (uint32_t i = 0; e == OK && i < r->tests.tests.count; i++) {
        const struct rule_test *test = &r->tests.tests.items[i];
        if (r->names != NULL && !searcher_finds(r->names, bytes_of_text(test->name))) continue;
        e = rule_unit_run(&options, test, why);
    }
    return e;
}

/* Returns true if all tests passed. */
static bool
run_file(struct running *r, const char *path)
{
    struct why why = {""};
    arena_init(&r->arena, &r->memory, FILE_BYTES_MAX, 0);
    r->path = path;
    r->tests = (struct rule_tests){.evaluation_interval_ms = 0};
    r->groups = NULL;
    r->group_count = 0;
    r->wrong = r->failures = (struct text_list){NULL};
    r->lacks_memory = false;
    printf("Unit Testing:  %s\n", path);
    enum err e = run_tests(r, &why);
    if (e == OK && r->lacks_memory)
        e = why_set(&why, ERR_NOMEM, "%s: not enough memory for all failures", path);
    if (e) tests_keep_text(r, &r->failures, bytes_of_text(why_text(&why, e)));
    bool passed = e == OK && r->failures.count == 0;
    if (passed)
        printf("  SUCCESS\n");
    else {
        /* Failures go to stderr, and the empty lines after them to stdout, as with promtool. */
        fflush(stdout);
        fprintf(stderr, "  FAILED:\n");
        for (uint32_t i = 0; i < r->failures.count; i++) {
            fprintf(stderr, "%s\n", r->failures.items[i]);
            printf("\n");
            fflush(stdout);
        }
    }
    printf("\n");
    arena_fini(&r->arena);
    return passed;
}

/* --- the command ------------------------------------------------------------------------------ */

/* Joins the regexes into one that matches if any of them does. */
static enum err
begin_names(const struct flag_texts *run, struct searcher **ret, struct why *why)
{
    struct buf regex;
    if (run->count == 0) return OK;
    buf_init(&regex, NULL, 1 << 20);
    for (uint32_t i = 0; i < run->count; i++) {
        if (i > 0) buf_put_u8(&regex, '|');
        buf_put_text(&regex, run->at[i]);
    }
    enum err e = buf_error(&regex);
    if (e == OK) e = searcher_new(buf_bytes(&regex), NULL, ret, why);
    buf_fini(&regex);
    return why_prefix(why, e, "--run");
}

static enum err
begin_features(const char *list, struct promql_features *ret, struct why *why)
{
    struct settings settings;
    char name[] = "--query.features", value[256];
    char *words[] = {name, value};
    settings_default(&settings);
    if ((size_t)snprintf(value, sizeof value, "%s", list) >= sizeof value)
        return why_set(why, ERR_INPUT, "--query.features: too long");
    enum err e = settings_flags(&settings, 2, words, why);
    if (e == OK) *ret = promql_features_of(settings.query_features);
    return e;
}

static int
test_rules(int argc, char **argv)
{
    struct test_rules_options options = {.run = {.count = 0}};
    struct running r = {.options = &options, .env = env_real()};
    struct why why = {""};
    int count = 0, code = EXIT_DONE;
    enum err e = flags_parse(test_rules_flags, &options, argc - 1, argv + 1, &count, &why);
    if (e == OK && count < 1) e = why_set(&why, ERR_INPUT, "missing FILE");
    if (e == OK) e = begin_names(&options.run, &r.names, &why);
    if (e == OK && options.features != NULL)
        e = begin_features(options.features, &r.features, &why);
    if (e) {
        searcher_free(r.names);
        return cli_usage_error("test", "rules: %s", why_text(&why, e));
    }
    log_to_fd(-1); /* failing rules are reported as failures of tests */
    budget_init(&r.memory, "test", memory_bytes_max, NULL);
    for (int i = 1; i <= count; i++)
        if (!run_file(&r, argv[i])) code = EXIT_FAILED;
    searcher_free(r.names);
    return code;
}

static int
run_test_command(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "rules") == 0) return test_rules(argc - 1, argv + 1);
    if (argc < 2) return cli_usage_error("test", "expected 'rules'");
    return cli_usage_error("test", "expected 'rules', got '%.64s'", argv[1]);
}

const struct command command_test = {
    "test",           "rules [flags] FILE...", "run unit tests of rules",
    run_test_command, test_rules_flags,        test_rules_notes};
