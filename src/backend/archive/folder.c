/*
 * folder.c - an archive in a directory: see store.h.
 *
 * Directories are walked depth first, names in order; all names of the current directory and those
 * above it are in memory. Links are followed, at most DEPTH_MAX deep.
 */
#include "backend/archive/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/fetch/fetch.h"
#include "base/array.h"
#include "base/buf.h"

enum {
    DEPTH_MAX = 12,
    PATH_BYTES = FILE_PATH_BYTES,
    FOLDER_NAMES_BYTES_MAX = 64 << 20, /* names of one directory */
    PIECE_BYTES = 256 * 1024,
    YOUNG_MS = 5000,
};

struct folder {
    struct archive_store store; /* first: it is handed out */
    struct env *env;
    struct budget *memory;
    struct source_counts *counts;
    char root[PATH_BYTES];
};

bool
archive_name_counts(struct bytes name)
{
    static const char tmp[] = ".tmp";
    const uint8_t *slash = memrchr(name.at, '/', name.size);
    size_t from = slash == NULL ? 0 : (size_t)(slash - name.at) + 1;
    struct bytes base = bytes_of(name.at + from, name.size - from);
    if (base.size == 0 || base.at[0] == '_' || base.at[0] == '.') return false;
    size_t size = sizeof tmp - 1;
    return base.size < size || memcmp(base.at + base.size - size, tmp, size) != 0;
}

/* --- listing ---------------------------------------------------------------------------------- */

struct folder_entry {
    uint32_t at; /* position of its name, which ends in NUL */
    bool is_dir;
};

struct level {
    struct buf names;
    struct folder_entry *entries;
    uint32_t count, capacity, next;
    size_t path_size; /* length of the directory's path below the root */
};

struct folder_listing {
    struct archive_listing base; /* first: it is handed out */
    struct folder *of;
    char path[PATH_BYTES]; /* the current directory, below the root; ends in '/' unless empty */
    struct level levels[DEPTH_MAX];
    uint32_t depth; /* levels in use */
};

static enum err
take_name(void *context, const char *name, bool is_dir)
{
    struct folder_listing *l = context;
    struct level *level = &l->levels[l->depth - 1];
    if (name[0] == '.') return OK;
    if (!array_reserve(l->base.scope.budget, &level->entries, &level->capacity, level->count + 1))
        return ERR_NOMEM;
    level->entries[level->count++] = (struct folder_entry){(uint32_t)level->names.size, is_dir};
    buf_put(&level->names, name, strlen(name) + 1);
    return buf_error(&level->names);
}

/* Compares as whole paths do: with the slash after the name of a directory. */
static int
compare_names(const void *a, const void *b, void *level)
{
    const struct folder_entry *x = a, *y = b;
    const struct buf *names = &((struct level *)level)->names;
    const uint8_t *p = names->at + x->at, *q = names->at + y->at;
    while (*p == *q && *p != 0)
        p++, q++;
    int left = *p == 0 && x->is_dir ? '/' : *p, right = *q == 0 && y->is_dir ? '/' : *q;
    return left - right;
}

/* Reads the directory l->path. A directory that was removed meanwhile is empty, except the root. */
static enum err
enter(struct folder_listing *l, struct why *why)
{
    char path[2 * PATH_BYTES];
    if (l->depth == DEPTH_MAX) {
        return why_set(why, ERR_LIMIT, "%s/%s: more than %d directories in one another",
                       l->of->root, l->path, DEPTH_MAX);
    }
    struct level *level = &l->levels[l->depth++];
    buf_clear(&level->names);
    level->count = level->next = 0;
    level->path_size = strlen(l->path);
    snprintf(path, sizeof path, "%s/%s", l->of->root, l->path);
    enum err e = env_listdir(l->of->env, path, take_name, l, why);
    if (e == ERR_MISSING && l->depth > 1) e = OK;
    if (e == ERR_NOMEM || e == ERR_LIMIT) return fetch_no_memory(why);
    if (e) return e == ERR_MISSING ? ERR_IO : e;
    if (level->count > 0)
        qsort_r(level->entries, level->count, sizeof *level->entries, compare_names, level);
    return OK;
}

static void
free_listing(struct archive_listing *listing)
{
    struct folder_listing *l = (struct folder_listing *)listing;
    if (l == NULL) return;
    for (uint32_t i = 0; i < DEPTH_MAX; i++) {
        buf_fini(&l->levels[i].names);
        array_free(l->base.scope.budget, l->levels[i].entries, l->levels[i].capacity);
    }
    mem_free(l->base.scope.budget, l, sizeof *l);
}

static enum err
folder_list(struct archive_store *store, const struct archive_scope *scope,
            struct archive_listing **ret_listing, struct why *why)
{
    struct folder_listing *l = mem_new(scope->budget, sizeof *l);
    if (l == NULL) return fetch_no_memory(why);
    l->base = (struct archive_listing){*scope};
    l->of = (struct folder *)store;
    for (uint32_t i = 0; i < DEPTH_MAX; i++)
        buf_init(&l->levels[i].names, scope->budget, FOLDER_NAMES_BYTES_MAX);
    atomic_fetch_add_explicit(&l->of->counts->listings, 1, memory_order_relaxed);
    enum err e = enter(l, why);
    if (e)
        free_listing(&l->base);
    else
        *ret_listing = &l->base;
    return e;
}

/* Makes the tag of a file's content. *ret_is_file is false if it was removed, or is not a file. */
static enum err
look_at_file(struct folder_listing *l, struct archive_object *o, bool *ret_is_file, struct why *why)
{
    char path[2 * PATH_BYTES];
    struct file_facts facts;
    struct file file;
    *ret_is_file = false;
    enum err e = path_in(path, sizeof path, l->of->root, o->key, why);
    if (e) return ERR_IO;
    e = env_facts(l->of->env, path, &facts, why);
    if (e == ERR_MISSING) return OK;
    if (e) return e;
    if (facts.kind != FILE_KIND_PLAIN) return OK; /* opening a pipe would wait for its writer */
    e = file_open(l->of->env, path, FILE_READ, &file, why);
    if (e == ERR_MISSING) return OK;
    if (e) return e == ERR_LIMIT ? ERR_IO : e;
    e = file_size(&file, &o->size, why);
    file_close(&file);
    if (e) return e;
    snprintf(o->tag, sizeof o->tag, "%" PRIx64 "-%" PRIx64 "-%" PRIx64 "-%" PRIx64, facts.number,
             (uint64_t)facts.born_ns, (uint64_t)facts.changed_ns, (uint64_t)facts.modified_ns);
    int64_t age_ms = env_realtime_ms(l->of->env) - facts.changed_ns / NS_PER_MS;
    o->is_young = age_ms < YOUNG_MS;
    *ret_is_file = o->size > 0;
    return OK;
}

/* Takes the next name of the current level: enters a directory, or looks at a file. */
static enum err
step(struct folder_listing *l, struct archive_object *o, bool *ret_found, struct why *why)
{
    struct level *level = &l->levels[l->depth - 1];
    const struct folder_entry *entry = &level->entries[level->next++];
    const char *name = (const char *)level->names.at + entry->at;
    char path[2 * PATH_BYTES];
    *ret_found = false;
    l->path[level->path_size] = '\0';
    int size = snprintf(path, sizeof path, "%s%s", l->path, name);
    if ((size_t)size + strlen(l->of->root) + 2 > PATH_BYTES)
        return why_set(why, ERR_IO, "%s/%.100s: the path is too long", l->of->root, path);
    struct bytes whole = bytes_of(path, (size_t)size);
    if (entry->is_dir) {
        if (!hours_may_be_in(&l->base.scope.hours, whole)) return OK;
        memcpy(l->path, path, (size_t)size);
        memcpy(l->path + size, "/", 2);
        return enter(l, why);
    }
    if (!archive_name_counts(whole) || !hours_have_name(&l->base.scope.hours, whole)) return OK;
    memcpy(o->key, path, (size_t)size + 1);
    return look_at_file(l, o, ret_found, why);
}

static enum err
next(struct archive_listing *listing, struct archive_object *ret, bool *ret_more, struct why *why)
{
    struct folder_listing *l = (struct folder_listing *)listing;
    enum err e = OK;
    *ret_more = false;
    while (e == OK && !*ret_more && l->depth > 0) {
        struct level *level = &l->levels[l->depth - 1];
        if (level->next == level->count)
            l->depth--;
        else
            e = step(l, ret, ret_more, why);
        if (e == OK) e = query_control_check(l->base.scope.control, why);
    }
    return e;
}

/* --- reading ---------------------------------------------------------------------------------- */

struct folder_range {
    struct archive_range base; /* first: it is handed out */
    struct folder *of;
    struct file file;
    uint64_t at, end;
    uint8_t piece[PIECE_BYTES];
};

static void
folder_close_range(struct archive_range *range)
{
    struct folder_range *r = (struct folder_range *)range;
    if (r == NULL) return;
    file_close(&r->file);
    mem_free(r->base.budget, r, sizeof *r);
}

static enum err
folder_open_range(struct archive_store *store, const struct archive_scope *scope,
                  const struct archive_object *object, uint64_t offset, uint64_t size,
                  struct archive_range **ret_range, struct why *why)
{
    char path[2 * PATH_BYTES];
    struct folder_range *r = mem_alloc(scope->budget, sizeof *r);
    if (r == NULL) return fetch_no_memory(why);
    r->base = (struct archive_range){scope->budget};
    r->of = (struct folder *)store;
    r->file = FILE_CLOSED;
    r->at = offset;
    r->end = offset + size;
    enum err e = path_in(path, sizeof path, r->of->root, object->key, why);
    if (e == OK) e = file_open(r->of->env, path, FILE_READ, &r->file, why);
    if (e == ERR_MISSING) e = ERR_AGAIN; /* the file existed when it was listed */
    if (e)
        folder_close_range(&r->base);
    else
        *ret_range = &r->base;
    return e;
}

static enum err
folder_read_range(struct archive_range *range, struct bytes *ret_piece, struct why *why)
{
    struct folder_range *r = (struct folder_range *)range;
    uint64_t left = r->end - r->at;
    size_t size = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES, got = 0;
    *ret_piece = bytes_of(NULL, 0);
    if (size == 0) return OK;
    enum err e = file_read_some(&r->file, r->piece, size, r->at, &got, why);
    if (e) return e;
    if (got < size) return why_set(why, ERR_AGAIN, "%s: became shorter", r->file.path);
    r->at += got;
    atomic_fetch_add_explicit(&r->of->counts->bytes, got, memory_order_relaxed);
    *ret_piece = bytes_of(r->piece, got);
    return OK;
}

/* --- the store -------------------------------------------------------------------------------- */

static void
free_folder(struct archive_store *store)
{
    struct folder *f = (struct folder *)store;
    mem_free(f->memory, f, sizeof *f);
}

enum err
archive_folder_new(const struct reader_options *options, struct archive_store **ret_store,
                   struct why *why)
{
    static const struct archive_store_ops ops = {
        .list = folder_list,
        .next = next,
        .free_listing = free_listing,
        .open = folder_open_range,
        .read = folder_read_range,
        .close = folder_close_range,
        .free = free_folder,
    };
    const struct archive_settings *x = &options->settings->u.archive;
    struct folder *f = mem_new(options->memory, sizeof *f);
    if (f == NULL) return fetch_no_memory(why);
    f->store.ops = &ops;
    f->env = options->env;
    f->memory = options->memory;
    f->counts = options->counts;
    int size = snprintf(f->root, sizeof f->root, "%s%s%s", x->path, x->prefix == NULL ? "" : "/",
                        x->prefix == NULL ? "" : x->prefix);
    if (size < 0 || size >= PATH_BYTES) {
        free_folder(&f->store);
        return why_set(why, ERR_INPUT, "path and prefix are too long");
    }
    while (size > 1 && f->root[size - 1] == '/')
        f->root[--size] = '\0';
    *ret_store = &f->store;
    return OK;
}
