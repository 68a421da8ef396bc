/*
 * config_check.c - see config_check.h. Two configurations are compared as they are printed: both
 * become lists of keys and values, which are sorted and then compared in one pass.
 */
#include "config/config_check.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text/texts.h"
#include "config/lists/lists.h"
#include "wire/yaml/yaml_reader.h"

/* --- comparing -------------------------------------------------------------------------------- */

struct config_difference {
    const char *key;       /* "web.listen_address", "destinations[s3].url" */
    const char *old_value; /* NULL: it does not have the key */
    const char *new_value; /* likewise */
    bool needs_restart;    /* a reload cannot change it */
};
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

static enum err read_value(struct config_reader *r, void *context);

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
read_value(struct config_reader *r, void *context)
{
    struct pairs *p = context;
    if (r->event.type == YAML_MAPPING_START_EVENT) return read_mapping(r, p, SIZE_MAX);
    if (r->event.type == YAML_SEQUENCE_START_EVENT) return read_list(r, p);
    return add_pair(r, p, reader_scalar(r));
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
        e = reader_document(&r, read_value, p);
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

static bool
needs_restart(const struct config_difference *d)
{
    for (const struct setting *s = settings_table(); s->name != NULL; s++)
        if (is_setting(d->key, s->name)) return !s->reloadable;
    if (strncmp(d->key, "object_storage.", 15) == 0) return true;
    if (strncmp(d->key, "otlp.", 5) == 0 || strncmp(d->key, "line_listeners", 14) == 0) return true;
    /* As access_settings_check_reload(): addresses, modes, and whether a listener has TLS. */
    bool comes_or_goes = d->old_value == NULL || d->new_value == NULL;
    if (text_ends_with(d->key, "tls_server_config.cert_file")) return comes_or_goes;
    return strncmp(d->key, "listeners[", 10) == 0 &&
           (text_ends_with(d->key, ".address") || text_ends_with(d->key, ".mode"));
}

enum { CHANGES_MAX = 1000, PRINTED_BYTES_MAX = 8 * CONFIG_BYTES_MAX };

/* --- changes ---------------------------------------------------------------------------------- */

struct change_list {
    struct json *json;
    uint32_t count;
    bool needs_restart;
};

static void
put_change(struct change_list *c, const struct config_difference *d)
{
    c->needs_restart |= d->needs_restart;
    if (c->count++ >= CHANGES_MAX) return;
    json_object_open(c->json);
    json_member_text(c->json, "key", d->key);
    if (d->old_value != NULL) json_member_text(c->json, "old", d->old_value);
    if (d->new_value != NULL) json_member_text(c->json, "new", d->new_value);
    json_member_bool(c->json, "needsRestart", d->needs_restart);
    json_object_close(c->json);
}

/*
 * Writes every difference, in the order of keys. Items of lists are compared by their
 * name, or by their place if they have none; a list of texts is one value. Secrets are printed as
 * <secret>, so a secret that was replaced is no difference. ERR_NOMEM.
 */
static enum err
config_compare(struct bytes now, struct bytes next, struct budget *budget,
               struct change_list *changes, struct why *why)
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
        put_change(changes, &d);
    }
    arena_fini(&arena);
    return e;
}

/* Writes the differences from the configuration in force, in the order of keys. */
static enum err
put_changes(const struct config_check *c, const struct settings *next,
            const struct config_lists *lists, struct json *j, struct why *why)
{
    struct buf yaml;
    struct change_list changes = {.json = j};
    buf_init(&yaml, c->budget, PRINTED_BYTES_MAX);
    settings_print_yaml(next, &lists->rules, &lists->alerting, &lists->retention, &yaml);
    downsampling_rules_print_yaml(&lists->downsampling, &yaml);
    object_storage_print_yaml(&lists->objects, &yaml);
    inputs_print_yaml(&lists->inputs, &yaml);
    access_settings_print_yaml(&lists->access, &yaml);
    destinations_print_yaml(&lists->destinations, &yaml);
    sources_print_yaml(&lists->sources, &yaml);
    enum err e = why_set(why, buf_error(&yaml), "not enough memory to compare configurations");
    json_member_array(j, "changes");
    if (e == OK) e = config_compare(c->now_yaml, buf_bytes(&yaml), c->budget, &changes, why);
    json_array_close(j);
    json_member_uint(j, "changesLeftOff",
                     changes.count > CHANGES_MAX ? changes.count - CHANGES_MAX : 0);
    json_member_bool(j, "needsRestart", changes.needs_restart);
    buf_fini(&yaml);
    return e;
}

enum err
config_check_print(const struct config_check *c, struct bytes text, struct json *j, struct why *why)
{
    struct settings next;
    struct config_lists lists = {.destinations = {NULL}};
    /* Relative paths begin at the directory of the file in force. */
    const char *name = c->now->config_file[0] == '\0' ? "firekeep.yml" : c->now->config_file;
    struct yaml_errors *errors = mem_new(c->budget, sizeof *errors);
    if (errors == NULL) return why_set(why, ERR_NOMEM, "not enough memory to check a text");
    /* The text is read like at a start; errors are collected. */
    reader_collect(errors);
    enum err e = settings_load_text(&next, &lists, name, text, c->flag_count, c->flag_words, why);
    /* The path of another file for web.config_file is the client's choice: messages would quote
     * it. */
    bool is_other = next.web_config_file[0] != '\0' &&
                    strcmp(next.web_config_file, c->now->web_config_file) != 0;
    if (e == OK && !is_other) e = access_settings_complete(&lists.access, &next, why);
    if (e == OK) e = config_lists_check(&lists, &next, why);
    if (e) reader_note(name, why);
    reader_collect(NULL);
    bool is_answer = e != ERR_NOMEM && e != ERR_LIMIT;
    if (is_answer) {
        json_object_open(j);
        json_member_bool(j, "valid", e == OK);
        uint32_t shown = errors->count < YAML_ERRORS_MAX ? errors->count : YAML_ERRORS_MAX;
        json_member_uint(j, "errorsLeftOff", errors->count - shown);
        json_member_array(j, "errors");
        for (uint32_t i = 0; i < shown; i++) {
            const struct yaml_error *error = &errors->items[i];
            const char *message = error->why.text;
            char place[SETTING_TEXT_BYTES + 64];
            int size =
                snprintf(place, sizeof place, "%s:%zu:%zu: ", name, error->line, error->column);
            if (strncmp(message, place, (size_t)size) == 0) message += size;
            json_object_open(j);
            json_member_uint(j, "line", error->line); /* 0: it concerns all of the text */
            json_member_uint(j, "column", error->column);
            json_member_text(j, "message", message);
            json_object_close(j);
        }
        json_array_close(j);
        e = e == OK ? put_changes(c, &next, &lists, j, why) : OK;
        json_object_close(j);
    }
    config_lists_free(&lists);
    mem_free(c->budget, errors, sizeof *errors);
    return e;
}

enum err
config_plan_rules(const char *file_name, struct bytes text, int flag_count, char *const *flag_words,
                  struct tsdb_limits *ret_limits, struct why *why)
{
    struct settings next;
    struct config_lists lists = {.destinations = {NULL}};
    enum err e = settings_load_text(&next, &lists, file_name, text, flag_count, flag_words, why);
    if (e == OK) e = downsampling_levels_make(&lists.downsampling, ret_limits, why);
    if (e == OK)
        e = retention_rules_plan(&lists.retention, &next, &ret_limits->retention_rules, why);
    config_lists_free(&lists);
    return e;
}
