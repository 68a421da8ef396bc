/* retention.c - `firekeep retention plan FILE`: what the rules of retention of a configuration
 * would remove from a server or from a storage directory. */
#include <stdio.h>
#include <stdlib.h>

#include "base/text/time_text.h"
#include "base/version.h"
#include "cli/commands.h"
#include "cli/lib/client_access.h"
#include "cli/lib/report.h"
#include "cli/lib/target/target.h"
#include "config/config.h"
#include "config/config_check.h"
#include "model/select.h"
#include "model/series_rules.h"
#include "sys/env.h"
#include "tsdb/tsdb.h"
#include "wire/json/json_tree.h"

#define ANSWER_BYTES_MAX ((uint64_t)8 << 20)
#define MEMORY_BYTES_MAX ((uint64_t)256 << 20)
#define CONNECT_NS       (10 * NS_PER_S)
#define ANSWER_NS        (600 * NS_PER_S) /* the server reads the index of all series */

enum { HEADERS_MAX = 16, VALUES_MAX = 65536, TEXT_BYTES = 1024 };

struct retention_command {
    /* Command line. */
    const char *url, *http_config_file, *storage;
    int form; /* -1: not given */
    const char *file;

    struct budget memory;
    struct buf text; /* the content of the file */
};

static const struct flag flags[] = {
    {"url", 0, FLAG_TEXT, offsetof(struct retention_command, url), "URL",
     "URL of the server (default $FIREKEEP_URL, or http://127.0.0.1:9201)"},
    HTTP_CONFIG_FLAG(struct retention_command, http_config_file),
    {"storage.path", 0, FLAG_TEXT, offsetof(struct retention_command, storage), "DIRECTORY",
     "instead of a server: storage directory of a stopped server"},
    {"format", 0, FLAG_CHOICE, offsetof(struct retention_command, form), "FORM",
     "text or json (default text)", report_forms},
    {0},
};

static const char notes[] =
    "\nShows for each rule of retention.rules in FILE, a configuration of Firekeep, what is past\n"
    "it: series, samples, how many of these queries still return, compressed bytes, and the\n"
    "oldest sample. Nothing changes. Numbers of samples and bytes are estimated where a block\n"
    "also has younger samples. A server needs --web.enable-admin-api.\n"
    "\nExit status: 0 done; 1 it failed, or FILE is invalid; 2 wrong usage.\n";

static const char columns[] = "match|tenants|time|series|samples|shownSamples=still shown|bytes|"
                              "oldest";

/* --- the report ------------------------------------------------------------------------------- */

static void
report_rule(struct report *r, const struct series_rule *rule, const struct tsdb_rule_survey *s)
{
    char tenants[TEXT_BYTES] = "all", time[TIME_TEXT_BYTES];
    size_t size = 0;
    for (uint32_t i = 0; i < rule->tenant_count && size < sizeof tenants; i++) {
        size += (size_t)snprintf(tenants + size, sizeof tenants - size, "%s%s", i == 0 ? "" : ",",
                                 rule->tenants[i]);
    }
    time_print_duration(rule->age_ms, time);
    report_row(r, value_text(rule->match), value_text(tenants), value_text(time),
               value_count(s->series), value_count(s->samples), value_count(s->shown_samples),
               value_size(s->bytes),
               s->oldest_ms == INT64_MAX ? value_none() : value_time(s->oldest_ms));
}

static enum err
begin_report(struct retention_command *a, struct report **ret_report)
{
    enum report_form form = a->form < 0 ? REPORT_TEXT : (enum report_form)a->form;
    enum err e = report_new(form, stdout, &a->memory, ret_report);
    if (e == OK) report_table(*ret_report, "rules", NULL, columns);
    return e;
}

static enum err
end_report(struct report *r, struct why *why)
{
    report_table_end(r, 0);
    enum err e = report_end(r);
    report_free(r);
    return e ? why_set(why, e, "not enough memory for the report") : OK;
}

/* --- a directory ------------------------------------------------------------------------------ */

static enum err
survey_directory(struct retention_command *a, const struct series_rules *rules, struct why *why)
{
    struct target *target;
    struct target_options options = {.storage = a->storage, .partial = true};
    struct query_control control = {.env = env_real()};
    uint32_t count = series_rules_count(rules);
    enum err e = target_open(&options, &target, why);
    if (e) return e;
    struct tsdb_rule_survey *list = mem_new(&a->memory, (count + 1u) * sizeof *list);
    struct report *report;
    e = list == NULL ? why_set(why, ERR_NOMEM, "not enough memory for a plan") : OK;
    if (e == OK && count > 0)
        e = tsdb_retention_survey(target_store(target), rules, &control, list, why);
    if (e == OK) {
        e = begin_report(a, &report);
        if (e) why_set(why, e, "not enough memory for the report");
    }
    if (e == OK) {
        for (uint32_t i = 0; i < count; i++) {
            report_rule(report, series_rules_at(rules, i), &list[i]);
        }
        e = end_report(report, why);
    }
    mem_free(&a->memory, list, (count + 1u) * sizeof *list);
    target_free(target);
    return e;
}

static enum err
look_at_directory(struct retention_command *a, struct why *why)
{
    struct series_rules *rules = NULL;
    enum err e = config_retention_rules(a->file, buf_bytes(&a->text), 0, NULL, &rules, why);
    if (e == OK) e = survey_directory(a, rules, why);
    series_rules_unref(rules);
    return e;
}

/* --- a server --------------------------------------------------------------------------------- */

static uint64_t
number_of(const json_t *rule, const char *key)
{
    const json_t *value = json_object_get(rule, key);
    return json_is_integer(value) ? (uint64_t)json_integer_value(value) : 0;
}

static void
report_answer(struct report *r, const json_t *x)
{
    static const char *tenants[1000];
    const json_t *list = json_object_get(x, "tenants");
    const char *match = json_string_value(json_object_get(x, "match"));
    struct series_rule rule = {.match = match == NULL ? "" : match, .tenants = tenants};
    for (size_t i = 0; i < json_array_size(list) && i < 1000; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        tenants[rule.tenant_count++] = name == NULL ? "" : name;
    }
    rule.age_ms = (int64_t)(number_of(x, "timeSeconds") * 1000);
    struct tsdb_rule_survey s = {.series = number_of(x, "series"),
                                 .samples = number_of(x, "samples"),
                                 .shown_samples = number_of(x, "shownSamples"),
                                 .bytes = number_of(x, "bytes"),
                                 .oldest_ms = INT64_MAX};
    int64_t ms;
    struct bytes oldest = json_tree_text(json_object_get(x, "oldest"));
    if (oldest.at != NULL && time_parse_rfc3339(oldest, &ms)) s.oldest_ms = ms;
    report_rule(r, &rule, &s);
}

/* Prints the answer of the API. ERR_UNSUPPORTED: the text is not such an answer. */
static enum err
print(struct retention_command *a, struct bytes text, struct why *why)
{
    struct json_tree json;
    struct report *report;
    struct why reason = {""};
    enum err e = json_tree_read(&a->memory, text, VALUES_MAX, &json, &reason);
    if (e) return why_set(why, ERR_UNSUPPORTED, "the response is not from Firekeep");
    const json_t *rules = json_object_get(json_object_get(json.root, "data"), "rules");
    if (!json_is_array(rules)) {
        json_tree_fini(&json);
        return why_set(why, ERR_UNSUPPORTED, "the response is not from Firekeep");
    }
    e = begin_report(a, &report);
    if (e) {
        why_set(why, e, "not enough memory for the report");
    } else {
        for (size_t i = 0; i < json_array_size(rules); i++) {
            report_answer(report, json_array_get(rules, i));
        }
        e = end_report(report, why);
    }
    json_tree_fini(&json);
    return e;
}

static enum err
ask(struct retention_command *a, struct client_access *access, struct http_client *client,
    struct why *why)
{
    char url[CLIENT_URL_BYTES + 64];
    const char *const *lines, *headers[HEADERS_MAX] = {"Content-Type: application/yaml"};
    struct buf text;
    struct http_client_answer answer = {0};
    snprintf(url, sizeof url, "%s/api/v1/admin/tsdb/retention_plan", client_access_url(access));
    enum err e = client_access_headers(access, &lines, why);
    if (e) return e;
    for (size_t i = 0; lines != NULL && lines[i] != NULL && i < HEADERS_MAX - 2; i++) {
        headers[i + 1] = lines[i];
    }
    struct http_client_request request = {
        .url = url, .headers = headers, .body = buf_bytes(&a->text)};
    buf_init(&text, &a->memory, ANSWER_BYTES_MAX);
    e = http_client_fetch(client, &request, &text, &answer, why);
    if (e == OK && answer.status / 100 != 2) {
        e = why_set(why, ERR_UNSUPPORTED, "%s: status %u: %s", client_access_name(access),
                    answer.status, answer.text);
    }
    if (e == OK) e = print(a, buf_bytes(&text), why);
    buf_fini(&text);
    return e;
}

static enum err
ask_server(struct retention_command *a, struct why *why)
{
    struct client_access *access = NULL;
    struct http_client *client = NULL;
    struct client_access_options reach = {
        .flag = "--url",
        .url = a->url == NULL ? target_default_url() : a->url,
        .config_file = a->http_config_file,
    };
    struct http_client_options options = {
        .env = env_real(),
        .user_agent = "firekeep/" FIREKEEP_VERSION,
        .connect_timeout_ns = CONNECT_NS,
        .request_timeout_ns = ANSWER_NS,
    };
    enum err e = client_access_new(&reach, &access, why);
    if (e) return e;
    client_access_http(access, &options);
    e = http_client_new(&options, &client, why);
    if (e == OK) e = ask(a, access, client, why);
    http_client_free(client);
    client_access_free(access);
    return e;
}

/* --- the command ------------------------------------------------------------------------------ */

static int
run_retention(int argc, char **argv)
{
    struct retention_command a = {.form = -1};
    struct why why = {""};
    int count = 0;
    budget_init(&a.memory, "retention", MEMORY_BYTES_MAX, NULL);
    enum err e = flags_parse(flags, &a, argc - 1, argv + 1, &count, &why);
    if (e == OK && (count != 2 || strcmp(argv[1], "plan") != 0))
        e = why_set(&why, ERR_INPUT, "expected 'plan' and one FILE");
    if (e == OK && a.storage != NULL && a.url != NULL)
        e = why_set(&why, ERR_INPUT, "--url and --storage.path exclude each other");
    if (e) return cli_usage_error("retention", "%s", why.text);
    a.file = argv[2];
    e = config_read(a.file, CONFIG_BYTES_MAX, &a.text, &why);
    if (e == OK) e = a.storage != NULL ? look_at_directory(&a, &why) : ask_server(&a, &why);
    buf_fini(&a.text);
    return e ? cli_failed("retention", e, &why) : EXIT_DONE;
}

const struct command command_retention = {"retention",
                                          "plan [flags] FILE",
                                          "show what rules of retention would remove",
                                          run_retention,
                                          flags,
                                          notes};
