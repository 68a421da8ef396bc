/*
 * rules.c - `firekeep rules list|replay`: shows the rules of a server and their state, and
 * evaluates recording rules over the past.
 */
#include "cli/rules/rules.h"

#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cli/cli.h"
#include "sys/env.h"

/* `firekeep rules list`: prints a server's answer at /api/v1/rules as a table. */

enum { RULES_RULES_ANSWER_BYTES_MAX = 256 << 20 };

static const char *
json_text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

static void
put_groups(struct report *report, json_t *groups, const struct rules_command *a)
{
    json_t *group, *rule;
    size_t i, k;
    report_table(report, "rules", NULL,
                 "file=File|group=Group|rule=Rule|type=Type|health=Health|state=State|"
                 "lastEvaluation=Last evaluation|evaluationMs=ms|lastError=Error");
    json_array_foreach(groups, i, group)
    {
        if (!rules_is_wanted(a, json_text_of(group, "file"), json_text_of(group, "name"))) continue;
        json_array_foreach(json_object_get(group, "rules"), k, rule)
        {
            bool alerts = strcmp(json_text_of(rule, "type"), "alerting") == 0;
            struct report_value last = value_json(rule, "lastEvaluation", VALUE_TIME);
            double seconds = json_number_value(json_object_get(rule, "evaluationTime"));
            report_row(report, value_json(group, "file", VALUE_TEXT),
                       value_json(group, "name", VALUE_TEXT), value_json(rule, "name", VALUE_TEXT),
                       value_json(rule, "type", VALUE_TEXT), value_json(rule, "health", VALUE_TEXT),
                       alerts ? value_json(rule, "state", VALUE_TEXT) : value_none(),
                       (int64_t)last.count > 0 ? last : value_none(), /* of the year 1: never */
                       value_count((uint64_t)llround(seconds * 1000)),
                       value_json(rule, "lastError", VALUE_TEXT));
        }
    }
    report_table_end(report, 0);
}

static bool
lists_called(void *context, const char *wanted)
{
    json_t *groups = context, *group;
    size_t i;
    json_array_foreach(groups, i, group)
    {
        if (rules_is_called(wanted, json_text_of(group, "file"), json_text_of(group, "name")))
            return true;
    }
    return false;
}

static enum err
print_list(const struct rules_command *a, const char *name, json_t *groups, struct why *why)
{
    struct report *report = NULL;
    enum err e = rules_check_wanted(a, lists_called, groups, why);
    if (e) return e;
    e = report_new(a->form, stdout, NULL, &report, why);
    if (e) return e;
    if (a->form != REPORT_JSON && json_array_size(groups) == 0) {
        fprintf(stderr, "%s evaluates no rules%s%s\n", name,
                a->target.tenant == NULL ? "" : " of tenant ",
                a->target.tenant == NULL ? "" : a->target.tenant);
    }
    put_groups(report, groups, a);
    e = report_end(report, why);
    report_free(report);
    return e;
}

static MUST_CHECK enum err
rules_list(struct rules_command *a, struct target *target, struct why *why)
{
    struct buf text;
    unsigned status = 0;
    buf_init(&text, &a->memory, RULES_RULES_ANSWER_BYTES_MAX);
    enum err e = target_fetch(target, "/api/v1/rules?exclude_alerts=true", &text, &status, why);
    json_t *answer = NULL;
    if (e == OK) answer = json_loadb((const char *)text.at, text.size, 0, NULL);
    json_t *groups = json_object_get(json_object_get(answer, "data"), "groups");
    if (e == OK && status / 100 != 2) {
        e = ERR_UNSUPPORTED;
    } else if (e == OK && !json_is_array(groups)) {
        e = why_set(why, ERR_UNSUPPORTED, "%s/api/v1/rules: not the answer of a Prometheus",
                    target->name);
    }
    if (e == OK) e = print_list(a, target->name, groups, why);
    json_decref(answer);
    buf_fini(&text);
    return e;
}

#define MEMORY_BYTES_MAX ((uint64_t)2 << 30)
#define SLICE_NS         (6 * 3600 * NS_PER_S)
#define RETRY_NS         (300 * NS_PER_S)
enum { CONCURRENCY = 4, CONCURRENCY_MAX = 64 };

static const struct flag flags[] = {
    TARGET_FLAGS(struct rules_command, target,
                 "replay: configuration file of the server, with its rule files"),
    {"group", 0, FLAG_TEXTS, offsetof(struct rules_command, groups), "NAME",
     "only groups of this name, or the one of FILE;NAME; can be repeated"},
    {"format", 0, FLAG_CHOICE, offsetof(struct rules_command, form), "FORM",
     "list: text or json (default text)", report_forms},
    {"start", 0, FLAG_TIME, offsetof(struct rules_command, start), "TIME",
     "replay: start time: RFC 3339, Unix seconds, now or now-1d; required"},
    {"end", 0, FLAG_TIME, offsetof(struct rules_command, end), "TIME",
     "replay: end time, inclusive; required"},
    {"overwrite", 0, FLAG_SWITCH, offsetof(struct rules_command, overwrite), NULL,
     "replay: replace what these rules recorded in that time"},
    {"allow-approximate", 0, FLAG_SWITCH, offsetof(struct rules_command, allow_approximate), NULL,
     "replay: also record results that downsampling makes approximate"},
    {"slice", 0, FLAG_DURATION, offsetof(struct rules_command, slice_ns), "TIME",
     "replay: evaluate this much time at once (default 6h)"},
    {"concurrency", 0, FLAG_COUNT, offsetof(struct rules_command, concurrency), "N",
     "replay: number of groups evaluated at once (default 4)"},
    {"resume", 0, FLAG_TEXT, offsetof(struct rules_command, resume), "FILE",
     "replay: keeps the progress; the same command continues there"},
    {"retry", 0, FLAG_DURATION, offsetof(struct rules_command, target.retry_ns), "TIME",
     "how long to retry when the server is not available (default: replay 5m, list 0s)"},
    {0},
};

static const char notes[] =
    "\nlist    print the rules that a server evaluates, with state and last error\n"
    "replay  evaluate recording rules at their times from --start to --end, and write the "
    "results.\n"
    "        The rules are those of the files given, or of the configuration file, and those that\n"
    "        the ruler API stores. What is stored is not changed: equal results are not written\n"
    "        again, different ones are printed and counted. So the same command continues after\n"
    "        an interruption. Alerts are not evaluated.\n"
    "\nOf a running server, rules are evaluated in this process, on samples read by remote read;\n"
    "where these are downsampled, the server evaluates them. Results go there by remote write.\n"
    "--overwrite requires its admin API.\n"
    "\nExit status: 0 done; 1 a rule failed, a result differs from what is stored or was\n"
    "refused, or something could not be read or written; 2 wrong usage.\n";

/* --- --group ---------------------------------------------------------------------------------- */

bool
rules_is_called(const char *wanted, const char *file, const char *name)
{
    size_t size = strlen(file);
    if (strcmp(wanted, name) == 0) return true;
    return strncmp(wanted, file, size) == 0 && wanted[size] == ';' &&
           strcmp(wanted + size + 1, name) == 0;
}

bool
rules_is_wanted(const struct rules_command *a, const char *file, const char *name)
{
    for (uint32_t i = 0; i < a->groups.count; i++) {
        if (rules_is_called(a->groups.at[i], file, name)) return true;
    }
    return a->groups.count == 0;
}

enum err
rules_check_wanted(const struct rules_command *a, bool (*has)(void *context, const char *wanted),
                   void *context, struct why *why)
{
    for (uint32_t i = 0; i < a->groups.count; i++) {
        if (has(context, a->groups.at[i])) continue;
        return why_set(why, ERR_INPUT, "--group: group '%.128s' not found", a->groups.at[i]);
    }
    return OK;
}

/* --- flags ------------------------------------------------------------------------------------ */

static enum err
settle_replay(struct rules_command *a, struct why *why)
{
    if (a->form >= 0) return why_set(why, ERR_INPUT, "--format is only valid with list");
    if (a->target.url != NULL && a->target.storage != NULL) {
        return why_set(why, ERR_INPUT, "--url and --storage.path cannot be used together");
    }
    if (a->start.word == NULL || a->end.word == NULL) {
        return why_set(why, ERR_INPUT, "--start and --end are required");
    }
    if (a->start.ms < 0) return why_set(why, ERR_INPUT, "--start is before 1970");
    if (a->start.ms > a->end.ms) return why_set(why, ERR_INPUT, "--start is later than --end");
    /* A server would record different results when the time comes. */
    if (a->end.ms > env_realtime_ms(env_real())) {
        return why_set(why, ERR_INPUT, "--end is in the future");
    }
    if (a->overwrite && a->file_count > 0) {
        return why_set(why, ERR_INPUT,
                       "--overwrite requires --config.file instead of files: what other groups "
                       "record under the same names is deleted, too");
    }
    if (a->slice_ns == 0) a->slice_ns = SLICE_NS;
    if (a->slice_ns < NS_PER_S) return why_set(why, ERR_INPUT, "--slice must be at least 1s");
    if (a->concurrency == 0) a->concurrency = CONCURRENCY;
    if (a->concurrency > CONCURRENCY_MAX) {
        return why_set(why, ERR_INPUT, "--concurrency must be at most %d", CONCURRENCY_MAX);
    }
    return OK;
}

static enum err
rules_check_flags(struct rules_command *a, int count, char **words, bool *ret_replays,
                  struct why *why)
{
    const char *verb = count > 0 ? words[0] : "";
    *ret_replays = strcmp(verb, "replay") == 0;
    if (!*ret_replays && strcmp(verb, "list") != 0) {
        return why_set(why, ERR_INPUT, "expected list or replay");
    }
    a->files = words + 1;
    a->file_count = (uint32_t)count - 1;
    a->config_file = a->target.config_file;
    enum err e = target_settle(&a->target, why);
    if (e) return e;
    if (a->target.url != NULL) a->target.config_file = NULL;
    a->target.writing = a->target.existing = *ret_replays;
    if (a->target.retry_ns < 0) a->target.retry_ns = *ret_replays ? RETRY_NS : 0;
    if (*ret_replays) return settle_replay(a, why);
    if (a->file_count > 0) return why_set(why, ERR_INPUT, "list takes no files");
    if (a->config_file == NULL && a->target.storage == NULL && a->start.word == NULL &&
        a->end.word == NULL && !a->overwrite && !a->allow_approximate && a->slice_ns == 0 &&
        a->concurrency == 0 && a->resume == NULL)
        return OK;
    return why_set(why, ERR_INPUT,
                   "list takes --url, --http.config.file, --tenant, --group, --format and --retry "
                   "only");
}

static int
run_rules(int argc, char **argv)
{
    struct rules_command a = {.form = -1, .target.retry_ns = -1};
    struct target *target = NULL;
    struct why why = {""};
    int count = 0;
    bool replays = false, well = true;
    log_configure(LOG_ERROR, LOG_LOGFMT);
    budget_init(&a.memory, "rules", MEMORY_BYTES_MAX, NULL);
    enum err e = flags_parse(flags, &a, argc - 1, argv + 1, &count, &why);
    if (e == OK) e = rules_check_flags(&a, count, argv + 1, &replays, &why);
    if (e) return cli_usage_error("rules", "%s", why.text);
    progress_begin(&a.progress, "evaluations");
    a.stop = interrupt_watch();
    if (!replays) signal(SIGPIPE, SIG_DFL); /* ends quietly after `| head` */
    a.target.stop = a.stop;
    a.target.progress = &a.progress;
    e = target_open(&a.target, &target, &why);
    if (e == OK) e = replays ? rules_replay(&a, target, &well, &why) : rules_list(&a, target, &why);
    target_free(target);
    progress_clear(&a.progress);
    if (e == OK) return well ? EXIT_DONE : EXIT_FAILED;
    return cli_failed("rules", e, &why);
}

const struct command command_rules = {"rules",
                                      "list|replay [flags] [FILE...]",
                                      "list rules, or evaluate recording rules over the past",
                                      run_rules,
                                      flags,
                                      notes};
