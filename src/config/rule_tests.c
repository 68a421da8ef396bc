/*
 * rule_tests.c - see rule_tests.h. The document is loaded whole, because whoever writes tests
 * repeats himself, with anchors, aliases and merge keys. What a value may be is said by tables, one
 * for each kind of mapping, which are no schema (schema.h): here null is the same as not given, a
 * number is a text where a text is wanted, and a plain `yes` is true, as in the YAML of Go.
 */
#include "config/rule_tests.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/ascii.h"
#include "base/time_text.h"
#include "config/reader.h"
#include "config/suggest.h"
#include "wire/number.h"
#include "wire/yaml_tree.h"

enum { FIELDS_MAX = 8, MERGES_DEEP_MAX = 16, DEFAULT_INTERVAL_MS = 60 * 1000 };

enum field_kind {
    FIELD_TEXT,
    FIELD_DURATION,
    FIELD_MOMENT,
    FIELD_BOOL,
    FIELD_NUMBER,
    FIELD_TEXTS,
    FIELD_DISTINCT_TEXTS,
    FIELD_NAMED_TEXTS,
    FIELD_MAPPINGS
};

struct field {
    const char *name;
    enum field_kind kind;
    size_t offset;
    const struct shape *inner; /* of FIELD_MAPPINGS */
};

enum { NO_PLACE = -1 };

/* A kind of mapping. */
struct shape {
    size_t bytes;
    ptrdiff_t place;            /* offset of where it stands, or NO_PLACE */
    const struct field *fields; /* ended by a NULL name; at most FIELDS_MAX */
};

/* --- tables ----------------------------------------------------------------------------------- */

#define ROW(struct_name, name, kind, field, inner)             \
    {                                                          \
        name, kind, offsetof(struct struct_name, field), inner \
    }

static const struct shape series_shape = {
    sizeof(struct rule_test_series),
    offsetof(struct rule_test_series, place),
    (const struct field[]){
        ROW(rule_test_series, "series", FIELD_TEXT, series, NULL),
        ROW(rule_test_series, "values", FIELD_TEXT, values, NULL),
        {NULL},
    },
};
static const struct shape alert_shape = {
    sizeof(struct rule_test_alert),
    NO_PLACE,
    (const struct field[]){
        ROW(rule_test_alert, "exp_labels", FIELD_NAMED_TEXTS, labels, NULL),
        ROW(rule_test_alert, "exp_annotations", FIELD_NAMED_TEXTS, annotations, NULL),
        {NULL},
    },
};
static const struct shape alerts_shape = {
    sizeof(struct rule_test_alerts),
    NO_PLACE,
    (const struct field[]){
        ROW(rule_test_alerts, "eval_time", FIELD_DURATION, at_ms, NULL),
        ROW(rule_test_alerts, "alertname", FIELD_TEXT, alertname, NULL),
        ROW(rule_test_alerts, "exp_alerts", FIELD_MAPPINGS, expected, &alert_shape),
        {NULL},
    },
};
static const struct shape sample_shape = {
    sizeof(struct rule_test_sample),
    NO_PLACE,
    (const struct field[]){
        ROW(rule_test_sample, "labels", FIELD_TEXT, labels, NULL),
        ROW(rule_test_sample, "value", FIELD_NUMBER, bits, NULL),
        ROW(rule_test_sample, "histogram", FIELD_TEXT, histogram, NULL),
        {NULL},
    },
};
static const struct shape expression_shape = {
    sizeof(struct rule_test_expression),
    NO_PLACE,
    (const struct field[]){
        ROW(rule_test_expression, "expr", FIELD_TEXT, expression, NULL),
        ROW(rule_test_expression, "eval_time", FIELD_DURATION, at_ms, NULL),
        ROW(rule_test_expression, "exp_samples", FIELD_MAPPINGS, expected, &sample_shape),
        {NULL},
    },
};
static const struct shape test_shape = {
    sizeof(struct rule_test),
    offsetof(struct rule_test, place),
    (const struct field[]){
        ROW(rule_test, "interval", FIELD_DURATION, interval_ms, NULL),
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
static const struct shape file_shape = {
    sizeof(struct rule_tests),
    NO_PLACE,
    (const struct field[]){
        ROW(rule_tests, "rule_files", FIELD_TEXTS, rule_files, NULL),
        ROW(rule_tests, "evaluation_interval", FIELD_DURATION, evaluation_interval_ms, NULL),
        ROW(rule_tests, "group_eval_order", FIELD_DISTINCT_TEXTS, group_eval_order, NULL),
        ROW(rule_tests, "fuzzy_compare", FIELD_BOOL, fuzzy_compare, NULL),
        ROW(rule_tests, "tests", FIELD_MAPPINGS, tests, &test_shape),
        {NULL},
    },
};

/* --- nodes ------------------------------------------------------------------------------------ */

struct tests_reading {
    struct config_reader in; /* its parser and its complaints */
    yaml_document_t document;
    struct arena *arena;
    uint32_t values; /* that were read */
};

static enum err
no_memory(struct tests_reading *x)
{
    return why_set(x->in.why, ERR_NOMEM, "%s: not enough memory", x->in.file_name);
}

static struct bytes
scalar(const yaml_node_t *node)
{
    return bytes_of(node->data.scalar.value, node->data.scalar.length);
}

static bool
is_plain(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static bool
is_one_of(const yaml_node_t *node, const char *const *words)
{
    for (; is_plain(node) && *words != NULL; words++) {
        if (bytes_equal_text(scalar(node), *words)) return true;
    }
    return false;
}

static bool
is_null(const yaml_node_t *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    return is_one_of(node, nulls);
}

/* "NAME: expected a duration, got 'x'" */
static enum err
expected(struct tests_reading *x, const yaml_node_t *node, const char *name, const char *what)
{
    struct shown got = {"a list"};
    if (node->type == YAML_MAPPING_NODE) got = (struct shown){"a mapping"};
    if (node->type == YAML_SCALAR_NODE) got = shown_of(scalar(node));
    if (is_null(node)) got = (struct shown){"nothing"};
    return reader_complain_at(&x->in, node->start_mark, "%s: expected %s, got %s", name, what,
                              got.text);
}

/* The node of that number, which is there: but for tags, and too many values. */
static enum err
find_node(struct tests_reading *x, int number, yaml_node_t **ret)
{
    yaml_node_t *node = yaml_document_get_node(&x->document, number);
    const char *tag = (const char *)node->tag;
    const char *usual = node->type == YAML_SCALAR_NODE     ? YAML_DEFAULT_SCALAR_TAG
                        : node->type == YAML_SEQUENCE_NODE ? YAML_DEFAULT_SEQUENCE_TAG
                                                           : YAML_DEFAULT_MAPPING_TAG;
    if (strcmp(tag, usual) != 0) {
        return reader_complain_at(&x->in, node->start_mark, "tags (!name) are not supported here");
    }
    if (x->values++ == RULE_TESTS_VALUES_MAX) {
        return reader_complain_at(&x->in, node->start_mark, "at most %d values are allowed",
                                  RULE_TESTS_VALUES_MAX);
    }
    *ret = node;
    return OK;
}

/* --- scalars ---------------------------------------------------------------------------------- */

static enum err
read_text(struct tests_reading *x, const yaml_node_t *node, const char *name, const char **ret)
{
    if (node->type != YAML_SCALAR_NODE) return expected(x, node, name, "text");
    struct bytes text = is_null(node) ? bytes_of(NULL, 0) : scalar(node);
    if (text.size > 0 && memchr(text.at, 0, text.size) != NULL) {
        return reader_complain_at(&x->in, node->start_mark, "%s: must not contain NUL characters",
                                  name);
    }
    char *copy = arena_alloc(x->arena, text.size + 1);
    if (copy == NULL) return no_memory(x);
    if (text.size > 0) memcpy(copy, text.at, text.size);
    copy[text.size] = 0;
    *ret = copy;
    return OK;
}

static enum err
read_duration(struct tests_reading *x, const yaml_node_t *node, const char *name, int64_t *ret)
{
    if (node->type == YAML_SCALAR_NODE) {
        if (bytes_equal_text(scalar(node), "0")) { /* the only one without a unit */
            *ret = 0;
            return OK;
        }
        if (time_parse_duration_api(scalar(node), ret)) return OK;
    }
    return expected(x, node, name, "a duration such as 90s or 1h30m");
}

/* So that times of a test are nanoseconds, too. */
static enum err
read_moment(struct tests_reading *x, const yaml_node_t *node, const char *name, int64_t *ret)
{
    static const int64_t most = INT64_MAX / 1000000 / 2;
    int64_t ms;
    bool fits = node->type == YAML_SCALAR_NODE && time_parse_api(scalar(node), &ms) &&
                ms >= -most && ms <= most;
    if (fits) *ret = ms;
    return fits
               ? OK
               : expected(x, node, name,
                          "Unix seconds or a time such as 2021-01-01T00:00:00Z, from 1824 to 2116");
}

static enum err
read_bool(struct tests_reading *x, const yaml_node_t *node, const char *name, bool *ret)
{
    static const char *const yes[] = {"y",    "Y",    "yes", "Yes", "YES", "true",
                                      "True", "TRUE", "on",  "On",  "ON",  NULL};
    static const char *const no[] = {"n",     "N",     "no",  "No",  "NO",  "false",
                                     "False", "FALSE", "off", "Off", "OFF", NULL};
    *ret = is_one_of(node, yes);
    return *ret || is_one_of(node, no) ? OK : expected(x, node, name, "true or false");
}

/* Of another base than 10, which has a prefix. False: it is none. */
static bool
read_prefixed(const char *digits, bool negative, double *ret)
{
    static const char letters[] = "xXoObB";
    static const int bases[] = {16, 16, 8, 8, 2, 2};
    const char *letter = digits[0] == '0' && digits[1] != 0 ? strchr(letters, digits[1]) : NULL;
    bool is_octal = digits[0] == '0' && strspn(digits, "01234567") == strlen(digits);
    char *end = NULL;
    const char *from = letter == NULL ? digits : digits + 2;
    if (letter == NULL && !is_octal) return false;
    if (!ascii_is_digit((uint8_t)*from) && !ascii_is_letter((uint8_t)*from)) return false;
    errno = 0;
    unsigned long long whole = strtoull(from, &end, letter == NULL ? 8 : bases[letter - letters]);
    if (*end != 0 || errno != 0) return false;
    *ret = negative ? -(double)whole : (double)whole;
    return true;
}

/* Digits, one point and an exponent, and nothing else that number_parse() would take. */
static bool
is_decimal(const char *text)
{
    size_t before = strspn(text, "0123456789");
    text += before;
    if (*text == '.') {
        size_t after = strspn(++text, "0123456789");
        if (before + after == 0) return false;
        text += after;
    } else if (before == 0) {
        return false;
    }
    if (*text != 'e' && *text != 'E') return *text == 0;
    text++;
    if (*text == '+' || *text == '-') text++;
    size_t exponent = strspn(text, "0123456789");
    return exponent > 0 && text[exponent] == 0;
}

/* A number of YAML 1.1, as Go reads it. */
static bool
parse_number(struct bytes given, uint64_t *ret_bits)
{
    static const char *const infinite[] = {".inf", ".Inf", ".INF"};
    static const char *const nan[] = {".nan", ".NaN", ".NAN"};
    char text[512];
    size_t size = 0;
    double value;
    if (given.size == 0 || given.size >= sizeof text) return false;
    for (size_t i = 0; i < given.size; i++) {
        if (given.at[i] == 0) return false;
        if (given.at[i] != '_') text[size++] = (char)given.at[i];
    }
    text[size] = 0;
    bool negative = text[0] == '-';
    const char *digits = text + (negative || text[0] == '+');
    for (size_t i = 0; i < 3; i++) {
        if (bytes_equal_text(given, nan[i])) {
            *ret_bits = NORMAL_NAN_BITS;
            return true;
        }
        if (strcmp(digits, infinite[i]) != 0) continue;
        *ret_bits = double_bits(negative ? -INFINITY : INFINITY);
        return true;
    }
    if (read_prefixed(digits, negative, &value)) {
        *ret_bits = double_bits(value);
        return true;
    }
    return is_decimal(digits) && number_parse(text, size, ret_bits);
}

static enum err
read_number(struct tests_reading *x, const yaml_node_t *node, const char *name, uint64_t *ret)
{
    if (is_plain(node) && parse_number(scalar(node), ret)) return OK;
    return expected(x, node, name, "a number");
}

/* --- lists and mappings ----------------------------------------------------------------------- */

static enum err read_mapping(struct tests_reading *x, const yaml_node_t *node,
                             const struct shape *shape, const char *list, void *to, int deep);

/* All pointers to lists look alike. */
struct any_list {
    void *items;
    uint32_t count;
};

/* Puts one in place of what is there. */
static void
put_list(void *to, void *items, uint32_t count)
{
    memcpy(to, &items, sizeof items);
    memcpy((uint8_t *)to + offsetof(struct any_list, count), &count, sizeof count);
}

static uint32_t
item_count(const yaml_node_t *list)
{
    return (uint32_t)(list->data.sequence.items.top - list->data.sequence.items.start);
}

static enum err
read_texts(struct tests_reading *x, const yaml_node_t *node, const char *name, void *to)
{
    if (node->type != YAML_SEQUENCE_NODE) return expected(x, node, name, "a list");
    uint32_t count = item_count(node);
    if (count > RULE_TESTS_NAMES_MAX) {
        return reader_complain_at(&x->in, node->start_mark, "%s: at most %d entries are allowed",
                                  name, RULE_TESTS_NAMES_MAX);
    }
    const char **items = arena_new(x->arena, (count + 1) * sizeof *items);
    if (items == NULL) return no_memory(x);
    for (uint32_t i = 0; i < count; i++) {
        yaml_node_t *item;
        enum err e = find_node(x, node->data.sequence.items.start[i], &item);
        if (e == OK) e = read_text(x, item, name, &items[i]);
        if (e) return e;
    }
    put_list(to, items, count);
    return OK;
}

static enum err
read_distinct_texts(struct tests_reading *x, const yaml_node_t *node, const char *name,
                    struct text_list *to)
{
    enum err e = read_texts(x, node, name, to);
    for (uint32_t i = 0; e == OK && i < to->count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            if (strcmp(to->items[i], to->items[k]) != 0) continue;
            int number = node->data.sequence.items.start[i];
            return reader_complain_at(
                &x->in, yaml_document_get_node(&x->document, number)->start_mark,
                "%s: %s is there twice", name, shown_of(bytes_of_text(to->items[i])).text);
        }
    }
    return e;
}

static void
put_defaults(const struct shape *shape, const yaml_node_t *node, void *to)
{
    static const char *const empty = "";
    for (const struct field *f = shape->fields; f->name != NULL; f++) {
        if (f->kind == FIELD_TEXT) memcpy((uint8_t *)to + f->offset, &empty, sizeof empty);
    }
    if (shape->place == NO_PLACE) return;
    const struct rule_test_place place = {(uint32_t)node->start_mark.line + 1,
                                          (uint32_t)node->start_mark.column + 1};
    memcpy((uint8_t *)to + shape->place, &place, sizeof place);
}

static enum err
read_mappings(struct tests_reading *x, const yaml_node_t *node, const struct field *field, void *to)
{
    const struct shape *shape = field->inner;
    if (node->type != YAML_SEQUENCE_NODE) return expected(x, node, field->name, "a list");
    uint32_t count = item_count(node);
    if (count > RULE_TESTS_VALUES_MAX) return no_memory(x);
    uint8_t *items = arena_new(x->arena, (count + 1) * shape->bytes);
    if (items == NULL) return no_memory(x);
    for (uint32_t i = 0; i < count; i++) {
        yaml_node_t *item;
        void *one = items + i * shape->bytes;
        enum err e = find_node(x, node->data.sequence.items.start[i], &item);
        if (e) return e;
        put_defaults(shape, item, one);
        if (!is_null(item)) e = read_mapping(x, item, shape, field->name, one, 0);
        if (e) return e;
    }
    put_list(to, items, count);
    return OK;
}

static bool
is_merge(const yaml_node_t *key)
{
    return is_plain(key) && bytes_equal_text(scalar(key), "<<");
}

/*
 * Calls `each` for what stands behind "<<" in a mapping: another one, or several of which the first
 * wins. What is given in the mapping itself counts, wherever that stands.
 */
typedef enum err merged_mapping(struct tests_reading *x, const yaml_node_t *node, int deep,
                                void *of);

static enum err
merge(struct tests_reading *x, const yaml_node_t *node, int deep, merged_mapping *each, void *of)
{
    static const char what[] = "a mapping or a list of mappings";
    if (deep > MERGES_DEEP_MAX) {
        return reader_complain_at(&x->in, node->start_mark, "<<: nested too deeply");
    }
    if (node->type == YAML_MAPPING_NODE) return each(x, node, deep, of);
    if (node->type != YAML_SEQUENCE_NODE) return expected(x, node, "<<", what);
    for (uint32_t i = item_count(node); i > 0; i--) {
        yaml_node_t *item;
        enum err e = find_node(x, node->data.sequence.items.start[i - 1], &item);
        if (e) return e;
        if (item->type != YAML_MAPPING_NODE) return expected(x, item, "<<", what);
        e = each(x, item, deep, of);
        if (e) return e;
    }
    return OK;
}

static enum err
merge_all(struct tests_reading *x, const yaml_node_t *node, int deep, merged_mapping *each,
          void *of)
{
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    for (; pair < node->data.mapping.pairs.top; pair++) {
        yaml_node_t *key, *value;
        enum err e = find_node(x, pair->key, &key);
        if (e) return e;
        if (!is_merge(key)) continue;
        e = find_node(x, pair->value, &value);
        if (e == OK) e = merge(x, value, deep + 1, each, of);
        if (e) return e;
    }
    return OK;
}

/* --- names and texts -------------------------------------------------------------------------- */

struct naming {
    const char *field;
    struct named_texts texts; /* by name */
};

/* Where a name stands, or belongs. */
static uint32_t
find_name(const struct named_texts *texts, const char *name, bool *ret_found)
{
    uint32_t place = 0;
    while (place < texts->count && strcmp(texts->items[place].name, name) < 0) {
        place++;
    }
    *ret_found = place < texts->count && strcmp(texts->items[place].name, name) == 0;
    return place;
}

static enum err
put_named(struct tests_reading *x, struct named_texts *texts, struct named_text text)
{
    bool found;
    uint32_t place = find_name(texts, text.name, &found);
    if (found) {
        texts->items[place].value = text.value;
        return OK;
    }
    if (texts->count == RULE_TESTS_NAMES_MAX) {
        return why_set(x->in.why, ERR_INPUT, "%s: at most %d labels or annotations are allowed",
                       x->in.file_name, RULE_TESTS_NAMES_MAX);
    }
    struct named_text *items = arena_push(x->arena, texts->items, texts->count, sizeof *items);
    if (items == NULL) return no_memory(x);
    texts->items = items;
    for (uint32_t i = texts->count++; i > place; i--) {
        items[i] = items[i - 1];
    }
    items[place] = text;
    return OK;
}

static enum err
read_names(struct tests_reading *x, const yaml_node_t *node, int deep, void *of)
{
    struct naming *n = of;
    struct named_texts own = {NULL};
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    enum err e = merge_all(x, node, deep, read_names, n);
    for (; e == OK && pair < node->data.mapping.pairs.top; pair++) {
        yaml_node_t *key, *value;
        struct named_text text;
        bool twice;
        e = find_node(x, pair->key, &key);
        if (e == OK && is_merge(key)) continue;
        if (e == OK) e = find_node(x, pair->value, &value);
        if (e == OK) e = read_text(x, key, n->field, &text.name);
        if (e == OK) e = read_text(x, value, n->field, &text.value);
        if (e) return e;
        find_name(&own, text.name, &twice);
        if (twice) {
            return reader_complain_at(&x->in, key->start_mark, "%s: duplicate key %s", n->field,
                                      shown_of(bytes_of_text(text.name)).text);
        }
        e = put_named(x, &own, text);
        if (e == OK) e = put_named(x, &n->texts, text);
    }
    return e;
}

static enum err
read_named(struct tests_reading *x, const yaml_node_t *node, const char *name,
           struct named_texts *to)
{
    struct naming n = {name, {NULL}};
    if (node->type != YAML_MAPPING_NODE) return expected(x, node, name, "a mapping");
    enum err e = read_names(x, node, 0, &n);
    if (e == OK) *to = n.texts;
    return e;
}

/* --- fields ----------------------------------------------------------------------------------- */

static enum err
read_value(struct tests_reading *x, const yaml_node_t *node, const struct field *field, void *base)
{
    void *to = (uint8_t *)base + field->offset;
    switch (field->kind) {
    case FIELD_TEXT:
        return read_text(x, node, field->name, to);
    case FIELD_DURATION:
        return read_duration(x, node, field->name, to);
    case FIELD_MOMENT:
        return read_moment(x, node, field->name, to);
    case FIELD_BOOL:
        return read_bool(x, node, field->name, to);
    case FIELD_NUMBER:
        return read_number(x, node, field->name, to);
    case FIELD_TEXTS:
        return read_texts(x, node, field->name, to);
    case FIELD_DISTINCT_TEXTS:
        return read_distinct_texts(x, node, field->name, to);
    case FIELD_NAMED_TEXTS:
        return read_named(x, node, field->name, to);
    default:
        return read_mappings(x, node, field, to);
    }
}

static enum err
unknown_field(struct tests_reading *x, const yaml_node_t *key, const struct shape *shape,
              const char *list)
{
    struct suggestion near;
    if (key->type != YAML_SCALAR_NODE) {
        return reader_complain_at(&x->in, key->start_mark, "expected a key");
    }
    suggest_begin(&near, scalar(key));
    for (const struct field *f = shape->fields; f->name != NULL; f++) {
        suggest_try(&near, f->name);
    }
    return reader_complain_at(&x->in, key->start_mark, "unknown key %s%s%s%s%s",
                              shown_of(scalar(key)).text, list == NULL ? "" : " in '",
                              list == NULL ? "" : list, list == NULL ? "" : "'",
                              suggest_hint(&near, "").text);
}

/* A mapping that is being read. */
struct mapping_reading {
    const struct shape *shape;
    const char *list; /* whose entry it is; NULL: it is the file */
    void *to;
};

static enum err
merge_mapping(struct tests_reading *x, const yaml_node_t *node, int deep, void *of)
{
    const struct mapping_reading *m = of;
    return read_mapping(x, node, m->shape, m->list, m->to, deep);
}

/* `lines`: on which the fields were given, from 1 on. */
static enum err
read_pair(struct tests_reading *x, const struct mapping_reading *m, const yaml_node_t *key,
          int value_number, size_t lines[FIELDS_MAX])
{
    const struct field *field = m->shape->fields;
    yaml_node_t *value;
    while (field->name != NULL &&
           (key->type != YAML_SCALAR_NODE || !bytes_equal_text(scalar(key), field->name))) {
        field++;
    }
    if (field->name == NULL) return unknown_field(x, key, m->shape, m->list);
    size_t *line = &lines[field - m->shape->fields];
    if (*line != 0) {
        return reader_complain_at(&x->in, key->start_mark,
                                  "duplicate key '%s', first given on line %zu", field->name,
                                  *line);
    }
    *line = key->start_mark.line + 1;
    enum err e = find_node(x, value_number, &value);
    return e || is_null(value) ? e : read_value(x, value, field, m->to);
}

/* `deep`: in merges. */
static enum err
read_mapping(struct tests_reading *x, const yaml_node_t *node, const struct shape *shape,
             const char *list, void *to, int deep)
{
    size_t lines[FIELDS_MAX] = {0};
    struct mapping_reading m = {shape, list, to};
    if (node->type != YAML_MAPPING_NODE) {
        return reader_complain_at(&x->in, node->start_mark,
                                  "'%s' expects keys below it such as '%s:'", list,
                                  shape->fields[0].name);
    }
    enum err e = merge_all(x, node, deep, merge_mapping, &m);
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    for (; e == OK && pair < node->data.mapping.pairs.top; pair++) {
        yaml_node_t *key;
        e = find_node(x, pair->key, &key);
        if (e == OK && !is_merge(key)) e = read_pair(x, &m, key, pair->value, lines);
    }
    return e;
}

/* --- the whole -------------------------------------------------------------------------------- */

static enum err
read_document(struct tests_reading *x, struct rule_tests *tests)
{
    yaml_node_t *root = yaml_document_get_root_node(&x->document);
    enum err e = OK;
    if (root != NULL && !is_null(root)) e = find_node(x, 1, &root);
    if (e == OK && root != NULL && !is_null(root)) {
        if (root->type != YAML_MAPPING_NODE) {
            e = reader_complain_at(&x->in, root->start_mark, "expected keys such as 'tests:'");
        } else {
            e = read_mapping(x, root, &file_shape, NULL, tests, 0);
        }
    }
    return e;
}

enum err
rule_tests_parse(const char *file, struct bytes text, struct arena *arena,
                 struct rule_tests *ret_tests, struct why *why)
{
    struct tests_reading x = {.arena = arena};
    struct rule_tests tests = {.evaluation_interval_ms = 0};
    enum err e =
        yaml_tree_check(file, text, RULE_TESTS_BYTES_MAX, RULE_TESTS_VALUES_MAX, NULL, why);
    if (e == OK) e = reader_init(&x.in, file, text, RULE_TESTS_BYTES_MAX, why);
    if (e) return e;
    if (yaml_parser_load(&x.in.parser, &x.document)) {
        e = read_document(&x, &tests);
        yaml_document_delete(&x.document);
    } else {
        e = reader_syntax_error(&x.in);
    }
    reader_fini(&x.in);
    if (e) return e;
    if (tests.evaluation_interval_ms == 0) tests.evaluation_interval_ms = DEFAULT_INTERVAL_MS;
    *ret_tests = tests;
    return OK;
}
