/*
 * check_rules.c - `firekeep check rules FILE...`: reports all errors in rule files, and duplicate
 * rules, in promtool's words.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text/quote.h"
#include "cli/cli.h"
#include "cli/rules/rules.h"
#include "config/config.h"
#include "rules/load/rule_files.h"

/* Memory for the groups of one file: far more than one of RULE_FILE_BYTES_MAX usually needs. */
enum { GROUPS_BYTES_MAX = 512 << 20, LINE_BYTES_MAX = 16384 };

enum lint { LINT_ALL, LINT_DUPLICATES, LINT_NONE };

struct check_rules_options {
    int lint;
    bool lint_fatal;
    bool ignore_unknown_fields;
};

static const char *const lints[] = {"all", "duplicate-rules", "none", NULL};

const struct flag check_rules_flags[] = {
    {"lint", 0, FLAG_CHOICE, offsetof(struct check_rules_options, lint), "all|duplicate-rules|none",
     "what is reported of valid files (default duplicate-rules)", lints},
    {"lint-fatal", 0, FLAG_SWITCH, offsetof(struct check_rules_options, lint_fatal), NULL,
     "exit with status 3 if there are duplicate rules"},
    {"ignore-unknown-fields", 0, FLAG_SWITCH,
     offsetof(struct check_rules_options, ignore_unknown_fields), NULL,
     "accept fields that rule files do not have"},
    REMOVED_FLAG("against", "POST /api/v1/status/config/check, on the page at /config, lists the "
                            "rule files that a configuration file changes"),
    {0},
};

/* --- duplicate rules -------------------------------------------------------------------------- */

struct found_rule {
    const struct rule_group *group;
    const struct rule *rule;
};

/* The labels of a rule by name, with those of its group that it does not override. */
struct label_walk {
    struct named_texts own, of_group;
};

static struct label_walk
rule_labels(const struct found_rule *found)
{
    return (struct label_walk){found->rule->labels, found->group->labels};
}

static const struct named_text *
pop_label(struct named_texts *texts)
{
    texts->count--;
    return texts->items++;
}

/* Returns the next label, or NULL. */
static const struct named_text *
next_label(struct label_walk *w)
{
    if (w->own.count == 0) return w->of_group.count == 0 ? NULL : pop_label(&w->of_group);
    int order = w->of_group.count == 0 ? -1 : strcmp(w->own.items->name, w->of_group.items->name);
    if (order > 0) return pop_label(&w->of_group);
    if (order == 0) pop_label(&w->of_group);
    return pop_label(&w->own);
}

/* Compares names, then labels. */
static int
compare_rules(const struct found_rule *a, const struct found_rule *b)
{
    int order = strcmp(a->rule->name, b->rule->name);
    struct label_walk x = rule_labels(a), y = rule_labels(b);
    while (order == 0) {
        const struct named_text *p = next_label(&x), *q = next_label(&y);
        if (p == NULL || q == NULL) return (p != NULL) - (q != NULL);
        order = strcmp(p->name, q->name);
        if (order == 0) order = strcmp(p->value, q->value);
    }
    return order;
}

/* Compares in the same way; equal rules are ordered by their places in the file. */
static int
compare_found(const void *a, const void *b)
{
    const struct rule *x = ((const struct found_rule *)a)->rule;
    const struct rule *y = ((const struct found_rule *)b)->rule;
    int order = compare_rules(a, b);
    if (order != 0) return order;
    if (x->line != y->line) return x->line < y->line ? -1 : 1;
    return (x->column > y->column) - (x->column < y->column);
}

/* "    rules.yml:7:5: duplicate of the rule on line 4: a:b{job="x"}" */
static void
print_duplicate(const char *path, const struct found_rule *first, const struct found_rule *second)
{
    struct label_walk labels = rule_labels(first);
    struct buf line;
    const char *separator = "";
    buf_init(&line, NULL, LINE_BYTES_MAX);
    buf_put_shown(&line, utf8_cut(bytes_of_text(first->rule->name), LINE_BYTES_MAX / 16));
    buf_put_u8(&line, '{');
    for (const struct named_text *label; (label = next_label(&labels)) != NULL; separator = ", ") {
        buf_put_text(&line, separator);
        buf_put_shown(&line, bytes_of_text(label->name));
        buf_put_u8(&line, '=');
        quote_text(&line, bytes_of_text(label->value));
    }
    buf_put_u8(&line, '}');
    fprintf(stderr, "    %s:%u:%u: duplicate of the rule on line %u: %.*s%s\n", path,
            second->rule->line, second->rule->column, first->rule->line, (int)line.size,
            (const char *)line.at, buf_error(&line) ? "..." : "");
    buf_fini(&line);
}

/* Returns the number of rules with duplicates; prints the second of each if `print` is set. */
static uint32_t
find_duplicates(const char *path, const struct found_rule *rules, uint32_t count, bool print)
{
    uint32_t duplicates = 0;
    for (uint32_t first = 0, i = 1; i < count; i++) {
        if (compare_rules(&rules[first], &rules[i]) != 0) {
            first = i;
        } else if (i == first + 1) {
            duplicates++;
            if (print) print_duplicate(path, &rules[first], &rules[i]);
        }
    }
    return duplicates;
}

/* --- files ------------------------------------------------------------------------------------ */

static void
failed(const char *about)
{
    fflush(stdout);
    fprintf(stderr, "  FAILED:%s\n", about);
}

static void
print_sentence(void *context, struct bytes sentence)
{
    bool *reported = context;
    if (!*reported) failed("");
    *reported = true;
    fprintf(stderr, "    %.*s\n", (int)sentence.size, (const char *)sentence.at);
}

static int
print_found(const char *path, const struct rule_groups *groups,
            const struct check_rules_options *options)
{
    uint32_t count = 0, filled = 0, duplicates = 0;
    for (uint32_t i = 0; i < groups->count; i++)
        count += groups->items[i].rule_count;
    if (options->lint != LINT_NONE && count > 0) {
        struct found_rule *rules = arena_alloc(groups->arena, count * sizeof *rules);
        if (rules == NULL) {
            failed(" not enough memory");
            return EXIT_FAILED;
        }
        for (uint32_t i = 0; i < groups->count; i++) {
            const struct rule_group *group = &groups->items[i];
            for (uint32_t k = 0; k < group->rule_count; k++)
                rules[filled++] = (struct found_rule){group, &group->rules[k]};
        }
        qsort(rules, count, sizeof *rules, compare_found);
        duplicates = find_duplicates(path, rules, count, false);
        if (duplicates > 0) {
            fflush(stdout);
            fprintf(stderr, "  FAILED: %u duplicate rule(s) found\n", duplicates);
            find_duplicates(path, rules, count, true);
        }
    }
    if (duplicates == 0) printf("  SUCCESS: %u rules found\n", count);
    return duplicates > 0 && options->lint_fatal ? EXIT_LINT : EXIT_DONE;
}

/* Checks one file; "-" is standard input. */
static int
check_rules_file(const char *file, const struct check_rules_options *options)
{
    bool is_stdin = strcmp(file, "-") == 0;
    const char *path = is_stdin ? "standard input" : file;
    bool reported = false;
    const struct rule_file_options reading = {
        .ignore_unknown_fields = options->ignore_unknown_fields,
        .report = print_sentence,
        .context = &reported,
        .shows_place = true,
    };
    struct rule_groups groups = {NULL};
    struct why why = {""};
    struct arena arena;
    struct buf text;
    int code = EXIT_FAILED;
    printf("Checking %s\n", path);
    arena_init(&arena, NULL, GROUPS_BYTES_MAX, 0);
    enum err e = is_stdin ? config_read_from(STDIN_FILENO, path, RULE_FILE_BYTES_MAX, &text, &why)
                          : config_read(path, RULE_FILE_BYTES_MAX, &text, &why);
    if (e == OK) e = rule_file_parse(path, buf_bytes(&text), &reading, &arena, &groups, &why);
    buf_fini(&text);
    if (e == OK)
        code = print_found(path, &groups, options);
    else if (e != ERR_INPUT || !reported)
        print_sentence(&reported, bytes_of_text(why_text(&why, e)));
    arena_fini(&arena);
    printf("\n");
    return code;
}

int
check_rules(int argc, char **argv)
{
    struct check_rules_options options = {.lint = LINT_DUPLICATES};
    struct why why = {""};
    int count = 0, code = EXIT_DONE;
    enum err e = flags_parse(check_rules_flags, &options, argc - 1, argv + 1, &count, &why);
    if (e) return cli_usage_error("check", "rules: %s", why.text);
    /* Reads standard input, as promtool does, but not from a terminal, where the command would
     * wait without a visible reason. */
    if (count < 1 && !isatty(STDIN_FILENO)) return check_rules_file("-", &options);
    if (count < 1) {
        return cli_usage_error(
            "check", "rules: missing FILE; for a configuration file of that name, use ./rules");
    }
    for (int i = 1; i <= count; i++) {
        int one = check_rules_file(argv[i], &options);
        if (code == EXIT_DONE || one == EXIT_FAILED) code = one;
    }
    return code;
}
