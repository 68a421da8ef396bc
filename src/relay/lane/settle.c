/* settle.c - see settle.h. */
#include "relay/lane/settle.h"

#include "base/log.h"

void
settle_begin(struct settling *s, struct window *window)
{
    s->window = window;
}

void
settle_end(struct settling *s)
{
    s->window = NULL;
}

enum err
settle_load(struct settling *s, uint64_t record, uint32_t index, struct item *ret_item,
            struct why *why)
{
    if (s->queue != NULL) return queue_reader_load(s->queue, record, index, ret_item);
    if (record == REPLAY_RECORD) {
        struct dead_letter letter;
        enum err e = letters_replay_load(s->letters, index, &letter, why);
        if (e == OK) *ret_item = letter.item;
        return e;
    }
    return feed_load(s->feed, window_place(s->window, record).pos, index, ret_item, why);
}

bool
settle_is_lost(struct settling *s, const struct call_item *at, enum err e)
{
    if (s->queue != NULL || (e != ERR_MISSING && e != ERR_CORRUPT)) return false;
    if (at->record == REPLAY_RECORD || feed_reads_store(s->feed)) return false;
    return !feed_gets_again(s->feed, window_place(s->window, at->record).pos, e);
}

/* The position and index that identify an item of a call, which has the window's record number. */
static struct relay_cursor
identity(const struct settling *s, uint64_t record, uint32_t index)
{
    uint64_t pos = window_place(s->window, record).pos;
    if (is_fill_pos(pos)) return (struct relay_cursor){.pos = pos + index};
    return (struct relay_cursor){.pos = pos, .index = index};
}

/* Settles items of the queue; refusals go to their senders. */
static void
settle_queued(struct settling *s, const struct call_item *at, uint8_t fate)
{
    bool too_old = fate == FATE_DROPPED + DROP_OUTSIDE_TABLE_RETENTION;
    for (uint32_t i = 0; i < at->count && too_old; i++) {
        queue_reader_refuse(s->queue, at->record, at->index + i,
                            drop_word(DROP_OUTSIDE_TABLE_RETENTION),
                            "the sample is too old for the table");
    }
    if (!too_old) queue_reader_settle(s->queue, at->record, at->index, at->count, fate);
}

enum err
settle_item(struct settling *s, const struct call_item *at, uint8_t fate)
{
    if (s->queue != NULL) {
        settle_queued(s, at, fate);
        return OK;
    }
    if (at->record == REPLAY_RECORD) {
        return letters_replay_settle(s->letters, at->index, at->count, fate == FATE_DELIVERED,
                                     "damaged", "");
    }
    if (s->context->settings->dry_run) fate = FATE_NOT_TAKEN;
    enum err e = window_settle(s->window, at->record, at->index, at->count, fate);
    if (e == OK) save_want(s->saving, SAVE_SOON);
    return e;
}

enum err
settle_bury(struct settling *s, const struct call_item *at, const struct item *item,
            enum bury_why why_buried, const char *reason, const char *answer)
{
    const struct destination_settings *settings = s->context->settings;
    if (at->record == REPLAY_RECORD)
        return letters_replay_settle(s->letters, at->index, at->count, false, reason, answer);
    bool drop =
        why_buried == BURY_UNREPRESENTABLE && settings->unrepresentable == UNREPRESENTABLE_DROP;
    if (drop) return settle_item(s, at, FATE_DROPPED + DROP_UNREPRESENTABLE);
    if (s->queue != NULL) {
        queue_reader_refuse(s->queue, at->record, at->index, reason, answer);
        return OK;
    }
    if (settings->dry_run) {
        s->sent->dry.unrepresentable++;
        return settle_item(s, at, FATE_NOT_TAKEN);
    }
    struct dead_letter letter = {
        .item = *item,
        .reason = bytes_of_text(reason),
        .answer = bytes_of_text(answer),
        .failed_ms = env_realtime_ms(s->context->options.env),
    };
    struct relay_cursor id = identity(s, at->record, at->index);
    letter.item.pos = id.pos;
    letter.item.index = id.index;
    struct why why = {""};
    /* After the letter is added nothing may fail, or the item would become another one. */
    enum err e = window_reserve(s->window, at->record);
    if (e) why_set(&why, e, "not enough memory for a dead letter");
    if (e == OK) e = letters_add(s->letters, &letter, id, &why);
    if (e == OK) e = settle_item(s, at, FATE_DEAD_LETTERED);
    if (e) breaker_failed(s->breaker, "write a dead letter", "dead_letters", why.text);
    return e;
}
