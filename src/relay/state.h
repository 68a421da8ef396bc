/*
 * state.h - what a destination has to remember: how far the log is settled, what became of it, and
 * what its writer has learnt. A small file, replaced as a whole. Format: docs/format/relay.md.
 */
#ifndef RELAY_STATE_H
#define RELAY_STATE_H

#include "backend/settings.h"
#include "relay/chunk.h"
#include "relay/letters/letters_mark.h"
#include "relay/window.h"
#include "sys/env.h"
#include "tsdb/tsdb.h"
#include "wal/wal.h"

enum { RELAY_STATE_BYTES_MAX = 32 * 1024 * 1024, RELAY_DIR_BYTES = 200 };

/* What an operator asked for, which outlives a restart. The numbers are stored. */
enum relay_wish { RELAY_WISH_NONE = 0, RELAY_WISH_PAUSE = 1, RELAY_WISH_RESUME = 2 };

/*
 * What is to be had from the store before the log is followed on: all that parts have of a stretch
 * of it. The cursor is then one of fill.h.
 */
struct relay_fill {
    bool active;
    uint64_t from_pos; /* of the log */
    uint64_t to_pos;
    int64_t since_ms;   /* Unix time: as old is the oldest that waits */
    struct bytes place; /* fill_place() of the cursor */
};

/*
 * Items between the cursor and a position of the log that were counted when the log still had them.
 * What of them does not come by any more is accounted for at that position.
 */
struct relay_expected {
    uint64_t until_pos;             /* 0: nothing was counted */
    int64_t count[ITEM_KIND_COUNT]; /* below 0: so many repeats came, an older version says */
    /* So many more may come, because they could not be counted; UINT64_MAX: any number. */
    uint64_t margin[ITEM_KIND_COUNT];
    uint64_t selection; /* destination_selection_hash() of who counted */
};

struct relay_state {
    uint8_t log_id[WAL_LOG_ID_BYTES]; /* of the log that the cursor is of */
    struct relay_cursor cursor;
    struct fates fates;              /* of all before the cursor */
    uint64_t taken[ITEM_KIND_COUNT]; /* before the cursor, as reading counted them */
    struct log_count log_count;      /* what the log had accepted at the cursor */
    enum relay_wish wish;
    struct bytes writer; /* what the writer's save() gave */
    uint32_t fill_count; /* fills begun, the active one included */
    struct relay_fill fill;
    struct relay_expected expected;
    struct tsdb_gone gone; /* while the log is followed: as the store said last, of samples */
    struct tsdb_gone gone_exemplars;
    struct samples_left_out left_out; /* of the fill: met while reading, perhaps more than once */
    int64_t begin_ms;                 /* samples before it are not wanted, */
    uint64_t begin_pos;               /* of the store, and of the log up to here; 0: they are */
    uint64_t drop_pos;                /* what lies before it in the log is given up, */
    enum drop drop_reason;            /* for this reason */
    uint64_t repeats_total;           /* samples the store gave once more */
    struct letters_mark letters;
    struct fates beside;               /* what left a term of the account: see save.c */
    uint64_t counted[ITEM_KIND_COUNT]; /* all that was taken, of what waits after the cursor, too */
    bool destination_known;            /* false: an older version wrote it, which does not say: */
    enum destination_type
        type;           /* whose `writer` is (DESTINATION_TYPE_COUNT: of a newer version), */
    uint64_t place;     /* and destination_place_hash() of where it wrote to */
    struct fates ahead; /* of what is settled after the cursor; it comes by again after a restart,
                           and is known only to be shown */
    char name[DESTINATION_NAME_BYTES_MAX + 1]; /* the destination's own; empty: not known */
    uint64_t counted_pos;                      /* of the log: so far `counted` goes */
    uint64_t selection;                        /* destination_selection_hash() of who counted it */
    struct log_count log_totals; /* what the log had accepted in all when this was saved */
    bool log_lost; /* of what is expected, some was in a log that is lost: the store may have it */
};

/* What it says of dead letters, and of which of them its account has. */
struct letters_known relay_state_letters(const struct relay_state *state);

/*
 * `dir` is the destination's own. `memory` keeps what `ret_state` has views of. ERR_MISSING: there
 * is no such directory, so the destination is new. ERR_CORRUPT: the state is damaged, or missing
 * from a directory that is there; ERR_UNSUPPORTED: a newer version wrote it; ERR_IO: also if
 * something else lies there than a directory; ERR_NOMEM.
 */
MUST_CHECK enum err relay_state_read(struct env *env, const char *dir, struct buf *memory,
                                     struct relay_state *ret_state, struct why *why);
/*
 * Whether it is the state of another destination: it has another name, and wrote elsewhere. (One
 * that was renamed writes where it wrote, one that was changed has its name.)
 */
bool relay_state_is_foreign(const struct relay_state *state,
                            const struct destination_settings *settings);
/* As relay_state_read(); ERR_CORRUPT, too, if it is of another destination. */
MUST_CHECK enum err relay_state_read_own(struct env *env, const char *dir,
                                         const struct destination_settings *settings,
                                         struct buf *memory, struct relay_state *ret_state,
                                         struct why *why);
/* The state that was saved before it. ERR_MISSING: there is none. */
MUST_CHECK enum err relay_state_read_previous(struct env *env, const char *dir, struct buf *memory,
                                              struct relay_state *ret_state, struct why *why);
/* True if there is no state in the directory, or no directory. */
bool relay_state_is_missing(struct env *env, const char *dir);
/*
 * Durable on return; the state before it is kept beside it, as far as the file system can. ERR_IO;
 * ERR_NOMEM, ERR_LIMIT.
 */
MUST_CHECK enum err relay_state_write(struct env *env, const char *dir, struct buf *scratch,
                                      const struct relay_state *state, struct why *why);
/*
 * Makes the directory `name` in `parent` with this first state in it: durable on return, and never
 * there without a state. Errors as relay_state_write(), and ERR_IO.
 */
MUST_CHECK enum err relay_state_make(struct env *env, const char *parent, const char *name,
                                     struct buf *scratch, const struct relay_state *state,
                                     struct why *why);
/* Puts a state that cannot be read aside, as "state.damaged". OK also if there is none. */
MUST_CHECK enum err relay_state_put_aside(struct env *env, const char *dir, struct why *why);

#endif
