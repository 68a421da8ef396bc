/*
 * letter_index.c - the files are read in the order of their numbers, and each from its begin: what
 * an entry says of a letter is true until a later one says otherwise.
 */
#include "relay/letter_index.h"

#include <assert.h>
#include <stdlib.h>

enum { VOLUMES_MAX = 1 << 20, NIBBLES_FIRST_BYTES = 64, STATE_BITS = 2 };

_Static_assert(LETTER_STATE_COUNT <= 4 && ITEM_KIND_COUNT <= 4, "state and kind are a nibble");

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
    mem_free(index->memory, index->volumes, index->capacity * sizeof *index->volumes);
    index->volumes = NULL;
    index->capacity = 0;
}

/* --- volumes ---------------------------------------------------------------------------------- */

enum err
letter_index_append(struct letter_index *index, uint32_t number)
{
    assert(index->count == 0 || index->volumes[index->count - 1].number < number);
    if (index->count == index->capacity) {
        uint32_t capacity = index->capacity == 0 ? 16 : 2 * index->capacity;
        size_t size = sizeof *index->volumes;
        void *grown =
            mem_resize(index->memory, index->volumes, index->capacity * size, capacity * size);
        if (grown == NULL) return ERR_NOMEM;
        index->volumes = grown;
        index->capacity = capacity;
    }
    index->volumes[index->count++] = (struct letter_volume){.number = number, .clean = true};
    return OK;
}

void
letter_index_remove(struct letter_index *index, uint32_t at)
{
    struct letter_volume *v = &index->volumes[at];
    mem_free(index->memory, v->nibbles, v->capacity);
    index->count--;
    memmove(v, v + 1, (index->count - at) * sizeof *v);
}

struct letter_volume *
letter_index_find(const struct letter_index *index, uint32_t number)
{
    uint32_t low = 0, high = index->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (index->volumes[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < index->count && index->volumes[low].number == number ? &index->volumes[low] : NULL;
}

struct letter_volume *
letter_index_newest(const struct letter_index *index)
{
    return index->count == 0 ? NULL : &index->volumes[index->count - 1];
}

/* --- letters ---------------------------------------------------------------------------------- */

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
    size_t needed = (size_t)number / 2 + 1;
    if (needed <= v->capacity) return OK;
    size_t capacity = v->capacity == 0 ? NIBBLES_FIRST_BYTES : v->capacity;
    while (capacity < needed) {
        capacity *= 2;
    }
    void *grown = mem_resize(index->memory, v->nibbles, v->capacity, capacity);
    if (grown == NULL) return ERR_NOMEM;
    v->nibbles = grown;
    memset(v->nibbles + v->capacity, 0, capacity - v->capacity);
    v->capacity = capacity;
    return OK;
}

void
letter_volume_add(struct letter_volume *v, uint32_t number, enum item_kind kind, int64_t failed_ms)
{
    assert(number >= v->letter_count);
    if (v->letter_count == 0 || failed_ms < v->oldest_ms) v->oldest_ms = failed_ms;
    if (v->letter_count == 0 || failed_ms > v->youngest_ms) v->youngest_ms = failed_ms;
    v->letter_count = number + 1;
    set_nibble(v, number, LETTER_KEPT | (unsigned)kind << STATE_BITS);
    v->counts[LETTER_KEPT][kind]++;
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
    assert(before != LETTER_GONE);
    v->counts[before][kind]--;
    if (state != LETTER_GONE) v->counts[state][kind]++;
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

/* A letter that was replaced lies in an older file, or before its successor; one that is gone from
 * there need not be forgotten. */
static void
forget_replaced(const struct letter_index *index, struct letter_place place)
{
    struct letter_volume *v = place.file == 0 ? NULL : letter_index_find(index, place.file);
    if (v != NULL && letter_volume_state(v, place.number) != LETTER_GONE) {
        letter_volume_set(v, place.number, LETTER_GONE);
    }
}

static void
apply_marks(const struct letter_index *index, const struct letter_entry *entry)
{
    struct letter_volume *v = letter_index_find(index, entry->file);
    struct cursor runs = cursor_of(entry->runs);
    uint32_t behind = 0, first, count;
    enum letter_state to = entry->mark == MARK_REPLAYING ? LETTER_REPLAYING : LETTER_GONE;
    while (v != NULL && letter_runs_next(&runs, &behind, &first, &count)) {
        for (uint32_t i = 0; i < count && first + i < v->letter_count; i++) {
            if (letter_volume_state(v, first + i) != LETTER_GONE)
                letter_volume_set(v, first + i, to);
        }
    }
}

static enum err
fold(struct letter_index *index, struct letter_volume *v, const struct letter_entry *entry)
{
    if (entry->type == ENTRY_MARKS) apply_marks(index, entry);
    if (entry->type != ENTRY_LETTER) return OK;
    enum err e = letter_volume_reserve(index, v, entry->number);
    if (e) return e;
    forget_replaced(index, entry->replaces);
    letter_volume_add(v, entry->number, entry->letter.item.kind, entry->letter.failed_ms);
    return OK;
}

static enum err
read_volume(struct letter_index *index, struct env *env, const char *path,
            enum err (*each)(void *context, const struct letter_volume *volume,
                             const struct letter_entry *letter),
            void *context, struct why *why)
{
    struct letter_volume *v = letter_index_newest(index);
    struct letter_scan scan;
    const struct letter_entry *entry;
    enum err e = letter_scan_open(&scan, env, path, index->memory, why);
    if (e) return e == ERR_MISSING ? why_set(why, ERR_AGAIN, "%s went", path) : e;
    while ((e = letter_scan_next(&scan, &entry, why)) == OK) {
        e = fold(index, v, entry);
        if (e) why_set(why, e, "%s: no memory for its letters", path);
        if (e == OK && each != NULL && entry->type == ENTRY_LETTER) e = each(context, v, entry);
        if (e) break;
    }
    v->bytes = scan.end;
    v->whole_bytes = scan.whole_end;
    v->batch_bytes = scan.batch_at;
    v->made = true;
    v->clean = scan.clean;
    index->damaged += scan.damaged;
    letter_scan_close(&scan);
    return e == ERR_MISSING ? OK : e;
}

enum err
letter_index_read(struct letter_index *index, struct env *env, const char *dir,
                  enum err (*each)(void *context, const struct letter_volume *volume,
                                   const struct letter_entry *letter),
                  void *context, struct why *why)
{
    struct numbers n = {.count = 0};
    buf_init(&n.all, index->memory, VOLUMES_MAX * sizeof(uint32_t));
    enum err e = env_listdir(env, dir, note_name, &n, why);
    if (e == ERR_LIMIT) why_set(why, e, "%s has too many files", dir);
    if (e == ERR_NOMEM) why_set(why, e, "%s: no memory for its names", dir);
    if (e == OK && n.count > 0) qsort(n.all.at, n.count, sizeof(uint32_t), order_numbers);
    for (uint32_t i = 0; i < n.count && e == OK; i++) {
        char name[LETTER_FILE_NAME_BYTES], path[sizeof(((struct file *)0)->path)];
        uint32_t number = load_le32(n.all.at + i * sizeof(uint32_t));
        letter_file_name(number, name);
        e = path_join(path, sizeof path, dir, name);
        if (e == OK) e = letter_index_append(index, number);
        if (e)
            why_set(why, e, "%s/%s", dir, name);
        else
            e = read_volume(index, env, path, each, context, why);
    }
    buf_fini(&n.all);
    return e;
}
