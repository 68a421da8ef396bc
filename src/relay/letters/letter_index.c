/*
 * letter_index.c - see letter_index.h. Files are read in the order of their numbers, each from its
 * begin: the last entry about a letter determines its state.
 *
 * The state knows the files up to a position. Letters that exist at that position have to be those
 * the state knows; what later marks say is counted separately, since the state does not include it.
 *
 * Invariants:
 * 1. Numbers of volumes ascend.
 * 2. `counts` of a volume has the number of its letters by state and kind, and unread_count that of
 *    unread ones; `print` is the sum of the fingerprints of those that `counts` has.
 * 3. The nibbles have room for letter_count letters.
 * 4. A letter that is gone stays gone.
 */
#include "relay/letters/letter_index.h"

#include <assert.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "base/search.h"

enum { VOLUMES_MAX = 1 << 20, STATE_BITS = 2, AGAIN_MAX = 1 << 20 };

_Static_assert(LETTER_STATE_COUNT <= 4 && ITEM_KIND_COUNT <= 4, "state and kind are a nibble");

/* --- slots ------------------------------------------------------------------------------------ */

static uint64_t
identity_hash(uint64_t pos, uint32_t index)
{
    return hash_mix(hash_mix(0, pos), index);
}

struct letter_slot *
letter_slots_find(const struct letter_slots *s, uint64_t pos, uint32_t index)
{
    uint64_t hash = identity_hash(pos, index);
    for (uint32_t at = TABLE_START, id; table_next(&s->ids, hash, &at, &id);) {
        if (s->slots[id].pos == pos && s->slots[id].index == index) return &s->slots[id];
    }
    return NULL;
}

enum err
letter_slots_add(struct letter_slots *s, struct budget *memory, const struct letter_slot *slot)
{
    uint64_t hash = identity_hash(slot->pos, slot->index);
    if (!table_reserve(&s->ids, memory, 1)) return ERR_NOMEM;
    if (!array_reserve(memory, &s->slots, &s->capacity, s->count + 1)) return ERR_NOMEM;
    const struct letter_slot *same = letter_slots_find(s, slot->pos, slot->index);
    if (same != NULL) table_remove(&s->ids, hash, (uint32_t)(same - s->slots));
    s->slots[s->count] = *slot;
    table_add(&s->ids, hash, s->count++);
    return OK;
}

void
letter_slots_remove(struct letter_slots *s, uint64_t pos, uint32_t index)
{
    struct letter_slot *slot = letter_slots_find(s, pos, index);
    if (slot == NULL) return;
    const struct letter_slot *last = &s->slots[--s->count];
    uint32_t id = (uint32_t)(slot - s->slots);
    table_remove(&s->ids, identity_hash(pos, index), id);
    if (slot == last) return;
    uint64_t hash = identity_hash(last->pos, last->index);
    table_remove(&s->ids, hash, s->count);
    table_add(&s->ids, hash, id);
    *slot = *last;
}

static void
slots_fini(struct letter_slots *s, struct budget *memory)
{
    array_free(memory, s->slots, s->capacity);
    table_fini(&s->ids, memory);
}

/* --- the index -------------------------------------------------------------------------------- */

void
letter_index_init(struct letter_index *index, struct budget *memory)
{
    *index = (struct letter_index){.memory = memory};
}

void
letter_index_fini(struct letter_index *index)
{
    while (index->count > 0) {
        letter_index_remove(index, index->count - 1);
    }
    array_free(index->memory, index->volumes, index->capacity);
    slots_fini(&index->again, index->memory);
    slots_fini(&index->given, index->memory);
    *index = (struct letter_index){.memory = index->memory, .found = index->found};
}

enum err
letter_index_append(struct letter_index *index, uint32_t number)
{
    bool ascends = index->count == 0 || index->volumes[index->count - 1].number < number;
    assert(ascends); /* invariant 1 */
    if (!array_reserve(index->memory, &index->volumes, &index->capacity, index->count + 1)) {
        return ERR_NOMEM;
    }
    index->volumes[index->count++] = (struct letter_volume){.number = number, .clean = true};
    return OK;
}

void
letter_index_remove(struct letter_index *index, uint32_t at)
{
    assert(at < index->count);
    struct letter_volume *v = &index->volumes[at];
    mem_free(index->memory, v->nibbles, v->capacity);
    index->count--;
    memmove(v, v + 1, (index->count - at) * sizeof *v);
}

struct letter_volume *
letter_index_find(const struct letter_index *index, uint32_t number)
{
    struct letter_volume *volumes = index->volumes;
    uint32_t at = search_first(i, 0u, index->count, volumes[i].number >= number);
    return at < index->count && volumes[at].number == number ? &volumes[at] : NULL;
}

struct letter_volume *
letter_index_newest(const struct letter_index *index)
{
    return index->count == 0 ? NULL : &index->volumes[index->count - 1];
}

enum letter_state
letter_index_state(const struct letter_index *index, struct letter_place place)
{
    const struct letter_volume *v = letter_index_find(index, place.file);
    return v == NULL ? LETTER_GONE : letter_volume_state(v, place.number);
}

void
letter_index_set(struct letter_index *index, struct letter_place place, enum letter_state state)
{
    struct letter_volume *v = letter_index_find(index, place.file);
    assert(v != NULL);
    letter_volume_set(v, place.number, state);
}

/* --- letters ---------------------------------------------------------------------------------- */

/* Stored, in sums: docs/format/relay.md. */
static uint64_t
print_of(const struct letter_volume *v, uint32_t number, enum letter_state state)
{
    uint8_t bytes[9];
    if (state == LETTER_GONE) return 0;
    store_le32(bytes, v->number);
    store_le32(bytes + 4, number);
    bytes[8] = state != LETTER_KEPT;
    return hash_bytes(bytes_of(bytes, sizeof bytes), 0);
}

static unsigned
nibble(const struct letter_volume *v, uint32_t number)
{
    return v->nibbles[number / 2] >> (4 * (number % 2)) & 15;
}

static void
set_nibble(struct letter_volume *v, uint32_t number, unsigned value)
{
    unsigned shift = 4 * (number % 2);
    uint8_t *at = &v->nibbles[number / 2];
    *at = (uint8_t)((*at & ~(15u << shift)) | value << shift);
}

enum err
letter_volume_reserve(const struct letter_index *index, struct letter_volume *v, uint32_t number)
{
    size_t had = v->capacity;
    if (!array_reserve(index->memory, &v->nibbles, &v->capacity, (size_t)number / 2 + 1)) {
        return ERR_NOMEM;
    }
    if (v->capacity > had) memset(v->nibbles + had, 0, v->capacity - had);
    return OK;
}

void
letter_volume_add(struct letter_volume *v, uint32_t number, enum item_kind kind, int64_t failed_ms)
{
    assert(number >= v->letter_count);
    assert(number / 2 < v->capacity); /* invariant 3 */
    if (v->letter_count == 0 || failed_ms < v->oldest_ms) v->oldest_ms = failed_ms;
    if (v->letter_count == 0 || failed_ms > v->youngest_ms) v->youngest_ms = failed_ms;
    v->letter_count = number + 1;
    set_nibble(v, number, LETTER_KEPT | (unsigned)kind << STATE_BITS);
    v->counts[LETTER_KEPT][kind]++;
    v->print += print_of(v, number, LETTER_KEPT);
}

enum letter_state
letter_volume_state(const struct letter_volume *v, uint32_t number)
{
    if (number >= v->letter_count) return LETTER_GONE;
    return (enum letter_state)(nibble(v, number) & 3);
}

enum item_kind
letter_volume_kind(const struct letter_volume *v, uint32_t number)
{
    assert(number < v->letter_count);
    return (enum item_kind)(nibble(v, number) >> STATE_BITS);
}

void
letter_volume_set(struct letter_volume *v, uint32_t number, enum letter_state state)
{
    enum letter_state before = letter_volume_state(v, number);
    enum item_kind kind = letter_volume_kind(v, number);
    assert(before != LETTER_GONE); /* invariant 4 */
    assert(state < LETTER_STATE_COUNT);
    v->counts[before][kind]--;
    if (state != LETTER_GONE) v->counts[state][kind]++;
    v->print += print_of(v, number, state) - print_of(v, number, before);
    set_nibble(v, number, state | (unsigned)kind << STATE_BITS);
}

uint64_t
letter_volume_count(const struct letter_volume *v, enum letter_state state)
{
    uint64_t sum = 0;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        sum += v->counts[state][kind];
    }
    return sum;
}

uint64_t
letter_volume_live(const struct letter_volume *v)
{
    return letter_volume_count(v, LETTER_KEPT) + letter_volume_count(v, LETTER_REPLAYING) +
           letter_volume_count(v, LETTER_GIVEN);
}

/* --- reading ---------------------------------------------------------------------------------- */

struct numbers {
    struct buf all; /* uint32_t */
    uint32_t count;
};

static enum err
note_name(void *context, const char *name, bool is_dir)
{
    struct numbers *n = context;
    uint32_t number;
    if (is_dir || !letter_file_number(name, &number)) return OK;
    buf_put_le32(&n->all, number);
    n->count++;
    return buf_error(&n->all);
}

static int
order_numbers(const void *a, const void *b)
{
    uint32_t x = load_le32(a), y = load_le32(b);
    return (x > y) - (x < y);
}

struct index_reader {
    struct letter_index *index;
    const struct letters_known *known; /* NULL without a readable state */
    const struct letters_mark *mark;   /* NULL if the state does not say what the files held */
    bool passed;                       /* reading has passed the mark's position */
    bool is_last;                      /* the current file is the last one */
};

/* --- reading: states -------------------------------------------------------------------------- */

/* True if the letter's item is read again, so that the state's account does not have it. Slots were
 * added in the order of their places. */
static bool
comes_again(const struct letter_index *index, uint32_t file, uint32_t number)
{
    const struct letter_slot *slots = index->again.slots;
    uint32_t at = search_first(i, 0u, index->again.count,
                               slots[i].place.file > file || (slots[i].place.file == file &&
                                                              slots[i].place.number >= number));
    return at < index->again.count && slots[at].place.file == file &&
           slots[at].place.number == number;
}

/* A letter that cannot be read is gone, so it need not be read. */
static void
see_gone(struct letter_volume *v, uint32_t number)
{
    assert(v->unread_count > 0); /* invariant 2 */
    set_nibble(v, number, LETTER_GONE);
    v->unread_count--;
}

static void
apply_marks(struct index_reader *r, const struct letter_entry *entry)
{
    struct letter_volume *v = letter_index_find(r->index, entry->file);
    struct cursor runs = cursor_of(entry->runs);
    uint32_t behind = 0, first, count;
    while (v != NULL && letter_runs_next(&runs, &behind, &first, &count)) {
        for (uint32_t number = first; number < behind && number < v->letter_count; number++) {
            enum letter_state before = letter_volume_state(v, number);
            bool replays = entry->mark == MARK_REPLAYING;
            if (before == LETTER_UNREAD && !replays) see_gone(v, number);
            if (before == LETTER_GONE || before == LETTER_UNREAD) continue;
            enum item_kind kind = letter_volume_kind(v, number);
            letter_volume_set(v, number, replays ? LETTER_REPLAYING : LETTER_GONE);
            if (r->passed && !comes_again(r->index, v->number, number))
                r->index->found.moved[kind][entry->mark]++;
        }
    }
}

/* Adds unread letters for missing numbers below `end`. ERR_NOMEM. */
static enum err
note_unread(const struct letter_index *index, struct letter_volume *v, uint32_t end)
{
    if (end <= v->letter_count) return OK;
    enum err e = letter_volume_reserve(index, v, end - 1);
    for (; e == OK && v->letter_count < end; v->letter_count++) {
        set_nibble(v, v->letter_count, LETTER_UNREAD);
        v->unread_count++;
    }
    return e;
}

static enum err
fold_letter(struct index_reader *r, struct letter_volume *v, const struct letter_entry *entry)
{
    enum err e = OK;
    const struct dead_letter *letter = &entry->letter;
    struct letter_slots *again = &r->index->again;
    if (entry->missing > 0) e = note_unread(r->index, v, entry->number);
    if (e == OK) e = letter_volume_reserve(r->index, v, entry->number);
    /* More than a million are not remembered: marks about the others are counted twice, and an item
     * that becomes a letter again has two. */
    bool comes_by = r->known != NULL && !letters_count_has(r->known, letter);
    if (e == OK && comes_by && again->count < AGAIN_MAX) {
        struct letter_slot slot = {
            letter->pos, letter->index, (uint32_t)entry->offset, {v->number, entry->number}};
        e = letter_slots_add(again, r->index->memory, &slot);
    }
    if (e) return e;
    /* A replaced letter is in an older file, or before its successor, unless its file was removed.
     */
    struct letter_place place = entry->replaces;
    struct letter_volume *older = place.file == 0 ? NULL : letter_index_find(r->index, place.file);
    enum letter_state state =
        older == NULL ? LETTER_GONE : letter_volume_state(older, place.number);
    if (state == LETTER_UNREAD)
        see_gone(older, place.number);
    else if (state != LETTER_GONE)
        letter_volume_set(older, place.number, LETTER_GONE);
    letter_volume_add(v, entry->number, entry->letter.item.kind, entry->letter.failed_ms);
    return OK;
}

/* --- reading: files --------------------------------------------------------------------------- */

/* Everything before the mark's position was read. */
static enum err
pass_mark(struct index_reader *r)
{
    struct letter_index *index = r->index;
    const struct letters_mark *mark = r->mark;
    struct letter_volume *v = letter_index_find(index, mark->file);
    /* A file cannot have more letters; a damaged or forged state may say otherwise. */
    bool may_be = mark->letter_count <= LETTER_FILE_READ_BYTES / LETTER_BYTES_MIN;
    enum err e = v != NULL && may_be ? note_unread(index, v, mark->letter_count) : OK;
    for (uint32_t i = 0; i < index->count; i++) {
        const struct letter_volume *each = &index->volumes[i];
        for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
            index->found.live[kind] +=
                (uint64_t)each->counts[LETTER_KEPT][kind] + each->counts[LETTER_REPLAYING][kind];
        }
        index->found.print += each->print;
    }
    r->passed = true;
    return e;
}

static void
add_damage(struct index_reader *r, struct letter_damage damage)
{
    letters_found_damage(&r->index->found, &damage);
}

static enum err
end_volume(struct index_reader *r, struct letter_volume *v, struct letter_scan *scan)
{
    /* A file that is followed by another one ends with an end entry. */
    bool whole = r->mark != NULL && v->number >= r->mark->whole_from && !r->is_last;
    if (whole) letter_scan_trust(scan, UINT64_MAX);
    /* Damage that the scan listed by place; it counts more than it lists. */
    uint64_t listed = 0;
    for (uint32_t i = 0; i < scan->bad_count; i++) {
        const struct letter_bad *bad = &scan->bad[i];
        if (bad->offset >= scan->damaged_end) continue;
        listed++;
        add_damage(r, (struct letter_damage){LETTERS_UNREADABLE, v->number, bad->offset, bad->end,
                                             bad->letters});
    }
    if (scan->damaged > listed) r->index->found.damaged += scan->damaged - listed;
    v->bytes = scan->end;
    v->whole_bytes = scan->whole_end;
    v->batch_bytes = scan->batch_at;
    v->made = true;
    v->clean = scan->clean;
    v->damaged = scan->damaged > 0;
    if (r->mark != NULL && v->number == r->mark->file) { /* it was written to at that time */
        uint64_t durable = r->mark->offset;
        uint64_t known = durable < v->whole_bytes ? durable : v->whole_bytes;
        if (v->batch_bytes < known) v->batch_bytes = known;
        if (scan->end < durable) {
            v->clean = false;
            v->damaged = true;
            add_damage(r, (struct letter_damage){LETTERS_CUT, v->number, scan->end, durable, 0});
        }
        return r->passed ? OK : pass_mark(r);
    }
    if (whole && scan->clean && !scan->ended) {
        v->damaged = true;
        add_damage(r, (struct letter_damage){LETTERS_CUT, v->number, scan->end, 0, 0});
    }
    return OK;
}

static enum err
read_entries(struct index_reader *r, struct letter_volume *v, struct letter_scan *scan,
             struct why *why)
{
    const struct letter_entry *entry;
    enum err e = OK;
    while (e == OK) {
        e = letter_scan_next(scan, &entry, why);
        if (e) break;
        const struct letters_mark *mark = r->mark;
        bool behind = mark != NULL && (v->number > mark->file ||
                                       (v->number == mark->file && entry->offset >= mark->offset));
        if (behind && !r->passed) e = pass_mark(r);
        if (e == OK && entry->type == ENTRY_MARKS) apply_marks(r, entry);
        if (e == OK && entry->type == ENTRY_LETTER) e = fold_letter(r, v, entry);
        if (e) why_set(why, e, "%s: not enough memory for its dead letters", scan->file.path);
    }
    return e == ERR_MISSING ? OK : e;
}

static enum err
read_volume(struct index_reader *r, struct env *env, const char *path, struct why *why)
{
    struct letter_volume *v = letter_index_newest(r->index);
    struct letter_scan scan;
    enum err e = letter_scan_open(&scan, env, path, r->index->memory, why);
    if (e) return e == ERR_MISSING ? why_set(why, ERR_AGAIN, "%s went", path) : e;
    if (r->mark != NULL && v->number == r->mark->file) letter_scan_trust(&scan, r->mark->offset);
    e = read_entries(r, v, &scan, why);
    if (e == OK) {
        e = end_volume(r, v, &scan);
        if (e) why_set(why, e, "%s: not enough memory for its dead letters", path);
    }
    letter_scan_close(&scan);
    return e;
}

/* Reports missing files that had letters when the state was written, or were written to then. */
static void
find_missing(struct index_reader *r)
{
    const struct letters_mark *mark = r->mark;
    uint64_t files = 0;
    for (uint32_t i = 0; i < mark->run_count; i++) {
        for (uint32_t k = 0; k < mark->runs[i].count && files < VOLUMES_MAX; k++, files++) {
            uint32_t number = mark->runs[i].first + k;
            if (number == mark->file || letter_index_find(r->index, number) != NULL) continue;
            add_damage(r, (struct letter_damage){LETTERS_MISSING, number, 0, 0, 0});
        }
    }
    if (mark->offset == 0 || letter_index_find(r->index, mark->file) != NULL) return;
    add_damage(r, (struct letter_damage){LETTERS_MISSING, mark->file, 0, 0, 0});
}

/* Counts the letters that exist after all files were read. */
static void
count_found(struct index_reader *r)
{
    struct letters_found *found = &r->index->found;
    for (uint32_t i = 0; i < r->index->count; i++) {
        const struct letter_volume *v = &r->index->volumes[i];
        found->missing += v->unread_count;
        for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
            found->kept[kind] += v->counts[LETTER_KEPT][kind];
            found->replaying[kind] += v->counts[LETTER_REPLAYING][kind];
        }
    }
    for (uint32_t i = 0; i < r->index->again.count; i++) {
        const struct letter_place *place = &r->index->again.slots[i].place;
        const struct letter_volume *v = letter_index_find(r->index, place->file);
        enum letter_state state = letter_volume_state(v, place->number);
        enum item_kind kind = letter_volume_kind(v, place->number);
        found->kept[kind] -= state == LETTER_KEPT;
        found->replaying[kind] -= state == LETTER_REPLAYING;
    }
}

enum err
letter_index_read(struct letter_index *index, struct env *env, const char *dir,
                  const struct letters_known *known, struct why *why)
{
    struct numbers n = {.count = 0};
    struct index_reader r = {.index = index, .known = known};
    if (known != NULL && known->mark.known) r.mark = &known->mark;
    buf_init(&n.all, index->memory, VOLUMES_MAX * sizeof(uint32_t));
    enum err e = env_listdir(env, dir, note_name, &n, why);
    if (e == ERR_LIMIT) why_set(why, e, "%s has too many files", dir);
    if (e == ERR_NOMEM) why_set(why, e, "%s: not enough memory for its file names", dir);
    if (e == OK && n.count > 0) qsort(n.all.at, n.count, sizeof(uint32_t), order_numbers);
    for (uint32_t i = 0; i < n.count && e == OK; i++) {
        char name[LETTER_FILE_NAME_BYTES], path[FILE_PATH_BYTES];
        uint32_t number = load_le32(n.all.at + i * sizeof(uint32_t));
        r.is_last = i + 1 == n.count;
        letter_file_name(number, name);
        e = path_join(path, sizeof path, dir, name);
        if (e == OK) e = letter_index_append(index, number);
        if (e)
            why_set(why, e, "%s/%s", dir, name);
        else
            e = read_volume(&r, env, path, why);
    }
    if (e == OK || e == ERR_MISSING) {
        if (r.mark != NULL && !r.passed && pass_mark(&r) != OK) e = ERR_NOMEM;
        if (r.mark != NULL) find_missing(&r);
        count_found(&r);
    }
    buf_fini(&n.all);
    return e;
}

void
letter_volume_see_missing(struct letter_volume *v)
{
    for (uint32_t i = 0; i < v->letter_count && v->unread_count > 0; i++) {
        if (letter_volume_state(v, i) == LETTER_UNREAD) see_gone(v, i);
    }
}

void
letter_index_validate(const struct letter_index *index)
{
    for (uint32_t i = 0; i < index->count; i++) {
        const struct letter_volume *v = &index->volumes[i];
        uint32_t counts[LETTER_STATE_COUNT][ITEM_KIND_COUNT] = {{0}};
        assert(i == 0 || index->volumes[i - 1].number < v->number);              /* invariant 1 */
        assert(v->letter_count == 0 || (v->letter_count - 1) / 2 < v->capacity); /* invariant 3 */
        if (v->unread_count > 0) continue; /* these look like given ones */
        for (uint32_t n = 0; n < v->letter_count; n++) {
            enum letter_state state = letter_volume_state(v, n);
            if (state != LETTER_GONE) counts[state][letter_volume_kind(v, n)]++;
        }
        assert(memcmp(counts, v->counts, sizeof counts) == 0); /* invariant 2 */
    }
}
