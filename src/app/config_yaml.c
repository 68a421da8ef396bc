/*
 * config_yaml.c - settings_yaml(): libyaml's events against the table.
 *
 * The grammar is what the table can say and nothing else, so reading needs no stack:
 *
 *     stream    = [ document ]
 *     document  = "" | { section }
 *     section   = name: { key: scalar }
 *
 * Anything deeper is refused where it begins, and so the depth of a hostile file does not matter.
 * libyaml has an allocator of its own; what it takes is bounded by CONFIG_BYTES_MAX.
 *
 * What a scalar means is decided by the setting it is given to, never by YAML: `true`, `"true"` and
 * `'true'` are the same, and a path may be called 9201. Only a plain null is no value.
 */
#include "app/config_text.h"

#include <assert.h>
#include <stdio.h>
#include <yaml.h>

#include "app/suggest.h"

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* zeroed: none */
    const char *file_name;
    struct bytes text;
    struct why *why;
    struct settings next;
    /* Line on which setting i of the table was given, 0 if not; of a section, at its first. */
    size_t setting_line[SETTINGS_MAX];
    size_t section_line[SETTINGS_MAX];
};

/* --- complaints ------------------------------------------------------------------------------- */

/* Puts "file:line:column: " before what `why` says. */
static enum err
at_mark(struct reader *r, yaml_mark_t mark)
{
    return why_prefix(r->why, ERR_INPUT, "%s:%zu:%zu", r->file_name, mark.line + 1,
                      mark.column + 1);
}

static enum err complain(struct reader *r, const char *format, ...) PRINTF_LIKE(2, 3);

/* At the beginning of the event at hand. */
static enum err
complain(struct reader *r, const char *format, ...)
{
    struct why what;
    va_list args;
    va_start(args, format);
    vsnprintf(what.text, sizeof what.text, format, args);
    va_end(args);
    why_set(r->why, ERR_INPUT, "%s", what.text);
    return at_mark(r, r->event.start_mark);
}

/* Errors below the characters come with an offset only. */
static yaml_mark_t
mark_of_offset(const struct reader *r, size_t offset)
{
    yaml_mark_t mark = {0};
    for (size_t i = 0; i < offset && i < r->text.size; i++) {
        mark.column += (r->text.at[i] & 0xc0) != 0x80; /* characters, as libyaml counts */
        if (r->text.at[i] != '\n') continue;
        mark.line++;
        mark.column = 0;
    }
    return mark;
}

/* True if the line of `mark` is indented with a tab: libyaml's words for it help nobody. */
static bool
tab_in_indent(const struct reader *r, yaml_mark_t mark)
{
    struct bytes left = r->text;
    for (size_t line = 0; line < mark.line; line++) {
        const uint8_t *end = left.size == 0 ? NULL : memchr(left.at, '\n', left.size);
        if (end == NULL) return false;
        left = bytes_of(end + 1, left.size - (size_t)(end + 1 - left.at));
    }
    for (size_t i = 0; i < left.size && (left.at[i] == ' ' || left.at[i] == '\t'); i++) {
        if (left.at[i] == '\t') return true;
    }
    return false;
}

static enum err
syntax_error(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem == NULL ? "not YAML" : p->problem;
    if (p->error == YAML_MEMORY_ERROR) {
        return why_set(r->why, ERR_NOMEM, "%s: out of memory", r->file_name);
    }
    if (p->error == YAML_READER_ERROR) {
        why_set(r->why, ERR_INPUT, "%s", problem);
        return at_mark(r, mark_of_offset(r, p->problem_offset));
    }
    const char *hint =
        tab_in_indent(r, p->problem_mark) ? "; indent with spaces, not with tabs" : "";
    if (p->context == NULL) {
        why_set(r->why, ERR_INPUT, "%s%s", problem, hint);
    } else {
        why_set(r->why, ERR_INPUT, "%s %s%s", p->context, problem, hint);
    }
    return at_mark(r, p->problem_mark);
}

/* --- events ----------------------------------------------------------------------------------- */

/* An anchor or a tag on the event at hand; NULL if there is none. */
static const char *
decoration(const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    case YAML_ALIAS_EVENT:
        return "aliases (*name)";
    default:
        break;
    }
    if (anchor != NULL) return "anchors (&name)";
    return tag == NULL ? NULL : "tags (!name)";
}

/* Moves to the next event; the one before is gone, and views of it with it. */
static enum err
next_event(struct reader *r)
{
    yaml_event_delete(&r->event);
    if (!yaml_parser_parse(&r->parser, &r->event)) return syntax_error(r);
    const char *refused = decoration(&r->event);
    return refused == NULL ? OK : complain(r, "%s are not supported here", refused);
}

static struct bytes
scalar_bytes(const struct reader *r)
{
    assert(r->event.type == YAML_SCALAR_EVENT);
    return bytes_of(r->event.data.scalar.value, r->event.data.scalar.length);
}

/* Nothing at all, or a plain null. */
static bool
is_null(const struct reader *r)
{
    if (r->event.type != YAML_SCALAR_EVENT) return false;
    if (r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return false;
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++) {
        if (bytes_equal_text(scalar_bytes(r), nulls[i])) return true;
    }
    return false;
}

/* The event at hand, for people. */
static struct shown
found(const struct reader *r)
{
    struct shown s = {"nothing"};
    if (r->event.type == YAML_MAPPING_START_EVENT) {
        snprintf(s.text, sizeof s.text, "a mapping");
    } else if (r->event.type == YAML_SEQUENCE_START_EVENT) {
        snprintf(s.text, sizeof s.text, "a list");
    } else if (r->event.type == YAML_SCALAR_EVENT && !is_null(r)) {
        s = shown_of(scalar_bytes(r));
    }
    return s;
}

/* --- names ------------------------------------------------------------------------------------ */

static size_t
section_size(const struct setting *s)
{
    return strcspn(s->name, ".");
}

static bool
in_section(const struct setting *s, const struct setting *first)
{
    size_t size = section_size(first);
    return section_size(s) == size && memcmp(s->name, first->name, size) == 0;
}

/* The first setting of a section that the file may have; NULL: no such section. */
static const struct setting *
find_section(struct bytes name)
{
    for (const struct setting *s = settings_table(); s->name != NULL; s++) {
        if (!s->flag_only && bytes_equal(name, bytes_of(s->name, section_size(s)))) return s;
    }
    return NULL;
}

/* "listen_address" for web.listen-address, in `to`. */
static const char *
key_of(const struct setting *s, char to[SETTING_TEXT_BYTES])
{
    return setting_yaml_name(s, to) + section_size(s) + 1;
}

/* Whether one typed a whole setting where its section (or its key) belongs, in any spelling. */
static const struct setting *
find_dotted(struct bytes name)
{
    for (const struct setting *s = settings_table(); s->name != NULL; s++) {
        if (suggest_distance(name, bytes_of_text(s->name)) == 0) return s;
    }
    return NULL;
}

static enum err
refuse_dotted(struct reader *r, const struct setting *s)
{
    if (s->flag_only) return complain(r, "--%s can only be given as a flag", s->name);
    char key[SETTING_TEXT_BYTES];
    return complain(r, "write %s as '%.*s:' with '%s:' below it", shown_of(scalar_bytes(r)).text,
                    (int)section_size(s), s->name, key_of(s, key));
}

static enum err
unknown_section(struct reader *r)
{
    struct bytes name = scalar_bytes(r);
    const struct setting *dotted = find_dotted(name);
    if (dotted != NULL) return refuse_dotted(r, dotted);
    struct suggestion near;
    suggest_begin(&near, name);
    for (const struct setting *s = settings_table(); s->name != NULL; s++) {
        char word[SUGGEST_BYTES_MAX];
        snprintf(word, sizeof word, "%.*s", (int)section_size(s), s->name);
        if (!s->flag_only) {
            suggest_try(&near, word);
        } else if (bytes_equal_text(name, word)) {
            return complain(r, "unknown key '%s': --%s can only be given as a flag", word, s->name);
        }
    }
    const char *best = suggest_end(&near);
    struct shown shown = shown_of(name);
    if (best != NULL) return complain(r, "unknown key %s; did you mean '%s'?", shown.text, best);
    /* Perhaps a key without its section. */
    for (const struct setting *s = settings_table(); s->name != NULL; s++) {
        char key[SETTING_TEXT_BYTES];
        if (s->flag_only || suggest_distance(name, bytes_of_text(key_of(s, key))) > 0) continue;
        return complain(r, "unknown key %s; did you mean '%s' below '%.*s:'?", shown.text,
                        key_of(s, key), (int)section_size(s), s->name);
    }
    return complain(r, "unknown key %s", shown.text);
}

static enum err
unknown_key(struct reader *r, const struct setting *first)
{
    struct bytes name = scalar_bytes(r);
    const struct setting *dotted = find_dotted(name);
    if (dotted != NULL) return refuse_dotted(r, dotted);
    struct suggestion near;
    suggest_begin(&near, name);
    char key[SETTING_TEXT_BYTES];
    for (const struct setting *s = settings_table(); s->name != NULL; s++) {
        if (in_section(s, first)) suggest_try(&near, key_of(s, key));
    }
    const char *best = suggest_end(&near);
    struct shown shown = shown_of(name);
    int size = (int)section_size(first);
    if (best != NULL) {
        return complain(r, "unknown key %s in '%.*s'; did you mean '%s'?", shown.text, size,
                        first->name, best);
    }
    return complain(r, "unknown key %s in '%.*s'", shown.text, size, first->name);
}

/* --- the grammar ------------------------------------------------------------------------------ */

/* Refuses what was given before. `lines` is one of the reader's two arrays. */
static enum err
note_line(struct reader *r, size_t *lines, const struct setting *s)
{
    size_t index = (size_t)(s - settings_table());
    if (lines[index] != 0) {
        return complain(r, "duplicate key %s, first given on line %zu",
                        shown_of(scalar_bytes(r)).text, lines[index]);
    }
    lines[index] = r->event.start_mark.line + 1;
    return OK;
}

static enum err
read_key(struct reader *r)
{
    if (r->event.type == YAML_SCALAR_EVENT) return OK;
    return complain(r, "expected a key, found %s", found(r).text);
}

/* The event at hand is the value of `s`. */
static enum err
read_value(struct reader *r, const struct setting *s)
{
    char name[SETTING_TEXT_BYTES];
    setting_yaml_name(s, name);
    if (r->event.type != YAML_SCALAR_EVENT || is_null(r)) {
        char expected[160];
        setting_expected(s, expected, sizeof expected);
        return complain(r, "%s: expected %s, found %s", name, expected, found(r).text);
    }
    enum err e = setting_parse(s, scalar_bytes(r), &r->next, r->why);
    if (e) {
        err_ignore(why_prefix(r->why, e, "%s", name), "only adds to the sentence");
        return at_mark(r, r->event.start_mark);
    }
    return OK;
}

/* The event at hand is the value of the section that `first` belongs to. */
static enum err
read_section(struct reader *r, const struct setting *first)
{
    if (r->event.type != YAML_MAPPING_START_EVENT) {
        char key[SETTING_TEXT_BYTES];
        return complain(r, "'%.*s' expects keys below it such as '%s:', found %s",
                        (int)section_size(first), first->name, key_of(first, key), found(r).text);
    }
    for (;;) {
        enum err e = next_event(r);
        if (e) return e;
        if (r->event.type == YAML_MAPPING_END_EVENT) return OK;
        e = read_key(r);
        if (e) return e;
        const struct setting *s = first;
        char key[SETTING_TEXT_BYTES];
        while (s->name != NULL &&
               !(in_section(s, first) && bytes_equal_text(scalar_bytes(r), key_of(s, key)))) {
            s++;
        }
        if (s->name == NULL) return unknown_key(r, first);
        e = note_line(r, r->setting_line, s);
        if (e) return e;
        e = next_event(r);
        if (e) return e;
        e = read_value(r, s);
        if (e) return e;
    }
}

static enum err
read_root(struct reader *r)
{
    bool empty = r->event.type == YAML_SCALAR_EVENT && scalar_bytes(r).size == 0 &&
                 r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (empty) return OK;
    if (r->event.type != YAML_MAPPING_START_EVENT) {
        return complain(r, "expected sections such as 'web:', found %s", found(r).text);
    }
    for (;;) {
        enum err e = next_event(r);
        if (e) return e;
        if (r->event.type == YAML_MAPPING_END_EVENT) return OK;
        e = read_key(r);
        if (e) return e;
        const struct setting *first = find_section(scalar_bytes(r));
        if (first == NULL) return unknown_section(r);
        e = note_line(r, r->section_line, first);
        if (e) return e;
        e = next_event(r);
        if (e) return e;
        e = read_section(r, first);
        if (e) return e;
    }
}

static enum err
read_stream(struct reader *r)
{
    enum err e = next_event(r); /* the beginning of the stream */
    if (e) return e;
    e = next_event(r);
    if (e) return e;
    if (r->event.type == YAML_STREAM_END_EVENT) return OK; /* empty, or only comments */
    e = next_event(r);                                     /* after the document's beginning */
    if (e) return e;
    e = read_root(r);
    if (e) return e;
    e = next_event(r); /* the document's end */
    if (e) return e;
    e = next_event(r);
    if (e) return e;
    if (r->event.type == YAML_STREAM_END_EVENT) return OK;
    return complain(r, "a second document begins here; only one is allowed");
}

enum err
settings_yaml(struct settings *settings, const char *file_name, struct bytes text, struct why *why)
{
    if (text.size > CONFIG_BYTES_MAX) {
        return why_set(why, ERR_LIMIT, "%s: longer than %d KiB", file_name,
                       CONFIG_BYTES_MAX / 1024);
    }
    struct reader r = {.file_name = file_name, .text = text, .why = why, .next = *settings};
    if (!yaml_parser_initialize(&r.parser)) {
        return why_set(why, ERR_NOMEM, "%s: out of memory", file_name);
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, text.at == NULL ? (const uint8_t *)"" : text.at,
                                 text.size);
    enum err e = read_stream(&r);
    if (e == OK) *settings = r.next;
    yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    return e;
}
