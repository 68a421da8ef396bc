/*
 * typed_list.c - a list is read twice. First its entries are counted and their types noted, because
 * the type decides which keys there are and may stand behind them; then each is read by its schema.
 * What lies between lists is settings_yaml()'s.
 */
#include "config/typed_list.h"

#include <assert.h>

/* All texts, and the arrays that were outgrown; a text of CONFIG_BYTES_MAX needs less. */
enum { ARENA_BYTES_MAX = 64 * 1024 * 1024 };

struct list_walk {
    struct config_reader in;
    const struct typed_list *list;
    enum err (*entry)(struct list_walk *w); /* the event at hand begins one */
    size_t list_line;                       /* 0: not met yet */
    uint32_t index;                         /* of the entry */
    bool typed;                             /* it has its type */
    unsigned types[TYPED_LIST_MAX];

    /* Of the second pass. */
    const struct settings *settings;
    struct typed_entries *entries;
};

/* --- keys that all have ----------------------------------------------------------------------- */

static const struct schema_key *
key_of_all(const struct typed_list *list, const char *name)
{
    return schema_find(list->schema, bytes_of_text(name), 0);
}

static const char *
name_of(const struct typed_list *list, const void *entry)
{
    const char *name;
    memcpy(&name, (const uint8_t *)entry + key_of_all(list, "name")->offset, sizeof name);
    return name;
}

static unsigned
type_of(const struct typed_list *list, const void *entry)
{
    unsigned type;
    memcpy(&type, (const uint8_t *)entry + key_of_all(list, "type")->offset, sizeof type);
    return type;
}

static uint32_t
line_of(const struct typed_list *list, const void *entry)
{
    uint32_t line;
    memcpy(&line, (const uint8_t *)entry + list->line_offset, sizeof line);
    return line;
}

/* --- the first pass --------------------------------------------------------------------------- */

static struct setting
type_shape(const struct typed_list *list)
{
    return schema_number(key_of_all(list, "type"));
}

static enum err
survey_key(struct config_reader *in, void *context)
{
    struct list_walk *w = context;
    bool is_type = bytes_equal_text(reader_scalar(in), "type");
    enum err e = reader_next(in);
    if (e) return e;
    if (!is_type) return reader_skip(in);
    struct setting shape = type_shape(w->list);
    uint64_t number;
    e = reader_number(in, &shape, "type", &number);
    if (e) return e;
    w->types[w->index] = (unsigned)number;
    w->typed = true;
    return OK;
}

static enum err
survey_entry(struct list_walk *w)
{
    struct config_reader *in = &w->in;
    yaml_mark_t begin = in->event.start_mark;
    if (in->event.type != YAML_MAPPING_START_EVENT) {
        return reader_complain(in, "expected a %s with keys such as 'name:', got %s",
                               w->list->entry, reader_found(in).text);
    }
    w->typed = false;
    enum err e = reader_mapping(in, survey_key, w);
    if (e || w->typed) return e;
    struct setting shape = type_shape(w->list);
    char expected[200];
    setting_expected(&shape, expected, sizeof expected);
    return reader_complain_at(in, begin, "a %s requires 'type', %s", w->list->entry, expected);
}

/* --- the second pass -------------------------------------------------------------------------- */

static enum err
read_entry(struct list_walk *w)
{
    void *entry = (uint8_t *)w->entries->items + w->index * w->list->schema->size;
    struct typed_context context = {w->list, w->settings, w->entries};
    struct schema_reader reader = {
        .in = &w->in,
        .arena = w->entries->arena,
        .list = w->list->name,
        .types = type_shape(w->list).choices,
        .type = w->types[w->index],
        .context = &context,
    };
    uint32_t line = (uint32_t)w->in.event.start_mark.line + 1;
    memcpy((uint8_t *)entry + w->list->line_offset, &line, sizeof line);
    enum err e = schema_read(&reader, w->list->schema, entry);
    if (e == OK) w->entries->count = w->index + 1;
    return e;
}

/* --- both ------------------------------------------------------------------------------------- */

static enum err
walk_list(struct list_walk *w)
{
    struct config_reader *in = &w->in;
    if (in->event.type != YAML_SEQUENCE_START_EVENT) {
        return reader_complain(in, "%s: expected a list, got %s", w->list->name,
                               reader_found(in).text);
    }
    for (;;) {
        enum err e = reader_next(in);
        if (e) return e;
        if (in->event.type == YAML_SEQUENCE_END_EVENT) return OK;
        if (w->index == w->list->max) {
            return reader_complain(in, "at most %u %s are allowed", w->list->max, w->list->name);
        }
        e = w->entry(w);
        if (e) return e;
        w->index++;
    }
}

static enum err
walk_root_key(struct config_reader *in, void *context)
{
    struct list_walk *w = context;
    bool is_list = bytes_equal_text(reader_scalar(in), w->list->name);
    if (is_list && w->list_line != 0) {
        return reader_complain(in, "duplicate key '%s', first given on line %zu", w->list->name,
                               w->list_line);
    }
    if (is_list) w->list_line = in->event.start_mark.line + 1;
    enum err e = reader_next(in);
    if (e) return e;
    return is_list ? walk_list(w) : reader_skip(in);
}

static enum err
walk_root(struct config_reader *in, void *context)
{
    if (in->event.type != YAML_MAPPING_START_EVENT) return reader_skip(in);
    return reader_mapping(in, walk_root_key, context);
}

static enum err
walk_text(struct list_walk *w, enum err (*entry)(struct list_walk *w), const char *file_name,
          struct bytes text, struct why *why)
{
    w->entry = entry;
    w->list_line = 0;
    w->index = 0;
    enum err e = reader_init(&w->in, file_name, text, why);
    if (e) return e;
    e = reader_document(&w->in, walk_root, w);
    reader_fini(&w->in);
    return e;
}

static void
entries_free(struct typed_entries *entries)
{
    if (entries->arena == NULL) return;
    arena_fini(entries->arena);
    mem_free(NULL, entries->arena, sizeof *entries->arena);
}

enum err
typed_list_yaml(const struct typed_list *list, const char *file_name, struct bytes text,
                const struct settings *settings, struct typed_entries *ret_entries, struct why *why)
{
    struct typed_entries entries = {NULL};
    struct list_walk w = {.list = list, .settings = settings, .entries = &entries};
    assert(list->max <= TYPED_LIST_MAX);
    enum err e = walk_text(&w, survey_entry, file_name, text, why);
    if (e) goto out;
    if (w.index > 0) {
        entries.arena = mem_new(NULL, sizeof *entries.arena);
        if (entries.arena != NULL) {
            arena_init_secret(entries.arena, NULL, ARENA_BYTES_MAX, 0);
            entries.items = arena_new(entries.arena, w.index * list->schema->size);
        }
        e = entries.items == NULL ? why_set(why, ERR_NOMEM, "%s: not enough memory", file_name)
                                  : walk_text(&w, read_entry, file_name, text, why);
        if (e) goto out;
    }
    *ret_entries = entries;
    entries = (struct typed_entries){NULL};
out:
    entries_free(&entries);
    return e;
}

/* --- what was read ---------------------------------------------------------------------------- */

const void *
typed_list_find(const struct typed_list *list, const void *items, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++) {
        const void *entry = (const uint8_t *)items + i * list->schema->size;
        if (strcmp(name_of(list, entry), name) == 0) return entry;
    }
    return NULL;
}

enum err
typed_list_check_name(struct schema_place *place, const void *base)
{
    const struct typed_context *context = schema_reader_of(place)->context;
    const struct typed_list *list = context->list;
    const char *name = name_of(list, base);
    const void *other = typed_list_find(list, context->before->items, context->before->count, name);
    if (other == NULL) return OK;
    return schema_complain(place, "name", "the %s on line %u already has the name %s", list->entry,
                           line_of(list, other), shown_of(bytes_of_text(name)).text);
}

void
typed_list_print(const struct typed_list *list, const void *items, uint32_t count, struct buf *to)
{
    enum { KEYS_INDENT = 6 };
    buf_printf(to, "%s:%s\n", list->name, count == 0 ? " []" : "");
    for (uint32_t i = 0; i < count; i++) {
        const void *entry = (const uint8_t *)items + i * list->schema->size;
        schema_print(to, list->schema, type_of(list, entry), entry, KEYS_INDENT, true);
    }
}

bool
typed_list_same(const struct typed_list *list, const void *a, const void *b)
{
    unsigned type = type_of(list, a);
    return type == type_of(list, b) && schema_equal(list->schema, type, a, b);
}
