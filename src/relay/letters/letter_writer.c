/*
 * letter_writer.c - see letter_writer.h. Format: docs/format/relay.md.
 *
 * Entries wait in memory until a sync writes them after the durable ones, as one batch. If that
 * fails, the same bytes are written to the same place again, because after a failed sync it is
 * unknown what is on disk. It is unknown after a restart too: so the last batch found then waits
 * for the next sync like a new one, with holes in place of entries torn by a crash. Bytes before
 * the position that the state knows are durable and need no second sync.
 *
 * Invariants:
 * 1. The newest volume of the index is the one that is written to: `bytes` of it are durable, and
 *    `pending` follows them.
 * 2. Nothing waits if there is no volume.
 * 3. A file is begun only when all of the one before it is synced.
 * 4. Offsets of letters fit into 32 bits.
 */
#include "relay/letters/letter_writer.h"

#include <assert.h>

#include "relay/state/directory.h"

enum {
    BATCH_BYTES = 256 * 1024, /* a batch of this size is written */
    PENDING_BYTES_MAX = 64 * 1024 * 1024,
    PENDING_KEEP_BYTES = 1024 * 1024,
    FILES_OF_AGE = 8, /* files per maximum age, so that old letters are removed in steps */
};

enum err
letter_writer_init(struct letter_writer *w, struct env *env, const char *dir, struct budget *memory,
                   struct why *why)
{
    *w = (struct letter_writer){.env = env, .memory = memory, .dir = dir, .file = FILE_CLOSED};
    letter_index_init(&w->index, memory);
    buf_init(&w->pending, memory, PENDING_BYTES_MAX);
    buf_init(&w->scratch, memory, LETTER_ENTRY_BYTES_MAX);
    buf_init(&w->runs, memory, LETTER_ENTRY_BYTES_MAX);
    return path_in(w->path, sizeof w->path, dir, RELAY_LETTERS_NAME, why);
}

void
letter_writer_fini(struct letter_writer *w)
{
    err_ignore(file_close(&w->file), "what was not synced is abandoned");
    letter_index_fini(&w->index);
    buf_fini(&w->pending);
    buf_fini(&w->scratch);
    buf_fini(&w->runs);
}

enum err
letter_writer_path(const struct letter_writer *w, uint32_t number, char to[LETTER_FILE_PATH_BYTES],
                   struct why *why)
{
    char name[LETTER_FILE_NAME_BYTES];
    letter_file_name(number, name);
    return path_in(to, LETTER_FILE_PATH_BYTES, w->path, name, why);
}

/*
 * Treats the last batch found as one that was never synced. Torn entries are replaced by holes, and
 * cut off at the end, so that from now on all of the file can be read.
 */
enum err
letter_writer_begin(struct letter_writer *w, struct why *why)
{
    struct letter_volume *v = letter_index_newest(&w->index);
    if (v == NULL) return OK;
    bool cut = !v->damaged && v->bytes > v->whole_bytes;
    if (v->whole_bytes == v->batch_bytes && !cut) return OK;
    char path[LETTER_FILE_PATH_BYTES];
    struct letter_scan scan;
    enum err e = letter_writer_path(w, v->number, path, why);
    if (e == OK) e = letter_scan_open(&scan, w->env, path, w->memory, why);
    if (e) return e;
    e = letter_scan_mend(&scan, v->batch_bytes, v->whole_bytes, &w->pending, why);
    letter_scan_close(&scan);
    if (e == ERR_CORRUPT) { /* damage that a crash does not leave: the file stays as it is */
        buf_clear(&w->pending);
        v->clean = false;
        return OK;
    }
    if (e) return e;
    v->clean = !v->damaged;
    v->bytes = v->batch_bytes;
    w->tail = cut ? TAIL_CUT : TAIL_WAITS;
    return OK;
}

bool
letter_writer_is_synced(const struct letter_writer *w)
{
    return w->pending.size == 0 && w->tail == TAIL_WRITTEN;
}

struct letter_pos
letter_writer_end_pos(const struct letter_writer *w)
{
    const struct letter_volume *v = letter_index_newest(&w->index);
    if (v == NULL) return (struct letter_pos){w->number_min - 1, 0};
    return (struct letter_pos){v->number, v->bytes};
}

/*
 * After a failed sync of a directory, another one that succeeds proves nothing unless something has
 * changed since. After a restart the outcome of the last one is unknown.
 */
enum err
letter_writer_sync_names(struct letter_writer *w, struct why *why)
{
    enum err e = OK;
    if (!w->names_durable) {
        struct file file;
        char path[LETTER_FILE_PATH_BYTES];
        e = path_in(path, sizeof path, w->path, "names.tmp", why);
        if (e) return e;
        e = file_open(w->env, path, FILE_REPLACE, &file, why);
        if (e) return e;
        err_ignore(file_close(&file), "nothing is in it");
        e = env_unlink(w->env, path, why);
    }
    if (e == OK) e = env_syncdir(w->env, w->path, why);
    w->names_durable = e == OK;
    return e;
}

static enum err
open_newest(struct letter_writer *w, struct letter_volume *v, struct why *why)
{
    char path[LETTER_FILE_PATH_BYTES];
    enum err e = letter_writer_path(w, v->number, path, why);
    if (e) return e;
    if (v->made) {
        e = file_open(w->env, path, FILE_UPDATE, &w->file, why);
        if (e == OK) return w->names_durable ? OK : letter_writer_sync_names(w, why);
        /* If the file was removed from outside, at least new entries are kept. */
        if (e != ERR_MISSING) return e;
    }
    v->made = false;
    /* An empty directory is made again, as it is unknown whether its name is durable. */
    if (w->index.count == 1) {
        err_ignore(env_rmdir(w->env, w->path, NULL), "it is not there, or something is in it");
    }
    e = env_mkdir(w->env, w->path, why);
    if (e == OK) e = env_syncdir(w->env, w->dir, why);
    if (e == OK) e = env_unlink(w->env, path, why); /* left by a failed attempt */
    if (e == OK) e = file_open(w->env, path, FILE_CREATE, &w->file, why);
    if (e == OK) e = letter_writer_sync_names(w, why);
    v->made = e == OK;
    return e;
}

enum err
letter_writer_sync(struct letter_writer *w, struct why *why)
{
    if (letter_writer_is_synced(w)) return OK;
    struct letter_volume *v = letter_index_newest(&w->index);
    assert(v != NULL);   /* invariant 2 */
    assert(!v->leaving); /* invariant 1 */
    enum err e = w->file.handle >= 0 ? OK : open_newest(w, v, why);
    if (e == OK) e = file_write_at(&w->file, buf_bytes(&w->pending), v->bytes, why);
    if (e == OK && w->tail == TAIL_CUT)
        e = file_truncate(&w->file, v->bytes + w->pending.size, why);
    if (e == OK) e = file_datasync(&w->file, why);
    if (e) {
        err_ignore(file_close(&w->file), "it is opened and written again");
        return e;
    }
    v->bytes += w->pending.size;
    w->tail = TAIL_WRITTEN;
    buf_clear(&w->pending);
    if (w->pending.capacity > PENDING_KEEP_BYTES) {
        buf_fini(&w->pending);
        buf_init(&w->pending, w->memory, PENDING_BYTES_MAX);
    }
    return OK;
}

/* Begins another file, whose header waits to be written. */
static enum err
begin_volume(struct letter_writer *w, struct why *why)
{
    const struct letter_volume *v = letter_index_newest(&w->index);
    uint32_t number = v == NULL ? w->number_min : v->number + 1;
    assert(w->pending.size == 0);    /* invariant 3 */
    assert(w->tail == TAIL_WRITTEN); /* invariant 3 */
    if (number != 0 && number < w->number_min) number = w->number_min;
    if (number == 0) return why_set(why, ERR_LIMIT, "%s: no file numbers are left", w->path);
    enum err e = buf_reserve(&w->pending, LETTER_FILE_HEADER_BYTES) ? OK : ERR_NOMEM;
    if (e == OK) e = letter_index_append(&w->index, number);
    if (e) return why_set(why, e, "not enough memory for dead letters");
    letter_header_put(&w->pending);
    err_ignore(file_close(&w->file), "all of it is synced");
    return OK;
}

/* Writes what waits, and ends the file with an entry which says that it is complete. */
static enum err
end_volume(struct letter_writer *w, struct why *why)
{
    const struct letter_volume *v = letter_index_newest(&w->index);
    enum err e = letter_writer_sync(w, why);
    if (e || v == NULL || !v->clean) return e;
    static const uint8_t end[] = {ENTRY_END};
    e = letter_entry_put(&w->pending, bytes_of(end, sizeof end), (uint32_t)v->bytes);
    return e ? why_set(why, e, "not enough memory for dead letters") : letter_writer_sync(w, why);
}

/* True if an entry of so many bytes fits into the newest file. */
static bool
fits(const struct letter_writer *w, size_t size)
{
    const struct letter_volume *v = letter_index_newest(&w->index);
    if (v == NULL || !v->clean) return false;
    uint64_t bytes = v->bytes + w->pending.size;
    return bytes <= LETTER_FILE_HEADER_BYTES ||
           bytes + LETTER_ENTRY_HEADER_BYTES + size <= w->file_bytes_max;
}

/* True if a letter is much younger than the first of the newest file: a file is removed as a whole,
 * so it would keep the old letters as long as the young ones. */
static bool
is_of_age(const struct letter_writer *w, int64_t failed_ms)
{
    const struct letter_volume *v = letter_index_newest(&w->index);
    int64_t age_ms;
    if (w->max_age_ms == 0 || v == NULL || v->letter_count == 0) return false;
    if (__builtin_sub_overflow(failed_ms, v->oldest_ms, &age_ms)) return true;
    return age_ms > w->max_age_ms / FILES_OF_AGE;
}

/* Makes room for an entry of so many bytes in the batch and in a file. A batch of before the
 * restart is written first. */
static enum err
make_room(struct letter_writer *w, size_t size, bool end, struct why *why)
{
    enum err e = OK;
    if (w->pending.size >= BATCH_BYTES || w->tail != TAIL_WRITTEN) e = letter_writer_sync(w, why);
    if (e || (!end && fits(w, size))) return e;
    e = end_volume(w, why);
    return e ? e : begin_volume(w, why);
}

/* Appends the scratch as an entry. */
static enum err
put_entry(struct letter_writer *w, struct why *why)
{
    const struct letter_volume *v = letter_index_newest(&w->index);
    assert(v != NULL); /* invariant 2 */
    enum err e = letter_entry_put(&w->pending, buf_bytes(&w->scratch), (uint32_t)v->bytes);
    return e ? why_set(why, e, "not enough memory for dead letters") : OK;
}

enum err
letter_writer_marks(struct letter_writer *w, enum letter_mark mark, uint32_t file,
                    struct bytes runs, struct why *why)
{
    buf_clear(&w->scratch);
    letter_marks_put(&w->scratch, mark, file, runs);
    enum err e = buf_error(&w->scratch);
    if (e) return why_set(why, e, "not enough memory for dead letters");
    e = make_room(w, w->scratch.size, false, why);
    return e ? e : put_entry(w, why);
}

enum err
letter_writer_mark(struct letter_writer *w, enum letter_mark mark, struct letter_place place,
                   struct why *why)
{
    uint8_t memory[16];
    struct buf own = {.at = memory, .capacity = sizeof memory, .limit = sizeof memory};
    struct letter_runs runs;
    letter_runs_begin(&runs, &own);
    letter_runs_add(&runs, place.number);
    letter_runs_end(&runs);
    assert(buf_error(&own) == OK); /* one run is at most two varints of 5 bytes */
    return letter_writer_marks(w, mark, place.file, buf_bytes(&own), why);
}

enum err
letter_writer_mark_states(struct letter_writer *w, uint32_t at, unsigned states,
                          enum letter_mark mark, struct why *why)
{
    const struct letter_volume *v = &w->index.volumes[at];
    struct letter_runs runs;
    buf_clear(&w->runs);
    letter_runs_begin(&runs, &w->runs);
    for (uint32_t i = 0; i < v->letter_count; i++) {
        if (states >> letter_volume_state(v, i) & 1) letter_runs_add(&runs, i);
    }
    letter_runs_end(&runs);
    enum err e = buf_error(&w->runs);
    if (e) return why_set(why, e, "not enough memory for dead letters");
    if (w->runs.size == 0) return OK;
    return letter_writer_marks(w, mark, v->number, buf_bytes(&w->runs), why);
}

enum err
letter_writer_letter(struct letter_writer *w, const struct dead_letter *letter,
                     struct letter_place replaces, struct letter_slot *ret_slot, struct why *why)
{
    /* A replaced letter is named even if it is gone: the mark that says so may be torn. */
    bool is_there = letter_index_state(&w->index, replaces) != LETTER_GONE;
    buf_clear(&w->scratch);
    letter_put(&w->scratch, replaces, letter);
    enum err e = buf_error(&w->scratch);
    if (e == ERR_LIMIT) return why_set(why, e, "a dead letter must be at most 16 MiB");
    if (e) return why_set(why, e, "not enough memory for dead letters");
    e = make_room(w, w->scratch.size, is_of_age(w, letter->failed_ms), why);
    if (e) return e;
    struct letter_volume *v = letter_index_newest(&w->index);
    uint32_t number = v->letter_count;
    e = letter_volume_reserve(&w->index, v, number);
    if (e) return why_set(why, e, "not enough memory for dead letters");
    letter_set_number(&w->scratch, number);
    uint64_t offset = v->bytes + w->pending.size;
    assert(offset <= UINT32_MAX); /* invariant 4 */
    e = put_entry(w, why);
    if (e) return e;
    letter_volume_add(v, number, letter->item.kind, letter->failed_ms);
    if (is_there) letter_index_set(&w->index, replaces, LETTER_GONE);
    *ret_slot =
        (struct letter_slot){letter->pos, letter->index, (uint32_t)offset, {v->number, number}};
    return OK;
}

enum err
letter_writer_end(struct letter_writer *w, struct why *why)
{
    enum err e = end_volume(w, why);
    if (e == OK) e = begin_volume(w, why);
    return e ? e : letter_writer_sync(w, why);
}
