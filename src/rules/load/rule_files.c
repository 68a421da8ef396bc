/*
 * rule_files.c - parses files of rules from YAML events. Each group becomes a draft with the places
 * of its fields; at its end, rule_checks.c makes a group of it.
 *
 * config/schema is not used: it stops at the first error and requires a value for each key. In rule
 * files, which are shared with Prometheus, null means not given, in lists too, and all errors of a
 * file are reported at once.
 */
#include "rules/load/rule_files.h"

#include "base/text/ascii.h"
#include "base/text/suggest.h"
#include "base/text/time_text.h"
#include "base/text/utf8.h"
#include "rules/load/rule_files_private.h"
#include "wire/yaml/yaml_tree.h"

enum { ANCHORED_VALUES_MAX = 500000 }; /* libyaml takes some 200 bytes for each */

/* --- errors ----------------------------------------------------------------------------------- */

void
rule_file_report(struct rule_file *f, struct bytes sentence)
{
    if (f->error_count++ == 0) {
        const uint8_t *end = memchr(sentence.at, '\n', sentence.size);
        size_t size = end == NULL ? sentence.size : (size_t)(end - sentence.at);
        struct bytes cut = utf8_cut(bytes_of(sentence.at, size), sizeof f->why->text - 1);
        err_ignore(why_set(f->why, ERR_INPUT, "%.*s", (int)cut.size, (const char *)cut.at),
                   "it is returned at the end");
    }
    if (f->options->report != NULL) f->options->report(f->options->context, sentence);
}

/* --- values ----------------------------------------------------------------------------------- */

enum rule_field_kind {
    FIELD_TEXT,
    FIELD_DURATION,
    FIELD_LIMIT,
    FIELD_TEXTS,
    FIELD_RULES,
    FIELD_GROUPS
};

struct rule_field {
    const char *name;
    enum rule_field_kind kind;
    size_t offset; /* in the draft */
};

static const struct rule_field rule_fields[] = {
    [DRAFT_RECORD] = {"record", FIELD_TEXT, offsetof(struct drafted_rule, record)},
    [DRAFT_ALERT] = {"alert", FIELD_TEXT, offsetof(struct drafted_rule, alert)},
    [DRAFT_EXPR] = {"expr", FIELD_TEXT, offsetof(struct drafted_rule, expr)},
    [DRAFT_FOR] = {"for", FIELD_DURATION, offsetof(struct drafted_rule, for_ms)},
    [DRAFT_KEEP_FIRING_FOR] = {"keep_firing_for", FIELD_DURATION,
                               offsetof(struct drafted_rule, keep_firing_for_ms)},
    [DRAFT_LABELS] = {"labels", FIELD_TEXTS, offsetof(struct drafted_rule, labels)},
    [DRAFT_ANNOTATIONS] = {"annotations", FIELD_TEXTS, offsetof(struct drafted_rule, annotations)},
    {NULL},
};
static const struct rule_field group_fields[] = {
    [DRAFT_NAME] = {"name", FIELD_TEXT, offsetof(struct drafted_group, name)},
    [DRAFT_INTERVAL] = {"interval", FIELD_DURATION, offsetof(struct drafted_group, interval_ms)},
    [DRAFT_LIMIT] = {"limit", FIELD_LIMIT, offsetof(struct drafted_group, limit)},
    [DRAFT_QUERY_OFFSET] = {"query_offset", FIELD_DURATION,
                            offsetof(struct drafted_group, query_offset_ms)},
    [DRAFT_GROUP_LABELS] = {"labels", FIELD_TEXTS, offsetof(struct drafted_group, labels)},
    [DRAFT_RULES] = {"rules", FIELD_RULES, 0},
    {NULL},
};
static const struct rule_field file_fields[] = {{"groups", FIELD_GROUPS, 0}, {NULL}};

/* The mapping being read. */
struct drafting {
    struct rule_file *file;
    const struct rule_field *fields;
    const char *list; /* the list it is an entry of; NULL: the whole file */
    void *draft;      /* for the file: its rule_file */
    struct rule_places places;
    size_t lines[DRAFT_FIELDS_MAX]; /* lines of keys, from 1 on; 0: not given */
};

static struct rule_place
value_place(yaml_mark_t mark)
{
    return (struct rule_place){(uint32_t)mark.line + 1, (uint32_t)mark.column + 1};
}

static enum err
rules_read_limit(struct rule_file *f, const char *name, uint32_t *ret)
{
    struct config_reader *in = &f->in;
    uint64_t number = 0;
    bool fine = in->event.type == YAML_SCALAR_EVENT &&
                in->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    struct bytes text = fine ? reader_scalar(in) : bytes_of(NULL, 0);
    for (size_t i = 0; fine && i < text.size; i++) {
        number = number * 10 + (uint8_t)(text.at[i] - '0');
        fine = ascii_is_digit(text.at[i]) && number <= INT32_MAX;
    }
    if (!fine) return reader_expected(in, name, "a whole number from 0 to 2147483647");
    *ret = (uint32_t)number;
    return OK;
}

struct drafting_texts {
    struct rule_file *file;
    const char *name; /* name of the field */
    struct drafted_texts texts;
};

/* Reads the current key and its value. */
static enum err
read_pair(struct config_reader *in, void *context)
{
    struct drafting_texts *d = context;
    struct drafted_texts *texts = &d->texts;
    if (texts->count == RULE_TEXTS_MAX) {
        return reader_complain(in, "%s: at most %d entries are allowed", d->name, RULE_TEXTS_MAX);
    }
    struct drafted_text *items =
        arena_push(&d->file->scratch, texts->items, texts->count, sizeof *items);
    if (items == NULL) return reader_no_memory(in);
    texts->items = items;
    struct drafted_text *text = &items[texts->count];
    enum err e = reader_text(in, d->name, d->file->arena, &text->name);
    if (e) return e;
    for (uint32_t i = 0; i < texts->count; i++) {
        if (strcmp(items[i].name, text->name) != 0) continue;
        return reader_complain(in, "%s: duplicate key %s, first given on line %u", d->name,
                               shown_of(bytes_of_text(text->name)).text, items[i].at.line);
    }
    text->at = value_place(in->event.start_mark);
    e = reader_next(in);
    if (e == OK) e = reader_text(in, d->name, d->file->arena, &text->value);
    if (e == OK) texts->count++;
    return e;
}

static enum err
read_texts(struct rule_file *f, const char *name, struct drafted_texts *ret)
{
    struct drafting_texts d = {f, name, {NULL}};
    if (f->in.event.type != YAML_MAPPING_START_EVENT) {
        return reader_expected(&f->in, name, "a mapping");
    }
    enum err e = reader_mapping(&f->in, read_pair, &d);
    if (e == OK) *ret = d.texts;
    return e;
}

/* --- mappings --------------------------------------------------------------------------------- */

static enum err rules_read_groups(struct rule_file *f);
static enum err read_rules(struct rule_file *f, struct drafted_group *group);

/* Keys of other programs' rule files, with advice for them. */
#define VMALERT "; it is a key of vmalert: remove it"
static const struct {
    const char *name, *sentence;
} foreign[] = {
    {"partial_response_strategy", "; it is a key of Thanos: remove it"},
    {"evaluation_delay", "; use 'query_offset'"},
    {"source_tenants", "; rules read the series of their own tenant only"},
    {"align_evaluation_time_on_interval", "; it is a key of Mimir: remove it"},
    {"namespace", "; it is a key of mimirtool: remove it, or load the file with mimirtool"},
    {"eval_delay", "; use 'query_offset'"},
    {"eval_offset", "; it is a key of vmalert: remove it, times follow from file and name"},
    {"concurrency", "; it is a key of vmalert: remove it, or set 'rules.max_concurrent_evals'"},
    {"type", "; it is a key of vmalert: remove it, all expressions are PromQL"},
    {"tenant", "; it is a key of vmalert: use 'tenants' of the configuration"},
    {"eval_alignment", VMALERT},
    {"params", VMALERT},
    {"headers", VMALERT},
    {"notifier_headers", VMALERT},
    {"debug", VMALERT},
    {"update_entries_limit", VMALERT},
    {"apiVersion", "; a rule file is what a PrometheusRule has below 'spec'"},
};

static const char *
foreign_hint(struct bytes word)
{
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        if (bytes_equal_text(word, foreign[i].name)) return foreign[i].sentence;
    }
    return NULL;
}

static enum err
unknown_field(struct drafting *d)
{
    struct config_reader *in = &d->file->in;
    struct suggestion near;
    struct bytes word = reader_scalar(in);
    if (d->file->options->ignore_unknown_fields) {
        enum err e = reader_next(in);
        return e ? e : reader_skip(in);
    }
    suggest_begin(&near, word);
    for (const struct rule_field *field = d->fields; field->name != NULL; field++) {
        suggest_try(&near, field->name);
    }
    struct hint hint = suggest_hint(&near, "");
    const char *known = foreign_hint(word);
    return reader_complain(in, "unknown key %s%s%s%s%s", shown_of(word).text,
                           d->list == NULL ? "" : " in '", d->list == NULL ? "" : d->list,
                           d->list == NULL ? "" : "'", known != NULL ? known : hint.text);
}

static enum err
read_field(struct config_reader *in, void *context)
{
    struct drafting *d = context;
    struct rule_file *f = d->file;
    const struct rule_field *field = d->fields;
    while (field->name != NULL && !bytes_equal_text(reader_scalar(in), field->name)) {
        field++;
    }
    if (field->name == NULL) return unknown_field(d);
    size_t index = (size_t)(field - d->fields);
    if (d->lines[index] != 0) {
        return reader_complain(in, "duplicate key '%s', first given on line %zu", field->name,
                               d->lines[index]);
    }
    d->lines[index] = in->event.start_mark.line + 1;
    enum err e = reader_next(in);
    if (e || reader_is_null(in)) return e;
    d->places.of[index] = value_place(in->event.start_mark);
    void *to = (uint8_t *)d->draft + field->offset;
    switch (field->kind) {
    case FIELD_TEXT:
        return reader_text(in, field->name, f->arena, to);
    case FIELD_DURATION:
        return reader_duration(in, field->name, to);
    case FIELD_LIMIT:
        return rules_read_limit(f, field->name, to);
    case FIELD_TEXTS:
        return read_texts(f, field->name, to);
    case FIELD_RULES:
        return read_rules(f, d->draft);
    default:
        return rules_read_groups(f);
    }
}

static enum err
read_entry(struct rule_file *f, const struct rule_field *fields, const char *list, void *draft,
           struct rule_places *ret_places)
{
    struct drafting d = {.file = f, .fields = fields, .list = list, .draft = draft};
    d.places.begin = value_place(f->in.event.start_mark);
    if (f->in.event.type != YAML_MAPPING_START_EVENT) {
        return reader_complain(&f->in, "'%s' expects keys below it such as '%s:', got %s", list,
                               fields[0].name, reader_found(&f->in).text);
    }
    enum err e = reader_mapping(&f->in, read_field, &d);
    *ret_places = d.places;
    return e;
}

/* Moves to the next entry of a list that is not null. */
static enum err
next_entry(struct rule_file *f, bool *ret_more)
{
    for (;;) {
        enum err e = reader_next(&f->in);
        if (e) return e;
        *ret_more = f->in.event.type != YAML_SEQUENCE_END_EVENT;
        if (!*ret_more || !reader_is_null(&f->in)) return OK;
    }
}

static enum err
read_rules(struct rule_file *f, struct drafted_group *group)
{
    struct config_reader *in = &f->in;
    bool more;
    if (in->event.type != YAML_SEQUENCE_START_EVENT) return reader_expected(in, "rules", "a list");
    for (;;) {
        enum err e = next_entry(f, &more);
        if (e || !more) return e;
        if (group->rule_count == RULES_MAX) {
            return reader_complain(in, "rules: at most %d entries are allowed", RULES_MAX);
        }
        struct drafted_rule *rules =
            arena_push(&f->scratch, group->rules, group->rule_count, sizeof *rules);
        if (rules == NULL) return reader_no_memory(&f->in);
        group->rules = rules;
        struct drafted_rule *rule = &rules[group->rule_count];
        *rule = (struct drafted_rule){.record = NULL};
        e = read_entry(f, rule_fields, "rules", rule, &rule->places);
        if (e) return e;
        group->rule_count++;
    }
}

static enum err
rules_read_groups(struct rule_file *f)
{
    struct config_reader *in = &f->in;
    bool more;
    if (in->event.type != YAML_SEQUENCE_START_EVENT) return reader_expected(in, "groups", "a list");
    for (;;) {
        enum err e = next_entry(f, &more);
        if (e || !more) return e;
        if (f->groups.count == RULE_GROUPS_MAX) {
            return reader_complain(in, "groups: at most %d entries are allowed", RULE_GROUPS_MAX);
        }
        struct drafted_group group = {.name = NULL};
        e = read_entry(f, group_fields, "groups", &group, &group.places);
        if (e == OK) e = rule_file_add_group(f, &group);
        if (e) return e;
        arena_reset(&f->scratch);
    }
}

static enum err
rules_read_root(struct config_reader *in, void *context)
{
    struct drafting d = {.file = context, .fields = file_fields, .draft = context};
    if (reader_is_null(in)) return OK;
    if (in->event.type == YAML_MAPPING_START_EVENT) return reader_mapping(in, read_field, &d);
    return reader_complain(in, "expected 'groups:', got %s", reader_found(in).text);
}

static enum err
read_lone_group(struct config_reader *in, void *context)
{
    struct rule_file *f = context;
    struct drafted_group group = {.name = NULL};
    if (in->event.type != YAML_MAPPING_START_EVENT) {
        return reader_complain(in, "expected the keys of a group such as 'name:', got %s",
                               reader_found(in).text);
    }
    enum err e = read_entry(f, group_fields, NULL, &group, &group.places);
    return e ? e : rule_file_add_group(f, &group);
}

/* --- the file --------------------------------------------------------------------------------- */

static enum err
parse_rules(const char *file, struct bytes text, const struct rule_file_options *options,
            struct arena *arena, bool is_group, struct rule_groups *ret_groups, struct why *why)
{
    struct why first = {""}, reading = {""};
    struct rule_file f = {.options = options,
                          .arena = arena,
                          .why = &first,
                          .is_group = is_group,
                          .groups.arena = arena};
    const char *name;
    if (!text_copy(arena, file, &name))
        return why_set(why, ERR_NOMEM, "%s: not enough memory", file);
    enum err e = reader_init(&f.in, name, text, RULE_FILE_BYTES_MAX, why);
    if (e) return e;
    f.in.why = &reading;
    arena_init(&f.scratch, arena->budget, RULE_DRAFT_BYTES_MAX, 0);
    buf_init(&f.sentence, arena->budget, RULE_SENTENCE_BYTES_MAX);
    e = is_group ? reader_document(&f.in, read_lone_group, &f)
                 : reader_document_expanded(&f.in, RULE_FILE_BYTES_MAX, ANCHORED_VALUES_MAX,
                                            rules_read_root, &f);
    if (e == OK && is_group && f.groups.count == 0) {
        e = why_set(&reading, ERR_INPUT, "%s:1:1: expected the keys of a group, got nothing", file);
    }
    if (e == ERR_INPUT) rule_file_report(&f, bytes_of_text(reading.text));
    if (e == OK && f.error_count > 0) e = ERR_INPUT;
    if (e == OK) *ret_groups = f.groups;
    if (e && why != NULL) *why = e == ERR_INPUT ? first : reading;
    reader_fini(&f.in);
    table_fini(&f.names, arena->budget);
    arena_fini(&f.scratch);
    buf_fini(&f.sentence);
    return e;
}

enum err
rule_file_parse(const char *file, struct bytes text, const struct rule_file_options *options,
                struct arena *arena, struct rule_groups *ret_groups, struct why *why)
{
    return parse_rules(file, text, options, arena, false, ret_groups, why);
}

enum err
rule_group_parse(const char *file, struct bytes text, const struct rule_file_options *options,
                 struct arena *arena, struct rule_group *ret_group, struct why *why)
{
    struct rule_groups groups = {NULL};
    enum err e = parse_rules(file, text, options, arena, true, &groups, why);
    if (e == OK) *ret_group = groups.items[0];
    return e;
}
