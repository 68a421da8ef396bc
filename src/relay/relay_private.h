/*
 * relay_private.h - the parts of a running destination, shared by the files of this folder.
 *
 * Each part is a struct that only the files named above it write; others read it, or call these.
 * The exception is the state: begin.c and save.c write what was saved last, and others what has
 * changed since and belongs into the next one: an operator's wish (watch.c), the position of the
 * oldest record of the log (feed.c), what the store has lost (account.c), letters that were taken
 * back (catch_up.c).
 */
#ifndef RELAY_RELAY_PRIVATE_H
#define RELAY_RELAY_PRIVATE_H

#include <assert.h>

#include "base/lock.h"
#include "relay/feed/fill.h"
#include "relay/feed/log_items.h"
#include "relay/lane/backoff.h"
#include "relay/lane/bounds.h"
#include "relay/lane/isolate.h"
#include "relay/lane/obstacle.h"
#include "relay/lane/rates.h"
#include "relay/lane/series_seen.h"
#include "relay/lane/suspects.h"
#include "relay/lane/throttle.h"
#include "relay/letters/dead_letters.h"
#include "relay/relay.h"
#include "relay/state/guard.h"
#include "relay/state/state.h"

enum {
    AGAIN_MAX = 4,    /* times that a call is sent again at once */
    ATTEMPTS_MAX = 8, /* attempts of a lane */
    QUEUED_MAX = 4,   /* full calls of a lane that wait for the one being sent */
};

/* --- save.c ----------------------------------------------------------------------------------- */

enum save_need {
    SAVE_IF_MOVED, /* only if the cursor, the counts or the writer's state have changed */
    SAVE_SOON,     /* within a second: something else has changed */
    SAVE_NOW,      /* at once: a lane waits for it */
};

struct saving {
    enum save_need need;
    int64_t saved_ns;                   /* monotonic time of the last attempt */
    struct buf writer;                  /* bytes that state.writer is a view of */
    struct buf place;                   /* bytes that state.fill.place is a view of */
    struct buf next_writer, next_place; /* the same for the next state */
    uint64_t writer_hash;               /* hash of state.writer as saved last */
    struct buf scratch;                 /* the file, while it is written or read */
};

/* --- feed.c ----------------------------------------------------------------------------------- */

/* The diagram at the top of feed.c has the transitions. */
enum feed_state {
    FEED_OLDEST,      /* the log is read from its oldest record; none was read so far */
    FEED_LOG,         /* the log is read */
    FEED_GONE,        /* the log no longer has the next record */
    FEED_STORE,       /* the store is read */
    FEED_STORE_END,   /* all of the store's stretch was read */
    FEED_STORE_MOVED, /* the store has changed, and must be read from the last saved place */
};

struct feed {
    enum feed_state state;
    struct log_items *log;    /* NULL while the store is read, or if the log was gone at once */
    struct fill *fill;        /* the store in the states FEED_STORE_*; else NULL */
    uint64_t fill_read_pos;   /* position of the store when it was looked at last */
    int64_t fill_read_ns;     /* monotonic time since which the position has not moved */
    struct relay_cursor from; /* where the run began */

    struct chunk log_chunk;
    const struct chunk *chunk; /* the chunk being handed to the lanes; NULL before the first */
    uint64_t record;           /* its number in the window */
    uint32_t count;            /* its items; the chunk itself may have been replaced partly */
    uint32_t next;             /* index of the next item; `count` if the next chunk is wanted */
    bool is_read;              /* a chunk was read that is not in the window so far */
    uint32_t over;             /* items from `next` on that were settled before the run */
    uint32_t untaken;          /* unwanted items after these */
    struct chunk read_again;   /* a record of the log that was read again */
    uint64_t read_again_pos;   /* its position; 0 if there is none */

    uint64_t hole_pos;    /* the log is damaged before this position, and reading waits; 0 if not */
    uint64_t reload_pos;  /* the log cannot give again an item before it; 0 if all can be had */
    uint64_t damaged_pos; /* the record that was logged last as having samples without a series */
};

/* --- account.c and letters_account.c ---------------------------------------------------------- */

/* Items after the reading position that were counted in advance. */
struct read_ahead {
    struct log_items *log; /* a second reader that counts; NULL while nothing is counted */
    struct chunk chunk;    /* the chunk it read last */
    uint64_t pos;          /* position of the log up to which items are counted; 0 if none are */
    int64_t count[ITEM_KIND_COUNT];
    /* Items that could not be counted because they cannot be read: at most so many more may come,
     * and count as taken then. UINT64_MAX if their number is unknown. */
    uint64_t margin[ITEM_KIND_COUNT];
    bool blind;        /* items after `pos` cannot be counted, as the log no longer has them */
    bool lasting;      /* items of a lost part of the log are included: the count is saved */
    int64_t behind_ns; /* monotonic time since which the log has more than was read; 0 if not */
};

struct account {
    struct fates base; /* fates of all items before the window */
    struct read_ahead ahead;
    uint64_t fed[ITEM_KIND_COUNT];         /* wanted items that were read, without repeats */
    uint64_t taken[ITEM_KIND_COUNT];       /* items settled or queued, as counted by reading */
    uint64_t base_taken[ITEM_KIND_COUNT];  /* items among these before the window */
    uint64_t replaying[ITEM_KIND_COUNT];   /* dead letters that are sent again */
    uint64_t hole_lost[LEDGER_KIND_COUNT]; /* items of a hole in the log that the store lost too */
    bool met_damage; /* the store was damaged, since the log was followed last: outlives runs */

    bool is_whole;                         /* all that the log had at the start is counted */
    uint64_t whole_from_pos;               /* position at which it is */
    uint64_t known[ITEM_KIND_COUNT];       /* items taken before `known_pos`, as the state says */
    uint64_t known_pos;                    /* position of the log up to which the state counted */
    uint64_t taken_since[ITEM_KIND_COUNT]; /* items of `taken` after it */
};

/* --- lane.c and lane_verdict.c ---------------------------------------------------------------- */

struct call {
    struct writer_call *body;
    struct call_item *items;
    uint32_t count; /* entries of `items` */
    uint32_t capacity;
    uint64_t samples;        /* items, with all those of runs */
    uint64_t bytes;          /* size of the body; of a queued call only */
    uint32_t suspects;       /* items that are suspects */
    uint64_t forgot_count;   /* suspects.forgot_count when the first item was added */
    struct series_seen seen; /* its series; only where it may have one sample of each */
    int64_t first_ns;        /* monotonic time at which the first item was added */
    bool sealed;             /* nothing more is added */
};

enum attempt_phase {
    ATTEMPT_FREE,
    ATTEMPT_READY,   /* its request may be sent */
    ATTEMPT_SAVING,  /* its request may be sent once the state is saved */
    ATTEMPT_PENDING, /* its request was sent, and has no response so far */
};

/* A piece of a lane's call that is tried. */
struct attempt {
    struct lane *lane;
    uint8_t number;           /* from 1 on; attempt 1 uses the call's own body */
    enum attempt_phase phase; /* isolate_taken() has the piece of one that is not free */
    struct writer_call *body; /* body of the others; NULL before it is made */
    bool built;               /* the body holds exactly the piece */
    bool ambiguous;           /* it was sent, and the outcome is unknown */
    bool is_nothing; /* nothing had to be sent, so its success says nothing about the destination */
    bool probes;     /* the destination might not work when it was sent last */
    uint32_t agains; /* times that it was sent again at once */
};

struct lane {
    struct call filling;
    struct call queue[QUEUED_MAX]; /* full calls, oldest first; bodies are made when first needed */
    uint32_t queued;
    struct call sending;
    struct isolate pieces; /* pieces of `sending` that are not settled */
    struct attempt attempts[ATTEMPTS_MAX];
    struct backoff pause;     /* the lane's own pause: its call may fail where others would not */
    int64_t failing_since_ns; /* monotonic time of the first failure in a row; 0 if not failing */
};

struct lanes {
    struct lane all[LANES_MAX];
    uint32_t count;
    struct lane replay;        /* lane of dead letters that are sent again */
    struct lane *begun;        /* with limits.one_lane, the lane whose call is sent; else NULL */
    uint32_t turn;             /* index of the lane that is served first */
    uint32_t pending;          /* pending requests of all lanes */
    struct throttle throttle;  /* limits the number of pending requests */
    uint32_t unprepared;       /* probes in a row whose credentials were refused */
    uint64_t queued_bytes;     /* bytes of queued calls of all lanes */
    uint64_t queued_bytes_max; /* upper limit of these */
    struct suspects suspects;
    int64_t age_ms; /* age at which a call being filled is sent */
    bool has_room;  /* a call needed no network, so a full lane may have room again */
};

/* Totals since the relay was opened. */
struct sent {
    uint64_t calls;
    uint64_t bytes;
    uint64_t units;
    uint64_t resent_samples;
    struct relay_dry dry; /* without since_ms and for_ms */
};

/* --- letters_replay.c ------------------------------------------------------------------------- */

/* Identifies a dead letter by the position of its item in the log. */
struct replay_id {
    uint64_t pos;
    uint32_t index;
    enum item_kind kind;
};
#define REPLAY_RECORD UINT64_MAX /* record number of replayed letters in calls */

struct replays {
    struct replay_id *ids; /* letters in the lane; call_item.index is an index of it */
    uint32_t count, capacity;
    struct replay_id waiting;  /* a letter that had no room in the lane */
    bool waits;                /* there is one */
    struct replay_id *arrived; /* letters that were delivered since the last save */
    uint32_t arrived_count, arrived_capacity;
};

/* --- prepare.c -------------------------------------------------------------------------------- */

/* The pending request of a preparation. */
enum prepare_request {
    PREPARE_NONE,
    PREPARE_FETCH, /* fetches what the writer needs */
    PREPARE_CHECK, /* checks credentials */
};

struct preparation {
    enum prepare_request pending;
    bool has_failed;        /* the last request failed */
    bool looked;            /* it is known whether credentials are accepted */
    struct backoff pause;   /* before the next request */
    uint32_t refused_count; /* times in a row that fetched credentials were refused */
    uint32_t check_agains;  /* times in a row that the check was repeated at once */
};

/* --- watch.c ---------------------------------------------------------------------------------- */

struct watch {
    struct relay_status now;
    struct relay_shown left; /* the destination's account, which a dry run does not change */
    uint64_t left_repeats;
    int64_t logged_difference[ITEM_KIND_COUNT]; /* the difference that was logged last */
    int64_t unread_ms; /* Unix time since which the log has more and nothing of it was read; or 0 */
    bool gives_again;  /* stored samples are to be sent again */
    int64_t again_from_ms; /* Unix time of the oldest of them */

    struct lock lock; /* LOCK_RANK_RELAY; guards to the next blank line */
    struct relay_status status;
    enum relay_wish wish; /* the last wish that was not taken so far; or RELAY_WISH_NONE */
    bool again_wanted;    /* the same for gives_again, from wanted_from_ms */
    int64_t wanted_from_ms;
};

/* --- the whole -------------------------------------------------------------------------------- */

enum run_phase {
    RUN_NONE,
    RUN_ON,
    RUN_LEAVING, /* nothing new is sent: the run ends as soon as no request is pending */
};

struct relay {
    /* Immutable after relay_open(). */
    struct relay_options options;
    const struct destination_settings *settings;
    const struct writer_class *class;
    struct http_calls *http;
    struct selection *selection;
    char dir[200];

    /* Owned by the stepping thread; watch.lock guards what other threads reach. */
    bool stopping;
    bool draining;
    struct relay_state state;
    struct rates rates;
    struct obstacle obstacle;
    struct saving saving;
    struct sent sent;
    struct watch watch;

    /* The run, from relay_begin_run() to relay_end_run(). */
    enum run_phase phase;
    int64_t run_again_ns; /* monotonic time before which no further run begins */
    struct writer *writer;
    struct writer_limits limits;
    struct call_bounds bounds; /* `bytes` is lowered when a call was too large */
    struct window *window;
    struct dead_letters *letters;
    struct feed feed;
    struct account account;
    struct lanes lanes;
    struct replays replays;
    struct preparation preparation;
};

/* --- relay.c ---------------------------------------------------------------------------------- */

int64_t relay_now_ns(const struct relay *r);
/* The limit of the destination's budget, in bytes; 0 if it has no limit of its own. */
uint64_t relay_memory_limit(const struct relay *r);
/* Ends the run; the next step begins another one from the state. No request may be pending. */
void relay_run_again(struct relay *r);

/* --- begin.c ---------------------------------------------------------------------------------- */

/* Loads the state, or makes the first one. It is durable on return, except in a dry run. */
MUST_CHECK enum err relay_load_state(struct relay *r, struct why *why);

/* --- save.c ----------------------------------------------------------------------------------- */

void save_init(struct relay *r);
void save_fini(struct relay *r);
/* Copies the bytes that r->state has views of. ERR_NOMEM. */
MUST_CHECK enum err save_keep_texts(struct relay *r);
/* Something has changed that the next state says. */
void save_want(struct relay *r, enum save_need need);
/* Makes settled items durable; then lanes that wait for the state may go on. */
MUST_CHECK enum err relay_save(struct relay *r, struct why *why);
/* The same, if a second has passed or a lane waits, and something has changed. */
void save_if_due(struct relay *r);
/* The cursor as a state has it; `ret_before` (may be NULL) has the fates of the run before it. */
struct relay_cursor relay_cursor(struct relay *r, struct fates *ret_before);
/* Prepares a state that follows `before` and begins to read elsewhere: items that were taken are
 * read again and are still queued. Items that left a term of the account since `before` are added
 * to next->beside, for counters. */
void shown_keep_taken(struct relay_state *next, const struct relay_state *before);
/* Saves another state than the run's next one, for the run to come. On an error r->state is
 * unchanged. */
MUST_CHECK enum err save_instead(struct relay *r, const struct relay_state *state, struct why *why);
/* Writes a state, except in a dry run. */
MUST_CHECK enum err relay_state_put(struct relay *r, const struct relay_state *state,
                                    struct why *why);

/* --- watch.c ---------------------------------------------------------------------------------- */

/* Publishes the first status. `r` has its state. */
void watch_begin(struct relay *r);
/* Takes the requests that other threads have left since the last call. */
void watch_take_wish(struct relay *r);
/* Publishes the status that other threads see. */
void watch_publish(struct relay *r);
bool relay_is_paused(const struct relay *r);
/* Stored samples are being sent again: the request was carried out. */
void watch_given_again(struct relay *r);

/* --- prepare.c -------------------------------------------------------------------------------- */

/* True if calls may be sent: the relay is not paused, and nothing must be prepared first. Begins a
 * preparation that is due. */
bool relay_is_ready(struct relay *r);
/* Prepares once after the start, even if nothing is to be sent, so that wrong credentials are
 * reported then and not with the first call. While nothing is to be sent, makes the check of
 * writer_limits.start_check until it succeeds. */
void prepare_early(struct relay *r);
void prepare_end(struct relay *r);
/* Takes the response to the pending request; NULL begins a preparation. */
void prepare_answered(struct relay *r, const struct http_call_answer *answer);

/* --- account.c -------------------------------------------------------------------------------- */

/* Counts the items of r->feed.chunk, which was pushed into the window last and whose first `over`
 * items are skipped. Returns the number of unwanted items among the others. */
uint32_t account_chunk(struct relay *r);
/*
 * Items of the log before a chunk cannot be read. True if the store may have some; the number that
 * it lost is remembered. False if it has none of them.
 */
bool account_hole(struct relay *r, const struct chunk *c);
/* Counts the lost items before a chunk as dropped. ERR_NOMEM, ERR_AGAIN. */
MUST_CHECK enum err account_lost(struct relay *r, struct chunk *c);
/* Items taken that are neither settled nor queued: 0 unless something was miscounted. */
int64_t account_difference(const struct relay *r, enum item_kind kind);
/* Items taken before the cursor. */
uint64_t account_taken_before(const struct relay *r, enum item_kind kind);
/* Counts items of the log after the reading position, once the relay has been behind for a while.
 * True if there is more to be counted. */
bool account_read_ahead(struct relay *r);
/* Accounts for counted items that never came, once reading has reached the end of the count. */
void account_close(struct relay *r);
/* The items expected after the cursor, for the state; `before` has the fates before the cursor. */
void account_expected(const struct relay *r, const struct fates *before,
                      struct relay_expected *ret_expected);
/* The state with that count is durable. */
void account_saved(struct relay *r);
/* Completes the state `next`, with which the relay leaves the log for the store: settles what the
 * store cannot have, and sets the items expected. `before` has the fates before the cursor. */
void account_leave(struct relay *r, const struct fates *before, struct relay_state *next);
void account_begin(struct relay *r);
/* Call before feed_end(). */
void account_end(struct relay *r);
/* Items taken from log and store, without repeats. */
uint64_t account_taken(const struct relay *r, enum item_kind kind);
/* Items taken that are not settled. */
uint64_t account_queued(const struct relay *r, enum item_kind kind);
/* Once all that the log had at the begin of the run is counted, counts items as lost that the state
 * has counted and the log no longer has. */
void account_found(struct relay *r);
/* Items taken; at least as many as the state says until account_found() is done, or while the store
 * may have what the log lost. */
void account_counted(const struct relay *r, uint64_t ret_counted[ITEM_KIND_COUNT]);
/* Writes the same, and the log's totals, into the next state. */
void account_remember(const struct relay *r, struct relay_state *next);

/* --- letters_account.c ------------------------------------------------------------------------ */

/* Opens the dead letters; counts and logs what was lost, or is back. */
MUST_CHECK enum err relay_open_letters(struct relay *r, struct why *why);
/* Carries out what operator, budget and age decide about dead letters. */
void letters_tend(struct relay *r);
/* The mark of the letters, which are synced, for the next state; `before` has the fates of this run
 * before its cursor. */
void letters_remember(struct relay *r, const struct fates *before, struct letters_mark *ret_mark);
/* The same, after the letters of items after the cursor were revoked and synced. */
void letters_taken_back(struct relay *r, struct letters_mark *ret_mark);
/* A replayed letter is settled. */
void letters_replayed(struct relay *r, const struct replay_id *id, uint8_t fate);

/* --- catch_up.c ------------------------------------------------------------------------------- */

/* Leaves the log for the store if the relay is too far behind, and returns to it. */
void catch_up(struct relay *r);
/* The position of the log up to which parts have everything. Sets the borders at it and at
 * `from_pos`, so that no part will reach across them. */
uint64_t catch_up_end(struct relay *r, uint64_t from_pos);
/* True if the queued part of the log exceeds the destination's budget. */
bool catch_up_is_due(struct relay *r);

/* --- feed.c ----------------------------------------------------------------------------------- */

/* Opens log or store, as the state says. */
MUST_CHECK enum err feed_begin(struct relay *r, struct why *why);
void feed_end(struct relay *r);
/* The number of items at the begin of a chunk that were settled before a restart. */
uint32_t relay_settled_before(const struct relay *r, const struct chunk *c);
/* True if the destination wants item `i` of a chunk. */
bool relay_takes(struct relay *r, const struct chunk *chunk, uint32_t i, struct log_items *log);
/* Position of the log up to which records are in the window. */
uint64_t relay_read_pos(const struct relay *r);
/* The number of items that the log had accepted there. */
struct log_count relay_read_count(const struct relay *r);
/* Moves the cursor past records of the log that have nothing for this destination. */
void feed_skip_ahead(struct relay *r);

/* Reads as long as lanes have room. False if there is nothing more to read, or no room. */
bool relay_feed(struct relay *r);
/* Releases parts of the store if nothing was read for a while: parts that are removed meanwhile
 * would stay on disk. */
void feed_rest(struct relay *r);
/* The store has changed since it was read. Nothing is lost: items that are not settled are read
 * once more. */
void feed_moved(struct relay *r);
/*
 * An item of the log cannot be read again, as it is gone or damaged (ERR_MISSING, ERR_CORRUPT).
 * True if it stays open: the store has it once it is in parts, and without a store give_up_oldest()
 * counts what is gone. False if it is lost.
 */
bool feed_gets_again(struct relay *r, const struct call_item *at, enum err e);
/* Reads again item `index` of a record. ERR_MISSING: the log no longer has it. */
MUST_CHECK enum err relay_load_item(struct relay *r, uint64_t record, uint32_t index,
                                    struct item *ret_item, struct why *why);

/* --- lane.c ----------------------------------------------------------------------------------- */

/* The piece of an attempt that is not free. */
static inline struct call_piece *
piece_of(const struct attempt *a)
{
    struct call_piece *piece = isolate_taken(&a->lane->pieces, a->number);
    assert(piece != NULL); /* invariant 2 of lane.c */
    return piece;
}
/* Makes bounds.lanes lanes. */
MUST_CHECK enum err lanes_begin(struct relay *r);
void lanes_end(struct relay *r);
/* Sends the requests that may be sent now. */
void lanes_send(struct relay *r);
/* The state was saved: attempts that waited for it may be sent. */
void lanes_saved(struct relay *r);
/* True if no lane of the log has an item. */
bool lanes_are_empty(const struct relay *r);
/* The number of lanes of the log that are sending a call. */
uint32_t lanes_busy(const struct relay *r);
/* Monotonic time of the next lanes_send() that may have something to do; INT64_MAX if none is due.
 */
int64_t lanes_next_ns(struct relay *r);

enum lane_offer { LANE_TOOK, LANE_FULL, LANE_UNFIT, LANE_TOO_OLD };
/* Adds an item to the call that the lane is filling; sets at.entry. */
enum lane_offer lane_offer(struct relay *r, struct lane *lane, const struct item *item,
                           struct call_item at, struct why *why);
/* True if it has no item. */
bool lane_is_empty(const struct lane *lane);
/* Takes the response to an attempt's request. */
void lane_answered(struct relay *r, struct attempt *attempt, const struct http_call_answer *answer);
/* Frees an attempt, whose piece was settled or replaced. */
void lane_end_attempt(struct relay *r, struct attempt *a);
/* Removes an attempt's piece, which is settled. `delivered`: all of it was, by the first response.
 */
void lane_piece_gone(struct relay *r, struct attempt *a, bool delivered);

/* --- lane_verdict.c --------------------------------------------------------------------------- */

/* Settles items of a call. ERR_NOMEM: they are still open. */
MUST_CHECK enum err relay_settle(struct relay *r, const struct call_item *item, uint8_t fate);
/* Keeps an item as a dead letter or drops it, as the settings say for this kind of failure. On an
 * error it is still open. */
enum bury_why { BURY_REFUSED, BURY_UNREPRESENTABLE };
MUST_CHECK enum err relay_bury(struct relay *r, const struct call_item *at, const struct item *item,
                               enum bury_why why_buried, const char *reason, const char *answer);
/* The number of samples in a piece. */
uint32_t lane_piece_samples(const struct lane *lane, const struct call_piece *piece);
/* Makes the lane pause (backoff.h); other lanes are not affected. */
void lane_back_off(struct relay *r, struct lane *lane, int64_t asked_ms);
/* Splits a piece of which some items are refused, as `step` says, or, if `step` is NULL, as follows
 * from the outcome of another piece. False if memory is refused. */
bool lane_split(struct relay *r, struct lane *lane, struct call_piece *piece,
                const struct writer_step *step);
/* Sets apart items of a piece of a refused call whose series others found refused meanwhile. False
 * if it has none, or memory is refused. */
bool lane_set_apart(struct relay *r, struct lane *lane, struct call_piece *piece);
/* True if the item's series or metric was refused lately. */
bool lane_suspects(const struct relay *r, const struct item *item);
/* Tries again to write the letters of an attempt's dead piece. */
void lane_bury_again(struct relay *r, struct attempt *a);
/* Acts on the verdict on an attempt. */
void lane_judge(struct relay *r, struct attempt *a, const struct writer_step *step);

/* --- letters_replay.c ------------------------------------------------------------------------- */

/* Fills the lane of replayed letters. */
void letters_replay_feed(struct relay *r);
/* Reads again the letter at `index` of replays.ids. ERR_MISSING: the letter is gone. */
MUST_CHECK enum err letters_replay_load(struct relay *r, uint32_t index, struct item *ret_item,
                                        struct why *why);
/* The state is saved: letters that were delivered before it are settled. Durable with the next
 * save.
 */
void letters_replay_saved(struct relay *r);
/* Settles letters: as delivered, once the state is saved, or as letters again. */
MUST_CHECK enum err letters_replay_settle(struct relay *r, const struct call_item *at,
                                          bool delivered, const char *reason, const char *answer);
void letters_replay_end(struct relay *r);

#endif
