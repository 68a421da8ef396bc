/*
 * lane_verdict.c - acts on the responses to a lane's requests: items are settled, become dead
 * letters, or are sent again, as they were or in pieces.
 *
 * A response that judges the samples, whether it accepts or refuses them, ends a row of failures:
 * the pause before the next one is the shortest again, and retry.give_up_after starts again. Only
 * samples that were never judged are given up.
 *
 * A failure without a verdict on the samples makes the lane pause, as its call may be the reason,
 * and all lanes (pace.h): until a call is answered, one lane at a time tries. Refused contents
 * (400) and entries that fail by themselves (VERDICT_MIXED) do not affect other lanes.
 *
 * Invariants (see also lane.c):
 * 1. A piece that is judged has an item, and its attempt is ATTEMPT_READY. If the attempt stays so,
 *    the piece is sent again.
 * 2. An item leaves its piece exactly when it is settled; on an error it is still open.
 */
#include "relay/lane/lane_private.h"

#include <assert.h>

#include "base/log.h"
#include "relay/lane/lane.h"

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

enum err
settle_item(struct settling *s, const struct call_item *at, uint8_t fate)
{
    if (s->queue != NULL) {
        /* Refusals go to senders. */
        bool too_old = fate == FATE_DROPPED + DROP_OUTSIDE_TABLE_RETENTION;
        for (uint32_t i = 0; i < at->count && too_old; i++) {
            queue_reader_refuse(s->queue, at->record, at->index + i,
                                drop_word(DROP_OUTSIDE_TABLE_RETENTION),
                                "the sample is too old for the table");
        }
        if (!too_old) queue_reader_settle(s->queue, at->record, at->index, at->count, fate);
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
    struct relay_cursor id = {window_place(s->window, at->record).pos, at->index};
    if (is_fill_pos(id.pos)) id = (struct relay_cursor){.pos = id.pos + at->index};
    letter.item.pos = id.pos;
    letter.item.index = id.index;
    struct why why = {""};
    /* After the letter is added nothing may fail, or the item would become another one. */
    enum err e = window_reserve(s->window, at->record);
    if (e) why_set(&why, e, "not enough memory for a dead letter");
    if (e == OK) e = letters_add(s->letters, &letter, false, id, &why);
    if (e == OK) e = settle_item(s, at, FATE_DEAD_LETTERED);
    if (e) breaker_failed(s->breaker, "write a dead letter", "dead_letters", why.text);
    return e;
}

/* --- pauses ----------------------------------------------------------------------------------- */

uint32_t
lane_piece_samples(const struct lane *lane, const struct call_piece *piece)
{
    uint64_t sum = 0;
    for (uint32_t i = piece->from; i < piece->to; i++)
        sum += lane->sending.items[i].count;
    return sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
}

static void
end_failures(struct lane *lane)
{
    backoff_ended(&lane->pause);
    lane->failing_since_ns = 0;
}

/* A response judged samples, so the destination works. */
static void
note_works(struct lanes *l, struct lane *lane)
{
    end_failures(lane);
    throttle_works(&l->throttle);
    l->unprepared = 0;
}

void
lane_back_off(struct lanes *l, struct lane *lane, int64_t retry_after_ms)
{
    if (lane->failing_since_ns == 0) lane->failing_since_ns = relay_now_ns(l->context);
    backoff_failed(&lane->pause, l->context->options.env, &l->context->settings->retry,
                   retry_after_ms);
}

bool
lane_halve(struct lanes *l, struct lane *lane, struct call_piece *piece)
{
    /* With one lane, items stay in the order of the log. */
    return isolate_halve(&lane->pieces, piece, lane->sending.items, l->limits.one_lane) == OK;
}

/* --- dead letters ----------------------------------------------------------------------------- */

/* Makes an item a dead letter. On an error it will be sent again, and refused again. */
static enum err
bury_one(struct lanes *l, const struct call_item *at, const char *reason, const char *answer)
{
    struct why why = {""};
    struct item item;
    struct settling *settling = l->settling;
    if (at->record == REPLAY_RECORD)
        return settle_bury(settling, at, NULL, BURY_REFUSED, reason, answer);
    enum err e = settle_load(settling, at->record, at->index, &item, &why);
    if (settle_is_lost(settling, at, e)) {
        log_error("relay: cannot read a refused sample again from the log, counting it as dropped "
                  "(damaged)",
                  KV("destination", l->context->settings->name), KV("reason", reason),
                  KV("error", &why));
        return settle_item(settling, at, FATE_DROPPED + DROP_DAMAGED);
    }
    return e ? e : settle_bury(settling, at, &item, BURY_REFUSED, reason, answer);
}

/* Makes all items of the piece dead letters. */
static void
bury(struct lanes *l, struct attempt *a, const char *reason, const char *answer)
{
    struct call_piece *piece = piece_of(a);
    /* Series that were found by a search become suspects. */
    for (uint32_t i = piece->from; i < piece->to && piece->found && !l->limits.one_lane; i++)
        suspects_add(&l->suspects, l->context->options.memory, a->lane->sending.items[i].series);
    for (; piece->from < piece->to; piece->from++) {
        struct call_item *run = &a->lane->sending.items[piece->from];
        enum err e = OK;
        while (run->count > 0 && e == OK) { /* one by one; each leaves the run */
            struct call_item one = *run;
            one.count = 1;
            e = bury_one(l, &one, reason, answer);
            run->index += e == OK;
            run->count -= e == OK;
        }
        if (e == OK) continue;
        isolate_answered(&a->lane->pieces, piece);
        a->built = false;
        lane_back_off(l, a->lane, 0);
        return;
    }
    lane_piece_gone(l, a, false);
}

/* --- answers ---------------------------------------------------------------------------------- */

/* True if a refused piece is kept: while most samples are refused, only probes become dead letters.
 * Probes do, or one sample that is always refused would be the only one that is ever tried. */
static bool
keeps(const struct lanes *l, const struct attempt *a)
{
    return l->breaker->state == BREAKER_REFUSING && l->settling->queue == NULL &&
           lane_piece_samples(a->lane, piece_of(a)) > 1;
}

/* All of the piece is refused permanently. */
static void
take_refused(struct lanes *l, struct attempt *a, const char *reason, const char *answer)
{
    uint32_t samples = lane_piece_samples(a->lane, piece_of(a));
    note_works(l, a->lane);
    breaker_judged(l->breaker, samples, samples, reason, answer);
    if (!keeps(l, a)) bury(l, a, reason, answer);
}

void
lane_bury_again(struct lanes *l, struct attempt *a)
{
    bury(l, a, "refused", "");
}

static void
take_delivered(struct lanes *l, struct attempt *a)
{
    struct lane *lane = a->lane;
    struct call_piece *piece = piece_of(a);
    if (!a->is_nothing) {
        note_works(l, lane);
        breaker_judged(l->breaker, lane_piece_samples(lane, piece), 0, NULL, NULL);
        breaker_accepted(l->breaker);
    }
    for (uint32_t i = piece->from; i < piece->to && piece->suspect; i++)
        suspects_forget(&l->suspects, lane->sending.items[i].series);
    for (; piece->from < piece->to; piece->from++) {
        if (settle_item(l->settling, &lane->sending.items[piece->from], FATE_DELIVERED) == OK)
            continue;
        a->built = false; /* memory was refused: the rest is sent again */
        lane_back_off(l, lane, 0);
        return;
    }
    lane_piece_gone(l, a, true);
}

/* Some items of a piece are refused; the response does not say which. */
static void
take_some_dead(struct lanes *l, struct attempt *a, const struct writer_step *step)
{
    struct lane *lane = a->lane;
    struct call_piece *piece = piece_of(a);
    if (lane_piece_samples(lane, piece) == 1) {
        if (breaker_doubts(l->breaker)) {
            /* Keeps a sample whose refusal is doubted. Others are tried before it: if the
             * destination works, this one may be the only one that it refuses. */
            note_works(l, a->lane);
            breaker_unproven(l->breaker, step->reason, step->answer);
            isolate_hold(&a->lane->pieces, piece_of(a));
            lane_end_attempt(l, a);
        } else {
            take_refused(l, a, step->reason, step->answer);
        }
        return;
    }
    note_works(l, lane);
    a->built = false;
    if (piece->to - piece->from == 1) return; /* a run, which build() replaces by single items */
    if (lane_halve(l, lane, piece))
        lane_end_attempt(l, a);
    else
        lane_back_off(l, lane, 0);
}

static void
take_too_large(struct lanes *l, struct attempt *a, const struct writer_call *body,
               const struct writer_step *step)
{
    struct lane *lane = a->lane;
    struct call_piece *piece = piece_of(a);
    uint64_t bytes = l->class->bytes(l->writer, body);
    if (piece->to - piece->from == 1) {
        take_refused(l, a, step->reason, step->answer);
        return;
    }
    note_works(l, lane);
    if (bytes / 2 < l->bounds.bytes) {
        l->bounds.bytes = bytes / 2 > 1 ? bytes / 2 : 1;
        log_warn("relay: a request was too large, sending smaller requests from now on",
                 KV("destination", l->context->settings->name), KV("bytes", bytes),
                 KV("bytes_max", l->bounds.bytes), KV("answer", step->answer));
    }
    a->built = false;
    if (isolate_cut(&lane->pieces, piece, piece->from + (piece->to - piece->from) / 2) != OK)
        lane_back_off(l, lane, 0);
}

/* Tries the piece again later, or gives it up after retry.give_up_after; while most samples are
 * refused nothing is given up. */
static void
again_later(struct lanes *l, struct attempt *a, int64_t wait_ms, const char *answer)
{
    int64_t give_up_ms = l->context->settings->retry.give_up_after_ms,
            since_ns = a->lane->failing_since_ns;
    bool may = give_up_ms > 0 && since_ns > 0 && l->breaker->state != BREAKER_REFUSING;
    if (may && relay_now_ns(l->context) - since_ns >= give_up_ms * NS_PER_MS) {
        end_failures(a->lane);
        bury(l, a, "gave_up", answer);
    } else {
        lane_back_off(l, a->lane, wait_ms);
    }
}

/* Acts on a verdict for each entry. Items of entries that are repeated stay in the piece, in their
 * order. Returns the share of items that were throttled. */
static double
take_mixed(struct lanes *l, struct attempt *a, const struct writer_call *body,
           const struct writer_step *step)
{
    struct lane *lane = a->lane;
    struct call_piece *piece = piece_of(a);
    struct call_item *items = lane->sending.items;
    struct writer_entry entry, later = {.verdict = VERDICT_DELIVERED};
    uint32_t judged = 0, refused = 0, throttled = 0, count = piece->to - piece->from;
    struct writer_entry refusal = {.verdict = VERDICT_DEAD};
    bool keep = keeps(l, a);
    uint32_t kept = piece->to; /* kept items are moved to the end of the piece */
    for (uint32_t i = piece->to; i-- > piece->from;) {
        l->class->entry(l->writer, body, items[i].entry, &entry);
        if (entry.verdict != VERDICT_DELIVERED) http_calls_mask(l->context->http, entry.answer);
        bool dead = entry.verdict == VERDICT_DEAD, judges = entry.verdict == VERDICT_DELIVERED;
        throttled += entry.verdict == VERDICT_THROTTLED;
        judged += judges || dead;
        refused += dead;
        if (dead) refusal = entry;
        if (!judges && !dead) later = entry;
        enum err settled = ERR_AGAIN;
        if (entry.verdict == VERDICT_DELIVERED)
            settled = settle_item(l->settling, &items[i], FATE_DELIVERED);
        else if (dead && !keep)
            settled = bury_one(l, &items[i], entry.reason, entry.answer);
        if (settled == OK) continue;
        items[--kept] = items[i];
    }
    assert(refused <= judged);
    assert(judged + throttled <= count);
    if (later.verdict != VERDICT_DELIVERED)
        breaker_failed(l->breaker, "deliver samples", later.reason, later.answer);
    breaker_judged(l->breaker, judged, refused, refused > 0 ? refusal.reason : NULL,
                   refusal.answer);
    if (judged > refused) breaker_accepted(l->breaker);
    if (judged > 0) note_works(l, lane);
    assert(kept >= piece->from); /* invariant 2 */
    piece->from = kept;
    isolate_answered(&lane->pieces, piece);
    a->built = false;
    if (kept == piece->to)
        lane_piece_gone(l, a, false);
    else
        again_later(l, a, step->wait_ms, later.answer);
    return (double)throttled / count;
}

static void
take_failed(struct lanes *l, struct attempt *a, const struct writer_step *step)
{
    a->ambiguous = true;
    breaker_failed(l->breaker, "send a request", step->reason, step->answer);
    /* If parts of a destination are throttled separately, a throttled part shows that the
     * destination works. */
    if (step->verdict == VERDICT_THROTTLED && l->limits.throttles_parts)
        throttle_works(&l->throttle);
    else
        throttle_failed(&l->throttle, l->context->options.env, &l->context->settings->retry,
                        step->wait_ms);
    again_later(l, a, step->wait_ms, step->answer);
}

static void
take_blocked(struct lanes *l, const struct writer_step *step)
{
    throttle_doubt(&l->throttle); /* breaker_may_send() decides when to retry */
    breaker_blocked(l->breaker, step->reason, step->answer);
}

/*
 * Tries once more at once, because the writer has learnt something, at most AGAIN_MAX times in a
 * row. Lanes share the tries with refused credentials, except for calls that were pending when
 * these were refused first.
 */
static void
take_again(struct lanes *l, struct attempt *a, const struct writer_step *step)
{
    bool unprepared = step->verdict == VERDICT_UNPREPARED;
    uint32_t *tries = unprepared && a->probes ? &l->unprepared : &a->agains;
    if (unprepared) throttle_doubt(&l->throttle);
    if (++*tries <= AGAIN_MAX) return;
    *tries = 0;
    if (unprepared) /* newly fetched credentials were refused too */
        take_blocked(l, step);
    else
        take_failed(l, a, step);
}

void
lane_judge(struct lanes *l, struct attempt *a, const struct writer_step *step)
{
    const struct writer_call *body = a->number == 1 ? a->lane->sending.body : a->body;
    const struct call_piece *judged = piece_of(a);
    assert(judged->from < judged->to); /* invariant 1 */
    assert(a->phase == ATTEMPT_READY); /* invariant 1 */
    bool refuses = step->verdict == VERDICT_DEAD || step->verdict == VERDICT_SOME_DEAD ||
                   step->verdict == VERDICT_DEAD_CALL || step->verdict == VERDICT_TOO_LARGE;
    if (refuses && !prepare_trusts_refusals(l->preparation)) return;
    switch (step->verdict) {
    case VERDICT_DELIVERED:
        take_delivered(l, a);
        break;
    case VERDICT_MIXED:
        throttle_answered(&l->throttle, relay_now_ns(l->context), take_mixed(l, a, body, step));
        return;
    case VERDICT_DEAD_CALL: {
        /* Some of the piece are refused permanently, and nothing of it may be sent again. The
         * number of refused items is unknown, so the refusal predicts little, unless calls are
         * never accepted. */
        struct call_piece *piece = piece_of(a);
        uint32_t samples = lane_piece_samples(a->lane, piece);
        bool in_part = step->refused > 0 && step->refused < samples;
        if (!in_part && breaker_doubts(l->breaker)) {
            take_some_dead(l, a, step);
            break;
        }
        note_works(l, a->lane);
        piece->state = PIECE_DEAD;
        if (in_part)
            breaker_part_accepted(l->breaker);
        else
            breaker_call_refused(l->breaker, samples, step->reason, step->answer);
        bury(l, a, step->reason, step->answer);
        break;
    }
    case VERDICT_DEAD:
        take_refused(l, a, step->reason, step->answer);
        break;
    case VERDICT_SOME_DEAD:
        take_some_dead(l, a, step);
        break;
    case VERDICT_TOO_LARGE:
        take_too_large(l, a, body, step);
        break;
    case VERDICT_THROTTLED:
        take_failed(l, a, step);
        throttle_answered(&l->throttle, relay_now_ns(l->context), 1);
        return;
    case VERDICT_REBUILD:
        a->built = false;
        take_again(l, a, step);
        return;
    case VERDICT_AGAIN:
    case VERDICT_UNPREPARED:
        take_again(l, a, step);
        return;
    case VERDICT_BLOCKED:
        take_blocked(l, step);
        return;
    default:
        take_failed(l, a, step);
        return;
    }
    throttle_answered(&l->throttle, relay_now_ns(l->context), 0);
}
