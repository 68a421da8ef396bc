/*
 * yaml_reader.c - reads libyaml's events, rejects features that configurations do not need
 * (anchors, aliases, tags, several documents), and reports all errors in one form.
 */
#include "wire/yaml/yaml_reader.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/hash/hash.h"
#include "base/text/time_text.h"
#include "base/text/utf8.h"

/* Nesting limit of skipped values, deeper than any table. */
enum { SKIPPED_DEPTH_MAX = 16 };

static _Thread_local struct yaml_errors *collecting;

void
reader_collect(struct yaml_errors *errors)
{
    collecting = errors;
}

bool
reader_goes_on(enum err e)
{
    return e == OK || (e == ERR_INPUT && collecting != NULL);
}

/* --- complaints ------------------------------------------------------------------------------- */

enum err
reader_at(struct config_reader *r, yaml_mark_t mark)
{
    return why_prefix(r->why, ERR_INPUT, "%s:%zu:%zu", r->file_name, mark.line + 1,
                      mark.column + 1);
}

enum err
reader_complain_at(struct config_reader *r, yaml_mark_t mark, const char *format, ...)
{
    struct why what;
    va_list args;
    va_start(args, format);
    vsnprintf(what.text, sizeof what.text, format, args);
    va_end(args);
    why_set(r->why, ERR_INPUT, "%s", what.text);
    return reader_at(r, mark);
}

enum err
reader_complain(struct config_reader *r, const char *format, ...)
{
    struct why what;
    va_list args;
    va_start(args, format);
    vsnprintf(what.text, sizeof what.text, format, args);
    va_end(args);
    return reader_complain_at(r, r->event.start_mark, "%s", what.text);
}

/* True if the line of `mark` is indented with a tab, where libyaml's sentence is not helpful. */
static bool
tab_in_indent(const struct config_reader *r, yaml_mark_t mark)
{
    struct bytes left = r->text;
    for (size_t line = 0; line < mark.line; line++) {
        const uint8_t *end = left.size == 0 ? NULL : memchr(left.at, '\n', left.size);
        if (end == NULL) return false;
        left = bytes_of(end + 1, left.size - (size_t)(end + 1 - left.at));
    }
    for (size_t i = 0; i < left.size && (left.at[i] == ' ' || left.at[i] == '\t'); i++)
        if (left.at[i] == '\t') return true;
    return false;
}

enum err
reader_no_memory(struct config_reader *r)
{
    return why_set(r->why, ERR_NOMEM, "%s: not enough memory", r->file_name);
}

enum err
reader_syntax_error(struct config_reader *r)
{
    const yaml_parser_t *p = &r->parser;
    r->is_broken = true;
    const char *problem = p->problem == NULL ? "invalid YAML" : p->problem;
    /* yaml_parser_load() notes no error when it lacks memory for a copy. */
    bool no_memory = p->error == YAML_MEMORY_ERROR || p->error == YAML_NO_ERROR;
    if (no_memory) return reader_no_memory(r);
    if (p->error == YAML_READER_ERROR) { /* an error in the encoding has an offset only */
        yaml_mark_t mark = {0};
        for (size_t i = 0; i < p->problem_offset && i < r->text.size; i++) {
            mark.column += (r->text.at[i] & 0xc0) != 0x80; /* libyaml counts characters */
            if (r->text.at[i] != '\n') continue;
            mark.line++;
            mark.column = 0;
        }
        return reader_complain_at(r, mark, "%s", problem);
    }
    const char *hint =
        tab_in_indent(r, p->problem_mark) ? "; indent with spaces, not with tabs" : "";
    return reader_complain_at(r, p->problem_mark, "%s%s%s%s", p->context == NULL ? "" : p->context,
                              p->context == NULL ? "" : " ", problem, hint);
}

/* --- going on after an error ------------------------------------------------------------------ */

static bool
is_before(const struct yaml_error *a, const struct yaml_error *b)
{
    return a->line < b->line || (a->line == b->line && a->column < b->column);
}

static void
add_error(struct yaml_errors *errors, const char *file_name, const struct why *why)
{
    struct yaml_error error = {.why = *why};
    size_t size = strlen(file_name);
    /* If the sentence does not begin with FILE:LINE:COLUMN, it is about the whole file. */
    if (strncmp(why->text, file_name, size) == 0)
        (void)sscanf(why->text + size, ":%zu:%zu:", &error.line, &error.column);
    uint32_t at = errors->count < YAML_ERRORS_MAX ? errors->count : YAML_ERRORS_MAX;
    /* Several passes find the same errors. */
    uint64_t hash = hash_bytes(bytes_of(why->text, strlen(why->text)), 0);
    for (uint32_t i = 0; i < errors->count && i < YAML_ERRORS_SEEN_MAX; i++)
        if (errors->seen[i] == hash) return;
    if (errors->count < YAML_ERRORS_SEEN_MAX) errors->seen[errors->count] = hash;
    errors->count++;
    if (at == YAML_ERRORS_MAX && !is_before(&error, &errors->items[--at])) return;
    for (; at > 0 && is_before(&error, &errors->items[at - 1]); at--)
        errors->items[at] = errors->items[at - 1];
    errors->items[at] = error;
}

void
reader_note(const char *file_name, const struct why *why)
{
    if (collecting != NULL) add_error(collecting, file_name, why);
}

static bool
can_pass_over(const struct config_reader *r, enum err e)
{
    return r->errors != NULL && !r->is_broken && (e == ERR_INPUT || e == ERR_LIMIT);
}

/* Moves to the last event of the pair or item. `at_key`: the pair's value has not begun. */
static enum err
pass_over(struct config_reader *r, unsigned depth, bool at_key, enum err e)
{
    if (e == OK || !can_pass_over(r, e)) return e;
    add_error(r->errors, r->file_name, r->why);
    r->passed_over++;
    for (bool more = at_key; more || r->depth > depth; more = false) {
        e = reader_next(r);
        if (e && !can_pass_over(r, e)) return e;
    }
    return OK;
}

enum err
reader_pass_over(struct config_reader *r, unsigned depth, enum err e)
{
    return pass_over(r, depth, false, e);
}

/* --- events ----------------------------------------------------------------------------------- */

/* Returns the name of the current event's anchor or tag; NULL if it has neither. */
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

enum err
reader_next(struct config_reader *r)
{
    yaml_event_delete(&r->event);
    if (r->tree != NULL) return yaml_tree_next(r);
    if (!yaml_parser_parse(&r->parser, &r->event)) return reader_syntax_error(r);
    r->event_number++;
    yaml_event_type_t type = r->event.type;
    if (type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT) r->depth++;
    if (type == YAML_MAPPING_END_EVENT || type == YAML_SEQUENCE_END_EVENT) r->depth--;
    if (r->has_aliases && r->event.type == YAML_ALIAS_EVENT)
        return reader_complain(r, "unknown anchor of an alias");
    const char *refused = decoration(&r->event);
    return refused == NULL ? OK : reader_complain(r, "%s are not supported here", refused);
}

enum err
reader_skip(struct config_reader *r)
{
    unsigned depth = 0;
    for (;;) {
        yaml_event_type_t type = r->event.type;
        if (type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT) depth++;
        if (type == YAML_MAPPING_END_EVENT || type == YAML_SEQUENCE_END_EVENT) depth--;
        if (depth == 0) return OK;
        if (depth > SKIPPED_DEPTH_MAX) return reader_complain(r, "nested too deeply");
        enum err e = reader_next(r);
        if (e) return e;
    }
}

enum err
reader_mapping(struct config_reader *r, enum err (*each)(struct config_reader *r, void *context),
               void *context)
{
    unsigned depth = r->depth;
    for (;;) {
        enum err e = reader_next(r);
        if (e || r->event.type == YAML_MAPPING_END_EVENT) return e;
        if (r->event.type != YAML_SCALAR_EVENT)
            return reader_complain(r, "expected a key, got %s", reader_found(r).text);
        uint64_t key = r->event_number;
        e = each(r, context);
        e = pass_over(r, depth, r->event_number == key, e);
        if (e) return e;
    }
}

struct bytes
reader_scalar(const struct config_reader *r)
{
    assert(r->event.type == YAML_SCALAR_EVENT);
    return bytes_of(r->event.data.scalar.value, r->event.data.scalar.length);
}

bool
reader_is_null(const struct config_reader *r)
{
    if (r->event.type != YAML_SCALAR_EVENT) return false;
    if (r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return false;
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++)
        if (bytes_equal_text(reader_scalar(r), nulls[i])) return true;
    return false;
}

struct shown
reader_found(const struct config_reader *r)
{
    struct shown s = {"nothing"};
    if (r->event.type == YAML_MAPPING_START_EVENT)
        snprintf(s.text, sizeof s.text, "a mapping");
    else if (r->event.type == YAML_SEQUENCE_START_EVENT)
        snprintf(s.text, sizeof s.text, "a list");
    else if (r->event.type == YAML_SCALAR_EVENT && !reader_is_null(r))
        s = shown_of(reader_scalar(r));
    return s;
}

/* --- values ----------------------------------------------------------------------------------- */

enum err
reader_expected(struct config_reader *r, const char *name, const char *expected)
{
    return reader_complain(r, "%s: expected %s, got %s", name, expected, reader_found(r).text);
}

enum err
reader_wrong(struct config_reader *r, const char *name, enum err e)
{
    if (e == OK) return OK;
    err_ignore(why_prefix(r->why, e, "%s", name), "only adds to the sentence");
    err_ignore(reader_at(r, r->event.start_mark), "the same");
    return e;
}

/* --- the document ----------------------------------------------------------------------------- */

static enum err
read_document(struct config_reader *r, enum err (*root)(struct config_reader *r, void *context),
              void *context)
{
    enum err e = reader_next(r); /* the beginning of the stream */
    if (e) return e;
    e = reader_next(r);
    if (e) return e;
    if (r->event.type == YAML_STREAM_END_EVENT) return OK; /* empty, or only comments */
    e = reader_next(r);                                    /* after the document's beginning */
    if (e) return e;
    bool empty = r->event.type == YAML_SCALAR_EVENT && reader_scalar(r).size == 0 &&
                 r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    e = empty ? OK : root(r, context); /* the root of an empty document has no keys */
    if (e) return e;
    e = reader_next(r); /* the document's end */
    if (e) return e;
    e = reader_next(r);
    if (e) return e;
    if (r->event.type == YAML_STREAM_END_EVENT) return OK;
    return reader_complain(r, "a second document begins here; only one is allowed");
}

enum err
reader_document(struct config_reader *r, enum err (*root)(struct config_reader *r, void *context),
                void *context)
{
    enum err e = read_document(r, root, context);
    if (e && r->errors != NULL) add_error(r->errors, r->file_name, r->why);
    return e == OK && r->passed_over > 0 ? ERR_INPUT : e;
}

enum err
reader_init(struct config_reader *r, const char *file_name, struct bytes text, size_t bytes_max,
            struct why *why)
{
    if (text.size > bytes_max)
        return why_set(why, ERR_LIMIT, "%s: must be at most %zu KiB", file_name, bytes_max / 1024);
    /* libyaml would count a byte order mark as a column, so that all other lines would be indented
     * less than the first one. */
    if (text.size >= 3 && memcmp(text.at, "\xef\xbb\xbf", 3) == 0)
        text = bytes_of(text.at + 3, text.size - 3);
    *r = (struct config_reader){.file_name = file_name, .text = text, .why = why};
    if (why != NULL) r->errors = collecting;
    if (!yaml_parser_initialize(&r->parser)) return reader_no_memory(r);
    yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r->parser, text.at == NULL ? (const uint8_t *)"" : text.at,
                                 text.size);
    return OK;
}

void
reader_fini(struct config_reader *r)
{
    yaml_event_delete(&r->event);
    yaml_parser_delete(&r->parser);
}

/* --- texts and durations ---------------------------------------------------------------------- */

enum err
reader_text(struct config_reader *r, const char *name, struct arena *arena, const char **ret)
{
    if (r->event.type != YAML_SCALAR_EVENT) return reader_expected(r, name, "text");
    struct bytes text = reader_is_null(r) ? bytes_of(NULL, 0) : reader_scalar(r);
    if (text.size > 0 && memchr(text.at, 0, text.size) != NULL)
        return reader_complain(r, "%s: must not contain NUL characters", name);
    char *copy = arena_alloc(arena, text.size + 1);
    if (copy == NULL) return reader_no_memory(r);
    if (text.size > 0) memcpy(copy, text.at, text.size);
    copy[text.size] = 0;
    *ret = copy;
    return OK;
}

enum err
reader_duration(struct config_reader *r, const char *name, int64_t *ret_ms)
{
    if (r->event.type == YAML_SCALAR_EVENT) {
        if (bytes_equal_text(reader_scalar(r), "0")) { /* the only duration without a unit */
            *ret_ms = 0;
            return OK;
        }
        if (time_parse_duration_api(reader_scalar(r), ret_ms)) return OK;
    }
    return reader_expected(r, name, "a duration such as 90s or 1h30m");
}

void
yaml_put_quoted(struct buf *to, const char *text)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + strlen(text);
    buf_put_u8(to, '"');
    while (p != end) {
        size_t size = utf8_step(p, (size_t)(end - p));
        uint32_t c = size == 1   ? p[0]
                     : size == 2 ? (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu)
                     : size == 3 ? (p[0] & 0xfu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu)
                                 : ' ';
        if (size == 0) size = 1;
        /* Characters that YAML does not read unchanged: control characters, line ends of Unicode,
         * U+FEFF. */
        if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
            c >= 0xfffe) {
            buf_printf(to, "\\u%04x", c);
        } else {
            if (*p == '"' || *p == '\\') buf_put_u8(to, '\\');
            buf_put(to, p, size);
        }
        p += size;
    }
    buf_put_u8(to, '"');
}
