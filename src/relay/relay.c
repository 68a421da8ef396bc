/* relay.c - one destination: opened, stepped, watched. See relay.h. */
#include <assert.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/time_text.h"
#include "relay/directory.h"
#include "relay/relay_private.h"

enum {
    POLL_MS = 100, /* how long at most until new samples are seen */
    LOG_AGAIN_MS = 60 * 1000,
    RUN_AGAIN_MS = 1000,
    WRITER_STATE_BYTES_MAX = 512 * 1024,
    FILL_REST_MS = 10 * 1000, /* nothing was read for so long: the store may change */
};

int64_t
relay_now_ns(const struct relay *r)
{
    return env_monotonic_ns(r->options.env);
}

static void publish(struct relay *r);

/* --- opening ---------------------------------------------------------------------------------- */

static void
init(struct relay *r, const struct relay_options *options)
{
    r->options = *options;
    if (options->epoch_ns == 0) {
        r->options.epoch_ms = env_realtime_ms(options->env);
        r->options.epoch_ns = env_monotonic_ns(options->env);
    }
    r->settings = options->settings;
    r->class = options->writer;
    lock_init(&r->lock, LOCK_RANK_RELAY);
    buf_init(&r->writer_state, options->memory, WRITER_STATE_BYTES_MAX);
    buf_init(&r->next_writer_state, options->memory, WRITER_STATE_BYTES_MAX);
    buf_init(&r->place, options->memory, RELAY_STATE_BYTES_MAX);
    buf_init(&r->next_place, options->memory, RELAY_STATE_BYTES_MAX);
    buf_init(&r->scratch, options->memory, RELAY_STATE_BYTES_MAX);
    r->sample_rate.rate = r->settings->max_rate_samples;
    r->byte_rate.rate = r->settings->max_rate_bytes;
    r->fill_rate.rate = r->settings->fill_rate_samples;
    r->rates_ns = relay_now_ns(r);
}

/* Samples that the store gave once more. */
static uint64_t
repeats_of(const struct relay_state *state)
{
    const struct fates *f = &state->fates;
    return state->repeats_total + f->count[ITEM_FLOAT][FATE_REPEATED] +
           f->count[ITEM_HISTOGRAM][FATE_REPEATED];
}

/* A dry run saves nothing, and has an account of its own. Counters stay at what the destination
 * will go on with. */
static void
note_what_is_left(struct relay *r)
{
    struct relay_state state;
    if (relay_state_read(r->options.env, r->dir, &r->scratch, &state, NULL) != OK) return;
    shown_set(&r->left, &state);
    r->left_repeats = repeats_of(&state);
}

/* A directory that somebody removed, or did not put back, is seen here alone. */
static void
note_new(const struct relay *r)
{
    static const char *const words[] = {
        [START_NOW] = "now", [START_BEGINNING] = "beginning", [START_TIME] = "time"};
    char text[TIME_TEXT_BYTES];
    const struct relay_state *s = &r->state;
    bool at_time = r->settings->start == START_TIME;
    log_info(
        "relay: the destination is new here, nothing is remembered of it",
        KV("destination", r->settings->name),
        KV("begins", at_time ? time_print(r->settings->start_ms, text) : words[r->settings->start]),
        KV("log_position", s->fill.active ? s->fill.to_pos : s->cursor.pos),
        KV("from_store", s->fill.active));
}

enum err
relay_open(const struct relay_options *options, struct relay **ret_relay, struct why *why)
{
    struct relay *r = mem_new(options->memory, sizeof *r);
    if (r == NULL) return why_set(why, ERR_NOMEM, "no memory for a destination");
    init(r, options);
    enum err e = path_join(r->dir, sizeof r->dir, options->dir, r->settings->name);
    if (e) why_set(why, e, "the path is too long");
    bool is_new = e == OK && !r->settings->dry_run &&
                  relay_directory_look(options->env, r->dir, NULL) == ERR_MISSING;
    if (e == OK) e = relay_load_state(r, why);
    if (e == OK && is_new) note_new(r);
    if (e == OK) e = selection_new(r->settings, &r->selection, why);
    if (e == OK)
        e = http_calls_new(options->env, options->memory, options->user_agent, &r->http, why);
    if (e == OK) e = relay_begin_run(r, why);
    if (e) {
        relay_free(r);
        return e;
    }
    r->paused = r->state.wish == RELAY_WISH_PAUSE ||
                (r->state.wish == RELAY_WISH_NONE && r->settings->paused);
    if (r->settings->dry_run) {
        note_what_is_left(r);
        r->now.dry.since_ms = env_realtime_ms(options->env);
    }
    publish(r); /* whoever asks before the first step is not told that nothing is left to do */
    *ret_relay = r;
    return OK;
}

void
relay_free(struct relay *r)
{
    if (r == NULL) return;
    http_calls_free(r->http);
    if (r->running) relay_end_run(r);
    selection_free(r->selection);
    buf_fini(&r->writer_state);
    buf_fini(&r->next_writer_state);
    buf_fini(&r->place);
    buf_fini(&r->next_place);
    buf_fini(&r->scratch);
    lock_fini(&r->lock);
    mem_free(r->options.memory, r, sizeof *r);
}

/* --- what happened ---------------------------------------------------------------------------- */

static void
note_error(struct relay *r, const char *reason, const char *text)
{
    snprintf(r->now.error, sizeof r->now.error, "%s: %s", reason, text);
    r->now.error_ms = env_realtime_ms(r->options.env);
    r->now.calls_failed_total++;
}

void
relay_note_failure(struct relay *r, const char *what, const char *reason, const char *text)
{
    note_error(r, reason, text);
    r->failing = true;
    int64_t now_ns = relay_now_ns(r);
    if (r->logged_ns != 0 && now_ns - r->logged_ns < LOG_AGAIN_MS * NS_PER_MS) return;
    r->logged_ns = now_ns;
    log_warn("relay: it did not work, and is tried again", KV("destination", r->settings->name),
             KV("what", what), KV("reason", reason), KV("answer", text));
}

void
relay_note_blocked(struct relay *r, const char *reason, const char *text)
{
    note_error(r, reason, text);
    int64_t now_ns = relay_now_ns(r);
    bool news = r->obstacle != OBSTACLE_BLOCKED;
    r->obstacle = OBSTACLE_BLOCKED;
    r->probe_ns = now_ns + PROBE_MS * NS_PER_MS;
    if (!news && now_ns - r->logged_ns < LOG_AGAIN_MS * NS_PER_MS) return;
    r->logged_ns = now_ns;
    log_error("relay: nothing can be delivered until this is mended; everything is kept",
              KV("destination", r->settings->name), KV("reason", reason), KV("answer", text),
              KV("tried_again_s", PROBE_MS / 1000));
}

static void
forget_refusals(struct relay *r)
{
    memset(r->refusals, 0, sizeof r->refusals);
    memset(r->judged, 0, sizeof r->judged);
    r->calls_refused = 0;
    r->samples_refused = 0;
}

static void
end_obstacle(struct relay *r)
{
    if (r->obstacle != OBSTACLE_NONE) {
        log_info("relay: it works again", KV("destination", r->settings->name));
        forget_refusals(r);
    }
    r->obstacle = OBSTACLE_NONE;
    r->now.error[0] = 0;
}

void
relay_note_success(struct relay *r)
{
    r->failing = false;
    r->now.delivered_ms = env_realtime_ms(r->options.env);
    bool takes_nothing = r->calls_refused > 0; /* which is not so */
    r->calls_refused = 0;
    r->samples_refused = 0;
    if (r->obstacle == OBSTACLE_REFUSING && !takes_nothing && ++r->good_probes < GOOD_PROBES) {
        r->probe_ns = relay_now_ns(r); /* one sample that it took says little of the next */
        return;
    }
    end_obstacle(r);
}

/* Into slots of one size, whatever a call holds: those refused are spread over it. */
static void
count_judged(struct relay *r, uint32_t judged, uint32_t refused)
{
    enum { SLOT = REFUSALS_WINDOW / REFUSALS_SLOTS };
    while (judged > 0) {
        uint32_t *slot = &r->judged[r->refusal_slot], room = SLOT - *slot;
        uint32_t part = judged < room ? judged : room;
        uint32_t bad = (uint32_t)((uint64_t)refused * part / judged);
        *slot += part;
        r->refusals[r->refusal_slot] += bad;
        judged -= part;
        refused -= bad;
        if (part < room) continue;
        r->refusal_slot = (r->refusal_slot + 1) % REFUSALS_SLOTS;
        r->judged[r->refusal_slot] = r->refusals[r->refusal_slot] = 0;
    }
}

static void
begin_refusing(struct relay *r, const char *reason, const char *answer)
{
    r->obstacle = OBSTACLE_REFUSING;
    r->probe_ns = relay_now_ns(r) + PROBE_MS * NS_PER_MS;
    note_error(r, reason == NULL ? "refused" : reason, answer == NULL ? "" : answer);
}

void
relay_note_judged(struct relay *r, uint32_t judged, uint32_t refused, const char *reason,
                  const char *answer)
{
    count_judged(r, judged, refused);
    if (refused > 0) r->good_probes = 0;
    uint64_t sum = 0;
    for (unsigned i = 0; i < REFUSALS_SLOTS; i++) {
        sum += r->refusals[i];
    }
    if (sum <= REFUSALS_MAX || r->obstacle != OBSTACLE_NONE) return;
    begin_refusing(r, reason, answer);
    log_error("relay: most samples are refused for good; the rest is kept until that ends",
              KV("destination", r->settings->name), KV("refused", sum),
              KV("of_the_last", REFUSALS_WINDOW));
}

void
relay_note_call_refused(struct relay *r, uint32_t samples, const char *reason, const char *answer)
{
    r->calls_refused++;
    r->samples_refused += samples;
    if (r->calls_refused < CALLS_REFUSED_MAX || r->samples_refused < REFUSALS_WINDOW) return;
    if (r->obstacle != OBSTACLE_NONE) return;
    begin_refusing(r, reason, answer);
    log_error("relay: every call is refused for good; what was not sent yet is kept until a sample "
              "is taken",
              KV("destination", r->settings->name), KV("calls", r->calls_refused),
              KV("samples", r->samples_refused), KV("reason", reason), KV("answer", answer),
              KV("tried_again_s", PROBE_MS / 1000));
}

void
relay_note_part_taken(struct relay *r)
{
    r->calls_refused = 0;
    r->samples_refused = 0;
    if (r->obstacle == OBSTACLE_REFUSING) end_obstacle(r);
}

void
relay_note_answered(struct relay *r, double throttled)
{
    throttle_answered(&r->throttle, relay_now_ns(r), throttled);
}

/* What was a letter, is given once more, and has arrived now, or is too old by now, is none any
 * more. */
static enum err
revoke_letters(struct relay *r, const struct call_item *item)
{
    enum err e = OK;
    for (uint32_t i = 0; i < item->count && e == OK; i++) {
        uint64_t pos;
        uint32_t index;
        relay_identity(r, item->record, item->index + i, &pos, &index);
        e = dead_letters_revoke(r->letters, pos, index, NULL);
    }
    return e;
}

enum err
relay_settle(struct relay *r, const struct call_item *item, uint8_t fate)
{
    if (item->record == REPLAY_RECORD) {
        return replay_settle(r, item, fate == FATE_DELIVERED, "damaged", "");
    }
    if (r->settings->dry_run) fate = FATE_NOT_TAKEN;
    bool may_be_letter =
        fate == FATE_DELIVERED || fate == FATE_DROPPED + DROP_OUTSIDE_TABLE_RETENTION;
    enum err e = may_be_letter ? revoke_letters(r, item) : OK;
    if (e == OK) e = window_settle(r->window, item->record, item->index, item->count, fate);
    r->dirty |= e == OK;
    return e;
}

enum err
relay_bury(struct relay *r, const struct call_item *at, const struct item *item,
           enum bury_why why_buried, const char *reason, const char *answer)
{
    if (at->record == REPLAY_RECORD) return replay_settle(r, at, false, reason, answer);
    bool drop =
        why_buried == BURY_UNREPRESENTABLE && r->settings->unrepresentable == UNREPRESENTABLE_DROP;
    if (drop) return relay_settle(r, at, FATE_DROPPED + DROP_UNREPRESENTABLE);
    if (r->settings->dry_run) {
        r->now.dry.unrepresentable++;
        return relay_settle(r, at, FATE_NOT_TAKEN);
    }
    struct dead_letter letter = {
        .item = *item,
        .reason = bytes_of_text(reason),
        .answer = bytes_of_text(answer),
        .failed_ms = env_realtime_ms(r->options.env),
    };
    relay_identity(r, at->record, at->index, &letter.pos, &letter.index);
    struct why why = {""};
    /* Once it is a letter nothing may fail: it would be tried again, and be another one. */
    enum err e = window_reserve(r->window, at->record);
    if (e) why_set(&why, e, "no memory for a dead letter");
    if (e == OK) e = dead_letters_add(r->letters, &letter, &why);
    if (e == OK) e = relay_settle(r, at, FATE_DEAD_LETTERED);
    if (e) relay_note_failure(r, "a dead letter cannot be kept", "dead_letters", why.text);
    return e;
}

/* --- sending ---------------------------------------------------------------------------------- */

/* Behind those of the log that of letters that are sent again. */
static struct lane *
lane_at(struct relay *r, uint32_t i)
{
    return i < r->lane_count ? &r->lanes[i] : &r->replay;
}

/* What stood in the way of preparation is no more. */
static void
note_prepared(struct relay *r)
{
    r->prepare_backoff_ms = 0;
    r->prepare_agains = 0;
    r->looked = true;
    if (!r->prepare_failed) return;
    r->prepare_failed = false;
    r->failing = false;
    r->now.error[0] = 0;
    if (r->obstacle != OBSTACLE_BLOCKED) return;
    r->obstacle = OBSTACLE_NONE;
    log_info("relay: it works again", KV("destination", r->settings->name));
}

static void
prepare_done(struct relay *r, const struct writer_step *step)
{
    r->preparing = false;
    if (step->verdict == VERDICT_DELIVERED) {
        note_prepared(r);
        return;
    }
    r->prepare_failed = true;
    const struct retry_settings *retry = &r->settings->retry;
    int64_t wait_ms =
        r->prepare_backoff_ms == 0 ? retry->min_backoff_ms : 2 * r->prepare_backoff_ms;
    if (wait_ms > retry->max_backoff_ms) wait_ms = retry->max_backoff_ms;
    r->prepare_backoff_ms = wait_ms;
    /* Whatever was fetched, it was refused. */
    bool refused = step->verdict == VERDICT_UNPREPARED && ++r->prepare_agains > AGAIN_MAX;
    if (step->verdict == VERDICT_BLOCKED || refused) {
        relay_note_blocked(r, step->reason, step->answer);
        wait_ms = PROBE_MS;
    } else {
        relay_note_failure(r, "preparation", step->reason, step->answer);
    }
    r->prepare_ns = relay_now_ns(r) + wait_ms * NS_PER_MS;
}

static void
prepare(struct relay *r, const struct http_call_answer *answer)
{
    struct writer_step step = {.next = WRITER_DONE};
    struct why why = {""};
    r->class->prepare(r->writer, answer, &step);
    if (step.next == WRITER_SEND) {
        step.http.context = r;
        enum err e = http_calls_start(r->http, &step.http, &why);
        r->preparing = e == OK;
        if (e == OK) return;
        step = (struct writer_step){.verdict = VERDICT_RETRY, .reason = "no_memory"};
    }
    prepare_done(r, &step);
}

bool
relay_is_ready(struct relay *r)
{
    if (r->paused || r->stopping || r->leaving || r->preparing) return false;
    if (r->settings->dry_run || r->class->need_prepare == NULL) return true;
    if (!r->class->need_prepare(r->writer)) return true;
    if (relay_now_ns(r) >= r->prepare_ns) prepare(r, NULL);
    return !r->preparing && !r->class->need_prepare(r->writer);
}

/* Once after the start, whether there is something to be sent or not: what is wrong with
 * credentials is said then, and not with the first call. */
static void
look_early(struct relay *r)
{
    if (r->looked || r->settings->dry_run) return;
    if (r->class->need_prepare == NULL || relay_is_ready(r)) r->looked = true;
}

static void
refill(struct token_bucket *bucket, double seconds)
{
    bucket->tokens += (double)bucket->rate * seconds;
    if (bucket->tokens > (double)bucket->rate) bucket->tokens = (double)bucket->rate;
}

bool
relay_may_send(struct relay *r)
{
    int64_t now_ns = relay_now_ns(r);
    double seconds = (double)(now_ns - r->rates_ns) / (double)NS_PER_S;
    r->rates_ns = now_ns;
    refill(&r->sample_rate, seconds);
    refill(&r->byte_rate, seconds);
    refill(&r->fill_rate, seconds);
    if (r->fill != NULL && r->fill_rate.rate > 0 && r->fill_rate.tokens < 0) return false;
    if (r->sample_rate.rate > 0 && r->sample_rate.tokens < 0) return false;
    return r->byte_rate.rate == 0 || r->byte_rate.tokens >= 0;
}

void
relay_note_sent(struct relay *r, uint32_t samples, uint64_t bytes)
{
    r->sample_rate.tokens -= samples;
    r->byte_rate.tokens -= (double)bytes;
    if (r->fill != NULL) r->fill_rate.tokens -= samples;
}

/* --- stepping --------------------------------------------------------------------------------- */

static void
take_answers(struct relay *r)
{
    struct http_call_answer answer;
    while (http_calls_done(r->http, &answer)) {
        if (answer.context == r)
            prepare(r, &answer);
        else
            lane_answered(r, answer.context, &answer);
    }
}

static void
take_wish(struct relay *r)
{
    lock_take(&r->lock);
    bool is_new = r->wish_is_new;
    enum relay_wish wish = r->wish;
    r->wish_is_new = false;
    r->replays |= r->replay_wanted;
    if (r->replay_wanted) r->replays_from_ms = r->replay_from_ms;
    r->replay_wanted = false;
    lock_drop(&r->lock);
    if (!is_new) return;
    r->state.wish = wish;
    r->paused = wish == RELAY_WISH_PAUSE;
    if (!r->paused) { /* whoever says go on has mended something */
        r->obstacle = OBSTACLE_NONE;
        forget_refusals(r);
    }
    r->dirty = true;
}

static enum err
note_seen(void *context, const struct dead_letter *letter, bool kept)
{
    struct relay *r = context;
    bool there;
    return window_change(r->window, letter->pos, letter->index,
                         kept ? FATE_DEAD_LETTERED : FATE_REPLAYING,
                         kept ? FATE_SEEN : FATE_SEEN_REPLAYING, &there);
}

/*
 * Of a letter that cannot be read nobody knows whose it is. Those of items in the window are the
 * ones that are not met when all others are looked at. After an error none is taken for one.
 */
static void
count_lost(struct relay *r, struct dead_letters_moved *moved)
{
    uint64_t lost = 0, none[ITEM_KIND_COUNT] = {0};
    uint64_t kept[ITEM_KIND_COUNT] = {0}, again[ITEM_KIND_COUNT] = {0};
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        lost += moved->lost[kind];
    }
    if (lost == 0) return;
    if (dead_letters_each_alive(r->letters, note_seen, r, NULL) == OK) {
        window_change_all(r->window, FATE_DEAD_LETTERED, FATE_DROPPED + DROP_DAMAGED, kept);
        window_change_all(r->window, FATE_REPLAYING, FATE_DROPPED + DROP_DAMAGED, again);
    }
    window_change_all(r->window, FATE_SEEN, FATE_DEAD_LETTERED, none);
    window_change_all(r->window, FATE_SEEN_REPLAYING, FATE_REPLAYING, none);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        moved->counted[kind] += kept[kind];
        moved->counted_lost[kind] += kept[kind] + again[kind];
    }
}

/*
 * Moves in the account what operator, budget and age decided about letters, and what is lost. Of
 * those that went for the budget or are lost some may have been replaying: how many are is known.
 */
static void
count_moved(struct relay *r, const struct dead_letters_moved *moved)
{
    struct dead_letters_counts counts;
    dead_letters_counts(r->letters, &counts);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t *count = r->base.count[kind], full = moved->dropped_full[kind];
        uint64_t were = r->replaying[kind] + moved->replaying[kind];
        uint64_t replays_lost = were - counts.replaying[kind];
        r->replaying[kind] = counts.replaying[kind];
        count[FATE_DEAD_LETTERED] -= moved->replaying[kind] + moved->dropped[kind] -
                                     moved->counted[kind] + full + moved->lost[kind] - replays_lost;
        count[FATE_DROPPED + DROP_BY_OPERATOR] +=
            moved->dropped[kind] - moved->counted_dropped[kind];
        count[FATE_DROPPED + DROP_DEAD_LETTERS_FULL] += full - moved->counted_full[kind];
        r->dirty |= moved->replaying[kind] + moved->dropped[kind] + full > 0;
        if (full == 0) continue;
        log_error("relay: dead letters are lost: their budget or their age is reached",
                  KV("destination", r->settings->name), KV("letters", full));
    }
}

/*
 * Unix time, but never later than what has passed since the process began: a clock that jumps ahead
 * makes no letter old. One that goes back makes them younger.
 */
static int64_t
steady_now_ms(const struct relay *r)
{
    const struct relay_options *o = &r->options;
    int64_t now_ms = env_realtime_ms(o->env);
    int64_t most_ms = o->epoch_ms + (env_monotonic_ns(o->env) - o->epoch_ns) / NS_PER_MS;
    return now_ms < most_ms ? now_ms : most_ms;
}

static void
tend_letters(struct relay *r)
{
    struct dead_letters_moved moved;
    struct why why = {""};
    memset(&moved, 0, sizeof moved);
    enum err e = dead_letters_tend(r->letters, steady_now_ms(r), &moved, &why);
    count_lost(r, &moved);
    count_moved(r, &moved);
    letters_tended(r, &moved);
    if (e) relay_note_failure(r, "dead letters", "dead_letters", why.text);
}

/* Where the log has nothing for this destination, the cursor moves, too. */
static void
skip_ahead(struct relay *r)
{
    if (r->source == NULL || window_records(r->window) > 0 || r->chunk_read) return;
    bool read = source_pos(r->source) > r->state.cursor.pos && r->chunk_next == r->chunk_count;
    if (read) window_skip(r->window, (struct relay_cursor){.pos = source_pos(r->source)});
}

static bool
has_news(struct relay *r)
{
    struct relay_cursor cursor = relay_cursor(r, NULL);
    bool moved = cursor.pos != r->state.cursor.pos || cursor.index != r->state.cursor.index;
    uint64_t counted[ITEM_KIND_COUNT];
    account_found(r);
    account_counted(r, counted);
    moved |= memcmp(counted, r->state.counted, sizeof counted) != 0;
    return moved || r->dirty || r->save_now ||
           hash_bytes(buf_bytes(&r->next_writer_state), 0) != r->writer_state_hash;
}

static void
save_if_due(struct relay *r, int64_t now_ns)
{
    skip_ahead(r);
    if (now_ns - r->saved_ns < SAVE_MS * NS_PER_MS && !r->save_now) return;
    r->saved_ns = now_ns;
    tend_letters(r);
    struct why why = {""};
    enum err e = r->class->tend == NULL ? OK : r->class->tend(r->writer, false, &why);
    if (e == OK) e = relay_ask_writer(r, &why);
    if (e == OK && has_news(r)) e = relay_save(r, &why);
    if (e) {
        relay_note_failure(r, "state", "state", why.text);
        return;
    }
    r->save_now = false;
    for (uint32_t i = 0; i <= r->lane_count; i++) {
        lane_saved(lane_at(r, i));
    }
}

static enum relay_state_word
state_word(const struct relay *r)
{
    if (r->paused) return RELAY_PAUSED;
    if (r->obstacle == OBSTACLE_BLOCKED) return RELAY_BLOCKED;
    if (r->obstacle == OBSTACLE_REFUSING) return RELAY_REFUSING;
    if (r->settings->dry_run) return RELAY_DRY_RUN;
    if (r->failing) return RELAY_RETRYING;
    return r->fill != NULL ? RELAY_FILLING : RELAY_RUNNING;
}

static void
publish_account(const struct relay *r, struct relay_status *s)
{
    s->fates = r->base;
    fates_add(&s->fates, window_fates(r->window));
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t open = account_queued(r, kind) + r->replaying[kind];
        s->fates.count[kind][FATE_OPEN] = open;
        /* A dry run settles nothing. */
        s->taken[kind] = r->settings->dry_run ? open : account_taken(r, kind);
        s->difference[kind] = r->settings->dry_run ? 0 : account_difference(r, kind);
    }
    shown_set(&s->shown, &r->state);
    s->repeats_total = repeats_of(&r->state);
    if (!r->settings->dry_run) return;
    s->shown = r->left;
    s->repeats_total = r->left_repeats;
}

static void
publish_lag(struct relay *r, struct relay_status *s)
{
    int64_t oldest_ms = r->fill != NULL ? r->state.fill.since_ms : window_oldest_ms(r->window);
    s->cursor_pos = r->fill != NULL ? r->state.fill.from_pos : relay_cursor(r, NULL).pos;
    s->behind_bytes = wal_bytes_from(r->options.wal, s->cursor_pos);
    int64_t now_ms = env_realtime_ms(r->options.env);
    bool unread = oldest_ms == 0 && s->behind_bytes > 0; /* since nobody has looked: as we know */
    if (!unread) r->unread_ms = 0;
    if (unread && r->unread_ms == 0) r->unread_ms = now_ms;
    if (unread) oldest_ms = r->unread_ms;
    s->behind_ms = oldest_ms == 0 ? 0 : now_ms - oldest_ms;
    s->full =
        r->options.tsdb == NULL && r->settings->on_full == ON_FULL_BLOCK && catch_up_is_due(r);
}

/* An alarm, and not the last word: what is saved has it as well. */
static void
watch_difference(struct relay *r)
{
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        int64_t difference = r->now.difference[kind];
        if (difference == r->told_difference[kind]) continue;
        r->told_difference[kind] = difference;
        if (difference == 0) continue;
        log_error("relay: the ledger does not balance: items are lost or miscounted",
                  KV("destination", r->settings->name), KV("kind", item_kind_word(kind)),
                  KV("difference", difference), KV("taken", r->now.taken[kind]),
                  KV("to_do", LEDGER_DIFFERENCE_TO_DO));
    }
}

static void
publish(struct relay *r)
{
    struct relay_status *s = &r->now;
    s->state = state_word(r);
    publish_account(r, s);
    watch_difference(r);
    publish_lag(r, s);
    s->lanes = throttle_allows(&r->throttle);
    s->lanes_busy = 0;
    for (uint32_t i = 0; i < r->lane_count; i++) {
        s->lanes_busy += !lane_is_idle(&r->lanes[i]);
    }
    s->batch_bytes_max = r->bytes_max;
    s->memory_bytes = budget_used(r->options.memory);
    if (s->dry.since_ms != 0) s->dry.for_ms = env_realtime_ms(r->options.env) - s->dry.since_ms;
    lock_take(&r->lock);
    r->status = *s;
    lock_drop(&r->lock);
}

/* How long nothing is to be done, as far as can be told. */
static int
idle_ms(struct relay *r, bool more)
{
    if (more) return 0;
    int64_t now_ns = relay_now_ns(r), next_ns = now_ns + POLL_MS * NS_PER_MS;
    for (uint32_t i = 0; i <= r->lane_count; i++) {
        int64_t lane_ns = lane_next_ns(r, lane_at(r, i));
        if (lane_ns < next_ns) next_ns = lane_ns;
    }
    return next_ns <= now_ns ? 0 : (int)((next_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
}

/* A run that ended goes on with what the state says. */
static bool
run(struct relay *r)
{
    int64_t now_ns = relay_now_ns(r);
    struct why why = {""};
    if (now_ns < r->run_again_ns) return false;
    if (relay_begin_run(r, &why) == OK) return true;
    relay_note_failure(r, "going on", "state", why.text);
    r->run_again_ns = now_ns + RUN_AGAIN_MS * NS_PER_MS;
    return false;
}

/* Parts that were removed meanwhile stay on disk as long as somebody reads them. */
static void
rest_if_idle(struct relay *r)
{
    if (r->fill == NULL) return;
    int64_t now_ns = relay_now_ns(r);
    if (fill_pos(r->fill) != r->fill_read_pos) {
        r->fill_read_pos = fill_pos(r->fill);
        r->fill_read_ns = now_ns;
    } else if (now_ns - r->fill_read_ns >= FILL_REST_MS * NS_PER_MS) {
        fill_rest(r->fill);
        r->fill_read_ns = now_ns;
    }
}

static bool
read_on(struct relay *r)
{
    bool drops = r->state.drop_pos > r->state.cursor.pos; /* paused or not */
    bool more = false, may_read = (!r->paused || drops) && !r->stopping && !r->leaving;
    if (may_read) more = relay_feed(r);
    if (may_read && !r->settings->dry_run) replay_feed(r);
    rest_if_idle(r);
    account_close(r);
    return (!r->stopping && account_scout(r)) || more;
}

/*
 * Each lane may have a request under way; what may be under way beside these is for lanes that look
 * for what is refused. They take turns, so that where fewer may be under way than there are lanes
 * none is forgotten.
 */
static void
send_on(struct relay *r)
{
    uint32_t count = r->lane_count + 1, first = r->turn++ % count;
    r->has_room = false;
    for (uint32_t i = 0; i < count; i++) {
        lane_go_on(r, lane_at(r, (first + i) % count), false);
    }
    for (uint32_t i = 0; i < count; i++) {
        while (lane_go_on(r, lane_at(r, (first + i) % count), true)) {
        }
    }
}

int
relay_step(struct relay *r)
{
    take_wish(r);
    if (!r->running && !run(r)) return RUN_AGAIN_MS;
    take_answers(r);
    bool more = read_on(r);
    look_early(r);
    send_on(r);
    save_if_due(r, relay_now_ns(r));
    publish(r);
    int wait_ms = idle_ms(r, more || r->has_room);
    if (!r->stopping) catch_up(r);
    return r->running ? wait_ms : 0;
}

void
relay_wait(struct relay *r, int wait_ms)
{
    http_calls_poll(r->http, wait_ms);
}

void
relay_wake(struct relay *r)
{
    http_calls_wake(r->http);
}

void
relay_stop(struct relay *r)
{
    r->stopping = true;
}

bool
relay_is_idle(const struct relay *r)
{
    return http_calls_count(r->http) == 0;
}

enum err
relay_close(struct relay *r, struct why *why)
{
    enum err e = OK, saved = OK;
    if (r->settings->dry_run) {
        log_info("relay: a dry run ends, and would have sent", KV("destination", r->settings->name),
                 KV("samples", r->now.dry.samples), KV("calls", r->now.calls_total),
                 KV("bytes", r->now.sent_bytes_total), KV("billed_units", r->now.units_total),
                 KV("mapped", r->now.dry.mapped),
                 KV("unrepresentable", r->now.dry.unrepresentable));
    }
    if (r->running) {
        e = r->class->tend == NULL ? OK : r->class->tend(r->writer, true, why);
        saved = relay_save(r, e == OK ? why : NULL);
        /* Letters that arrived: that they did is said now. */
        if (saved == OK && r->dirty) saved = relay_save(r, e == OK ? why : NULL);
    }
    relay_free(r);
    return e ? e : saved;
}

/* --- watching and telling --------------------------------------------------------------------- */

const char *
relay_state_text(enum relay_state_word state)
{
    static const char *const words[] = {
        [RELAY_RUNNING] = "running", [RELAY_PAUSED] = "paused",     [RELAY_RETRYING] = "retrying",
        [RELAY_BLOCKED] = "blocked", [RELAY_REFUSING] = "refusing", [RELAY_FILLING] = "filling",
        [RELAY_DRY_RUN] = "dry_run",
    };
    return words[state];
}

void
relay_status(struct relay *r, struct relay_status *ret_status)
{
    lock_take(&r->lock);
    *ret_status = r->status;
    lock_drop(&r->lock);
}

void
relay_wish(struct relay *r, bool paused)
{
    lock_take(&r->lock);
    r->wish = paused ? RELAY_WISH_PAUSE : RELAY_WISH_RESUME;
    r->wish_is_new = true;
    lock_drop(&r->lock);
    relay_wake(r);
}

bool
relay_is_full(const struct relay *r)
{
    return r->now.full;
}

enum err
relay_replay(struct relay *r, int64_t from_ms, struct why *why)
{
    if (r->options.tsdb == NULL) {
        return why_set(why, ERR_UNSUPPORTED, "nothing is stored that could be given again");
    }
    lock_take(&r->lock);
    bool behind = r->status.cursor_pos < tsdb_store_pos(r->options.tsdb);
    r->replay_wanted |= !behind;
    r->replay_from_ms = from_ms;
    lock_drop(&r->lock);
    if (behind) return why_set(why, ERR_AGAIN, "it has not yet taken what is stored now");
    relay_wake(r);
    return OK;
}
