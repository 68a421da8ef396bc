/*
 * root_keys.c - reads keys of the root: lists of typed entries, and others by a schema.
 *
 * A list is read twice. The first pass counts entries and notes their types, because the type
 * decides which keys are valid and may follow them; the second reads each entry by its schema.
 * Everything outside the list is left to settings_yaml().
 */
#include "config/schema/schema.h"

#include <assert.h>
#include <stdio.h>

/* For all texts and outgrown arrays; a text of CONFIG_BYTES_MAX needs less. */
enum { ARENA_BYTES_MAX = 64 * 1024 * 1024 };

static struct arena *
root_arena_new(void)
{
    struct arena *arena = mem_new(NULL, sizeof *arena);
    if (arena != NULL) arena_init_secret(arena, NULL, ARENA_BYTES_MAX, 0);
    return arena;
}

void
root_arena_free(struct arena *arena)
{
    if (arena == NULL) return;
    arena_fini(arena);
    mem_free(NULL, arena, sizeof *arena);
}

struct list_walk {
    struct config_reader in;
    const struct typed_list *list;
    enum err (*entry)(struct list_walk *w); /* called at the first event of each entry */
    size_t list_line;                       /* 0: not found so far */
    uint32_t index;                         /* number of the entry */
    bool typed;                             /* the entry has a key `type` */
    bool is_wrong[TYPED_LIST_MAX]; /* the first pass found an error, the second leaves it out */
    unsigned types[TYPED_LIST_MAX];
    const void *uses[TYPED_LIST_MAX]; /* entries of list->used; NULL: not given */

    const struct settings *settings;
    struct typed_entries *entries; /* filled by the second pass */
    struct typed_entries used;     /* entries of list->used, in the arena of `entries` */
    bool used_read;
};

/* --- keys of all types ------------------------------------------------------------------------ */

static const struct schema_key *
key_of_all(const struct typed_list *list, const char *name)
{
    return schema_find(list->schema, bytes_of_text(name), 0);
}

static const char *
entry_name(const struct typed_list *list, const void *entry)
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

static enum err typed_list_read(const struct typed_list *list, const char *file_name,
                                struct bytes text, const struct settings *settings,
                                struct typed_entries *entries, struct why *why);

static const char *
type_word(const struct typed_list *list, unsigned type, char *to, size_t size)
{
    struct setting shape = type_shape(list);
    setting_number_text(&shape, type, to, size);
    return to;
}

/* Finds the entry that the current scalar, the value of `use`, names. */
static enum err
survey_use(struct list_walk *w)
{
    struct config_reader *in = &w->in;
    const struct typed_list *used = w->list->used;
    if (in->event.type != YAML_SCALAR_EVENT || reader_is_null(in)) {
        char expected[48];
        snprintf(expected, sizeof expected, "the name of a %s", used->entry);
        return reader_expected(in, "use", expected);
    }
    enum err e = w->used_read ? OK
                              : typed_list_read(used, in->file_name, in->text, w->settings,
                                                &w->used, in->why);
    w->entries->arena = w->used.arena; /* the texts of both lists have the same lifetime */
    if (e) return e;
    w->used_read = true;
    struct shown name = shown_of(reader_scalar(in));
    char word[48];
    for (uint32_t i = 0; i < w->used.count; i++) {
        const void *entry = (const uint8_t *)w->used.items + i * used->schema->size;
        if (bytes_equal_text(reader_scalar(in), entry_name(used, entry))) w->uses[w->index] = entry;
    }
    if (w->uses[w->index] == NULL) {
        return reader_complain(in, "use: the list '%s' has no %s %s", used->name, used->entry,
                               name.text);
    }
    struct setting shape = type_shape(w->list);
    uint64_t number;
    type_word(used, type_of(used, w->uses[w->index]), word, sizeof word);
    if (setting_parse_number(&shape, bytes_of_text(word), &number, NULL) != OK) {
        return reader_complain(in, "use: %s %s has type %s; a %s of that type does not exist",
                               used->entry, name.text, word, w->list->entry);
    }
    if (!w->typed) w->types[w->index] = (unsigned)number;
    if (w->types[w->index] == (unsigned)number) return OK;
    return reader_complain(in, "use: %s %s has another type, %s", used->entry, name.text, word);
}

static enum err
survey_key(struct config_reader *in, void *context)
{
    struct list_walk *w = context;
    bool is_type = bytes_equal_text(reader_scalar(in), "type");
    bool is_use = w->list->used != NULL && bytes_equal_text(reader_scalar(in), "use");
    enum err e = reader_next(in);
    if (e) return e;
    if (is_use) return survey_use(w);
    if (!is_type) return reader_skip(in);
    struct setting shape = type_shape(w->list);
    uint64_t number;
    e = reader_number(in, &shape, "type", &number);
    if (e) return e;
    if (w->uses[w->index] != NULL && w->types[w->index] != number) {
        char word[48];
        return reader_complain(in, "type: the %s that 'use' names has another type, %s",
                               w->list->used->entry,
                               type_word(w->list, w->types[w->index], word, sizeof word));
    }
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
    uint32_t passed_over = in->passed_over;
    enum err e = reader_mapping(in, survey_key, w);
    w->is_wrong[w->index] = in->passed_over != passed_over;
    if (e || w->is_wrong[w->index] || w->typed || w->uses[w->index] != NULL) return e;
    struct setting shape = type_shape(w->list);
    char expected[200];
    setting_expected(&shape, expected, sizeof expected);
    return reader_complain_at(in, begin, "a %s requires 'type', %s", w->list->entry, expected);
}

/* --- the second pass -------------------------------------------------------------------------- */

static enum err
read_entry(struct list_walk *w)
{
    if (w->is_wrong[w->index]) return reader_skip(&w->in);
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
    struct schema_used used = {.key = "use", .base = w->uses[w->index]};
    if (used.base != NULL) {
        used.schema = w->list->used->schema;
        used.type = type_of(w->list->used, used.base);
        reader.used = &used;
        /* The type counts as given by the entry itself. */
        uint32_t type = w->types[w->index];
        memcpy((uint8_t *)entry + key_of_all(w->list, "type")->offset, &type, sizeof type);
    }
    uint32_t line = (uint32_t)w->in.event.start_mark.line + 1;
    memcpy((uint8_t *)entry + w->list->line_offset, &line, sizeof line);
    enum err e = schema_read(&reader, w->list->schema, entry);
    if (e == OK) w->entries->count = w->index + 1;
    return e;
}

/* --- both passes ------------------------------------------------------------------------------ */

static enum err
walk_list(struct list_walk *w)
{
    struct config_reader *in = &w->in;
    if (in->event.type != YAML_SEQUENCE_START_EVENT) {
        return reader_complain(in, "%s: expected a list, got %s", w->list->name,
                               reader_found(in).text);
    }
    unsigned depth = in->depth;
    for (;;) {
        enum err e = reader_next(in);
        if (e) return e;
        if (in->event.type == YAML_SEQUENCE_END_EVENT) return OK;
        if (w->index == w->list->max)
            return reader_complain(in, "at most %u %s are allowed", w->list->max, w->list->name);
        e = w->entry(w);
        if (e) w->is_wrong[w->index] = true;
        e = reader_pass_over(in, depth, e);
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
    enum err e = reader_init(&w->in, file_name, text, CONFIG_BYTES_MAX, why);
    if (e) return e;
    e = reader_document(&w->in, walk_root, w);
    reader_fini(&w->in);
    return e;
}

/* The caller frees `entries`, also after an error. */
static enum err
typed_list_read(const struct typed_list *list, const char *file_name, struct bytes text,
                const struct settings *settings, struct typed_entries *entries, struct why *why)
{
    struct list_walk w = {.list = list, .settings = settings, .entries = entries};
    assert(list->max <= TYPED_LIST_MAX);
    enum err surveyed = walk_text(&w, survey_entry, file_name, text, why);
    bool goes_on = surveyed == OK || (w.in.passed_over > 0 && !w.in.is_broken);
    if (!goes_on || w.index == 0) return surveyed;
    if (entries->arena == NULL) entries->arena = root_arena_new();
    if (entries->arena == NULL) return why_set(why, ERR_NOMEM, "%s: not enough memory", file_name);
    entries->items = arena_new(entries->arena, w.index * list->schema->size);
    if (entries->items == NULL) return why_set(why, ERR_NOMEM, "%s: not enough memory", file_name);
    return err_first(surveyed, walk_text(&w, read_entry, file_name, text, why));
}

enum err
typed_list_yaml(const struct typed_list *list, const char *file_name, struct bytes text,
                const struct settings *settings, struct typed_entries *ret_entries, struct why *why)
{
    struct typed_entries entries = {NULL};
    enum err e = typed_list_read(list, file_name, text, settings, &entries, why);
    if (e == OK)
        *ret_entries = entries;
    else
        root_arena_free(entries.arena);
    return e;
}

/* --- entries ---------------------------------------------------------------------------------- */

const void *
typed_list_find(const struct typed_list *list, const void *items, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++) {
        const void *entry = (const uint8_t *)items + i * list->schema->size;
        const char *its = entry_name(list, entry); /* NULL: the entry was passed over */
        if (its != NULL && strcmp(its, name) == 0) return entry;
    }
    return NULL;
}

enum err
typed_list_check_name(struct schema_place *place, const void *base)
{
    const struct typed_context *context = schema_reader_of(place)->context;
    const struct typed_list *list = context->list;
    const char *name = entry_name(list, base);
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

/* --- other keys ------------------------------------------------------------------------------- */

struct root_walk {
    struct schema_reader reader;
    const struct schema *schema;
    void *base;
};

static enum err
root_keys_read(struct config_reader *in, void *context)
{
    struct root_walk *w = context;
    if (in->event.type != YAML_MAPPING_START_EVENT) {
        if (w->schema->partial || reader_is_null(in)) return reader_skip(in);
        return reader_complain(in, "expected keys such as '%s:', got %s", w->schema->keys->name,
                               reader_found(in).text);
    }
    return schema_read(&w->reader, w->schema, w->base);
}

enum err
root_keys_yaml(const struct schema *schema, const struct root_context *root, struct bytes text,
               void *base, struct arena **ret_arena, struct why *why)
{
    struct config_reader in;
    enum err e = reader_init(&in, root->file_name, text, CONFIG_BYTES_MAX, why);
    if (e) return e;
    struct arena *arena = root_arena_new();
    if (arena == NULL) {
        e = reader_no_memory(&in);
        goto out;
    }
    struct root_walk w = {
        .reader = {.in = &in, .arena = arena, .list = "", .types = "", .context = root},
        .schema = schema,
        .base = base,
    };
    e = reader_document(&in, root_keys_read, &w);
    if (e || arena->used_bytes == 0) {
        root_arena_free(arena);
        arena = NULL;
    }
    if (e == OK)
        *ret_arena = arena;
    else
        memset(base, 0, schema->size);
out:
    reader_fini(&in);
    return e;
}
