/* catalog.c - see catalog.h. Objects are framed as the MANIFEST is, and share its fields. */
#include "tsdb/store/catalog.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fields.h"
#include "base/hash/hash.h"
#include "model/storage_layout.h"

enum {
    CATALOG_VERSION = 1,
    CATALOG_FILE_VERSION = 1,
    CATALOG_HEAD_BYTES = 16,
    CATALOG_PART_BYTES_MIN = 18 + 16 + OBJECT_DIGEST_BYTES + 6,
    UNNAMED_BYTES_MIN = 18,
};

static const char CATALOG_MAGIC[8] = {'F', 'K', 'C', 'A', 'T', 'A', 'L', 'G'};
static const uint8_t CATALOG_FILE_MAGIC[8] = {'F', 'K', 'B', 'U', 'C', 'K', 'E', 'T'};

/* --- fields ----------------------------------------------------------------------------------- */

static void
catalog_part_fields(const struct fields *f, struct catalog_part *p)
{
    manifest_part_fields(f, &p->entry);
    field_zigzag(f, &p->entry.time.min_ms);
    field_zigzag(f, &p->entry.time.max_ms);
    field_le64(f, &p->session);
    field_le64(f, &p->tag);
    field_varint(f, &p->size);
    field_fixed(f, p->digest.at, sizeof p->digest.at);
    field_varint(f, &p->root.version);
    field_varint(f, &p->root.data_bytes);
    field_counted(f, &p->root.payload);
}

static enum err
catalog_fields(const struct fields *f, struct arena *arena, struct catalog *c)
{
    field_u8(f, &c->kind);
    field_varint(f, &c->number);
    field_le64(f, &c->before);
    field_fixed(f, c->bucket_id, sizeof c->bucket_id);
    field_le64(f, &c->session);
    field_zigzag(f, &c->made_ms);
    field_le64(f, &c->complete_pos);
    field_zigzag(f, &c->complete_ms);
    field_le64(f, &c->top_pos);
    field_varint(f, &c->next_part);
    field_varint(f, &c->next_ref);
    field_zigzag(f, &c->newest_ms);
    field_zigzag(f, &c->retention_now_ms);
    field_zigzag(f, &c->grace_ms);
    fields_check(f, c->kind >= CATALOG_OPEN && c->kind <= CATALOG_BASE);
    fields_check(f, c->number > 0 && c->grace_ms >= 0);
    enum err e = manifest_list_fields(f, arena, &c->part_count, &c->parts, sizeof *c->parts,
                                      CATALOG_PART_BYTES_MIN);
    for (uint32_t i = 0; e == OK && i < c->part_count; i++)
        catalog_part_fields(f, &c->parts[i]);
    if (e == OK)
        e = manifest_list_fields(f, arena, &c->removed_count, &c->removed, sizeof *c->removed, 1);
    if (e == OK) field_varints(f, c->removed, c->removed_count);
    if (e == OK) e = manifest_tenants_fields(f, arena, &c->state);
    field_bool(f, &c->has_state);
    if (e == OK && c->has_state) e = manifest_state_fields(f, arena, &c->state);
    return e == OK && !fields_are_good(f) ? ERR_CORRUPT : e;
}

enum err
catalog_write(const struct catalog *catalog, struct buf *to, uint64_t *ret_checksum)
{
    struct catalog fields = *catalog;
    uint8_t head[CATALOG_HEAD_BYTES] = {0};
    size_t begin = to->size;
    memcpy(head, CATALOG_MAGIC, sizeof CATALOG_MAGIC);
    store_le16(head + 8, CATALOG_VERSION);
    store_le16(head + 10, CATALOG_VERSION);
    buf_put(to, head, sizeof head);
    enum err e = catalog_fields(&(struct fields){.to = to}, NULL, &fields);
    if (e == OK) e = buf_error(to);
    if (e) return e;
    size_t size = to->size - begin - CATALOG_HEAD_BYTES;
    store_le32(to->at + begin + 12, (uint32_t)size);
    *ret_checksum = hash_bytes(bytes_of(to->at + begin, CATALOG_HEAD_BYTES + size), 0);
    buf_put_le64(to, *ret_checksum);
    return buf_error(to);
}

enum err
catalog_read(struct bytes object, const char *shown, struct arena *arena, struct catalog *ret,
             uint64_t *ret_checksum, struct why *why)
{
    struct catalog c = {0};
    bool is_whole = object.size >= CATALOG_HEAD_BYTES + 8 &&
                    memcmp(object.at, CATALOG_MAGIC, sizeof CATALOG_MAGIC) == 0 &&
                    load_le32(object.at + 12) == object.size - CATALOG_HEAD_BYTES - 8;
    if (is_whole) {
        *ret_checksum = load_le64(object.at + object.size - 8);
        is_whole = *ret_checksum == hash_bytes(bytes_of(object.at, object.size - 8), 0);
    }
    if (!is_whole) return why_set(why, ERR_CORRUPT, "%s is damaged", shown);
    unsigned version = load_le16(object.at + 8), min_reader = load_le16(object.at + 10);
    if (min_reader > CATALOG_VERSION) {
        return why_set(why, ERR_UNSUPPORTED,
                       "%s: version %u (minimum reader %u) is newer than version %d, which this "
                       "program reads; use a newer Firekeep",
                       shown, version, min_reader, CATALOG_VERSION);
    }
    struct cursor from =
        cursor_of(bytes_of(object.at + CATALOG_HEAD_BYTES, object.size - CATALOG_HEAD_BYTES - 8));
    enum err e = catalog_fields(&(struct fields){.from = &from}, arena, &c);
    /* Fields that a newer version has appended are ignored. */
    if (e == OK && version <= CATALOG_VERSION && from.at != from.end) e = ERR_CORRUPT;
    if (e == ERR_CORRUPT) return why_set(why, e, "%s is damaged", shown);
    if (e) return why_set(why, e, "not enough memory to read %s", shown);
    *ret = c;
    return OK;
}

enum err
catalog_no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the catalog of a bucket");
}

/* --- a state from deltas ---------------------------------------------------------------------- */

static bool
removes(const struct catalog *delta, uint64_t number)
{
    for (uint32_t i = 0; i < delta->removed_count; i++)
        if (delta->removed[i] == number) return true;
    return false;
}

static int
by_number(const void *a, const void *b)
{
    const struct catalog_part *x = a, *y = b;
    return (x->entry.number > y->entry.number) - (x->entry.number < y->entry.number);
}

static enum err
apply_parts(struct catalog *base, const struct catalog *delta, struct arena *arena)
{
    uint32_t count = 0;
    if (delta->part_count == 0 && delta->removed_count == 0) return OK;
    struct catalog_part *all =
        arena_alloc(arena, (base->part_count + delta->part_count + 1) * sizeof *all);
    if (all == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < base->part_count; i++)
        if (!removes(delta, base->parts[i].entry.number)) all[count++] = base->parts[i];
    if (count + delta->removed_count != base->part_count) return ERR_CORRUPT;
    for (uint32_t i = 0; i < delta->part_count; i++)
        all[count++] = delta->parts[i];
    qsort(all, count, sizeof *all, by_number);
    for (uint32_t i = 1; i < count; i++)
        if (all[i - 1].entry.number == all[i].entry.number) return ERR_CORRUPT;
    base->parts = all;
    base->part_count = count;
    return OK;
}

enum err
catalog_apply(struct catalog *base, const struct catalog *delta, struct arena *arena,
              struct why *why)
{
    enum err e = apply_parts(base, delta, arena);
    if (e == ERR_CORRUPT)
        return why_set(why, e, "delta %" PRIu64 " does not follow the one before", delta->number);
    if (e) return catalog_no_memory(why);
    struct catalog next = *delta;
    next.kind = CATALOG_BASE;
    next.parts = base->parts;
    next.part_count = base->part_count;
    next.removed = NULL;
    next.removed_count = 0;
    next.has_state = true;
    if (!delta->has_state) next.state = base->state;
    const struct manifest *totals = delta->state.tenant_count > 0 ? &delta->state : &base->state;
    next.state.tenants = totals->tenants;
    next.state.tenant_count = totals->tenant_count;
    *base = next;
    return OK;
}

struct catalog
catalog_opening(const struct catalog *base, uint64_t checksum, uint64_t session, int64_t now_ms)
{
    struct catalog c = *base;
    c.kind = CATALOG_OPEN;
    c.number = base->number + 1;
    c.before = checksum;
    c.session = session;
    c.made_ms = now_ms;
    c.parts = NULL;
    c.part_count = c.removed_count = c.state.tenant_count = 0;
    c.has_state = false;
    return c;
}

enum err
catalog_copy(const struct catalog *from, struct arena *arena, struct catalog *ret, struct why *why)
{
    struct buf encoded;
    uint64_t ignored;
    buf_init(&encoded, arena->budget, CATALOG_BYTES_MAX);
    enum err e = catalog_write(from, &encoded, &ignored);
    struct bytes kept = e ? bytes_of(NULL, 0) : arena_copy(arena, buf_bytes(&encoded));
    buf_fini(&encoded);
    if (e || kept.at == NULL) return catalog_no_memory(why);
    return catalog_read(kept, STORAGE_CATALOG, arena, ret, &ignored, why);
}

enum err
catalog_manifest(const struct catalog *c, struct arena *arena, struct manifest *ret)
{
    struct manifest m = c->state;
    m.edit = 1;
    m.store_pos = c->top_pos > c->complete_pos ? c->top_pos : c->complete_pos;
    for (uint32_t i = 0; i < m.tombstone_count; i++)
        if (m.tombstones[i].pos > m.store_pos) m.store_pos = m.tombstones[i].pos;
    m.next_part = c->next_part;
    m.next_ref = m.ref_floor = c->next_ref;
    m.newest_ms = c->newest_ms;
    m.retention_now_ms = c->retention_now_ms;
    m.parts = arena_new(arena, (c->part_count + 1u) * sizeof *m.parts);
    m.tenants = arena_new(arena, (c->state.tenant_count + 1u) * sizeof *m.tenants);
    if (m.parts == NULL || m.tenants == NULL) return ERR_NOMEM;
    for (; m.part_count < c->part_count; m.part_count++) {
        m.parts[m.part_count] = c->parts[m.part_count].entry;
        m.parts[m.part_count].remote = true;
    }
    for (uint32_t i = 0; i < m.tenant_count; i++) {
        m.tenants[i] = c->state.tenants[i];
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
            m.tenants[i].totals.count[k][LEDGER_DAMAGED] +=
                ledger_should_pend(&m.tenants[i].totals, k);
    }
    *ret = m;
    return OK;
}

/* --- CATALOG ---------------------------------------------------------------------------------- */

static enum err
catalog_file_fields(const struct fields *f, struct arena *arena, struct catalog_file *file,
                    struct bytes *base)
{
    field_fixed(f, file->owner, sizeof file->owner);
    field_le64(f, &file->checksum);
    field_varint(f, &file->intent_number);
    field_counted(f, &file->intent);
    field_counted(f, base);
    enum err e = manifest_list_fields(f, arena, &file->unnamed_count, &file->unnamed,
                                      sizeof *file->unnamed, UNNAMED_BYTES_MIN);
    for (uint32_t i = 0; e == OK && i < file->unnamed_count; i++) {
        field_le64(f, &file->unnamed[i].session);
        field_varint(f, &file->unnamed[i].number);
        field_le64(f, &file->unnamed[i].tag);
        field_zigzag(f, &file->unnamed[i].since_ms);
    }
    if (e == OK)
        e = manifest_list_fields(f, arena, &file->left_count, &file->left, sizeof *file->left, 2);
    for (uint32_t i = 0; e == OK && i < file->left_count; i++) {
        field_varint(f, &file->left[i].id);
        field_varint(f, &file->left[i].below);
    }
    return e;
}

enum err
catalog_file_write(struct env *env, const char *dir, struct budget *memory,
                   const struct catalog_file *file, struct why *why)
{
    struct buf whole, base;
    struct catalog_file fields = *file;
    uint64_t ignored;
    enum err e = OK;
    buf_init(&whole, memory, 2 * (size_t)CATALOG_BYTES_MAX);
    buf_init(&base, memory, CATALOG_BYTES_MAX);
    if (file->base.number > 0) e = catalog_write(&file->base, &base, &ignored);
    struct bytes content = buf_bytes(&base);
    framed_begin(&whole);
    e = err_first(e, catalog_file_fields(&(struct fields){.to = &whole}, NULL, &fields, &content));
    framed_end(&whole, CATALOG_FILE_MAGIC, CATALOG_FILE_VERSION);
    e = err_first(e, buf_error(&whole));
    if (e) e = catalog_no_memory(why);
    if (e == OK) e = env_write_whole(env, dir, STORAGE_CATALOG, buf_bytes(&whole), why);
    buf_fini(&base);
    buf_fini(&whole);
    return e;
}

static enum err
catalog_file_unpack(struct bytes whole, struct arena *arena, struct catalog_file *file,
                    struct why *why)
{
    struct bytes piece, kept, base = {NULL, 0};
    uint64_t ignored;
    enum err e = framed_open(whole, CATALOG_FILE_MAGIC, CATALOG_FILE_VERSION, &piece, why);
    if (e) return e;
    kept = arena_copy(arena, piece);
    if (kept.at == NULL) return why_set(why, ERR_NOMEM, "not enough memory to read it");
    struct cursor from = cursor_of(kept);
    e = catalog_file_fields(&(struct fields){.from = &from}, arena, file, &base);
    if (e == ERR_NOMEM) return why_set(why, e, "not enough memory to read it");
    if (e || from.bad || from.at != from.end) return why_set(why, ERR_CORRUPT, "it is damaged");
    return base.size == 0 ? OK : catalog_read(base, "the state", arena, &file->base, &ignored, why);
}

enum err
catalog_file_read(struct env *env, const char *dir, struct arena *arena, struct catalog_file *ret,
                  struct why *why)
{
    char path[FILE_PATH_BYTES];
    struct buf whole;
    *ret = (struct catalog_file){.base = {.kind = CATALOG_BASE, .complete_ms = INT64_MIN}};
    buf_init(&whole, arena->budget, 2 * (size_t)CATALOG_BYTES_MAX);
    enum err e = path_in(path, sizeof path, dir, STORAGE_CATALOG, why);
    if (e == OK) e = env_read_whole(env, path, &whole, why);
    if (e == OK) {
        e = catalog_file_unpack(buf_bytes(&whole), arena, ret, why);
        if (e) e = why_prefix(why, e, "%s", path);
    }
    buf_fini(&whole);
    return e == ERR_MISSING ? OK : e;
}

/* The parts of the base are sorted by number. */
const struct catalog_part *
catalog_find(const struct catalog *base, uint64_t number)
{
    uint32_t low = 0, high = base->part_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (base->parts[middle].entry.number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < base->part_count && base->parts[low].entry.number == number ? &base->parts[low]
                                                                             : NULL;
}

enum err
catalog_open_part(const struct catalog_part *p, struct budget *budget, struct page_cache *cache,
                  struct remote_store *store, struct part **ret, struct why *why)
{
    char key[OBJECT_KEY_BYTES];
    catalog_part_key(p, key);
    return part_open_root(budget, cache, &p->entry, p->size, &p->root, store, key, ret, why);
}

enum err
catalog_file_open_part(struct catalog_file *file, struct env *env, const char *dir,
                       struct arena *arena, uint64_t number, struct budget *budget,
                       struct page_cache *cache, struct remote_store *store, struct part **ret,
                       struct why *why)
{
    if (file->base.number == 0) {
        enum err e = catalog_file_read(env, dir, arena, file, why);
        if (e && e != ERR_CORRUPT) return e;
    }
    const struct catalog_part *p = catalog_find(&file->base, number);
    if (p != NULL) return catalog_open_part(p, budget, cache, store, ret, why);
    return why_set(why, ERR_CORRUPT,
                   "%s/CATALOG is damaged or does not say where part %016" PRIx64
                   " is in the bucket: restore the file, or use 'firekeep bucket adopt'",
                   dir, number);
}

/* --- keys ------------------------------------------------------------------------------------- */

void
catalog_delta_key(uint64_t number, char to[OBJECT_KEY_BYTES])
{
    snprintf(to, OBJECT_KEY_BYTES, CATALOG_DELTAS "%020" PRIu64, number);
}

void
catalog_base_key(uint64_t number, char to[OBJECT_KEY_BYTES])
{
    snprintf(to, OBJECT_KEY_BYTES, CATALOG_BASES "%020" PRIu64, number);
}

void
catalog_part_key(const struct catalog_part *p, char to[OBJECT_KEY_BYTES])
{
    snprintf(to, OBJECT_KEY_BYTES, CATALOG_PARTS "%016" PRIx64 "/%020" PRIu64 "-%016" PRIx64,
             p->session, p->entry.number, p->tag);
}

bool
catalog_part_of_key(const char *key, struct catalog_part *ret)
{
    char again[OBJECT_KEY_BYTES];
    *ret = (struct catalog_part){.size = 0};
    if (sscanf(key, CATALOG_PARTS "%16" SCNx64 "/%20" SCNu64 "-%16" SCNx64, &ret->session,
               &ret->entry.number, &ret->tag) != 3)
        return false;
    catalog_part_key(ret, again);
    return strcmp(key, again) == 0;
}

bool
catalog_names(const struct catalog *base, const struct catalog_part *p)
{
    const struct catalog_part *named = catalog_find(base, p->entry.number);
    return named != NULL && named->session == p->session && named->tag == p->tag;
}

/* --- the chain -------------------------------------------------------------------------------- */

enum err
catalog_look(struct objects *objects, uint64_t number, uint64_t checksum, struct budget *memory,
             struct why *why)
{
    char key[OBJECT_KEY_BYTES];
    struct buf found;
    buf_init(&found, memory, CATALOG_BYTES_MAX);
    catalog_delta_key(number, key);
    enum err e = objects_get(objects, key, &found, why);
    bool is_it = e == OK && found.size >= 8 && load_le64(found.at + found.size - 8) == checksum &&
                 hash_bytes(bytes_of(found.at, found.size - 8), 0) == checksum;
    buf_fini(&found);
    return e == OK && !is_it ? ERR_CORRUPT : e;
}

static enum err
is_there(struct objects *objects, uint64_t number, bool *ret_there, struct why *why)
{
    char key[OBJECT_KEY_BYTES];
    struct object_facts facts;
    catalog_delta_key(number, key);
    enum err e = objects->ops->look(objects, key, &facts, why);
    *ret_there = e == OK;
    return e == ERR_MISSING ? OK : e;
}

/* Finds the newest number by doubling, and by halves from there: numbers have no gaps. */
static enum err
find_newest(struct objects *objects, uint64_t from, uint64_t *ret_number, struct why *why)
{
    uint64_t low = from, step = 1; /* low exists, or is 0 */
    bool there = true;
    enum err e = OK;
    while (e == OK && there) {
        e = is_there(objects, low + step, &there, why);
        if (e == OK && there) {
            low += step;
            step *= 2;
        }
    }
    for (uint64_t high = low + step; e == OK && high - low > 1;) {
        uint64_t middle = low + (high - low) / 2;
        e = is_there(objects, middle, &there, why);
        if (there)
            low = middle;
        else
            high = middle;
    }
    *ret_number = low;
    return e;
}

struct newest_base {
    uint64_t limit, found;
};

static enum err
note_base(void *context, const struct object_listed *object)
{
    struct newest_base *n = context;
    uint64_t number = strtoull(object->key + sizeof CATALOG_BASES - 1, NULL, 10);
    if (number <= n->limit && number > n->found) n->found = number;
    return OK;
}

struct later {
    uint64_t newest;
    bool found;
};

static enum err
note_later(void *context, const struct object_listed *object)
{
    struct later *l = context;
    uint64_t number = strtoull(object->key + sizeof CATALOG_DELTAS - 1, NULL, 10);
    l->found |= number > l->newest;
    return OK;
}

/* Reads an object that stays as long as the arena. */
static enum err
read_object(struct objects *objects, const char *key, struct arena *arena, struct buf *scratch,
            struct catalog *ret, uint64_t *ret_checksum, struct why *why)
{
    enum err e = objects_get(objects, key, scratch, why);
    if (e) return e;
    struct bytes kept = arena_copy(arena, buf_bytes(scratch));
    if (kept.at == NULL) return why_set(why, ERR_NOMEM, "not enough memory to read %s", key);
    return catalog_read(kept, key, arena, ret, ret_checksum, why);
}

enum err
catalog_next(struct objects *objects, struct arena *arena, struct buf *scratch,
             struct catalog *base, uint64_t *checksum, uint8_t *ret_kind, struct why *why)
{
    char key[OBJECT_KEY_BYTES];
    struct catalog delta;
    uint64_t before = *checksum;
    catalog_delta_key(base->number + 1, key);
    enum err e = read_object(objects, key, arena, scratch, &delta, checksum, why);
    *ret_kind = e == OK ? delta.kind : 0;
    if (e) return e == ERR_MISSING ? OK : e;
    if (delta.kind == CATALOG_BASE || delta.number != base->number + 1 || delta.before != before)
        return why_set(why, ERR_CORRUPT, "%s does not follow the delta before it", key);
    return catalog_apply(base, &delta, arena, why);
}

/* Reads the newest base up to a number; number 0: there is none. One that its writer has removed
 * since the list has others in its place, or the deltas. */
static enum err
load_base(struct objects *objects, uint64_t newest, struct arena *arena, struct buf *scratch,
          struct catalog *base, struct why *why)
{
    struct newest_base start = {.limit = newest};
    char key[OBJECT_KEY_BYTES];
    uint64_t ignored;
    enum err e = ERR_MISSING;
    while (e == ERR_MISSING) {
        start.found = 0;
        e = objects->ops->list(objects, CATALOG_BASES, note_base, &start, why);
        if (e || start.found == 0) return e;
        catalog_base_key(start.found, key);
        e = read_object(objects, key, arena, scratch, base, &ignored, why);
        start.limit = start.found - 1;
    }
    if (e == OK && (base->kind != CATALOG_BASE || base->number != start.found))
        e = why_set(why, ERR_CORRUPT, "%s is not the base of its number", key);
    return e;
}

static enum err
load(struct objects *objects, uint64_t newest, struct arena *arena, struct buf *scratch,
     struct catalog *base, uint64_t *ret_checksum, struct why *why)
{
    char key[OBJECT_KEY_BYTES];
    enum err e = load_base(objects, newest, arena, scratch, base, why);
    uint64_t checksum = base->before; /* 0: there is no base */
    while (e == OK && base->number < newest) {
        uint8_t kind;
        e = catalog_next(objects, arena, scratch, base, &checksum, &kind, why);
        catalog_delta_key(base->number + 1, key);
        if (e == OK && kind == 0) e = why_set(why, ERR_CORRUPT, "%s is missing", key);
    }
    *ret_checksum = checksum;
    return e;
}

enum err
catalog_load(struct objects *objects, uint64_t from, struct arena *arena, struct catalog *ret,
             uint64_t *ret_checksum, struct why *why)
{
    struct buf scratch;
    struct catalog base = {.kind = CATALOG_BASE};
    struct later later = {0, false};
    buf_init(&scratch, arena->budget, CATALOG_BYTES_MAX);
    enum err e = find_newest(objects, from, &later.newest, why);
    char begin[OBJECT_KEY_BYTES];
    catalog_delta_key(later.newest + 1, begin);
    begin[strlen(begin) - 3] = '\0'; /* one page of a list: there are half a million a year */
    if (e == OK) e = objects->ops->list(objects, begin, note_later, &later, why);
    if (e == OK && later.found) {
        e = why_set(why, ERR_CORRUPT,
                    "the catalog has numbers after %" PRIu64 ", which is missing; if another "
                    "process is writing, try again",
                    later.newest + 1);
    }
    if (e == OK) e = load(objects, later.newest, arena, &scratch, &base, ret_checksum, why);
    buf_fini(&scratch);
    *ret = base;
    return e;
}
