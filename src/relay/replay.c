/*
 * replay.c - dead letters that an operator wants sent again. They have a lane of their own, beside
 * those of the log: their series have gone on long ago, so there is no order to keep.
 *
 * In calls they stand under a record number that no record has, and their number in a list of
 * identities, which begins anew whenever the lane is empty.
 */
#include <assert.h>

#include "relay/relay_private.h"

enum { REPLAY_AT_ONCE = 4096 };

static uint64_t
replaying(const struct relay *r)
{
    uint64_t sum = 0;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        sum += r->replaying[kind];
    }
    return sum;
}

/* Remembers a letter; `at` is where it stands in calls. */
static bool
replay_push(struct relay *r, const struct dead_letter *letter, struct call_item *at)
{
    if (r->replay_count == r->replay_capacity) {
        uint32_t capacity = r->replay_capacity == 0 ? 256 : 2 * r->replay_capacity;
        struct replay_id *grown =
            mem_resize(r->options.memory, r->replay_ids, r->replay_capacity * sizeof *grown,
                       capacity * sizeof *grown);
        if (grown == NULL) return false;
        r->replay_ids = grown;
        r->replay_capacity = capacity;
    }
    *at = (struct call_item){.record = REPLAY_RECORD, .index = r->replay_count, .count = 1};
    r->replay_ids[r->replay_count++] =
        (struct replay_id){letter->pos, letter->index, letter->item.kind};
    return true;
}

/* The letter that had no room last time, or the next one. */
static enum err
replay_next(struct relay *r, struct dead_letter *ret_letter, struct why *why)
{
    enum err e = ERR_MISSING;
    if (r->replay_waits) {
        const struct replay_id *id = &r->replay_waiting;
        e = dead_letters_load(r->letters, id->pos, id->index, ret_letter, why);
    }
    if (e == ERR_MISSING) e = dead_letters_next_replay(r->letters, ret_letter, why);
    r->replay_waits = e == OK;
    if (e == OK) {
        r->replay_waiting =
            (struct replay_id){ret_letter->pos, ret_letter->index, ret_letter->item.kind};
    }
    return e;
}

void
replay_feed(struct relay *r)
{
    if (lane_is_empty(&r->replay)) r->replay_count = 0;
    if (replaying(r) == 0 && !r->replay_waits) return;
    for (unsigned i = 0; i < REPLAY_AT_ONCE; i++) {
        struct dead_letter letter;
        struct call_item at;
        struct why why = {""};
        if (replay_next(r, &letter, &why) != OK || !replay_push(r, &letter, &at)) return;
        enum lane_offer offer = lane_offer(r, &r->replay, &letter.item, at, &why);
        assert(offer != LANE_TOO_OLD); /* a letter is nothing that comes from the store */
        if (offer == LANE_FULL) {
            r->replay_count--;
            return;
        }
        if (offer == LANE_UNFIT &&
            replay_settle(r, &at, false, "unrepresentable", why.text) != OK) {
            return;
        }
        r->replay_waits = false;
    }
}

enum err
replay_load(struct relay *r, uint32_t index, struct item *ret_item, struct why *why)
{
    assert(index < r->replay_count);
    struct dead_letter letter;
    const struct replay_id *id = &r->replay_ids[index];
    enum err e = dead_letters_load(r->letters, id->pos, id->index, &letter, why);
    if (e == OK) *ret_item = letter.item;
    return e;
}

static bool
arrived_reserve(struct relay *r, uint32_t count)
{
    uint32_t capacity = r->arrived_capacity == 0 ? 256 : r->arrived_capacity;
    while (capacity - r->arrived_count < count) {
        capacity *= 2;
    }
    if (capacity == r->arrived_capacity) return true;
    struct replay_id *grown =
        mem_resize(r->options.memory, r->arrived, r->arrived_capacity * sizeof *grown,
                   capacity * sizeof *grown);
    if (grown == NULL) return false;
    r->arrived = grown;
    r->arrived_capacity = capacity;
    return true;
}

/*
 * They are letters until a state is durable that holds what the writer knows of them: some writers
 * take back what was not saved, as files are cut.
 */
static enum err
note_arrived(struct relay *r, const struct call_item *at)
{
    if (!arrived_reserve(r, at->count)) return ERR_NOMEM;
    for (uint32_t i = 0; i < at->count; i++) {
        r->arrived[r->arrived_count++] = r->replay_ids[at->index + i];
    }
    r->dirty = true;
    return OK;
}

/* What comes by again after a restart is counted by the window. */
static void
count_replayed(struct relay *r, const struct replay_id *id, uint8_t fate)
{
    bool there;
    enum err e = window_change(r->window, id->pos, id->index, FATE_REPLAYING, fate, &there);
    assert(e == OK); /* there was memory for it when the letter was called */
    if (!there) r->base.count[id->kind][fate]++;
    r->replaying[id->kind]--;
}

void
replay_saved(struct relay *r)
{
    uint32_t kept = 0;
    struct bytes nothing = {NULL, 0};
    for (uint32_t i = 0; i < r->arrived_count; i++) {
        const struct replay_id *id = &r->arrived[i];
        enum err e = dead_letters_settle(r->letters, id->pos, id->index, true, nothing, nothing,
                                         env_realtime_ms(r->options.env), NULL);
        if (e == ERR_MISSING) continue; /* it went meanwhile, and was counted */
        r->dirty = true;
        if (e) { /* after the next save, then */
            r->arrived[kept++] = *id;
            continue;
        }
        count_replayed(r, id, FATE_DELIVERED);
    }
    r->arrived_count = kept;
}

static enum err
letter_again(struct relay *r, const struct replay_id *id, const char *reason, const char *answer)
{
    enum err e = dead_letters_settle(r->letters, id->pos, id->index, false, bytes_of_text(reason),
                                     bytes_of_text(answer), env_realtime_ms(r->options.env), NULL);
    if (e) return e == ERR_MISSING ? OK : e; /* it went meanwhile, and was counted */
    count_replayed(r, id, FATE_DEAD_LETTERED);
    r->dirty = true;
    return OK;
}

enum err
replay_settle(struct relay *r, const struct call_item *at, bool delivered, const char *reason,
              const char *answer)
{
    if (delivered) return note_arrived(r, at);
    for (uint32_t i = at->index; i < at->index + at->count; i++) {
        enum err e = letter_again(r, &r->replay_ids[i], reason, answer);
        if (e) return e;
    }
    return OK;
}
