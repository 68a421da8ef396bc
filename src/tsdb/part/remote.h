/*
 * remote.h - private to tsdb/: reads the files of parts that are in a bucket, in chunks, which stay
 * in the cache of pages as long as there is room.
 *
 * Threads: any. Two threads may fetch the same chunk at once.
 */
#ifndef TSDB_PART_REMOTE_H
#define TSDB_PART_REMOTE_H

#include "model/objects.h"
#include "tsdb/part/pages.h"

enum {
    REMOTE_CHUNK_BYTES = 128 * 1024,
    REMOTE_RANGE_BYTES = 4 << 20, /* most of one request */
};

/* The bucket of a store; outlives its parts. In the owner's memory. */
struct remote_store {
    struct objects *objects; /* borrowed; NULL: there is none */
    _Atomic bool is_gone;    /* an object was missing; relaxed */
    /* Relaxed: numbers for people. */
    _Atomic uint64_t requests, bytes;
};

/* Reads bytes of a source that is remote. ERR_IO: the bucket refuses, or lacks the object;
 * ERR_AGAIN: it does not answer; ERR_NOMEM. */
MUST_CHECK enum err remote_read(struct page_source *source, void *to, size_t size, uint64_t offset,
                                struct why *why);

/* Chunks that are wanted soon, of any files; zeroed, there are none. */
struct wanted_chunks {
    struct budget *budget;
    struct remote_chunk {
        struct page_source *source;
        uint64_t number;
    } * chunks; /* in any order */
    uint32_t count, capacity;
};
/* Add the chunks of a page, whose size is not known, and those at the end of a file, which has most
 * of its index. Sources that are not remote are passed over; without memory nothing is added. */
void remote_want_page(struct wanted_chunks *wanted, struct page_source *source, uint64_t offset);
void remote_want_tail(struct wanted_chunks *wanted, struct page_source *source);
/* Fetches those that are not in the cache, several at a time, as far as there is room for them, and
 * empties the set. What fails is fetched again, and reported, when it is read. */
void remote_fetch_wanted(struct wanted_chunks *wanted);

/* Sets the control of the query for which this thread reads; NULL: there is none. Returns the one
 * before. */
struct query_control;
struct query_control *remote_read_for(struct query_control *control);

#endif
