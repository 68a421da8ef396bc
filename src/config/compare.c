/*
 * compare.c - see compare.h. Both texts become lists of keys and values, which are sorted and then
 * compared in one pass.
 */
#include "config/compare.h"

#include <stdlib.h>
#include <string.h>

#include "base/text/ends.h"
#include "wire/yaml/yaml_reader.h"

enum { PATH_BYTES_MAX = 64 * 1024, COMPARED_BYTES_MAX = 8 * CONFIG_BYTES_MAX };

struct keyed_value {
    const char *key;
    const char *value;
};

struct pairs {
    struct arena *arena;
    struct keyed_value *items;
    uint32_t count;
    struct buf path; /* key of the current value */
};

static enum err read_value(struct config_reader *r, struct pairs *p);

/* Adds the current key with a value, and cuts the path. */
static enum err
add_pair(struct config_reader *r, struct pairs *p, struct bytes value)
{
    size_t size = p->path.size;
    buf_put_u8(&p->path, '\0');
    if (buf_error(&p->path)) return reader_no_memory(r);
    struct bytes key = arena_copy(p->arena, buf_bytes(&p->path));
    p->path.size = size;
    char *text = arena_alloc(p->arena, value.size + 1);
    p->items = arena_push(p->arena, p->items, p->count, sizeof *p->items);
    if (key.at == NULL || text == NULL || p->items == NULL) return reader_no_memory(r);
    if (value.size > 0) memcpy(text, value.at, value.size);
    text[value.size] = '\0';
    p->items[p->count++] = (struct keyed_value){(const char *)key.at, text};
    return OK;
}

/* Reads a mapping; an item of a list that has a name gets it in place of its number. */
static enum err
read_mapping(struct config_reader *r, struct pairs *p, size_t item_at)
{
    size_t base = p->path.size;
    for (bool first = true;; first = false) {
        enum err e = reader_next(r);
        if (e || r->event.type == YAML_MAPPING_END_EVENT) return e;
        if (r->event.type != YAML_SCALAR_EVENT) return reader_expected(r, "key", "a text");
        bool names = first && item_at < base && bytes_equal_text(reader_scalar(r), "name");
        if (base > 0) buf_put_u8(&p->path, '.');
        buf_put_bytes(&p->path, reader_scalar(r));
        e = reader_next(r);
        if (e) return e;
        if (names && r->event.type == YAML_SCALAR_EVENT) {
            struct bytes name = reader_scalar(r);
            p->path.size = item_at;
            buf_printf(&p->path, "[%.*s]", (int)name.size, (const char *)name.at);
            base = p->path.size;
            buf_put_text(&p->path, ".name");
        }
        e = read_value(r, p);
        if (e) return e;
        p->path.size = base;
    }
}

/* Reads a list: texts become one value, other items have keys of their own. */
static enum err
read_list(struct config_reader *r, struct pairs *p)
{
    struct buf texts;
    size_t base = p->path.size;
    bool has_texts = false;
    enum err e = OK;
    buf_init(&texts, NULL, CONFIG_BYTES_MAX);
    for (uint32_t i = 0;; i++) {
        e = reader_next(r);
        if (e || r->event.type == YAML_SEQUENCE_END_EVENT) break;
        if (r->event.type == YAML_SCALAR_EVENT) {
            if (has_texts) buf_put_text(&texts, ", ");
            buf_put_bytes(&texts, reader_scalar(r));
            has_texts = true;
            continue;
        }
        buf_printf(&p->path, "[%u]", i);
        e = r->event.type == YAML_MAPPING_START_EVENT ? read_mapping(r, p, base) : read_value(r, p);
        if (e) break;
        p->path.size = base;
    }
    if (e == OK && buf_error(&texts)) e = reader_no_memory(r);
    if (e == OK && has_texts) e = add_pair(r, p, buf_bytes(&texts));
    buf_fini(&texts);
    return e;
}

static enum err
read_value(struct config_reader *r, struct pairs *p)
{
    if (r->event.type == YAML_MAPPING_START_EVENT) return read_mapping(r, p, SIZE_MAX);
    if (r->event.type == YAML_SEQUENCE_START_EVENT) return read_list(r, p);
    return add_pair(r, p, reader_scalar(r));
}

static enum err
read_root(struct config_reader *r, void *context)
{
    return read_value(r, context);
}

static int
by_key(const void *a, const void *b)
{
    return strcmp(((const struct keyed_value *)a)->key, ((const struct keyed_value *)b)->key);
}

static enum err
read_pairs(struct bytes text, struct pairs *p, struct why *why)
{
    struct config_reader r;
    buf_init(&p->path, NULL, PATH_BYTES_MAX);
    enum err e = reader_init(&r, "configuration", text, COMPARED_BYTES_MAX, why);
    if (e == OK) {
        e = reader_document(&r, read_root, p);
        reader_fini(&r);
    }
    buf_fini(&p->path);
    if (e == OK && p->count > 0) qsort(p->items, p->count, sizeof *p->items, by_key);
    return e;
}

/* --- restarts --------------------------------------------------------------------------------- */

/* Compares "web.listen_address" with "web.listen-address". */
static bool
is_setting(const char *key, const char *name)
{
    while (*key != '\0' && (*key == *name || (*key == '_' && *name == '-'))) {
        key++;
        name++;
    }
    return *key == *name;
}

/* As access_settings_check_reload(): addresses, modes, and whether a listener has TLS. */
static bool
is_of_listening(const struct config_difference *d)
{
    bool comes_or_goes = d->old_value == NULL || d->new_value == NULL;
    if (text_ends_with(d->key, "tls_server_config.cert_file")) return comes_or_goes;
    return strncmp(d->key, "listeners[", 10) == 0 &&
           (text_ends_with(d->key, ".address") || text_ends_with(d->key, ".mode"));
}

static bool
needs_restart(const struct config_difference *d)
{
    for (const struct setting *s = settings_table(); s->name != NULL; s++) {
        if (is_setting(d->key, s->name)) return !s->reloadable;
    }
    return is_of_listening(d);
}

enum err
config_compare(struct bytes now, struct bytes next, struct budget *budget,
               void (*each)(void *context, const struct config_difference *difference),
               void *context, struct why *why)
{
    struct arena arena;
    arena_init(&arena, budget, 0, 0);
    struct pairs old = {.arena = &arena}, new = {.arena = &arena};
    enum err e = read_pairs(now, &old, why);
    if (e == OK) e = read_pairs(next, &new, why);
    for (uint32_t i = 0, k = 0; e == OK && (i < old.count || k < new.count);) {
        const struct keyed_value *a = i < old.count ? &old.items[i] : NULL;
        const struct keyed_value *b = k < new.count ? &new.items[k] : NULL;
        int order = a == NULL ? 1 : b == NULL ? -1 : strcmp(a->key, b->key);
        struct config_difference d = {.key = order <= 0 ? a->key : b->key};
        if (order <= 0) d.old_value = old.items[i++].value;
        if (order >= 0) d.new_value = new.items[k++].value;
        if (order == 0 && strcmp(d.old_value, d.new_value) == 0) continue;
        d.needs_restart = needs_restart(&d);
        each(context, &d);
    }
    arena_fini(&arena);
    return e;
}
