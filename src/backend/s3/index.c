/*
 * index.c - see object.h.
 *
 * Metric names are a set: texts one after another, and a hash table of where they begin. Objects
 * are an array with linear search: an hour has few. Beyond their limits, and after damage, the
 * index is marked as incomplete; a reader then lists the hour. Names are never removed: an index
 * may have more names than its objects, but never fewer.
 */
#include "backend/s3/object.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/array.h"
#include "base/fields.h"
#include "base/hash/hash.h"
#include "base/log.h"
#include "base/text/json.h"
#include "base/text/time_text.h"
#include "base/text/utf8.h"
#include "wire/json/json_scan.h"

enum {
    INDEX_VERSION = 1,
    HOUR_DIGITS = 10, /* in the name of a local file */
    NAME_BYTES = 48,
    FILE_VERSION = 1,
};
static const uint8_t FILE_MAGIC[8] = {'F', 'K', 'I', 'N', 'D', 'E', 'X', 0};

/* --- names ------------------------------------------------------------------------------------ */

void
s3_names_init(struct s3_names *n, struct budget *memory)
{
    *n = (struct s3_names){.memory = memory};
    buf_init(&n->text, memory, S3_NAMES_BYTES_MAX);
}

void
s3_names_fini(struct s3_names *n)
{
    table_fini(&n->places, n->memory);
    buf_fini(&n->text);
}

void
s3_names_clear(struct s3_names *n)
{
    if (n->places.count > 0) table_clear(&n->places);
    n->cut = false;
    buf_clear(&n->text);
}

void
s3_names_add(struct s3_names *n, struct bytes name)
{
    if (!utf8_valid(name)) { /* JSON cannot express it */
        n->cut = true;
        return;
    }
    uint64_t hash = hash_bytes(name, 0);
    for (uint32_t i = TABLE_START, at; table_next(&n->places, hash, &i, &at);) {
        struct cursor c = cursor_of(bytes_of(n->text.at + at, n->text.size - at));
        if (bytes_equal(cursor_counted(&c), name)) return;
    }
    size_t at = n->text.size;
    bool full = n->places.count == S3_NAMES_MAX || !table_reserve(&n->places, n->memory, 1);
    if (!full) buf_put_counted(&n->text, name);
    if (full || buf_error(&n->text)) {
        n->text.size = at;
        n->text.failed = OK;
        n->cut = true;
        return;
    }
    table_add(&n->places, hash, (uint32_t)at);
}

/* --- the index -------------------------------------------------------------------------------- */

void
s3_index_init(struct s3_index *x, struct budget *memory)
{
    *x = (struct s3_index){.memory = memory};
    s3_names_init(&x->names, memory);
}

void
s3_index_fini(struct s3_index *x)
{
    s3_names_fini(&x->names);
    array_free(x->memory, x->entries, x->capacity);
    x->entries = NULL;
    x->count = x->capacity = 0;
}

void
s3_index_begin(struct s3_index *x, const char *instance, const char *dir, int64_t hour_ms)
{
    snprintf(x->instance, sizeof x->instance, "%s", instance);
    snprintf(x->dir, sizeof x->dir, "%s", dir);
    x->hour_ms = hour_ms;
    x->count = 0;
    x->cut = false;
    s3_names_clear(&x->names);
}

/* Returns room for one more; NULL: the index is full, or a lack of memory. */
static struct s3_index_entry *
entry_more(struct s3_index *x)
{
    bool fits = array_reserve(x->memory, &x->entries, &x->capacity, x->count + 1);
    return fits ? &x->entries[x->count] : NULL;
}

static void
add_names(struct s3_names *to, const struct s3_names *from)
{
    struct cursor c = cursor_of(buf_bytes(&from->text));
    while (cursor_left(&c) > 0)
        s3_names_add(to, cursor_counted(&c));
    to->cut |= from->cut;
}

/* Returns the entry of that name, or NULL. */
static struct s3_index_entry *
find_entry(const struct s3_index *x, const char *base)
{
    for (uint32_t i = 0; i < x->count; i++)
        if (strcmp(x->entries[i].base, base) == 0) return &x->entries[i];
    return NULL;
}

enum err
s3_index_put(struct s3_index *x, const struct s3_object *o, const struct s3_names *names)
{
    struct s3_index_entry *e = find_entry(x, o->base);
    if (e == NULL && x->count == S3_INDEX_OBJECTS_MAX) {
        x->cut = true;
        return OK;
    }
    if (e == NULL) {
        e = entry_more(x);
        if (e == NULL) return ERR_NOMEM;
        x->count++;
    }
    *e = (struct s3_index_entry){
        .size = o->size,
        .samples = o->samples,
        .seal = o->seal,
        .first = o->first,
        .last = o->last,
        .t_min_ms = o->t_min_ms,
        .t_max_ms = o->t_max_ms,
    };
    memcpy(e->base, o->base, sizeof e->base);
    add_names(&x->names, names);
    return OK;
}

void
s3_index_remove(struct s3_index *x, uint64_t seal)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < x->count; i++)
        if (x->entries[i].seal != seal) x->entries[kept++] = x->entries[i];
    x->count = kept;
}

void
s3_index_remove_name(struct s3_index *x, const char *base)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < x->count; i++)
        if (strcmp(x->entries[i].base, base) != 0) x->entries[kept++] = x->entries[i];
    x->count = kept;
}

enum err
s3_index_merge(struct s3_index *x, struct bytes text, uint64_t *ret_seal)
{
    struct s3_index other;
    s3_index_init(&other, x->memory);
    enum err e = s3_index_parse(&other, text);
    bool same = e == OK && strcmp(other.dir, x->dir) == 0;
    for (uint32_t i = 0; i < other.count && same; i++) {
        const struct s3_index_entry *from = &other.entries[i];
        if (from->seal > *ret_seal) *ret_seal = from->seal;
        if (find_entry(x, from->base) != NULL) continue;
        struct s3_index_entry *to = x->count == S3_INDEX_OBJECTS_MAX ? NULL : entry_more(x);
        x->cut |= to == NULL;
        if (to == NULL) continue;
        *to = *from;
        x->count++;
    }
    if (same) {
        add_names(&x->names, &other.names);
        x->cut |= other.cut;
    } else if (e != ERR_NOMEM) {
        x->cut = x->names.cut = true;
    }
    s3_index_fini(&other);
    return e == ERR_NOMEM ? e : OK;
}

/* --- the index as text ------------------------------------------------------------------------ */

static void
put_place(struct json *json, const char *key, struct s3_place place)
{
    char text[S3_PLACE_BYTES];
    s3_place_print(place, false, text);
    json_member_text(json, key, text);
}

void
s3_index_print(const struct s3_index *x, struct buf *to)
{
    struct json json;
    char hour[TIME_TEXT_BYTES];
    int64_t t_min_ms = INT64_MAX, t_max_ms = INT64_MIN;
    for (uint32_t i = 0; i < x->count; i++) {
        const struct s3_index_entry *e = &x->entries[i];
        if (e->t_min_ms < t_min_ms) t_min_ms = e->t_min_ms;
        if (e->t_max_ms > t_max_ms) t_max_ms = e->t_max_ms;
    }
    json_init(&json, to);
    json_object_open(&json);
    json_member_int(&json, "version", INDEX_VERSION);
    json_member_text(&json, "instance", x->instance);
    json_member_text(&json, "prefix", x->dir);
    json_member_text(&json, "hour", time_print(x->hour_ms, hour));
    if (x->count > 0) {
        json_member_int(&json, "min_time", t_min_ms);
        json_member_int(&json, "max_time", t_max_ms);
    }
    json_member_bool(&json, "all_objects", !x->cut);
    json_member_bool(&json, "all_metrics", !x->names.cut);
    json_key(&json, "metrics");
    json_array_open(&json);
    for (struct cursor c = cursor_of(buf_bytes(&x->names.text)); cursor_left(&c) > 0;)
        json_put_bytes(&json, cursor_counted(&c));
    json_array_close(&json);
    json_key(&json, "objects");
    json_array_open(&json);
    for (uint32_t i = 0; i < x->count; i++) {
        const struct s3_index_entry *e = &x->entries[i];
        json_object_open(&json);
        json_member_text(&json, "name", e->base);
        json_member_int(&json, "bytes", (int64_t)e->size);
        json_member_int(&json, "samples", (int64_t)e->samples);
        put_place(&json, "first", e->first);
        put_place(&json, "last", e->last);
        json_member_int(&json, "min_time", e->t_min_ms);
        json_member_int(&json, "max_time", e->t_max_ms);
        json_member_int(&json, "number", (int64_t)e->seal);
        json_object_close(&json);
    }
    json_array_close(&json);
    json_object_close(&json);
    buf_put_u8(to, '\n');
}

static int64_t
take_int(struct scan *s)
{
    int64_t v = 0;
    struct bytes digits = scan_number(s);
    if (s->bad == NULL && !time_parse_ms(digits, &v)) scan_fail(s, "expected a whole number");
    return v;
}

static uint64_t
take_count(struct scan *s)
{
    int64_t v = take_int(s);
    if (v < 0) scan_fail(s, "expected a number of at least 0");
    return v < 0 ? 0 : (uint64_t)v;
}

/* Parses the text of s3_place_print(): two numbers around a dot, after "fill" for an item of a
 * fill. */
static struct s3_place
take_place(struct scan *s)
{
    static const char fill[] = "fill";
    int64_t left = 0, right = 0;
    struct bytes text = scan_text(s);
    size_t from = sizeof fill - 1;
    bool is_fill = text.size > from && memcmp(text.at, fill, from) == 0;
    if (is_fill) text = bytes_of(text.at + from, text.size - from);
    const uint8_t *dot = text.size == 0 ? NULL : memchr(text.at, '.', text.size);
    size_t size = dot == NULL ? 0 : (size_t)(dot - text.at);
    bool good = dot != NULL && time_parse_ms(bytes_of(text.at, size), &left) &&
                time_parse_ms(bytes_of(dot + 1, text.size - size - 1), &right) && left >= 0 &&
                right >= 0;
    if (good && is_fill) good = left <= UINT16_MAX && right < 1LL << FILL_NUMBER_SHIFT;
    if (good && !is_fill) good = right <= UINT32_MAX;
    if (!good) scan_fail(s, "invalid place");
    if (!good || !is_fill) return (struct s3_place){(uint64_t)left, (uint32_t)right};
    return (struct s3_place){FILL_BIT | (uint64_t)left << FILL_NUMBER_SHIFT | (uint64_t)right, 0};
}

static void
index_take_text(struct scan *s, char *to, size_t to_size)
{
    struct bytes text = scan_text(s);
    bool has_nul = text.size > 0 && memchr(text.at, 0, text.size) != NULL;
    if (text.size >= to_size || has_nul || !utf8_valid(text)) {
        scan_fail(s, "invalid text");
        return;
    }
    if (text.size > 0) memcpy(to, text.at, text.size);
    to[text.size] = 0;
}

static void
take_entry(struct scan *s, struct s3_index *x)
{
    struct s3_index_entry entry = {.base = ""}, *e;
    struct bytes key;
    scan_expect(s, '{');
    while (s->bad == NULL && scan_key(s, &key))
        if (bytes_equal_text(key, "name"))
            index_take_text(s, entry.base, sizeof entry.base);
        else if (bytes_equal_text(key, "bytes"))
            entry.size = take_count(s);
        else if (bytes_equal_text(key, "samples"))
            entry.samples = take_count(s);
        else if (bytes_equal_text(key, "number"))
            entry.seal = take_count(s);
        else if (bytes_equal_text(key, "first"))
            entry.first = take_place(s);
        else if (bytes_equal_text(key, "last"))
            entry.last = take_place(s);
        else if (bytes_equal_text(key, "min_time"))
            entry.t_min_ms = take_int(s);
        else if (bytes_equal_text(key, "max_time"))
            entry.t_max_ms = take_int(s);
        else
            scan_skip(s);
    if (s->bad != NULL) return;
    e = x->count == S3_INDEX_OBJECTS_MAX ? NULL : entry_more(x);
    if (e == NULL) {
        x->cut = true;
        return;
    }
    *e = entry;
    x->count++;
}

static void
take_member(struct scan *s, struct bytes key, struct s3_index *x)
{
    if (bytes_equal_text(key, "version")) {
        if (take_int(s) != INDEX_VERSION) scan_fail(s, "unknown version");
    } else if (bytes_equal_text(key, "instance")) {
        index_take_text(s, x->instance, sizeof x->instance);
    } else if (bytes_equal_text(key, "prefix")) {
        index_take_text(s, x->dir, sizeof x->dir);
    } else if (bytes_equal_text(key, "hour")) {
        if (!time_parse_rfc3339(scan_text(s), &x->hour_ms)) scan_fail(s, "invalid time");
    } else if (bytes_equal_text(key, "all_objects")) {
        x->cut |= scan_peek(s) != 't';
        scan_skip(s);
    } else if (bytes_equal_text(key, "all_metrics")) {
        x->names.cut |= scan_peek(s) != 't';
        scan_skip(s);
    } else if (bytes_equal_text(key, "metrics")) {
        scan_expect(s, '[');
        while (s->bad == NULL && scan_item(s)) {
            struct bytes name = scan_text(s);
            if (s->bad == NULL) s3_names_add(&x->names, name);
        }
    } else if (bytes_equal_text(key, "objects")) {
        scan_expect(s, '[');
        while (s->bad == NULL && scan_item(s))
            take_entry(s, x);
    } else {
        scan_skip(s);
    }
}

enum err
s3_index_parse(struct s3_index *x, struct bytes text)
{
    struct arena arena;
    struct bytes key;
    s3_index_begin(x, "", "", 0);
    if (text.size > S3_INDEX_BYTES_MAX) return ERR_LIMIT;
    arena_init(&arena, x->memory, 2 * S3_INDEX_BYTES_MAX, 0);
    struct scan s = scan_of(text, &arena);
    scan_expect(&s, '{');
    while (s.bad == NULL && scan_key(&s, &key))
        take_member(&s, key, x);
    scan_end(&s);
    enum err e = s.bad == NULL ? OK : s.error;
    arena_fini(&arena);
    if (e) s3_index_begin(x, "", "", 0);
    return e;
}

/* --- local file of the index ------------------------------------------------------------------ */

static void
print_hour(int64_t hour_ms, char to[HOUR_DIGITS + 1])
{
    time_t seconds = (time_t)(hour_ms / 1000);
    struct tm utc = {0};
    gmtime_r(&seconds, &utc);
    if (strftime(to, HOUR_DIGITS + 1, "%Y%m%d%H", &utc) == 0)
        snprintf(to, HOUR_DIGITS + 1, "0000000000"); /* the year does not have four digits */
}

/* Names sort in the order of hours. */
static void
print_name(const char *dir, int64_t hour_ms, char to[NAME_BYTES])
{
    char hour[HOUR_DIGITS + 1];
    print_hour(hour_ms, hour);
    snprintf(to, NAME_BYTES, "%s-%016" PRIx64 ".json", hour, hash_bytes(bytes_of_text(dir), 0));
}

/* Files of old versions have no checksum, only the text. */
enum err
s3_index_file_text(struct bytes file, struct bytes *ret_text)
{
    if (file.size > 0 && file.at[0] == '{') {
        *ret_text = file;
        return OK;
    }
    enum err e = framed_open(file, FILE_MAGIC, FILE_VERSION, ret_text, NULL);
    return e ? ERR_CORRUPT : OK;
}

enum err
s3_index_load(struct s3_index *x, struct env *env, const char *local_dir, const char *instance,
              const char *dir, int64_t hour_ms, struct why *why)
{
    char name[NAME_BYTES], path[256];
    struct buf file;
    struct bytes text = bytes_of(NULL, 0);
    print_name(dir, hour_ms, name);
    s3_index_begin(x, "", "", 0);
    enum err e = path_in(path, sizeof path, local_dir, name, why);
    if (e) return e;
    buf_init(&file, x->memory, S3_INDEX_BYTES_MAX + FRAMED_HEADER_BYTES);
    e = env_read_whole(env, path, &file, why);
    if (e == OK) e = s3_index_file_text(buf_bytes(&file), &text);
    if (e == OK) e = s3_index_parse(x, text);
    buf_fini(&file);
    if (e == ERR_NOMEM) return why_set(why, e, "not enough memory for an index");
    if (e == ERR_IO) return e;
    bool there = e == OK && strcmp(x->dir, dir) == 0;
    if (!there) s3_index_begin(x, instance, dir, hour_ms);
    if (there && strcmp(x->instance, instance) != 0) {
        snprintf(x->instance, sizeof x->instance, "%s", instance);
        x->count = 0;
        x->cut = false;
    }
    if (there || e == ERR_MISSING) return OK;
    /* The damaged index named objects that are missing now. */
    log_error(
        "s3: the local index of an hour is damaged, marking the index in the bucket as incomplete",
        KV("path", path), KV("directory", dir));
    x->cut = x->names.cut = true;
    return OK;
}

enum err
s3_index_store(const struct s3_index *x, struct env *env, const char *local_dir, struct bytes text,
               struct why *why)
{
    char name[NAME_BYTES];
    struct buf file;
    print_name(x->dir, x->hour_ms, name);
    buf_init(&file, x->memory, S3_INDEX_BYTES_MAX + FRAMED_HEADER_BYTES);
    framed_begin(&file);
    buf_put_bytes(&file, text);
    framed_end(&file, FILE_MAGIC, FILE_VERSION);
    enum err e = buf_error(&file);
    if (e) why_set(why, e, "not enough memory for an index");
    if (e == OK) e = env_write_whole(env, local_dir, name, buf_bytes(&file), why);
    buf_fini(&file);
    return e;
}

struct forgetting {
    struct env *env;
    const char *local_dir;
    char before[HOUR_DIGITS + 1];
};

static enum err
forget_old(void *context, const char *name, bool is_dir)
{
    const struct forgetting *x = context;
    char path[256];
    if (is_dir || strncmp(name, x->before, HOUR_DIGITS) >= 0) return OK;
    enum err e = path_join(path, sizeof path, x->local_dir, name);
    if (e == OK) e = env_unlink(x->env, path, NULL);
    err_ignore(e, "it is tried again in an hour");
    return OK;
}

void
s3_index_forget(struct env *env, const char *local_dir, int64_t before_ms)
{
    struct forgetting context = {.env = env, .local_dir = local_dir};
    print_hour(before_ms, context.before);
    err_ignore(env_listdir(env, local_dir, forget_old, &context, NULL),
               "it is tried again in an hour");
}
