/*
 * manifest.c - what lives, as one small file. Format: docs/format/manifest.md.
 *
 * A manifest is written whole, twice in one file, so that a damaged copy costs nothing, under
 * another name, and renamed when it is durable: who reads finds the old one or the new one. Lists
 * of unknown length are counted and checked against what is left of the bytes before memory is
 * taken.
 */
#include "tsdb/store/manifest.h"

#include <stdio.h>

#include "base/hash.h"

enum {
    MANIFEST_VERSION = 4,     /* with something that only version 2 of the ledger knows */
    MANIFEST_PASSED_ON = 3,   /* with something that was passed on */
    MANIFEST_VERSION_MIN = 2, /* with neither, as older programs read it */
    STORAGE_VERSION = 2,      /* 1 was never released */
    HEAD_BYTES = 16,
    SECTOR_BYTES = 4096, /* the largest a disk loses at once */
    SIZE_MAX_BYTES = 1 << 28,
    PART_BYTES_MIN = 18,  /* of an entry */
    TENANT_BYTES_MIN = 3, /* a name of one byte and no totals */
    TOMBSTONE_BYTES_MIN = 15,
    MATCHER_BYTES_MIN = 4,
};

static const char MAGIC[8] = {'F', 'K', 'M', 'A', 'N', 'I', 'F', 'S'};

static enum err
read_whole(struct env *env, const char *dir, const char *name, struct arena *arena,
           struct bytes *ret, struct why *why)
{
    char path[256];
    struct file file = FILE_CLOSED;
    uint64_t size;
    uint8_t *at = NULL;
    enum err e = path_join(path, sizeof path, dir, name);
    if (e == OK) e = file_open(env, path, FILE_READ, &file, why);
    if (e == OK) e = file_size(&file, &size, why);
    if (e == OK && size > SIZE_MAX_BYTES) e = why_set(why, ERR_CORRUPT, "%s is too large", path);
    if (e == OK) {
        at = arena_alloc(arena, size + 1);
        e = at == NULL ? why_set(why, ERR_NOMEM, "not enough memory to read %s", path)
                       : file_read_at(&file, at, size, 0, why);
    }
    file_close(&file);
    if (e) return e;
    at[size] = 0;
    *ret = bytes_of(at, size);
    return OK;
}

static enum err
get_parts(struct cursor *c, struct arena *arena, struct manifest *m)
{
    uint64_t count = cursor_varint(c);
    if (count > cursor_left(c) / PART_BYTES_MIN) return ERR_CORRUPT;
    m->parts = arena_alloc(arena, (count + 1) * sizeof *m->parts);
    if (m->parts == NULL) return ERR_NOMEM;
    for (uint64_t i = 0; i < count; i++) {
        struct manifest_part *p = &m->parts[i];
        p->number = cursor_varint(c);
        p->from_pos = cursor_le64(c);
        p->to_pos = cursor_le64(c);
        p->applied = cursor_varint(c);
    }
    m->part_count = (uint32_t)count;
    return c->bad ? ERR_CORRUPT : OK;
}

static enum err
get_tenants(struct cursor *c, struct arena *arena, struct manifest *m)
{
    uint64_t count = cursor_varint(c);
    if (count > cursor_left(c) / TENANT_BYTES_MIN) return ERR_CORRUPT;
    m->tenants = arena_new(arena, (count + 1) * sizeof *m->tenants);
    if (m->tenants == NULL) return ERR_NOMEM;
    for (uint64_t i = 0; i < count; i++) {
        struct manifest_tenant *t = &m->tenants[i];
        t->name = cursor_counted(c);
        enum err e = c->bad || t->name.size == 0 ? ERR_CORRUPT : ledger_get(c, &t->totals);
        if (e) return e;
    }
    m->tenant_count = (uint32_t)count;
    return c->bad ? ERR_CORRUPT : OK;
}

static enum err
get_matchers(struct cursor *c, struct arena *arena, struct manifest_tombstone *t)
{
    uint64_t count = cursor_varint(c);
    if (c->bad || count > cursor_left(c) / MATCHER_BYTES_MIN) return ERR_CORRUPT;
    t->matchers = arena_alloc(arena, (count + 1) * sizeof *t->matchers);
    if (t->matchers == NULL) return ERR_NOMEM;
    for (uint64_t i = 0; i < count; i++) {
        t->matchers[i].type = cursor_u8(c);
        t->matchers[i].name = cursor_counted(c);
        t->matchers[i].pattern = cursor_counted(c);
        if (t->matchers[i].name.size == 0) return ERR_CORRUPT;
    }
    t->matcher_count = (uint32_t)count;
    return c->bad ? ERR_CORRUPT : OK;
}

static enum err
get_tombstones(struct cursor *c, struct arena *arena, struct manifest *m)
{
    m->last_tombstone = cursor_varint(c);
    uint64_t count = cursor_varint(c);
    if (c->bad || count > cursor_left(c) / TOMBSTONE_BYTES_MIN) return ERR_CORRUPT;
    m->tombstones = arena_new(arena, (count + 1) * sizeof *m->tombstones);
    if (m->tombstones == NULL) return ERR_NOMEM;
    for (uint64_t i = 0; i < count; i++) {
        struct manifest_tombstone *t = &m->tombstones[i];
        t->id = cursor_varint(c);
        t->pos = cursor_le64(c);
        t->made_ms = cursor_zigzag(c);
        t->range.min_ms = cursor_zigzag(c);
        t->range.max_ms = cursor_zigzag(c);
        t->tenant = cursor_counted(c);
        enum err e = c->bad || t->tenant.size == 0 ? ERR_CORRUPT : get_matchers(c, arena, t);
        if (e) return e;
    }
    m->tombstone_count = (uint32_t)count;
    return OK;
}

static enum err
get_removed(struct cursor *c, struct arena *arena, struct manifest *m)
{
    uint64_t count = cursor_varint(c);
    if (c->bad || count > cursor_left(c)) return ERR_CORRUPT;
    m->removed = arena_alloc(arena, (count + 1) * sizeof *m->removed);
    if (m->removed == NULL) return ERR_NOMEM;
    for (uint64_t i = 0; i < count; i++) {
        m->removed[i] = cursor_varint(c);
    }
    m->removed_count = (uint32_t)count;
    return c->bad ? ERR_CORRUPT : OK;
}

/* What a newer version has put behind it is left alone. */
static enum err
manifest_decode(struct bytes payload, unsigned version, struct arena *arena, struct manifest *m)
{
    struct cursor c = cursor_of(payload);
    m->edit = cursor_varint(&c);
    m->store_pos = cursor_le64(&c);
    m->next_part = cursor_varint(&c);
    m->next_ref = cursor_varint(&c);
    m->ref_floor = cursor_varint(&c);
    m->segment_floor = cursor_varint(&c);
    m->newest_ms = cursor_zigzag(&c);
    m->retention_now_ms = cursor_zigzag(&c);
    struct bytes id = cursor_bytes(&c, sizeof m->log_id);
    if (c.bad) return ERR_CORRUPT;
    memcpy(m->log_id, id.at, sizeof m->log_id);
    enum err e = get_parts(&c, arena, m);
    if (e == OK) e = get_tenants(&c, arena, m);
    if (e == OK) e = get_tombstones(&c, arena, m);
    if (e == OK) e = get_removed(&c, arena, m);
    if (e == OK && version <= MANIFEST_VERSION && c.at != c.end) e = ERR_CORRUPT;
    return e;
}

/* The copy that begins at `from`, if it is whole. */
static bool
frame_at(struct bytes all, uint64_t from, struct bytes *ret_frame)
{
    if (all.size < from + HEAD_BYTES + 8) return false;
    const uint8_t *at = all.at + from;
    uint64_t size = load_le32(at + 12);
    if (memcmp(at, MAGIC, sizeof MAGIC) != 0 || size > all.size - from - HEAD_BYTES - 8) {
        return false;
    }
    *ret_frame = bytes_of(at, HEAD_BYTES + size + 8);
    return load_le64(at + HEAD_BYTES + size) == hash_bytes(bytes_of(at, HEAD_BYTES + size), 0);
}

enum err
manifest_read(struct env *env, const char *dir, struct arena *arena, struct manifest *ret,
              struct why *why)
{
    struct bytes all, frame;
    struct manifest m = {0};
    enum err e = read_whole(env, dir, "MANIFEST", arena, &all, why);
    if (e) return e;
    /* The second copy begins at the first sector that the first one leaves free. */
    struct bytes first, second;
    bool first_whole = frame_at(all, 0, &first);
    uint64_t offset = (all.size + 2 * SECTOR_BYTES - 1) / (2 * SECTOR_BYTES) * SECTOR_BYTES;
    bool second_whole = frame_at(all, offset, &second) && all.size == offset + second.size;
    frame = first_whole ? first : second;
    m.copies_damaged = (uint8_t)(!first_whole + !second_whole);
    if (m.copies_damaged == 2) return why_set(why, ERR_CORRUPT, "%s/MANIFEST is damaged", dir);
    unsigned version = load_le16(frame.at + 8), min_reader = load_le16(frame.at + 10);
    if (min_reader > MANIFEST_VERSION) {
        return why_set(why, ERR_UNSUPPORTED,
                       "%s/MANIFEST: version %u (minimum reader %u) is newer than version %d, "
                       "which this program reads; use a newer Firekeep",
                       dir, version, min_reader, MANIFEST_VERSION);
    }
    if (version < MANIFEST_VERSION_MIN) {
        return why_set(why, ERR_UNSUPPORTED,
                       "%s/MANIFEST: version %u was never released; this program reads version %d",
                       dir, version, MANIFEST_VERSION);
    }
    if (e) return e;
    struct bytes payload = bytes_of(frame.at + HEAD_BYTES, frame.size - HEAD_BYTES - 8);
    e = manifest_decode(payload, load_le16(frame.at + 8), arena, &m);
    if (e == ERR_CORRUPT) return why_set(why, e, "%s/MANIFEST is damaged", dir);
    if (e) return why_set(why, e, "not enough memory to read %s/MANIFEST", dir);
    *ret = m;
    return OK;
}

bool
manifest_has_log(const struct manifest *m)
{
    static const uint8_t none[sizeof m->log_id];
    return memcmp(m->log_id, none, sizeof none) != 0;
}

static void
manifest_encode(const struct manifest *m, struct buf *to)
{
    buf_put_varint(to, m->edit);
    buf_put_le64(to, m->store_pos);
    buf_put_varint(to, m->next_part);
    buf_put_varint(to, m->next_ref);
    buf_put_varint(to, m->ref_floor);
    buf_put_varint(to, m->segment_floor);
    buf_put_zigzag(to, m->newest_ms);
    buf_put_zigzag(to, m->retention_now_ms);
    buf_put(to, m->log_id, sizeof m->log_id);
    buf_put_varint(to, m->part_count);
    for (uint32_t i = 0; i < m->part_count; i++) {
        buf_put_varint(to, m->parts[i].number);
        buf_put_le64(to, m->parts[i].from_pos);
        buf_put_le64(to, m->parts[i].to_pos);
        buf_put_varint(to, m->parts[i].applied);
    }
    buf_put_varint(to, m->tenant_count);
    for (uint32_t i = 0; i < m->tenant_count; i++) {
        buf_put_counted(to, m->tenants[i].name);
        ledger_put(to, &m->tenants[i].totals);
    }
    buf_put_varint(to, m->last_tombstone);
    buf_put_varint(to, m->tombstone_count);
    for (uint32_t i = 0; i < m->tombstone_count; i++) {
        const struct manifest_tombstone *t = &m->tombstones[i];
        buf_put_varint(to, t->id);
        buf_put_le64(to, t->pos);
        buf_put_zigzag(to, t->made_ms);
        buf_put_zigzag(to, t->range.min_ms);
        buf_put_zigzag(to, t->range.max_ms);
        buf_put_counted(to, t->tenant);
        buf_put_varint(to, t->matcher_count);
        for (uint32_t k = 0; k < t->matcher_count; k++) {
            buf_put_u8(to, t->matchers[k].type);
            buf_put_counted(to, t->matchers[k].name);
            buf_put_counted(to, t->matchers[k].pattern);
        }
    }
    buf_put_varint(to, m->removed_count);
    for (uint32_t i = 0; i < m->removed_count; i++) {
        buf_put_varint(to, m->removed[i]);
    }
}

/* Older programs read what has nothing that they do not know. */
static uint16_t
version_of(const struct manifest *m)
{
    uint16_t version = MANIFEST_VERSION_MIN;
    for (uint32_t i = 0; i < m->tenant_count; i++) {
        const struct ledger *totals = &m->tenants[i].totals;
        if (ledger_version(totals) > LEDGER_VERSION_MIN) return MANIFEST_VERSION;
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
            if (totals->count[k][LEDGER_PASSED_ON] > 0) version = MANIFEST_PASSED_ON;
        }
    }
    return version;
}

enum err
manifest_write(struct env *env, const char *dir, const struct manifest *m, struct budget *budget,
               struct why *why)
{
    struct buf all;
    uint8_t head[HEAD_BYTES] = {0};
    buf_init(&all, budget, SIZE_MAX_BYTES);
    memcpy(head, MAGIC, sizeof MAGIC);
    uint16_t version = version_of(m);
    store_le16(head + 8, version);
    store_le16(head + 10, version);
    buf_put(&all, head, sizeof head);
    manifest_encode(m, &all);
    enum err e = buf_error(&all);
    if (e == OK) {
        store_le32(all.at + 12, (uint32_t)(all.size - HEAD_BYTES));
        buf_put_le64(&all, hash_bytes(buf_bytes(&all), 0));
        size_t frame = all.size, sectors = (frame + SECTOR_BYTES - 1) / SECTOR_BYTES;
        size_t second = sectors * SECTOR_BYTES;
        if (buf_reserve(&all, second)) {
            memset(all.at + frame, 0, second - frame);
            all.size = second;
            buf_put(&all, all.at, frame);
        }
        e = buf_error(&all);
    }
    if (e) {
        why_set(why, e, "not enough memory to write MANIFEST");
    } else {
        e = env_write_whole(env, dir, "MANIFEST", buf_bytes(&all), why);
    }
    buf_fini(&all);
    return e;
}

enum err
format_read(struct env *env, const char *dir, unsigned *ret_version, unsigned *ret_min_reader,
            struct why *why)
{
    struct arena arena;
    struct bytes text;
    arena_init(&arena, NULL, 0, 0);
    enum err e = read_whole(env, dir, "FORMAT", &arena, &text, why);
    if (e == OK && sscanf((const char *)text.at, "firekeep storage version %u min_reader %u",
                          ret_version, ret_min_reader) != 2) {
        e = why_set(why, ERR_CORRUPT, "%s/FORMAT is not the FORMAT file of a Firekeep storage",
                    dir);
    }
    arena_fini(&arena);
    return e;
}

enum err
format_check(struct env *env, const char *dir, struct why *why)
{
    unsigned version = 0, min_reader = 0;
    enum err e = format_read(env, dir, &version, &min_reader, why);
    if (e == OK && version < STORAGE_VERSION) {
        e = why_set(why, ERR_UNSUPPORTED,
                    "%s: storage version %u was never released; this program reads version %d", dir,
                    version, STORAGE_VERSION);
    }
    if (e == OK && min_reader > STORAGE_VERSION) {
        e = why_set(why, ERR_UNSUPPORTED,
                    "%s: storage version %u (minimum reader %u) is newer than version %d, which "
                    "this program reads; use a newer Firekeep",
                    dir, version, min_reader, STORAGE_VERSION);
    }
    return e;
}

enum err
format_write(struct env *env, const char *dir, struct why *why)
{
    char text[80];
    int n = snprintf(text, sizeof text, "firekeep storage\nversion %d\nmin_reader %d\n",
                     STORAGE_VERSION, STORAGE_VERSION);
    return env_write_whole(env, dir, "FORMAT", bytes_of(text, (size_t)n), why);
}
