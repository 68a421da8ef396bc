/*
 * schema.c - reads mappings as their tables say; schema_print.c compares and prints them. Reading
 * recurses only into rows that have a schema of their own, so tables bound it.
 *
 * The places of a mapping's keys are kept until it ends: errors about duplicates name the first
 * line, and checks of several keys name the key in conflict.
 */
#include "base/log.h"
#include "base/text/path_from.h"
#include "base/text/suggest.h"
#include "config/schema/schema_private.h"

#include <assert.h>
#include <stdio.h>
#include <strings.h>

/*
 * Lets a mapping take keys from another. Its own keys win, and also replace keys
 * that exclude or complete them: a mapping with its own token does not take the other's password.
 */

/* Returns the row of the used mapping that means the same as `key`, or NULL. */
static const struct schema_key *
same_row(const struct schema_used *used, const struct schema_key *key)
{
    const struct schema_key *other =
        schema_find(used->schema, bytes_of_text(key->name), used->type);
    if (other == NULL || other->kind != key->kind || other->inner != key->inner) return NULL;
    if (schema_is_number(key->kind) && other->size != key->size) return NULL;
    bool of_types = key->types != 0 && other->types != 0;
    return of_types || strcmp(key->name, "name") == 0 ? other : NULL;
}

/* True if the mapping has a key of its own that decides `key`, too. */
static bool
is_decided(const struct schema_place *place, const struct schema_key *key)
{
    if (schema_given_for(place, key) != NULL) return true;
    if (key->needs == NULL) return false;
    return schema_given_for(place, schema_find(place->schema, bytes_of_text(key->needs),
                                               place->x->type)) != NULL;
}

static void
copy_field(void *base, size_t to, const void *from_base, size_t from, size_t size)
{
    memcpy((uint8_t *)base + to, (const uint8_t *)from_base + from, size);
}

static void
copy_value(const struct schema_key *key, void *base, const struct schema_key *other,
           const void *from)
{
    bool listed = schema_is_list(key->kind);
    size_t size = listed ? sizeof(void *) : key->size;
    copy_field(base, key->offset, from, other->offset, size);
    if (listed) {
        copy_field(base, key->count_offset, from, other->count_offset, sizeof(uint32_t));
    }
}

/* Checks a text that `use` filled in by the checks of this schema. */
static enum err
check_taken(struct schema_place *place, const struct schema_key *key)
{
    struct why *why = place->x->in->why;
    enum err e = OK;
    if (key->kind == SCHEMA_TEXT && key->check != NULL) {
        e = key->check(schema_get_pointer(place->base, key->offset), why);
    } else if (key->kind == SCHEMA_NAMED_SECRETS && key->check_name != NULL) {
        const struct named_secret *items = schema_get_pointer(place->base, key->offset);
        uint32_t count = schema_get_count(key, place->base);
        for (uint32_t i = 0; i < count && e == OK; i++)
            e = key->check_name(items[i].name, why);
    }
    if (e == OK) return OK;
    err_ignore(why_prefix(why, e, "%s", key->name), "only adds to the sentence");
    err_ignore(reader_at(place->x->in, place->values[key - place->schema->keys]), "the same");
    return e;
}

/* Fills keys that the outermost mapping lacks from the mapping that it uses. ERR_INPUT, by the
 * keys' checks. */
static MUST_CHECK enum err
schema_take_used(struct schema_place *place)
{
    const struct schema_used *used = place->x->used;
    const struct schema_key *keys = place->schema->keys;
    size_t by =
        (size_t)(schema_find(place->schema, bytes_of_text(used->key), place->x->type) - keys);
    bool taken[SCHEMA_KEYS_MAX] = {false};
    for (const struct schema_key *k = keys; k->name != NULL; k++) {
        if (!schema_has_key(k, place->x->type) || is_decided(place, k)) continue;
        if (strcmp(k->name, "type") == 0) {
            taken[k - keys] = true; /* the reader has noted the name */
            continue;
        }
        const struct schema_key *other = same_row(used, k);
        if (other == NULL || !schema_is_shown(other, used->type, used->base)) continue;
        copy_value(k, place->base, other, used->base);
        taken[k - keys] = true;
    }
    for (const struct schema_key *k = keys; k->name != NULL; k++) {
        if (!taken[k - keys]) continue;
        place->given[k - keys] = true;
        place->keys[k - keys] = place->keys[by];
        place->values[k - keys] = place->values[by];
        enum err e = check_taken(place, k);
        if (e) return e;
    }
    return OK;
}

/* --- rows ------------------------------------------------------------------------------------- */

const struct schema_key *
schema_find(const struct schema *schema, struct bytes name, unsigned type)
{
    for (const struct schema_key *k = schema->keys; k->name != NULL; k++) {
        if (schema_has_key(k, type) && bytes_equal_text(name, k->name)) return k;
    }
    return NULL;
}

struct setting
schema_number(const struct schema_key *key)
{
    static const enum setting_type types[] = {
        [SCHEMA_BOOL] = SETTING_BOOL,         [SCHEMA_COUNT] = SETTING_COUNT,
        [SCHEMA_COUNT64] = SETTING_COUNT64,   [SCHEMA_SIZE] = SETTING_BYTES,
        [SCHEMA_DURATION] = SETTING_DURATION, [SCHEMA_CHOICE] = SETTING_CHOICE,
        [SCHEMA_SET] = SETTING_SET,
    };
    assert(schema_is_number(key->kind));
    return (struct setting){.name = key->name,
                            .type = types[key->kind],
                            .choices = key->choices,
                            .min = key->min,
                            .max = key->max};
}

/* Returns "true" or "false" for a boolean of YAML 1.1, and other texts as they are. */
static struct bytes
boolean_of(struct bytes text)
{
    static const char *const words[][2] = {
        {"true", "false"}, {"yes", "no"}, {"on", "off"}, {"y", "n"}};
    for (size_t i = 0; i < 2 * sizeof words / sizeof *words; i++) {
        const char *word = words[i / 2][i % 2];
        if (text.size == strlen(word) && strncasecmp((const char *)text.at, word, text.size) == 0)
            return bytes_of_text(words[0][i % 2]);
    }
    return text;
}

static enum err
schema_parse_number(const struct schema_key *key, struct bytes text, void *base, struct why *why)
{
    struct setting shape = schema_number(key);
    if (key->as_prometheus && key->kind == SCHEMA_BOOL) text = boolean_of(text);
    uint64_t number = 0;
    bool zero = key->zero_word != NULL && bytes_equal_text(text, key->zero_word);
    enum err e = zero ? OK : setting_parse_number(&shape, text, &number, why);
    assert(key->size <= sizeof number);
    if (e == OK) memcpy((uint8_t *)base + key->offset, &number, key->size);
    return e;
}

static void
set_pointer(void *base, size_t offset, const void *p)
{
    memcpy((uint8_t *)base + offset, &p, sizeof p);
}

static void
set_list(const struct schema_key *key, void *base, const void *items, uint32_t count)
{
    set_pointer(base, key->offset, items);
    memcpy((uint8_t *)base + key->count_offset, &count, sizeof count);
}

void
schema_default(const struct schema *schema, unsigned type, void *base)
{
    for (const struct schema_key *k = schema->keys; k->name != NULL; k++) {
        if (!schema_has_key(k, type)) continue;
        if (k->kind == SCHEMA_MAPPING) schema_default(k->inner, type, (uint8_t *)base + k->offset);
        if (k->fallback == NULL) continue;
        if (schema_is_number(k->kind)) {
            enum err e = schema_parse_number(k, bytes_of_text(k->fallback), base, NULL);
            assert(e == OK);
        } else if (k->parse != NULL) {
            bool fine = k->parse(bytes_of_text(k->fallback), base);
            assert(fine);
        } else {
            assert(k->kind == SCHEMA_TEXT);
            set_pointer(base, k->offset, k->fallback);
        }
    }
}

/* --- errors ----------------------------------------------------------------------------------- */

static void
join_path(char to[SCHEMA_PATH_BYTES], const char *path, const char *name)
{
    snprintf(to, SCHEMA_PATH_BYTES, "%s%s%s", path, path[0] == 0 ? "" : ".", name);
}

static enum err
schema_no_memory(struct schema_reader *x)
{
    return why_set(x->in->why, ERR_NOMEM, "%s: not enough memory", x->in->file_name);
}

const struct schema_reader *
schema_reader_of(const struct schema_place *place)
{
    return place->x;
}

static const struct schema_key *
find_in(const struct schema_place *place, const char *key)
{
    const struct schema_key *k = schema_find(place->schema, bytes_of_text(key), place->x->type);
    assert(k != NULL);
    return k;
}

bool
schema_given(const struct schema_place *place, const char *key)
{
    return place->given[find_in(place, key) - place->schema->keys];
}

const char *
schema_given_of(const struct schema_place *place, unsigned group)
{
    for (const struct schema_key *k = place->schema->keys; k->name != NULL; k++) {
        if (k->group == group && place->given[k - place->schema->keys]) return k->name;
    }
    return NULL;
}

uint32_t
schema_line(const struct schema_place *place)
{
    return (uint32_t)place->begin.line + 1;
}

uint32_t
schema_column(const struct schema_place *place)
{
    return (uint32_t)place->begin.column + 1;
}

uint32_t
schema_value_line(const struct schema_place *place, const char *key)
{
    size_t index = (size_t)(find_in(place, key) - place->schema->keys);
    return place->given[index] ? (uint32_t)place->values[index].line + 1 : 0;
}

enum err
schema_complain(struct schema_place *place, const char *key, const char *format, ...)
{
    struct why what;
    va_list args;
    va_start(args, format);
    vsnprintf(what.text, sizeof what.text, format, args);
    va_end(args);
    yaml_mark_t mark = place->begin;
    if (key != NULL && schema_given(place, key)) {
        mark = place->values[find_in(place, key) - place->schema->keys];
    }
    char path[SCHEMA_PATH_BYTES];
    join_path(path, place->path, key == NULL ? "" : key);
    size_t size = strlen(path);
    if (key == NULL && size > 0) path[size - 1] = 0; /* removes the dot */
    return reader_complain_at(place->x->in, mark, "%s%s%s", path, path[0] == 0 ? "" : ": ",
                              what.text);
}

struct type_word {
    char text[48];
};

static struct type_word
word_of(const struct schema_reader *x, unsigned type)
{
    struct setting types = {.type = SETTING_CHOICE, .choices = x->types};
    struct type_word word;
    setting_number_text(&types, type, word.text, sizeof word.text);
    return word;
}

/* Writes "type kinesis" or "types influxdb and s3": the types of all rows with that name. */
static void
types_of(const struct schema_place *place, struct bytes name, char *to, size_t size)
{
    uint32_t types = 0;
    for (const struct schema_key *k = place->schema->keys; k->name != NULL; k++) {
        if (bytes_equal_text(name, k->name)) types |= k->types;
    }
    bool several = (types & (types - 1)) != 0;
    size_t used = (size_t)snprintf(to, size, "type%s", several ? "s" : "");
    for (unsigned t = 0; t < 32 && types >> t != 0 && used < size; t++) {
        if ((types >> t & 1) == 0) continue;
        bool first = (types & ((1u << t) - 1)) == 0, last = types >> t == 1;
        const char *before = first ? " " : last ? " and " : ", ";
        used += (size_t)snprintf(to + used, size - used, "%s%s", before, word_of(place->x, t).text);
    }
}

static enum err
unknown_key(struct schema_place *place)
{
    struct config_reader *in = place->x->in;
    unsigned type = place->x->type;
    struct bytes name = reader_scalar(in);
    struct shown shown = shown_of(name);
    struct suggestion near;
    const struct schema_refusal *refused = place->schema->refused;
    for (; refused != NULL && refused->name != NULL; refused++) {
        if (!bytes_equal_text(name, refused->name)) continue;
        if (refused->skipped_types == 0)
            return reader_complain(in, "'%s' %s", refused->name, refused->sentence);
        if ((refused->skipped_types >> type & 1) == 0) continue;
        /* Logged here, since the caller goes on as if the key were not there. */
        log_warn("configuration: a key has no effect", KV("file", in->file_name),
                 KV("line", in->event.start_mark.line + 1), KV("key", refused->name),
                 KV("why", refused->sentence));
        enum err e = reader_next(in);
        return e ? e : reader_skip(in);
    }
    suggest_begin(&near, name);
    for (const struct schema_key *k = place->schema->keys; k->name != NULL; k++) {
        if (schema_has_key(k, type)) {
            suggest_try(&near, k->name);
        } else if (bytes_equal_text(name, k->name)) {
            char types[160];
            types_of(place, name, types, sizeof types);
            return reader_complain(in, "%s belongs to %s, not %s", shown.text, types,
                                   word_of(place->x, type).text);
        }
    }
    const char *where = place->path[0] == 0 ? place->x->list : place->path;
    char inside[SCHEMA_PATH_BYTES + 8] = ""; /* stays empty for the root of a file */
    if (where[0] != '\0') snprintf(inside, sizeof inside, " in '%s'", where);
    /* The key may belong one level deeper, into a nested mapping. */
    for (const struct schema_key *k = place->schema->keys; k->name != NULL; k++) {
        bool nested = k->kind == SCHEMA_MAPPING || k->kind == SCHEMA_MAPPINGS;
        if (!nested || !schema_has_key(k, type)) continue;
        if (schema_find(k->inner, name, type) == NULL) continue;
        return reader_complain(in, "unknown key %s%s; did you mean %s below '%s:'?", shown.text,
                               inside, shown.text, k->name);
    }
    return reader_complain(in, "unknown key %s%s%s", shown.text, inside,
                           suggest_hint(&near, "").text);
}

/* --- texts ------------------------------------------------------------------------------------ */

static enum err
schema_check_text(struct schema_reader *x, const struct schema_key *key, const char *path,
                  struct bytes text)
{
    uint64_t max = key->max == 0 || schema_is_list(key->kind) ? SCHEMA_TEXT_BYTES_MAX : key->max;
    if (text.size == 0 && !key->may_be_empty) {
        return reader_complain(x->in, "%s: must not be empty", path);
    }
    if (text.size > max) {
        return reader_complain(x->in, "%s: must be at most %zu bytes, got %zu", path, (size_t)max,
                               text.size);
    }
    for (size_t i = 0; i < text.size; i++) {
        bool control = text.at[i] < ' ' || text.at[i] == 0x7f;
        if (!control || (key->any_control && text.at[i] != 0)) continue;
        /* The error does not show the character: the text may be a secret. */
        return reader_complain(x->in, "%s: must not contain %s", path,
                               key->any_control ? "NUL" : "control characters");
    }
    return OK;
}

/* Reports a value of another kind. A text in place of a list of secrets may be one. */
static enum err
schema_expected(struct schema_reader *x, const struct schema_key *key, const char *path,
                const char *expected)
{
    bool shown =
        !schema_is_secret(key) || x->in->event.type != YAML_SCALAR_EVENT || reader_is_null(x->in);
    if (shown) return reader_expected(x->in, path, expected);
    return reader_complain(x->in, "%s: expected %s, got a value", path, expected);
}

/* Copies the current scalar. `check` may be NULL. */
static enum err
schema_read_text(struct schema_reader *x, const struct schema_key *key, const char *path,
                 enum err (*check)(const char *text, struct why *why), const char **ret)
{
    if (x->in->event.type != YAML_SCALAR_EVENT || reader_is_null(x->in)) {
        return schema_expected(x, key, path, key->what == NULL ? "text" : key->what);
    }
    struct bytes text = reader_scalar(x->in);
    enum err e = schema_check_text(x, key, path, text);
    if (e) return e;
    char *copy = arena_alloc(x->arena, text.size + 1);
    if (copy == NULL) return schema_no_memory(x);
    if (text.size > 0) memcpy(copy, text.at, text.size);
    copy[text.size] = 0;
    e = check == NULL ? OK : check(copy, x->in->why);
    if (e) return reader_wrong(x->in, path, e);
    *ret = copy;
    if ((!key->is_path && key->kind != SCHEMA_SECRET_FILE) || text.size == 0) return OK;
    *ret = path_from(x->arena, x->in->file_name, copy); /* as Prometheus does */
    return *ret == NULL ? schema_no_memory(x) : OK;
}

/* --- lists and maps --------------------------------------------------------------------------- */

struct growing {
    void *items;
    uint32_t count;
    uint32_t capacity;
};

/* Returns the next item, zeroed; NULL if there is not enough memory. Outgrown arrays stay in the
 * arena: together they are no larger than the last. */
static void *
next_item(struct schema_reader *x, struct growing *g, size_t size)
{
    if (g->count == g->capacity) {
        uint32_t capacity = 2 * g->capacity + 4;
        void *more = arena_new(x->arena, capacity * size);
        if (more == NULL) return NULL;
        if (g->count > 0) memcpy(more, g->items, g->count * size);
        g->items = more;
        g->capacity = capacity;
    }
    return (uint8_t *)g->items + g->count * size;
}

static enum err
too_many(struct schema_reader *x, const struct schema_key *key, const char *path)
{
    return reader_complain(x->in, "%s: at most %zu entries are allowed", path, (size_t)key->max);
}

static enum err read_mapping(struct schema_reader *x, const struct schema *schema, const char *path,
                             void *base);

static enum err
read_item(struct schema_reader *x, const struct schema_key *key, const char *path,
          struct growing *g)
{
    void *item = next_item(x, g, schema_item_size(key));
    if (item == NULL) return schema_no_memory(x);
    if (key->kind == SCHEMA_MAPPINGS) {
        enum err e = read_mapping(x, key->inner, path, item);
        if (e == OK) g->count++;
        return e;
    }
    const char *text;
    enum err e = schema_read_text(x, key, path, key->check, &text);
    if (e) return e;
    for (uint32_t i = 0; key->unique && i < g->count; i++) {
        if (strcmp(((const char *const *)g->items)[i], text) != 0) continue;
        return reader_complain(x->in, "%s: duplicate entry %s", path,
                               shown_of(bytes_of_text(text)).text);
    }
    if (key->kind == SCHEMA_BYTES_LIST) {
        *(struct bytes *)item = bytes_of_text(text);
    } else if (key->kind == SCHEMA_SECRETS) {
        *(struct secret *)item = (struct secret){.text = text};
    } else {
        *(const char **)item = text;
    }
    g->count++;
    return OK;
}

static enum err
schema_read_list(struct schema_reader *x, const struct schema_key *key, const char *path,
                 void *base)
{
    struct config_reader *in = x->in;
    struct growing g = {NULL};
    enum err e = OK;
    unsigned depth = in->depth;
    if (key->may_be_nothing && reader_is_null(in)) return OK;
    bool word = key->word != NULL && in->event.type == YAML_SCALAR_EVENT &&
                bytes_equal_text(reader_scalar(in), key->word);
    if (word) {
        e = read_item(x, key, path, &g);
    } else if (in->event.type != YAML_SEQUENCE_START_EVENT) {
        char expected[64];
        snprintf(expected, sizeof expected, "a list%s%s", key->word == NULL ? "" : " or the word ",
                 key->word == NULL ? "" : key->word);
        return schema_expected(x, key, path, expected);
    }
    while (!word && e == OK) {
        e = reader_next(in);
        if (e || in->event.type == YAML_SEQUENCE_END_EVENT) break;
        if (g.count == key->max) return too_many(x, key, path);
        e = reader_pass_over(in, depth, read_item(x, key, path, &g));
    }
    if (e == OK) set_list(key, base, g.items, g.count);
    return e;
}

struct reading_map {
    struct schema_reader *x;
    const struct schema_key *key;
    const char *path;
    struct growing items;
    size_t lines[SCHEMA_MAP_ITEMS_MAX];
};

/* Reads the current key and its value as the next item of a map. */
static enum err
read_named(struct config_reader *in, void *context)
{
    struct reading_map *m = context;
    struct schema_reader *x = m->x;
    const struct schema_key *key = m->key;
    const char *path = m->path;
    struct growing *g = &m->items;
    if (g->count == key->max) return too_many(x, key, path);
    void *item = next_item(x, g, schema_item_size(key));
    if (item == NULL) return schema_no_memory(x);
    const char *name, *value = NULL;
    if (reader_scalar(in).size > SCHEMA_NAME_BYTES_MAX) {
        return reader_complain(in, "%s: a name must be at most %d bytes, got %zu", path,
                               SCHEMA_NAME_BYTES_MAX, reader_scalar(in).size);
    }
    enum err e = schema_read_text(x, key, path, key->check_name, &name);
    if (e) return e;
    for (uint32_t i = 0; i < g->count; i++) {
        /* Each item begins with its name. */
        if (strcmp(schema_get_pointer(g->items, i * schema_item_size(key)), name) != 0) continue;
        return reader_complain(in, "%s: duplicate key %s, first given on line %zu", path,
                               shown_of(bytes_of_text(name)).text, m->lines[i]);
    }
    m->lines[g->count] = in->event.start_mark.line + 1;
    e = reader_next(in);
    if (e) return e;
    if (key->kind == SCHEMA_NAMED_MAPPINGS) {
        set_pointer(item, 0, name);
        e = read_mapping(x, key->inner, path, item);
    } else {
        e = schema_read_text(x, key, path, key->check, &value);
    }
    if (e) return e;
    if (key->kind == SCHEMA_NAMED_TEXTS) {
        *(struct named_text *)item = (struct named_text){name, value};
    } else if (key->kind == SCHEMA_NAMED_SECRETS) {
        *(struct named_secret *)item = (struct named_secret){name, {.text = value}};
    }
    g->count++;
    return OK;
}

static enum err
read_map(struct schema_reader *x, const struct schema_key *key, const char *path, void *base)
{
    struct reading_map map = {.x = x, .key = key, .path = path};
    assert(key->max <= SCHEMA_MAP_ITEMS_MAX);
    if (key->may_be_nothing && reader_is_null(x->in)) return OK;
    if (x->in->event.type != YAML_MAPPING_START_EVENT) {
        return schema_expected(x, key, path, "a mapping");
    }
    enum err e = reader_mapping(x->in, read_named, &map);
    if (e == OK) set_list(key, base, map.items.items, map.items.count);
    return e;
}

_Static_assert(offsetof(struct named_text, name) == 0, "a map's items begin with their name");
_Static_assert(offsetof(struct named_secret, name) == 0, "a map's items begin with their name");

/* --- values ----------------------------------------------------------------------------------- */

static enum err
read_own(struct schema_reader *x, const struct schema_key *key, const char *path, void *base)
{
    bool scalar = x->in->event.type == YAML_SCALAR_EVENT && !reader_is_null(x->in);
    if (scalar && key->parse(reader_scalar(x->in), base)) return OK;
    return reader_expected(x->in, path, key->what);
}

static enum err
schema_read_value(struct schema_reader *x, const struct schema_key *key, const char *path,
                  void *base)
{
    bool scalar = x->in->event.type == YAML_SCALAR_EVENT && !reader_is_null(x->in);
    struct setting shape;
    const char *text;
    char expected[200];
    enum err e;
    switch (key->kind) {
    case SCHEMA_OWN:
        return read_own(x, key, path, base);
    case SCHEMA_TEXT:
    case SCHEMA_BYTES:
    case SCHEMA_SECRET:
    case SCHEMA_SECRET_FILE:
        e = schema_read_text(x, key, path, key->check, &text);
        if (e) return e;
        if (key->kind == SCHEMA_BYTES) {
            struct bytes bytes = bytes_of_text(text);
            memcpy((uint8_t *)base + key->offset, &bytes, sizeof bytes);
        } else if (key->kind == SCHEMA_SECRET_FILE) {
            set_pointer(base, key->offset + offsetof(struct secret, file), text);
        } else {
            set_pointer(base, key->offset, text);
        }
        return OK;
    case SCHEMA_TEXTS:
    case SCHEMA_BYTES_LIST:
    case SCHEMA_SECRETS:
    case SCHEMA_MAPPINGS:
        return schema_read_list(x, key, path, base);
    case SCHEMA_NAMED_TEXTS:
    case SCHEMA_NAMED_SECRETS:
    case SCHEMA_NAMED_MAPPINGS:
        return read_map(x, key, path, base);
    case SCHEMA_MAPPING:
        if (key->may_be_nothing && reader_is_null(x->in)) return OK;
        if (key->parse != NULL && x->in->event.type != YAML_MAPPING_START_EVENT) {
            return read_own(x, key, path, base);
        }
        return read_mapping(x, key->inner, path, (uint8_t *)base + key->offset);
    default:
        shape = schema_number(key);
        if (key->kind == SCHEMA_SET && x->in->event.type == YAML_SEQUENCE_START_EVENT) {
            uint64_t all = 0;
            e = reader_set(x->in, &shape, path, &all);
            if (e == OK) memcpy((uint8_t *)base + key->offset, &all, key->size);
            return e;
        }
        setting_expected(&shape, expected, sizeof expected);
        if (!scalar) return reader_expected(x->in, path, expected);
        return reader_wrong(x->in, path,
                            schema_parse_number(key, reader_scalar(x->in), base, x->in->why));
    }
}

_Static_assert(offsetof(struct secret, text) == 0, "a secret's text is stored like any");

/* --- mappings --------------------------------------------------------------------------------- */

const struct schema_key *
schema_given_for(const struct schema_place *place, const struct schema_key *key)
{
    for (const struct schema_key *k = place->schema->keys; k->name != NULL; k++) {
        bool same = k == key || (key->group != 0 && k->group == key->group);
        if (same && place->given[k - place->schema->keys]) return k;
    }
    return NULL;
}

/* Refuses the current key if it, or a key that excludes it, was given before. */
static enum err
note_key(struct schema_place *place, const struct schema_key *key, yaml_mark_t mark)
{
    struct config_reader *in = place->x->in;
    size_t index = (size_t)(key - place->schema->keys);
    const struct schema_key *other = schema_given_for(place, key);
    size_t line = other == NULL ? 0 : place->keys[other - place->schema->keys].line + 1;
    if (other == key) {
        return reader_complain_at(in, mark, "duplicate key '%s', first given on line %zu",
                                  key->name, line);
    }
    if (other != NULL) {
        return reader_complain_at(in, mark,
                                  "'%s' and '%s' cannot be used together; '%s' is on line %zu",
                                  key->name, other->name, other->name, line);
    }
    place->given[index] = true;
    place->keys[index] = mark;
    return OK;
}

/* Checks for required keys, and keys needed by others, that are missing. */
static enum err
check_missing(struct schema_place *place)
{
    struct config_reader *in = place->x->in;
    for (const struct schema_key *k = place->schema->keys; k->name != NULL; k++) {
        if (!schema_has_key(k, place->x->type)) continue;
        size_t index = (size_t)(k - place->schema->keys);
        if (k->required && schema_given_for(place, k) == NULL) {
            bool outermost = place->path[0] == 0;
            return reader_complain_at(
                in, place->begin, "%s%s requires '%s', %s", outermost ? "type " : "",
                outermost ? word_of(place->x, place->x->type).text : place->path, k->name, k->help);
        }
        if (k->needs == NULL || !place->given[index]) continue;
        if (schema_given_for(place, find_in(place, k->needs)) == NULL) {
            return reader_complain_at(in, place->keys[index], "'%s' requires '%s'", k->name,
                                      k->needs);
        }
    }
    return OK;
}

static bool
is_blank(const struct config_reader *in)
{
    return in->event.type == YAML_SCALAR_EVENT &&
           (reader_is_null(in) || reader_scalar(in).size == 0);
}

static enum err
schema_read_key(struct config_reader *in, void *context)
{
    struct schema_place *place = context;
    struct schema_reader *x = place->x;
    const struct schema_key *key = schema_find(place->schema, reader_scalar(in), x->type);
    const yaml_mark_t mark = in->event.start_mark;
    const bool may_be_blank = key != NULL && key->as_prometheus;
    if (key == NULL && !place->schema->partial) return unknown_key(place);
    enum err e = may_be_blank ? reader_next(in) : OK;
    if (e == OK && may_be_blank && is_blank(in)) return OK;
    if (e == OK && key != NULL) e = note_key(place, key, mark);
    if (e == OK && !may_be_blank) e = reader_next(in);
    if (e || key == NULL) return e ? e : reader_skip(in);
    place->values[key - place->schema->keys] = in->event.start_mark;
    char path[SCHEMA_PATH_BYTES];
    join_path(path, place->path, key->name);
    return schema_read_value(x, key, path, place->base);
}

static enum err
read_mapping(struct schema_reader *x, const struct schema *schema, const char *path, void *base)
{
    struct config_reader *in = x->in;
    struct schema_place place = {
        .x = x, .schema = schema, .base = base, .path = path, .begin = in->event.start_mark};
    if (in->event.type != YAML_MAPPING_START_EVENT) {
        /* A section with settings: they report it. */
        if (schema->partial && path[0] != 0 && in->event.type == YAML_SCALAR_EVENT) {
            return reader_skip(in);
        }
        /* The value may be a secret written one level too high. */
        bool shown = in->event.type != YAML_SCALAR_EVENT || reader_is_null(in) || path[0] == 0;
        return reader_complain(in, "'%s' expects keys below it such as '%s:', got %s",
                               path[0] == 0 ? x->list : path, schema->keys[0].name,
                               shown ? reader_found(in).text : "a value");
    }
    schema_default(schema, x->type, base);
    if (schema->given_first) *(bool *)base = true;
    uint32_t passed_over = in->passed_over;
    enum err e = reader_mapping(in, schema_read_key, &place);
    if (in->passed_over != passed_over) return e; /* checks would report wrong keys as missing */
    if (e == OK && x->used != NULL && path[0] == 0) e = schema_take_used(&place);
    if (e == OK) e = check_missing(&place);
    if (e == OK && schema->check != NULL) e = schema->check(&place, base);
    return e;
}

enum err
schema_read(struct schema_reader *x, const struct schema *schema, void *base)
{
    return read_mapping(x, schema, "", base);
}
