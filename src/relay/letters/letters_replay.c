/*
 * letters_replay.c - sends again the files of dead letters that an operator has handed back, the
 * oldest first, one at a time. They have a lane of their own beside those of the log: later samples
 * of their series were sent long ago, so there is no order to keep.
 *
 * The text of the file is unpacked into a file of its own, because the lanes read lines again. In
 * calls lines have the record number REPLAY_RECORD, and as index their number since the run began.
 * A line stays a dead letter until it and all lines before it are settled; then the list moves its
 * position in the file, in the same state as the account. After a crash, lines after that position
 * are sent again, and new lines of theirs do not exist.
 *
 * Invariants:
 * 1. given[0] begins at list.replay_at of the lowest file, whose number is replay.number.
 * 2. Each index in a call is of a line in `given`.
 */
#include <assert.h>

#include "base/array.h"
#include "base/log.h"
#include "relay/letters/letters_private.h"

enum { READ_BYTES = 64 * 1024, GIVEN_MAX = 1 << 20 };

#define TEXT_NAME "replayed.tmp"

/* Begins with the lowest file that is handed back. ERR_MISSING: there is none. */
static enum err
begin_file(struct letters *l, struct why *why)
{
    struct letters_replay *p = &l->replay;
    if (p->number != 0) return OK;
    if (!letter_list_replays(&l->list, 0)) return ERR_MISSING;
    const struct letter_file *file = &l->list.files[0];
    enum err e = p->reader != NULL ? OK : letter_reader_new(l->context->options.memory, &p->reader);
    if (e == OK) {
        e = letters_copy_text(l, file->number, TEXT_NAME, file->bytes, &p->text, &p->end, why);
    }
    if (e) return e;
    p->number = file->number;
    p->next_at = l->list.replay_at;
    return OK;
}

/* Reads the line at an offset; the last one may lack a line feed. */
static enum err
read_line(struct letters_replay *p, uint64_t at, size_t size_known, struct why *why)
{
    size_t wanted = size_known > 0 ? size_known : READ_BYTES;
    for (;;) {
        size_t size = 0;
        buf_clear(&p->line);
        if (!buf_reserve(&p->line, wanted)) {
            return why_set(why, ERR_NOMEM, "not enough memory for a dead letter");
        }
        enum err e = file_read_some(&p->text, p->line.at, wanted, at, &size, why);
        if (e) return e;
        const uint8_t *end = memchr(p->line.at, '\n', size);
        p->line.size = end == NULL ? size : (size_t)(end + 1 - p->line.at);
        if (end != NULL || size < wanted) return OK;
        wanted *= 2;
    }
}

/* Reads the line at next_at into `given`. ERR_MISSING: the file ends. */
static enum err
give_line(struct letters *l, struct why *why)
{
    struct letters_replay *p = &l->replay;
    struct dead_letter letter;
    if (p->next_at >= p->end || p->count == GIVEN_MAX) return ERR_MISSING;
    if (!array_reserve(l->context->options.memory, &p->given, &p->capacity, p->count + 1))
        return ERR_NOMEM;
    enum err e = read_line(p, p->next_at, 0, why);
    if (e) return e;
    e = letter_reader_line(p->reader, buf_bytes(&p->line), &letter);
    if (e && e != ERR_CORRUPT) return e;
    p->given[p->count] = (struct letter_given){
        .at = p->next_at,
        .size = (uint32_t)p->line.size,
        .kind = e == OK ? (uint8_t)letter.item.kind : ITEM_KIND_COUNT,
        .fate = e == OK ? FATE_OPEN : FATE_DROPPED,
    };
    p->count++;
    p->waits = e == OK;
    p->next_at += p->line.size;
    return OK;
}

enum err
letters_replay_next(struct letters *l, struct dead_letter *ret_letter, uint32_t *ret_index,
                    struct why *why)
{
    struct letters_replay *p = &l->replay;
    enum err e = l->is_open ? begin_file(l, why) : ERR_MISSING;
    while (e == OK && !p->waits) {
        e = give_line(l, why);
    }
    if (e == ERR_MISSING && p->number != 0 && letters_replay_cursor(l) == p->first + p->count)
        save_want(l->saving, SAVE_SOON); /* all of the file is settled */
    if (e) return e;
    *ret_index = p->first + p->count - 1;
    e = letters_replay_load(l, *ret_index, ret_letter, why);
    if (e == ERR_MISSING) p->waits = false;
    return e;
}

void
letters_replay_handed_on(struct letters *l)
{
    l->replay.waits = false;
}

enum err
letters_replay_load(struct letters *l, uint32_t index, struct dead_letter *ret_letter,
                    struct why *why)
{
    struct letters_replay *p = &l->replay;
    assert(index - p->first < p->count); /* invariant 2 */
    struct letter_given *g = &p->given[index - p->first];
    enum err e = read_line(p, g->at, g->size, why);
    if (e) return e;
    e = letter_reader_line(p->reader, buf_bytes(&p->line), ret_letter);
    if (e != ERR_CORRUPT) return e;
    g->fate = FATE_DROPPED; /* it is counted when the file ends */
    return ERR_MISSING;
}

enum err
letters_replay_settle(struct letters *l, uint32_t index, uint32_t count, bool delivered,
                      const char *reason, const char *answer)
{
    struct letters_replay *p = &l->replay;
    assert(count <= p->count);
    assert(index - p->first <= p->count - count); /* invariant 2 */
    for (uint32_t i = index; i < index + count; i++) {
        struct letter_given *g = &p->given[i - p->first];
        if (g->fate != FATE_OPEN) continue; /* settled by a call that failed later */
        if (delivered) {
            g->fate = FATE_DELIVERED;
            continue;
        }
        struct dead_letter letter;
        enum err e = letters_replay_load(l, i, &letter, NULL);
        if (e == ERR_MISSING) continue; /* it cannot be read any more */
        letter.reason = bytes_of_text(reason);
        letter.answer = bytes_of_text(answer);
        letter.failed_ms = env_realtime_ms(l->context->options.env);
        if (e == OK) e = letters_add_again(l, &letter, i, NULL);
        if (e) return e;
        g->fate = FATE_DEAD_LETTERED;
    }
    save_want(l->saving, SAVE_SOON);
    return OK;
}

uint32_t
letters_replay_cursor(const struct letters *l)
{
    const struct letters_replay *p = &l->replay;
    uint32_t n = 0, end = p->count - p->waits;
    while (n < end && p->given[n].fate != FATE_OPEN)
        n++;
    return p->first + n;
}

/* All lines of the file are counted: lines that could not be read are lost. */
static void
end_file(struct letters *l)
{
    struct letters_replay *p = &l->replay;
    const struct letter_file *file = &l->list.files[0];
    uint64_t lost = kinds_sum(file->lines);
    assert(file->number == p->number); /* invariant 1 */
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        account_move(l->account, kind, FATE_DEAD_LETTERED, FATE_DROPPED + DROP_DAMAGED,
                     file->lines[kind]);
    }
    if (lost > 0) {
        log_error("relay: cannot read dead letters, counting them as dropped (reason damaged)",
                  KV("destination", l->context->settings->name), KV("letters", lost),
                  KV("directory", l->dir), KV("file", p->number));
    }
    letters_remove_file(l, 0);
    p->first = 0;
    letters_close_scratch(&p->text);
    p->number = 0;
}

void
letters_replay_count(struct letters *l, uint32_t cursor)
{
    struct letters_replay *p = &l->replay;
    if (p->number == 0) return;
    struct letter_file *file = &l->list.files[0];
    assert(file->number == p->number); /* invariant 1 */
    uint32_t passed = cursor - p->first;
    assert(passed <= p->count);
    for (uint32_t i = 0; i < passed; i++) {
        const struct letter_given *g = &p->given[i];
        l->list.replay_at = g->at + g->size;
        if (g->fate == FATE_DROPPED || file->lines[g->kind] == 0) continue;
        file->lines[g->kind]--;
        if (g->fate == FATE_DELIVERED)
            account_move(l->account, g->kind, FATE_DEAD_LETTERED, FATE_DELIVERED, 1);
    }
    memmove(p->given, p->given + passed, (p->count - passed) * sizeof *p->given);
    p->count -= passed;
    p->first += passed;
    if (p->count == 0 && p->next_at >= p->end) end_file(l);
}

void
letters_replay_end(struct letters *l)
{
    struct letters_replay *p = &l->replay;
    letters_close_scratch(&p->text);
    array_free(l->context->options.memory, p->given, p->capacity);
    letter_reader_free(p->reader);
    buf_fini(&p->line);
    *p = (struct letters_replay){.text = FILE_CLOSED};
}
