/* about.c - see scan.h. */
#include "backend/archive/scan.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/fields.h"
#include "base/hash/hash.h"
#include "sys/file_cache.h"

enum {
    VERSION = 2,
    FILTER_BITS = 10, /* per label; with FILTER_PROBES about 1 in 100 lookups finds a label that is
                         not there */
    FILTER_PROBES = 7,
    NAME_SEED = 1, /* docs/format/archive_index.md */
    VALUE_SEED = 2,
    NAMES_CUT = 1,
};

static const uint8_t magic[8] = {'F', 'K', 'A', 'R', 'C', 'H', 'I', 'X'};

void
about_init(struct about *a, struct budget *budget)
{
    *a = (struct about){.budget = budget};
    buf_init(&a->names, budget, ABOUT_NAMES_BYTES_MAX);
    buf_init(&a->filter, budget, ABOUT_FILTER_BYTES_MAX);
}

void
about_fini(struct about *a)
{
    array_free(a->budget, a->parts, a->part_capacity);
    array_free(a->budget, a->pairs, a->pair_capacity);
    buf_fini(&a->names);
    buf_fini(&a->filter);
}

static void
clear(struct about *a)
{
    a->part_count = a->pair_count = 0;
    a->names_cut = false;
    buf_clear(&a->names);
    buf_clear(&a->filter);
}

/* --- making ----------------------------------------------------------------------------------- */

static enum err
add_part(struct about *a, uint64_t offset)
{
    if (!array_reserve(a->budget, &a->parts, &a->part_capacity, a->part_count + 1))
        return ERR_NOMEM;
    a->parts[a->part_count++] = (struct about_part){offset, INT64_MAX, INT64_MIN};
    return OK;
}

enum err
about_begin(struct about *a)
{
    clear(a);
    return add_part(a, 0);
}

enum err
about_cut(struct about *a, uint64_t offset)
{
    const struct about_part *last = &a->parts[a->part_count - 1];
    bool is_small = offset < last->offset + ABOUT_PART_BYTES_MIN;
    return is_small || a->part_count == ABOUT_PARTS_MAX ? OK : add_part(a, offset);
}

uint64_t
about_pair(struct bytes name, struct bytes value)
{
    return hash_mix(hash_bytes(name, NAME_SEED), hash_bytes(value, VALUE_SEED));
}

enum err
about_add_pair(struct about *a, uint64_t pair)
{
    if (!array_reserve(a->budget, &a->pairs, &a->pair_capacity, a->pair_count + 1))
        return ERR_NOMEM;
    a->pairs[a->pair_count++] = pair;
    return OK;
}

void
about_add_name(struct about *a, struct bytes name)
{
    size_t before = a->names.size;
    if (a->names_cut) return;
    buf_put_counted(&a->names, name);
    if (buf_error(&a->names) == OK) return;
    a->names.size = before;
    a->names.failed = OK;
    a->names_cut = true;
}

static uint32_t
bit_of(uint64_t pair, uint32_t probe, uint64_t bits)
{
    uint32_t at = (uint32_t)pair + probe * ((uint32_t)(pair >> 32) | 1);
    return (uint32_t)((at * bits) >> 32);
}

static bool
filter_has(const struct about *a, uint64_t pair)
{
    uint64_t bits = (uint64_t)a->filter.size * 8;
    for (uint32_t i = 0; i < FILTER_PROBES && bits > 0; i++) {
        uint32_t bit = bit_of(pair, i, bits);
        if ((a->filter.at[bit / 8] & (1u << (bit % 8))) == 0) return false;
    }
    return true;
}

enum err
about_end(struct about *a)
{
    uint64_t size = (uint64_t)a->pair_count * FILTER_BITS / 8 + 8;
    if (size > ABOUT_FILTER_BYTES_MAX) size = ABOUT_FILTER_BYTES_MAX;
    buf_clear(&a->filter);
    if (!buf_reserve(&a->filter, size)) return ERR_NOMEM;
    memset(a->filter.at, 0, size);
    a->filter.size = size;
    for (uint32_t k = 0; k < a->pair_count; k++) {
        for (uint32_t i = 0; i < FILTER_PROBES; i++) {
            uint32_t bit = bit_of(a->pairs[k], i, size * 8);
            a->filter.at[bit / 8] |= (uint8_t)(1u << (bit % 8));
        }
    }
    return OK;
}

/* --- queries ---------------------------------------------------------------------------------- */

static bool
any_name_matches(const struct about *a, const struct matcher *m)
{
    struct cursor c = cursor_of(buf_bytes(&a->names));
    if (a->names_cut) return true;
    while (cursor_left(&c) > 0)
        if (matcher_matches(m, cursor_counted(&c))) return true;
    return false;
}

static bool
may_match(const struct about *a, const struct matcher *m)
{
    enum matcher_type type = matcher_type(m);
    bool is_positive = type == MATCH_EQUAL || type == MATCH_REGEX;
    if (!is_positive || matcher_matches_empty(m)) return true;
    const struct bytes *values;
    uint32_t count = matcher_literals(m, &values);
    for (uint32_t i = 0; i < count; i++)
        if (filter_has(a, about_pair(matcher_name(m), values[i]))) return true;
    if (count > 0) return false;
    return !bytes_equal_text(matcher_name(m), "__name__") || any_name_matches(a, m);
}

bool
about_may_have(const struct about *a, const struct matcher_set *set)
{
    for (uint32_t i = 0; set != NULL && i < set->count; i++)
        if (!may_match(a, set->matchers[i])) return false;
    return true;
}

/* --- format ----------------------------------------------------------------------------------- */

void
about_put(const struct about *a, const struct about_identity *identity, struct buf *to)
{
    framed_begin(to);
    buf_put_counted(to, identity->key);
    buf_put_counted(to, identity->tag);
    buf_put_varint(to, identity->size);
    buf_put_varint(to, a->part_count);
    for (uint32_t i = 0; i < a->part_count; i++) {
        const struct about_part *p = &a->parts[i];
        buf_put_varint(to, p->offset - (i == 0 ? 0 : a->parts[i - 1].offset));
        buf_put_zigzag(to, p->min_ms);
        buf_put_zigzag(to, p->max_ms);
    }
    buf_put_u8(to, a->names_cut ? NAMES_CUT : 0);
    buf_put_counted(to, buf_bytes(&a->names));
    buf_put_counted(to, buf_bytes(&a->filter));
    framed_end(to, magic, VERSION);
}

static enum err
get_parts(struct about *a, struct cursor *c, uint64_t size)
{
    uint64_t count = cursor_varint(c), offset = 0;
    if (count == 0 || count > ABOUT_PARTS_MAX) return ERR_CORRUPT;
    for (uint64_t i = 0; i < count && !c->bad; i++) {
        uint64_t more = cursor_varint(c);
        if ((i == 0) != (more == 0) || more >= size - offset) return ERR_CORRUPT;
        offset += more;
        if (add_part(a, offset)) return ERR_NOMEM;
        a->parts[i].min_ms = cursor_zigzag(c);
        a->parts[i].max_ms = cursor_zigzag(c);
    }
    return c->bad ? ERR_CORRUPT : OK;
}

static enum err
get_names(struct about *a, struct cursor *c)
{
    uint8_t flags = cursor_u8(c);
    struct bytes names = cursor_counted(c), filter = cursor_counted(c);
    if (c->bad || cursor_left(c) > 0 || flags > NAMES_CUT || filter.size == 0 ||
        names.size > ABOUT_NAMES_BYTES_MAX || filter.size > ABOUT_FILTER_BYTES_MAX)
        return ERR_CORRUPT;
    struct cursor each = cursor_of(names);
    while (cursor_left(&each) > 0 && !each.bad)
        (void)cursor_counted(&each);
    a->names_cut = flags == NAMES_CUT;
    buf_put_bytes(&a->names, names);
    buf_put_bytes(&a->filter, filter);
    if (each.bad) return ERR_CORRUPT;
    return buf_error(&a->names) || buf_error(&a->filter) ? ERR_NOMEM : OK;
}

enum err
about_get(struct about *a, const struct about_identity *identity, struct bytes file)
{
    struct bytes piece;
    clear(a);
    if (framed_open(file, magic, VERSION, &piece, NULL) != OK) return ERR_CORRUPT;
    /* Version 1 read objects without a line feed between them as one invalid line. */
    if (load_le32(file.at + 8) != VERSION) return ERR_CORRUPT;
    struct cursor c = cursor_of(piece);
    struct bytes key = cursor_counted(&c), tag = cursor_counted(&c);
    uint64_t size = cursor_varint(&c);
    if (c.bad) return ERR_CORRUPT;
    if (!bytes_equal(key, identity->key) || !bytes_equal(tag, identity->tag) ||
        size != identity->size)
        return ERR_MISSING;
    enum err e = get_parts(a, &c, size);
    if (e == OK) e = get_names(a, &c);
    if (e) clear(a);
    return e;
}

/* --- cache ------------------------------------------------------------------------------------ */

/* The files: sys/file_cache.h, by the hash of archive and key. */

struct archive_cache {
    struct budget *memory;
    struct file_cache *files;
    uint64_t archive; /* hash of the archive */
};

enum err
archive_cache_new(const struct archive_cache_options *options, struct archive_cache **ret_cache)
{
    struct archive_cache *c = mem_new(options->memory, sizeof *c);
    if (c == NULL) return ERR_NOMEM;
    c->memory = options->memory;
    c->archive = hash_bytes(bytes_of_text(options->archive), 0);
    struct file_cache_options files = {options->env, options->memory, options->settings->path,
                                       options->settings->max_bytes};
    enum err e = file_cache_new(&files, &c->files);
    if (e)
        archive_cache_free(c);
    else
        *ret_cache = c;
    return e;
}

void
archive_cache_free(struct archive_cache *c)
{
    if (c == NULL) return;
    file_cache_free(c->files);
    mem_free(c->memory, c, sizeof *c);
}

static struct about_identity
identity_of(const struct archive_object *o)
{
    return (struct about_identity){bytes_of_text(o->key), bytes_of_text(o->tag), o->size};
}

static struct file_key
key_of(const struct archive_cache *c, const struct archive_object *o)
{
    return file_key_of(bytes_of_text(o->key), c->archive);
}

bool
archive_cache_load(struct archive_cache *c, const struct archive_object *object,
                   struct budget *budget, struct about *about)
{
    struct about_identity identity = identity_of(object);
    struct buf file;
    buf_init(&file, budget, ABOUT_BYTES_MAX);
    bool found = file_cache_read(c->files, key_of(c, object), &file) &&
                 about_get(about, &identity, buf_bytes(&file)) == OK;
    buf_fini(&file);
    return found;
}

void
archive_cache_store(struct archive_cache *c, const struct archive_object *object,
                    struct budget *budget, const struct about *about)
{
    struct about_identity identity = identity_of(object);
    struct buf file;
    if (object->is_young) return;
    buf_init(&file, budget, ABOUT_BYTES_MAX);
    about_put(about, &identity, &file);
    if (buf_error(&file) == OK) {
        bool kept = file_cache_store(c->files, key_of(c, object), buf_bytes(&file));
        (void)kept; /* a lost file is made again */
    }
    buf_fini(&file);
}
