/*
 * rule_checks.c - checks drafts of groups as Prometheus does, and makes groups of them. Names and
 * values need no check for UTF-8: libyaml accepts nothing else.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/hash/hash.h"
#include "base/text/caret.h"
#include "promql/promql.h"
#include "rules/load/rule_files_private.h"
#include "template/template.h"

enum { SHOWN_COLUMNS = 100 };

/* The place being checked, for sentences. */
struct checked {
    struct rule_file *file;
    const struct drafted_group *group;
    uint32_t group_number;           /* from 1 on */
    const struct drafted_rule *rule; /* NULL: the group itself */
    uint32_t rule_number;
};

/* --- errors ----------------------------------------------------------------------------------- */

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
    if (name == NULL || name[0] == 0) {
        buf_printf(to, "%u", c->group_number);
    } else {
        buf_put_text(to, shown_of(bytes_of_text(name)).text);
    }
    if (c->rule != NULL) {
        name = name_of_rule(c->rule);
        buf_printf(to, ", rule %u", c->rule_number);
        if (name != NULL) buf_printf(to, " %s", shown_of(bytes_of_text(name)).text);
    }
    buf_put_text(to, ": ");
}

static enum err
report_sentence(const struct checked *c)
{
    if (buf_error(&c->file->sentence)) return reader_no_memory(&c->file->in);
    rule_file_report(c->file, buf_bytes(&c->file->sentence));
    return OK;
}

static enum err PRINTF_LIKE(3, 4)
    complain(const struct checked *c, struct rule_place at, const char *format, ...)
{
    struct why what;
    va_list args;
    va_start(args, format);
    vsnprintf(what.text, sizeof what.text, format, args);
    va_end(args);
    put_where(c, at);
    buf_put_text(&c->file->sentence, what.text);
    return report_sentence(c);
}

/* Reports an error whose text comes from another module, and may contain anything. If it begins
 * with a position in `text`, that line may be shown. */
static enum err
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
    return report_sentence(c);
}

/* --- texts ------------------------------------------------------------------------------------ */

static enum err
check_labels(const struct checked *c, const struct drafted_texts *labels)
{
    for (uint32_t i = 0; i < labels->count; i++) {
        const struct drafted_text *label = &labels->items[i];
        enum err e = OK;
        if (label->name[0] == 0) {
            e = complain(c, label->at, "labels: a name must not be empty");
        } else if (strcmp(label->name, "__name__") == 0) {
            e = complain(c, label->at, "labels: '__name__' is not allowed");
        }
        if (e) return e;
    }
    return OK;
}

static enum err
check_annotations(const struct checked *c)
{
    const struct drafted_texts *annotations = &c->rule->annotations;
    for (uint32_t i = 0; i < annotations->count; i++) {
        if (annotations->items[i].name[0] != 0) continue;
        enum err e = complain(c, annotations->items[i].at, "annotations: a name must not be empty");
        if (e) return e;
    }
    return OK;
}

/* Checks the texts of an alert: `what` is "label" or "annotation". */
static enum err
check_templates(const struct checked *c, const char *what, const struct drafted_texts *texts)
{
    struct budget *budget = c->file->arena->budget;
    struct buf name;
    enum err e = OK;
    buf_init(&name, budget, RULE_FILE_BYTES_MAX + sizeof "__alert_");
    buf_printf(&name, "__alert_%s", c->rule->alert);
    if (buf_error(&name)) e = reader_no_memory(&c->file->in);
    struct template_options options = {.name = buf_bytes(&name), .budget = budget};
    for (uint32_t i = 0; e == OK && i < texts->count; i++) {
        const struct drafted_text *text = &texts->items[i];
        struct why why = {""};
        e = template_check(&options, bytes_of_text(text->value), &why);
        if (e == OK) continue;
        if (e != ERR_INPUT && e != ERR_LIMIT) {
            e = reader_no_memory(&c->file->in);
            break;
        }
        char field[96];
        snprintf(field, sizeof field, "%s %s", what, shown_of(bytes_of_text(text->name)).text);
        e = complain_of(c, text->at, field, bytes_of_text(why.text), bytes_of_text(text->value));
    }
    buf_fini(&name);
    return e;
}

/* --- rules ------------------------------------------------------------------------------------ */

static enum err
check_expression(const struct checked *c)
{
    const struct drafted_rule *rule = c->rule;
    struct budget *budget = c->file->arena->budget;
    struct promql_tree *tree = NULL;
    struct buf error;
    if (rule->expr == NULL || rule->expr[0] == 0) {
        struct rule_place at = rule->places.of[DRAFT_EXPR];
        return complain(c, at.line == 0 ? rule->places.begin : at, "'expr' is required");
    }
    buf_init(&error, budget, 2 * RULE_DETAIL_BYTES_MAX);
    enum err e = promql_parse(bytes_of_text(rule->expr), budget, NULL, &tree, &error);
    promql_free(tree);
    if (e == ERR_INPUT || e == ERR_LIMIT) {
        e = complain_of(c, rule->places.of[DRAFT_EXPR], "invalid expression", buf_bytes(&error),
                        bytes_of_text(rule->expr));
    } else if (e) {
        e = reader_no_memory(&c->file->in);
    }
    buf_fini(&error);
    return e;
}

static enum err
check_recording(const struct checked *c)
{
    const struct drafted_rule *rule = c->rule;
    const struct rule_place *of = rule->places.of;
    enum err e = OK;
    if (strpbrk(rule->record, "{}") != NULL) {
        e = complain(c, of[DRAFT_RECORD],
                     "record: %s is not a valid metric name: braces belong in 'expr'",
                     shown_of(bytes_of_text(rule->record)).text);
    }
    if (e == OK && rule->annotations.count > 0) {
        e = complain(c, of[DRAFT_ANNOTATIONS], "'annotations' is only valid with 'alert'");
    }
    if (e == OK && rule->for_ms != 0) {
        e = complain(c, of[DRAFT_FOR], "'for' is only valid with 'alert'");
    }
    if (e == OK && rule->keep_firing_for_ms != 0) {
        e = complain(c, of[DRAFT_KEEP_FIRING_FOR], "'keep_firing_for' is only valid with 'alert'");
    }
    return e;
}

static enum err
check_rule(const struct checked *c)
{
    const struct drafted_rule *rule = c->rule;
    bool records = rule->record != NULL && rule->record[0] != 0;
    bool alerts = rule->alert != NULL && rule->alert[0] != 0;
    enum err e = OK;
    if (records && alerts) {
        e = complain(c, rule->places.of[DRAFT_ALERT],
                     "'alert' and 'record' cannot be used together; 'record' is on line %u",
                     rule->places.of[DRAFT_RECORD].line);
    } else if (!records && !alerts) {
        e = complain(c, rule->places.begin, "'record' or 'alert' is required");
    }
    if (e == OK) e = check_expression(c);
    if (e == OK && records && !alerts) e = check_recording(c);
    if (e == OK) e = check_labels(c, &rule->labels);
    if (e == OK) e = check_annotations(c);
    if (e == OK && alerts) e = check_templates(c, "label", &rule->labels);
    if (e == OK && alerts) e = check_templates(c, "annotation", &rule->annotations);
    return e;
}

/* --- groups ----------------------------------------------------------------------------------- */

static enum err
check_name(const struct checked *c, uint64_t hash)
{
    const struct drafted_group *group = c->group;
    const struct rule_groups *groups = &c->file->groups;
    struct rule_place at = group->places.of[DRAFT_NAME];
    if (group->name == NULL || group->name[0] == 0) {
        return complain(c, at.line == 0 ? group->places.begin : at, "'name' is required");
    }
    for (uint32_t step = TABLE_START, id; table_next(&c->file->names, hash, &step, &id);) {
        if (strcmp(groups->items[id].name, group->name) != 0) continue;
        return complain(c, at, "duplicate name, also given to the group on line %u",
                        groups->items[id].line);
    }
    return OK;
}

static int
compare_text_names(const void *a, const void *b)
{
    const struct named_text *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static bool
rules_keep_texts(struct arena *arena, const struct drafted_texts *from, struct named_texts *ret)
{
    if (from->count == 0) return true;
    struct named_text *items = arena_alloc(arena, from->count * sizeof *items);
    if (items == NULL) return false;
    for (uint32_t i = 0; i < from->count; i++) {
        items[i] = (struct named_text){from->items[i].name, from->items[i].value};
    }
    qsort(items, from->count, sizeof *items, compare_text_names);
    *ret = (struct named_texts){items, from->count};
    return true;
}

static bool
keep_rule(struct arena *arena, const struct drafted_rule *from, struct rule *ret)
{
    *ret = (struct rule){
        .kind = from->alert != NULL && from->alert[0] != 0 ? RULE_ALERTING : RULE_RECORDING,
        .name = name_of_rule(from),
        .expression = from->expr,
        .for_ms = from->for_ms,
        .keep_firing_for_ms = from->keep_firing_for_ms,
        .line = from->places.begin.line,
        .column = from->places.begin.column,
    };
    return rules_keep_texts(arena, &from->labels, &ret->labels) &&
           rules_keep_texts(arena, &from->annotations, &ret->annotations);
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
        if (!keep_rule(arena, &from->rules[i], &ret->rules[i])) return false;
    }
    return true;
}

enum err
rule_file_add_group(struct rule_file *f, const struct drafted_group *draft)
{
    struct rule_groups *groups = &f->groups;
    struct checked c = {.file = f, .group = draft, .group_number = groups->count + 1};
    uint64_t hash = draft->name == NULL ? 0 : hash_bytes(bytes_of_text(draft->name), 0);
    enum err e = check_name(&c, hash);
    if (e == OK) e = check_labels(&c, &draft->labels);
    if (e == OK && f->is_group && draft->rule_count == 0) {
        e = complain(&c, draft->places.begin, "'rules' must have at least one entry");
    }
    for (uint32_t i = 0; e == OK && i < draft->rule_count; i++) {
        c.rule = &draft->rules[i];
        c.rule_number = i + 1;
        e = check_rule(&c);
    }
    if (e) return e;
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
