/* listing.h - private to wal/: the files of a log's directory, and which of them make the log. */
#ifndef WAL_LISTING_H
#define WAL_LISTING_H

#include "wal/segment.h"

enum stray_kind {
    STRAY_BLANK,   /* was being made, holds nothing */
    STRAY_VOID,    /* begun after a failure; a newer segment does not name it */
    STRAY_DAMAGED, /* a segment's file without a readable header, or with a senseless one */
    STRAY_ASIDE,   /* such a one that was put aside earlier: NUMBER.wal.damaged */
};

struct stray {
    uint64_t number;
    uint64_t file_bytes;
    enum stray_kind kind;
};

struct segment_list {
    struct segment *items; /* sorted by number, ends known but for the newest */
    uint32_t count, capacity;
    struct stray *strays; /* segment files that are no part of the log */
    uint32_t stray_count, stray_capacity;
    uint64_t number_max; /* of all of these */
};

/*
 * Looks at every segment's header and links them. Changes nothing. `ret_list` is given:
 * segment_list_fini(). ERR_UNSUPPORTED: a newer version wrote one of them. ERR_CORRUPT: they are of
 * two logs.
 */
MUST_CHECK enum err segment_list_read(struct env *env, const char *dir, struct budget *budget,
                                      struct segment_list *ret_list, struct why *why);
void segment_list_fini(struct segment_list *list, struct budget *budget);
/* Room for one more item. */
MUST_CHECK enum err segment_list_reserve(struct segment_list *list, struct budget *budget);

/* Files that hold nothing go; those whose header is damaged are put aside for people. */
void segment_list_sweep(struct segment_list *list, struct env *env, const char *dir);

/* True if the stray is a loss that the links between headers do not show. */
bool stray_is_loss(const struct segment_list *list, const struct stray *stray, bool from_oldest);

#endif
