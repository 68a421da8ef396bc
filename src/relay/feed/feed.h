/*
 * feed.h - gives the items of a run in their order: those of the log from a position on, or those
 * of a stretch of the store. Chunk by chunk: feed_read() reads one, the caller enters it into its
 * books, feed_open_chunk() begins to give its items. An item is the next one until feed_pass().
 * Items can be read again by their position until feed_forget().
 *
 * Owner: the relay. Only feed.c writes the fields; others read those of the first group.
 *
 * Threads: one.
 */
#ifndef RELAY_FEED_FEED_H
#define RELAY_FEED_FEED_H

#include <assert.h>

#include "relay/feed/fill.h"
#include "relay/feed/log_items.h"
#include "relay/options.h"

/* The diagram at the top of feed.c has the transitions. */
enum feed_state {
    FEED_OLDEST,      /* the log is read from its oldest record; none was read so far */
    FEED_LOG,         /* the log is read */
    FEED_GONE,        /* the log no longer has the next record */
    FEED_STORE,       /* the store is read */
    FEED_STORE_END,   /* all of the store's stretch was read */
    FEED_STORE_MOVED, /* the store has changed, and must be read from the last saved place */
};

/* A part of the log whose items cannot be read, before the record that was read last. */
struct log_hole {
    uint64_t begin_pos; /* 0 if there is none, or a record after it was opened */
    uint64_t end_pos; /* end of the bytes that are damaged; begin_pos if the log only lacks items */
    bool stored;      /* the store may have its items; else they are lost */
};

struct feed {
    enum feed_state state;
    struct relay_cursor from;  /* cursor at which the run began */
    const struct chunk *chunk; /* the chunk whose items are given; NULL before the first */
    struct log_items *log;     /* NULL while the store is read, or if the log was gone at once */
    uint64_t record;           /* number of the chunk in the window */
    uint32_t count;            /* its items; the chunk itself may have been replaced partly */
    uint32_t next;             /* index of the next item; `count` if the next chunk is wanted */
    uint32_t over;             /* items from `next` on that were settled before the run */
    uint32_t untaken;          /* unwanted items after these */
    struct log_hole hole; /* the part of the log that reading has met last and could not read */
    uint64_t hole_pos;    /* reading waits until parts have the log up to it; 0 if it does not */
    uint64_t reload_pos;  /* the log cannot give again an item before it; 0 if all can be had */

    const struct relay_context *context;
    int64_t begin_ms;       /* samples of the log before it are not wanted, */
    uint64_t begin_pos;     /* up to this position */
    bool takes_metadata;    /* as in struct writer_limits */
    struct fill *fill;      /* the store in the states FEED_STORE_*; else NULL */
    uint64_t fill_read_pos; /* position of the store when it was looked at last */
    int64_t fill_read_ns;   /* monotonic time since which the position has not moved */
    struct chunk log_chunk;
    bool is_read;            /* a chunk was read whose items are not given so far */
    struct chunk read_again; /* a record of the log that was read again */
    uint64_t read_again_pos; /* its position; 0 if there is none */
    uint64_t damaged_pos; /* the record that was logged last as having samples without a series */
};

/* Position and source with which a run begins. */
struct feed_start {
    struct relay_cursor cursor; /* position 0 for the oldest record of the log */
    struct log_count log_count; /* items that the log had accepted at the cursor */
    bool from_store;
    struct tsdb_stretch stretch; /* stretch of the log that is read from the store */
    struct bytes place;          /* fill_place() of the cursor */
    int64_t begin_ms;            /* samples before it are not wanted, neither from the store */
    uint64_t begin_pos;          /* nor from the log before this position */
};

/* `context` outlives the feed. */
void feed_init(struct feed *feed, const struct relay_context *context);
/* Opens log or store. ERR_INPUT: there is no store to read; also errors of log_items_open(), but
 * ERR_MISSING, and of fill_open(). */
MUST_CHECK enum err feed_begin(struct feed *feed, const struct feed_start *start,
                               const struct writer_limits *limits, struct why *why);
void feed_end(struct feed *feed);

/* True if the run reads the store. */
static inline bool
feed_reads_store(const struct feed *feed)
{
    return feed->fill != NULL;
}
/* True if the run reads the log; false also if the log was gone at once. */
static inline bool
feed_reads_log(const struct feed *feed)
{
    return feed->log != NULL;
}

/*
 * Reads the next chunk, unless one is read that was not opened. ERR_AGAIN: there is none now.
 * ERR_MISSING: the log no longer has it, and the state is FEED_GONE. ERR_CORRUPT: something damaged
 * was skipped. ERR_IO, ERR_NOMEM: repeat the call.
 */
MUST_CHECK enum err feed_read(struct feed *feed, struct why *why);
/* Begins to give the items of the chunk that was read, which is `record` in the window. */
void feed_open_chunk(struct feed *feed, uint64_t record);
/* So many items after those that were settled before the run are unwanted. */
void feed_note_untaken(struct feed *feed, uint32_t count);
/* The number of consecutive items, from the next one on, that are wanted, or that are not. */
uint32_t feed_count_alike(struct feed *feed, bool wanted);
/* Gives the next item. ERR_CORRUPT: its series is damaged in the log; ERR_MISSING: the log no
 * longer has it, and the state is FEED_GONE. Other errors as log_items_item(). */
MUST_CHECK enum err feed_item(struct feed *feed, struct item *ret_item, struct why *why);
/* The next `count` items are settled, or in calls. */
static inline void
feed_pass(struct feed *feed, uint32_t count)
{
    assert(count <= feed->count - feed->next); /* invariant 2 of feed.c */
    feed->next += count;
    feed->over -= feed->over < count ? feed->over : count;
}
/* The next `count` items are unwanted, and settled. */
void feed_pass_untaken(struct feed *feed, uint32_t count);

/* True if the items of the hole are to come from the store: reading waits. */
bool feed_wait_at_hole(struct feed *feed);
/* Marks the lost items of one kind as accounted for. */
void feed_hole_counted(struct feed *feed, unsigned kind);
/* The labels of the next item are lost in the log, as `why` says. True if there is a store, which
 * has them: reading waits. False if the item is lost. */
bool feed_wait_at_damage(struct feed *feed, const struct why *why);
/*
 * The item of the log at `pos` cannot be read again, as it is gone or damaged (ERR_MISSING,
 * ERR_CORRUPT). True if it stays open: the store has it once it is in parts, and without a store
 * the relay counts what is gone when it leaves the log. False if it is lost.
 */
bool feed_gets_again(struct feed *feed, uint64_t pos, enum err e);
/* Reads again item `index` of the record or chunk at `pos`. ERR_MISSING: the log no longer has it;
 * ERR_CORRUPT: it is damaged there. ERR_AGAIN: the store has changed. */
MUST_CHECK enum err feed_load(struct feed *feed, uint64_t pos, uint32_t index,
                              struct item *ret_item, struct why *why);
/* Items before `pos` are settled, also after a restart. `segment` is that of the oldest record
 * still needed; 0 for that of the chunk read last. */
void feed_forget(struct feed *feed, uint64_t pos, uint64_t segment);
/* Appends the place of item `pos` of the store. Errors as fill_place(). */
MUST_CHECK enum err feed_place(struct feed *feed, uint64_t pos, struct buf *to, struct why *why);
/* Releases parts of the store if nothing was read for a while: parts that are removed meanwhile
 * would stay on disk. */
void feed_rest(struct feed *feed);

/* The number of items at the start of a chunk that were settled before a restart. */
uint32_t feed_settled_before(const struct feed *feed, const struct chunk *chunk);
/* The number of wanted items of a chunk from `from` on; `log` is NULL for the feed's own. */
uint32_t feed_count_wanted(const struct feed *feed, const struct chunk *chunk, uint32_t from,
                           struct log_items *log);
/* Position of the log up to which records were opened; 0 if the log is not read. With a store, not
 * after the start of a hole. */
uint64_t feed_read_pos(const struct feed *feed);
/* The number of items that the log had accepted there. The log is read. */
struct log_count feed_read_count(const struct feed *feed);
/* Position of the log up to which all items were given; 0 if some read ones were not. */
uint64_t feed_given_pos(const struct feed *feed);
/* True if the store was found damaged in this run. */
bool feed_found_damage(const struct feed *feed);
/* Adds the stored samples that were read and not given in this run. */
void feed_left_out(const struct feed *feed, struct samples_left_out *add_to);

#endif
