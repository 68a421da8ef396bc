/*
 * dead_letters.c - see dead_letters.h. The relay appends letters, and marks about earlier letters,
 * to the files. The diagram omits the prefix dead_letters_ of the functions:
 *
 *                 add() ---> KEPT --- a request: replay ---> REPLAYING --- next_replay() --> GIVEN
 *                             |  ^                                                             |
 *       a request: drop, budget, |  settle(refused): the same letter again, in a new place     |
 *              age, revoke() |   +-------------------------------------------------------------+
 *                             v                                                                |
 *                            GONE <-------------- settle(delivered) ---------------------------+
 *
 * The index (letter_index.h) has the state of every letter by its place, and the places of those
 * that are looked up by their identity; the writer (letter_writer.h) writes letters and marks. This
 * file adds, revokes, gives out for a replay and settles letters; dead_letters_tend.c carries out
 * what operator, budget and age decide.
 *
 * The index says of a place what the files say, together with entries that wait to be written.
 * Letters that cannot be read are lost: they are reported once, and marks say that they are gone.
 *
 * Invariants:
 * 1. The position that a state keeps is the end of durable entries.
 * 2. A mark is in the file of its letter or in a younger one. So a file without live letters may be
 *    removed only after its marks about older files were written again.
 * 3. File numbers are never used again: the newest file is removed only after the next one is made.
 * 4. A decision about a place is final: a letter that is kept again gets a new place.
 * 5. A file is removed only when the state, and the one before it, know that it is not needed:
 *    otherwise the next start would miss its letters, or its marks.
 */
#include "relay/letters/dead_letters_private.h"

#include <assert.h>

enum {
    FILE_BYTES_MIN = 4 * 1024,
    FILES_OF_BUDGET = 8, /* files of a small budget, so that it is freed in steps */
};

/* --- opening ---------------------------------------------------------------------------------- */

const struct letters_found *
dead_letters_found(const struct dead_letters *dl)
{
    return &dl->index->found;
}

const struct letters_account *
dead_letters_account(const struct dead_letters *dl)
{
    return &dl->account;
}

enum err
dead_letters_open(const struct dead_letters_options *options, struct dead_letters **ret_letters,
                  struct why *why)
{
    struct dead_letters *dl = mem_new(options->memory, sizeof *dl);
    if (dl == NULL) return why_set(why, ERR_NOMEM, "not enough memory for dead letters");
    dl->options = *options;
    dl->index = &dl->writer.index;
    buf_init(&dl->runs, options->memory, LETTER_ENTRY_BYTES_MAX);
    enum err e = letter_writer_init(&dl->writer, options->env, options->dir, options->memory, why);
    const struct letters_known *known = options->known;
    uint64_t file_bytes = options->max_bytes / FILES_OF_BUDGET;
    if (file_bytes < FILE_BYTES_MIN) file_bytes = FILE_BYTES_MIN;
    dl->writer.file_bytes_max = file_bytes < LETTER_FILE_BYTES ? file_bytes : LETTER_FILE_BYTES;
    dl->writer.max_age_ms = options->max_age_ms;
    if (e) goto out;
    e = letter_index_read(dl->index, options->env, dl->writer.path, known, why);
    if (e == ERR_MISSING) e = OK;
    if (e == ERR_NOMEM) why_set(why, e, "not enough memory for the index of dead letters");
    if (e == OK) e = letter_writer_begin(&dl->writer, why);
    if (e) goto out;
    const struct letter_volume *v = letter_index_newest(dl->index);
    const struct letters_mark *mark = known != NULL && known->mark.known ? &known->mark : NULL;
    if (known != NULL) letters_compare(known, &dl->index->found, &dl->account);
    dl->differs = dl->account.differs;
    for (uint32_t i = 0; i < dl->index->count && !dl->differs; i++) {
        letter_volume_see_missing(&dl->index->volumes[i]);
    }
    dl->writer.number_min = mark != NULL ? mark->file + 1 : 1;
    dl->whole_from = 1;
    if (v != NULL) dl->whole_from = v->number + v->damaged;
    if (mark != NULL) dl->whole_from = mark->whole_from;
    if (mark != NULL) dl->saved = (struct letter_pos){mark->file, mark->offset};
    dl->options.known = NULL;

    *ret_letters = dl;
    dl = NULL;
out:
    dead_letters_free(dl);
    return e;
}

void
dead_letters_close_reader(struct dead_letters *dl)
{
    if (dl->reader_file != 0) letter_scan_close(&dl->reader);
    dl->reader_file = 0;
}

void
dead_letters_free(struct dead_letters *dl)
{
    if (dl == NULL) return;
#ifdef LOCK_CHECK
    letter_index_validate(dl->index);
#endif
    dead_letters_close_reader(dl);
    letter_writer_fini(&dl->writer);
    buf_fini(&dl->runs);
    mem_free(dl->options.memory, dl, sizeof *dl);
}

/* --- added and revoked letters ---------------------------------------------------------------- */

enum err
dead_letters_add(struct dead_letters *dl, const struct dead_letter *letter, struct why *why)
{
    struct letter_slot *known = letter_slots_find(&dl->index->again, letter->pos, letter->index);
    struct letter_place before = known == NULL ? (struct letter_place){0, 0} : known->place;
    struct letter_slot slot;
    enum err e = letter_writer_letter(&dl->writer, letter, before, &slot, why);
    if (e == OK && known != NULL) *known = slot;
    return e;
}

/* Revokes a letter, unless it is gone. */
static enum err
revoke(struct dead_letters *dl, struct letter_place place, struct why *why)
{
    if (letter_index_state(dl->index, place) == LETTER_GONE) return OK;
    enum err e = letter_writer_mark(&dl->writer, MARK_REVOKED, place, why);
    if (e == OK) letter_index_set(dl->index, place, LETTER_GONE);
    return e;
}

enum err
dead_letters_revoke(struct dead_letters *dl, uint64_t pos, uint32_t index, struct why *why)
{
    const struct letter_slot *known = letter_slots_find(&dl->index->again, pos, index);
    return known == NULL ? OK : revoke(dl, known->place, why);
}

enum err
dead_letters_revoke_known(struct dead_letters *dl, struct why *why)
{
    enum err e = OK;
    for (uint32_t i = 0; i < dl->index->again.count && e == OK; i++) {
        e = revoke(dl, dl->index->again.slots[i].place, why);
    }
    return e;
}

enum err
dead_letters_sync(struct dead_letters *dl, struct why *why)
{
    return letter_writer_sync(&dl->writer, why);
}

void
dead_letters_mark(struct dead_letters *dl, struct letters_mark *ret_mark)
{
    const struct letter_volume *newest = letter_index_newest(dl->index);
    assert(letter_writer_is_synced(&dl->writer)); /* invariant 1 */
    dl->noted = letter_writer_end_pos(&dl->writer);
    struct letters_mark m = {
        .known = true,
        .file = dl->noted.file,
        .offset = dl->noted.offset,
        .letter_count = newest == NULL ? 0 : newest->letter_count,
        .whole_from = dl->whole_from,
    };
    for (uint32_t i = 0; i < dl->index->count; i++) {
        const struct letter_volume *v = &dl->index->volumes[i];
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

void
dead_letters_counts(const struct dead_letters *dl, struct dead_letters_counts *ret_counts)
{
    struct dead_letters_counts c = {.bytes = dl->writer.pending.size,
                                    .damaged = dl->index->found.damaged};
    for (uint32_t i = 0; i < dl->index->count; i++) {
        const struct letter_volume *v = &dl->index->volumes[i];
        c.bytes += v->bytes;
        for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
            c.letters[kind] += v->counts[LETTER_KEPT][kind];
            c.replaying[kind] += v->counts[LETTER_REPLAYING][kind];
            c.replaying[kind] += v->counts[LETTER_GIVEN][kind];
        }
    }
    *ret_counts = c;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* A live letter cannot be read any more. */
static void
lose_letter(struct dead_letters *dl, struct letter_volume *v, uint32_t number,
            struct letter_damage at)
{
    enum item_kind kind = letter_volume_kind(v, number);
    letter_volume_set(v, number, LETTER_GONE);
    if (kinds_sum(dl->lost) == 0) dl->lost_at = at;
    dl->lost[kind]++;
}

/* A file was removed from outside. */
static void
lose_volume(struct dead_letters *dl, struct letter_volume *v)
{
    struct letter_damage at = {LETTERS_MISSING, v->number, 0, 0, 0};
    for (uint32_t i = 0; i < v->letter_count; i++) {
        if (letter_volume_state(v, i) != LETTER_GONE) lose_letter(dl, v, i, at);
    }
    v->clean = false;
    letters_found_damage(&dl->index->found, &at);
}

void
dead_letters_note_moved(struct dead_letters *dl, const struct letter_slot *slot)
{
    struct letter_slot *known = letter_slots_find(&dl->index->again, slot->pos, slot->index);
    if (known != NULL) *known = *slot;
}

enum err
dead_letters_use_reader(struct dead_letters *dl, struct letter_volume *v, uint64_t offset,
                        struct why *why)
{
    if (v->leaving) return ERR_MISSING;
    if (dl->reader_file != v->number) {
        char path[LETTER_FILE_PATH_BYTES];
        dead_letters_close_reader(dl);
        enum err e = letter_writer_path(&dl->writer, v->number, path, why);
        if (e == OK) {
            e = letter_scan_open(&dl->reader, dl->options.env, path, dl->options.memory, why);
        }
        if (e == ERR_MISSING) lose_volume(dl, v);
        if (e) return e;
        dl->reader_file = v->number;
    }
    assert(dl->reader_file == v->number);
    letter_scan_seek(&dl->reader, offset, v->bytes);
    return OK;
}

enum err
dead_letters_next(struct dead_letters *dl, const struct letter_volume *v,
                  const struct letter_entry **ret_entry, struct why *why)
{
    enum err e = OK;
    const struct letter_entry *entry;
    while ((e = letter_scan_next(&dl->reader, &entry, why)) == OK) {
        if (entry->type != ENTRY_LETTER) continue;
        if (letter_volume_state(v, entry->number) == LETTER_GONE) continue;
        *ret_entry = entry;
        return OK;
    }
    return e;
}

enum err
dead_letters_check_volume(struct dead_letters *dl, struct letter_volume *v, struct why *why)
{
    struct letter_runs runs;
    const struct letter_entry *entry;
    if (v->leaving || v->letter_count == 0) return OK;
    enum err e = letter_writer_sync(&dl->writer, why); /* entries that wait must be found as well */
    if (e) return e;
    buf_clear(&dl->runs);
    letter_runs_begin(&runs, &dl->runs);
    e = dead_letters_use_reader(dl, v, LETTER_FILE_HEADER_BYTES, why);
    while (e == OK) {
        e = letter_scan_next(&dl->reader, &entry, why);
        if (e == OK && entry->type == ENTRY_LETTER) letter_runs_add(&runs, entry->number);
    }
    if (e != ERR_MISSING) return e;
    letter_runs_end(&runs);
    e = buf_error(&dl->runs);
    if (e) return why_set(why, e, "not enough memory for dead letters");
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
    if (any) letters_found_damage(&dl->index->found, &at);
    return OK;
}

/* --- another state ---------------------------------------------------------------------------- */

enum err
dead_letters_each_alive(struct dead_letters *dl,
                        enum err (*each)(void *context, const struct dead_letter *letter,
                                         bool kept),
                        void *context, struct why *why)
{
    enum err e = letter_writer_sync(&dl->writer, why);
    for (uint32_t i = 0; i < dl->index->count && e == OK; i++) {
        struct letter_volume *v = &dl->index->volumes[i];
        const struct letter_entry *entry;
        if (letter_volume_live(v) > 0)
            e = dead_letters_use_reader(dl, v, LETTER_FILE_HEADER_BYTES, why);
        while (e == OK && letter_volume_live(v) > 0 &&
               (e = dead_letters_next(dl, v, &entry, why)) == OK) {
            bool kept = letter_volume_state(v, entry->number) == LETTER_KEPT;
            e = each(context, &entry->letter, kept);
        }
        if (e == ERR_MISSING) e = OK;
    }
    return e;
}

struct letters_again {
    const struct letters_known *next;
    uint64_t kept[ITEM_KIND_COUNT], replaying[ITEM_KIND_COUNT];
};

static enum err
note_again(void *context, const struct dead_letter *letter, bool kept)
{
    struct letters_again *again = context;
    uint64_t *counts = kept ? again->kept : again->replaying;
    counts[letter->item.kind] += !letters_count_has(again->next, letter);
    return OK;
}

enum err
dead_letters_count_again(struct dead_letters *dl, const struct letters_known *next,
                         uint64_t ret_kept[ITEM_KIND_COUNT],
                         uint64_t ret_replaying[ITEM_KIND_COUNT], struct why *why)
{
    struct letters_again again = {.next = next};
    enum err e = dead_letters_each_alive(dl, note_again, &again, why);
    if (e) return e;
    memcpy(ret_kept, again.kept, sizeof again.kept);
    memcpy(ret_replaying, again.replaying, sizeof again.replaying);
    return OK;
}

/* --- replaying -------------------------------------------------------------------------------- */

/* Finds the next replaying letter of a file, from `replay_offset` on. ERR_MISSING: there is none.
 */
static enum err
next_of_volume(struct dead_letters *dl, struct letter_volume *v, const struct letter_entry **ret,
               struct why *why)
{
    assert(dl->replay_offset >= LETTER_FILE_HEADER_BYTES);
    enum err e = dead_letters_use_reader(dl, v, dl->replay_offset, why);
    while (e == OK) {
        const struct letter_entry *entry;
        e = letter_scan_next(&dl->reader, &entry, why);
        if (e) break;
        dl->replay_offset = entry->offset; /* read again if memory is refused */
        bool waits = entry->type == ENTRY_LETTER &&
                     letter_volume_state(v, entry->number) == LETTER_REPLAYING;
        struct letter_slot slot = {entry->letter.pos,
                                   entry->letter.index,
                                   (uint32_t)entry->offset,
                                   {v->number, entry->number}};
        /* The second of two letters with one identity waits until the next start. */
        if (waits && letter_slots_find(&dl->index->given, slot.pos, slot.index) != NULL)
            waits = false;
        if (waits) e = letter_slots_add(&dl->index->given, dl->options.memory, &slot);
        if (e) return why_set(why, e, "not enough memory for a replay");
        dl->replay_offset = dl->reader.offset;
        if (!waits) continue;
        letter_volume_set(v, entry->number, LETTER_GIVEN);
        *ret = entry;
        return OK;
    }
    if (e != ERR_MISSING || letter_volume_count(v, LETTER_REPLAYING) == 0) return e;
    if (dl->checked_file == v->number) return e;
    dl->checked_file = v->number; /* once: a letter may wait for another one of its identity */
    enum err checked = dead_letters_check_volume(dl, v, why);
    return checked ? checked : e;
}

enum err
dead_letters_next_replay(struct dead_letters *dl, struct dead_letter *ret_letter, struct why *why)
{
    if (dl->differs) return ERR_MISSING; /* replays are called off */
    for (uint32_t i = 0; i < dl->index->count; i++) {
        struct letter_volume *v = &dl->index->volumes[i];
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

/* Reads the letter of a slot again, if it is still given to the relay. */
static enum err
load_given(struct dead_letters *dl, const struct letter_slot *slot, struct dead_letter *ret_letter,
           struct why *why)
{
    struct letter_volume *v = letter_index_find(dl->index, slot->place.file);
    if (v == NULL || letter_volume_state(v, slot->place.number) != LETTER_GIVEN) return ERR_MISSING;
    const struct letter_entry *entry;
    enum err e = dead_letters_use_reader(dl, v, slot->offset, why);
    if (e == OK) e = letter_scan_next(&dl->reader, &entry, why);
    if (e && e != ERR_MISSING) return e;
    bool same = e == OK && entry->type == ENTRY_LETTER && entry->offset == slot->offset &&
                entry->number == slot->place.number && entry->letter.pos == slot->pos &&
                entry->letter.index == slot->index;
    if (same) {
        *ret_letter = entry->letter;
        return OK;
    }
    /* It could be read before, so it was damaged since. */
    if (!v->leaving && letter_volume_state(v, slot->place.number) != LETTER_GONE) {
        struct letter_damage at = {LETTERS_UNREADABLE, v->number, slot->offset, slot->offset + 1,
                                   1};
        lose_letter(dl, v, slot->place.number, at);
        letters_found_damage(&dl->index->found, &at);
    }
    return ERR_MISSING;
}

enum err
dead_letters_load(struct dead_letters *dl, uint64_t pos, uint32_t index,
                  struct dead_letter *ret_letter, struct why *why)
{
    const struct letter_slot *slot = letter_slots_find(&dl->index->given, pos, index);
    return slot == NULL ? ERR_MISSING : load_given(dl, slot, ret_letter, why);
}

enum err
dead_letters_settle(struct dead_letters *dl, uint64_t pos, uint32_t index, bool delivered,
                    struct bytes reason, struct bytes answer, int64_t now_ms, struct why *why)
{
    const struct letter_slot *slot = letter_slots_find(&dl->index->given, pos, index);
    if (slot == NULL) return ERR_MISSING;
    enum err e = ERR_MISSING;
    struct letter_place place = slot->place;
    if (delivered && letter_index_state(dl->index, place) == LETTER_GIVEN) {
        e = letter_writer_mark(&dl->writer, MARK_DELIVERED, place, why);
        if (e == OK) letter_index_set(dl->index, place, LETTER_GONE);
    } else if (!delivered) {
        struct dead_letter letter;
        struct letter_slot again;
        e = load_given(dl, slot, &letter, why);
        letter.reason = reason;
        letter.answer = answer;
        letter.failed_ms = now_ms;
        if (e == OK) e = letter_writer_letter(&dl->writer, &letter, place, &again, why);
        if (e == OK) dead_letters_note_moved(dl, &again);
    }
    if (e == OK || e == ERR_MISSING) letter_slots_remove(&dl->index->given, pos, index);
    return e;
}
