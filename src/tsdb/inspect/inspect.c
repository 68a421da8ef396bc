/*
 * inspect.c - shared by all files of inspection: the meaning of a path, words, remarks.
 *
 * Remarks are bounded: a damaged place that is among the last remarks is not repeated.
 */
#include "tsdb/inspect/inspect.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/hash/hash.h"
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
