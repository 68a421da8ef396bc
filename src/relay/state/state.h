/*
 * state.h - the saved state of a destination: the position up to which the log is settled, the
 * fates of its items, and the state of its writer. A small file, replaced as a whole. Format:
 * docs/format/relay.md.
 */
#ifndef RELAY_STATE_STATE_H
#define RELAY_STATE_STATE_H

#include "backend/settings.h"
#include "relay/feed/log_items.h"
#include "relay/options.h"

/* --- fates of items --------------------------------------------------------------------------- */

/* The terms of the account (account.h). The numbers are stored: docs/format/relay.md. */
enum fate {
    FATE_OPEN = 0,      /* queued */
    FATE_PASSED = 1,    /* settled and counted before a restart */
    FATE_NOT_TAKEN = 2, /* the destination does not want it */
    FATE_DELIVERED = 3,
    FATE_DEAD_LETTERED = 4,
    FATE_REPEATED = 6, /* settled again after it was counted: the store gave it once more */
    FATE_DROPPED = 16, /* + enum drop */
};

enum drop {
    DROP_UNREPRESENTABLE,
    DROP_DAMAGED, /* the item, or its series, cannot be read any more */
    DROP_LOG_BUDGET,
    DROP_DEAD_LETTERS_FULL,
    DROP_DELETED,
    DROP_EXPIRED,
    DROP_SUPERSEDED,
    DROP_OUTSIDE_TABLE_RETENTION,
    DROP_BY_OPERATOR,
    DROP_REFUSED,   /* refused for good, which its sender learns; never stored, as the next */
    DROP_WITHDRAWN, /* not delivered before its sender gave up */
    DROP_COUNT,
};

enum { FATE_COUNT = FATE_DROPPED + DROP_COUNT };

/* "float", "histogram", "exemplar", "metadata" */
const char *item_kind_word(enum item_kind kind);
/* "unrepresentable", ... */
const char *drop_word(enum drop reason);

/* Counts by kind and fate. */
struct fates {
    uint64_t count[ITEM_KIND_COUNT][FATE_COUNT];
};

/* The values of an account that counters show: saving.h. */
struct relay_shown {
    struct fates fates; /* FATE_OPEN counts items that are not settled in a durable state */
    uint64_t taken[ITEM_KIND_COUNT];
    uint64_t again[ITEM_KIND_COUNT]; /* items counted in `taken` once more */
};

void fates_add(struct fates *to, const struct fates *change);
/* The sum of all terms of the account: of the fates for which fate_is_term(). */
uint64_t fates_settled(const struct fates *fates, enum item_kind kind);
/* True for fates that are terms of the account. */
bool fate_is_term(unsigned fate);
uint64_t fates_dropped(const struct fates *fates, enum item_kind kind);

/* --- files of dead letters -------------------------------------------------------------------- */

/* Room for the name of a file, packed or not. */
enum { LETTER_NAME_BYTES = 32 };

struct letter_file {
    uint32_t number;
    uint64_t lines[ITEM_KIND_COUNT]; /* lines that are dead letters: without those replayed */
    uint64_t bytes;                  /* size of the text; what the file has beyond is no line */
    int64_t first_ms, last_ms;       /* Unix time at which the oldest and youngest failed */
    bool is_there;                   /* letters_begin() has found it */
};

/* The part of a state about dead letters: the files, the lines in each, and how far a replay has
 * come. Zeroed memory with `memory` set is an empty list. */
struct letter_list {
    struct budget *memory;
    struct letter_file *files; /* ascending numbers, at most `number` */
    uint32_t count, capacity;
    uint32_t number;    /* the file that is appended to; numbers are not used again */
    uint32_t replay_to; /* files up to this number are sent again, the lowest first */
    uint64_t replay_at; /* lines of the lowest before this offset of its text are settled */
};

/* Reads the bytes of a state; empty bytes are a new destination's. ERR_CORRUPT, ERR_NOMEM. */
MUST_CHECK enum err letter_list_get(struct letter_list *list, struct bytes from);
/* True if an earlier version wrote the bytes, which then say nothing about files of lines. */
bool letter_list_is_old(struct bytes from);
void letter_list_put(const struct letter_list *list, struct buf *to);
void letter_list_fini(struct letter_list *list);

/* The file of that number; NULL if the list does not have it. */
struct letter_file *letter_list_find(const struct letter_list *list, uint32_t number);
/* The file that is appended to, added if it has no line so far. NULL: out of memory. */
struct letter_file *letter_list_current(struct letter_list *list);
/* The size of its text; 0 if it has no line. */
uint64_t letter_list_length(const struct letter_list *list);
/* Counts a line. */
void letter_file_count(struct letter_file *file, enum item_kind kind, int64_t failed_ms);
/* Ends the current file, if it has lines: the next line begins another one. */
void letter_list_close(struct letter_list *list);
void letter_list_remove(struct letter_list *list, uint32_t at);

/* Adds the lines of all files, those that are sent again among them, to `counts`. */
void letter_list_lines(const struct letter_list *list, uint64_t counts[ITEM_KIND_COUNT]);
/* The lines of files that are sent again. */
uint64_t letter_list_replaying(const struct letter_list *list);
/* True if the file is sent again. */
bool letter_list_replays(const struct letter_list *list, uint32_t at);
/* Hands all files back to the destination. Returns the number of lines in those that were not. */
uint64_t letter_list_replay(struct letter_list *list);

/* "0000002a.ndjson", or with `.gz` */
void letter_name(uint32_t number, bool packed, char to[LETTER_NAME_BYTES]);
/* False if the name is not that of a file of lines. */
bool letter_name_number(const char *name, uint32_t *ret_number, bool *ret_packed);

/* --- the state -------------------------------------------------------------------------------- */

enum { RELAY_STATE_BYTES_MAX = 32 * 1024 * 1024, RELAY_DIR_BYTES = 200 };

/* An operator's request, which outlives a restart. The numbers are stored. */
enum relay_wish { RELAY_WISH_NONE = 0, RELAY_WISH_PAUSE = 1, RELAY_WISH_RESUME = 2 };

/*
 * The stretch of the log that is read from the store before the log is followed again. While it is
 * active, the cursor is one of fill.h.
 */
struct relay_fill {
    bool active;
    uint64_t from_pos; /* position of the log */
    uint64_t to_pos;
    /* An earlier version's letters of the log's items from here on, up to to_pos, are void: the
     * items are read again. Position 0: there are none. */
    struct relay_cursor again;
    int64_t since_ms;   /* Unix time of the oldest queued item */
    struct bytes place; /* fill_place() of the cursor */
};

/*
 * Items between the cursor and a position of the log that were counted when the log still had them.
 * Those that do not come are accounted for at that position.
 */
struct relay_expected {
    uint64_t until_pos;             /* 0 if nothing was counted */
    int64_t count[ITEM_KIND_COUNT]; /* negative if an older version counted repeats */
    /* Items that may come in addition, as they could not be counted; UINT64_MAX if unlimited. */
    uint64_t margin[ITEM_KIND_COUNT];
    struct log_count log_count; /* items that the log had accepted at until_pos */
    uint64_t selection;         /* destination_selection_hash() for which they were counted */
};

struct relay_state {
    uint8_t log_id[WAL_LOG_ID_BYTES]; /* identifies the log of the cursor */
    struct relay_cursor cursor;
    struct fates fates;              /* fates of all items before the cursor */
    uint64_t taken[ITEM_KIND_COUNT]; /* items before the cursor, as reading counted them */
    struct log_count log_count;      /* items that the log had accepted at the cursor; while the
                                        store is read, at fill.to_pos */
    enum relay_wish wish;
    struct bytes writer; /* output of the writer's save() */
    uint32_t fill_count; /* fills begun, the active one included */
    struct relay_fill fill;
    struct relay_expected expected;
    struct tsdb_gone gone; /* samples gone from the store, when the log was followed last */
    struct tsdb_gone gone_exemplars;
    struct samples_left_out left_out; /* samples the fill read and left out, perhaps repeatedly */
    /* Samples before begin_ms are not wanted from the store, and before begin_pos from the log;
     * 0 if all are wanted. */
    int64_t begin_ms;
    uint64_t begin_pos;
    uint64_t drop_pos;      /* items before it in the log are dropped, */
    enum drop drop_reason;  /* for this reason */
    uint64_t repeats_total; /* samples that the store gave once more */
    struct bytes letters;   /* output of letter_list_put(), or what an earlier version wrote */
    struct fates beside;    /* items that have left a term of the account: see saving.h */
    uint64_t counted[ITEM_KIND_COUNT]; /* items taken, with queued ones after the cursor */
    /* `type` and `place` are known; an older version did not write them. */
    bool destination_known;
    enum destination_type type; /* type of `writer`; DESTINATION_TYPE_COUNT if unknown */
    uint64_t place;             /* destination_place_hash() of the settings under which it wrote */
    struct fates ahead; /* fates of items after the cursor, which are read again after a restart;
                           only for counters */
    char name[DESTINATION_NAME_BYTES_MAX + 1]; /* name of the destination; empty if unknown */
    uint64_t counted_pos;                      /* position of the log up to which `counted` goes */
    uint64_t selection;          /* destination_selection_hash() for which it was counted */
    struct log_count log_totals; /* items that the log had accepted in all when this was saved */
    bool log_lost; /* some expected items were in a log that is lost or damaged: the store may have
                      them */
};

/*
 * Reads the state in `dir`, the destination's directory. `ret_state` has views of `memory`.
 * ERR_MISSING: the directory does not exist, so the destination is new. ERR_CORRUPT: the state is
 * damaged, or missing from an existing directory; ERR_UNSUPPORTED: a newer version wrote it;
 * ERR_IO: also if `dir` is not a directory; ERR_NOMEM.
 */
MUST_CHECK enum err relay_state_read(struct env *env, const char *dir, struct buf *memory,
                                     struct relay_state *ret_state, struct why *why);
/*
 * True if the state belongs to another destination: it has another name, and wrote elsewhere. (A
 * renamed destination writes to the same place, a changed one has the same name.)
 */
bool relay_state_is_foreign(const struct relay_state *state,
                            const struct destination_settings *settings);
/* As relay_state_read(); also ERR_CORRUPT if it belongs to another destination. */
MUST_CHECK enum err relay_state_read_own(struct env *env, const char *dir,
                                         const struct destination_settings *settings,
                                         struct buf *memory, struct relay_state *ret_state,
                                         struct why *why);
/* Reads the previous state. ERR_MISSING: there is none. */
MUST_CHECK enum err relay_state_read_previous(struct env *env, const char *dir, struct buf *memory,
                                              struct relay_state *ret_state, struct why *why);
/* True if there is no state in the directory, or no directory. */
bool relay_state_is_missing(struct env *env, const char *dir);
/*
 * Writes a state, which is durable on return; the previous one is kept beside it if the file system
 * has links. ERR_IO, ERR_NOMEM, ERR_LIMIT.
 */
MUST_CHECK enum err relay_state_write(struct env *env, const char *dir, struct buf *scratch,
                                      const struct relay_state *state, struct why *why);
/*
 * Makes the directory `name` in `parent` with this first state in it, durably; it never exists
 * without a state. Errors as relay_state_write().
 */
MUST_CHECK enum err relay_state_make(struct env *env, const char *parent, const char *name,
                                     struct buf *scratch, const struct relay_state *state,
                                     struct why *why);
/* Renames a state that cannot be read to "state.damaged". OK also if there is none. */
MUST_CHECK enum err relay_state_put_aside(struct env *env, const char *dir, struct why *why);

/* --- guard ------------------------------------------------------------------------------------ */

/*
 * Keeps what a destination needs: the log from its first unsettled record on, and borders in the
 * store. A guard is made when a destination is configured and outlives the relay and its runs, so
 * that nothing is removed while a destination is opened, cannot be opened, begins another run, or
 * gets other settings.
 *
 * Threads: one at a time; `before` of relay_guard_new() may be a guard that another thread moves.
 */
struct relay_guard;

/*
 * Keeps the log and the store's borders while a destination is configured: from the position of its
 * state, from the end of the log if it is new and begins now, else from the oldest record. `before`
 * is the guard of the same destination under its previous settings, or NULL. options->guard is not
 * used. ERR_NOMEM, ERR_LIMIT.
 */
MUST_CHECK enum err relay_guard_new(const struct relay_options *options,
                                    const struct relay_guard *before,
                                    struct relay_guard **ret_guard, struct why *why);
void relay_guard_free(struct relay_guard *guard);
/* The position of the log from which on everything is kept. Any thread. */
uint64_t relay_guard_pos(const struct relay_guard *guard);

/* Sets the positions across which parts are not merged; 0 for none. */
void guard_set_borders(struct relay_guard *guard, uint64_t from_pos, uint64_t to_pos);
/* Moves borders and the hold of the log to what this state needs. It must be durable. */
void guard_follow(struct relay_guard *guard, const struct relay_state *state);
/* Releases the log up to its current end. */
void guard_let_go(struct relay_guard *guard);
/* The end of the log when the destination was configured. */
uint64_t guard_begin_pos(const struct relay_guard *guard);

#endif
