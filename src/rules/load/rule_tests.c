/*
 * rule_tests.c - see rule_tests.h. Tables describe the values, one for each kind of mapping. They
 * are not those of config/schema: here null means not given, and a number is accepted as a text.
 */
#include "rules/load/rule_tests.h"

#include <stdlib.h>

#include "base/text/quote.h"
#include "base/text/suggest.h"
#include "base/text/time_text.h"
#include "base/text/utf8.h"
#include "sys/env.h"
#include "sys/paths.h"
#include "wire/number.h"
#include "wire/shape.h"
#include "wire/yaml/yaml_reader.h"

enum { FIELDS_MAX = 8, DEFAULT_INTERVAL_MS = 60 * 1000 };
#define MOMENT_MS_MAX (INT64_MAX / 1000000 / 2) /* so that times of a test fit nanoseconds */

enum test_field_kind {
    FIELD_TEXT,
    RULE_TESTS_FIELD_DURATION,
    FIELD_MOMENT,
    FIELD_BOOL,
    FIELD_NUMBER,
    RULE_TESTS_FIELD_TEXTS,
    FIELD_DISTINCT_TEXTS,
    FIELD_NAMED_TEXTS,
    FIELD_MAPPINGS
};

struct field {
    const char *name;
    enum test_field_kind kind;
    size_t offset;
    const struct test_shape *inner; /* for FIELD_MAPPINGS */
};

enum { NO_PLACE = -1 };

/* Describes a kind of mapping. */
struct test_shape {
    size_t bytes;
    ptrdiff_t place;            /* offset of its place, or NO_PLACE */
    const struct field *fields; /* ends at a NULL name; at most FIELDS_MAX */
};

/* --- tables ----------------------------------------------------------------------------------- */

#define ROW(struct_name, name, kind, field, inner)             \
    {                                                          \
        name, kind, offsetof(struct struct_name, field), inner \
    }

static const struct test_shape series_shape = {
    sizeof(struct rule_test_series),
    offsetof(struct rule_test_series, place),
    (const struct field[]){
        ROW(rule_test_series, "series", FIELD_TEXT, series, NULL),
        ROW(rule_test_series, "values", FIELD_TEXT, values, NULL),
        {NULL},
    },
};
static const struct test_shape alert_shape = {
    sizeof(struct rule_test_alert),
    NO_PLACE,
    (const struct field[]){
        ROW(rule_test_alert, "exp_labels", FIELD_NAMED_TEXTS, labels, NULL),
        ROW(rule_test_alert, "exp_annotations", FIELD_NAMED_TEXTS, annotations, NULL),
        {NULL},
    },
};
static const struct test_shape alerts_shape = {
    sizeof(struct rule_test_alerts),
    NO_PLACE,
    (const struct field[]){
        ROW(rule_test_alerts, "eval_time", RULE_TESTS_FIELD_DURATION, at_ms, NULL),
        ROW(rule_test_alerts, "alertname", FIELD_TEXT, alertname, NULL),
        ROW(rule_test_alerts, "exp_alerts", FIELD_MAPPINGS, expected, &alert_shape),
        {NULL},
    },
};
static const struct test_shape sample_shape = {
    sizeof(struct rule_test_sample),
    NO_PLACE,
    (const struct field[]){
        ROW(rule_test_sample, "labels", FIELD_TEXT, labels, NULL),
        ROW(rule_test_sample, "value", FIELD_NUMBER, bits, NULL),
        ROW(rule_test_sample, "histogram", FIELD_TEXT, histogram, NULL),
        {NULL},
    },
};
static const struct test_shape expression_shape = {
    sizeof(struct rule_test_expression),
    NO_PLACE,
    (const struct field[]){
        ROW(rule_test_expression, "expr", FIELD_TEXT, expression, NULL),
        ROW(rule_test_expression, "eval_time", RULE_TESTS_FIELD_DURATION, at_ms, NULL),
        ROW(rule_test_expression, "exp_samples", FIELD_MAPPINGS, expected, &sample_shape),
        {NULL},
    },
};
static const struct test_shape test_shape = {
    sizeof(struct rule_test),
    offsetof(struct rule_test, place),
    (const struct field[]){
        ROW(rule_test, "interval", RULE_TESTS_FIELD_DURATION, interval_ms, NULL),
        ROW(rule_test, "input_series", FIELD_MAPPINGS, input_series, &series_shape),
        ROW(rule_test, "name", FIELD_TEXT, name, NULL),
        ROW(rule_test, "alert_rule_test", FIELD_MAPPINGS, alerts, &alerts_shape),
        ROW(rule_test, "promql_expr_test", FIELD_MAPPINGS, expressions, &expression_shape),
        ROW(rule_test, "external_labels", FIELD_NAMED_TEXTS, external_labels, NULL),
        ROW(rule_test, "external_url", FIELD_TEXT, external_url, NULL),
        ROW(rule_test, "start_timestamp", FIELD_MOMENT, start_ms, NULL),
        {NULL},
    },
};
static const struct test_shape file_shape = {
    sizeof(struct rule_tests),
    NO_PLACE,
    (const struct field[]){
        ROW(rule_tests, "rule_files", RULE_TESTS_FIELD_TEXTS, rule_files, NULL),
        ROW(rule_tests, "evaluation_interval", RULE_TESTS_FIELD_DURATION, evaluation_interval_ms,
            NULL),
        ROW(rule_tests, "group_eval_order", FIELD_DISTINCT_TEXTS, group_eval_order, NULL),
        ROW(rule_tests, "fuzzy_compare", FIELD_BOOL, fuzzy_compare, NULL),
        ROW(rule_tests, "tests", FIELD_MAPPINGS, tests, &test_shape),
        {NULL},
    },
};

/* --- scalars ---------------------------------------------------------------------------------- */

struct tests_reading {
    struct config_reader in;
    struct arena *arena;
};

/* True for a scalar without quotes. */
static bool
is_plain(const struct config_reader *in)
{
    return in->event.type == YAML_SCALAR_EVENT &&
           in->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* Reads decimal digits, .inf or .nan. */
static enum err
read_test_number(struct config_reader *in, const char *name, uint64_t *ret)
{
    char text[64];
    struct bytes given = is_plain(in) ? reader_scalar(in) : bytes_of("", 0);
    size_t sign = given.size > 0 && (given.at[0] == '-' || given.at[0] == '+'), kept = 0;
    bool is_word =
        given.size == sign + 4 && given.at[sign] == '.' && ascii_is_letter(given.at[sign + 1]);
    for (size_t i = 0; i < given.size && kept < sizeof text; i++) {
        if (!is_word || i != sign) text[kept++] = (char)given.at[i];
    }
    bool is_named = kept > sign && ascii_is_letter((uint8_t)text[sign]);
    bool read = kept < sizeof text && is_named == is_word && number_parse(text, kept, ret);
    return read ? OK : reader_expected(in, name, "a number");
}

/* --- lists ------------------------------------------------------------------------------------ */

/* The common layout of all lists. */
struct any_list {
    void *items;
    uint32_t count;
};

static enum err
read_test_texts(struct tests_reading *x, const char *name, bool are_distinct, struct text_list *to)
{
    struct config_reader *in = &x->in;
    if (in->event.type != YAML_SEQUENCE_START_EVENT) return reader_expected(in, name, "a list");
    for (;;) {
        enum err e = reader_next(in);
        if (e || in->event.type == YAML_SEQUENCE_END_EVENT) return e;
        if (to->count == RULE_TESTS_NAMES_MAX) {
            return reader_complain(in, "%s: at most %d entries are allowed", name,
                                   RULE_TESTS_NAMES_MAX);
        }
        const char **items = arena_push(x->arena, to->items, to->count, sizeof(const char *));
        if (items == NULL) return reader_no_memory(in);
        to->items = items;
        e = reader_text(in, name, x->arena, &items[to->count]);
        for (uint32_t i = 0; e == OK && are_distinct && i < to->count; i++) {
            if (strcmp(items[i], items[to->count]) != 0) continue;
            e = reader_complain(in, "%s: %s is there twice", name,
                                shown_of(bytes_of_text(items[i])).text);
        }
        if (e) return e;
        to->count++;
    }
}

/* --- names and texts -------------------------------------------------------------------------- */

struct test_naming {
    struct tests_reading *x;
    const char *field;
    struct named_texts texts; /* sorted by name */
};

/* Reads the current key and its value into `texts`. */
static enum err
read_named_text(struct config_reader *in, void *context)
{
    struct test_naming *n = context;
    struct named_texts *texts = &n->texts;
    struct named_text text;
    uint32_t place = 0;
    if (texts->count == RULE_TESTS_NAMES_MAX) {
        return reader_complain(in, "%s: at most %d entries are allowed", n->field,
                               RULE_TESTS_NAMES_MAX);
    }
    enum err e = reader_text(in, n->field, n->x->arena, &text.name);
    if (e) return e;
    while (place < texts->count && strcmp(texts->items[place].name, text.name) < 0) {
        place++;
    }
    if (place < texts->count && strcmp(texts->items[place].name, text.name) == 0) {
        return reader_complain(in, "%s: duplicate key %s", n->field,
                               shown_of(bytes_of_text(text.name)).text);
    }
    e = reader_next(in);
    if (e == OK) e = reader_text(in, n->field, n->x->arena, &text.value);
    if (e) return e;
    struct named_text *items = arena_push(n->x->arena, texts->items, texts->count, sizeof *items);
    if (items == NULL) return reader_no_memory(in);
    texts->items = items;
    memmove(&items[place + 1], &items[place], (texts->count++ - place) * sizeof *items);
    items[place] = text;
    return OK;
}

/* --- mappings --------------------------------------------------------------------------------- */

/* A mapping being read. */
struct mapping_reading {
    struct tests_reading *x;
    const struct test_shape *shape;
    const char *list; /* the list it is an entry of; NULL: the whole file */
    void *to;
    size_t lines[FIELDS_MAX]; /* lines of keys, from 1 on; 0: not given */
};

static enum err read_field(struct config_reader *in, void *context);

/* Reads the current entry of a list. */
static enum err
read_mapping(struct tests_reading *x, const struct field *field, void *to)
{
    struct config_reader *in = &x->in;
    struct mapping_reading m = {.x = x, .shape = field->inner, .list = field->name, .to = to};
    memset(to, 0, m.shape->bytes);
    static const char *const empty = "";
    for (const struct field *f = m.shape->fields; f->name != NULL; f++) {
        if (f->kind == FIELD_TEXT) memcpy((uint8_t *)to + f->offset, &empty, sizeof empty);
    }
    if (m.shape->place != NO_PLACE) {
        yaml_mark_t at = in->event.start_mark;
        const struct rule_test_place place = {(uint32_t)at.line + 1, (uint32_t)at.column + 1};
        memcpy((uint8_t *)to + m.shape->place, &place, sizeof place);
    }
    if (reader_is_null(in)) return OK;
    if (in->event.type == YAML_MAPPING_START_EVENT) return reader_mapping(in, read_field, &m);
    return reader_complain(in, "'%s' expects keys below it such as '%s:'", m.list,
                           m.shape->fields[0].name);
}

static enum err
read_mappings(struct tests_reading *x, const struct field *field, void *to)
{
    struct config_reader *in = &x->in;
    size_t bytes = field->inner->bytes;
    uint8_t *items = NULL;
    if (in->event.type != YAML_SEQUENCE_START_EVENT) {
        return reader_expected(in, field->name, "a list");
    }
    for (uint32_t count = 0;; count++) {
        memcpy(to, &items, sizeof items);
        memcpy((uint8_t *)to + offsetof(struct any_list, count), &count, sizeof count);
        enum err e = reader_next(in);
        if (e || in->event.type == YAML_SEQUENCE_END_EVENT) return e;
        uint8_t *more = arena_push(x->arena, items, count, bytes);
        if (more == NULL) return reader_no_memory(in);
        items = more;
        e = read_mapping(x, field, items + count * bytes);
        if (e) return e;
    }
}

/* --- fields ----------------------------------------------------------------------------------- */

static enum err
read_test_value(struct tests_reading *x, const struct field *field, void *to)
{
    struct test_naming naming = {x, field->name, {NULL}};
    int64_t ms;
    enum err e;
    switch (field->kind) {
    case FIELD_TEXT:
        return reader_text(&x->in, field->name, x->arena, to);
    case RULE_TESTS_FIELD_DURATION:
        return reader_duration(&x->in, field->name, to);
    case FIELD_MOMENT:
        if (x->in.event.type == YAML_SCALAR_EVENT && time_parse_api(reader_scalar(&x->in), &ms) &&
            ms >= -MOMENT_MS_MAX && ms <= MOMENT_MS_MAX) {
            *(int64_t *)to = ms;
            return OK;
        }
        return reader_expected(
            &x->in, field->name,
            "Unix seconds or a time such as 2021-01-01T00:00:00Z, from 1824 to 2116");
    case FIELD_BOOL:
        *(bool *)to = is_plain(&x->in) && bytes_equal_text(reader_scalar(&x->in), "true");
        if (*(bool *)to) return OK;
        if (is_plain(&x->in) && bytes_equal_text(reader_scalar(&x->in), "false")) return OK;
        return reader_expected(&x->in, field->name, "true or false");
    case FIELD_NUMBER:
        return read_test_number(&x->in, field->name, to);
    case RULE_TESTS_FIELD_TEXTS:
    case FIELD_DISTINCT_TEXTS:
        return read_test_texts(x, field->name, field->kind == FIELD_DISTINCT_TEXTS, to);
    case FIELD_NAMED_TEXTS:
        if (x->in.event.type != YAML_MAPPING_START_EVENT)
            return reader_expected(&x->in, field->name, "a mapping");
        e = reader_mapping(&x->in, read_named_text, &naming);
        if (e == OK) *(struct named_texts *)to = naming.texts;
        return e;
    default:
        return read_mappings(x, field, to);
    }
}

/* Reads the current key and its value into `texts`. */
static enum err
read_field(struct config_reader *in, void *context)
{
    struct mapping_reading *m = context;
    const struct field *field = m->shape->fields;
    while (field->name != NULL && !bytes_equal_text(reader_scalar(in), field->name)) {
        field++;
    }
    if (field->name == NULL) {
        struct suggestion near;
        suggest_begin(&near, reader_scalar(in));
        for (const struct field *known = m->shape->fields; known->name != NULL; known++) {
            suggest_try(&near, known->name);
        }
        return reader_complain(in, "unknown key %s%s%s%s%s", shown_of(reader_scalar(in)).text,
                               m->list == NULL ? "" : " in '", m->list == NULL ? "" : m->list,
                               m->list == NULL ? "" : "'", suggest_hint(&near, "").text);
    }
    size_t *line = &m->lines[field - m->shape->fields];
    if (*line != 0) {
        return reader_complain(in, "duplicate key '%s', first given on line %zu", field->name,
                               *line);
    }
    *line = in->event.start_mark.line + 1;
    enum err e = reader_next(in);
    if (e || reader_is_null(in)) return e;
    return read_test_value(m->x, field, (uint8_t *)m->to + field->offset);
}

/* --- the file --------------------------------------------------------------------------------- */

static enum err
tests_read_root(struct config_reader *in, void *context)
{
    if (reader_is_null(in)) return OK;
    if (in->event.type == YAML_MAPPING_START_EVENT) return reader_mapping(in, read_field, context);
    return reader_complain(in, "expected keys such as 'tests:'");
}

enum err
rule_tests_parse(const char *file, struct bytes text, struct arena *arena,
                 struct rule_tests *ret_tests, struct why *why)
{
    struct tests_reading x = {.arena = arena};
    struct rule_tests tests = {.evaluation_interval_ms = 0};
    struct mapping_reading m = {.x = &x, .shape = &file_shape, .to = &tests};
    enum err e = reader_init(&x.in, file, text, RULE_TESTS_BYTES_MAX, why);
    if (e) return e;
    e = reader_document_expanded(&x.in, RULE_TESTS_BYTES_MAX, RULE_TESTS_VALUES_MAX,
                                 tests_read_root, &m);
    reader_fini(&x.in);
    if (e) return e;
    if (tests.evaluation_interval_ms == 0) tests.evaluation_interval_ms = DEFAULT_INTERVAL_MS;
    *ret_tests = tests;
    return OK;
}

/* --- rule files ------------------------------------------------------------------------------- */

struct rule_files_found {
    struct env *env;
    const char *file; /* the test file */
    struct arena *arena;
    struct text_list found;
    bool any; /* a file matches the current pattern */
    struct why *why;
};

static enum err
found_take_path(void *context, const char *path)
{
    struct rule_files_found *f = context;
    struct file_facts facts;
    struct why missing;
    if (env_facts(f->env, path, &facts, &missing)) return OK;
    f->any = true;
    for (uint32_t i = 0; i < f->found.count; i++) {
        if (strcmp(f->found.items[i], path) == 0) return OK;
    }
    if (f->found.count == RULE_TESTS_FILES_MAX) {
        return why_set(f->why, ERR_LIMIT, "%s: rule_files: at most %d files are allowed", f->file,
                       RULE_TESTS_FILES_MAX);
    }
    const char **items = arena_push(f->arena, f->found.items, f->found.count, sizeof(const char *));
    if (items == NULL || !text_copy(f->arena, path, &items[f->found.count]))
        return why_set(f->why, ERR_NOMEM, "not enough memory for the names of rule files");
    f->found.items = items;
    f->found.count++;
    return OK;
}

static int
compare_paths(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum err
rule_tests_find_files(struct env *env, const char *file, const struct text_list *patterns,
                      struct arena *arena, void (*unmatched)(void *context, const char *pattern),
                      void *context, struct text_list *ret_paths, struct why *why)
{
    struct rule_files_found f = {.env = env, .file = file, .arena = arena, .why = why};
    for (uint32_t i = 0; i < patterns->count; i++) {
        const char *pattern = patterns->items[i];
        struct why what = {""};
        uint32_t first = f.found.count;
        enum err e = OK;
        f.any = false;
        if (pattern[0] != '\0') {
            if (file_pattern_is_wild(pattern)) e = file_pattern_check(pattern, &what);
            if (e) {
                return why_set(why, e, "%s: rule_files: %s: %s", file,
                               shown_of(bytes_of_text(pattern)).text, what.text);
            }
            pattern = path_from(arena, file, pattern);
            if (pattern == NULL)
                return why_set(why, ERR_NOMEM, "not enough memory for the names of rule files");
            e = file_pattern_expand(env, pattern, found_take_path, &f, why);
        }
        if (e) return e;
        if (!f.any) unmatched(context, pattern);
        if (f.found.count > first + 1) {
            qsort(f.found.items + first, f.found.count - first, sizeof *f.found.items,
                  compare_paths);
        }
    }
    *ret_paths = f.found;
    return OK;
}
