/*
 * destinations.c - the list is read twice. First its entries are counted and their types
 * noted, because the type decides which keys there are and may stand behind them; then each is read
 * by its schema. What lies between lists is settings_yaml()'s.
 */
#include "config/destinations.h"

#include "config/destination_keys.h"

/* All texts, and the arrays that were outgrown; a text of CONFIG_BYTES_MAX needs less. */
enum { ARENA_BYTES_MAX = 64 * 1024 * 1024 };

struct list_walk {
    struct config_reader in;
    enum err (*entry)(struct list_walk *w); /* the event at hand begins one */
    size_t list_line;                       /* 0: not met yet */
    uint32_t index;                         /* of the entry */
    bool typed;                             /* it has its type */
    enum destination_type types[DESTINATIONS_MAX];

    /* Of the second pass. */
    const struct settings *settings;
    struct destinations *list;
};

/* --- the first pass --------------------------------------------------------------------------- */

static struct setting
type_shape(void)
{
    /* All types have it. */
    return schema_number(schema_find(&destination_schema, bytes_of_text("type"), DESTINATION_FILE));
}

static enum err
survey_key(struct config_reader *in, void *context)
{
    struct list_walk *w = context;
    bool is_type = bytes_equal_text(reader_scalar(in), "type");
    enum err e = reader_next(in);
    if (e) return e;
    if (!is_type) return reader_skip(in);
    struct setting shape = type_shape();
    uint64_t number;
    e = reader_number(in, &shape, "type", &number);
    if (e) return e;
    w->types[w->index] = (enum destination_type)number;
    w->typed = true;
    return OK;
}

static enum err
survey_entry(struct list_walk *w)
{
    struct config_reader *in = &w->in;
    yaml_mark_t begin = in->event.start_mark;
    if (in->event.type != YAML_MAPPING_START_EVENT) {
        return reader_complain(in, "expected a destination with keys such as 'name:', got %s",
                               reader_found(in).text);
    }
    w->typed = false;
    enum err e = reader_mapping(in, survey_key, w);
    if (e || w->typed) return e;
    struct setting shape = type_shape();
    char expected[200];
    setting_expected(&shape, expected, sizeof expected);
    return reader_complain_at(in, begin, "a destination requires 'type', %s", expected);
}

/* --- the second pass -------------------------------------------------------------------------- */

static enum err
read_entry(struct list_walk *w)
{
    struct destination_settings *d = &w->list->items[w->index];
    struct destination_context context = {w->settings, w->list};
    struct schema_reader reader = {
        .in = &w->in,
        .arena = w->list->arena,
        .list = "destinations",
        .types = type_shape().choices,
        .type = w->types[w->index],
        .context = &context,
    };
    d->line = (uint32_t)w->in.event.start_mark.line + 1;
    enum err e = schema_read(&reader, &destination_schema, d);
    if (e == OK) w->list->count = w->index + 1;
    return e;
}

/* --- both ------------------------------------------------------------------------------------- */

static enum err
walk_list(struct list_walk *w)
{
    struct config_reader *in = &w->in;
    if (in->event.type != YAML_SEQUENCE_START_EVENT) {
        return reader_complain(in, "destinations: expected a list, got %s", reader_found(in).text);
    }
    for (;;) {
        enum err e = reader_next(in);
        if (e) return e;
        if (in->event.type == YAML_SEQUENCE_END_EVENT) return OK;
        if (w->index == DESTINATIONS_MAX) {
            return reader_complain(in, "at most %d destinations are allowed", DESTINATIONS_MAX);
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
    bool is_list = bytes_equal_text(reader_scalar(in), "destinations");
    if (is_list && w->list_line != 0) {
        return reader_complain(in, "duplicate key 'destinations', first given on line %zu",
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

enum err
destinations_yaml(const char *file_name, struct bytes text, const struct settings *settings,
                  struct destinations *ret_list, struct why *why)
{
    struct destinations list = {NULL};
    struct list_walk w = {.settings = settings, .list = &list};
    enum err e = walk_text(&w, survey_entry, file_name, text, why);
    if (e) goto out;
    if (w.index > 0) {
        list.arena = mem_new(NULL, sizeof *list.arena);
        if (list.arena != NULL) {
            arena_init_secret(list.arena, NULL, ARENA_BYTES_MAX, 0);
            list.items = arena_new(list.arena, w.index * sizeof *list.items);
        }
        e = list.items == NULL ? why_set(why, ERR_NOMEM, "%s: not enough memory", file_name)
                               : walk_text(&w, read_entry, file_name, text, why);
        if (e) goto out;
    }
    *ret_list = list;
    list = (struct destinations){NULL};
out:
    destinations_free(&list);
    return e;
}

/* --- what was read ---------------------------------------------------------------------------- */

const struct destination_settings *
destinations_find(const struct destinations *list, const char *name)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].name, name) == 0) return &list->items[i];
    }
    return NULL;
}

void
destinations_print_yaml(const struct destinations *list, struct buf *to)
{
    enum { KEYS_INDENT = 6 };
    buf_put_text(to, list->count == 0 ? "destinations: []\n" : "destinations:\n");
    for (uint32_t i = 0; i < list->count; i++) {
        const struct destination_settings *d = &list->items[i];
        schema_print(to, &destination_schema, d->type, d, KEYS_INDENT, true);
    }
}

bool
destination_settings_equal(const struct destination_settings *a,
                           const struct destination_settings *b)
{
    return a->type == b->type && schema_equal(&destination_schema, a->type, a, b);
}
