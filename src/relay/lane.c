/*
 * lane.c - a lane: one call being filled, one under way.
 *
 *              rotate          send              answer
 *     IDLE ------------> READY ------> UNDER_WAY ------> all settled: IDLE, or READY for the rest
 *                          ^                       |---> to be sent again at once: READY
 *                          |                       '---> later: WAITING
 *                          '--------------------------------------'
 *
 * What is under way are items [done, end) of the call. At first that is all of it, and the body is
 * as it was filled. After a refusal that names nobody the range is halved, and doubled after each
 * success, until the refused ones stand alone; bodies for such ranges are made again from items
 * read again. So only positions are kept, and a call that goes through is encoded once.
 */
#include <assert.h>
#include <stdio.h>

#include "base/log.h"
#include "relay/relay_private.h"

enum {
    RUNS_MAX = 256 * 1024,
    ASKED_MS_MAX =
        5 * 60 * 1000, /* who asks for a day meant something else, or was misunderstood */
};

#define LOST_SAID_NS (60 * NS_PER_S)

/* --- calls ------------------------------------------------------------------------------------ */

static enum err
call_init(struct relay *r, struct call *call)
{
    *call = (struct call){0};
    return r->class->call_new(r->writer, &call->body);
}

static void
call_fini(struct relay *r, struct call *call)
{
    struct budget *memory = r->options.memory;
    if (call->body != NULL) r->class->call_free(r->writer, call->body);
    mem_free(memory, call->items, call->capacity * sizeof *call->items);
    series_seen_fini(&call->seen, memory);
    *call = (struct call){0};
}

static void
call_clear(struct relay *r, struct call *call)
{
    r->class->call_clear(r->writer, call->body);
    call->count = 0;
    call->samples = 0;
    call->sealed = false;
    series_seen_clear(&call->seen);
}

static bool
call_reserve(struct relay *r, struct call *call)
{
    if (call->count < call->capacity) return true;
    uint32_t capacity = call->capacity == 0 ? 256 : 2 * call->capacity;
    struct call_item *grown = mem_resize(r->options.memory, call->items,
                                         call->capacity * sizeof *grown, capacity * sizeof *grown);
    if (grown == NULL) return false;
    call->items = grown;
    call->capacity = capacity;
    return true;
}

/* Behind the items before it, or as one more of them. */
static void
call_push(const struct relay *r, struct call *call, struct call_item at)
{
    struct call_item *last = call->count == 0 ? NULL : &call->items[call->count - 1];
    bool joins = r->limits.one_lane && last != NULL && last->record == at.record &&
                 last->index + last->count == at.index && last->entry == at.entry;
    if (joins)
        last->count++;
    else
        call->items[call->count++] = at;
    call->samples++;
}

/* In a dry run all that is added has gone. */
static void
note_dry(struct relay *r, const struct item *item)
{
    struct relay_dry *dry = &r->now.dry;
    bool sample = item->kind == ITEM_FLOAT || item->kind == ITEM_HISTOGRAM;
    *(sample ? &dry->samples : &dry->others) += 1;
    if (r->class->mapped != NULL && r->class->mapped(r->writer, item) != 0) dry->mapped++;
}

enum call_add { CALL_ADDED, CALL_FULL, CALL_UNFIT, CALL_TOO_OLD, CALL_NO_MEMORY };

/* Adds to a body; `entry` is filled in. */
static enum call_add
call_add(struct relay *r, struct call *call, const struct item *item, uint32_t *ret_entry,
         struct why *why)
{
    bool one = r->limits.one_of_a_series;
    if (one && series_seen_has(&call->seen, item->series_hash)) return CALL_FULL;
    if (one && !series_seen_reserve(&call->seen, r->options.memory)) return CALL_NO_MEMORY;
    switch (r->class->add(r->writer, call->body, item, ret_entry, why)) {
    case WRITER_ADDED:
        break;
    case WRITER_FULL:
        return CALL_FULL;
    case WRITER_UNFIT:
        return CALL_UNFIT;
    case WRITER_TOO_OLD:
        return CALL_TOO_OLD;
    default:
        return CALL_NO_MEMORY;
    }
    if (one) series_seen_add(&call->seen, item->series_hash);
    if (r->settings->dry_run) note_dry(r, item);
    return CALL_ADDED;
}

/* --- lanes ------------------------------------------------------------------------------------ */

enum err
lane_init(struct relay *r, struct lane *lane)
{
    *lane = (struct lane){.phase = LANE_IDLE};
    enum err e = call_init(r, &lane->filling);
    return e ? e : call_init(r, &lane->sending);
}

void
lane_fini(struct relay *r, struct lane *lane)
{
    call_fini(r, &lane->filling);
    call_fini(r, &lane->sending);
}

bool
lane_is_empty(const struct lane *lane)
{
    return lane->phase == LANE_IDLE && lane->filling.count == 0;
}

/* The call that was filled is the next to be sent. */
static void
lane_rotate(struct relay *r, struct lane *lane)
{
    assert(lane->phase == LANE_IDLE);
    assert(lane->filling.count > 0);
    struct call filled = lane->filling;
    lane->filling = lane->sending;
    lane->sending = filled;
    call_clear(r, &lane->filling);
    lane->phase = LANE_READY;
    lane->done = 0;
    lane->end = lane->sending.count;
    lane->built = true;
    lane->ambiguous = false;
    lane->agains = 0;
    lane->backoff_ms = 0;
    lane->failing_since_ns = 0;
}

enum lane_offer
lane_offer(struct relay *r, struct lane *lane, const struct item *item, struct call_item at,
           struct why *why)
{
    for (;;) {
        struct call *call = &lane->filling;
        if (call->sealed) {
            if (lane->phase != LANE_IDLE) return LANE_FULL;
            lane_rotate(r, lane);
            continue;
        }
        if (!call_reserve(r, call)) return LANE_FULL;
        enum call_add added = call_add(r, call, item, &at.entry, why);
        if (added == CALL_UNFIT) return LANE_UNFIT;
        if (added == CALL_TOO_OLD) return LANE_TOO_OLD;
        if (added == CALL_NO_MEMORY) return LANE_FULL;
        if (added == CALL_FULL) {
            assert(call->count > 0);
            call->sealed = true;
            continue;
        }
        if (call->count == 0) call->first_ns = relay_now_ns(r);
        call_push(r, call, at);
        call->sealed = call->samples >= r->samples_max || call->count >= RUNS_MAX ||
                       r->class->bytes(r->writer, call->body) >= r->bytes_max;
        return LANE_TOOK;
    }
}

/* --- what became of it ------------------------------------------------------------------------ */

/* Items of [from, to), as the runs count them. */
static uint64_t
count_items(const struct call *call, uint32_t from, uint32_t to)
{
    uint64_t sum = 0;
    for (uint32_t i = from; i < to; i++) {
        sum += call->items[i].count;
    }
    return sum;
}

/* Samples in what is sent now. */
static uint32_t
range_samples(const struct lane *lane)
{
    uint64_t sum = count_items(&lane->sending, lane->done, lane->end);
    return sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
}

/* Something was said of the samples themselves, that they were taken or refused: the pause before
 * the next failure is the shortest again, and what an operator wants given up is not. */
static void
end_failures(struct lane *lane)
{
    lane->backoff_ms = 0;
    lane->failing_since_ns = 0;
}

/* All of the call is settled, or what is left of it comes next. */
static void
lane_advance(struct relay *r, struct lane *lane, uint32_t size)
{
    lane->ambiguous = false;
    lane->agains = 0;
    end_failures(lane);
    if (lane->done == lane->sending.count) {
        call_clear(r, &lane->sending);
        lane->phase = LANE_IDLE;
        if (r->begun == lane) r->begun = NULL;
        return;
    }
    uint32_t left = lane->sending.count - lane->done;
    lane->end = lane->done + (size < left ? size : left);
    lane->built = false;
    lane->phase = LANE_READY;
}

static void
lane_wait_ms(struct relay *r, struct lane *lane, int64_t wait_ms)
{
    lane->phase = LANE_WAITING;
    lane->next_ns = relay_now_ns(r) + wait_ms * NS_PER_MS;
}

/* Twice as long each time, and up to a quarter less, so that lanes do not come all at once. */
static void
lane_back_off(struct relay *r, struct lane *lane, int64_t asked_ms)
{
    const struct retry_settings *retry = &r->settings->retry;
    if (lane->failing_since_ns == 0) lane->failing_since_ns = relay_now_ns(r);
    lane->backoff_ms = lane->backoff_ms == 0 ? retry->min_backoff_ms : 2 * lane->backoff_ms;
    if (lane->backoff_ms > retry->max_backoff_ms) lane->backoff_ms = retry->max_backoff_ms;
    uint32_t random = 0;
    if (env_random(r->options.env, &random, sizeof random) != OK) random = 0;
    int64_t wait_ms = lane->backoff_ms - (int64_t)(random % 256) * lane->backoff_ms / 1024;
    if (wait_ms < 1) wait_ms = 1;
    if (asked_ms > ASKED_MS_MAX) asked_ms = ASKED_MS_MAX;
    lane_wait_ms(r, lane, asked_ms > wait_ms ? asked_ms : wait_ms);
}

/* The item becomes a dead letter. On an error it is still to be sent, and will be refused again. */
static enum err
bury_one(struct relay *r, const struct call_item *at, const char *reason, const char *answer)
{
    struct why why = {""};
    struct item item;
    if (at->record == REPLAY_RECORD) return replay_settle(r, at, false, reason, answer);
    enum err e = relay_load_item(r, at->record, at->index, &item, &why);
    if (e == ERR_CORRUPT) {
        log_error("relay: a refused sample cannot be read again from the log",
                  KV("destination", r->settings->name), KV("reason", reason), KV("error", &why));
        return relay_settle(r, at, FATE_DROPPED + DROP_DAMAGED);
    }
    return e ? e : relay_bury(r, at, &item, BURY_REFUSED, reason, answer);
}

static enum err
settle_range(struct relay *r, struct lane *lane, uint8_t fate)
{
    for (; lane->done < lane->end; lane->done++) {
        enum err e = relay_settle(r, &lane->sending.items[lane->done], fate);
        if (e) return e;
    }
    return OK;
}

/* One run, item by item: what is buried is no part of it any more. */
static enum err
bury_run(struct relay *r, struct call_item *run, const char *reason, const char *answer)
{
    while (run->count > 0) {
        struct call_item one = *run;
        one.count = 1;
        enum err e = bury_one(r, &one, reason, answer);
        if (e) return e;
        run->index++;
        run->count--;
    }
    return OK;
}

/* Everything of the range becomes dead letters. */
static void
lane_bury(struct relay *r, struct lane *lane, const char *reason, const char *answer)
{
    uint32_t size = lane->end - lane->done;
    for (; lane->done < lane->end; lane->done++) {
        enum err e = bury_run(r, &lane->sending.items[lane->done], reason, answer);
        if (e) {
            lane->built = false;
            lane_back_off(r, lane, 0);
            return;
        }
    }
    lane_advance(r, lane, size);
}

/* While most is refused nothing more becomes a dead letter but what a probe is made of: else a
 * sample that is refused for good would be all that is ever tried. */
static bool
lane_keeps(const struct relay *r, const struct lane *lane)
{
    return r->obstacle == OBSTACLE_REFUSING && range_samples(lane) > 1;
}

/* Everything of the range is refused for good. */
static void
lane_refused(struct relay *r, struct lane *lane, const char *reason, const char *answer)
{
    uint32_t samples = range_samples(lane);
    end_failures(lane);
    relay_note_judged(r, samples, samples, reason, answer);
    if (lane_keeps(r, lane))
        lane->phase = LANE_READY;
    else
        lane_bury(r, lane, reason, answer);
}

static void
lane_delivered(struct relay *r, struct lane *lane)
{
    uint32_t size = lane->end - lane->done;
    relay_note_judged(r, range_samples(lane), 0, NULL, NULL);
    relay_note_success(r);
    if (settle_range(r, lane, FATE_DELIVERED) != OK) {
        lane->built = false; /* what is left is sent again: there was no memory to note it */
        lane_back_off(r, lane, 0);
        return;
    }
    lane_advance(r, lane, 2 * size);
}

/* Smaller, because one of them is refused or all are too many. */
static void
lane_halve(struct lane *lane)
{
    end_failures(lane);
    lane->end = lane->done + (lane->end - lane->done) / 2;
    lane->built = false;
    lane->phase = LANE_READY;
}

static void
lane_too_large(struct relay *r, struct lane *lane, const struct writer_step *step)
{
    uint64_t bytes = r->class->bytes(r->writer, lane->sending.body);
    if (lane->end - lane->done == 1) {
        lane_refused(r, lane, step->reason, step->answer);
        return;
    }
    if (bytes / 2 < r->bytes_max) {
        r->bytes_max = bytes / 2 > 1 ? bytes / 2 : 1;
        log_warn("relay: a call was too large, calls are smaller from now on",
                 KV("destination", r->settings->name), KV("bytes", bytes),
                 KV("bytes_max", r->bytes_max), KV("answer", step->answer));
    }
    lane_halve(lane);
}

/* Again later, or never, if that was tried for long enough; but what is refused mostly is kept. */
static void
lane_later(struct relay *r, struct lane *lane, int64_t wait_ms, const char *answer)
{
    int64_t give_up_ms = r->settings->retry.give_up_after_ms, since_ns = lane->failing_since_ns;
    bool may = give_up_ms > 0 && since_ns > 0 && r->obstacle != OBSTACLE_REFUSING;
    if (may && relay_now_ns(r) - since_ns >= give_up_ms * NS_PER_MS)
        lane_bury(r, lane, "gave_up", answer); /* nobody refused it */
    else
        lane_back_off(r, lane, wait_ms);
}

/* The verdict on one item of a call: OK if it is settled by it. */
static enum err
take_entry(struct relay *r, const struct call_item *at, const struct writer_entry *entry, bool keep)
{
    if (entry->verdict == VERDICT_DELIVERED) return relay_settle(r, at, FATE_DELIVERED);
    bool buried = entry->verdict == VERDICT_DEAD && !keep;
    return buried ? bury_one(r, at, entry->reason, entry->answer) : ERR_AGAIN;
}

/* Each entry has its own verdict. Items of entries to be repeated stay, in their order. */
static void
lane_mixed(struct relay *r, struct lane *lane, const struct writer_step *step)
{
    struct call_item *items = lane->sending.items;
    struct writer_entry entry, later = {.verdict = VERDICT_DELIVERED};
    uint32_t judged = 0, refused = 0;
    struct writer_entry refusal = {.verdict = VERDICT_DEAD};
    bool throttled = false, keep = lane_keeps(r, lane);
    uint32_t kept = lane->end; /* from behind, so that those before may be counted off */
    for (uint32_t i = lane->end; i-- > lane->done;) {
        r->class->entry(r->writer, lane->sending.body, items[i].entry, &entry);
        bool dead = entry.verdict == VERDICT_DEAD, judges = entry.verdict == VERDICT_DELIVERED;
        throttled |= entry.verdict == VERDICT_THROTTLED;
        judged += judges || dead;
        refused += dead;
        if (dead) refusal = entry;
        if (!judges && !dead) later = entry;
        if (take_entry(r, &items[i], &entry, keep) != OK) items[--kept] = items[i];
    }
    if (later.verdict != VERDICT_DELIVERED)
        relay_note_failure(r, "samples", later.reason, later.answer);
    relay_note_judged(r, judged, refused, refused > 0 ? refusal.reason : NULL, refusal.answer);
    if (judged > refused) relay_note_success(r);
    if (throttled) relay_note_throttled(r);
    lane->done = kept;
    if (kept == lane->end) {
        lane_advance(r, lane, lane->sending.count);
        return;
    }
    lane->built = false;
    if (judged > 0) end_failures(lane); /* it gets on */
    lane_later(r, lane, step->wait_ms, later.answer);
}

static void
lane_failed(struct relay *r, struct lane *lane, const struct writer_step *step)
{
    lane->ambiguous = true;
    if (step->verdict == VERDICT_THROTTLED) relay_note_throttled(r);
    relay_note_failure(r, "call", step->reason, step->answer);
    lane_later(r, lane, step->wait_ms, step->answer);
}

static void
lane_blocked(struct relay *r, struct lane *lane, const struct writer_step *step)
{
    lane->phase = LANE_READY;
    relay_note_blocked(r, step->reason, step->answer);
}

/* Once more at once, because the writer knows better now; but not for ever. */
static void
lane_again(struct relay *r, struct lane *lane, const struct writer_step *step)
{
    if (++lane->agains > AGAIN_MAX) {
        lane->agains = 0;
        if (step->verdict == VERDICT_UNPREPARED) /* whatever was fetched, it was refused */
            lane_blocked(r, lane, step);
        else
            lane_failed(r, lane, step);
        return;
    }
    lane->phase = LANE_READY;
}

static void
lane_judge(struct relay *r, struct lane *lane, const struct writer_step *step)
{
    uint32_t size = lane->end - lane->done;
    switch (step->verdict) {
    case VERDICT_DELIVERED:
        lane_delivered(r, lane);
        return;
    case VERDICT_MIXED:
        lane_mixed(r, lane, step);
        return;
    case VERDICT_DEAD:
        lane_refused(r, lane, step->reason, step->answer);
        return;
    case VERDICT_SOME_DEAD:
        if (size == 1)
            lane_refused(r, lane, step->reason, step->answer);
        else
            lane_halve(lane);
        return;
    case VERDICT_TOO_LARGE:
        lane_too_large(r, lane, step);
        return;
    case VERDICT_REBUILD:
        lane->built = false;
        lane_again(r, lane, step);
        return;
    case VERDICT_AGAIN:
    case VERDICT_UNPREPARED:
        lane_again(r, lane, step);
        return;
    case VERDICT_BLOCKED:
        lane_blocked(r, lane, step);
        return;
    default:
        lane_failed(r, lane, step);
        return;
    }
}

/* --- sending ---------------------------------------------------------------------------------- */

/* One item each again: one of them may turn out to have no form. What is settled goes. False: no
 * memory. */
static bool
lane_split_runs(struct relay *r, struct lane *lane)
{
    struct call *call = &lane->sending;
    uint64_t samples = count_items(call, lane->done, call->count);
    if (samples == call->count - lane->done) return true;
    uint32_t end = (uint32_t)count_items(call, lane->done, lane->end), to = 0;
    struct call_item *split = mem_alloc(r->options.memory, samples * sizeof *split);
    if (split == NULL) return false;
    for (uint32_t i = lane->done; i < call->count; i++) {
        struct call_item run = call->items[i];
        for (uint32_t k = 0; k < run.count; k++) {
            split[to] = run;
            split[to].index += k;
            split[to++].count = 1;
        }
    }
    mem_free(r->options.memory, call->items, call->capacity * sizeof *call->items);
    call->items = split;
    call->samples = call->count = call->capacity = to;
    lane->done = 0;
    lane->end = end;
    return true;
}

/*
 * What a body was made of is not in the log any more, or not as it was. The store has it once it
 * lies in parts; without one, what is damaged is lost, and what is gone is counted by
 * give_up_oldest().
 */
static enum call_add
lose_one(struct relay *r, const struct call_item *at, enum err e, const struct why *why)
{
    if (e == ERR_MISSING) {
        r->gone = true;
        return CALL_NO_MEMORY;
    }
    if (r->options.tsdb != NULL) {
        r->reload_pos = window_place(r->window, at->record).pos + 1;
        return CALL_NO_MEMORY;
    }
    static struct log_gate gate; /* a record holds thousands of them */
    uint64_t held_back;
    if (log_often(&gate, relay_now_ns(r), LOST_SAID_NS, &held_back)) {
        log_error("relay: samples not yet delivered cannot be read again from the log; they are "
                  "counted as dropped, reason damaged",
                  KV("destination", r->settings->name), KV("error", why),
                  KV("more_held_back", held_back));
    }
    e = relay_settle(r, at, FATE_DROPPED + DROP_DAMAGED);
    return e == OK ? CALL_UNFIT : CALL_NO_MEMORY;
}

/* Adds one item to a body that is made again. */
static enum call_add
build_one(struct relay *r, struct call *call, struct call_item *at, struct why *why)
{
    struct item item;
    enum err e = relay_load_item(r, at->record, at->index, &item, why);
    if (e == ERR_MISSING && at->record == REPLAY_RECORD) return CALL_UNFIT; /* the letter is gone */
    bool lost = (e == ERR_MISSING || e == ERR_CORRUPT) && r->fill == NULL;
    if (lost && at->record != REPLAY_RECORD) return lose_one(r, at, e, why);
    if (e) return CALL_NO_MEMORY;
    enum call_add added = call_add(r, call, &item, &at->entry, why);
    if (added == CALL_ADDED || added == CALL_FULL || added == CALL_NO_MEMORY) return added;
    /* The writer has learnt since that it has no form, or no place, there. */
    if (added == CALL_TOO_OLD)
        e = relay_settle(r, at, FATE_DROPPED + DROP_OUTSIDE_TABLE_RETENTION);
    else
        e = relay_bury(r, at, &item, BURY_UNREPRESENTABLE, "unrepresentable", why->text);
    return e == OK ? CALL_UNFIT : CALL_NO_MEMORY;
}

/* Item `i` of the range is settled, and no part of it any more. */
static void
take_out(struct lane *lane, uint32_t i)
{
    struct call_item *items = lane->sending.items;
    memmove(&items[lane->done + 1], &items[lane->done], (i - lane->done) * sizeof *items);
    lane->done++;
}

/* Makes the body again of [done, end), or of as many of them as go in. False: later. */
static bool
lane_build(struct relay *r, struct lane *lane)
{
    struct call *call = &lane->sending;
    struct why why = {""};
    if (!lane_split_runs(r, lane)) return false;
    uint32_t count = call->count;
    uint64_t samples = call->samples;
    call_clear(r, call);
    call->count = count;
    call->samples = samples;
    for (uint32_t i = lane->done; i < lane->end; i++) {
        enum call_add added = build_one(r, call, &call->items[i], &why);
        if (added == CALL_FULL && i > lane->done) {
            lane->end = i;
            break;
        }
        if (added == CALL_UNFIT) take_out(lane, i);
        if (added == CALL_ADDED || added == CALL_UNFIT) continue;
        relay_note_failure(r, "a call cannot be made again", "log", why.text);
        return false;
    }
    lane->built = true;
    return true;
}

/* Gives a request to the network, or judges at once what needed none. */
static void
lane_take_step(struct relay *r, struct lane *lane, struct writer_step *step)
{
    if (step->next == WRITER_DONE) {
        lane_judge(r, lane, step);
        r->has_room |= lane->phase == LANE_IDLE;
        return;
    }
    if (step->next == WRITER_SAVE) {
        lane->phase = LANE_SAVING;
        r->save_now = true;
        return;
    }
    struct why why = {""};
    step->http.context = lane;
    enum err e = http_calls_start(r->http, &step->http, &why);
    if (e) {
        *step = (struct writer_step){.verdict = VERDICT_RETRY, .reason = "no_memory"};
        snprintf(step->answer, sizeof step->answer, "%s", why.text);
        lane_judge(r, lane, step);
        return;
    }
    r->now.sent_bytes_total += step->http.body.size;
    lane->phase = LANE_UNDER_WAY;
}

/* In a dry run nothing is sent, and everything has arrived. */
static void
lane_send(struct relay *r, struct lane *lane)
{
    if (!lane->built && !lane_build(r, lane)) {
        lane_back_off(r, lane, 0);
        return;
    }
    if (lane->done == lane->end) { /* all of them were taken out */
        lane_advance(r, lane, lane->sending.count);
        return;
    }
    uint32_t size = range_samples(lane);
    uint64_t bytes = r->class->bytes(r->writer, lane->sending.body);
    if (!relay_may_send(r)) return;
    struct writer_step step = {.next = WRITER_DONE, .verdict = VERDICT_DELIVERED};
    if (!r->settings->dry_run) r->class->step(r->writer, lane->sending.body, NULL, &step);
    bool is_made_again = step.next == WRITER_DONE && step.verdict == VERDICT_REBUILD;
    bool needs_no_network = step.next == WRITER_DONE && step.verdict == VERDICT_DELIVERED;
    bool is_nothing = needs_no_network && bytes == 0; /* as families that series will bring along */
    if (step.next != WRITER_SAVE && !is_made_again && !is_nothing) {
        relay_note_sent(r, size, bytes);
        r->now.calls_total++;
        r->now.units_total += r->class->units(r->writer, lane->sending.body);
        if (lane->ambiguous) r->now.resent_samples_total += size;
    }
    if (needs_no_network) r->now.sent_bytes_total += bytes; /* or, in a dry run, would be */
    lane_take_step(r, lane, &step);
}

void
lane_answered(struct relay *r, struct lane *lane, const struct http_call_answer *answer)
{
    assert(lane->phase == LANE_UNDER_WAY);
    struct writer_step step = {.next = WRITER_DONE};
    r->class->step(r->writer, lane->sending.body, answer, &step);
    lane_take_step(r, lane, &step);
}

/* With something in the way, one item is sent now and then to see whether it still is. */
static bool
lane_probes(struct relay *r, struct lane *lane)
{
    if (r->obstacle == OBSTACLE_NONE) return true;
    if (relay_now_ns(r) < r->probe_ns) return false;
    r->probe_ns = relay_now_ns(r) + PROBE_MS * NS_PER_MS;
    if (lane->end - lane->done > 1 && !r->limits.one_lane) {
        lane->end = lane->done + 1;
        lane->built = false;
    }
    return true;
}

/* Where there is one lane, letters that are sent again take turns with it: call by call. */
static bool
lane_has_its_turn(struct relay *r, struct lane *lane)
{
    if (!r->limits.one_lane) return true;
    if (r->begun == NULL) r->begun = lane;
    return r->begun == lane;
}

void
lane_go_on(struct relay *r, struct lane *lane)
{
    int64_t now_ns = relay_now_ns(r);
    struct call *filling = &lane->filling;
    if (filling->count > 0 && !filling->sealed) {
        bool old = now_ns - filling->first_ns >= r->age_max_ms * NS_PER_MS;
        filling->sealed = old || r->lanes_wanted != r->lane_count;
    }
    if (lane->phase == LANE_WAITING && now_ns >= lane->next_ns) lane->phase = LANE_READY;
    if (lane->phase == LANE_IDLE && filling->sealed) lane_rotate(r, lane);
    if (lane->phase != LANE_READY || !relay_is_ready(r)) return;
    if (lane_has_its_turn(r, lane) && lane_probes(r, lane)) lane_send(r, lane);
}

int64_t
lane_next_ns(const struct relay *r, const struct lane *lane)
{
    int64_t next_ns = INT64_MAX;
    if (lane->phase == LANE_WAITING) next_ns = lane->next_ns;
    if (lane->phase == LANE_IDLE && lane->filling.count > 0) {
        next_ns = lane->filling.first_ns + r->age_max_ms * NS_PER_MS;
    }
    if (lane->phase == LANE_READY && r->obstacle != OBSTACLE_NONE) next_ns = r->probe_ns;
    return next_ns;
}
