/*
 * rule_files.c - parses files of rules from YAML events. Each group becomes a draft with the places
 * of its fields; at its end it is checked as Prometheus does, and becomes a group. Names and values
 * need no check for UTF-8: libyaml accepts nothing else.
 *
 * config/schema is not used: it stops at the first error and requires a value for each key. In rule
 * files, which are shared with Prometheus, null means not given, in lists too, and all errors of a
 * file are reported at once.
 */
#include "rules/load/rule_files.h"

#include <stdio.h>

#include "base/hash/hash.h"
#include "base/table.h"
#include "base/text/quote.h"
#include "base/text/suggest.h"
#include "base/text/time_text.h"
#include "base/text/utf8.h"
#include "promql/promql.h"
#include "template/template.h"
#include "wire/yaml/yaml_reader.h"

enum {
    ANCHORED_VALUES_MAX = 500000, /* libyaml takes some 200 bytes for each */
    SHOWN_COLUMNS = 100,
};

/* From 1 on; line 0: not given. */
struct rule_place {
    uint32_t line, column;
};

struct drafted_text {
    const char *name;
    const char *value;
    struct rule_place at;
};
struct drafted_texts {
    struct drafted_text *items;
    uint32_t count;
};

enum {
    DRAFT_FIELDS_MAX = 8,
    RULE_DRAFT_BYTES_MAX = 256 << 20, /* per group */
    RULE_DETAIL_BYTES_MAX = 4096,     /* for the message about an expression or a template */
    RULE_SENTENCE_BYTES_MAX = 8 * RULE_DETAIL_BYTES_MAX, /* with escapes, and more */
};

/* Places of the fields' values, in the order of their rows. */
struct rule_places {
    struct rule_place begin;
    struct rule_place of[DRAFT_FIELDS_MAX];
};

/* In the order of the rows in rule_files.c. */
enum {
    DRAFT_RECORD,
    DRAFT_ALERT,
    DRAFT_EXPR,
    DRAFT_FOR,
    DRAFT_KEEP_FIRING_FOR,
    DRAFT_LABELS,
    DRAFT_ANNOTATIONS
};
struct drafted_rule {
    struct rule_places places;
    const char *record, *alert, *expr; /* NULL: not given */
    int64_t for_ms, keep_firing_for_ms;
    struct drafted_texts labels, annotations;
};

enum {
    DRAFT_NAME,
    DRAFT_INTERVAL,
    DRAFT_LIMIT,
    DRAFT_QUERY_OFFSET,
    DRAFT_GROUP_LABELS,
    DRAFT_RULES
};
struct drafted_group {
    struct rule_places places;
    const char *name;
    int64_t interval_ms, query_offset_ms;
    uint32_t limit;
    struct drafted_texts labels;
    struct drafted_rule *rules;
    uint32_t rule_count;
};

struct rule_file {
    struct config_reader in;
    const struct rule_file_options *options;
    struct arena *arena;  /* for texts, and temporary memory of checks */
    bool is_group;        /* the text is a single group, which must have rules */
    struct arena scratch; /* for the rest of a draft; one group at a time */
    struct why *why;      /* has the first sentence, if error_count > 0 */
    uint32_t error_count;
    bool lacks_memory; /* for a check: reading ends after the group */
    struct buf sentence;
    struct rule_groups groups;
    struct table names; /* indexes of groups by name */
};

/* --- errors ----------------------------------------------------------------------------------- */

/* Counts and reports an error. */
static void
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

/* The place being checked, for sentences. */
struct checked {
    struct rule_file *file;
    const struct drafted_group *group;
    uint32_t group_number;           /* from 1 on */
    const struct drafted_rule *rule; /* NULL: the group itself */
    uint32_t rule_number;
};

/* --- sentences -------------------------------------------------------------------------------- */

static const char *
name_of_rule(const struct drafted_rule *rule)
{
    if (rule->alert != NULL && rule->alert[0] != 0) return rule->alert;
    return rule->record != NULL && rule->record[0] != 0 ? rule->record : NULL;
}

/* Appends "FILE:3:5: group 'node', rule 2 'Down': ". */
static void
put_where(const struct checked *c, struct rule_place at)
{
    struct buf *to = &c->file->sentence;
    const char *name = c->group->name;
    buf_clear(to);
    buf_printf(to, "%s:%u:%u: group ", c->file->in.file_name, at.line, at.column);
    if (name == NULL || name[0] == 0)
        buf_printf(to, "%u", c->group_number);
    else
        buf_put_text(to, shown_of(bytes_of_text(name)).text);
    if (c->rule != NULL) {
        name = name_of_rule(c->rule);
        buf_printf(to, ", rule %u", c->rule_number);
        if (name != NULL) buf_printf(to, " %s", shown_of(bytes_of_text(name)).text);
    }
    buf_put_text(to, ": ");
}

/* Without memory for the sentence, reading ends. */
static void
report_sentence(const struct checked *c)
{
    if (buf_error(&c->file->sentence))
        c->file->lacks_memory = true;
    else
        rule_file_report(c->file, buf_bytes(&c->file->sentence));
}

static void PRINTF_LIKE(3, 4)
    complain(const struct checked *c, struct rule_place at, const char *format, ...)
{
    struct why what;
    va_list args;
    va_start(args, format);
    vsnprintf(what.text, sizeof what.text, format, args);
    va_end(args);
    put_where(c, at);
    buf_put_text(&c->file->sentence, what.text);
    report_sentence(c);
}

/* Reports an error whose text comes from another module, and may contain anything. If it begins
 * with a position in `text`, that line may be shown. */
static void
complain_of(const struct checked *c, struct rule_place at, const char *what, struct bytes detail,
            struct bytes text)
{
    struct buf *to = &c->file->sentence;
    put_where(c, at);
    buf_printf(to, "%s: ", what);
    buf_put_shown(to, utf8_cut(detail, RULE_DETAIL_BYTES_MAX));
    if (c->file->options->shows_place) {
        buf_put_u8(to, '\n');
        caret_put(to, text, detail, SHOWN_COLUMNS);
        to->size--; /* the end of the last line */
    }
    report_sentence(c);
}

/* --- texts ------------------------------------------------------------------------------------ */

static void
check_labels(const struct checked *c, const struct drafted_texts *labels)
{
    for (uint32_t i = 0; i < labels->count; i++) {
        const struct drafted_text *label = &labels->items[i];
        if (label->name[0] == 0)
            complain(c, label->at, "labels: a name must not be empty");
        else if (strcmp(label->name, "__name__") == 0)
            complain(c, label->at, "labels: '__name__' is not allowed");
    }
}

/* Checks the texts of an alert: `what` is "label" or "annotation". */
static void
check_templates(const struct checked *c, const char *what, const struct drafted_texts *texts)
{
    struct budget *budget = c->file->arena->budget;
    struct buf name;
    buf_init(&name, budget, RULE_FILE_BYTES_MAX + sizeof "__alert_");
    buf_printf(&name, "__alert_%s", c->rule->alert);
    c->file->lacks_memory |= buf_error(&name) != OK;
    struct template_options options = {.name = buf_bytes(&name), .budget = budget};
    for (uint32_t i = 0; !c->file->lacks_memory && i < texts->count; i++) {
        const struct drafted_text *text = &texts->items[i];
        struct why why = {""};
        char field[96];
        enum err e = template_check(&options, bytes_of_text(text->value), &why);
        c->file->lacks_memory |= e && e != ERR_INPUT && e != ERR_LIMIT;
        if (e == OK || c->file->lacks_memory) continue;
        snprintf(field, sizeof field, "%s %s", what, shown_of(bytes_of_text(text->name)).text);
        complain_of(c, text->at, field, bytes_of_text(why.text), bytes_of_text(text->value));
    }
    buf_fini(&name);
}

/* --- rules ------------------------------------------------------------------------------------ */

static void
check_expression(const struct checked *c)
{
    const struct drafted_rule *rule = c->rule;
    struct budget *budget = c->file->arena->budget;
    struct promql_tree *tree = NULL;
    struct rule_place at = rule->places.of[DRAFT_EXPR];
    struct buf error;
    if (rule->expr == NULL || rule->expr[0] == 0) {
        complain(c, at.line == 0 ? rule->places.begin : at, "'expr' is required");
        return;
    }
    buf_init(&error, budget, 2 * RULE_DETAIL_BYTES_MAX);
    enum err e = promql_parse(bytes_of_text(rule->expr), budget, NULL, &tree, &error);
    promql_free(tree);
    if (e == ERR_INPUT || e == ERR_LIMIT)
        complain_of(c, at, "invalid expression", buf_bytes(&error), bytes_of_text(rule->expr));
    else
        c->file->lacks_memory |= e != OK;
    buf_fini(&error);
}

static void
check_recording(const struct checked *c)
{
    const struct drafted_rule *rule = c->rule;
    const struct rule_place *of = rule->places.of;
    if (strpbrk(rule->record, "{}") != NULL)
        complain(c, of[DRAFT_RECORD],
                 "record: %s is not a valid metric name: braces belong in 'expr'",
                 shown_of(bytes_of_text(rule->record)).text);
    if (rule->annotations.count > 0)
        complain(c, of[DRAFT_ANNOTATIONS], "'annotations' is only valid with 'alert'");
    if (rule->for_ms != 0) complain(c, of[DRAFT_FOR], "'for' is only valid with 'alert'");
    if (rule->keep_firing_for_ms != 0)
        complain(c, of[DRAFT_KEEP_FIRING_FOR], "'keep_firing_for' is only valid with 'alert'");
}

static void
check_rule(const struct checked *c)
{
    const struct drafted_rule *rule = c->rule;
    bool records = rule->record != NULL && rule->record[0] != 0;
    bool alerts = rule->alert != NULL && rule->alert[0] != 0;
    if (records && alerts)
        complain(c, rule->places.of[DRAFT_ALERT],
                 "'alert' and 'record' cannot be used together; 'record' is on line %u",
                 rule->places.of[DRAFT_RECORD].line);
    else if (!records && !alerts)
        complain(c, rule->places.begin, "'record' or 'alert' is required");
    check_expression(c);
    if (records && !alerts) check_recording(c);
    check_labels(c, &rule->labels);
    for (uint32_t i = 0; i < rule->annotations.count; i++) {
        const struct drafted_text *text = &rule->annotations.items[i];
        if (text->name[0] == 0) complain(c, text->at, "annotations: a name must not be empty");
    }
    if (!alerts) return;
    check_templates(c, "label", &rule->labels);
    check_templates(c, "annotation", &rule->annotations);
}

/* --- groups ----------------------------------------------------------------------------------- */

static void
check_name(const struct checked *c, uint64_t hash)
{
    const struct drafted_group *group = c->group;
    const struct rule_groups *groups = &c->file->groups;
    struct rule_place at = group->places.of[DRAFT_NAME];
    if (group->name == NULL || group->name[0] == 0) {
        complain(c, at.line == 0 ? group->places.begin : at, "'name' is required");
        return;
    }
    for (uint32_t step = TABLE_START, id; table_next(&c->file->names, hash, &step, &id);) {
        if (strcmp(groups->items[id].name, group->name) != 0) continue;
        complain(c, at, "duplicate name, also given to the group on line %u",
                 groups->items[id].line);
        return;
    }
}

static bool
rules_keep_texts(struct arena *arena, const struct drafted_texts *from, struct named_texts *ret)
{
    if (from->count == 0) return true;
    struct named_text *items = arena_alloc(arena, from->count * sizeof *items);
    if (items == NULL) return false;
    for (uint32_t i = 0; i < from->count; i++)
        items[i] = (struct named_text){from->items[i].name, from->items[i].value};
    *ret = (struct named_texts){items, from->count};
    named_texts_sort(ret);
    return true;
}

static void
add_number(struct hash_pieces *h, uint64_t number)
{
    hash_add(h, bytes_of(&number, sizeof number));
}

static void
add_text(struct hash_pieces *h, const char *text)
{
    struct bytes bytes = bytes_of_text(text);
    add_number(h, bytes.size);
    hash_add(h, bytes);
}

static void
add_texts(struct hash_pieces *h, const struct named_texts *texts)
{
    add_number(h, texts->count);
    for (uint32_t i = 0; i < texts->count; i++) {
        add_text(h, texts->items[i].name);
        add_text(h, texts->items[i].value);
    }
}

static uint64_t
hash_group(const struct rule_group *group)
{
    struct hash_pieces h;
    hash_begin(&h, 0);
    add_text(&h, group->name);
    add_number(&h, (uint64_t)group->interval_ms);
    add_number(&h, group->has_query_offset);
    add_number(&h, (uint64_t)group->query_offset_ms);
    add_number(&h, group->limit);
    add_texts(&h, &group->labels);
    add_number(&h, group->rule_count);
    for (uint32_t i = 0; i < group->rule_count; i++) {
        const struct rule *rule = &group->rules[i];
        add_number(&h, rule->kind);
        add_text(&h, rule->name);
        add_text(&h, rule->expression);
        add_number(&h, (uint64_t)rule->for_ms);
        add_number(&h, (uint64_t)rule->keep_firing_for_ms);
        add_texts(&h, &rule->labels);
        add_texts(&h, &rule->annotations);
    }
    return hash_end(&h);
}

static bool
keep_group(struct rule_file *f, const struct drafted_group *from, struct rule_group *ret)
{
    struct arena *arena = f->arena;
    *ret = (struct rule_group){
        .file = f->in.file_name,
        .name = from->name == NULL ? "" : from->name,
        .interval_ms = from->interval_ms,
        .query_offset_ms = from->query_offset_ms,
        .has_query_offset = from->places.of[DRAFT_QUERY_OFFSET].line != 0,
        .limit = from->limit,
        .line = from->places.begin.line,
        .column = from->places.begin.column,
    };
    if (!rules_keep_texts(arena, &from->labels, &ret->labels)) return false;
    if (from->rule_count > 0) {
        ret->rules = arena_alloc(arena, from->rule_count * sizeof *ret->rules);
        if (ret->rules == NULL) return false;
    }
    for (; ret->rule_count < from->rule_count; ret->rule_count++) {
        uint32_t i = ret->rule_count;
        const struct drafted_rule *draft = &from->rules[i];
        struct rule *rule = &ret->rules[i];
        *rule = (struct rule){
            .kind = draft->alert != NULL && draft->alert[0] != 0 ? RULE_ALERTING : RULE_RECORDING,
            .name = name_of_rule(draft),
            .expression = draft->expr,
            .for_ms = draft->for_ms,
            .keep_firing_for_ms = draft->keep_firing_for_ms,
            .line = draft->places.begin.line,
            .column = draft->places.begin.column,
        };
        if (!rules_keep_texts(arena, &draft->labels, &rule->labels)) return false;
        if (!rules_keep_texts(arena, &draft->annotations, &rule->annotations)) return false;
    }
    return true;
}

/* Reports all errors of a group, and appends it to the groups. ERR_NOMEM. */
static enum err
rule_file_add_group(struct rule_file *f, const struct drafted_group *draft)
{
    struct rule_groups *groups = &f->groups;
    struct checked c = {.file = f, .group = draft, .group_number = groups->count + 1};
    uint64_t hash = draft->name == NULL ? 0 : hash_bytes(bytes_of_text(draft->name), 0);
    check_name(&c, hash);
    check_labels(&c, &draft->labels);
    if (f->is_group && draft->rule_count == 0)
        complain(&c, draft->places.begin, "'rules' must have at least one entry");
    for (uint32_t i = 0; !f->lacks_memory && i < draft->rule_count; i++) {
        c.rule = &draft->rules[i];
        c.rule_number = i + 1;
        check_rule(&c);
    }
    if (f->lacks_memory) return reader_no_memory(&f->in);
    struct rule_group *items =
        arena_push(f->arena, groups->items, groups->count, sizeof *groups->items);
    if (items == NULL) return reader_no_memory(&f->in);
    groups->items = items;
    struct rule_group *group = &items[groups->count];
    if (!keep_group(f, draft, group)) return reader_no_memory(&f->in);
    if (!table_reserve(&f->names, f->arena->budget, 1)) return reader_no_memory(&f->in);
    if (f->error_count == 0) group->hash = hash_group(group); /* no required field is missing */
    table_add(&f->names, hash, groups->count++);
    return OK;
}

/* --- values ----------------------------------------------------------------------------------- */

enum rule_field_kind {
    RULE_FILES_FIELD_TEXT,
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
    [DRAFT_RECORD] = {"record", RULE_FILES_FIELD_TEXT, offsetof(struct drafted_rule, record)},
    [DRAFT_ALERT] = {"alert", RULE_FILES_FIELD_TEXT, offsetof(struct drafted_rule, alert)},
    [DRAFT_EXPR] = {"expr", RULE_FILES_FIELD_TEXT, offsetof(struct drafted_rule, expr)},
    [DRAFT_FOR] = {"for", FIELD_DURATION, offsetof(struct drafted_rule, for_ms)},
    [DRAFT_KEEP_FIRING_FOR] = {"keep_firing_for", FIELD_DURATION,
                               offsetof(struct drafted_rule, keep_firing_for_ms)},
    [DRAFT_LABELS] = {"labels", FIELD_TEXTS, offsetof(struct drafted_rule, labels)},
    [DRAFT_ANNOTATIONS] = {"annotations", FIELD_TEXTS, offsetof(struct drafted_rule, annotations)},
    {NULL},
};
static const struct rule_field group_fields[] = {
    [DRAFT_NAME] = {"name", RULE_FILES_FIELD_TEXT, offsetof(struct drafted_group, name)},
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
    if (texts->count == RULE_TEXTS_MAX)
        return reader_complain(in, "%s: at most %d entries are allowed", d->name, RULE_TEXTS_MAX);
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
    for (const struct rule_field *field = d->fields; field->name != NULL; field++)
        suggest_try(&near, field->name);
    struct hint hint = suggest_hint(&near, "");
    const char *known = NULL;
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (bytes_equal_text(word, foreign[i].name)) known = foreign[i].sentence;
    return reader_complain(in, "unknown key %s%s%s%s%s", shown_of(word).text,
                           d->list == NULL ? "" : " in '", d->list == NULL ? "" : d->list,
                           d->list == NULL ? "" : "'", known != NULL ? known : hint.text);
}

static enum err
rule_files_read_field(struct config_reader *in, void *context)
{
    struct drafting *d = context;
    struct rule_file *f = d->file;
    const struct rule_field *field = d->fields;
    while (field->name != NULL && !bytes_equal_text(reader_scalar(in), field->name))
        field++;
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
    struct drafting_texts texts = {.file = f};
    switch (field->kind) {
    case RULE_FILES_FIELD_TEXT:
        return reader_text(in, field->name, f->arena, to);
    case FIELD_DURATION:
        return reader_duration(in, field->name, to);
    case FIELD_LIMIT:
        return rules_read_limit(f, field->name, to);
    case FIELD_TEXTS:
        if (in->event.type != YAML_MAPPING_START_EVENT)
            return reader_expected(in, field->name, "a mapping");
        texts.name = field->name;
        e = reader_mapping(in, read_pair, &texts);
        if (e == OK) memcpy(to, &texts.texts, sizeof texts.texts);
        return e;
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
    enum err e = reader_mapping(&f->in, rule_files_read_field, &d);
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
        if (group->rule_count == RULES_MAX)
            return reader_complain(in, "rules: at most %d entries are allowed", RULES_MAX);
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
        if (f->groups.count == RULE_GROUPS_MAX)
            return reader_complain(in, "groups: at most %d entries are allowed", RULE_GROUPS_MAX);
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
    if (in->event.type == YAML_MAPPING_START_EVENT)
        return reader_mapping(in, rule_files_read_field, &d);
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
    if (e == OK && is_group && f.groups.count == 0)
        e = why_set(&reading, ERR_INPUT, "%s:1:1: expected the keys of a group, got nothing", file);
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
