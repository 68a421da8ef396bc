/*
 * manifest.c - the list of live parts, as one small file. Format: docs/format/manifest.md.
 *
 * A manifest is written whole under another name, twice in one file, so that a damaged copy does no
 * harm, and renamed when it is durable: readers find the old one or the new one. Lists of unknown
 * length are counted and compared with the remaining bytes before memory is taken.
 */
#include "tsdb/store/manifest.h"

#include <assert.h>
#include <stdio.h>

#include "base/fields.h"
#include "base/hash/hash.h"
#include "model/storage_layout.h"
#include "model/tenant_name.h"

enum {
    MANIFEST_VERSION = 9,  /* with parts that are only in the bucket */
    MANIFEST_MISSED = 8,   /* with samples in a ledger that are missed by windows */
    MANIFEST_RULES = 7,    /* with rules of retention, or downsampled samples in a ledger */
    MANIFEST_RECEIPTS = 6, /* with receipts of deletions, which can be undone */
    MANIFEST_TIMES = 5,   /* with times of parts and totals of the log, which older versions skip */
    MANIFEST_REASONS = 4, /* with reasons that only version 2 of the ledger knows */
    MANIFEST_PASSED_ON = 3,   /* with samples that were passed on */
    MANIFEST_VERSION_MIN = 2, /* with neither */
    STORAGE_VERSION = 2,      /* 1 was never released */
    HEAD_BYTES = 16,
    SECTOR_BYTES = 4096, /* the most that a disk loses at once */
    SIZE_MAX_BYTES = 1 << 28,
    PART_BYTES_MIN = 18,  /* size of an entry */
    TENANT_BYTES_MIN = 3, /* name of one byte and no totals */
    TOMBSTONE_BYTES_MIN = 15,
    MATCHER_BYTES_MIN = 4,
    RECEIPT_BYTES_MIN = 18,
    RULES_BYTES_MIN = 3,
    RULE_BYTES_MIN = 4,
    NAME_BYTES_MIN = 2,
    REMOVAL_BYTES_MIN = 3 + LEDGER_KIND_COUNT,
    ROLLED_BYTES_MIN = 5 + LEDGER_KIND_COUNT,
};

static const char MANIFEST_MAGIC[8] = {'F', 'K', 'M', 'A', 'N', 'I', 'F', 'S'};

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

enum err
manifest_list_fields(const struct fields *f, struct arena *arena, uint32_t *count, void *ret_items,
                     size_t item_bytes, size_t least)
{
    uint64_t items = *count;
    field_varint(f, &items);
    if (f->to != NULL) return OK;
    if (f->from->bad || items > cursor_left(f->from) / least) return ERR_CORRUPT;
    void *room = arena_new(arena, (items + 1) * item_bytes);
    if (room == NULL) return ERR_NOMEM;
    memcpy(ret_items, &room, sizeof room);
    *count = (uint32_t)items;
    return OK;
}

void
manifest_part_fields(const struct fields *f, struct part_entry *p)
{
    field_varint(f, &p->number);
    field_le64(f, &p->from_pos);
    field_le64(f, &p->to_pos);
    field_varint(f, &p->applied);
}

enum err
manifest_tenants_fields(const struct fields *f, struct arena *arena, struct manifest *m)
{
    enum err e = manifest_list_fields(f, arena, &m->tenant_count, &m->tenants, sizeof *m->tenants,
                                      TENANT_BYTES_MIN);
    for (uint32_t i = 0; e == OK && i < m->tenant_count; i++) {
        struct tenant_totals *t = &m->tenants[i];
        field_counted(f, &t->name);
        fields_check(f, tenant_name_fits(t->name));
        if (f->to != NULL)
            ledger_put(f->to, &t->totals);
        else
            e = ledger_get(f->from, &t->totals);
    }
    return e;
}

static enum err
tombstone_fields(const struct fields *f, struct arena *arena, struct manifest_tombstone *t)
{
    field_varint(f, &t->id);
    field_le64(f, &t->pos);
    field_zigzag(f, &t->made_ms);
    field_zigzag(f, &t->range.min_ms);
    field_zigzag(f, &t->range.max_ms);
    field_counted(f, &t->tenant);
    fields_check(f, t->tenant.size > 0);
    enum err e = manifest_list_fields(f, arena, &t->matcher_count, &t->matchers,
                                      sizeof *t->matchers, MATCHER_BYTES_MIN);
    for (uint32_t i = 0; e == OK && i < t->matcher_count; i++) {
        field_u8(f, &t->matchers[i].type);
        field_counted(f, &t->matchers[i].name);
        field_counted(f, &t->matchers[i].pattern);
        fields_check(f, t->matchers[i].name.size > 0);
    }
    return e;
}

static enum err
tombstones_fields(const struct fields *f, struct arena *arena, struct manifest *m)
{
    field_varint(f, &m->last_tombstone);
    enum err e = manifest_list_fields(f, arena, &m->tombstone_count, &m->tombstones,
                                      sizeof *m->tombstones, TOMBSTONE_BYTES_MIN);
    for (uint32_t i = 0; e == OK && i < m->tombstone_count; i++)
        e = tombstone_fields(f, arena, &m->tombstones[i]);
    return e;
}

static enum err
receipt_fields(const struct fields *f, struct arena *arena, struct manifest *m)
{
    field_varint(f, &m->final_tombstone);
    enum err e = manifest_list_fields(f, arena, &m->receipt_count, &m->receipts,
                                      sizeof *m->receipts, RECEIPT_BYTES_MIN);
    for (uint32_t i = 0; e == OK && i < m->receipt_count; i++) {
        struct tsdb_receipt *r = &m->receipts[i];
        field_varint(f, &r->id);
        field_le64(f, &r->pos);
        field_zigzag(f, &r->made_ms);
        field_zigzag(f, &r->undone_ms);
        field_zigzag(f, &r->range.min_ms);
        field_zigzag(f, &r->range.max_ms);
        field_counted(f, &r->tenant);
        field_counted(f, &r->selector);
        field_varint(f, &r->series);
        field_varint(f, &r->samples);
        field_varint(f, &r->selected);
        fields_check(f, r->tenant.size > 0);
    }
    return e;
}

static enum err
rule_fields(const struct fields *f, struct arena *arena, struct manifest_rules *to)
{
    field_zigzag(f, &to->left_ms);
    field_zigzag(f, &to->kept_ms);
    fields_check(f, to->left_ms >= 0);
    fields_check(f, to->kept_ms >= 0);
    enum err e =
        manifest_list_fields(f, arena, &to->count, &to->items, sizeof *to->items, RULE_BYTES_MIN);
    for (uint32_t i = 0; e == OK && i < to->count; i++) {
        struct manifest_rule *r = &to->items[i];
        field_counted(f, &r->match);
        field_zigzag(f, &r->age_ms);
        fields_check(f, r->match.size > 0);
        fields_check(f, r->age_ms > 0);
        e = manifest_list_fields(f, arena, &r->tenant_count, &r->tenants, sizeof *r->tenants,
                                 NAME_BYTES_MIN);
        for (uint32_t t = 0; e == OK && t < r->tenant_count; t++) {
            field_counted(f, &r->tenants[t]);
            fields_check(f, r->tenants[t].size > 0);
        }
    }
    return e;
}

static enum err
retention_fields(const struct fields *f, struct arena *arena, struct manifest *m)
{
    enum err e = manifest_list_fields(f, arena, &m->rules_count, &m->rules, sizeof *m->rules,
                                      RULES_BYTES_MIN);
    for (uint32_t i = 0; e == OK && i < m->rules_count; i++)
        e = rule_fields(f, arena, &m->rules[i]);
    for (unsigned k = 0; k < RULE_KINDS && e == OK; k++) {
        bool retains = k == RULES_RETAIN;
        e = manifest_list_fields(f, arena, &m->done_count[k], &m->done[k], sizeof *m->done[k],
                                 retains ? REMOVAL_BYTES_MIN : ROLLED_BYTES_MIN);
        for (uint32_t i = 0; e == OK && i < m->done_count[k]; i++) {
            struct manifest_done *r = &m->done[k][i];
            field_counted(f, &r->match);
            field_counted(f, &r->tenants);
            if (!retains) field_zigzag(f, &r->resolution_ms);
            field_varints(f, r->done.samples, LEDGER_KIND_COUNT);
            field_varint(f, retains ? &r->done.series : &r->done.windows);
            field_varint(f, &r->done.bytes);
        }
    }
    for (uint32_t i = 0; e == OK && i < m->receipt_count; i++) { /* what receipts left out */
        field_varint(f, &m->receipts[i].windows);
        field_varint(f, &m->receipts[i].selected_windows);
    }
    return e;
}

enum err
manifest_state_fields(const struct fields *f, struct arena *arena, struct manifest *m)
{
    enum err e = tombstones_fields(f, arena, m);
    if (e == OK) e = receipt_fields(f, arena, m);
    return e ? e : retention_fields(f, arena, m);
}

/* Lists that are read are allocated in `arena`. */
static enum err
manifest_fields(const struct fields *f, struct arena *arena, struct manifest *m)
{
    field_varint(f, &m->edit);
    field_le64(f, &m->store_pos);
    field_varint(f, &m->next_part);
    field_varint(f, &m->next_ref);
    field_varint(f, &m->ref_floor);
    field_varint(f, &m->segment_floor);
    field_zigzag(f, &m->newest_ms);
    field_zigzag(f, &m->retention_now_ms);
    field_fixed(f, m->log_id, sizeof m->log_id);
    enum err e =
        manifest_list_fields(f, arena, &m->part_count, &m->parts, sizeof *m->parts, PART_BYTES_MIN);
    for (uint32_t i = 0; e == OK && i < m->part_count; i++)
        manifest_part_fields(f, &m->parts[i]);
    if (e == OK) e = manifest_tenants_fields(f, arena, m);
    if (e == OK) e = tombstones_fields(f, arena, m);
    if (e == OK)
        e = manifest_list_fields(f, arena, &m->removed_count, &m->removed, sizeof *m->removed, 1);
    if (e == OK) field_varints(f, m->removed, m->removed_count);
    if (e == OK) {
        for (uint32_t i = 0; i < m->part_count; i++) {
            struct time_range *time = &m->parts[i].time;
            if (m->no_times) {
                *time = (struct time_range){INT64_MIN, INT64_MAX};
                continue;
            }
            field_zigzag(f, &time->min_ms);
            field_zigzag(f, &time->max_ms);
        }
    }
    if (e == OK) {
        /* The totals are the last fields of version 5, if they are known. Later versions say so. */
        uint8_t known = m->log_totals_known;
        if (m->has_receipts)
            field_u8(f, &known);
        else if (f->to == NULL)
            known = !m->no_times && fields_follow(f);
        fields_check(f, known <= 1);
        m->log_totals_known = known == 1;
        if (m->log_totals_known) field_varints(f, m->log_totals, LEDGER_KIND_COUNT);
    }
    if (e == OK && m->has_receipts) e = receipt_fields(f, arena, m);
    if (e == OK && m->has_rules) e = retention_fields(f, arena, m);
    for (uint32_t i = 0; e == OK && m->has_remote && i < m->part_count; i++)
        field_bool(f, &m->parts[i].remote);
    /* Without a receipt, no deletion can be undone: a program that cannot do so has made it, or the
     * receipt was dropped. */
    if (f->to == NULL && m->receipt_count == 0) m->final_tombstone = m->last_tombstone;
    return e == OK && !fields_are_good(f) ? ERR_CORRUPT : e;
}

/* Returns the copy that begins at `from`, if it is valid. */
static bool
frame_at(struct bytes all, uint64_t from, struct bytes *ret_frame)
{
    if (all.size < from + HEAD_BYTES + 8) return false;
    const uint8_t *at = all.at + from;
    uint64_t size = load_le32(at + 12);
    if (memcmp(at, MANIFEST_MAGIC, sizeof MANIFEST_MAGIC) != 0 ||
        size > all.size - from - HEAD_BYTES - 8)
        return false;
    *ret_frame = bytes_of(at, HEAD_BYTES + size + 8);
    return load_le64(at + HEAD_BYTES + size) == hash_bytes(bytes_of(at, HEAD_BYTES + size), 0);
}

/* The second copy begins at the first sector after the first copy, which has the same size. */
static uint64_t
second_copy_at(uint64_t file_bytes)
{
    return (file_bytes + 2 * SECTOR_BYTES - 1) / (2 * SECTOR_BYTES) * SECTOR_BYTES;
}

enum err
manifest_read(struct env *env, const char *dir, struct arena *arena, struct manifest *ret,
              struct why *why)
{
    struct bytes all, frame;
    struct manifest m = {0};
    enum err e = read_whole(env, dir, STORAGE_MANIFEST, arena, &all, why);
    if (e) return e;
    struct bytes first, second;
    bool first_whole = frame_at(all, 0, &first);
    uint64_t offset = second_copy_at(all.size);
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
    struct cursor c = cursor_of(bytes_of(frame.at + HEAD_BYTES, frame.size - HEAD_BYTES - 8));
    m.no_times = version < MANIFEST_TIMES;
    m.has_receipts = version >= MANIFEST_RECEIPTS;
    m.has_rules = version >= MANIFEST_RULES;
    m.has_remote = version >= MANIFEST_VERSION;
    e = manifest_fields(&(struct fields){.from = &c}, arena, &m);
    /* Fields that a newer version has appended are ignored. */
    if (e == OK && version <= MANIFEST_VERSION && c.at != c.end) e = ERR_CORRUPT;
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

static bool
has_rules(const struct manifest *m)
{
    return m->rules_count > 0 || m->done_count[RULES_RETAIN] > 0 ||
           m->done_count[RULES_DOWNSAMPLE] > 0;
}

/* Returns the lowest version of programs that may read this manifest: older ones may if it contains
 * nothing that they must know. */
static uint16_t
min_reader_of(const struct manifest *m)
{
    uint16_t version = has_rules(m)           ? MANIFEST_RULES
                       : m->receipt_count > 0 ? MANIFEST_RECEIPTS
                                              : MANIFEST_VERSION_MIN;
    for (uint32_t i = 0; i < m->tenant_count; i++) {
        const struct ledger *totals = &m->tenants[i].totals;
        uint16_t needs = ledger_version(totals) > LEDGER_VERSION_MIN ? MANIFEST_REASONS : 0;
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
            const uint64_t *count = totals->count[k];
            if (count[LEDGER_PASSED_ON] > 0 && needs == 0) needs = MANIFEST_PASSED_ON;
            bool rolled = count[LEDGER_DOWNSAMPLED] + count[LEDGER_SUPERSEDED_BY_WINDOW] > 0;
            if (rolled && needs < MANIFEST_RULES) needs = MANIFEST_RULES;
            if (count[LEDGER_MISSED_BY_WINDOW] > 0) needs = MANIFEST_MISSED;
        }
        if (needs > version) version = needs;
    }
    for (uint32_t i = 0; i < m->part_count; i++)
        if (m->parts[i].remote) return MANIFEST_VERSION;
    return version;
}

enum err
manifest_write(struct env *env, const char *dir, const struct manifest *m, struct budget *budget,
               struct why *why)
{
    struct buf all;
    uint8_t head[HEAD_BYTES] = {0};
    buf_init(&all, budget, SIZE_MAX_BYTES);
    memcpy(head, MANIFEST_MAGIC, sizeof MANIFEST_MAGIC);
    uint16_t min_reader = min_reader_of(m);
    uint16_t version = min_reader > MANIFEST_TIMES ? min_reader : MANIFEST_TIMES;
    store_le16(head + 8, m->no_times ? min_reader : version);
    store_le16(head + 10, min_reader);
    buf_put(&all, head, sizeof head);
    struct manifest fields = *m;
    fields.has_receipts = version >= MANIFEST_RECEIPTS;
    fields.has_rules = version >= MANIFEST_RULES;
    fields.has_remote = version >= MANIFEST_VERSION;
    assert(!fields.has_receipts || !m->no_times);
    enum err e = manifest_fields(&(struct fields){.to = &all}, NULL, &fields);
    if (e == OK) e = buf_error(&all);
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
        assert(e != OK || all.size == second + frame);
        assert(e != OK || second_copy_at(all.size) == second); /* position used by the reader */
    }
    if (e)
        why_set(why, e, "not enough memory to write MANIFEST");
    else
        e = env_write_whole(env, dir, STORAGE_MANIFEST, buf_bytes(&all), why);
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
    enum err e = read_whole(env, dir, STORAGE_FORMAT, &arena, &text, why);
    if (e == OK && sscanf((const char *)text.at, "firekeep storage version %u min_reader %u",
                          ret_version, ret_min_reader) != 2) {
        e = why_set(why, ERR_CORRUPT,
                    "%s/FORMAT is not the FORMAT file of a Firekeep storage directory; %s", dir,
                    FORMAT_TO_DO);
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
    return env_write_whole(env, dir, STORAGE_FORMAT, bytes_of(text, (size_t)n), why);
}
