/*
 * relay_rig.h - a whole relay on a simulated machine, with a destination that answers as a test
 * says. Every sample is known by its number, which is its value. For tests only.
 */
#ifndef LIB_RELAY_RELAY_RIG_H
#define LIB_RELAY_RELAY_RIG_H

#include "lib/seeds.h"
#include "lib/tsdb/tsdb_machine.h"
#include "relay/letters/letters.h"
#include "relay/relay.h"
#include "relay/state/state.h"

enum { SERIES = 40, SAMPLES_MAX = 60000, CALL_MAX = 4096 };

/* A sample that was logged. */
struct sent {
    uint32_t series;
    /* Number of a sample of the same series before it; UINT32_MAX if none. All between them were
     * delivered. */
    uint32_t before;
    bool poison; /* the destination refuses it permanently */
    bool delivered;
    bool written; /* to a file that is cut after a crash, until the state is saved */
    bool dead;
    bool refused; /* its call was refused and must not be sent again */
    uint32_t times;
};

/* The chance of each response to a call, in percent. */
struct moods {
    unsigned retry, throttle, mixed, too_large, again, blocked, unprepared;
};

/* Ways in which the destination refuses samples. The flags apply to REFUSAL_OF_CALL. */
enum refusal {
    REFUSAL_BY_ENTRY = 0, /* gives a verdict on each sample */
    /* gives one verdict, which says that some samples of the call are refused */
    REFUSAL_OF_CALL = 1,
    REFUSAL_COUNTED = 2,  /* says how many */
    REFUSAL_SAYS_ALL = 8, /* says that it is all of them, if so */
    REFUSAL_FINAL = 16,   /* says that the call must not be sent again */
};

struct world {
    struct machine m;
    struct rng rng;
    struct sent sent[SAMPLES_MAX];
    uint32_t count;
    uint32_t last[SERIES];
    uint32_t from; /* samples before it were logged when there was no destination */

    /* The destination, and the relay that delivers to it. */
    struct destination_settings settings;
    struct relay_options options;
    struct budget memory;
    const struct writer_class *writer; /* NULL for fake_writer */
    struct writer_limits limits;       /* read when a run begins */
    struct relay *relay;               /* NULL while it is not open */
    struct relay_guard *guard;         /* NULL before the first opening */
    bool without_store;

    /* Its answers, set by a test. */
    struct moods moods;
    unsigned refusal;    /* enum refusal */
    uint32_t bytes_max;  /* a larger call is too large; 0 if unlimited */
    uint32_t fails_each; /* every so manieth call fails and is not stored; 0 for none */
    int64_t asks_ms;     /* pause that the destination asks for when it throttles */
    bool holds_first;    /* a call with the first sample of all fails: the cursor stays there */
    bool joins;          /* all items of a call are one entry */
    bool saves_first;    /* a call is sent once the state is saved */
    bool writes_files;   /* samples count as delivered when the state is saved */
    uint32_t takes_from; /* stored samples before this number are too old */
    bool has_learnt;     /* the writer knows takes_from after the first refusal */
    bool needs_keys;     /* a preparation with this verdict is needed before any call */
    enum writer_verdict keys_verdict;
    /* verdict of the check at the start, with limits.start_check */
    enum writer_verdict check_verdict;
    bool check_is_unproven;
    void (*on_saved)(struct world *w); /* called when a state is durable; may be NULL */

    /* Permissions of the test. */
    bool drops;         /* the relay may give up the oldest samples */
    bool may_repeat;    /* the store may repeat samples, as its parts exceed the range */
    bool forgets_shown; /* counters may decrease, as the state was lost */

    /* Records of the run. */
    const struct writer_call *begun; /* the call that was begun last */
    uint32_t fills;                  /* writer_options.fills when the writer was made last */
    uint32_t checks;
    bool check_accepted; /* one of them was */
    uint32_t calls;
    uint32_t calls_failed; /* calls without a verdict on their samples */
    uint32_t calls_mixed;  /* calls of which some samples must be sent again */
    uint64_t repeated;
    uint64_t letters;         /* letters on disk, after world_check_account() */
    struct relay_shown shown; /* the last counters */
};

extern struct world the_world;

/* --- the destination -------------------------------------------------------------------------- */

struct writer {
    struct writer_base base;
    struct world *w;
};

struct writer_call {
    uint32_t numbers[CALL_MAX];
    uint32_t count;
    enum writer_verdict verdicts[CALL_MAX];
    bool has_too_old;
    bool saves; /* it has waited for the state to be saved */
};

/* Takes the world that was initialized last. */
extern const struct writer_class fake_writer;
enum err fake_init(struct writer *w, struct why *why);
enum writer_add fake_add(struct writer *w, struct writer_call *c, const struct item *item,
                         uint32_t *ret_entry, struct why *why);
void fake_begin(struct writer *writer, struct writer_call *c, struct writer_step *step);
/* Makes this verdict the response to a call. */
void fake_say(struct writer_step *step, enum writer_verdict verdict, const char *reason);
/* Returns true with this chance. */
bool world_happens(struct world *w, unsigned percent);
/* Notes a delivered sample. Fails if an earlier sample of its series is still missing. */
void world_arrive(struct world *w, uint32_t number);

/* --- the world -------------------------------------------------------------------------------- */

/* Opens a store; the destination is not open. SEED_SHIFT changes the seed. */
void world_init(struct world *w, uint64_t seed);
void world_fini(struct world *w);
/* Sets w->options. */
void world_options(struct world *w);
void world_open(struct world *w);
/* Closes the destination, which is not configured any more. */
void world_remove(struct world *w);

/* Returns the metric of a series. */
uint32_t world_metric_of(uint32_t series);
/* Returns the time of a sample: one each second, over several windows of the store. */
int64_t world_sent_ms(uint32_t number);
/* Sends one request with this many samples; world_log() also commits it. */
void world_send(struct world *w, uint32_t samples, unsigned poison_percent);
void world_log(struct world *w, uint32_t samples, unsigned poison_percent);
/* Makes this many steps, and checks the account after each. */
void world_turn(struct world *w, uint32_t steps);
void world_turn_until_settled(struct world *w);
bool world_is_settled(struct world *w);
/* Loses power, and opens everything again, or all but the destination. */
void world_crash(struct world *w);
void world_crash_closed(struct world *w);

struct relay_status world_status(struct world *w);
/* Returns the state on disk, without its texts. */
struct relay_state world_state(struct world *w);
/* Checks that the counters balance, and that none has decreased. */
void world_check_shown(struct world *w);
/* Marks the sample of a letter as dead. For dead_letters_each(), with the world as `context`. */
enum err world_note_dead(void *context, const struct dead_letter *letter, struct bytes line,
                         bool again);
/* Decides about all dead letters, and returns their number once that is durable. */
uint64_t world_decide(struct world *w, enum letters_wish wish);
/* Checks that each sample is where it belongs, and that the counters agree. */
void world_check_account(struct world *w);
/* Damages the next records of this type from a position on. Returns the samples in them. */
uint32_t world_spoil_log(struct world *w, uint64_t from_pos, enum wal_type type, unsigned records);

#endif
