/*
 * shards.c - see kinesis.h.
 *
 * There are two lists: the current one, sorted by the beginning of ranges, for a binary search; and
 * the one being read, page by page, in any order. The second replaces the first only if its ranges
 * cover all keys without overlap, and if it differs: callers that grouped lines by shard numbers
 * compare generations.
 */
#include "backend/kinesis/kinesis.h"

#include <assert.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "base/hash/md5.h"
#include "wire/json/json_scan.h"

enum { SHARDS_SCAN_BYTES_MAX = 2 * KINESIS_PAGE_BYTES_MAX };

typedef unsigned __int128 hash_key;

struct shard {
    hash_key first;
    hash_key last;
    uint64_t id;
};

struct shard_list {
    struct shard *items;
    uint32_t count;
    uint32_t capacity;
};

struct kinesis_shards {
    struct budget *memory;
    struct shard_list known; /* sorted by `first` */
    struct shard_list coming;
    uint32_t generation;
};

/* --- life ------------------------------------------------------------------------------------- */

enum err
kinesis_shards_new(struct budget *memory, struct kinesis_shards **ret_shards)
{
    struct kinesis_shards *s = mem_new(memory, sizeof *s);
    if (s == NULL) return ERR_NOMEM;
    s->memory = memory;
    *ret_shards = s;
    return OK;
}

static void
list_fini(struct kinesis_shards *s, struct shard_list *list)
{
    array_free(s->memory, list->items, list->capacity);
    *list = (struct shard_list){.count = 0};
}

void
kinesis_shards_free(struct kinesis_shards *s)
{
    if (s == NULL) return;
    list_fini(s, &s->known);
    list_fini(s, &s->coming);
    mem_free(s->memory, s, sizeof *s);
}

void
kinesis_shards_begin(struct kinesis_shards *s)
{
    list_fini(s, &s->coming);
}

/* --- pages ------------------------------------------------------------------------------------ */

/* Reads decimal digits. */
static hash_key
read_hash_key(struct scan *s)
{
    static const hash_key max = ~(hash_key)0;
    hash_key v = 0;
    if (scan_peek(s) != '"') {
        scan_fail(s, "expected the bound of a shard in double quotes");
        return 0;
    }
    struct bytes text = scan_text(s);
    if (s->bad != NULL) return 0;
    bool good = text.size > 0;
    for (size_t i = 0; i < text.size && good; i++) {
        unsigned digit = (unsigned)text.at[i] - '0';
        good = digit <= 9 && v <= max / 10 && v * 10 <= max - digit;
        v = v * 10 + digit;
    }
    if (!good) scan_fail(s, "invalid bound of a shard: expected a 128-bit number");
    return v;
}

static bool
read_key_range(struct scan *s, struct shard *shard)
{
    struct bytes key;
    unsigned bounds = 0;
    scan_expect(s, '{');
    while (scan_key(s, &key)) {
        if (bytes_equal_text(key, "StartingHashKey")) {
            shard->first = read_hash_key(s);
            bounds |= 1;
        } else if (bytes_equal_text(key, "EndingHashKey")) {
            shard->last = read_hash_key(s);
            bounds |= 2;
        } else {
            scan_skip(s);
        }
    }
    return bounds == 3 && shard->first <= shard->last;
}

/* True if the shard is closed: its range of sequence numbers has an end. */
static bool
read_is_closed(struct scan *s)
{
    struct bytes key;
    bool closed = false;
    scan_expect(s, '{');
    while (scan_key(s, &key)) {
        closed |= bytes_equal_text(key, "EndingSequenceNumber") && scan_peek(s) == '"';
        scan_skip(s);
    }
    return closed;
}

static enum err
read_shard(struct kinesis_shards *all, struct scan *s)
{
    struct shard shard = {.id = 0};
    struct bytes key, id = {NULL, 0};
    bool closed = false, ranged = false;
    scan_expect(s, '{');
    while (scan_key(s, &key)) {
        uint8_t kind = scan_peek(s);
        if (bytes_equal_text(key, "ShardId") && kind == '"')
            id = scan_text(s);
        else if (bytes_equal_text(key, "HashKeyRange") && kind == '{')
            ranged = read_key_range(s, &shard);
        else if (bytes_equal_text(key, "SequenceNumberRange") && kind == '{')
            closed = read_is_closed(s);
        else
            scan_skip(s);
    }
    if (s->bad != NULL || closed) return OK;
    if (id.size == 0 || !ranged) {
        scan_fail(s, "missing id or range of a shard");
        return OK;
    }
    shard.id = hash_bytes(id, 0);
    struct shard_list *list = &all->coming;
    if (list->count == KINESIS_SHARDS_MAX) return ERR_LIMIT;
    if (!array_reserve(all->memory, &list->items, &list->capacity, list->count + 1))
        return ERR_NOMEM;
    list->items[list->count++] = shard;
    return OK;
}

static enum err
read_page(struct kinesis_shards *all, struct scan *s, struct buf *ret_token)
{
    struct bytes key;
    enum err e = OK;
    bool found = false;
    scan_expect(s, '{');
    while (e == OK && scan_key(s, &key)) {
        uint8_t kind = scan_peek(s);
        if (bytes_equal_text(key, "Shards") && kind == '[') {
            found = true;
            scan_expect(s, '[');
            while (e == OK && scan_item(s))
                e = read_shard(all, s);
        } else if (bytes_equal_text(key, "NextToken") && kind == '"') {
            buf_put_bytes(ret_token, scan_text(s));
        } else {
            scan_skip(s);
        }
    }
    if (e) return e;
    scan_end(s);
    if (s->bad == NULL && !found) scan_fail(s, "missing list of shards");
    if (s->bad != NULL) return s->error;
    return buf_error(ret_token);
}

enum err
kinesis_shards_read(struct kinesis_shards *s, struct bytes answer, struct buf *ret_token,
                    struct why *why)
{
    struct arena arena;
    arena_init(&arena, s->memory, SHARDS_SCAN_BYTES_MAX, 0);
    struct scan scan = scan_of(answer, &arena);
    enum err e = read_page(s, &scan, ret_token);
    if (e == ERR_INPUT) {
        why_set(why, e, "cannot read the list of shards: %s", scan.bad == NULL ? "" : scan.bad);
    } else if (e) {
        why_set(why, e,
                e == ERR_LIMIT ? "the list of shards is too long"
                               : "not enough memory for the list of shards");
    }
    arena_fini(&arena);
    return e;
}

/* --- the list --------------------------------------------------------------------------------- */

static int
compare_shards(const void *a, const void *b)
{
    const struct shard *one = a, *other = b;
    return (one->first > other->first) - (one->first < other->first);
}

/* True if the ranges cover all keys without overlap. */
static bool
covers_all_keys(const struct shard_list *list)
{
    hash_key next = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->items[i].first != next || (i > 0 && next == 0)) return false;
        next = list->items[i].last + 1;
    }
    return list->count > 0 && next == 0;
}

static bool
same_ranges(const struct shard_list *a, const struct shard_list *b)
{
    bool same = a->count == b->count;
    for (uint32_t i = 0; i < a->count && same; i++) {
        const struct shard *one = &a->items[i], *other = &b->items[i];
        same = one->first == other->first && one->last == other->last && one->id == other->id;
    }
    return same;
}

enum err
kinesis_shards_end(struct kinesis_shards *s, struct why *why)
{
    struct shard_list *coming = &s->coming;
    if (coming->count > 0)
        qsort(coming->items, coming->count, sizeof *coming->items, compare_shards);
    if (!covers_all_keys(coming)) {
        return why_set(why, ERR_AGAIN, "the %u listed shards do not cover all hash keys",
                       coming->count);
    }
    if (same_ranges(&s->known, coming)) {
        list_fini(s, coming);
        return OK;
    }
    list_fini(s, &s->known);
    s->known = *coming;
    *coming = (struct shard_list){.count = 0};
    s->generation++;
    return OK;
}

uint32_t
kinesis_shards_count(const struct kinesis_shards *s)
{
    return s->known.count;
}

uint32_t
kinesis_shards_generation(const struct kinesis_shards *s)
{
    return s->generation;
}

uint32_t
kinesis_shards_find(const struct kinesis_shards *s, struct bytes key)
{
    uint8_t digest[MD5_BYTES];
    md5(key, digest);
    hash_key hash = (hash_key)load_be64(digest) << 64 | load_be64(digest + 8);
    uint32_t after = search_first(i, 0u, s->known.count, s->known.items[i].first > hash);
    return after > 0 ? after - 1 : 0;
}

uint64_t
kinesis_shards_id(const struct kinesis_shards *s, uint32_t shard)
{
    return shard < s->known.count ? s->known.items[shard].id : 0;
}

bool
kinesis_shards_knows(const struct kinesis_shards *s, uint64_t id)
{
    for (uint32_t i = 0; i < s->known.count; i++)
        if (s->known.items[i].id == id) return true;
    return false;
}
