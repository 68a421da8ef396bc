/*
 * rule_tests.c - see rule_tests.h. Null means not given, for keys, entries and texts, as in Go's
 * YAML.
 */
#include "cli/rules/rule_tests.h"

#include "base/text/quote.h"
#include "base/text/time_text.h"
#include "base/text/utf8.h"
#include "config/lists/shared_keys.h"
#include "config/rule_set.h"
#include "sys/env.h"
#include "sys/paths.h"
#include "wire/number.h"
#include "wire/shape.h"

enum { DEFAULT_INTERVAL_MS = 60 * 1000 };

/* --- values ----------------------------------------------------------------------------------- */

/* Limited so that times of a test fit nanoseconds. */
static bool
parse_start(struct bytes text, void *base)
{
    static const int64_t most = INT64_MAX / 1000000 / 2;
    struct rule_test *test = base;
    int64_t ms;
    bool fits = time_parse_api(text, &ms) && ms >= -most && ms <= most;
    if (fits) test->start_ms = ms;
    return fits;
}

/* Reads decimal digits, .inf or .nan. */
static bool
parse_value(struct bytes given, void *base)
{
    struct rule_test_sample *sample = base;
    char text[64];
    size_t sign = given.size > 0 && (given.at[0] == '-' || given.at[0] == '+'), kept = 0;
    bool is_word =
        given.size == sign + 4 && given.at[sign] == '.' && ascii_is_letter(given.at[sign + 1]);
    for (size_t i = 0; i < given.size && kept < sizeof text; i++)
        if (!is_word || i != sign) text[kept++] = (char)given.at[i];
    bool is_named = kept > sign && ascii_is_letter((uint8_t)text[sign]);
    return kept < sizeof text && is_named == is_word && number_parse(text, kept, &sample->bits);
}

static enum err
note_series(struct schema_place *place, void *base)
{
    struct rule_test_series *series = base;
    series->place = (struct rule_test_place){schema_line(place), schema_column(place)};
    return OK;
}

static enum err
sort_alert(struct schema_place *place, void *base)
{
    struct rule_test_alert *alert = base;
    (void)place;
    named_texts_sort(&alert->labels);
    named_texts_sort(&alert->annotations);
    return OK;
}

static enum err
note_test(struct schema_place *place, void *base)
{
    struct rule_test *test = base;
    test->place = (struct rule_test_place){schema_line(place), schema_column(place)};
    named_texts_sort(&test->external_labels);
    return OK;
}

/* --- tables ----------------------------------------------------------------------------------- */

#define ANY_TEXT    .may_be_empty = true, .any_control = true, .as_prometheus = true
#define TEXT(s, f)  SCHEMA_TEXT, AT(s, f), .fallback = "", .max = RULE_TESTS_BYTES_MAX, ANY_TEXT
#define TEXTS(s, f) SCHEMA_TEXTS, ITEMS(s, f.items, f.count), .max = RULE_TESTS_NAMES_MAX, ANY_TEXT
#define LABELS(s, f) \
    SCHEMA_NAMED_TEXTS, ITEMS(s, f.items, f.count), .max = RULE_TESTS_NAMES_MAX, ANY_TEXT
#define DURATION(s, f) SCHEMA_DURATION, AT(s, f), .as_prometheus = true
#define MAPPINGS(s, f, in_)                                                                    \
    SCHEMA_MAPPINGS, ITEMS(s, f.items, f.count), .inner = &(in_), .max = RULE_TESTS_BYTES_MAX, \
                                                 .as_prometheus = true
#define SCHEMA(s, keys_) .keys = (keys_), .size = sizeof(struct s), .null_is_empty = true

static const struct schema_key series_keys[] = {
    {"series", TEXT(rule_test_series, series)},
    {"values", TEXT(rule_test_series, values)},
    {NULL},
};
static const struct schema series_schema = {SCHEMA(rule_test_series, series_keys),
                                            .check = note_series};

static const struct schema_key alert_keys[] = {
    {"exp_labels", LABELS(rule_test_alert, labels)},
    {"exp_annotations", LABELS(rule_test_alert, annotations)},
    {NULL},
};
static const struct schema alert_schema = {SCHEMA(rule_test_alert, alert_keys),
                                           .check = sort_alert};

static const struct schema_key alerts_keys[] = {
    {"eval_time", DURATION(rule_test_alerts, at_ms)},
    {"alertname", TEXT(rule_test_alerts, alertname)},
    {"exp_alerts", MAPPINGS(rule_test_alerts, expected, alert_schema)},
    {NULL},
};
static const struct schema alerts_schema = {SCHEMA(rule_test_alerts, alerts_keys)};

static const struct schema_key sample_keys[] = {
    {"labels", TEXT(rule_test_sample, labels)},
    {"value", SCHEMA_OWN, AT(rule_test_sample, bits), .parse = parse_value, .what = "a number",
     .as_prometheus = true, .is_plain = true},
    {"histogram", TEXT(rule_test_sample, histogram)},
    {NULL},
};
static const struct schema sample_schema = {SCHEMA(rule_test_sample, sample_keys)};

static const struct schema_key expression_keys[] = {
    {"expr", TEXT(rule_test_expression, expression)},
    {"eval_time", DURATION(rule_test_expression, at_ms)},
    {"exp_samples", MAPPINGS(rule_test_expression, expected, sample_schema)},
    {NULL},
};
static const struct schema expression_schema = {SCHEMA(rule_test_expression, expression_keys)};

static const struct schema_key test_keys[] = {
    {"interval", DURATION(rule_test, interval_ms)},
    {"input_series", MAPPINGS(rule_test, input_series, series_schema)},
    {"name", TEXT(rule_test, name)},
    {"alert_rule_test", MAPPINGS(rule_test, alerts, alerts_schema)},
    {"promql_expr_test", MAPPINGS(rule_test, expressions, expression_schema)},
    {"external_labels", LABELS(rule_test, external_labels)},
    {"external_url", TEXT(rule_test, external_url)},
    {"start_timestamp", SCHEMA_OWN, AT(rule_test, start_ms), .parse = parse_start,
     .what = "Unix seconds or a time such as 2021-01-01T00:00:00Z, from 1824 to 2116",
     .as_prometheus = true},
    {NULL},
};
static const struct schema test_schema = {SCHEMA(rule_test, test_keys), .check = note_test};

static const struct schema_key file_keys[] = {
    {"tests", MAPPINGS(rule_tests, tests, test_schema)},
    {"rule_files", TEXTS(rule_tests, rule_files)},
    {"evaluation_interval", DURATION(rule_tests, evaluation_interval_ms)},
    {"group_eval_order", TEXTS(rule_tests, group_eval_order), .unique = true},
    {"fuzzy_compare", SCHEMA_BOOL, AT(rule_tests, fuzzy_compare), .as_prometheus = true,
     .is_plain = true},
    {NULL},
};
static const struct schema file_schema = {SCHEMA(rule_tests, file_keys)};

/* --- the file --------------------------------------------------------------------------------- */

struct tests_reading {
    struct schema_reader reader;
    struct rule_tests tests;
};

static enum err
tests_read_root(struct config_reader *in, void *context)
{
    struct tests_reading *r = context;
    if (in->event.type == YAML_MAPPING_START_EVENT || reader_is_null(in))
        return schema_read(&r->reader, &file_schema, &r->tests);
    return reader_complain(in, "expected keys such as 'tests:'");
}

enum err
rule_tests_parse(const char *file, struct bytes text, struct arena *arena,
                 struct rule_tests *ret_tests, struct why *why)
{
    struct config_reader in;
    struct tests_reading r = {.reader = {.in = &in, .arena = arena, .list = "", .types = ""}};
    enum err e = reader_init(&in, file, text, RULE_TESTS_BYTES_MAX, why);
    if (e) return e;
    e = reader_document_expanded(&in, RULE_TESTS_BYTES_MAX, RULE_TESTS_VALUES_MAX, tests_read_root,
                                 &r);
    reader_fini(&in);
    if (e) return e;
    if (r.tests.evaluation_interval_ms == 0) r.tests.evaluation_interval_ms = DEFAULT_INTERVAL_MS;
    *ret_tests = r.tests;
    return OK;
}

/* --- rule files ------------------------------------------------------------------------------- */

/* Appends the paths that exist and are not listed. *ret_any: one exists. */
static enum err
add_found(struct env *env, const struct text_list *paths, struct arena *arena,
          struct text_list *found, bool *ret_any, struct why *why)
{
    for (uint32_t i = 0; i < paths->count; i++) {
        struct file_facts facts;
        struct why missing;
        uint32_t k = 0;
        if (env_facts(env, paths->items[i], &facts, &missing)) continue;
        *ret_any = true;
        while (k < found->count && strcmp(found->items[k], paths->items[i]) != 0)
            k++;
        if (k < found->count) continue;
        const char **items = arena_push(arena, found->items, found->count, sizeof(const char *));
        if (items == NULL)
            return why_set(why, ERR_NOMEM, "not enough memory for the names of rule files");
        found->items = items;
        items[found->count++] = paths->items[i];
    }
    return OK;
}

enum err
rule_tests_find_files(struct env *env, const char *file, const struct text_list *patterns,
                      struct arena *arena, void (*unmatched)(void *context, const char *pattern),
                      void *context, struct text_list *ret_paths, struct why *why)
{
    struct text_list found = {NULL};
    for (uint32_t i = 0; i < patterns->count; i++) {
        const char *pattern = patterns->items[i];
        struct text_list paths = {NULL};
        struct why what = {""};
        bool any = false;
        enum err e = OK;
        if (pattern[0] != '\0') {
            if (file_pattern_is_wild(pattern)) e = file_pattern_check(pattern, &what);
            if (e) {
                return why_set(why, e, "%s: rule_files: %s: %s", file,
                               shown_of(bytes_of_text(pattern)).text, what.text);
            }
            pattern = path_from(arena, file, pattern);
            if (pattern == NULL)
                return why_set(why, ERR_NOMEM, "not enough memory for the names of rule files");
            e = rule_paths_find(env, pattern, arena, &paths, why);
            if (e == OK) e = add_found(env, &paths, arena, &found, &any, why);
        }
        if (e) return e;
        if (!any) unmatched(context, pattern);
    }
    *ret_paths = found;
    return OK;
}
