/*
 * yaml.c - settings_yaml(): libyaml's events against the table.
 *
 * The grammar is what the table can say and nothing else, so reading needs no stack:
 *
 *     stream    = [ document ]
 *     document  = "" | { section | destinations }
 *     section   = name: { key: scalar }
 *
 * Anything deeper is refused where it begins, and so the depth of a hostile file does not matter.
 * The list `destinations` is only stepped over: config_destinations.c reads it, in a pass of its
 * own, because its rules ask for settings that may stand behind it, or among the flags.
 *
 * What a scalar means is decided by the setting it is given to, never by YAML: `true`, `"true"` and
 * `'true'` are the same, and a path may be called 9201. Only a plain null is no value.
 */
#include <stdio.h>

#include "config/reader.h"
#include "config/suggest.h"

struct reader {
    struct config_reader in;
    struct settings next;
    /* Line on which setting i of the table was given, 0 if not; of a section, at its first. */
    size_t setting_line[SETTINGS_MAX];
    size_t section_line[SETTINGS_MAX];
    size_t destinations_line;
};

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
    if (s->flag_only) return reader_complain(&r->in, "--%s can only be given as a flag", s->name);
    char key[SETTING_TEXT_BYTES];
    return reader_complain(&r->in, "write %s as '%.*s:' with '%s:' below it",
                           shown_of(reader_scalar(&r->in)).text, (int)section_size(s), s->name,
                           key_of(s, key));
}

static enum err
unknown_section(struct reader *r)
{
    struct bytes name = reader_scalar(&r->in);
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
            return reader_complain(&r->in, "unknown key '%s': --%s can only be given as a flag",
                                   word, s->name);
        }
    }
    suggest_try(&near, "destinations");
    const char *best = suggest_end(&near);
    struct shown shown = shown_of(name);
    if (best != NULL)
        return reader_complain(&r->in, "unknown key %s; did you mean '%s'?", shown.text, best);
    /* Perhaps a key without its section. */
    for (const struct setting *s = settings_table(); s->name != NULL; s++) {
        char key[SETTING_TEXT_BYTES];
        if (s->flag_only || suggest_distance(name, bytes_of_text(key_of(s, key))) > 0) continue;
        return reader_complain(&r->in, "unknown key %s; did you mean '%s' below '%.*s:'?",
                               shown.text, key_of(s, key), (int)section_size(s), s->name);
    }
    return reader_complain(&r->in, "unknown key %s", shown.text);
}

static enum err
unknown_key(struct reader *r, const struct setting *first)
{
    struct bytes name = reader_scalar(&r->in);
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
        return reader_complain(&r->in, "unknown key %s in '%.*s'; did you mean '%s'?", shown.text,
                               size, first->name, best);
    }
    return reader_complain(&r->in, "unknown key %s in '%.*s'", shown.text, size, first->name);
}

/* --- the grammar ------------------------------------------------------------------------------ */

/* Refuses what was given before: `line` is 0 until then. */
static enum err
note_line(struct reader *r, size_t *line)
{
    if (*line != 0) {
        return reader_complain(&r->in, "duplicate key %s, first given on line %zu",
                               shown_of(reader_scalar(&r->in)).text, *line);
    }
    *line = r->in.event.start_mark.line + 1;
    return OK;
}

/* The event at hand is the value of `s`. */
static enum err
read_value(struct reader *r, const struct setting *s)
{
    char name[SETTING_TEXT_BYTES];
    setting_yaml_name(s, name);
    if (r->in.event.type != YAML_SCALAR_EVENT || reader_is_null(&r->in)) {
        char expected[160];
        setting_expected(s, expected, sizeof expected);
        return reader_complain(&r->in, "%s: expected %s, found %s", name, expected,
                               reader_found(&r->in).text);
    }
    enum err e = setting_parse(s, reader_scalar(&r->in), &r->next, r->in.why);
    if (e) {
        err_ignore(why_prefix(r->in.why, e, "%s", name), "only adds to the sentence");
        return reader_at(&r->in, r->in.event.start_mark);
    }
    return OK;
}

/* The event at hand is the value of the section that `first` belongs to. */
static enum err
read_section(struct reader *r, const struct setting *first)
{
    if (r->in.event.type != YAML_MAPPING_START_EVENT) {
        char key[SETTING_TEXT_BYTES];
        return reader_complain(&r->in, "'%.*s' expects keys below it such as '%s:', found %s",
                               (int)section_size(first), first->name, key_of(first, key),
                               reader_found(&r->in).text);
    }
    for (;;) {
        enum err e = reader_next(&r->in);
        if (e) return e;
        if (r->in.event.type == YAML_MAPPING_END_EVENT) return OK;
        e = reader_expect_key(&r->in);
        if (e) return e;
        const struct setting *s = first;
        char key[SETTING_TEXT_BYTES];
        while (s->name != NULL &&
               !(in_section(s, first) && bytes_equal_text(reader_scalar(&r->in), key_of(s, key)))) {
            s++;
        }
        if (s->name == NULL) return unknown_key(r, first);
        e = note_line(r, &r->setting_line[s - settings_table()]);
        if (e) return e;
        e = reader_next(&r->in);
        if (e) return e;
        e = read_value(r, s);
        if (e) return e;
    }
}

/* The list of destinations is read by destinations_yaml(). */
static enum err
skip_destinations(struct reader *r)
{
    enum err e = note_line(r, &r->destinations_line);
    if (e) return e;
    e = reader_next(&r->in);
    if (e) return e;
    return reader_skip(&r->in);
}

static enum err
read_root(struct config_reader *in, void *context)
{
    struct reader *r = context;
    if (in->event.type != YAML_MAPPING_START_EVENT) {
        return reader_complain(in, "expected sections such as 'web:', found %s",
                               reader_found(in).text);
    }
    for (;;) {
        enum err e = reader_next(in);
        if (e) return e;
        if (in->event.type == YAML_MAPPING_END_EVENT) return OK;
        e = reader_expect_key(in);
        if (e) return e;
        if (bytes_equal_text(reader_scalar(in), "destinations")) {
            e = skip_destinations(r);
            if (e) return e;
            continue;
        }
        const struct setting *first = find_section(reader_scalar(in));
        if (first == NULL) return unknown_section(r);
        e = note_line(r, &r->section_line[first - settings_table()]);
        if (e) return e;
        e = reader_next(in);
        if (e) return e;
        e = read_section(r, first);
        if (e) return e;
    }
}

enum err
settings_yaml(struct settings *settings, const char *file_name, struct bytes text, struct why *why)
{
    struct reader r = {.next = *settings};
    enum err e = reader_init(&r.in, file_name, text, why);
    if (e) return e;
    e = reader_document(&r.in, read_root, &r);
    if (e == OK) *settings = r.next;
    reader_fini(&r.in);
    return e;
}
