/*
 * letters_replay.c - sends again the dead letters that an operator has selected. They have a lane
 * of their own beside those of the log: later samples of their series were sent long ago, so there
 * is no order to keep.
 *
 * In calls they have the record number REPLAY_RECORD, and as index their number in a list of
 * identities, which is cleared whenever the lane is empty.
 *
 * Invariants:
 * 1. Every index of a replayed letter in a call is below replays.count.
 * 2. A letter is in `arrived` from its delivery until a state is durable that was saved after it.
 */
#include <assert.h>

#include "base/array.h"
#include "relay/relay_private.h"

enum { REPLAY_AT_ONCE = 4096 };

/* Adds a letter to the list; `at` is its position in calls. */
static bool
letters_replay_push(struct relay *r, const struct dead_letter *letter, struct call_item *at)
{
    struct replays *p = &r->replays;
    if (!array_reserve(r->options.memory, &p->ids, &p->capacity, p->count + 1)) return false;
    *at = (struct call_item){.record = REPLAY_RECORD, .index = p->count, .count = 1};
    p->ids[p->count++] = (struct replay_id){letter->pos, letter->index, letter->item.kind};
    return true;
}

/* The letter that had no room last time, or the next one. */
static enum err
letters_replay_next(struct relay *r, struct dead_letter *ret_letter, struct why *why)
{
    enum err e = ERR_MISSING;
    if (r->replays.waits) {
        const struct replay_id *id = &r->replays.waiting;
        e = dead_letters_load(r->letters, id->pos, id->index, ret_letter, why);
    }
    if (e == ERR_MISSING) e = dead_letters_next_replay(r->letters, ret_letter, why);
    r->replays.waits = e == OK;
    if (e == OK) {
        r->replays.waiting =
            (struct replay_id){ret_letter->pos, ret_letter->index, ret_letter->item.kind};
    }
    return e;
}

void
letters_replay_feed(struct relay *r)
{
    if (lane_is_empty(&r->lanes.replay)) r->replays.count = 0;
    if (kinds_sum(r->account.replaying) == 0 && !r->replays.waits) return;
    for (unsigned i = 0; i < REPLAY_AT_ONCE; i++) {
        struct dead_letter letter;
        struct call_item at;
        struct why why = {""};
        if (letters_replay_next(r, &letter, &why) != OK || !letters_replay_push(r, &letter, &at))
            return;
        enum lane_offer offer = lane_offer(r, &r->lanes.replay, &letter.item, at, &why);
        assert(offer != LANE_TOO_OLD); /* only samples of the store may be */
        if (offer == LANE_FULL) {
            assert(at.index + 1 == r->replays.count);
            r->replays.count--;
            return;
        }
        if (offer == LANE_UNFIT &&
            letters_replay_settle(r, &at, false, "unrepresentable", why.text) != OK) {
            return;
        }
        r->replays.waits = false;
    }
}

enum err
letters_replay_load(struct relay *r, uint32_t index, struct item *ret_item, struct why *why)
{
    assert(index < r->replays.count); /* invariant 1 */
    struct dead_letter letter;
    const struct replay_id *id = &r->replays.ids[index];
    enum err e = dead_letters_load(r->letters, id->pos, id->index, &letter, why);
    if (e == OK) *ret_item = letter.item;
    return e;
}

void
letters_replay_saved(struct relay *r)
{
    uint32_t kept = 0;
    struct bytes nothing = {NULL, 0};
    for (uint32_t i = 0; i < r->replays.arrived_count; i++) {
        const struct replay_id *id = &r->replays.arrived[i];
        enum err e = dead_letters_settle(r->letters, id->pos, id->index, true, nothing, nothing,
                                         env_realtime_ms(r->options.env), NULL);
        if (e == ERR_MISSING) continue; /* it was removed meanwhile, and counted */
        save_want(r, SAVE_SOON);
        if (e) { /* tried again after the next save */
            r->replays.arrived[kept++] = *id;
            continue;
        }
        letters_replayed(r, id, FATE_DELIVERED);
    }
    r->replays.arrived_count = kept;
}

/*
 * Delivered items remain letters until a state is durable that has the writer's state after them:
 * some writers undo what was not saved, as files are truncated.
 */
enum err
letters_replay_settle(struct relay *r, const struct call_item *at, bool delivered,
                      const char *reason, const char *answer)
{
    struct replays *p = &r->replays;
    assert(at->record == REPLAY_RECORD);
    assert(at->count <= p->count);
    assert(at->index <= p->count - at->count); /* invariant 1 */
    if (delivered) {
        if (!array_reserve(r->options.memory, &p->arrived, &p->arrived_capacity,
                           (size_t)p->arrived_count + at->count)) {
            return ERR_NOMEM;
        }
        memcpy(&p->arrived[p->arrived_count], &p->ids[at->index], at->count * sizeof *p->arrived);
        p->arrived_count += at->count;
        save_want(r, SAVE_SOON);
        return OK;
    }
    for (uint32_t i = at->index; i < at->index + at->count; i++) {
        const struct replay_id *id = &p->ids[i];
        enum err e =
            dead_letters_settle(r->letters, id->pos, id->index, false, bytes_of_text(reason),
                                bytes_of_text(answer), env_realtime_ms(r->options.env), NULL);
        if (e == ERR_MISSING) continue; /* it was removed meanwhile, and counted */
        if (e) return e;
        letters_replayed(r, id, FATE_DEAD_LETTERED);
        save_want(r, SAVE_SOON);
    }
    return OK;
}

void
letters_replay_end(struct relay *r)
{
    struct replays *p = &r->replays;
    array_free(r->options.memory, p->ids, p->capacity);
    array_free(r->options.memory, p->arrived, p->arrived_capacity);
    *p = (struct replays){.ids = NULL};
}
