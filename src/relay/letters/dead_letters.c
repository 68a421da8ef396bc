/*
 * dead_letters.c - the relay's half: one writer of a log of letters and marks.
 *
 *                 add() ---> KEPT --- a request: replay ---> REPLAYING --- next_replay() --> GIVEN
 *                             |  ^                                                             |
 *       a request: drop, budget, |  settle(refused): the same letter again, in a new place     |
 *              age, revoke() |   +-------------------------------------------------------------+
 *                             v                                                                |
 *                            GONE <-------------- settle(delivered) ---------------------------+
 *
 * What is said waits in memory until a sync writes it behind what is durable, as one batch; should
 * that fail, the same bytes are written to the same place again, because after a failed sync what
 * was written is not known to be there. Nor is it after a restart: so the last batch that is found
 * then waits for the next sync like a new one, with holes in the place of what a crash has left of
 * it; what the state knows is there needs neither.
 *
 * What cannot be read is lost: it is told once, and marks say that it is gone.
 *
 * Invariants:
 * 1. the last volume of the index is the one written to; of it `bytes` are durable, and `pending`
 *    is what comes behind them;
 * 2. a mark stands in the file of its letter or in a younger one. So a file in which nothing is
 *    alive may go only once its marks about older ones were made again;
 * 3. the number of a file never comes again: the youngest file goes only when the next is there;
 * 4. what was decided about a place is final: a letter that is one again gets a new place;
 * 5. a file goes only when the state, and the one before it, know that it is not needed: else the
 *    next start would miss its letters, or what its marks say.
 */
#include "relay/letters/dead_letters.h"

#include <assert.h>
#include <inttypes.h>

#include "relay/letters/letter_index.h"
#include "relay/letters/letter_request.h"
#include "relay/letters/letter_table.h"

enum {
    BATCH_BYTES = 256 * 1024, /* then it is written */
    PENDING_BYTES_MAX = 64 * 1024 * 1024,
    PENDING_KEEP_BYTES = 1024 * 1024,
    FILE_BYTES_MIN = 4 * 1024,
    FILES_OF_BUDGET = 8, /* of a small budget, and of an age: so much goes at once */
    FILES_OF_AGE = 8,
    KNOWN_MAX = 1024 * 1024,
    PATH_BYTES = sizeof(((struct file *)0)->path),
};

struct dead_letters {
    struct dead_letters_options options;
    char path[PATH_BYTES]; /* of the files' directory */
    uint64_t file_bytes_max;
    struct letter_index index;
    struct letter_table known; /* at or behind the cursor, as it was opened */
    struct letter_table given;
    uint64_t cursor_pos;
    uint32_t cursor_index;

    struct file file; /* the youngest; closed until something is written to it */
    struct buf pending;
    bool tail_waits;    /* what was found there is `pending`, */
    bool tail_cut;      /* and what stands behind that goes */
    bool names_durable; /* the directory was synced since it was opened or that failed */
    struct buf scratch; /* an entry being made */
    struct buf runs;

    struct letter_scan reader;
    uint32_t reader_file;                    /* 0: closed */
    uint64_t counted[ITEM_KIND_COUNT];       /* of those that move now, elsewhere; */
    uint64_t counted_again[ITEM_KIND_COUNT]; /* of these, which were being replayed */
    uint32_t replay_file;                    /* where next_replay() goes on */
    uint64_t replay_offset;
    uint32_t checked_file; /* letters of it that were not met are lost already */

    struct letters_account account;             /* as it was opened */
    bool differs;                               /* and not put right yet */
    uint32_t number_min;                        /* of the files to come */
    uint32_t whole_from;                        /* for the mark, which see */
    struct position noted, saved, saved_before; /* up to where which states know the files */
    uint64_t lost[ITEM_KIND_COUNT];             /* and not told yet */
    struct letter_damage lost_at;
};

/* --- writing ---------------------------------------------------------------------------------- */

static enum err
volume_path(const struct dead_letters *dl, uint32_t number, char to[PATH_BYTES], struct why *why)
{
    char name[LETTER_FILE_NAME_BYTES];
    letter_file_name(number, name);
    enum err e = path_join(to, PATH_BYTES, dl->path, name);
    return e ? why_set(why, e, "%s/%s: path too long", dl->path, name) : OK;
}

/* An empty directory is made anew: nobody knows whether an earlier attempt made its name durable.
 */
static enum err
make_dir(struct dead_letters *dl, struct why *why)
{
    struct env *env = dl->options.env;
    if (dl->index.count == 1) {
        err_ignore(env_rmdir(env, dl->path, NULL), "it is not there, or something is in it");
    }
    enum err e = env_mkdir(env, dl->path, why);
    return e ? e : env_syncdir(env, dl->options.dir, why);
}

/*
 * After a failed sync of a directory, another one that succeeds proves nothing unless something has
 * changed since. Nobody knows how the last one before a restart ended.
 */
static enum err
sync_names(struct dead_letters *dl, struct why *why)
{
    enum err e = OK;
    if (!dl->names_durable) {
        struct file file;
        char path[PATH_BYTES];
        e = path_join(path, sizeof path, dl->path, "names.tmp");
        if (e) return why_set(why, e, "%s/names.tmp: path too long", dl->path);
        e = file_open(dl->options.env, path, FILE_REPLACE, &file, why);
        if (e) return e;
        err_ignore(file_close(&file), "nothing is in it");
        e = env_unlink(dl->options.env, path, why);
    }
    if (e == OK) e = env_syncdir(dl->options.env, dl->path, why);
    dl->names_durable = e == OK;
    return e;
}

static enum err
create_newest(struct dead_letters *dl, struct letter_volume *v, const char *path, struct why *why)
{
    v->made = false;
    enum err e = make_dir(dl, why);
    if (e == OK) e = env_unlink(dl->options.env, path, why); /* of an attempt that failed */
    if (e == OK) e = file_open(dl->options.env, path, FILE_CREATE, &dl->file, why);
    if (e == OK) e = sync_names(dl, why);
    v->made = e == OK;
    return e;
}

static enum err
open_newest(struct dead_letters *dl, struct letter_volume *v, struct why *why)
{
    char path[PATH_BYTES];
    enum err e = volume_path(dl, v->number, path, why);
    if (e) return e;
    if (v->made) e = file_open(dl->options.env, path, FILE_UPDATE, &dl->file, why);
    /* If somebody has removed it, what comes now need not be lost, too. */
    if (!v->made || e == ERR_MISSING) return create_newest(dl, v, path, why);
    return e || dl->names_durable ? e : sync_names(dl, why);
}

static enum err
flush(struct dead_letters *dl, struct why *why)
{
    if (dl->pending.size == 0 && !dl->tail_waits) return OK;
    struct letter_volume *v = letter_index_newest(&dl->index);
    enum err e = dl->file.handle >= 0 ? OK : open_newest(dl, v, why);
    if (e == OK) e = file_write_at(&dl->file, buf_bytes(&dl->pending), v->bytes, why);
    if (e == OK && dl->tail_cut) e = file_truncate(&dl->file, v->bytes + dl->pending.size, why);
    if (e == OK) e = file_datasync(&dl->file, why);
    if (e) {
        err_ignore(file_close(&dl->file), "it is opened and written again");
        return e;
    }
    v->bytes += dl->pending.size;
    dl->tail_waits = dl->tail_cut = false;
    buf_clear(&dl->pending);
    if (dl->pending.capacity > PENDING_KEEP_BYTES) {
        buf_fini(&dl->pending);
        buf_init(&dl->pending, dl->options.memory, PENDING_BYTES_MAX);
    }
    return OK;
}

/* A further file, whose begin waits to be written. */
static enum err
begin_volume(struct dead_letters *dl, struct why *why)
{
    const struct letter_volume *v = letter_index_newest(&dl->index);
    uint32_t number = v == NULL ? dl->number_min : v->number + 1;
    assert(dl->pending.size == 0);
    if (number != 0 && number < dl->number_min) number = dl->number_min;
    if (number == 0) return why_set(why, ERR_LIMIT, "%s: no file has that number", dl->path);
    enum err e = buf_reserve(&dl->pending, LETTER_FILE_HEADER_BYTES) ? OK : ERR_NOMEM;
    if (e == OK) e = letter_index_append(&dl->index, number);
    if (e) return why_set(why, e, "no memory for dead letters");
    letter_header_put(&dl->pending);
    err_ignore(file_close(&dl->file), "all of it is synced");
    return OK;
}

/* Writes what waits, and says in the file that all of it is durable. */
static enum err
end_volume(struct dead_letters *dl, struct why *why)
{
    const struct letter_volume *v = letter_index_newest(&dl->index);
    enum err e = flush(dl, why);
    if (e || v == NULL || !v->clean) return e;
    buf_clear(&dl->scratch);
    letter_end_put(&dl->scratch);
    e = buf_error(&dl->scratch);
    if (e == OK) {
        e = letter_entry_put(&dl->pending, buf_bytes(&dl->scratch), (uint32_t)v->bytes);
    }
    return e ? why_set(why, e, "no memory for dead letters") : flush(dl, why);
}

/* Whether an entry of so many bytes goes into the youngest file. */
static bool
fits(const struct dead_letters *dl, size_t size)
{
    const struct letter_volume *v = letter_index_newest(&dl->index);
    if (v == NULL || !v->clean) return false;
    uint64_t bytes = v->bytes + dl->pending.size;
    return bytes <= LETTER_FILE_HEADER_BYTES ||
           bytes + LETTER_ENTRY_HEADER_BYTES + size <= dl->file_bytes_max;
}

/* A file whose letters differ much in age would keep the old ones as long as the young. */
static bool
is_of_age(const struct dead_letters *dl, int64_t failed_ms)
{
    const struct letter_volume *v = letter_index_newest(&dl->index);
    int64_t age_ms;
    if (dl->options.max_age_ms == 0 || v == NULL || v->letter_count == 0) return false;
    if (__builtin_sub_overflow(failed_ms, v->oldest_ms, &age_ms)) return true;
    return age_ms > dl->options.max_age_ms / FILES_OF_AGE;
}

/* Before an entry of so many bytes: room in the batch, which is not that of an earlier life, and in
 * a file. */
static enum err
make_room(struct dead_letters *dl, size_t size, bool end, struct why *why)
{
    enum err e = OK;
    if (dl->pending.size >= BATCH_BYTES || dl->tail_waits) e = flush(dl, why);
    if (e || (!end && fits(dl, size))) return e;
    e = end_volume(dl, why);
    return e ? e : begin_volume(dl, why);
}

/* What the scratch holds becomes an entry. */
static enum err
put_entry(struct dead_letters *dl, struct why *why)
{
    const struct letter_volume *v = letter_index_newest(&dl->index);
    enum err e = letter_entry_put(&dl->pending, buf_bytes(&dl->scratch), (uint32_t)v->bytes);
    return e ? why_set(why, e, "no memory for dead letters") : OK;
}

/* `runs` of letters in a file. */
static enum err
put_marks(struct dead_letters *dl, enum letter_mark mark, uint32_t file, struct bytes runs,
          struct why *why)
{
    buf_clear(&dl->scratch);
    letter_marks_put(&dl->scratch, mark, file, runs);
    enum err e = buf_error(&dl->scratch);
    if (e) return why_set(why, e, "no memory for dead letters");
    e = make_room(dl, dl->scratch.size, false, why);
    if (e) return e;
    /* Ending a file has used it. */
    buf_clear(&dl->scratch);
    letter_marks_put(&dl->scratch, mark, file, runs);
    return put_entry(dl, why);
}

static enum err
put_mark(struct dead_letters *dl, enum letter_mark mark, struct letter_place place, struct why *why)
{
    struct letter_runs runs;
    buf_clear(&dl->runs);
    letter_runs_begin(&runs, &dl->runs);
    letter_runs_add(&runs, place.number);
    letter_runs_end(&runs);
    enum err e = buf_error(&dl->runs);
    if (e) return why_set(why, e, "no memory for dead letters");
    return put_marks(dl, mark, place.file, buf_bytes(&dl->runs), why);
}

static enum letter_state
state_at(const struct dead_letters *dl, struct letter_place place)
{
    const struct letter_volume *v = letter_index_find(&dl->index, place.file);
    return v == NULL ? LETTER_GONE : letter_volume_state(v, place.number);
}

static void
set_state(struct dead_letters *dl, struct letter_place place, enum letter_state state)
{
    struct letter_volume *v = letter_index_find(&dl->index, place.file);
    letter_volume_set(v, place.number, state);
}

/* A letter, in the place of another if `replaces` is one. */
static enum err
put_letter(struct dead_letters *dl, const struct dead_letter *letter, struct letter_place replaces,
           struct letter_slot *ret_slot, struct why *why)
{
    /* One that is gone already is named, too: what says so may be torn, and this not. */
    bool is_there = state_at(dl, replaces) != LETTER_GONE;
    buf_clear(&dl->scratch);
    letter_put(&dl->scratch, replaces, letter);
    enum err e = buf_error(&dl->scratch);
    if (e == ERR_LIMIT) return why_set(why, e, "a dead letter has more than 16 MiB");
    if (e) return why_set(why, e, "no memory for dead letters");
    e = make_room(dl, dl->scratch.size, is_of_age(dl, letter->failed_ms), why);
    if (e) return e;
    struct letter_volume *v = letter_index_newest(&dl->index);
    uint32_t number = v->letter_count;
    e = letter_volume_reserve(&dl->index, v, number);
    if (e) return why_set(why, e, "no memory for dead letters");
    buf_clear(&dl->scratch);
    letter_put(&dl->scratch, replaces, letter);
    letter_set_number(&dl->scratch, number);
    uint64_t offset = v->bytes + dl->pending.size;
    e = put_entry(dl, why);
    if (e) return e;
    letter_volume_add(v, number, letter->item.kind, letter->failed_ms);
    if (is_there) set_state(dl, replaces, LETTER_GONE);
    *ret_slot =
        (struct letter_slot){letter->pos, letter->index, (uint32_t)offset, {v->number, number}};
    return OK;
}

/* --- opening ---------------------------------------------------------------------------------- */

/* Whether an item of this identity may come by again. Beyond a million they are not remembered: a
 * letter of those that comes again is there twice. */
static enum err
note_known(void *context, const struct letter_volume *volume, const struct letter_entry *entry)
{
    struct dead_letters *dl = context;
    const struct dead_letter *letter = &entry->letter;
    const struct relay_state *state = dl->options.state;
    bool before = letter->pos < dl->cursor_pos ||
                  (letter->pos == dl->cursor_pos && letter->index < dl->cursor_index);
    before |= is_fill_pos(letter->pos) && !is_fill_pos(dl->cursor_pos); /* of one that is over */
    if (state != NULL) before = letters_count_has(state, letter);
    if (before || dl->known.count >= KNOWN_MAX) return OK;
    struct letter_slot slot = {
        letter->pos, letter->index, (uint32_t)entry->offset, {volume->number, entry->number}};
    return letter_table_put(&dl->known, &slot);
}

/*
 * The last batch found is as good as one that was never synced. What a crash left of it is replaced
 * by holes, and cut off at the end, so that from now on all of the file can be read.
 */
static enum err
load_tail(struct dead_letters *dl, struct why *why)
{
    struct letter_volume *v = letter_index_newest(&dl->index);
    if (v == NULL) return OK;
    bool cut = !v->damaged && v->bytes > v->whole_bytes;
    if (v->whole_bytes == v->batch_bytes && !cut) return OK;
    char path[PATH_BYTES];
    struct letter_scan scan;
    enum err e = volume_path(dl, v->number, path, why);
    if (e == OK) e = letter_scan_open(&scan, dl->options.env, path, dl->options.memory, why);
    if (e) return e;
    e = letter_scan_mend(&scan, v->batch_bytes, v->whole_bytes, &dl->pending, why);
    letter_scan_close(&scan);
    if (e == ERR_CORRUPT) { /* no crash has left that: it stays as it is */
        buf_clear(&dl->pending);
        v->clean = false;
        return OK;
    }
    if (e) return e;
    v->clean = !v->damaged;
    v->bytes = v->batch_bytes;
    dl->tail_waits = true;
    dl->tail_cut = cut;
    return OK;
}

static uint64_t
file_bytes_of(uint64_t max_bytes)
{
    uint64_t bytes = max_bytes / FILES_OF_BUDGET;
    if (bytes < FILE_BYTES_MIN) bytes = FILE_BYTES_MIN;
    return bytes < LETTER_FILE_BYTES ? bytes : LETTER_FILE_BYTES;
}

static void
compare_with_state(struct dead_letters *dl, const struct relay_state *state)
{
    const struct letter_volume *v = letter_index_newest(&dl->index);
    bool known = state != NULL && state->letters.known;
    if (state != NULL) letters_compare(state, &dl->index.found, &dl->account);
    dl->differs = dl->account.differs;
    for (uint32_t i = 0; i < dl->index.count && !dl->differs; i++) {
        letter_volume_see_missing(&dl->index.volumes[i]);
    }
    dl->number_min = known ? state->letters.file + 1 : 1;
    dl->whole_from = 1;
    if (v != NULL) dl->whole_from = v->number + v->damaged;
    if (known) dl->whole_from = state->letters.whole_from;
    if (known) dl->saved = (struct position){state->letters.file, state->letters.offset};
}

const struct letters_found *
dead_letters_found(const struct dead_letters *dl)
{
    return &dl->index.found;
}

const struct letters_account *
dead_letters_account(const struct dead_letters *dl)
{
    return &dl->account;
}

enum err
dead_letters_open(const struct dead_letters_options *options, uint64_t cursor_pos,
                  uint32_t cursor_index, struct dead_letters **ret_letters, struct why *why)
{
    struct dead_letters *dl = mem_new(options->memory, sizeof *dl);
    if (dl == NULL) return why_set(why, ERR_NOMEM, "no memory for dead letters");
    struct letter_reading reading = {options->state, note_known, dl};
    dl->options = *options;
    dl->file_bytes_max = file_bytes_of(options->max_bytes);
    dl->cursor_pos = cursor_pos;
    dl->cursor_index = cursor_index;
    dl->file = FILE_CLOSED;
    letter_index_init(&dl->index, options->memory);
    letter_table_init(&dl->known, options->memory);
    letter_table_init(&dl->given, options->memory);
    buf_init(&dl->pending, options->memory, PENDING_BYTES_MAX);
    buf_init(&dl->scratch, options->memory, LETTER_ENTRY_BYTES_MAX);
    buf_init(&dl->runs, options->memory, LETTER_ENTRY_BYTES_MAX);

    enum err e = path_join(dl->path, sizeof dl->path, options->dir, LETTER_FILES_DIR);
    if (e) {
        why_set(why, e, "%s/%s: path too long", options->dir, LETTER_FILES_DIR);
        goto out;
    }
    e = letter_index_read(&dl->index, options->env, dl->path, &reading, why);
    if (e == ERR_MISSING) e = OK;
    if (e == ERR_NOMEM) why_set(why, e, "no memory for what is known of dead letters");
    if (e == OK) e = load_tail(dl, why);
    if (e) goto out;
    compare_with_state(dl, options->state);
    dl->options.state = NULL;

    *ret_letters = dl;
    dl = NULL;
out:
    dead_letters_free(dl);
    return e;
}

static void
close_reader(struct dead_letters *dl)
{
    if (dl->reader_file != 0) letter_scan_close(&dl->reader);
    dl->reader_file = 0;
}

void
dead_letters_free(struct dead_letters *dl)
{
    if (dl == NULL) return;
    close_reader(dl);
    err_ignore(file_close(&dl->file), "what was not synced is abandoned");
    letter_index_fini(&dl->index);
    letter_table_fini(&dl->known);
    letter_table_fini(&dl->given);
    buf_fini(&dl->pending);
    buf_fini(&dl->scratch);
    buf_fini(&dl->runs);
    mem_free(dl->options.memory, dl, sizeof *dl);
}

/* --- letters come and go ---------------------------------------------------------------------- */

enum err
dead_letters_add(struct dead_letters *dl, const struct dead_letter *letter, struct why *why)
{
    struct letter_slot *known = letter_table_find(&dl->known, letter->pos, letter->index);
    struct letter_place before = known == NULL ? (struct letter_place){0, 0} : known->place;
    struct letter_slot slot;
    enum err e = put_letter(dl, letter, before, &slot, why);
    if (e == OK && known != NULL) *known = slot;
    return e;
}

enum err
dead_letters_revoke(struct dead_letters *dl, uint64_t pos, uint32_t index, struct why *why)
{
    const struct letter_slot *known = letter_table_find(&dl->known, pos, index);
    if (known == NULL) return OK;
    struct letter_place place = known->place;
    if (state_at(dl, place) != LETTER_GONE) {
        enum err e = put_mark(dl, MARK_REVOKED, place, why);
        if (e) return e;
        set_state(dl, place, LETTER_GONE);
    }
    letter_table_remove(&dl->known, pos, index);
    return OK;
}

enum err
dead_letters_revoke_known(struct dead_letters *dl, struct why *why)
{
    for (size_t i = 0; i < dl->known.capacity; i++) {
        const struct letter_slot *slot = &dl->known.slots[i];
        if (slot->place.file == 0) continue;
        if (state_at(dl, slot->place) == LETTER_GONE) continue;
        enum err e = put_mark(dl, MARK_REVOKED, slot->place, why);
        if (e) return e;
        set_state(dl, slot->place, LETTER_GONE);
    }
    return OK;
}

enum err
dead_letters_sync(struct dead_letters *dl, struct why *why)
{
    return flush(dl, why);
}

/* The end of what is durable. */
static struct position
end_of(const struct dead_letters *dl)
{
    const struct letter_volume *v = letter_index_newest(&dl->index);
    if (v == NULL) return (struct position){dl->number_min - 1, 0};
    return (struct position){v->number, v->bytes};
}

void
dead_letters_mark(struct dead_letters *dl, struct letters_mark *ret_mark)
{
    const struct letter_volume *newest = letter_index_newest(&dl->index);
    assert(dl->pending.size == 0 && !dl->tail_waits);
    dl->noted = end_of(dl);
    struct letters_mark m = {
        .known = true,
        .file = dl->noted.file,
        .offset = dl->noted.offset,
        .letter_count = newest == NULL ? 0 : newest->letter_count,
        .whole_from = dl->whole_from,
    };
    for (uint32_t i = 0; i < dl->index.count; i++) {
        const struct letter_volume *v = &dl->index.volumes[i];
        if (letter_volume_live(v) > 0) letters_mark_add(&m, v->number);
        for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
            m.live[kind] += (uint64_t)v->counts[LETTER_KEPT][kind] +
                            v->counts[LETTER_REPLAYING][kind] + v->counts[LETTER_GIVEN][kind];
        }
        m.print += v->print;
    }
    *ret_mark = m;
}

void
dead_letters_saved(struct dead_letters *dl)
{
    dl->saved_before = dl->saved;
    dl->saved = dl->noted;
}

static uint64_t
bytes_on_disk(const struct dead_letters *dl)
{
    uint64_t bytes = dl->pending.size;
    for (uint32_t i = 0; i < dl->index.count; i++) {
        bytes += dl->index.volumes[i].bytes;
    }
    return bytes;
}

void
dead_letters_counts(const struct dead_letters *dl, struct dead_letters_counts *ret_counts)
{
    struct dead_letters_counts c = {.bytes = bytes_on_disk(dl), .damaged = dl->index.found.damaged};
    for (uint32_t i = 0; i < dl->index.count; i++) {
        const struct letter_volume *v = &dl->index.volumes[i];
        for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
            c.letters[kind] += v->counts[LETTER_KEPT][kind];
            c.replaying[kind] += v->counts[LETTER_REPLAYING][kind];
            c.replaying[kind] += v->counts[LETTER_GIVEN][kind];
        }
    }
    *ret_counts = c;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* A letter that was there, and cannot be read any more. */
static void
lose_letter(struct dead_letters *dl, struct letter_volume *v, uint32_t number,
            struct letter_damage at)
{
    enum item_kind kind = letter_volume_kind(v, number);
    letter_volume_set(v, number, LETTER_GONE);
    uint64_t before = 0;
    for (unsigned k = 0; k < ITEM_KIND_COUNT; k++) {
        before += dl->lost[k];
    }
    if (before == 0) dl->lost_at = at;
    dl->lost[kind]++;
}

/* Somebody has removed a file of ours. */
static void
lose_volume(struct dead_letters *dl, struct letter_volume *v)
{
    struct letter_damage at = {LETTERS_MISSING, v->number, 0, 0, 0};
    for (uint32_t i = 0; i < v->letter_count; i++) {
        if (letter_volume_state(v, i) != LETTER_GONE) lose_letter(dl, v, i, at);
    }
    v->clean = false;
    letters_found_damage(&dl->index.found, &at);
}

/*
 * The reader stands at this offset of what is durable in a file; what is to be replayed is, because
 * its mark is of a later batch. ERR_MISSING: the file is gone.
 */
static enum err
use_reader(struct dead_letters *dl, struct letter_volume *v, uint64_t offset, struct why *why)
{
    if (v->leaving) return ERR_MISSING;
    if (dl->reader_file != v->number) {
        char path[PATH_BYTES];
        close_reader(dl);
        enum err e = volume_path(dl, v->number, path, why);
        if (e == OK) {
            e = letter_scan_open(&dl->reader, dl->options.env, path, dl->options.memory, why);
        }
        if (e == ERR_MISSING) lose_volume(dl, v);
        if (e) return e;
        dl->reader_file = v->number;
    }
    letter_scan_seek(&dl->reader, offset, v->bytes);
    return OK;
}

/*
 * A file was read to its end, and not all of its letters were met: those are lost. Leaves the runs
 * of those that are there in `runs`.
 */
static enum err
check_volume(struct dead_letters *dl, struct letter_volume *v, struct why *why)
{
    struct letter_runs runs;
    const struct letter_entry *entry;
    if (v->leaving || v->letter_count == 0) return OK;
    enum err e = flush(dl, why); /* what waits to be written is no less there */
    if (e) return e;
    buf_clear(&dl->runs);
    letter_runs_begin(&runs, &dl->runs);
    e = use_reader(dl, v, LETTER_FILE_HEADER_BYTES, why);
    while (e == OK) {
        e = letter_scan_next(&dl->reader, &entry, why);
        if (e == OK && entry->type == ENTRY_LETTER) letter_runs_add(&runs, entry->number);
    }
    if (e != ERR_MISSING) return e;
    letter_runs_end(&runs);
    e = buf_error(&dl->runs);
    if (e) return why_set(why, e, "no memory for dead letters");
    struct letter_damage at = {LETTERS_UNREADABLE, v->number, 0, v->bytes, 0};
    const struct letter_scan *scan = &dl->reader;
    if (dl->reader_file == v->number && scan->bad_count > 0) {
        at.offset = scan->bad[0].offset;
        at.end = scan->bad[0].end;
        at.letters = scan->bad[0].letters;
    }
    struct cursor c = cursor_of(buf_bytes(&dl->runs));
    uint32_t behind = 0, first = 0, count, number = 0;
    bool more = true, any = false;
    while (more) {
        more = letter_runs_next(&c, &behind, &first, &count);
        for (; number < (more ? first : v->letter_count); number++) {
            if (letter_volume_state(v, number) == LETTER_GONE) continue;
            lose_letter(dl, v, number, at);
            any = true;
        }
        number = behind;
    }
    if (any) letters_found_damage(&dl->index.found, &at);
    return OK;
}

/* --- requests --------------------------------------------------------------------------------- */

static enum err
tell_move(struct dead_letters *dl, const struct dead_letter *letter, enum letter_move move,
          struct why *why)
{
    bool counted = false;
    if (dl->options.moves == NULL) return OK;
    enum err e = dl->options.moves(dl->options.context, letter, move, &counted);
    if (e) return why_set(why, e, "no memory to count a dead letter that goes");
    dl->counted[letter->item.kind] += counted;
    if (move == LETTER_AGAIN_FULL) dl->counted_again[letter->item.kind] += counted;
    return OK;
}

/* Collects the letters of a file that a request means, and tells of each if it is to. `ret_all`:
 * all that are alive were met. */
static enum err
collect(struct dead_letters *dl, struct letter_volume *v, const struct letter_request *r, bool tell,
        bool *ret_all, struct why *why)
{
    struct letter_runs runs;
    const struct letter_entry *entry;
    buf_clear(&dl->runs);
    memset(dl->counted, 0, sizeof dl->counted);
    letter_runs_begin(&runs, &dl->runs);
    uint64_t met = 0;
    enum err e = use_reader(dl, v, LETTER_FILE_HEADER_BYTES, why);
    while (e == OK) {
        e = letter_scan_next(&dl->reader, &entry, why);
        if (e || entry->type != ENTRY_LETTER) continue;
        met += letter_volume_state(v, entry->number) != LETTER_GONE;
        bool kept = letter_volume_state(v, entry->number) == LETTER_KEPT;
        if (kept && letter_request_means(r, v->number, entry->offset, entry->letter.reason)) {
            letter_runs_add(&runs, entry->number);
            bool drop = r->wish == DEAD_LETTERS_DROP;
            if (tell) e = tell_move(dl, &entry->letter, drop ? LETTER_DROPPED : LETTER_AGAIN, why);
        }
    }
    if (e != ERR_MISSING) return e;
    letter_runs_end(&runs);
    e = buf_error(&dl->runs);
    if (e) return why_set(why, e, "no memory for a request");
    *ret_all = met >= letter_volume_live(v);
    return OK;
}

/* Those that were collected change their state. */
static void
move_collected(struct dead_letters *dl, struct letter_volume *v, enum letter_state to,
               uint64_t counts[ITEM_KIND_COUNT])
{
    struct cursor c = cursor_of(buf_bytes(&dl->runs));
    uint32_t behind = 0, first, count;
    while (letter_runs_next(&c, &behind, &first, &count)) {
        for (uint32_t i = first; i < behind; i++) {
            counts[letter_volume_kind(v, i)]++;
            letter_volume_set(v, i, to);
        }
    }
}

static enum err
carry_out(struct dead_letters *dl, const struct letter_request *r, struct dead_letters_moved *moved,
          struct why *why)
{
    bool drop = r->wish == DEAD_LETTERS_DROP;
    if (!drop) dl->replay_file = dl->checked_file = 0; /* some are before where it is */
    for (uint32_t i = 0; i < dl->index.count; i++) {
        struct letter_volume *v = &dl->index.volumes[i];
        if (v->number > r->file) break;
        if (letter_volume_count(v, LETTER_KEPT) == 0) continue;
        bool all = false;
        enum err e = collect(dl, v, r, false, &all, why);
        if (e == OK && !all) e = check_volume(dl, v, why);
        bool any = !all || dl->runs.size > 0;
        /* Nothing is told of what turns out to be lost: it would be counted as both. */
        if (e == OK && any) e = collect(dl, v, r, true, &all, why);
        if (e) return e;
        if (dl->runs.size == 0) continue;
        e = put_marks(dl, drop ? MARK_DROPPED : MARK_REPLAYING, v->number, buf_bytes(&dl->runs),
                      why);
        if (e) return e;
        v = &dl->index.volumes[i]; /* a further file may have moved them */
        move_collected(dl, v, drop ? LETTER_GONE : LETTER_REPLAYING,
                       drop ? moved->dropped : moved->replaying);
        for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
            moved->counted[kind] += dl->counted[kind];
            if (drop) moved->counted_dropped[kind] += dl->counted[kind];
        }
    }
    return OK;
}

static enum err
tend_requests(struct dead_letters *dl, struct dead_letters_moved *moved, struct why *why)
{
    struct letter_requests requests;
    enum err e =
        letter_requests_read(&requests, dl->options.env, dl->path, dl->options.memory, why);
    if (e) return e == ERR_MISSING ? OK : e;
    for (uint32_t i = 0; i < requests.count && e == OK; i++) {
        const struct letter_request *r = &requests.items[i];
        moved->requests_damaged += r->damaged;
        if (!r->damaged) e = carry_out(dl, r, moved, why);
        if (e == OK) e = flush(dl, why);
        if (e == OK) e = letter_request_remove(dl->options.env, dl->path, r, why);
    }
    letter_requests_fini(&requests);
    return e;
}

/* --- files go --------------------------------------------------------------------------------- */

/* From now on, until its name is gone for good, nothing of it is read. */
static enum err
remove_volume(struct dead_letters *dl, uint32_t at, struct why *why)
{
    struct letter_volume *v = &dl->index.volumes[at];
    char path[PATH_BYTES];
    enum err e = volume_path(dl, v->number, path, why);
    if (dl->reader_file == v->number) close_reader(dl);
    v->leaving = true;
    if (e == OK) e = env_unlink(dl->options.env, path, why);
    if (e == OK) e = sync_names(dl, why);
    if (e == OK) letter_index_remove(&dl->index, at);
    return e;
}

static bool
is_newest(const struct dead_letters *dl, const struct letter_volume *v)
{
    return v == letter_index_newest(&dl->index);
}

/* If the youngest file is to go, there has to be a younger one, on disk: invariant 3. */
static enum err
end_newest(struct dead_letters *dl, struct why *why)
{
    enum err e = end_volume(dl, why);
    if (e == OK) e = begin_volume(dl, why);
    return e ? e : flush(dl, why);
}

/* Says again what later files say about the letters of this one. */
static enum err
restate(struct dead_letters *dl, uint32_t at, struct why *why)
{
    static const enum letter_mark marks[] = {MARK_GONE, MARK_REPLAYING};
    for (unsigned m = 0; m < 2; m++) {
        const struct letter_volume *v = &dl->index.volumes[at];
        struct letter_runs runs;
        buf_clear(&dl->runs);
        letter_runs_begin(&runs, &dl->runs);
        for (uint32_t i = 0; i < v->letter_count; i++) {
            enum letter_state state = letter_volume_state(v, i);
            if (state == LETTER_KEPT || (state == LETTER_GONE) != (marks[m] == MARK_GONE)) continue;
            letter_runs_add(&runs, i);
        }
        letter_runs_end(&runs);
        enum err e = buf_error(&dl->runs);
        if (e) return why_set(why, e, "no memory for dead letters");
        if (dl->runs.size == 0) continue;
        e = put_marks(dl, marks[m], v->number, buf_bytes(&dl->runs), why);
        if (e) return e;
    }
    return OK;
}

static bool
is_dead(const struct dead_letters *dl, const struct letter_volume *v)
{
    return !is_newest(dl, v) && letter_volume_live(v) == 0;
}

/* The youngest file ends if nothing of it is alive, and it is large or alone. */
static enum err
end_dead_newest(struct dead_letters *dl, struct why *why)
{
    const struct letter_volume *v = letter_index_newest(&dl->index);
    if (v == NULL || v->letter_count == 0 || letter_volume_live(v) > 0) return OK;
    if (v->bytes < dl->file_bytes_max / 4 && dl->index.count > 1) return OK;
    return end_newest(dl, why);
}

/*
 * Up to which file dead ones can go. Those before the first that is alive cost nothing. For all
 * others, marks have to be made again; a byte a letter is the most that takes, and it should be
 * much less than what is gained.
 */
static uint32_t
dead_end(const struct dead_letters *dl)
{
    uint64_t letters = 0, gain = 0;
    uint32_t end = 0;
    for (uint32_t i = 0; i < dl->index.count; i++) {
        const struct letter_volume *v = &dl->index.volumes[i];
        if (!is_dead(dl, v)) {
            letters += v->letter_count;
            continue;
        }
        if (v->released) continue;
        gain += v->bytes;
        if (gain >= 2 * letters) end = v->number;
    }
    return end;
}

/* Files in which nothing is alive may go, wherever they stand, once what they say of others is said
 * again and states know that. */
static enum err
release_dead(struct dead_letters *dl, struct why *why)
{
    enum err e = end_dead_newest(dl, why);
    uint32_t end = dead_end(dl);
    const struct letter_volume *last = letter_index_find(&dl->index, end);
    uint32_t behind = last == NULL ? 0 : (uint32_t)(last - dl->index.volumes);
    for (uint32_t i = 0; i < behind && e == OK; i++) {
        if (!is_dead(dl, &dl->index.volumes[i])) e = restate(dl, i, why);
    }
    if (e == OK) e = flush(dl, why);
    for (uint32_t i = 0; i < dl->index.count && e == OK; i++) {
        struct letter_volume *v = &dl->index.volumes[i];
        if (v->number > end || v->released || !is_dead(dl, v)) continue;
        v->released = true;
        v->release = end_of(dl);
    }
    return e;
}

static bool
is_behind(struct position a, struct position b)
{
    return a.file > b.file || (a.file == b.file && a.offset > b.offset);
}

static enum err
remove_dead(struct dead_letters *dl, struct dead_letters_moved *moved, struct why *why)
{
    enum err e = release_dead(dl, why);
    for (uint32_t i = 0; i < dl->index.count && e == OK;) {
        const struct letter_volume *v = &dl->index.volumes[i];
        bool goes = v->released && !is_behind(v->release, dl->saved_before);
        moved->waits |= v->released && !goes;
        if (goes)
            e = remove_volume(dl, i, why);
        else
            i++;
    }
    return e;
}

static bool
is_too_old(const struct dead_letters *dl, const struct letter_volume *v, int64_t now_ms)
{
    int64_t age_ms;
    if (dl->options.max_age_ms == 0 || v->letter_count == 0) return false;
    if (__builtin_sub_overflow(now_ms, v->youngest_ms, &age_ms)) return now_ms > v->youngest_ms;
    return age_ms > dl->options.max_age_ms;
}

/* Those that only wait for a state are as good as gone. */
static uint64_t
bytes_alive(const struct dead_letters *dl)
{
    uint64_t bytes = dl->pending.size;
    for (uint32_t i = 0; i < dl->index.count; i++) {
        const struct letter_volume *v = &dl->index.volumes[i];
        if (!is_dead(dl, v)) bytes += v->bytes;
    }
    return bytes;
}

/* Marks for all of a file's letters that are in one of these states. */
static enum err
mark_volume(struct dead_letters *dl, uint32_t at, unsigned states, enum letter_mark mark,
            struct why *why)
{
    const struct letter_volume *v = &dl->index.volumes[at];
    struct letter_runs runs;
    buf_clear(&dl->runs);
    letter_runs_begin(&runs, &dl->runs);
    for (uint32_t i = 0; i < v->letter_count; i++) {
        if (states >> letter_volume_state(v, i) & 1) letter_runs_add(&runs, i);
    }
    letter_runs_end(&runs);
    enum err e = buf_error(&dl->runs);
    if (e) return why_set(why, e, "no memory for dead letters");
    return dl->runs.size == 0 ? OK : put_marks(dl, mark, v->number, buf_bytes(&dl->runs), why);
}

/* Tells of each letter of a file that it goes. What cannot be read is no reason to keep it: as far
 * as is known it lies before the cursor. */
static enum err
tell_volume(struct dead_letters *dl, uint32_t at, struct why *why)
{
    struct letter_volume *v = &dl->index.volumes[at];
    const struct letter_entry *entry;
    memset(dl->counted, 0, sizeof dl->counted);
    memset(dl->counted_again, 0, sizeof dl->counted_again);
    if (dl->options.moves == NULL || letter_volume_live(v) == 0) return OK;
    enum err e = flush(dl, why);
    if (e) return e;
    e = use_reader(dl, v, LETTER_FILE_HEADER_BYTES, why);
    while (e == OK) {
        e = letter_scan_next(&dl->reader, &entry, why);
        if (e || entry->type != ENTRY_LETTER) continue;
        enum letter_state state = letter_volume_state(v, entry->number);
        if (state == LETTER_GONE) continue;
        bool kept = state == LETTER_KEPT;
        e = tell_move(dl, &entry->letter, kept ? LETTER_FULL : LETTER_AGAIN_FULL, why);
    }
    return e == ERR_NOMEM ? e : OK;
}

/* All letters of a file are given up: then it is dead. */
static enum err
drop_volume(struct dead_letters *dl, uint32_t at, struct dead_letters_moved *moved, struct why *why)
{
    enum { ALIVE = 1 << LETTER_KEPT | 1 << LETTER_REPLAYING | 1 << LETTER_GIVEN };
    enum err e = tell_volume(dl, at, why);
    if (e == OK) e = mark_volume(dl, at, ALIVE, MARK_GONE, why);
    struct letter_volume *v = &dl->index.volumes[at];
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT && e == OK; kind++) {
        moved->counted[kind] += dl->counted[kind] - dl->counted_again[kind];
        moved->counted_full[kind] += dl->counted[kind];
    }
    for (uint32_t i = 0; i < v->letter_count && e == OK; i++) {
        if (letter_volume_state(v, i) == LETTER_GONE) continue;
        moved->dropped_full[letter_volume_kind(v, i)]++;
        letter_volume_set(v, i, LETTER_GONE);
    }
    return e;
}

/* The oldest file goes as long as all have too many bytes, or it is too old. */
static enum err
drop_oldest(struct dead_letters *dl, int64_t now_ms, struct dead_letters_moved *moved,
            struct why *why)
{
    enum err e = OK;
    for (uint32_t at = 0; at < dl->index.count && e == OK; at++) {
        const struct letter_volume *v = &dl->index.volumes[at];
        if (is_dead(dl, v)) continue;
        if (is_newest(dl, v) && v->letter_count == 0) break;
        bool full = bytes_alive(dl) > dl->options.max_bytes;
        if (!full && !is_too_old(dl, v, now_ms)) break;
        e = is_newest(dl, v) ? end_newest(dl, why) : OK;
        if (e == OK) e = drop_volume(dl, at, moved, why);
    }
    return e == OK ? flush(dl, why) : e;
}

/* --- another state ---------------------------------------------------------------------------- */

enum err
dead_letters_each_alive(struct dead_letters *dl,
                        enum err (*each)(void *context, const struct dead_letter *letter,
                                         bool kept),
                        void *context, struct why *why)
{
    enum err e = flush(dl, why);
    for (uint32_t i = 0; i < dl->index.count && e == OK; i++) {
        struct letter_volume *v = &dl->index.volumes[i];
        const struct letter_entry *entry;
        if (letter_volume_live(v) > 0) e = use_reader(dl, v, LETTER_FILE_HEADER_BYTES, why);
        while (e == OK && letter_volume_live(v) > 0) {
            e = letter_scan_next(&dl->reader, &entry, why);
            if (e || entry->type != ENTRY_LETTER) continue;
            enum letter_state state = letter_volume_state(v, entry->number);
            if (state == LETTER_GONE) continue;
            e = each(context, &entry->letter, state == LETTER_KEPT);
        }
        if (e == ERR_MISSING) e = OK;
    }
    return e;
}

struct again {
    const struct relay_state *next;
    uint64_t kept[ITEM_KIND_COUNT], replaying[ITEM_KIND_COUNT];
};

static enum err
note_again(void *context, const struct dead_letter *letter, bool kept)
{
    struct again *again = context;
    uint64_t *counts = kept ? again->kept : again->replaying;
    counts[letter->item.kind] += !letters_count_has(again->next, letter);
    return OK;
}

enum err
dead_letters_count_again(struct dead_letters *dl, const struct relay_state *next,
                         uint64_t ret_kept[ITEM_KIND_COUNT],
                         uint64_t ret_replaying[ITEM_KIND_COUNT], struct why *why)
{
    struct again again = {.next = next};
    enum err e = dead_letters_each_alive(dl, note_again, &again, why);
    if (e) return e;
    memcpy(ret_kept, again.kept, sizeof again.kept);
    memcpy(ret_replaying, again.replaying, sizeof again.replaying);
    return OK;
}

/* --- after damage ----------------------------------------------------------------------------- */

/* A letter that was being replayed is one again, as it was: in a new place (invariant 4). */
static enum err
call_off_volume(struct dead_letters *dl, uint32_t number, uint64_t *called_off, struct why *why)
{
    struct letter_volume *v = letter_index_find(&dl->index, number);
    const struct letter_entry *entry;
    enum err e = flush(dl, why);
    if (e == OK) e = use_reader(dl, v, LETTER_FILE_HEADER_BYTES, why);
    while (e == OK) {
        struct letter_slot slot, *known;
        e = letter_scan_next(&dl->reader, &entry, why);
        if (e || entry->type != ENTRY_LETTER) continue;
        v = letter_index_find(&dl->index, number);
        if (letter_volume_state(v, entry->number) != LETTER_REPLAYING) continue;
        struct letter_place place = {number, entry->number};
        e = put_letter(dl, &entry->letter, place, &slot, why);
        if (e) break;
        known = letter_table_find(&dl->known, slot.pos, slot.index);
        if (known != NULL) *known = slot;
        ++*called_off;
    }
    return e == ERR_MISSING ? OK : e;
}

/* What marks have said may be lost: so it is said that what is lost is gone, and nothing is sent
 * again before an operator wants it once more. */
static enum err
put_right(struct dead_letters *dl, struct dead_letters_moved *moved, struct why *why)
{
    if (!dl->differs) return OK;
    enum err e = OK;
    const struct letter_volume *newest = letter_index_newest(&dl->index);
    uint32_t last = newest == NULL ? 0 : newest->number;
    for (uint32_t at = 0; at < dl->index.count && e == OK; at++) {
        if (dl->index.volumes[at].unread_count == 0) continue;
        e = mark_volume(dl, at, 1 << LETTER_UNREAD, MARK_GONE, why);
        if (e == OK) letter_volume_see_missing(&dl->index.volumes[at]);
    }
    for (uint32_t at = 0; at < dl->index.count && e == OK; at++) {
        const struct letter_volume *v = &dl->index.volumes[at];
        if (v->number > last || letter_volume_count(v, LETTER_REPLAYING) == 0) continue;
        e = call_off_volume(dl, v->number, &moved->called_off, why);
    }
    if (e == OK) e = flush(dl, why);
    dl->differs = e != OK;
    return e;
}

/* Where some letters are lost all are looked for: who is told tells them by those that are there.
 */
static enum err
find_lost(struct dead_letters *dl, struct why *why)
{
    enum err e = OK;
    uint64_t sum = 0;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        sum += dl->lost[kind];
    }
    for (uint32_t i = 0; i < dl->index.count && sum > 0 && e == OK; i++) {
        e = check_volume(dl, &dl->index.volumes[i], why);
    }
    return e;
}

/* What could not be read any more since this was told last. */
static void
tell_lost(struct dead_letters *dl, struct dead_letters_moved *moved)
{
    uint64_t sum = 0;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        moved->lost[kind] += dl->lost[kind];
        sum += dl->lost[kind];
    }
    if (sum > 0) letter_damage_print(&dl->lost_at, dl->path, moved->lost_at);
    memset(dl->lost, 0, sizeof dl->lost);
}

/* A request that cannot be read or carried out is no reason to let the budget go. */
enum err
dead_letters_tend(struct dead_letters *dl, int64_t now_ms, struct dead_letters_moved *ret_moved,
                  struct why *why)
{
    enum err e = flush(dl, why);
    if (e == OK) e = put_right(dl, ret_moved, why);
    if (e) return e;
    struct why later;
    enum err requests = tend_requests(dl, ret_moved, why);
    e = drop_oldest(dl, now_ms, ret_moved, &later);
    if (e == OK) e = remove_dead(dl, ret_moved, &later);
    if (e == OK) e = find_lost(dl, &later);
    if (requests == OK && e) why_set(why, e, "%s", later.text);
    tell_lost(dl, ret_moved);
    return err_first(requests, e);
}

/* --- replaying -------------------------------------------------------------------------------- */

/* The next in one file, from `replay_offset` on. ERR_MISSING: no further one. */
static enum err
next_of_volume(struct dead_letters *dl, struct letter_volume *v, const struct letter_entry **ret,
               struct why *why)
{
    enum err e = use_reader(dl, v, dl->replay_offset, why);
    while (e == OK) {
        const struct letter_entry *entry;
        e = letter_scan_next(&dl->reader, &entry, why);
        if (e) break;
        dl->replay_offset = entry->offset; /* again, should there be no memory for it */
        bool waits = entry->type == ENTRY_LETTER &&
                     letter_volume_state(v, entry->number) == LETTER_REPLAYING;
        struct letter_slot slot = {entry->letter.pos,
                                   entry->letter.index,
                                   (uint32_t)entry->offset,
                                   {v->number, entry->number}};
        /* Two letters of one identity: the other has to be settled first, at the next start. */
        if (waits && letter_table_find(&dl->given, slot.pos, slot.index) != NULL) waits = false;
        if (waits) e = letter_table_put(&dl->given, &slot);
        if (e) return why_set(why, e, "no memory for a replay");
        dl->replay_offset = dl->reader.offset;
        if (!waits) continue;
        letter_volume_set(v, entry->number, LETTER_GIVEN);
        *ret = entry;
        return OK;
    }
    if (e != ERR_MISSING || letter_volume_count(v, LETTER_REPLAYING) == 0) return e;
    if (dl->checked_file == v->number) return e;
    dl->checked_file = v->number; /* not each time: of two with one identity one waits */
    enum err checked = check_volume(dl, v, why);
    return checked ? checked : e;
}

enum err
dead_letters_next_replay(struct dead_letters *dl, struct dead_letter *ret_letter, struct why *why)
{
    if (dl->differs) return ERR_MISSING; /* replays are called off */
    for (uint32_t i = 0; i < dl->index.count; i++) {
        struct letter_volume *v = &dl->index.volumes[i];
        const struct letter_entry *entry = NULL;
        if (v->number < dl->replay_file || letter_volume_count(v, LETTER_REPLAYING) == 0) continue;
        if (v->number > dl->replay_file) dl->replay_offset = LETTER_FILE_HEADER_BYTES;
        dl->replay_file = v->number;
        enum err e = next_of_volume(dl, v, &entry, why);
        if (e == OK) *ret_letter = entry->letter;
        if (e != ERR_MISSING) return e;
    }
    return ERR_MISSING;
}

/* What a slot says is in the relay's hands is, and is the reader's entry. */
static enum err
load_given(struct dead_letters *dl, const struct letter_slot *slot, struct dead_letter *ret_letter,
           struct why *why)
{
    struct letter_volume *v = letter_index_find(&dl->index, slot->place.file);
    if (v == NULL || letter_volume_state(v, slot->place.number) != LETTER_GIVEN) return ERR_MISSING;
    const struct letter_entry *entry;
    enum err e = use_reader(dl, v, slot->offset, why);
    if (e == OK) e = letter_scan_next(&dl->reader, &entry, why);
    if (e && e != ERR_MISSING) return e;
    bool same = e == OK && entry->type == ENTRY_LETTER && entry->offset == slot->offset &&
                entry->number == slot->place.number && entry->letter.pos == slot->pos &&
                entry->letter.index == slot->index;
    if (same) {
        *ret_letter = entry->letter;
        return OK;
    }
    /* It could be read once, and cannot be any more; nor will it be after a restart. */
    if (!v->leaving && letter_volume_state(v, slot->place.number) != LETTER_GONE) {
        struct letter_damage at = {LETTERS_UNREADABLE, v->number, slot->offset, slot->offset + 1,
                                   1};
        lose_letter(dl, v, slot->place.number, at);
        letters_found_damage(&dl->index.found, &at);
    }
    return ERR_MISSING;
}

enum err
dead_letters_load(struct dead_letters *dl, uint64_t pos, uint32_t index,
                  struct dead_letter *ret_letter, struct why *why)
{
    const struct letter_slot *slot = letter_table_find(&dl->given, pos, index);
    return slot == NULL ? ERR_MISSING : load_given(dl, slot, ret_letter, why);
}

enum err
dead_letters_settle(struct dead_letters *dl, uint64_t pos, uint32_t index, bool delivered,
                    struct bytes reason, struct bytes answer, int64_t now_ms, struct why *why)
{
    const struct letter_slot *slot = letter_table_find(&dl->given, pos, index);
    if (slot == NULL) return ERR_MISSING;
    enum err e = ERR_MISSING;
    struct letter_place place = slot->place;
    if (delivered && state_at(dl, place) == LETTER_GIVEN) {
        e = put_mark(dl, MARK_DELIVERED, place, why);
        if (e == OK) set_state(dl, place, LETTER_GONE);
    } else if (!delivered) {
        struct dead_letter letter;
        struct letter_slot again, *known;
        e = load_given(dl, slot, &letter, why);
        letter.reason = reason;
        letter.answer = answer;
        letter.failed_ms = now_ms;
        if (e == OK) e = put_letter(dl, &letter, place, &again, why);
        known = letter_table_find(&dl->known, pos, index);
        if (e == OK && known != NULL) *known = again;
    }
    if (e == OK || e == ERR_MISSING) letter_table_remove(&dl->given, pos, index);
    return e;
}
