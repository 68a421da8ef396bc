/*
 * inspect.c - shared by all files of inspection: the meaning of a path, words, remarks, rankings.
 *
 * Remarks are bounded: a damaged place that is among the last remarks is not repeated.
 * A ranking is a heap whose top is the least of the largest entries, so it takes memory for `top`
 * entries however many are offered, and copies only their texts.
 *
 * Invariants of a ranking:
 * 1. It has at most `capacity` entries, and at most as many as were offered.
 * 2. Without a free place, top_put() replaces an entry of lower rank, as top_offer() has found.
 */
#include "tsdb/inspect/inspect.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/hash/hash.h"
#include "base/heap.h"
#include "model/storage_layout.h"
#include "tsdb/inspect/inspect_private.h"

/* --- words ------------------------------------------------------------------------------------ */

const char *
inspect_page_word(unsigned kind)
{
    static const char *const words[INSPECT_PAGE_KINDS] = {
        [PAGE_TIMES] = "times",         [PAGE_VALUES] = "values",
        [PAGE_ROWS] = "rows",           [PAGE_LABEL_VALUES] = "label values",
        [PAGE_POSTINGS] = "postings",   [PAGE_NAMES] = "names",
        [PAGE_EXEMPLARS] = "exemplars", [PAGE_METADATA] = "metadata",
        [PAGE_DIRECTORY] = "directory", [PAGE_ROOT] = "root",
    };
    return kind < INSPECT_PAGE_KINDS ? words[kind] : NULL;
}

_Static_assert(PAGE_ROOT + 1 == INSPECT_PAGE_KINDS, "docs/format/part.md: a word for each kind");

const char *
inspect_form_word(enum inspect_form form)
{
    static const char *const words[INSPECT_FORM_COUNT] = {
        [INSPECT_CONSTANT] = "constant",
        [INSPECT_DECIMAL] = "decimal",
        [INSPECT_CORRECTED] = "decimal with corrections",
        [INSPECT_BITS] = "bits",
        [INSPECT_HISTOGRAM_INT] = "integer histograms",
        [INSPECT_HISTOGRAM_FLOAT] = "float histograms",
        [INSPECT_UNREADABLE] = "unreadable",
    };
    return words[form];
}

const char *
inspect_mode_word(unsigned mode)
{
    static const char *const words[INSPECT_MODES] = {"plain", "delta", "delta of deltas", "line"};
    return words[mode % INSPECT_MODES];
}

const char *
inspect_record_word(unsigned type)
{
    static const char *const words[WAL_TYPE_LAST + 1] = {
        "unknown",   "commit",   "series", "floats",  "histograms",
        "exemplars", "metadata", "ledger", "padding", "own",
    };
    return words[type <= WAL_TYPE_LAST ? type : 0];
}

const char *
inspect_segment_word(enum wal_segment_state state)
{
    static const char *const words[] = {"live", "void", "blank", "damaged", "set aside"};
    return words[state];
}

const char *
inspect_end_word(enum wal_segment_end end)
{
    static const char *const words[] = {
        "clean: ends where the next segment's header says",
        "clean: ends with the file",
        "clean: followed by zeros, nothing was written after it",
        "torn: an incomplete commit, or one being written",
        ("clean: followed by bytes of an earlier use of the file, or by the first bytes of a torn "
         "commit"),
    };
    return words[end];
}

/* --- paths ------------------------------------------------------------------------------------ */

enum err
inspect_file_bytes(struct env *env, const char *dir, const char *name, uint64_t *ret_bytes)
{
    char path[256];
    struct file file = FILE_CLOSED;
    enum err e = path_join(path, sizeof path, dir, name);
    if (e == OK) e = file_open(env, path, FILE_READ, &file, NULL);
    if (e == OK) e = file_size(&file, ret_bytes, NULL);
    file_close(&file);
    return e;
}

/* "a/b/c" to "a/b" and "c"; "c" alone is in ".". */
static void
split(const char *path, char dir[256], char name[256])
{
    const char *slash = strrchr(path, '/');
    snprintf(name, 256, "%s", slash == NULL ? path : slash + 1);
    if (slash == NULL)
        snprintf(dir, 256, ".");
    else
        snprintf(dir, 256, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

static bool
file_is_there(struct env *env, const char *dir, const char *name)
{
    uint64_t bytes;
    return inspect_file_bytes(env, dir, name, &bytes) == OK;
}

static bool
is_storage(struct env *env, const char *dir)
{
    return file_is_there(env, dir, STORAGE_FORMAT) || file_is_there(env, dir, STORAGE_MANIFEST);
}

enum err
inspect_path(struct env *env, const char *path, struct inspect_target *ret, struct why *why)
{
    struct inspect_target t = {.kind = INSPECT_DIRECTORY};
    char plain[256], name[256];
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    if (size == 0) return why_set(why, ERR_MISSING, "path is empty");
    if (size >= sizeof plain) return why_set(why, ERR_LIMIT, "%.200s: path is too long", path);
    snprintf(plain, sizeof plain, "%.*s", (int)size, path);
    split(plain, t.dir, name);
    if (strcmp(name, "part") == 0) {
        snprintf(plain, sizeof plain, "%s", t.dir);
        split(plain, t.dir, name);
    }
    if (wal_segment_name(name, &t.number)) {
        t.kind = INSPECT_SEGMENT;
    } else if (storage_part_of(name, &t.number) <= STORAGE_PART_DAMAGED &&
               !is_storage(env, plain)) {
        t.kind = INSPECT_PART;
        snprintf(t.name, sizeof t.name, "%.60s", name);
        if (!file_is_there(env, plain, "part")) {
            return why_set(why, ERR_MISSING, "%s: file 'part' not found", plain);
        }
    } else {
        enum err e = storage_check_restored(env, plain, why);
        if (e == OK && !is_storage(env, plain)) {
            e = why_set(why, ERR_MISSING,
                        "%.*s is not a Firekeep storage directory, part or log segment", (int)size,
                        path);
        }
        if (e) return e;
        snprintf(t.dir, sizeof t.dir, "%s", plain);
    }
    *ret = t;
    return OK;
}

/* --- repeated inspection ---------------------------------------------------------------------- */

bool
inspect_is_edited(const struct inspect_options *options, const char *dir, uint64_t edit)
{
    struct manifest now;
    struct arena arena;
    arena_init(&arena, options->memory, 0, 0);
    enum err e = manifest_read(options->env, dir, &arena, &now, NULL);
    arena_fini(&arena);
    return e == OK && now.edit != edit;
}

/* --- remarks ---------------------------------------------------------------------------------- */

const char *
arena_text(struct arena *arena, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = arena_alloc(arena, size);
    if (copy != NULL) memcpy(copy, text, size);
    return copy;
}

enum err
remark(struct inspect_remarks *r, struct arena *arena, enum remark_kind kind, const char *format,
       ...)
{
    char text[480];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (kind == REMARK_DAMAGE) {
        uint64_t hash = hash_bytes(bytes_of_text(text), 1), known = r->damage_count;
        for (uint64_t i = 0; i < known && i < INSPECT_REMARKS_MAX; i++) {
            if (r->recent[i] == hash) return OK;
        }
        r->recent[r->damage_count++ % INSPECT_REMARKS_MAX] = hash;
    }
    if (r->count == INSPECT_REMARKS_MAX) {
        r->left_out++;
        return OK;
    }
    const char *copy = arena_text(arena, text);
    if (copy == NULL) return ERR_NOMEM;
    r->items[r->count++] = (struct inspect_remark){kind == REMARK_DAMAGE, copy};
    return OK;
}

enum err
remark_if_damage(struct inspect_remarks *r, struct arena *arena, enum err e, const struct why *why)
{
    return e == ERR_CORRUPT ? remark(r, arena, REMARK_DAMAGE, "%s", why->text) : e;
}

/* --- rankings --------------------------------------------------------------------------------- */

enum { TEXT_BYTES_MAX = 16 * 1024 * 1024 };

enum err
top_init(struct top *t, struct budget *budget, uint32_t capacity)
{
    *t = (struct top){.budget = budget};
    t->heap = mem_new(budget, capacity * sizeof *t->heap);
    if (t->heap == NULL) return ERR_NOMEM;
    t->capacity = capacity;
    for (uint32_t i = 0; i < capacity; i++) {
        buf_init(&t->heap[i].text, budget, TEXT_BYTES_MAX);
    }
    return OK;
}

void
top_fini(struct top *t)
{
    for (uint32_t i = 0; i < t->capacity; i++) {
        buf_fini(&t->heap[i].text);
    }
    mem_free(t->budget, t->heap, t->capacity * sizeof *t->heap);
    *t = (struct top){0};
}

/* True if `a` is dropped before `b`. */
static bool
is_less(const struct top_entry *a, const struct top_entry *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->order > b->order;
}

bool
top_offer(struct top *t, uint64_t rank)
{
    t->offered++;
    return t->count < t->capacity || (t->count > 0 && rank > t->heap[0].rank);
}

enum err
top_put(struct top *t, uint64_t rank, const struct inspect_item *item)
{
    bool grows = t->count < t->capacity;
    assert(t->count < t->offered);           /* invariant 1 */
    assert(grows || rank > t->heap[0].rank); /* invariant 2 */
    struct top_entry *entry = &t->heap[grows ? t->count : 0];
    buf_clear(&entry->text);
    buf_put_bytes(&entry->text, item->text);
    if (buf_error(&entry->text)) return buf_error(&entry->text);
    entry->item = *item;
    entry->rank = rank;
    entry->order = t->offered;
    if (grows)
        heap_up(t->heap, t->count++, *entry, is_less(a, b));
    else
        heap_down(t->heap, t->count, 0, *entry, is_less(a, b));
    return OK;
}

enum err
top_take(struct top *t, struct arena *arena, struct inspect_ranking *ret)
{
    struct inspect_ranking r = {.count = t->count, .left_out = t->offered - t->count};
    r.items = arena_alloc(arena, (t->count + 1) * sizeof *r.items);
    if (r.items == NULL) return ERR_NOMEM;
    assert(t->count <= t->offered); /* invariant 1 */
    while (t->count > 0) {          /* the least is put last */
        struct top_entry least = t->heap[0];
        struct inspect_item *to = &r.items[--t->count];
        *to = least.item;
        to->text = arena_copy(arena, buf_bytes(&least.text));
        if (to->text.at == NULL && to->text.size > 0) return ERR_NOMEM;
        heap_down(t->heap, t->count, 0, t->heap[t->count], is_less(a, b));
        t->heap[t->count] = least; /* its text is freed with the heap */
    }
    t->offered = 0;
    *ret = r;
    return OK;
}
