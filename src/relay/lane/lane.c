/*
 * lane.c - a lane: one call that is being filled, and one that is being sent.
 *
 *     nothing -- lane_rotate() --> [ pieces ] -- take_piece() --> [ attempts ]
 *
 *     an attempt: FREE -- take_piece() --> READY <-- lanes_saved() ------ SAVING
 *                  ^                       |  ^ |                           ^
 *                  | lane_end_attempt()    |  | +------ send() -------------+
 *                  |                       |  |           |
 *                  +---- lane_judge() <----+  |           v
 *                                             +-------- PENDING
 *                                        lanes_answered()
 *
 * A call is sent as it was filled. A call that is refused in part, by a response that does not say
 * which part, is tried in pieces (isolate.c), several at a time where requests may be pending that
 * other lanes do not need: each piece is an attempt, whose body is made of items that are read
 * again. So only positions are kept, and an accepted call is encoded once. lane_verdict.c acts on
 * the responses.
 *
 * Items whose series was refused lately are sent in a request of their own from the start
 * (isolate.c), so that the others need not be sent twice.
 *
 * Invariants:
 * 1. `sending` has items exactly while there are pieces of it. Otherwise the lane is idle.
 * 2. An attempt has a piece exactly if it is not ATTEMPT_FREE.
 * 3. lanes.pending is the number of attempts of all lanes that are ATTEMPT_PENDING.
 * 4. lanes.queued_bytes is the sum of `bytes` of all queued calls.
 * 5. A sealed call has items, and so has a queued one.
 */
#include "relay/lane/lane_private.h"

#include <assert.h>
#include <stdio.h>

#include "base/array.h"
#include "base/log.h"

enum { RUNS_MAX = 256 * 1024, BUSY_MS = 20, QUEUED_BYTES = 1024 * 1024 };

#define LOST_SAID_NS (60 * NS_PER_S)

/* --- calls ------------------------------------------------------------------------------------ */

static enum err
call_init(struct lanes *l, struct call *call)
{
    *call = (struct call){0};
    return writer_call_new(l->class, l->writer, &call->body);
}

static void
call_fini(struct lanes *l, struct call *call)
{
    struct budget *memory = l->context->options.memory;
    writer_call_free(l->class, l->writer, call->body);
    array_free(memory, call->items, call->capacity);
    table_fini(&call->seen, memory);
    *call = (struct call){0};
}

static void
call_clear(struct lanes *l, struct call *call)
{
    l->class->call_clear(l->writer, call->body);
    call->count = 0;
    call->samples = 0;
    call->sealed = false;
    call->stale = false;
    table_clear(&call->seen);
}

/* Adds an item to a call that is being filled. A call that may hold one sample of each series only
 * is full at the second. */
static enum writer_add
call_add(struct lanes *l, struct call *call, const struct item *item, uint32_t *ret_entry,
         struct why *why)
{
    bool one = l->limits.one_of_a_series;
    if (one && series_seen_has(&call->seen, item->series_hash)) return WRITER_FULL;
    if (one && !table_reserve(&call->seen, l->context->options.memory, 1)) return WRITER_NO_MEMORY;
    enum writer_add added = l->class->add(l->writer, call->body, item, ret_entry, why);
    if (added != WRITER_ADDED) return added;
    if (one) series_seen_add(&call->seen, item->series_hash);
    if (!l->context->settings->dry_run) return added;
    struct relay_dry *dry = &l->sent->dry; /* counts as sent */
    bool sample = item->kind == ITEM_FLOAT || item->kind == ITEM_HISTOGRAM;
    *(sample ? &dry->samples : &dry->others) += 1;
    if (writer_mapped_parts(l->class, l->writer, item) != 0) dry->mapped++;
    return added;
}

/* Records the position of an item that was added: as an entry of its own, or as one more of the
 * last entry's. */
static void
call_push(struct lanes *l, struct call *call, const struct item *item, struct call_item *at)
{
    struct call_item *last = call->count == 0 ? NULL : &call->items[call->count - 1];
    if (last == NULL) call->first_ns = relay_now_ns(l->context);
    at->series = item->series_hash;
    bool joins = l->limits.one_lane && last != NULL && last->record == at->record &&
                 last->index + last->count == at->index && last->entry == at->entry;
    if (joins)
        last->count++;
    else
        call->items[call->count++] = *at;
    call->samples++;
    call->sealed = call->samples >= l->bounds.samples || call->count >= RUNS_MAX ||
                   l->class->bytes(l->writer, call->body) >= l->bounds.bytes;
}

/* --- lanes ------------------------------------------------------------------------------------ */

static enum err
lane_init(struct lanes *l, struct lane *lane)
{
    *lane = (struct lane){.queued = 0};
    for (uint8_t i = 0; i < ATTEMPTS_MAX; i++)
        lane->attempts[i] = (struct attempt){.lane = lane, .number = i + 1};
    enum err e = isolate_init(&lane->pieces, l->context->options.memory);
    if (e == OK) e = call_init(l, &lane->filling);
    return e ? e : call_init(l, &lane->sending);
}

void
lane_end_attempt(struct lanes *l, struct attempt *a)
{
    writer_call_free(l->class, l->writer, a->body);
    a->body = NULL;
    a->phase = ATTEMPT_FREE;
}

static bool
lane_is_idle(const struct lane *lane)
{
    return lane->pieces.count == 0;
}

static struct writer_call *
body_of(const struct attempt *a)
{
    return a->number == 1 ? a->lane->sending.body : a->body;
}

static void
swap(struct call *a, struct call *b)
{
    struct call was = *a;
    *a = *b;
    *b = was;
}

/*
 * Queues the call that was filled, so that reading goes on: a lane whose call was throttled does
 * not hold up the others at once. False if the queue is full.
 */
static bool
enqueue(struct lanes *l, struct lane *lane)
{
    struct call *last = &lane->queue[lane->queued];
    uint64_t bytes = l->class->bytes(l->writer, lane->filling.body);
    if (lane->queued == QUEUED_MAX || l->limits.one_lane) return false;
    if (l->queued_bytes + bytes > l->queued_bytes_max) return false;
    if (last->body == NULL && call_init(l, last) != OK) return false;
    assert(last->count == 0);
    assert(lane->filling.count > 0); /* invariant 5 */
    swap(last, &lane->filling);
    last->bytes = bytes;
    lane->queued++;
    l->queued_bytes += bytes;
    return true;
}

/* Begins to send the call that was filled first. */
static void
lane_rotate(struct lanes *l, struct lane *lane)
{
    struct call *call = &lane->sending;
    assert(lane_is_idle(lane));
    assert(call->count == 0); /* invariant 1 */
    if (lane->queued == 0) {
        swap(call, &lane->filling);
    } else {
        lane->queued--;
        for (uint32_t i = 0; i < lane->queued; i++)
            swap(&lane->queue[i], &lane->queue[i + 1]);
        swap(call, &lane->queue[lane->queued]);
        assert(call->bytes <= l->queued_bytes); /* invariant 4 */
        l->queued_bytes -= call->bytes;
    }
    assert(call->count > 0); /* invariant 5 */
    isolate_begin(&lane->pieces, call->count);
    if (!l->limits.one_lane) {
        err_ignore(isolate_set_apart(&lane->pieces, call->items, &l->suspects),
                   "it is sent as a whole");
    }
    backoff_ended(&lane->pause);
    lane->failing_since_ns = 0;
    if (lane->pieces.count > 1) return;
    struct attempt *a = &lane->attempts[0];
    assert(a->phase == ATTEMPT_FREE); /* invariant 2 */
    a->phase = ATTEMPT_READY;
    a->built = !call->stale;
    a->ambiguous = false;
    a->agains = 0;
    isolate_next(&lane->pieces)->taken = a->number;
}

void
lane_piece_gone(struct lanes *l, struct attempt *a, bool delivered)
{
    struct lane *lane = a->lane;
    isolate_gone(&lane->pieces, piece_of(a), delivered);
    lane_end_attempt(l, a);
    if (!lane_is_idle(lane)) return;
    call_clear(l, &lane->sending);
    if (l->begun == lane) l->begun = NULL;
}

enum lane_offer
lanes_offer(struct lanes *l, const struct item *item, struct call_item *at, struct why *why)
{
    bool replayed = at->record == REPLAY_RECORD;
    struct lane *lane = replayed ? &l->replay : &l->all[item->series_hash % l->count];
    struct call *call = &lane->filling;
    for (;;) {
        if (call->sealed) {
            bool idle = lane_is_idle(lane);
            if (!idle && !enqueue(l, lane)) return LANE_FULL;
            if (idle) lane_rotate(l, lane);
            continue;
        }
        if (!array_reserve(l->context->options.memory, &call->items, &call->capacity,
                           call->count + 1))
            return LANE_FULL;
        switch (call_add(l, call, item, &at->entry, why)) {
        case WRITER_ADDED:
            call_push(l, call, item, at);
            return LANE_TOOK;
        case WRITER_FULL:
            assert(call->count > 0);
            call->sealed = true;
            break;
        case WRITER_UNFIT:
            return LANE_UNFIT;
        case WRITER_TOO_OLD:
            return LANE_TOO_OLD;
        case WRITER_NO_MEMORY:
            return LANE_FULL;
        }
    }
}

/* --- bodies ----------------------------------------------------------------------------------- */

static uint64_t
count_items(const struct call *call, uint32_t to)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < to; i++)
        sum += call->items[i].count;
    return sum;
}

/* Replaces runs of items by single ones, as one of them may prove unrepresentable. False if memory
 * is refused. */
static bool
split_runs(struct lanes *l, struct lane *lane)
{
    struct call *call = &lane->sending;
    uint64_t samples = count_items(call, call->count);
    bool has_runs = false; /* `count` of buried items is 0 */
    for (uint32_t i = 0; i < call->count; i++)
        has_runs |= call->items[i].count > 1;
    if (!has_runs) return true;
    struct call_item *split = mem_alloc(l->context->options.memory, samples * sizeof *split);
    if (split == NULL) return false;
    for (uint32_t i = 0; i < lane->pieces.count; i++) {
        struct call_piece *p = &lane->pieces.pieces[i];
        p->from = (uint32_t)count_items(call, p->from);
        p->to = (uint32_t)count_items(call, p->to);
        p->after = (uint32_t)count_items(call, p->after);
    }
    uint32_t to = 0;
    for (uint32_t i = 0; i < call->count; i++) {
        struct call_item run = call->items[i];
        for (uint32_t k = 0; k < run.count; k++) {
            split[to] = run;
            split[to].index += k;
            split[to++].count = 1;
        }
    }
    assert(to == samples);
    mem_free(l->context->options.memory, call->items, call->capacity * sizeof *call->items);
    call->items = split;
    call->samples = call->count = call->capacity = to;
    return true;
}

/* Adds one item to a body that is rebuilt. */
static enum writer_add
build_one(struct lanes *l, struct writer_call *body, struct call_item *at, struct why *why)
{
    struct item item;
    enum err e = settle_load(l->settling, at->record, at->index, &item, why);
    if (e == ERR_MISSING && at->record == REPLAY_RECORD)
        return WRITER_UNFIT; /* the letter is gone */
    if (settle_is_lost(l->settling, at, e)) {
        static struct log_gate gate; /* a record holds thousands of them */
        uint64_t held_back;
        if (log_often(&gate, relay_now_ns(l->context), LOST_SAID_NS, &held_back)) {
            log_error("relay: cannot read undelivered samples again from the log, counting them as "
                      "dropped (damaged)",
                      KV("destination", l->context->settings->name), KV("error", why),
                      KV("more_held_back", held_back));
        }
        e = settle_item(l->settling, at, FATE_DROPPED + DROP_DAMAGED);
        return e == OK ? WRITER_UNFIT : WRITER_NO_MEMORY;
    }
    if (e) return WRITER_NO_MEMORY;
    enum writer_add added = l->class->add(l->writer, body, &item, &at->entry, why);
    if (added == WRITER_ADDED || added == WRITER_FULL || added == WRITER_NO_MEMORY) return added;
    /* The writer has learnt since that the item has no form at the destination, or is too old. */
    if (added == WRITER_TOO_OLD)
        e = settle_item(l->settling, at, FATE_DROPPED + DROP_OUTSIDE_TABLE_RETENTION);
    else
        e = settle_bury(l->settling, at, &item, BURY_UNREPRESENTABLE, "unrepresentable", why->text);
    return e == OK ? WRITER_UNFIT : WRITER_NO_MEMORY;
}

/* Rebuilds the body of the attempt's piece, which is cut where the body is full. False if it must
 * be tried again later. */
static bool
build(struct lanes *l, struct attempt *a)
{
    struct lane *lane = a->lane;
    struct why why = {""};
    if (!split_runs(l, lane)) return false;
    struct call_piece *piece = piece_of(a);
    struct call_item *items = lane->sending.items;
    l->class->call_clear(l->writer, body_of(a));
    for (uint32_t i = piece->from; i < piece->to; i++) {
        enum writer_add added = build_one(l, body_of(a), &items[i], &why);
        if (added == WRITER_ADDED) continue;
        if (added == WRITER_UNFIT) {
            /* The item is settled, so it leaves the piece. */
            uint32_t from = piece->from++, before = i - from;
            memmove(&items[from + 1], &items[from], before * sizeof *items);
            continue;
        }
        if (added == WRITER_FULL && i > piece->from) {
            if (isolate_cut(&lane->pieces, piece, i) != OK) return false;
            break;
        }
        breaker_failed(l->breaker, "rebuild a request", "log", why.text);
        return false;
    }
    a->built = true;
    return true;
}

/* --- sending ---------------------------------------------------------------------------------- */

/* Starts a request, or acts at once on the verdict if none is needed. */
static void
take_step(struct lanes *l, struct attempt *a, struct writer_step *step)
{
    if (step->next == WRITER_DONE) {
        lane_judge(l, a, step);
        l->has_room |= lane_is_idle(a->lane) || isolate_next(&a->lane->pieces) != NULL;
        return;
    }
    if (step->next == WRITER_SAVE) {
        a->phase = ATTEMPT_SAVING;
        save_want(l->saving, SAVE_NOW);
        return;
    }
    struct why why = {""};
    step->http.context = a;
    enum err e = http_calls_start(l->context->http, &step->http, &why);
    if (e) {
        *step = (struct writer_step){.verdict = VERDICT_RETRY, .reason = "no_memory"};
        snprintf(step->answer, sizeof step->answer, "%s", why.text);
        lane_judge(l, a, step);
        return;
    }
    l->sent->bytes += step->http.body.size;
    l->pending++;
    a->phase = ATTEMPT_PENDING;
}

/* Sends the attempt's piece. A dry run sends nothing, and treats everything as delivered. */
static void
send(struct lanes *l, struct attempt *a)
{
    struct lane *lane = a->lane;
    if (!a->built && !build(l, a)) {
        lane_back_off(l, lane, 0);
        return;
    }
    const struct call_piece *piece = piece_of(a);
    if (piece->from == piece->to) { /* build() settled all of its items */
        lane_piece_gone(l, a, false);
        return;
    }
    uint32_t size = lane_piece_samples(lane, piece);
    uint64_t bytes = l->class->bytes(l->writer, body_of(a));
    if (!rates_allow(l->rates, feed_reads_store(l->settling->feed), relay_now_ns(l->context)))
        return;
    struct writer_step step = {.next = WRITER_DONE, .verdict = VERDICT_DELIVERED};
    a->probes = !l->throttle.works;
    if (!l->context->settings->dry_run) l->class->begin(l->writer, body_of(a), &step);
    bool is_made_again = step.next == WRITER_DONE && step.verdict == VERDICT_REBUILD;
    bool needs_no_network = step.next == WRITER_DONE && step.verdict == VERDICT_DELIVERED;
    bool is_nothing = needs_no_network && bytes == 0; /* families, which are sent with series */
    a->is_nothing = is_nothing;
    if (step.next != WRITER_SAVE && !is_made_again && !is_nothing) {
        rates_note_sent(l->rates, feed_reads_store(l->settling->feed), size, bytes);
        l->sent->calls++;
        if (l->class->units != NULL) l->sent->units += l->class->units(l->writer, body_of(a));
        if (a->ambiguous) l->sent->resent_samples += size;
    }
    if (needs_no_network) l->sent->bytes += bytes; /* in a dry run, what would be sent */
    take_step(l, a, &step);
}

void
lanes_answered(struct lanes *l, struct attempt *a, const struct http_call_answer *answer)
{
    assert(a->phase == ATTEMPT_PENDING);
    assert(l->pending > 0); /* invariant 3 */
    struct writer_step step = {.next = WRITER_DONE};
    a->phase = ATTEMPT_READY;
    l->pending--;
    l->class->judge(l->writer, body_of(a), answer, &step);
    step_mask(&step, l->context->http);
    take_step(l, a, &step);
}

static struct attempt *
find_attempt(const struct lanes *l, struct lane *lane, enum attempt_phase phase)
{
    uint32_t most = l->count < ATTEMPTS_MAX ? l->count : ATTEMPTS_MAX;
    for (uint32_t i = 0; i < most; i++)
        if (lane->attempts[i].phase == phase) return &lane->attempts[i];
    return NULL;
}

/* Gives the next piece to a free attempt; NULL if there is none, or memory is refused. */
static struct attempt *
take_piece(struct lanes *l, struct lane *lane)
{
    struct attempt *a = find_attempt(l, lane, ATTEMPT_FREE);
    struct call_piece *piece = NULL;
    while (a != NULL && (piece = isolate_next(&lane->pieces)) != NULL) {
        bool one = piece->to - piece->from == 1;
        if (piece->state != PIECE_SURE || one) break;
        if (!lane_halve(l, lane, piece)) return NULL;
    }
    if (a == NULL || piece == NULL) return NULL;
    if (body_of(a) == NULL && writer_call_new(l->class, l->writer, &a->body) != OK) return NULL;
    assert(piece->from < piece->to);
    piece->taken = a->number;
    a->phase = ATTEMPT_READY;
    a->built = a->ambiguous = false;
    a->agains = 0;
    return a;
}

/* Starts one request of the lane if it may start now. With `another`, the lane may have others
 * pending. False if none was started. */
static bool
lane_go_on(struct lanes *l, struct lane *lane, bool another)
{
    /* A call that cannot be sent now is not sealed for its age. If calls take longer than that,
     * each would otherwise end with the few samples read while a lane was full, and small calls
     * take as long as full ones. */
    struct call *filling = &lane->filling;
    if (filling->count > 0 && !filling->sealed && lane_is_idle(lane) && lane->queued == 0)
        filling->sealed = relay_now_ns(l->context) - filling->first_ns >= l->age_ms * NS_PER_MS;
    bool filled = lane->queued > 0 || lane->filling.sealed;
    if (lane_is_idle(lane) && filled) lane_rotate(l, lane);
    if (lane_is_idle(lane) || relay_now_ns(l->context) < lane->pause.next_ns) return false;
    bool busy = find_attempt(l, lane, ATTEMPT_PENDING) != NULL;
    if (busy && !another) return false;
    struct attempt *a = find_attempt(l, lane, ATTEMPT_READY);
    if (a == NULL && isolate_next(&lane->pieces) == NULL) return false;
    if (l->preparation->is_doubted || !prepare_is_ready(l->preparation)) return false;
    /* With one lane, it and the lane of replayed letters take turns, call by call. */
    if (l->limits.one_lane && l->begun == NULL) l->begun = lane;
    if (l->limits.one_lane && l->begun != lane) return false;
    if (!throttle_admits(&l->throttle, l->pending, relay_now_ns(l->context))) return false;
    if (a == NULL) a = take_piece(l, lane);
    if (a == NULL) return false;
    if (piece_of(a)->state == PIECE_DEAD) {
        lane_bury_again(l, a);
        return false;
    }
    /* While delivery is blocked or refused, single items are sent as probes; pieces, as long as a
     * refused one is only halved. */
    if (!breaker_may_send(l->breaker, relay_now_ns(l->context))) return false;
    struct call_piece *piece = piece_of(a);
    bool whole =
        l->breaker->state == BREAKER_CLOSED || l->limits.one_lane || breaker_doubts(l->breaker);
    if (piece->to - piece->from > 1 && !whole) {
        a->built = false;
        if (isolate_cut(&lane->pieces, piece, piece->from + 1) != OK) return false;
    }
    send(l, a);
    return a->phase == ATTEMPT_PENDING;
}

/* --- all lanes -------------------------------------------------------------------------------- */

/* The lanes of the log, followed by the lane of replayed letters. */
static struct lane *
lane_at(struct lanes *l, uint32_t i)
{
    return i < l->count ? &l->all[i] : &l->replay;
}

void
lanes_init(struct lanes *l, struct settling *settling, struct preparation *preparation,
           struct rates *rates)
{
    l->context = settling->context;
    l->settling = settling;
    l->preparation = preparation;
    l->saving = settling->saving;
    l->breaker = settling->breaker;
    l->rates = rates;
    l->sent = settling->sent;
}

enum err
lanes_begin(struct lanes *l, struct writer *writer, const struct writer_limits *limits)
{
    const struct relay_context *c = l->context;
    uint64_t limit = relay_memory_limit(c);
    enum err e = OK;
    l->class = c->class;
    l->writer = writer;
    l->limits = *limits;
    l->bounds = call_bounds_of(limits, c->settings);
    call_bounds_fit(&l->bounds, limit);
    while (e == OK && l->count < l->bounds.lanes)
        e = lane_init(l, &l->all[l->count++]);
    throttle_init(&l->throttle, l->bounds.lanes, relay_now_ns(c));
    l->queued_bytes_max = limit > 0 && limit / 16 < QUEUED_BYTES ? limit / 16 : QUEUED_BYTES;
    return e ? e : lane_init(l, &l->replay);
}

void
lanes_end(struct lanes *l)
{
    for (uint32_t i = 0; i <= l->count && l->writer != NULL; i++) {
        struct lane *lane = lane_at(l, i);
        for (uint32_t k = 0; k < ATTEMPTS_MAX; k++)
            lane_end_attempt(l, &lane->attempts[k]);
        isolate_fini(&lane->pieces);
        for (uint32_t k = 0; k < QUEUED_MAX; k++)
            call_fini(l, &lane->queue[k]);
        call_fini(l, &lane->filling);
        call_fini(l, &lane->sending);
    }
    suspects_fini(&l->suspects, l->context->options.memory);
    memset(&l->class, 0, sizeof *l - offsetof(struct lanes, class));
}

/* --- items that are dropped ------------------------------------------------------------------- */

/* Moves items from..to of a call that are neither dropped nor settled to its start, after the first
 * `kept`. Returns the number that is there then. */
static uint32_t
keep_items(const struct lanes *l, struct call *call, uint32_t from, uint32_t to, uint32_t kept)
{
    for (uint32_t i = from; i < to; i++) {
        const struct call_item *at = &call->items[i];
        if (at->count > 0 && !queue_reader_is_dropped(l->settling->queue, at->record))
            call->items[kept++] = *at;
    }
    return kept;
}

/* Cuts a call to its first items, as the others were removed. */
static void
cut_call(struct lanes *l, struct call *call, uint32_t count)
{
    if (count == 0) {
        call_clear(l, call);
        return;
    }
    call->count = count;
    call->samples = count_items(call, count);
    call->stale = true;
}

/* Removes dropped items from a call that is not being sent. */
static void
forget_unsent(struct lanes *l, struct call *call)
{
    uint32_t kept = keep_items(l, call, 0, call->count, 0);
    if (kept < call->count) cut_call(l, call, kept);
}

/* True if an unsettled item of the call being sent is dropped. */
static bool
sends_dropped(const struct lanes *l, const struct lane *lane)
{
    for (uint32_t i = 0; i < lane->pieces.count; i++) {
        const struct call_piece *p = &lane->pieces.pieces[i];
        for (uint32_t k = p->from; k < p->to; k++) {
            uint64_t record = lane->sending.items[k].record;
            if (queue_reader_is_dropped(l->settling->queue, record)) return true;
        }
    }
    return false;
}

/* Gives up a request without an answer. */
static void
give_up(struct lanes *l, struct attempt *a)
{
    assert(l->pending > 0); /* invariant 3 */
    http_calls_give_up(l->context->http, a);
    l->pending--;
    a->phase = ATTEMPT_READY;
    a->ambiguous = true;
}

/* Begins the call being sent again, with the unsettled items that are not dropped. */
static void
forget_sending(struct lanes *l, struct lane *lane)
{
    struct call *call = &lane->sending;
    bool ambiguous = false;
    if (!sends_dropped(l, lane)) return;
    for (uint32_t i = 0; i < ATTEMPTS_MAX; i++) {
        struct attempt *a = &lane->attempts[i];
        if (a->phase == ATTEMPT_PENDING) give_up(l, a);
        ambiguous |= a->phase != ATTEMPT_FREE && a->ambiguous;
        lane_end_attempt(l, a);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < lane->pieces.count; i++) {
        const struct call_piece *p = &lane->pieces.pieces[i];
        kept = keep_items(l, call, p->from, p->to, kept);
    }
    lane->pieces.count = 0;
    cut_call(l, call, kept);
    if (kept == 0) return;
    isolate_begin(&lane->pieces, kept);
    struct attempt *a = &lane->attempts[0];
    a->phase = ATTEMPT_READY;
    a->built = false;
    a->ambiguous = ambiguous;
    a->agains = 0;
    isolate_next(&lane->pieces)->taken = a->number;
}

void
lanes_forget_dropped(struct lanes *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        struct lane *lane = &l->all[i];
        forget_unsent(l, &lane->filling);
        for (uint32_t k = 0; k < lane->queued; k++)
            forget_unsent(l, &lane->queue[k]);
        uint32_t kept = 0; /* queued calls that have an item left */
        for (uint32_t k = 0; k < lane->queued; k++) {
            struct call *call = &lane->queue[k];
            if (call->count > 0) {
                if (kept < k) swap(&lane->queue[kept], call);
                kept++;
                continue;
            }
            assert(call->bytes <= l->queued_bytes); /* invariant 4 */
            l->queued_bytes -= call->bytes;
            call->bytes = 0;
        }
        lane->queued = kept;
        forget_sending(l, lane);
    }
}

void
lanes_again(struct lanes *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        struct lane *lane = &l->all[i];
        lane->pause = (struct backoff){0};
        for (uint32_t k = 0; k < ATTEMPTS_MAX; k++)
            if (lane->attempts[k].phase == ATTEMPT_PENDING) give_up(l, &lane->attempts[k]);
    }
    l->throttle.pause = (struct backoff){0};
}

#ifdef LOCK_CHECK
static void
lane_validate(const struct lane *lane, uint32_t *pending, uint64_t *queued_bytes)
{
    isolate_validate(&lane->pieces, lane->sending.count);
    assert(lane_is_idle(lane) == (lane->sending.count == 0)); /* invariant 1 */
    for (uint32_t i = 0; i < ATTEMPTS_MAX; i++) {
        const struct attempt *a = &lane->attempts[i];
        bool has_piece = isolate_taken(&lane->pieces, a->number) != NULL;
        assert(has_piece == (a->phase != ATTEMPT_FREE)); /* invariant 2 */
        *pending += a->phase == ATTEMPT_PENDING;
    }
    for (uint32_t i = 0; i < QUEUED_MAX; i++) {
        assert((lane->queue[i].count > 0) == (i < lane->queued)); /* invariant 5 */
        if (i < lane->queued) *queued_bytes += lane->queue[i].bytes;
    }
    assert(!lane->filling.sealed || lane->filling.count > 0); /* invariant 5 */
}

static void
lanes_validate(struct lanes *l)
{
    uint32_t pending = 0;
    uint64_t queued_bytes = 0;
    for (uint32_t i = 0; i <= l->count; i++)
        lane_validate(lane_at(l, i), &pending, &queued_bytes);
    assert(pending == l->pending);           /* invariant 3 */
    assert(queued_bytes == l->queued_bytes); /* invariant 4 */
}
#endif

/*
 * Each lane may have a request pending; requests beyond these are for lanes that search a refused
 * call. Lanes take turns, so that each is served where fewer requests may be pending than there are
 * lanes.
 */
void
lanes_send(struct lanes *l)
{
#ifdef LOCK_CHECK
    lanes_validate(l);
#endif
    uint32_t count = l->count + 1, first = l->turn++ % count;
    l->has_room = false;
    for (uint32_t i = 0; i < count; i++)
        lane_go_on(l, lane_at(l, (first + i) % count), false);
    for (uint32_t i = 0; i < count; i++) {
        while (lane_go_on(l, lane_at(l, (first + i) % count), true)) {
        }
    }
}

void
lanes_hurry(struct lanes *l, bool hurry)
{
    l->age_ms = hurry ? 0 : l->bounds.age_ms;
}

void
lanes_saved(struct lanes *l)
{
    for (uint32_t i = 0; i <= l->count; i++) {
        struct lane *lane = lane_at(l, i);
        for (uint32_t k = 0; k < ATTEMPTS_MAX; k++) {
            struct attempt *a = &lane->attempts[k];
            if (a->phase == ATTEMPT_SAVING) a->phase = ATTEMPT_READY;
        }
    }
}

bool
lanes_are_empty(const struct lanes *l)
{
    bool empty = true;
    for (uint32_t i = 0; i < l->count; i++) {
        const struct lane *lane = &l->all[i];
        empty &= lane_is_idle(lane) && lane->queued == 0 && lane->filling.count == 0;
    }
    return empty;
}

uint32_t
lanes_busy(const struct lanes *l)
{
    uint32_t busy = 0;
    for (uint32_t i = 0; i < l->count; i++)
        busy += !lane_is_idle(&l->all[i]);
    return busy;
}

static int64_t
lane_next_ns(const struct lanes *l, const struct lane *lane)
{
    if (lane_is_idle(lane)) {
        if (lane->queued > 0) return relay_now_ns(l->context);
        if (lane->filling.count == 0) return INT64_MAX;
        return lane->filling.first_ns + l->age_ms * NS_PER_MS;
    }
    int64_t now_ns = relay_now_ns(l->context);
    if (lane->pause.next_ns > now_ns) return lane->pause.next_ns;
    bool ready = isolate_next(&lane->pieces) != NULL;
    for (uint32_t i = 0; i < ATTEMPTS_MAX; i++)
        ready |= lane->attempts[i].phase == ATTEMPT_READY;
    if (!ready) return INT64_MAX;
    return l->breaker->state != BREAKER_CLOSED ? l->breaker->probe_ns
                                               : now_ns + BUSY_MS * NS_PER_MS;
}

int64_t
lanes_next_ns(const struct lanes *l)
{
    int64_t next_ns = INT64_MAX;
    for (uint32_t i = 0; i <= l->count; i++) {
        int64_t lane_ns = lane_next_ns(l, i < l->count ? &l->all[i] : &l->replay);
        if (lane_ns < next_ns) next_ns = lane_ns;
    }
    const struct throttle *t = &l->throttle;
    if (!t->works && l->pending > 0) return INT64_MAX; /* its answer decides */
    return next_ns > t->pause.next_ns ? next_ns : t->pause.next_ns;
}
