/*
 * dead_letters_tend.c - carries out what operator, budget and age decide about letters, and repairs
 * after damage: executes requests, gives up the oldest files, and removes files without live
 * letters.
 *
 *     alive -- drop_oldest(), or its last letter goes --> dead -- release_dead(): its marks about
 *     others are written again --> released -- remove_dead(): two states know that --> removed
 *
 * The invariants are those of dead_letters.c.
 */
#include "relay/letters/dead_letters_private.h"

#include <assert.h>

#include "relay/letters/letter_request.h"

/* --- requests --------------------------------------------------------------------------------- */

static enum err
report_move(struct dead_letters *dl, const struct dead_letter *letter, enum letter_move move,
            struct why *why)
{
    bool counted = false;
    if (dl->options.moves == NULL) return OK;
    enum err e = dl->options.moves(dl->options.context, letter, move, &counted);
    if (e) return why_set(why, e, "not enough memory to count a removed dead letter");
    dl->counted[letter->item.kind] += counted;
    if (move == LETTER_AGAIN_FULL) dl->counted_again[letter->item.kind] += counted;
    return OK;
}

/* Collects the letters of a file that a request selects in dl->runs, and with `reports` reports
 * each to the caller's function. `ret_all`: all live letters were read. */
static enum err
collect(struct dead_letters *dl, struct letter_volume *v, const struct letter_request *r,
        bool reports, bool *ret_all, struct why *why)
{
    struct letter_runs runs;
    const struct letter_entry *entry;
    buf_clear(&dl->runs);
    memset(dl->counted, 0, sizeof dl->counted);
    letter_runs_begin(&runs, &dl->runs);
    uint64_t met = 0;
    enum err e = dead_letters_use_reader(dl, v, LETTER_FILE_HEADER_BYTES, why);
    while (e == OK && (e = dead_letters_next(dl, v, &entry, why)) == OK) {
        met++;
        if (letter_volume_state(v, entry->number) != LETTER_KEPT) continue;
        if (!letter_request_means(r, v->number, entry->offset, entry->letter.reason)) continue;
        letter_runs_add(&runs, entry->number);
        bool drop = r->wish == DEAD_LETTERS_DROP;
        if (reports) e = report_move(dl, &entry->letter, drop ? LETTER_DROPPED : LETTER_AGAIN, why);
    }
    if (e != ERR_MISSING) return e;
    letter_runs_end(&runs);
    e = buf_error(&dl->runs);
    if (e) return why_set(why, e, "not enough memory for a request");
    *ret_all = met >= letter_volume_live(v);
    return OK;
}

static enum err
carry_out(struct dead_letters *dl, const struct letter_request *r, struct dead_letters_moved *moved,
          struct why *why)
{
    bool drop = r->wish == DEAD_LETTERS_DROP;
    if (!drop) dl->replay_file = dl->checked_file = 0; /* some are before where it is */
    for (uint32_t i = 0; i < dl->index->count; i++) {
        struct letter_volume *v = &dl->index->volumes[i];
        if (v->number > r->file) break;
        if (letter_volume_count(v, LETTER_KEPT) == 0) continue;
        bool all = false;
        enum err e = collect(dl, v, r, false, &all, why);
        if (e == OK && !all) e = dead_letters_check_volume(dl, v, why);
        bool any = !all || dl->runs.size > 0;
        /* Letters that turn out to be lost are not counted as moved too. */
        if (e == OK && any) e = collect(dl, v, r, true, &all, why);
        if (e) return e;
        if (dl->runs.size == 0) continue;
        e = letter_writer_marks(&dl->writer, drop ? MARK_DROPPED : MARK_REPLAYING, v->number,
                                buf_bytes(&dl->runs), why);
        if (e) return e;
        v = &dl->index->volumes[i]; /* a further file may have moved them */
        struct cursor runs = cursor_of(buf_bytes(&dl->runs));
        uint32_t behind = 0, first, count;
        while (letter_runs_next(&runs, &behind, &first, &count)) {
            for (uint32_t number = first; number < behind; number++) {
                (drop ? moved->dropped : moved->replaying)[letter_volume_kind(v, number)]++;
                letter_volume_set(v, number, drop ? LETTER_GONE : LETTER_REPLAYING);
            }
        }
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
        letter_requests_read(&requests, dl->options.env, dl->writer.path, dl->options.memory, why);
    if (e) return e == ERR_MISSING ? OK : e;
    for (uint32_t i = 0; i < requests.count && e == OK; i++) {
        const struct letter_request *r = &requests.items[i];
        moved->requests_damaged += r->damaged;
        if (!r->damaged) e = carry_out(dl, r, moved, why);
        if (e == OK) e = letter_writer_sync(&dl->writer, why);
        if (e == OK) e = letter_request_remove(dl->options.env, dl->writer.path, r, why);
    }
    letter_requests_fini(&requests);
    return e;
}

/* --- files go --------------------------------------------------------------------------------- */

static bool
is_newest(const struct dead_letters *dl, const struct letter_volume *v)
{
    return v == letter_index_newest(dl->index);
}

static bool
is_dead(const struct dead_letters *dl, const struct letter_volume *v)
{
    return !is_newest(dl, v) && letter_volume_live(v) == 0;
}

/*
 * The number of the last dead file that is worth removing. Removing those before the first live
 * file costs nothing. For the others, marks have to be written again, at most a byte per letter;
 * that should be much less than what is gained.
 */
static uint32_t
dead_end(const struct dead_letters *dl)
{
    uint64_t letters = 0, gain = 0;
    uint32_t end = 0;
    for (uint32_t i = 0; i < dl->index->count; i++) {
        const struct letter_volume *v = &dl->index->volumes[i];
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

/* Releases files without live letters: they may be removed once their marks about other files are
 * written again and states know that. */
static enum err
release_dead(struct dead_letters *dl, struct why *why)
{
    enum err e = OK;
    const struct letter_volume *newest = letter_index_newest(dl->index);
    bool newest_dead =
        newest != NULL && newest->letter_count > 0 && letter_volume_live(newest) == 0;
    /* The newest file ends if it is large or alone. */
    if (newest_dead && (newest->bytes >= dl->writer.file_bytes_max / 4 || dl->index->count == 1)) {
        e = letter_writer_end(&dl->writer, why);
    }
    uint32_t end = dead_end(dl);
    const struct letter_volume *last = letter_index_find(dl->index, end);
    uint32_t behind = last == NULL ? 0 : (uint32_t)(last - dl->index->volumes);
    for (uint32_t i = 0; i < behind && e == OK; i++) {
        enum { AGAIN = 1 << LETTER_REPLAYING | 1 << LETTER_GIVEN };
        if (is_dead(dl, &dl->index->volumes[i])) continue;
        e = letter_writer_mark_states(&dl->writer, i, 1 << LETTER_GONE, MARK_GONE, why);
        if (e == OK) e = letter_writer_mark_states(&dl->writer, i, AGAIN, MARK_REPLAYING, why);
    }
    if (e == OK) e = letter_writer_sync(&dl->writer, why);
    for (uint32_t i = 0; i < dl->index->count && e == OK; i++) {
        struct letter_volume *v = &dl->index->volumes[i];
        if (v->number > end || v->released || !is_dead(dl, v)) continue;
        v->released = true;
        v->release = letter_writer_end_pos(&dl->writer);
    }
    return e;
}

static enum err
remove_dead(struct dead_letters *dl, struct dead_letters_moved *moved, struct why *why)
{
    enum err e = release_dead(dl, why);
    for (uint32_t i = 0; i < dl->index->count && e == OK;) {
        struct letter_volume *v = &dl->index->volumes[i];
        const struct letter_pos *known = &dl->saved_before, *release = &v->release;
        bool goes =
            v->released && (release->file < known->file ||
                            (release->file == known->file && release->offset <= known->offset));
        moved->waits |= v->released && !goes;
        if (!goes) {
            i++;
            continue;
        }
        assert(!is_newest(dl, v));            /* invariant 3 */
        assert(letter_volume_live(v) == 0);   /* invariant 2 */
        assert(release->file <= known->file); /* invariant 5 */
        /* From now on, until its name is durably removed, nothing of it is read. */
        char path[LETTER_FILE_PATH_BYTES];
        e = letter_writer_path(&dl->writer, v->number, path, why);
        if (dl->reader_file == v->number) dead_letters_close_reader(dl);
        v->leaving = true;
        if (e == OK) e = env_unlink(dl->options.env, path, why);
        if (e == OK) e = letter_writer_sync_names(&dl->writer, why);
        if (e == OK) letter_index_remove(dl->index, i);
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

/* The bytes of files with live letters; dead ones only wait for a state. */
static uint64_t
bytes_alive(const struct dead_letters *dl)
{
    uint64_t bytes = dl->writer.pending.size;
    for (uint32_t i = 0; i < dl->index->count; i++) {
        const struct letter_volume *v = &dl->index->volumes[i];
        if (!is_dead(dl, v)) bytes += v->bytes;
    }
    return bytes;
}

/* Reports each letter of a file as dropped. A file that cannot be read is dropped all the same: its
 * items count as being before the cursor. */
static enum err
report_volume(struct dead_letters *dl, uint32_t at, struct why *why)
{
    struct letter_volume *v = &dl->index->volumes[at];
    const struct letter_entry *entry;
    memset(dl->counted, 0, sizeof dl->counted);
    memset(dl->counted_again, 0, sizeof dl->counted_again);
    if (dl->options.moves == NULL || letter_volume_live(v) == 0) return OK;
    enum err e = letter_writer_sync(&dl->writer, why);
    if (e) return e;
    e = dead_letters_use_reader(dl, v, LETTER_FILE_HEADER_BYTES, why);
    while (e == OK && (e = dead_letters_next(dl, v, &entry, why)) == OK) {
        bool kept = letter_volume_state(v, entry->number) == LETTER_KEPT;
        e = report_move(dl, &entry->letter, kept ? LETTER_FULL : LETTER_AGAIN_FULL, why);
    }
    return e == ERR_NOMEM ? e : OK;
}

/* Drops all letters of a file, which is dead then. */
static enum err
drop_volume(struct dead_letters *dl, uint32_t at, struct dead_letters_moved *moved, struct why *why)
{
    enum { ALIVE = 1 << LETTER_KEPT | 1 << LETTER_REPLAYING | 1 << LETTER_GIVEN };
    assert(at + 1 < dl->index->count); /* the newest file is ended before */
    enum err e = report_volume(dl, at, why);
    if (e == OK) e = letter_writer_mark_states(&dl->writer, at, ALIVE, MARK_GONE, why);
    struct letter_volume *v = &dl->index->volumes[at];
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

/* Drops the oldest file as long as all have too many bytes, or it is too old. */
static enum err
drop_oldest(struct dead_letters *dl, int64_t now_ms, struct dead_letters_moved *moved,
            struct why *why)
{
    enum err e = OK;
    for (uint32_t at = 0; at < dl->index->count && e == OK; at++) {
        const struct letter_volume *v = &dl->index->volumes[at];
        if (is_dead(dl, v)) continue;
        if (is_newest(dl, v) && v->letter_count == 0) break;
        bool full = bytes_alive(dl) > dl->options.max_bytes;
        if (!full && !is_too_old(dl, v, now_ms)) break;
        e = is_newest(dl, v) ? letter_writer_end(&dl->writer, why) : OK;
        if (e == OK) e = drop_volume(dl, at, moved, why);
    }
    return e == OK ? letter_writer_sync(&dl->writer, why) : e;
}

/* --- after damage ----------------------------------------------------------------------------- */

/* Makes letters that were being replayed kept letters again, in a new place (invariant 4). */
static enum err
call_off_volume(struct dead_letters *dl, uint32_t number, uint64_t *called_off, struct why *why)
{
    struct letter_volume *v = letter_index_find(dl->index, number);
    const struct letter_entry *entry;
    enum err e = letter_writer_sync(&dl->writer, why);
    if (e == OK) e = dead_letters_use_reader(dl, v, LETTER_FILE_HEADER_BYTES, why);
    while (e == OK) {
        struct letter_slot slot;
        e = letter_scan_next(&dl->reader, &entry, why);
        if (e || entry->type != ENTRY_LETTER) continue;
        v = letter_index_find(dl->index, number);
        if (letter_volume_state(v, entry->number) != LETTER_REPLAYING) continue;
        struct letter_place place = {number, entry->number};
        e = letter_writer_letter(&dl->writer, &entry->letter, place, &slot, why);
        if (e) break;
        assert(slot.place.file != number || slot.place.number > entry->number); /* invariant 4 */
        dead_letters_note_moved(dl, &slot);
        ++*called_off;
    }
    return e == ERR_MISSING ? OK : e;
}

/* Marks may be lost: writes that missing letters are gone, and cancels replays, until an operator
 * requests them again. */
static enum err
put_right(struct dead_letters *dl, struct dead_letters_moved *moved, struct why *why)
{
    if (!dl->differs) return OK;
    enum err e = OK;
    const struct letter_volume *newest = letter_index_newest(dl->index);
    uint32_t last = newest == NULL ? 0 : newest->number;
    for (uint32_t at = 0; at < dl->index->count && e == OK; at++) {
        if (dl->index->volumes[at].unread_count == 0) continue;
        e = letter_writer_mark_states(&dl->writer, at, 1 << LETTER_UNREAD, MARK_GONE, why);
        if (e == OK) letter_volume_see_missing(&dl->index->volumes[at]);
    }
    for (uint32_t at = 0; at < dl->index->count && e == OK; at++) {
        const struct letter_volume *v = &dl->index->volumes[at];
        if (v->number > last || letter_volume_count(v, LETTER_REPLAYING) == 0) continue;
        e = call_off_volume(dl, v->number, &moved->called_off, why);
    }
    if (e == OK) e = letter_writer_sync(&dl->writer, why);
    dl->differs = e != OK;
    return e;
}

/* The budget is enforced even if a request cannot be read or carried out. */
enum err
dead_letters_tend(struct dead_letters *dl, int64_t now_ms, struct dead_letters_moved *ret_moved,
                  struct why *why)
{
    enum err e = letter_writer_sync(&dl->writer, why);
    if (e == OK) e = put_right(dl, ret_moved, why);
    if (e) return e;
    struct why later;
    enum err requests = tend_requests(dl, ret_moved, why);
    e = drop_oldest(dl, now_ms, ret_moved, &later);
    if (e == OK) e = remove_dead(dl, ret_moved, &later);
    /* If some letters are lost, all files are checked: the caller reports the lost ones by
     * comparing with those that are there. */
    bool any_lost = kinds_sum(dl->lost) > 0;
    for (uint32_t i = 0; i < dl->index->count && any_lost && e == OK; i++) {
        e = dead_letters_check_volume(dl, &dl->index->volumes[i], &later);
    }
    if (requests == OK && e) why_set(why, e, "%s", later.text);
    if (any_lost) letter_damage_print(&dl->lost_at, dl->writer.path, ret_moved->lost_at);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        ret_moved->lost[kind] += dl->lost[kind];
    }
    memset(dl->lost, 0, sizeof dl->lost);
    return err_first(requests, e);
}
