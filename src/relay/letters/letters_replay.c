/*
 * letters_replay.c - sends again the dead letters that an operator has selected. They have a lane
 * of their own beside those of the log: later samples of their series were sent long ago, so there
 * is no order to keep.
 *
 * In calls they have the record number REPLAY_RECORD, and as index their number in a list of
 * identities, which is cleared whenever the lane is empty. A letter is in `arrived` from its
 * delivery until a state is durable that was saved after it.
 *
 * Invariants:
 * 1. Every index of a replayed letter in a call is below replays.count.
 */
#include <assert.h>

#include "base/array.h"
#include "relay/letters/letters.h"

bool
letters_replay_has(const struct letters *l)
{
    return kinds_sum(l->account->replaying) > 0 || l->replays.waits;
}

/* Gives the letter that had no room last time, or the next one. */
static enum err
next_letter(struct letters *l, struct dead_letter *ret_letter, struct why *why)
{
    struct replays *p = &l->replays;
    enum err e = ERR_MISSING;
    if (p->waits)
        e = dead_letters_load(l->files, p->waiting.pos, p->waiting.index, ret_letter, why);
    if (e == ERR_MISSING) e = dead_letters_next_replay(l->files, ret_letter, why);
    p->waits = e == OK;
    if (e == OK)
        p->waiting = (struct replay_id){ret_letter->pos, ret_letter->index, ret_letter->item.kind};
    return e;
}

enum err
letters_replay_next(struct letters *l, struct dead_letter *ret_letter, uint32_t *ret_index,
                    struct why *why)
{
    struct replays *p = &l->replays;
    enum err e = next_letter(l, ret_letter, why);
    if (e) return e;
    if (!array_reserve(l->context->options.memory, &p->ids, &p->capacity, p->count + 1))
        return ERR_NOMEM;
    p->ids[p->count] = p->waiting;
    *ret_index = p->count++;
    return OK;
}

void
letters_replay_handed_on(struct letters *l)
{
    l->replays.waits = false;
}

void
letters_replay_wait(struct letters *l, uint32_t index)
{
    assert(l->replays.waits);
    assert(index + 1 == l->replays.count); /* invariant 1 */
    l->replays.count--;
}

void
letters_replay_clear(struct letters *l)
{
    l->replays.count = 0;
}

enum err
letters_replay_load(struct letters *l, uint32_t index, struct item *ret_item, struct why *why)
{
    assert(index < l->replays.count); /* invariant 1 */
    struct dead_letter letter;
    const struct replay_id *id = &l->replays.ids[index];
    enum err e = dead_letters_load(l->files, id->pos, id->index, &letter, why);
    if (e == OK) *ret_item = letter.item;
    return e;
}

void
letters_replay_saved(struct letters *l)
{
    uint32_t kept = 0;
    struct bytes nothing = {NULL, 0};
    for (uint32_t i = 0; i < l->replays.arrived_count; i++) {
        const struct replay_id *id = &l->replays.arrived[i];
        enum err e = dead_letters_settle(l->files, id->pos, id->index, true, nothing, nothing,
                                         env_realtime_ms(l->context->options.env), NULL);
        if (e == ERR_MISSING) continue; /* it was removed meanwhile, and counted */
        save_want(l->saving, SAVE_SOON);
        if (e) { /* tried again after the next save */
            l->replays.arrived[kept++] = *id;
            continue;
        }
        letters_replayed(l, id, FATE_DELIVERED);
    }
    l->replays.arrived_count = kept;
}

/*
 * Delivered items remain letters until a state is durable that has the writer's state after them:
 * some writers undo what was not saved, as files are truncated.
 */
enum err
letters_replay_settle(struct letters *l, uint32_t index, uint32_t count, bool delivered,
                      const char *reason, const char *answer)
{
    struct replays *p = &l->replays;
    assert(count <= p->count);
    assert(index <= p->count - count); /* invariant 1 */
    if (delivered) {
        if (!array_reserve(l->context->options.memory, &p->arrived, &p->arrived_capacity,
                           (size_t)p->arrived_count + count)) {
            return ERR_NOMEM;
        }
        memcpy(&p->arrived[p->arrived_count], &p->ids[index], count * sizeof *p->arrived);
        p->arrived_count += count;
        save_want(l->saving, SAVE_SOON);
        return OK;
    }
    for (uint32_t i = index; i < index + count; i++) {
        const struct replay_id *id = &p->ids[i];
        enum err e = dead_letters_settle(l->files, id->pos, id->index, false, bytes_of_text(reason),
                                         bytes_of_text(answer),
                                         env_realtime_ms(l->context->options.env), NULL);
        if (e == ERR_MISSING) continue; /* it was removed meanwhile, and counted */
        if (e) return e;
        letters_replayed(l, id, FATE_DEAD_LETTERED);
        save_want(l->saving, SAVE_SOON);
    }
    return OK;
}

void
letters_replay_end(struct letters *l)
{
    struct replays *p = &l->replays;
    array_free(l->context->options.memory, p->ids, p->capacity);
    array_free(l->context->options.memory, p->arrived, p->arrived_capacity);
    *p = (struct replays){.ids = NULL};
}
