/*
 * state.h - the saved state of a destination: the position up to which the log is settled, the
 * fates of its items, and the state of its writer. A small file, replaced as a whole. Format:
 * docs/format/relay.md.
 */
#ifndef RELAY_STATE_STATE_H
#define RELAY_STATE_STATE_H

#include "backend/settings.h"
#include "relay/feed/chunk.h"
#include "relay/state/window.h"
#include "sys/env.h"
#include "tsdb/tsdb.h"
#include "wal/wal.h"

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
    struct fates beside;    /* items that have left a term of the account: see save.c */
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

#endif
