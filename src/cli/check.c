/* check.c - `firekeep check FILE`: reports everything in a configuration file that would keep
 * `serve` from starting. */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "auth/users.h"
#include "base/text/suggest.h"
#include "cli/lib/target/target.h"
#include "cli/rules/rules.h"
#include "config/lists/lists.h"
#include "config/rule_set.h"
#include "net/tls.h"
#include "wire/yaml/yaml_reader.h"

enum err
check_file(const char *path, struct settings *ret_settings, struct config_lists *ret_lists,
           struct why *why)
{
    struct config_lists lists = {.destinations = {NULL}};
    struct buf text;
    settings_default(ret_settings);
    enum err e = config_read(path, CONFIG_BYTES_MAX, &text, why);
    if (e == OK) e = settings_yaml(ret_settings, path, buf_bytes(&text), why);
    if (reader_goes_on(e)) {
        enum err more = config_lists_yaml(path, buf_bytes(&text), ret_settings, &lists, why);
        e = err_first(e, more);
    }
    buf_fini(&text);
    if (e == OK) {
        e = settings_validate(ret_settings, lists.destinations.count, lists.sources.count, why);
        if (e == OK) e = config_lists_check(&lists, ret_settings, why);
        if (e) err_ignore(why_prefix(why, e, "%s", path), "only adds to the sentence");
    }
    if (e) {
        config_lists_free(&lists);
        reader_note(path, why);
    } else {
        *ret_lists = lists;
    }
    return e;
}

static enum err
not_found(const char *file, const char *what, const char *name, const struct suggestion *near,
          struct why *why)
{
    if (file == NULL)
        return why_set(why, ERR_INPUT, "%s %.64s: --config.file is required for names", what, name);
    return why_set(why, ERR_MISSING, "%s: %s '%.64s' not found%s", file, what, name,
                   suggest_hint(near, "").text);
}

enum err
config_find_destination(const struct config_lists *lists, const char *file, const char *name,
                        const struct destination_settings **ret, struct why *why)
{
    struct suggestion near;
    suggest_begin(&near, bytes_of_text(name));
    for (uint32_t i = 0; i < lists->destinations.count; i++)
        suggest_try(&near, lists->destinations.items[i].name);
    *ret = destinations_find(&lists->destinations, name);
    return *ret == NULL ? not_found(file, "destination", name, &near, why) : OK;
}

enum err
config_find_source(const struct config_lists *lists, const char *file, const char *name,
                   const struct source_settings **ret, struct why *why)
{
    struct suggestion near;
    suggest_begin(&near, bytes_of_text(name));
    for (uint32_t i = 0; i < lists->sources.count; i++)
        suggest_try(&near, lists->sources.items[i].name);
    *ret = sources_find(&lists->sources, name);
    return *ret == NULL ? not_found(file, "source", name, &near, why) : OK;
}

/* Returns false if the file has errors, which were printed in the order of their places. */
static bool
check_and_print(const char *path, struct settings *settings, struct config_lists *lists)
{
    static struct yaml_errors errors; /* too large for the stack */
    struct why why = {""};
    memset(&errors, 0, sizeof errors);
    reader_collect(&errors);
    enum err e = check_file(path, settings, lists, &why);
    if (e == OK) { /* the file of web.config_file, which only this command and servers read */
        e = access_settings_complete(&lists->access, settings, &why);
        /* ERR_INPUT has a place in this file or in that one. */
        if (e && e != ERR_INPUT) err_ignore(why_prefix(&why, e, "%s", path), "only adds to it");
        if (e) {
            config_lists_free(lists);
            reader_note(path, &why);
        }
    }
    reader_collect(NULL);
    if (e == OK) return true;
    uint32_t shown = errors.count < YAML_ERRORS_MAX ? errors.count : YAML_ERRORS_MAX;
    for (uint32_t i = 0; i < shown; i++)
        fprintf(stderr, "%s\n", why_text(&errors.items[i].why, e));
    if (errors.count > shown) {
        fprintf(stderr, "%s: %" PRIu32 " more error%s\n", path, errors.count - shown,
                plural(errors.count - shown));
    }
    return false;
}

/* --- files of TLS and users ------------------------------------------------------------------- */

/* Reads a listener's certificate, key and CAs. Returns false if they have errors, which were
 * printed. */
static bool
check_tls(const struct listener_settings *listener, int64_t now_s)
{
    struct tls *tls = NULL;
    struct why why = {""};
    if (!listener->tls.given) return true;
    enum err e = tls_new(&listener->tls, NULL, &tls, &why);
    if (e)
        fprintf(stderr, "listener %s: %s\n", listener->address, why_text(&why, e));
    else if (tls_expires_s(tls) <= now_s)
        fprintf(stderr, "warning: listener %s: the certificate has expired\n", listener->address);
    tls_release(tls);
    return e == OK;
}

/* Reads the files that a server reads when it starts. Errors name no line: they are in the files.
 */
static bool
check_access_files(const struct access_settings *access)
{
    struct why why = {""};
    bool fine = true;
    for (uint32_t i = 0; i < access->listeners.count; i++)
        fine &= check_tls(&access->listeners.items[i], env_realtime_ms(env_real()) / 1000);
    enum err e = users_check_files(&access->users, env_real(), &why);
    if (e) fprintf(stderr, "%s\n", why_text(&why, e));
    return fine && e == OK;
}

/* --- rule files ------------------------------------------------------------------------------- */

static void
print_sentence(void *context, struct bytes sentence)
{
    bool *reported = context;
    *reported = true;
    fprintf(stderr, "%.*s\n", (int)sentence.size, (const char *)sentence.at);
}

/* Reports patterns without a file: a server starts without them, but they may be mistakes. */
static bool
report_unmatched(const struct rule_set *set)
{
    bool fine = true;
    for (uint32_t i = 0; i < set->unmatched_count; i++) {
        const struct unmatched_pattern *p = &set->unmatched[i];
        if (p->is_wild)
            fprintf(stderr, "warning: no rule file matches %s\n", p->pattern);
        else
            fprintf(stderr, "rule file not found: %s\n", p->pattern);
        fine &= p->is_wild;
    }
    return fine;
}

/* Returns false if rule files have errors, which were printed. */
static bool
check_rule_set(const struct rule_settings *settings, uint32_t *ret_files, uint32_t *ret_rules)
{
    bool reported = false;
    struct rule_set_options options = {
        .env = env_real(), .report = print_sentence, .context = &reported};
    struct rule_set set;
    struct why why = {""};
    enum err e = rule_set_read(settings, &options, &set, &why);
    if (e) {
        if (!reported || e == ERR_LIMIT || e == ERR_NOMEM)
            fprintf(stderr, "%s\n", why_text(&why, e));
        return false;
    }
    bool fine = report_unmatched(&set);
    *ret_files = set.file_count;
    *ret_rules = set.rule_count;
    rule_set_free(&set);
    return fine;
}

/* --- the command ------------------------------------------------------------------------------ */

static void
print_count(const char *before, uint32_t count, const char *what)
{
    if (count > 0) printf("%s%u %s%s", before, count, what, plural(count));
}

/* Warns about Alertmanagers whose configuration can never have members. */
static void
warn_without_members(const struct alerting *alerting)
{
    for (uint32_t i = 0; i < alerting->count; i++) {
        const struct alertmanager_settings *a = &alerting->items[i];
        uint32_t found = a->dns_count + a->file_count + a->http_count;
        for (uint32_t k = 0; k < a->static_count; k++)
            found += a->static_configs[k].targets.count;
        if (found > 0) continue;
        fprintf(stderr,
                "warning: the Alertmanager on line %" PRIu32
                " has no targets and no discovery: no alerts are sent to it\n",
                a->line);
    }
}

/* Warns about TLS and users that are weaker than they look, and about rules that never apply. */
static void
warn_lists(const char *path, const struct settings *settings, const struct config_lists *lists)
{
    enum { WARNINGS_BYTES_MAX = 1 << 20 };
    struct buf found;
    buf_init(&found, NULL, WARNINGS_BYTES_MAX);
    access_settings_warn(&lists->access, &found);
    downsampling_rules_warn(path, &lists->downsampling, &lists->retention,
                            settings->retention_time_ms, &found);
    for (size_t at = 0; at < found.size;) {
        const uint8_t *end = memchr(found.at + at, '\n', found.size - at);
        size_t size = end == NULL ? found.size - at : (size_t)(end - (found.at + at));
        fprintf(stderr, "warning: %.*s\n", (int)size, (const char *)found.at + at);
        at += size + 1;
    }
    buf_fini(&found);
}

struct check_flags {
    bool syntax_only;
};

static const struct flag flags[] = {
    {"syntax-only", 0, FLAG_SWITCH, offsetof(struct check_flags, syntax_only), NULL,
     "do not read rule files, nor certificates, keys and secrets of listeners and users"},
    REMOVED_FLAG("against",
                 "POST /api/v1/status/config/check, on the page at /config, lists what a file "
                 "changes; at a reload, the log has the samples and dead letters that wait for "
                 "each destination that was removed or changed"),
    {0},
};

static const char notes[] =
    "\nChecks the whole file, and the files that it names and a server reads when it starts: the\n"
    "file for web.config.file, rule files, certificates, keys and secrets of listeners and users.\n"
    "One that is missing is an error.\n"
    "Prints all errors of the file, up to 20 with their places; rule files are checked if it has\n"
    "none.\n"
    "\nExit status: 0 the file is valid; 1 the file or a rule file is invalid; 2 wrong usage.\n";

static const char rules_notes[] =
    "\nfirekeep check rules [flags] [FILE...]\n"
    "\nChecks rule files of Prometheus and prints everything that is wrong with them, and how "
    "many\n"
    "rules each has. FILE - is standard input, which is also read without FILE, unless it is a\n"
    "terminal. A configuration file named rules is ./rules.\n\n";

static const char rules_status[] =
    "\nExit status: 0 all files are valid; 1 a file is invalid or cannot be read; 2 wrong usage;\n"
    "3 with --lint-fatal, all files are valid, but rules of one file have the same name and "
    "labels.\n";

static void
put_details(struct buf *to)
{
    flags_help(flags, to);
    buf_put_text(to, notes);
    buf_put_text(to, rules_notes);
    flags_help(check_rules_flags, to);
    buf_put_text(to, rules_status);
}

static int
run_check(int argc, char **argv)
{
    struct settings settings;
    struct config_lists lists = {.destinations = {NULL}};
    struct why why = {""};
    struct check_flags asked = {.syntax_only = false};
    int count = 0;
    if (argc > 1 && strcmp(argv[1], "rules") == 0) return check_rules(argc - 1, argv + 1);
    enum err e = flags_parse(flags, &asked, argc - 1, argv + 1, &count, &why);
    if (e) return cli_usage_error("check", "%s", why.text);
    if (count < 1) return cli_usage_error("check", "missing FILE");
    if (count > 1) return cli_usage_error("check", "unexpected argument '%.64s'", argv[2]);
    if (!check_and_print(argv[1], &settings, &lists)) return EXIT_FAILED;
    uint32_t file_count = 0, rule_count = 0;
    if (!asked.syntax_only) {
        bool fine = check_access_files(&lists.access);
        fine &= check_rule_set(&lists.rules, &file_count, &rule_count);
        if (!fine) {
            config_lists_free(&lists);
            return EXIT_FAILED;
        }
    }
    /* Prints "file.yml: ok, 2 destinations, 1 source, 2 Alertmanagers, 1 listener, 2 users, 3 rule
     * files with 1 rule". */
    printf("%s: ok", argv[1]);
    print_count(", ", lists.destinations.count, "destination");
    print_count(", ", lists.sources.count, "source");
    print_count(", ", lists.alerting.count, "Alertmanager");
    print_count(", ", lists.access.given.listeners.count, "listener");
    print_count(", ", lists.access.users.count, "user");
    print_count(", ", file_count, "rule file");
    print_count(" with ", rule_count, "rule");
    printf("\n");
    fflush(stdout);
    const char *lack =
        settings_rules_lack(&settings, lists.destinations.count, lists.sources.count);
    if (lack != NULL && rule_count > 0) fprintf(stderr, "warning: %s\n", lack);
    if (settings.tenancy_enabled && lists.alerting.count > 0 && lists.alerting.tenant_label == NULL)
        fprintf(stderr, "warning: without alerting.tenant_label, equal alerts of two tenants are "
                        "one alert for Alertmanager\n");
    warn_without_members(&lists.alerting);
    if (lists.rules.unset_variable != NULL)
        fprintf(stderr,
                "warning: global.external_labels: environment variable %s is not set, or empty\n",
                lists.rules.unset_variable);
    warn_lists(argv[1], &settings, &lists);
    config_lists_free(&lists);
    return EXIT_DONE;
}

const struct command command_check = {.name = "check",
                                      .arguments = "[flags] FILE | rules [flags] [FILE...]",
                                      .help = "check a configuration file, or rule files",
                                      .run = run_check,
                                      .details = put_details};
