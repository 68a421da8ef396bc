/*
 * letters_found.c - see letters_found.h.
 *
 * The state is written after the files of letters, and has a position in them. Entries after that
 * position are added to the state. Up to it the letters in the files must be those of the state,
 * which a sum of hashes shows. If they differ, letters are lost or back; the number of each is
 * known only from numbers of letters that are missing in files: otherwise a lost letter hides one
 * that is back.
 */
#include "relay/letters/letters_found.h"

#include <inttypes.h>
#include <stdio.h>

void
letters_found_damage(struct letters_found *found, const struct letter_damage *damage)
{
    found->damaged++;
    found->missing_files += damage->kind == LETTERS_MISSING;
    if (found->first_count < DEAD_LETTERS_TEXTS) found->first[found->first_count++] = *damage;
}

void
letter_damage_print(const struct letter_damage *d, const char *dir,
                    char to[DEAD_LETTERS_TEXT_BYTES])
{
    char name[LETTER_FILE_NAME_BYTES];
    letter_file_name(d->file, name);
    int size = snprintf(to, DEAD_LETTERS_TEXT_BYTES, "%.*s/%s: ", 256, dir, name);
    char *at = to + size;
    size_t room = DEAD_LETTERS_TEXT_BYTES - (size_t)size;
    switch (d->kind) {
    case LETTERS_UNREADABLE:
        snprintf(at, room,
                 "%" PRIu64 " bytes at offset %" PRIu64 " cannot be read (at most %" PRIu32
                 " dead letters)",
                 d->end - d->offset, d->offset, d->letters);
        return;
    case LETTERS_CUT:
        if (d->end == 0)
            snprintf(at, room, "ends at offset %" PRIu64 " without its last entry", d->offset);
        else
            snprintf(at, room, "ends at offset %" PRIu64 " instead of %" PRIu64, d->offset, d->end);
        return;
    case LETTERS_MISSING:
        snprintf(at, room, "the file is missing");
        return;
    }
}

static bool
is_before_cursor(const struct letters_known *k, const struct dead_letter *l)
{
    return l->pos < k->cursor_pos || (l->pos == k->cursor_pos && l->index < k->cursor_index);
}

/* True for a letter of the log that the present fill makes void. */
static bool
is_void(const struct letters_known *k, const struct dead_letter *l)
{
    if (k->again_pos == 0 || l->pos >= k->fill_to_pos) return false;
    return l->pos > k->again_pos || (l->pos == k->again_pos && l->index >= k->again_index);
}

/* Says whether the account counts a letter. Not counted are items that are read again: those after
 * the cursor, and those that the present fill or replay covers. */
bool
letters_count_has(const struct letters_known *k, const struct dead_letter *l)
{
    bool filling = is_fill_pos(k->cursor_pos);
    if (is_fill_pos(l->pos)) return !filling || is_before_cursor(k, l);
    if (filling && is_void(k, l)) return false;
    bool of_replay = l->pos < k->begin_pos;
    if (filling) return !of_replay || l->pos < k->fill_to_pos || l->item.t_ms < k->begin_ms;
    return is_before_cursor(k, l) || (of_replay && l->item.t_ms < k->begin_ms);
}

/* --- the account ------------------------------------------------------------------------------ */

static uint64_t
less(uint64_t from, uint64_t what)
{
    return from > what ? from - what : 0;
}

/* An older version's state does not say how many were sent again. */
static uint64_t
replaying_before(const struct letters_known *k, const struct letters_found *f, unsigned kind)
{
    if (k->mark.known) return k->mark.replaying[kind];
    uint64_t moved = less(k->dead_lettered[kind], f->kept[kind]);
    return less(f->replaying[kind], moved);
}

static bool
is_as_it_was(const struct letters_known *k, const struct letters_found *f)
{
    bool same = f->print == k->mark.print;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        same &= f->live[kind] == k->mark.live[kind];
    }
    return same;
}

/* At least `missing` letters are lost. Letters that seem to be there in their place are back; their
 * kinds are unknown. */
static void
part_lost_and_back(struct letters_account *a, uint64_t missing,
                   const uint64_t expected[ITEM_KIND_COUNT])
{
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        missing = less(missing, a->lost[kind]);
    }
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT && missing > 0; kind++) {
        uint64_t room = less(expected[kind], a->lost[kind]);
        uint64_t more = missing < room ? missing : room;
        a->lost[kind] += more;
        a->back[kind] += more;
        missing -= more;
    }
}

/*
 * An older version subtracted letters after the cursor that were dropped for budget or age from
 * those before it, so its number may be below 0. Its account lacks that many letters.
 */
static uint64_t
taken_from_others(const struct letters_known *k, const struct letters_found *f, unsigned kind)
{
    const uint64_t *moved = f->moved[kind];
    uint64_t has = k->dead_lettered[kind];
    if (!k->mark.known || (int64_t)has >= 0) return 0;
    uint64_t were = f->kept[kind] + f->replaying[kind] + moved[MARK_DELIVERED] +
                    moved[MARK_DROPPED] + moved[MARK_GONE];
    return were - (has + k->mark.replaying[kind]);
}

void
letters_compare(const struct letters_known *k, const struct letters_found *f,
                struct letters_account *a)
{
    uint64_t expected[ITEM_KIND_COUNT];
    memset(a, 0, sizeof *a);
    a->differs = k->mark.known && !is_as_it_was(k, f);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        const uint64_t *moved = f->moved[kind];
        uint64_t left = k->dead_lettered[kind] + replaying_before(k, f, kind);
        a->taken[kind] = taken_from_others(k, f, kind);
        left += a->taken[kind];
        a->delivered[kind] = moved[MARK_DELIVERED];
        a->dropped[kind] = moved[MARK_DROPPED];
        a->dropped_full[kind] = moved[MARK_GONE];
        a->replaying[kind] = f->replaying[kind];
        left = less(left, moved[MARK_DELIVERED] + moved[MARK_DROPPED] + moved[MARK_GONE]);
        expected[kind] = left;
        a->dead_lettered[kind] = less(left, f->replaying[kind]);
        if (k->mark.known && !a->differs) continue;
        uint64_t found = f->kept[kind] + f->replaying[kind];
        a->dead_lettered[kind] = f->kept[kind];
        a->lost[kind] = less(left, found);
        a->back[kind] = less(found, left);
        a->differs |= a->lost[kind] > 0;
    }
    if (a->differs) part_lost_and_back(a, f->missing, expected);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        a->taken[kind] += a->back[kind];
        if (!k->mark.known) a->taken[kind] += replaying_before(k, f, kind);
    }
}
