/*
 * rules.c - `firekeep rules list|replay`: shows the rules of a server and their state, and collects
 * the rules to replay over the past: from files, and those stored through the ruler API.
 */

#include "cli/rules/rules.h"

#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/log.h"
#include "base/text/hex.h"
#include "cli/cli.h"
#include "config/lists/lists.h"
#include "model/select.h"
#include "model/selector.h"
#include "model/storage_layout.h"
#include "rules/group/group.h"
#include "rules/load/rule_files.h"
#include "rules/schedule/checkpoint.h"
#include "rules/stored/stored_file.h"
#include "sys/env.h"

#define MEMORY_BYTES_MAX ((uint64_t)2 << 30)
#define SLICE_NS         (6 * 3600 * NS_PER_S)
#define RETRY_NS         (300 * NS_PER_S)
enum { CONCURRENCY = 4, CONCURRENCY_MAX = 64 };
#define ARENA_BYTES_MAX ((uint64_t)512 << 20)
enum { ANSWER_BYTES_MAX = 256 << 20, PATH_BYTES = 4096 };

/* --- --group ---------------------------------------------------------------------------------- */

/* Returns true if the value of a --group names this group. */
static bool
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
    for (uint32_t i = 0; i < a->groups.count; i++)
        if (rules_is_called(a->groups.at[i], file, name)) return true;
    return a->groups.count == 0;
}

/* ERR_INPUT: a --group names no group; `has` returns true if a group matches it. */
static enum err
rules_check_wanted(const struct rules_command *a, bool (*has)(void *context, const char *wanted),
                   void *context, struct why *why)
{
    for (uint32_t i = 0; i < a->groups.count; i++) {
        if (has(context, a->groups.at[i])) continue;
        return why_set(why, ERR_INPUT, "--group: group '%.128s' not found", a->groups.at[i]);
    }
    return OK;
}

/* --- list ------------------------------------------------------------------------------------- */

/* `firekeep rules list`: prints a server's answer at /api/v1/rules as a table. */

static const char *
json_text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
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
    e = report_end(report, why);
    report_free(report);
    return e;
}

/* Fetches the rules of a server. `ret_groups` lives as long as `ret_answer`, for json_decref();
 * both are NULL unless the status is 2xx. */
static enum err
fetch_rules(struct budget *memory, struct target *target, const char *path, json_t **ret_answer,
            json_t **ret_groups, unsigned *ret_status, struct why *why)
{
    struct buf text;
    buf_init(&text, memory, ANSWER_BYTES_MAX);
    enum err e = target_fetch(target, path, &text, ret_status, why);
    bool is_fine = e == OK && *ret_status / 100 == 2;
    *ret_answer = is_fine ? json_loadb((const char *)text.at, text.size, 0, NULL) : NULL;
    *ret_groups = json_object_get(json_object_get(*ret_answer, "data"), "groups");
    buf_fini(&text);
    if (!is_fine || json_is_array(*ret_groups)) return e;
    return why_set(why, ERR_UNSUPPORTED, "%s/api/v1/rules: not the answer of a Prometheus",
                   target->name);
}

static MUST_CHECK enum err
rules_list(struct rules_command *a, struct target *target, struct why *why)
{
    unsigned status = 0;
    json_t *answer, *groups;
    enum err e = fetch_rules(&a->memory, target, "/api/v1/rules?exclude_alerts=true", &answer,
                             &groups, &status, why);
    if (e == OK && status / 100 != 2) e = ERR_UNSUPPORTED;
    if (e == OK) e = print_list(a, target->name, groups, why);
    json_decref(answer);
    return e;
}

/* --- flags ------------------------------------------------------------------------------------ */

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

static enum err
settle_replay(struct rules_command *a, struct why *why)
{
    if (a->form >= 0) return why_set(why, ERR_INPUT, "--format is only valid with list");
    if (a->target.url != NULL && a->target.storage != NULL)
        return why_set(why, ERR_INPUT, "--url and --storage.path cannot be used together");
    if (a->start.word == NULL || a->end.word == NULL)
        return why_set(why, ERR_INPUT, "--start and --end are required");
    if (a->start.ms < 0) return why_set(why, ERR_INPUT, "--start is before 1970");
    if (a->start.ms > a->end.ms) return why_set(why, ERR_INPUT, "--start is later than --end");
    /* A server would record different results when the time comes. */
    if (a->end.ms > env_realtime_ms(env_real()))
        return why_set(why, ERR_INPUT, "--end is in the future");
    if (a->overwrite && a->file_count > 0) {
        return why_set(why, ERR_INPUT,
                       "--overwrite requires --config.file instead of files: what other groups "
                       "record under the same names is deleted, too");
    }
    if (a->slice_ns == 0) a->slice_ns = SLICE_NS;
    if (a->slice_ns < NS_PER_S) return why_set(why, ERR_INPUT, "--slice must be at least 1s");
    if (a->concurrency == 0) a->concurrency = CONCURRENCY;
    if (a->concurrency > CONCURRENCY_MAX)
        return why_set(why, ERR_INPUT, "--concurrency must be at most %d", CONCURRENCY_MAX);
    return OK;
}

static enum err
rules_check_flags(struct rules_command *a, int count, char **words, bool *ret_replays,
                  struct why *why)
{
    const char *verb = count > 0 ? words[0] : "";
    *ret_replays = strcmp(verb, "replay") == 0;
    if (!*ret_replays && strcmp(verb, "list") != 0)
        return why_set(why, ERR_INPUT, "expected list or replay");
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

/* --- rules to replay -------------------------------------------------------------------------- */

static enum err
found_no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for rules");
}

/* Files come first: if both have a group of the same name, theirs is evaluated. */
static bool
has_group(const struct found_rules *f, const char *file, const char *name)
{
    for (uint32_t i = 0; i < f->count; i++)
        if (strcmp(f->items[i].file, file) == 0 && strcmp(f->items[i].name, name) == 0) return true;
    return false;
}

static enum err
add_group(struct found_rules *f, const struct rule_group *g, struct why *why)
{
    if (!array_reserve(f->memory, &f->items, &f->capacity, f->count + 1))
        return found_no_memory(why);
    f->items[f->count++] = *g;
    return OK;
}

/* --- files ------------------------------------------------------------------------------------ */

static void
print_wrong(void *context, struct bytes sentence)
{
    (void)context;
    fprintf(stderr, "%.*s\n", (int)sentence.size, (const char *)sentence.at);
}

/* Files of the command line replace those of the configuration. */
static enum err
read_files(const struct rules_command *a, struct found_rules *f, struct why *why)
{
    struct rule_set_options options = {
        .env = env_real(), .budget = f->memory, .report = print_wrong};
    struct tenant_rules tenant = {.tenant = ""};
    struct rule_settings given = {.tenants = &tenant, .tenant_count = 1};
    const char **names = arena_alloc(&f->arena, (a->file_count + 1) * sizeof *names);
    if (names == NULL) return found_no_memory(why);
    for (uint32_t i = 0; i < a->file_count; i++)
        names[i] = a->files[i];
    tenant.files = (struct text_list){names, a->file_count};
    bool from_words = a->file_count > 0;
    enum err e = rule_set_read(from_words ? &given : &f->lists.rules, &options, &f->set, why);
    if (e == ERR_INPUT) why_set(why, e, "the rules are not valid");
    if (e == OK && from_words && f->set.unmatched_count > 0)
        e = why_set(why, ERR_MISSING, "%s: no such file", f->set.unmatched[0].pattern);
    return e;
}

/* --- stored through the ruler API ------------------------------------------------------------- */

static enum err
add_stored(struct found_rules *f, struct bytes namespace, struct bytes text, struct why *why)
{
    const struct rule_file_options options = {.report = NULL};
    struct rule_group group;
    char *file = arena_new(&f->arena, namespace.size + 1);
    if (file == NULL) return found_no_memory(why);
    memcpy(file, namespace.at, namespace.size);
    enum err e = rule_group_parse(file, text, &options, &f->arena, &group, why);
    if (e) return e;
    group.file = file; /* the namespace of a stored group is its file */
    return has_group(f, file, group.name) ? OK : add_group(f, &group, why);
}

/* Adds the stored groups of a directory from its file. */
static enum err
add_stored_in_directory(const struct rules_command *a, struct target *target, struct found_rules *f,
                        struct why *why)
{
    char dir[FILE_PATH_BYTES], tenant[TENANT_NAME_BYTES_MAX + 1];
    struct bytes name = target_tenant(target);
    struct stored_texts texts = {NULL, 0};
    struct buf file;
    snprintf(tenant, sizeof tenant, "%.*s", (int)name.size, (const char *)name.at);
    int size = snprintf(dir, sizeof dir, "%s/" STORAGE_RULES, a->target.storage);
    if (size >= (int)sizeof dir) return why_set(why, ERR_INPUT, "--storage.path: path is too long");
    buf_init(&file, f->memory, STORED_FILE_BYTES_MAX);
    enum err e = stored_read(env_real(), dir, tenant, &file, why);
    bool is_there = e != ERR_MISSING;
    if (e == OK) e = stored_decode(buf_bytes(&file), name, &f->arena, &texts, why);
    if (e && is_there) why_prefix(why, e, "%.200s/%s.groups", dir, tenant);
    for (uint32_t i = 0; e == OK && i < texts.count; i++) {
        e = add_stored(f, texts.items[i].namespace, texts.items[i].text, why);
        if (e != ERR_INPUT) continue;
        fprintf(stderr, "warning: a stored group is not valid, and left out: %s\n", why->text);
        e = OK;
    }
    buf_fini(&file);
    return is_there ? e : OK;
}

/* Fetches a group of a server as YAML, through the ruler API. */
static enum err
add_stored_group(struct target *target, struct found_rules *f, const char *namespace,
                 const char *name, struct why *why)
{
    struct buf path, text;
    unsigned status = 0;
    buf_init(&path, f->memory, PATH_BYTES);
    buf_init(&text, f->memory, RULE_FILE_BYTES_MAX);
    buf_put_text(&path, "/prometheus/config/v1/rules/");
    buf_put_percent(&path, bytes_of_text(namespace), "");
    buf_put_text(&path, "/");
    buf_put_percent(&path, bytes_of_text(name), "");
    buf_put_u8(&path, '\0');
    enum err e = buf_error(&path) ? found_no_memory(why) : OK;
    if (e == OK) e = target_fetch(target, (const char *)path.at, &text, &status, why);
    if (e == OK && status / 100 == 2) {
        e = add_stored(f, bytes_of_text(namespace), buf_bytes(&text), why);
    } else if (e == OK) {
        e = why_set(
            why, ERR_INPUT,
            "the server evaluates the group '%.64s' of %.200s, which no rule file given here has: "
            "give the server's --config.file, or choose groups with --group; a stored group is "
            "fetched only if rules.api is set (status %u)",
            name, namespace, status);
    }
    buf_fini(&path);
    buf_fini(&text);
    return e;
}

static const char *
base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static bool
evaluates(json_t *groups, const char *file, const char *name)
{
    json_t *group;
    size_t i;
    json_array_foreach(groups, i, group)
    {
        const char *its_file = json_string_value(json_object_get(group, "file"));
        const char *its_name = json_string_value(json_object_get(group, "name"));
        if (its_file == NULL || its_name == NULL) continue;
        if (strcmp(its_file, file) == 0 && strcmp(its_name, name) == 0) return true;
    }
    return false;
}

static enum err
refuse_path(const struct rule_group *g, const char *file, size_t file_size, struct why *why)
{
    return why_set(why, ERR_INPUT,
                   "the server calls the file of group '%.64s' %.*s, not %.200s: the path decides "
                   "when rules are evaluated, use the same",
                   g->name, (int)(file_size < 200 ? file_size : 200), file, g->file);
}

/* Refuses a group of the server that differs from one of those found only by its path: the path
 * is part of a group's name, and decides its times. */
static enum err
check_path(const struct found_rules *f, json_t *groups, const char *file, const char *name,
           struct why *why)
{
    for (uint32_t i = 0; i < f->count; i++) {
        const struct rule_group *g = &f->items[i];
        bool alike = strcmp(g->name, name) == 0 &&
                     strcmp(base_name(g->file), base_name(file)) == 0 &&
                     !evaluates(groups, g->file, g->name);
        if (!alike) continue;
        return refuse_path(g, file, strlen(file), why);
    }
    return OK;
}

/* Adds the groups that a server evaluates and that are in no file. */
static enum err
add_stored_of_server(const struct rules_command *a, struct target *target, struct found_rules *f,
                     struct why *why)
{
    unsigned status = 0;
    uint32_t of_files = f->count;
    json_t *answer, *groups, *group;
    size_t i;
    enum err e = fetch_rules(f->memory, target, "/api/v1/rules?exclude_alerts=true&type=record",
                             &answer, &groups, &status, why);
    /* Servers other than Firekeep and Prometheus may have no rules. */
    bool has_none = status == 404 || status == 405 || status == 501;
    if (e == OK && status / 100 != 2 && !has_none) e = ERR_UNSUPPORTED;
    json_array_foreach(groups, i, group)
    {
        const char *file = json_string_value(json_object_get(group, "file"));
        const char *name = json_string_value(json_object_get(group, "name"));
        if (e || file == NULL || name == NULL || has_group(f, file, name)) continue;
        if (!rules_is_wanted(a, file, name)) continue;
        if (of_files > 0) e = check_path(f, groups, file, name, why);
        /* Files given by name replace stored groups. */
        if (e == OK && a->file_count == 0) e = add_stored_group(target, f, file, name, why);
    }
    json_decref(answer);
    return e;
}

/* --- names in a directory --------------------------------------------------------------------- */

/* Appends "FILE;NAME" of each group that the server of the directory evaluated, each ended by a
 * NUL. */
static enum err
put_known(struct target *target, struct buf *to, struct why *why)
{
    struct checkpoint_reader checkpoint;
    struct checkpoint_record r;
    bool is_wanted = false;
    enum err e = checkpoint_read(env_real(), target->name, to->budget, &checkpoint, why);
    if (e) return e == ERR_NOMEM ? e : OK; /* the check is optional */
    while (checkpoint_next(&checkpoint, &r)) {
        if (r.kind == CHECKPOINT_TENANT) {
            is_wanted = bytes_equal(r.tenant.name, target_tenant(target));
        } else if (r.kind == CHECKPOINT_GROUP && is_wanted) {
            buf_put_bytes(to, r.group.file);
            buf_put_u8(to, ';');
            buf_put_bytes(to, r.group.name);
            buf_put_u8(to, '\0');
        }
    }
    checkpoint_fini(&checkpoint);
    return buf_error(to);
}

/* Does the same as check_path() for a directory, which only shows the groups that its server
 * evaluated. */
static enum err
check_evaluated(const struct rule_group *g, struct bytes names, struct why *why)
{
    const char *at = (const char *)names.at, *end = at + names.size;
    const char *other = NULL;
    size_t other_size = 0;
    for (; at < end; at += strlen(at) + 1) {
        if (strchr(at, ';') == NULL) continue;
        if (strcmp(at, g->name) != 0 && rules_is_called(at, g->file, g->name)) return OK;
        size_t size = strlen(at), name_size = strlen(g->name);
        if (size <= name_size || at[size - name_size - 1] != ';') continue;
        if (strcmp(at + size - name_size, g->name) != 0) continue;
        char file[PATH_BYTES];
        snprintf(file, sizeof file, "%.*s", (int)(size - name_size - 1), at);
        if (strcmp(base_name(file), base_name(g->file)) != 0) continue;
        other = at;
        other_size = size - name_size - 1;
    }
    return other == NULL ? OK : refuse_path(g, other, other_size, why);
}

static enum err
check_paths_in_directory(const struct rules_command *a, struct target *target,
                         const struct found_rules *f, struct why *why)
{
    struct buf names;
    buf_init(&names, f->memory, ANSWER_BYTES_MAX);
    enum err e = put_known(target, &names, why);
    for (uint32_t i = 0; e == OK && i < f->count; i++) {
        const struct rule_group *g = &f->items[i];
        if (rules_is_wanted(a, g->file, g->name)) e = check_evaluated(g, buf_bytes(&names), why);
    }
    buf_fini(&names);
    return e;
}

/* --- rules of all kinds ----------------------------------------------------------------------- */

static bool
has_called(void *context, const char *wanted)
{
    const struct found_rules *f = context;
    for (uint32_t i = 0; i < f->count; i++)
        if (rules_is_called(wanted, f->items[i].file, f->items[i].name)) return true;
    return false;
}

enum err
rules_find(struct rules_command *a, struct target *target, struct found_rules *f, struct why *why)
{
    *f = (struct found_rules){.memory = &a->memory};
    arena_init(&f->arena, f->memory, ARENA_BYTES_MAX, 0);
    settings_default(&f->settings);
    enum err e = OK;
    if (a->config_file != NULL) e = check_file(a->config_file, &f->settings, &f->lists, why);
    /* Without tenancy, rules belong to one tenant. */
    const struct rule_settings *rules = &f->lists.rules;
    bool by_tenant = rules->tenant_count > 0 && rules->tenants[0].tenant[0] != '\0';
    if (e == OK && by_tenant && a->target.tenant == NULL && a->file_count == 0) {
        e = why_set(why, ERR_INPUT, "%s has rules of several tenants: --tenant is required",
                    a->config_file);
    }
    if (e == OK) e = read_files(a, f, why);
    for (uint32_t i = 0; e == OK && i < f->set.tenant_count; i++) {
        const struct rule_set_tenant *t = &f->set.tenants[i];
        if (t->tenant[0] != '\0' && !bytes_equal_text(target_tenant(target), t->tenant)) continue;
        for (uint32_t k = 0; e == OK && k < t->group_count; k++)
            e = add_group(f, &t->groups[k], why);
    }
    if (e == OK && a->target.url != NULL)
        e = add_stored_of_server(a, target, f, why);
    else if (e == OK && a->file_count == 0)
        e = add_stored_in_directory(a, target, f, why);
    if (e == OK && a->target.url == NULL) e = check_paths_in_directory(a, target, f, why);
    if (e == OK) e = rules_check_wanted(a, has_called, f, why);
    if (e || f->count > 0) return e;
    if (a->config_file == NULL || a->file_count > 0)
        return why_set(why, ERR_INPUT, "there are no rules: expected rule files, or --config.file");
    struct bytes tenant = target_tenant(target);
    return why_set(why, ERR_INPUT,
                   "there are no rules for tenant '%.*s': no rule files in %s are for it, and the "
                   "ruler API stored none",
                   (int)tenant.size, (const char *)tenant.at, a->config_file);
}

void
rules_found_fini(struct found_rules *f)
{
    array_free(f->memory, f->items, f->capacity);
    rule_set_free(&f->set);
    config_lists_free(&f->lists);
    arena_fini(&f->arena);
}
