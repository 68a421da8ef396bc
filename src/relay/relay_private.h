/*
 * relay_private.h - one destination at work, as its files share it.
 *
 * Each part is a struct that only the files named above it write; others read it, or call them. The
 * exception is the state: what was saved last (begin.c, save.c), and what is known since and
 * belongs into the next one: an operator's wish (watch.c), where the oldest record of the log is
 * (feed.c), what the store has lost (account.c), letters that were taken back (catch_up.c).
 */
#ifndef RELAY_RELAY_PRIVATE_H
#define RELAY_RELAY_PRIVATE_H

#include "base/lock.h"
#include "relay/backoff.h"
#include "relay/bounds.h"
#include "relay/fill.h"
#include "relay/guard.h"
#include "relay/isolate.h"
#include "relay/letters/dead_letters.h"
#include "relay/log_items.h"
#include "relay/obstacle.h"
#include "relay/rates.h"
#include "relay/relay.h"
#include "relay/series_seen.h"
#include "relay/state.h"
#include "relay/suspects.h"
#include "relay/throttle.h"

enum {
    AGAIN_MAX = 4,    /* times that a call is sent again at once */
    ATTEMPTS_MAX = 8, /* of a lane */
    QUEUED_MAX = 4,   /* calls that are filled, beside the one under way */
};

/* --- save.c ----------------------------------------------------------------------------------- */

enum save_need {
    SAVE_IF_MOVED, /* if the cursor, what was counted or what the writer knows has changed */
    SAVE_SOON,     /* something else has */
    SAVE_NOW,      /* a lane waits for it */
};

struct saving {
    enum save_need need;
    int64_t saved_ns;
    struct buf writer;                  /* what state.writer, and */
    struct buf place;                   /* what state.fill.place are views of; */
    struct buf next_writer, next_place; /* those of the state to come */
    uint64_t writer_hash;               /* as saved last */
    struct buf scratch;
};

/* --- feed.c ----------------------------------------------------------------------------------- */

/* See feed.c. */
enum feed_state {
    FEED_OLDEST,
    FEED_LOG,
    FEED_GONE,
    FEED_STORE,
    FEED_STORE_END,
    FEED_STORE_MOVED,
};

struct feed {
    enum feed_state state;
    struct log_items *log;  /* the log; NULL while the store is read, or if it was gone at once */
    struct fill *fill;      /* the store, in the states FEED_STORE_*; else NULL */
    uint64_t fill_read_pos; /* how far it was, and since when */
    int64_t fill_read_ns;
    struct relay_cursor from; /* where the run began */

    struct chunk log_chunk;
    const struct chunk *chunk; /* being handed to the lanes; NULL: none was yet */
    uint64_t record;
    uint32_t count;          /* its items; the chunk itself may be half read by now */
    uint32_t next;           /* == count: the next record is wanted */
    bool is_read;            /* it was read, and is not yet in the window */
    uint32_t over;           /* items from `next` on that were settled before the run */
    uint32_t untaken;        /* items from `next` on, and not over, that are not wanted */
    struct chunk read_again; /* of the log */
    uint64_t read_again_pos; /* 0: nothing is */

    uint64_t hole_pos;   /* the log is damaged before it, where reading is; 0: it is not */
    uint64_t reload_pos; /* before it is what a call needs again and the log cannot give; 0: none */
    uint64_t damaged_pos; /* of the record logged last to have samples without a series */
};

/* --- account.c and letters_account.c ---------------------------------------------------------- */

/* Items after what was read, counted in advance. */
struct ahead {
    struct log_items *scout; /* reads ahead, and counts; NULL: nothing is counted */
    struct chunk chunk;      /* the scout's */
    uint64_t pos;            /* of the log: so far they are counted; 0: not at all */
    int64_t count[ITEM_KIND_COUNT];
    /* Those that could not be counted, because they cannot be read: so many more may come by, which
     * are taken then. UINT64_MAX: any number. */
    uint64_t margin[ITEM_KIND_COUNT];
    bool blind;        /* what comes after `pos` cannot be counted: the log is gone */
    bool lasting;      /* those of the log that is gone are among them: this outlives a restart */
    int64_t behind_ns; /* since when there is more in the log than was read; 0: there is not */
};

struct account {
    struct fates base; /* before the window was made */
    struct ahead ahead;
    uint64_t fed[ITEM_KIND_COUNT];         /* wanted items that came by, without repeats */
    uint64_t taken[ITEM_KIND_COUNT];       /* all that is settled or waits, as reading counts it */
    uint64_t base_taken[ITEM_KIND_COUNT];  /* of it, what is before the window */
    uint64_t replaying[ITEM_KIND_COUNT];   /* letters that are sent again */
    uint64_t hole_lost[LEDGER_KIND_COUNT]; /* items that the store lost as well */
    bool met_damage; /* in the store, since the log was followed last: outlives runs */

    bool is_whole;                         /* who has looked so far knows all that waits */
    uint64_t whole_from_pos;               /* then it is */
    uint64_t known[ITEM_KIND_COUNT];       /* so many the state had counted */
    uint64_t known_pos;                    /* before this position of the log; */
    uint64_t taken_since[ITEM_KIND_COUNT]; /* so many of `taken` are after it */
};

/* --- lane.c and lane_verdict.c ---------------------------------------------------------------- */

struct call {
    struct writer_call *body;
    struct call_item *items;
    uint32_t count;
    uint32_t capacity;
    uint64_t samples;        /* items, as the runs count them */
    uint64_t bytes;          /* of one that waits */
    uint32_t suspects;       /* of them, */
    uint64_t forgot_count;   /* while the suspects were these */
    struct series_seen seen; /* where it may hold one of each only */
    int64_t first_ns;        /* when the first item came */
    bool sealed;             /* nothing is added any more */
};

enum attempt_phase {
    ATTEMPT_FREE,
    ATTEMPT_READY,     /* to be sent, as soon as that may be */
    ATTEMPT_SAVING,    /* the same, once the state is saved */
    ATTEMPT_UNDER_WAY, /* a request of it is */
};

/* A piece of a lane's call on its way. */
struct attempt {
    struct lane *lane;
    uint8_t number;           /* from 1 on; the first one has the call's own body */
    enum attempt_phase phase; /* unless it is free, isolate_taken() knows its piece */
    struct writer_call *body; /* of others; NULL: not made yet */
    bool built;               /* the body holds just the piece */
    bool ambiguous;           /* it was sent, and what became of it was never said */
    bool is_nothing; /* nothing had to be sent, so its success says nothing of the destination */
    bool probes;     /* when it was sent last, the destination might not work */
    uint32_t agains;
};

struct lane {
    struct call filling;
    struct call queue[QUEUED_MAX]; /* filled, the oldest first; bodies are made when first needed */
    uint32_t queued;
    struct call sending;
    struct isolate pieces; /* of `sending`, those that are not settled */
    struct attempt attempts[ATTEMPTS_MAX];
    struct backoff pause;     /* the lane's own: a call may fail that others would not */
    int64_t failing_since_ns; /* since the last answer that was one; 0: not failing */
};

struct lanes {
    struct lane all[LANES_MAX];
    uint32_t count;
    struct lane replay;        /* of dead letters that are sent again */
    struct lane *begun;        /* of one_lane: whose call is begun and not settled; NULL: none */
    uint32_t turn;             /* the lane that is asked first */
    uint32_t under_way;        /* requests of all lanes */
    struct throttle throttle;  /* how many that may be, and when */
    uint32_t unprepared;       /* probes in a row whose credentials were refused */
    uint64_t queued_bytes;     /* of all lanes, */
    uint64_t queued_bytes_max; /* at most */
    struct suspects suspects;
    int64_t age_ms; /* that a call being filled reaches before it is sent */
    bool has_room;  /* of a call that needed no network: what was full may be read on into */
};

/* Since the relay was opened. */
struct sent {
    uint64_t calls;
    uint64_t bytes;
    uint64_t units;
    uint64_t resent_samples;
    struct relay_dry dry; /* but for since_ms and for_ms */
};

/* --- letters_replay.c ------------------------------------------------------------------------- */

/* A dead letter, where it came from in the log. */
struct replay_id {
    uint64_t pos;
    uint32_t index;
    enum item_kind kind;
};
#define REPLAY_RECORD UINT64_MAX /* the record number of such items in calls */

struct replays {
    struct replay_id *ids; /* of letters in the lane, and of one that waits to get in */
    uint32_t count, capacity;
    struct replay_id waiting;
    bool waits;
    struct replay_id *arrived; /* letters that did, which the state does not say yet */
    uint32_t arrived_count, arrived_capacity;
};

/* --- prepare.c -------------------------------------------------------------------------------- */

struct preparation {
    bool under_way;         /* a request of it, or of the check, is */
    bool has_failed;        /* the last time */
    bool looked;            /* it is known whether credentials are accepted */
    bool is_checking;       /* the request under way is that of the check */
    struct backoff pause;   /* before the next request */
    uint32_t refused_count; /* times in a row that it was refused with what it fetched */
    uint32_t check_agains;  /* the same of the check, also if the writer has learnt something */
};

/* --- watch.c ---------------------------------------------------------------------------------- */

struct watch {
    struct relay_status now;
    struct relay_shown left; /* of a dry run: the account that it leaves alone, */
    uint64_t left_repeats;
    int64_t told_difference[ITEM_KIND_COUNT]; /* the last one that was logged */
    int64_t unread_ms; /* since when it is behind and has read nothing of it; 0: it is not */
    bool gives_again;  /* all that is stored is to be given again, */
    int64_t again_from_ms;

    struct lock lock; /* LOCK_RANK_RELAY; guards to the next blank line */
    struct relay_status status;
    enum relay_wish wish; /* RELAY_WISH_NONE: none that is new */
    bool again_wanted;
    int64_t wanted_from_ms;
};

/* --- the whole -------------------------------------------------------------------------------- */

enum run_phase {
    RUN_NONE,
    RUN_ON,
    RUN_LEAVING, /* nothing new is sent: it ends as soon as no call is under way */
};

struct relay {
    /* Immutable after relay_open(). */
    struct relay_options options;
    const struct destination_settings *settings;
    const struct writer_class *class;
    struct http_calls *http;
    struct selection *selection;
    char dir[200];

    /* The stepping thread's own; watch.lock guards what others reach. */
    bool stopping;
    bool draining;
    struct relay_state state;
    struct rates rates;
    struct obstacle obstacle;
    struct saving saving;
    struct sent sent;
    struct watch watch;

    /* A run: from relay_begin_run(), with what the state says, to relay_end_run(). */
    enum run_phase phase;
    int64_t run_again_ns; /* none is begun before */
    struct writer *writer;
    struct writer_limits limits;
    struct call_bounds bounds; /* bytes are lowered when a call was too large */
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
/* The destination's budget; 0: none of its own. */
uint64_t relay_memory_limit(const struct relay *r);
/* Begins anew from the state; what was under way is abandoned. */
void relay_run_again(struct relay *r);

/* --- begin.c ---------------------------------------------------------------------------------- */

/* The state as it was left, or the first one; durable, but in a dry run. */
MUST_CHECK enum err relay_load_state(struct relay *r, struct why *why);

/* --- save.c ----------------------------------------------------------------------------------- */

void save_init(struct relay *r);
void save_fini(struct relay *r);
/* Copies what r->state has views of. ERR_NOMEM. */
MUST_CHECK enum err save_keep_texts(struct relay *r);
/* What is saved next says something new. */
void save_want(struct relay *r, enum save_need need);
/* Makes what is settled durable; then lanes that wait for it may go on. */
MUST_CHECK enum err relay_save(struct relay *r, struct why *why);
/* The same if it is time, and something is new. */
void save_if_due(struct relay *r);
/* The cursor as it is remembered; `ret_before` may be NULL. */
struct relay_cursor relay_cursor(struct relay *r, struct fates *ret_before);
/* For a state that is to follow `before` where reading begins again: what was taken comes again,
 * and still waits. What left a term of the account since is counted beside it, for counters. */
void shown_keep_taken(struct relay_state *next, const struct relay_state *before);
/* Another state than the one that follows, for the run to come. On an error it is as it was. */
MUST_CHECK enum err save_instead(struct relay *r, const struct relay_state *state, struct why *why);
/* Writes a state, but not in a dry run. */
MUST_CHECK enum err relay_state_put(struct relay *r, const struct relay_state *state,
                                    struct why *why);

/* --- watch.c ---------------------------------------------------------------------------------- */

/* `r` has its state. */
void watch_begin(struct relay *r);
/* What other threads want of it since the last time. */
void watch_take_wish(struct relay *r);
/* What they see. */
void watch_publish(struct relay *r);
bool relay_is_paused(const struct relay *r);
/* What is stored is being given again. */
void watch_given_again(struct relay *r);

/* --- prepare.c -------------------------------------------------------------------------------- */

/* Whether calls may be begun at all: not paused, nothing to be prepared first. */
bool relay_is_ready(struct relay *r);
/* Once after the start, whether there is something to be sent or not: what is wrong with
 * credentials is said then, and not with the first call. While nothing is to be sent, a check is
 * made (writer_limits.start_check), until it succeeds. */
void prepare_early(struct relay *r);
void prepare_end(struct relay *r);
/* The answer to its request, or to the check's; NULL: preparation is begun. */
void prepare_answered(struct relay *r, const struct http_call_answer *answer);

/* --- account.c -------------------------------------------------------------------------------- */

/* A chunk begins to be handed on, the first `over` items of it passed over: it was pushed last.
 * Returns how many of the others are not wanted. */
uint32_t account_chunk(struct relay *r);
/*
 * Items of the log before a chunk cannot be read. True: the store may have some; how many it has
 * not is remembered. False: it has none of them.
 */
bool account_hole(struct relay *r, const struct chunk *c);
/* They are gone. ERR_NOMEM, ERR_AGAIN. */
MUST_CHECK enum err account_lost(struct relay *r, struct chunk *c);
/* What is taken and neither settled nor waiting: 0, unless something is miscounted. */
int64_t account_difference(const struct relay *r, enum item_kind kind);
/* Items taken, of all before the cursor. */
uint64_t account_taken_before(const struct relay *r, enum item_kind kind);
/* Reads the log ahead, and counts, if the relay has been behind for long enough. True: there is
 * more to be counted. */
bool account_scout(struct relay *r);
/* What was counted and never came is accounted for, once reading has got that far. */
void account_close(struct relay *r);
/* What is expected after the cursor, before which these were settled; for the state. */
void account_expected(const struct relay *r, const struct fates *before,
                      struct relay_expected *ret_expected);
/* That is durable now. */
void account_saved(struct relay *r);
/* The log is left for the store, as `next` says: what cannot come from there is settled, and what
 * is expected is said. `before`: what was settled before the cursor. */
void account_leave(struct relay *r, const struct fates *before, struct relay_state *next);
void account_begin(struct relay *r);
/* feed_end() comes after it. */
void account_end(struct relay *r);
/* Items taken of log and store; repeats are not among them. */
uint64_t account_taken(const struct relay *r, enum item_kind kind);
/* Items taken that are not settled. */
uint64_t account_queued(const struct relay *r, enum item_kind kind);
/* Once all was looked at that the log had when the run began: what the state counts and nothing has
 * come for is lost, and is counted so. */
void account_found(struct relay *r);
/* Items taken; before account_found() knows, or while the store may give what the log cannot, at
 * least as many as the state says. */
void account_counted(const struct relay *r, uint64_t ret_counted[ITEM_KIND_COUNT]);
/* The same into the state to come, and what the log had then. */
void account_remember(const struct relay *r, struct relay_state *next);

/* --- letters_account.c ------------------------------------------------------------------------ */

/* Opens the dead letters, counts what that has shown, and tells it. */
MUST_CHECK enum err relay_open_letters(struct relay *r, struct why *why);
/* Looks for what operator, budget and age decide about them. */
void letters_tend(struct relay *r);
/* What the state to be written says of letters, which are synced. `before`: what was settled before
 * its cursor in this run. */
void letters_remember(struct relay *r, const struct fates *before, struct letters_mark *ret_mark);
/* The same, when those of items after the cursor were just revoked, and synced. */
void letters_taken_back(struct relay *r, struct letters_mark *ret_mark);
/* A letter that was sent again is settled. */
void letters_replayed(struct relay *r, const struct replay_id *id, uint8_t fate);

/* --- catch_up.c ------------------------------------------------------------------------------- */

/* Leaves the log for the store if it is too far behind, and comes back. */
void catch_up(struct relay *r);
/* Up to where the store has everything; no part will reach across it. */
uint64_t catch_up_end(struct relay *r, uint64_t from_pos);
/* Whether enough of the log waits to say that its budget is reached. */
bool catch_up_is_due(struct relay *r);

/* --- feed.c ----------------------------------------------------------------------------------- */

/* Opens log or store, as the state says. */
MUST_CHECK enum err feed_begin(struct relay *r, struct why *why);
void feed_end(struct relay *r);
/* How much of a record was settled before a restart. */
uint32_t relay_settled_before(const struct relay *r, const struct chunk *c);
/* Whether item `i` of the chunk being handed on is wanted. */
bool relay_takes(struct relay *r, const struct chunk *chunk, uint32_t i, struct log_items *log);
/* How far the log was read, as far as it is in the window. */
uint64_t relay_read_pos(const struct relay *r);
/* What the log had accepted there. */
struct log_count relay_read_count(const struct relay *r);
/* Where the log has nothing for this destination, the cursor moves, too. */
void feed_skip_ahead(struct relay *r);

/* Reads on as far as lanes take it. False: there is nothing more to read, or no room. */
bool relay_feed(struct relay *r);
/* Parts that were removed meanwhile stay on disk as long as they are read: the store is let
 * go of for as long as nothing is read. */
void feed_rest(struct relay *r);
/* What was read from the store is not there again as it was. Nothing is lost: what is not settled
 * is read anew. */
void feed_moved(struct relay *r);
/*
 * An item cannot be read again from the log, as it is gone or damaged (ERR_MISSING, ERR_CORRUPT).
 * True: it is open, and the lane leaves it alone: the store has it once it lies in parts, and
 * without one what is gone is counted by give_up_oldest(). False: it is lost.
 */
bool feed_gets_again(struct relay *r, const struct call_item *at, enum err e);
/* An item again: that of `index` in the record. ERR_MISSING: it is gone from the log. */
MUST_CHECK enum err relay_load_item(struct relay *r, uint64_t record, uint32_t index,
                                    struct item *ret_item, struct why *why);

/* --- lane.c ----------------------------------------------------------------------------------- */

/* The piece of an attempt that is not free. */
static inline struct call_piece *
piece_of(const struct attempt *a)
{
    return isolate_taken(&a->lane->pieces, a->number);
}
/* As many as the bounds say. */
MUST_CHECK enum err lanes_begin(struct relay *r);
void lanes_end(struct relay *r);
/* Sends what may be sent. */
void lanes_send(struct relay *r);
/* What waited for the state may go on. */
void lanes_saved(struct relay *r);
/* Whether nothing is in those of the log. */
bool lanes_are_empty(const struct relay *r);
/* Of those of the log: how many have something under way. */
uint32_t lanes_busy(const struct relay *r);
/* When one of them wants to be looked at again; INT64_MAX: they have nothing to wait for. */
int64_t lanes_next_ns(struct relay *r);

enum lane_offer { LANE_TOOK, LANE_FULL, LANE_UNFIT, LANE_TOO_OLD };
/* `at->entry` is the lane's to fill in. */
enum lane_offer lane_offer(struct relay *r, struct lane *lane, const struct item *item,
                           struct call_item at, struct why *why);
/* Whether nothing is in it. */
bool lane_is_empty(const struct lane *lane);
void lane_answered(struct relay *r, struct attempt *attempt, const struct http_call_answer *answer);
/* An attempt has no piece any more. */
void lane_end_attempt(struct relay *r, struct attempt *a);
/* Nothing is left of an attempt's piece. `delivered`: all of it was, by the first answer. */
void lane_piece_gone(struct relay *r, struct attempt *a, bool delivered);

/* --- lane_verdict.c --------------------------------------------------------------------------- */

/* Settles items of a call. ERR_NOMEM: they are still open. */
MUST_CHECK enum err relay_settle(struct relay *r, const struct call_item *item, uint8_t fate);
/* Keeps an item as a dead letter, or drops it, as the settings say of its kind of failure. On an
 * error it is still open. */
enum bury_why { BURY_REFUSED, BURY_UNREPRESENTABLE };
MUST_CHECK enum err relay_bury(struct relay *r, const struct call_item *at, const struct item *item,
                               enum bury_why why_buried, const char *reason, const char *answer);
/* Samples of a piece. */
uint32_t lane_piece_samples(const struct lane *lane, const struct call_piece *piece);
/* The lane goes on after a pause (backoff.h); other lanes are not affected. */
void lane_back_off(struct relay *r, struct lane *lane, int64_t asked_ms);
/* Some of a piece are refused, as `step` says; NULL: as follows from what else was. It comes in
 * pieces. False: no memory. */
bool lane_split(struct relay *r, struct lane *lane, struct call_piece *piece,
                const struct writer_step *step);
/* What others have found meanwhile to be refused is set apart from a piece of a refused call.
 * False: there is nothing of that, or no memory. */
bool lane_set_apart(struct relay *r, struct lane *lane, struct call_piece *piece);
/* Whether its series or its metric was refused lately. */
bool lane_suspects(const struct relay *r, const struct item *item);
/* Its piece is dead, and no letter yet. */
void lane_bury_again(struct relay *r, struct attempt *a);
/* What becomes of an attempt that is done. */
void lane_judge(struct relay *r, struct attempt *a, const struct writer_step *step);

/* --- letters_replay.c ------------------------------------------------------------------------- */

/* Gives the lane of replayed letters what it takes. */
void letters_replay_feed(struct relay *r);
/* Such an item again. ERR_MISSING: the letter is gone. */
MUST_CHECK enum err letters_replay_load(struct relay *r, uint32_t index, struct item *ret_item,
                                        struct why *why);
/* The state says what arrived: so much is no letter any more. Durable with the next save. */
void letters_replay_saved(struct relay *r);
/* Delivered, once that is saved, or a letter again. */
MUST_CHECK enum err letters_replay_settle(struct relay *r, const struct call_item *at,
                                          bool delivered, const char *reason, const char *answer);
void letters_replay_end(struct relay *r);

#endif
