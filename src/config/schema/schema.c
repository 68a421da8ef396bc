/*
 * schema.c - reads mappings as their tables say, and prints them. They are compared and hashed as
 * they are printed, with their secrets. Reading recurses only into rows that have a schema of their
 * own, so tables bound it.
 *
 * The places of a mapping's keys are kept until it ends: errors about duplicates name the first
 * line, and checks of several keys name the key in conflict.
 */
#include "config/schema/schema.h"

#include <assert.h>
#include <stdio.h>
#include <strings.h>

#include "base/hash/hash.h"
#include "base/log.h"
#include "base/text/suggest.h"
#include "sys/paths.h"

/* The mapping that is being read. */
struct schema_place {
    struct schema_reader *x;
    const struct schema *schema;
    void *base;
    const char *path; /* "oauth2.tls_config"; "" for the outermost mapping */
    yaml_mark_t begin;
    bool given[SCHEMA_KEYS_MAX];
    yaml_mark_t keys[SCHEMA_KEYS_MAX];
    yaml_mark_t values[SCHEMA_KEYS_MAX];
};

/* --- fields ----------------------------------------------------------------------------------- */

static bool
schema_is_number(enum schema_kind kind)
{
    return kind <= SCHEMA_SET;
}

/* True if the key's texts are never shown. */
static bool
schema_is_secret(const struct schema_key *key)
{
    return key->is_secret || key->kind == SCHEMA_SECRET || key->kind == SCHEMA_SECRETS ||
           key->kind == SCHEMA_NAMED_SECRETS;
}

static bool
schema_has_key(const struct schema_key *key, unsigned type)
{
    return key->types == 0 || (key->types >> type & 1) != 0;
}

static uint64_t
schema_get_number(const struct schema_key *key, const void *base)
{
    uint64_t number = 0; /* little endian: a narrow field fills the low bytes */
    assert(key->size <= sizeof number);
    memcpy(&number, (const uint8_t *)base + key->offset, key->size);
    return number;
}

static const void *
schema_get_pointer(const void *base, size_t offset)
{
    const void *p;
    memcpy(&p, (const uint8_t *)base + offset, sizeof p);
    return p;
}

static uint32_t
schema_get_count(const struct schema_key *key, const void *base)
{
    uint32_t count;
    memcpy(&count, (const uint8_t *)base + key->count_offset, sizeof count);
    return count;
}

/* The size of one item in a list or map. */
static size_t
schema_item_size(const struct schema_key *key)
{
    switch (key->kind) {
    case SCHEMA_TEXTS:
        return sizeof(const char *);
    case SCHEMA_BYTES_LIST:
        return sizeof(struct bytes);
    case SCHEMA_SECRETS:
        return sizeof(struct secret);
    case SCHEMA_NAMED_TEXTS:
        return sizeof(struct named_text);
    case SCHEMA_NAMED_SECRETS:
        return sizeof(struct named_secret);
    default:
        return key->inner->size;
    }
}

/* True for maps, whose items begin with their name. */
static bool
schema_is_map(enum schema_kind kind)
{
    return kind >= SCHEMA_NAMED_TEXTS && kind <= SCHEMA_NAMED_MAPPINGS;
}

/* True for lists and maps. */
static bool
schema_is_list(enum schema_kind kind)
{
    return kind >= SCHEMA_TEXTS && kind <= SCHEMA_NAMED_MAPPINGS;
}

static const struct schema_key *schema_given_for(const struct schema_place *place,
                                                 const struct schema_key *key);
static bool schema_is_shown(const struct schema_key *key, unsigned type, const void *base);

/* --- use -------------------------------------------------------------------------------------- */

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
        bool listed = schema_is_list(k->kind);
        size_t size = listed ? sizeof(void *) : k->size;
        copy_field(place->base, k->offset, used->base, other->offset, size);
        if (listed) {
            copy_field(place->base, k->count_offset, used->base, other->count_offset,
                       sizeof(uint32_t));
        }
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
    for (const struct schema_key *k = schema->keys; k->name != NULL; k++)
        if (schema_has_key(k, type) && bytes_equal_text(name, k->name)) return k;
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

/* Returns the choice that a text is in any case, and other texts as they are. */
static struct bytes
choice_of(const char *choices, struct bytes text)
{
    for (const char *at = choices; *at != '\0'; at += at[0] == '|') {
        size_t size = strcspn(at, "|");
        if (size == text.size && strncasecmp(at, (const char *)text.at, size) == 0)
            return bytes_of(at, size);
        at += size;
    }
    return text;
}

static enum err
schema_parse_number(const struct schema_key *key, struct bytes text, void *base, struct why *why)
{
    struct setting shape = schema_number(key);
    if (key->as_prometheus && key->kind == SCHEMA_BOOL) text = boolean_of(text);
    if (key->any_case) text = choice_of(key->choices, text);
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
    for (const struct schema_key *k = place->schema->keys; k->name != NULL; k++)
        if (k->group == group && place->given[k - place->schema->keys]) return k->name;
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
    if (key != NULL && schema_given(place, key))
        mark = place->values[find_in(place, key) - place->schema->keys];
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
    for (const struct schema_key *k = place->schema->keys; k->name != NULL; k++)
        if (bytes_equal_text(name, k->name)) types |= k->types;
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
    enum err e = place->schema->refuse == NULL ? OK : place->schema->refuse(in);
    if (e) return e;
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
        e = reader_next(in);
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
    if (text.size == 0 && !key->may_be_empty)
        return reader_complain(x->in, "%s: must not be empty", path);
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
    bool is_null = reader_is_null(x->in);
    if (x->in->event.type != YAML_SCALAR_EVENT || (is_null && !key->as_prometheus))
        return schema_expected(x, key, path, key->what == NULL ? "text" : key->what);
    struct bytes text = is_null ? bytes_of(NULL, 0) : reader_scalar(x->in);
    enum err e = schema_check_text(x, key, path, text);
    if (e) return e;
    char *copy = arena_alloc(x->arena, text.size + 1);
    if (copy == NULL) return reader_no_memory(x->in);
    if (text.size > 0) memcpy(copy, text.at, text.size);
    copy[text.size] = 0;
    e = check == NULL ? OK : check(copy, x->in->why);
    if (e) return reader_wrong(x->in, path, e);
    *ret = copy;
    if ((!key->is_path && key->kind != SCHEMA_SECRET_FILE) || text.size == 0) return OK;
    *ret = path_from(x->arena, x->in->file_name, copy); /* as Prometheus does */
    return *ret == NULL ? reader_no_memory(x->in) : OK;
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
    if (item == NULL) return reader_no_memory(x->in);
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
    if (key->kind == SCHEMA_BYTES_LIST)
        *(struct bytes *)item = bytes_of_text(text);
    else if (key->kind == SCHEMA_SECRETS)
        *(struct secret *)item = (struct secret){.text = text};
    else
        *(const char **)item = text;
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
    if (item == NULL) return reader_no_memory(x->in);
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
    if (key->kind == SCHEMA_NAMED_TEXTS)
        *(struct named_text *)item = (struct named_text){name, value};
    else if (key->kind == SCHEMA_NAMED_SECRETS)
        *(struct named_secret *)item = (struct named_secret){name, {.text = value}};
    g->count++;
    return OK;
}

static enum err
read_map(struct schema_reader *x, const struct schema_key *key, const char *path, void *base)
{
    struct reading_map map = {.x = x, .key = key, .path = path};
    assert(key->max <= SCHEMA_MAP_ITEMS_MAX);
    if (key->may_be_nothing && reader_is_null(x->in)) return OK;
    if (x->in->event.type != YAML_MAPPING_START_EVENT)
        return schema_expected(x, key, path, "a mapping");
    enum err e = reader_mapping(x->in, read_named, &map);
    if (e == OK) set_list(key, base, map.items.items, map.items.count);
    return e;
}

_Static_assert(offsetof(struct named_text, name) == 0, "a map's items begin with their name");
_Static_assert(offsetof(struct named_secret, name) == 0, "a map's items begin with their name");

/* --- values ----------------------------------------------------------------------------------- */

static bool
is_scalar(const struct config_reader *in, const struct schema_key *key)
{
    return in->event.type == YAML_SCALAR_EVENT && !reader_is_null(in) &&
           (!key->is_plain || in->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE);
}

static enum err
read_own(struct schema_reader *x, const struct schema_key *key, const char *path, void *base)
{
    if (is_scalar(x->in, key) && key->parse(reader_scalar(x->in), base)) return OK;
    return reader_expected(x->in, path, key->what);
}

static enum err
schema_read_value(struct schema_reader *x, const struct schema_key *key, const char *path,
                  void *base)
{
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
        if (key->parse != NULL && x->in->event.type != YAML_MAPPING_START_EVENT)
            return read_own(x, key, path, base);
        return read_mapping(x, key->inner, path, (uint8_t *)base + key->offset);
    case SCHEMA_SETTING:
        return reader_setting(x->in, key->setting, path, base);
    case SCHEMA_SKIPPED:
        return reader_skip(x->in);
    default:
        shape = schema_number(key);
        if (key->kind == SCHEMA_SET && x->in->event.type == YAML_SEQUENCE_START_EVENT) {
            uint64_t all = 0;
            e = reader_set(x->in, &shape, path, &all);
            if (e == OK) memcpy((uint8_t *)base + key->offset, &all, key->size);
            return e;
        }
        setting_expected(&shape, expected, sizeof expected);
        if (!is_scalar(x->in, key)) return reader_expected(x->in, path, expected);
        return reader_wrong(x->in, path,
                            schema_parse_number(key, reader_scalar(x->in), base, x->in->why));
    }
}

_Static_assert(offsetof(struct secret, text) == 0, "a secret's text is stored like any");

/* --- mappings --------------------------------------------------------------------------------- */

/* Returns the row that was given among `key` and its group; NULL if there is none. */
static const struct schema_key *
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
    if (e == OK && may_be_blank &&
        (in->event.type == YAML_SCALAR_EVENT &&
         (reader_is_null(in) || reader_scalar(in).size == 0)))
        return OK;
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
    bool is_empty_mapping = schema->null_is_empty && reader_is_null(in);
    if (in->event.type != YAML_MAPPING_START_EVENT && !is_empty_mapping) {
        /* A section with settings: they report it. */
        if (schema->partial && path[0] != 0 && in->event.type == YAML_SCALAR_EVENT)
            return reader_skip(in);
        /* The value may be a secret written one level too high. */
        bool shown = in->event.type != YAML_SCALAR_EVENT || reader_is_null(in) || path[0] == 0;
        return reader_complain(in, "'%s' expects keys below it such as '%s:', got %s",
                               path[0] == 0 ? x->list : path, schema->keys[0].name,
                               shown ? reader_found(in).text : "a value");
    }
    schema_default(schema, x->type, base);
    if (schema->given_first) *(bool *)base = true;
    uint32_t passed_over = in->passed_over;
    enum err e = is_empty_mapping ? OK : reader_mapping(in, schema_read_key, &place);
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

/* --- printing --------------------------------------------------------------------------------- */

enum { OWN_BYTES = 96 }; /* room for the output of a row's print() */
enum { INDENT = 4, DASH = 2 };
#define SECRET_WORD "<secret>"

struct printing {
    struct buf *to;
    unsigned type;
    bool with_secrets;
};

static void print_mapping(const struct printing *p, const struct schema *schema, const void *base,
                          unsigned indent, bool item);

/* True for a mapping that was not given, or a number that is 0. */
static bool
is_default(const struct schema_key *key, unsigned type, const void *base)
{
    _Alignas(16) uint8_t plain[512] = {0};
    const uint8_t *field = (const uint8_t *)base + key->offset;
    if (key->kind != SCHEMA_MAPPING) return schema_get_number(key, base) == 0;
    assert(key->inner->size <= sizeof plain);
    schema_default(key->inner, type, plain);
    for (const struct schema_key *k = key->inner->keys; k->name != NULL; k++) {
        bool same = schema_is_list(k->kind)
                        ? schema_get_count(k, field) == 0
                        : memcmp(field + k->offset, plain + k->offset, k->size) == 0;
        if (!same) return false;
    }
    return true;
}

/* Returns true if the type has the key and its field is not empty. */
static bool
schema_is_shown(const struct schema_key *key, unsigned type, const void *base)
{
    const uint8_t *field = (const uint8_t *)base + key->offset;
    if (!schema_has_key(key, type)) return false;
    switch (key->kind) {
    case SCHEMA_TEXT:
    case SCHEMA_BYTES:
    case SCHEMA_SECRET:
        return schema_get_pointer(field, 0) != NULL;
    case SCHEMA_SECRET_FILE:
        return schema_get_pointer(field, offsetof(struct secret, file)) != NULL;
    case SCHEMA_TEXTS:
    case SCHEMA_BYTES_LIST:
    case SCHEMA_SECRETS:
    case SCHEMA_MAPPINGS:
    case SCHEMA_NAMED_TEXTS:
    case SCHEMA_NAMED_SECRETS:
    case SCHEMA_NAMED_MAPPINGS:
        return schema_get_count(key, base) > 0;
    case SCHEMA_MAPPING:
        if (key->inner->given_first) return *(const bool *)field;
        break;
    default:
        break;
    }
    return !key->quiet || !is_default(key, type, base);
}

static void
print_indent(struct buf *to, unsigned indent, bool item)
{
    buf_printf(to, "%*s%s", (int)(item ? indent - DASH : indent), "", item ? "- " : "");
}

/* True if a mapping prints nothing. */
static bool
is_empty(const struct schema *schema, unsigned type, const void *base)
{
    for (const struct schema_key *k = schema->keys; k->name != NULL; k++)
        if (schema_is_shown(k, type, base)) return false;
    return true;
}

static void
put_text(const struct printing *p, const struct schema_key *key, const char *text)
{
    if (schema_is_secret(key) && !p->with_secrets)
        buf_put_text(p->to, SECRET_WORD);
    else
        yaml_put_quoted(p->to, text);
}

/* Writes the text of a secret, or the path of its file. */
static void
put_secret(const struct printing *p, const struct schema_key *key, const struct secret *secret)
{
    put_text(p, key, secret->text != NULL ? secret->text : secret->file);
    if (p->with_secrets && secret->text == NULL) buf_put_text(p->to, " (file)");
}

static void
print_item(const struct printing *p, const struct schema_key *key, const void *item,
           unsigned indent)
{
    bool nested = key->kind == SCHEMA_MAPPINGS || key->kind == SCHEMA_NAMED_MAPPINGS;
    bool empty = nested && is_empty(key->inner, p->type, item);
    if (key->kind == SCHEMA_MAPPINGS && !empty) {
        print_mapping(p, key->inner, item, indent + INDENT + DASH, true);
        return;
    }
    bool named = schema_is_map(key->kind);
    print_indent(p->to, indent + INDENT + (named ? 0 : DASH), !named);
    if (named)
        yaml_put_quoted(p->to, schema_get_pointer(item, 0));
    else if (key->kind == SCHEMA_SECRETS)
        put_secret(p, key, item);
    else if (key->kind != SCHEMA_MAPPINGS)
        put_text(p, key, schema_get_pointer(item, 0));
    if (named) buf_put_text(p->to, nested && !empty ? ":" : ": ");
    if (empty) buf_put_text(p->to, "{}");
    if (key->kind == SCHEMA_NAMED_SECRETS)
        put_secret(p, key, &((const struct named_secret *)item)->value);
    else if (key->kind == SCHEMA_NAMED_TEXTS)
        put_text(p, key, ((const struct named_text *)item)->value);
    buf_put_u8(p->to, '\n');
    if (nested && !empty) print_mapping(p, key->inner, item, indent + 2 * INDENT, false);
}

/*
 * Prints "http://user:<secret>@proxy:3128". A user without a password is hidden, too: it may be a
 * token. The last '@' counts, because a password with an unescaped slash looks like a path.
 */
static void
print_url(struct buf *to, const char *url)
{
    struct buf text;
    const char *host = strstr(url, "://"), *at = strrchr(url, '@');
    size_t begin = host == NULL ? 0 : (size_t)(host - url) + 3;
    if (at == NULL) {
        yaml_put_quoted(to, url);
        return;
    }
    const char *colon = memchr(url + begin, ':', (size_t)(at - url) - begin);
    buf_init(&text, NULL, SCHEMA_TEXT_BYTES_MAX + sizeof SECRET_WORD);
    buf_put(&text, url, colon == NULL ? begin : (size_t)(colon - url) + 1);
    buf_put_text(&text, SECRET_WORD);
    buf_put(&text, at, strlen(at) + 1);
    yaml_put_quoted(to, buf_error(&text) == OK ? (const char *)text.at : SECRET_WORD);
    buf_fini(&text);
}

_Static_assert(offsetof(struct bytes, at) == 0, "a view's text is found like any");

static void
print_scalar(const struct printing *p, const struct schema_key *key, const void *base)
{
    char text[OWN_BYTES];
    const char *stored = NULL;
    struct setting shape;
    switch (key->kind) {
    case SCHEMA_OWN:
    case SCHEMA_MAPPING: /* given as a word */
        key->print(base, text, sizeof text);
        break;
    case SCHEMA_TEXT:
    case SCHEMA_SECRET:
    case SCHEMA_BYTES: /* its copy ends in NUL */
        stored = schema_get_pointer(base, key->offset);
        if (key->has_password && !p->with_secrets)
            print_url(p->to, stored);
        else
            put_text(p, key, stored);
        return;
    case SCHEMA_SECRET_FILE:
        yaml_put_quoted(p->to,
                        schema_get_pointer(base, key->offset + offsetof(struct secret, file)));
        return;
    default:
        shape = schema_number(key);
        setting_number_text(&shape, schema_get_number(key, base), text, sizeof text);
        if (key->zero_word != NULL && schema_get_number(key, base) == 0)
            snprintf(text, sizeof text, "%s", key->zero_word);
    }
    buf_printf(p->to, key->kind == SCHEMA_SET ? "[%s]" : "%s", text);
}

/* True if a mapping was given as a word. */
static bool
is_word(const struct schema_key *key, const void *base)
{
    char text[OWN_BYTES] = "";
    if (key->print != NULL) key->print(base, text, sizeof text);
    return text[0] != '\0';
}

static void
print_mapping(const struct printing *p, const struct schema *schema, const void *base,
              unsigned indent, bool item)
{
    for (const struct schema_key *k = schema->keys; k->name != NULL; k++) {
        if (!schema_is_shown(k, p->type, base)) continue;
        print_indent(p->to, indent, item);
        item = false;
        buf_printf(p->to, "%s:", k->name);
        if (k->kind == SCHEMA_MAPPING && !is_word(k, base)) {
            buf_put_u8(p->to, '\n');
            print_mapping(p, k->inner, (const uint8_t *)base + k->offset, indent + INDENT, false);
        } else if (schema_is_list(k->kind)) {
            const uint8_t *items = schema_get_pointer(base, k->offset);
            uint32_t count = schema_get_count(k, base);
            buf_put_u8(p->to, '\n');
            for (uint32_t i = 0; i < count; i++)
                print_item(p, k, items + i * schema_item_size(k), indent);
        } else {
            buf_put_u8(p->to, ' ');
            print_scalar(p, k, base);
            buf_put_u8(p->to, '\n');
        }
    }
}

void
schema_print(struct buf *to, const struct schema *schema, unsigned type, const void *base,
             unsigned indent, bool item)
{
    const struct printing p = {.to = to, .type = type};
    print_mapping(&p, schema, base, indent, item);
}

/* --- comparing -------------------------------------------------------------------------------- */

/* Prints all values with their secrets; the caller frees `to`. */
static enum err
print_values(const struct schema *schema, unsigned type, const void *base, struct buf *to)
{
    const struct printing p = {.to = to, .type = type, .with_secrets = true};
    buf_init_secret(to, NULL, 8 * CONFIG_BYTES_MAX);
    if (schema->given_first) buf_put_u8(to, *(const bool *)base);
    print_mapping(&p, schema, base, INDENT, false);
    return buf_error(to);
}

bool
schema_equal(const struct schema *schema, unsigned type, const void *a, const void *b)
{
    struct buf one, other;
    enum err e = print_values(schema, type, a, &one);
    e = err_first(e, print_values(schema, type, b, &other));
    bool same = e == OK && bytes_equal(buf_bytes(&one), buf_bytes(&other));
    buf_fini(&one);
    buf_fini(&other);
    return same;
}

enum err
schema_hash(const struct schema *schema, unsigned type, const void *base, uint64_t *ret_hash)
{
    struct buf text;
    enum err e = print_values(schema, type, base, &text);
    if (e == OK) *ret_hash = hash_bytes(buf_bytes(&text), type);
    buf_fini(&text);
    return e;
}
