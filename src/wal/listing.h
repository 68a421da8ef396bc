/* listing.h - private to wal/: lists the files of a log's directory, and links those of the log. */
#ifndef WAL_LISTING_H
#define WAL_LISTING_H

#include "wal/segment.h"

enum stray_kind {
    STRAY_BLANK,   /* was being made, holds no record */
    STRAY_VOID,    /* begun after a failure; no newer segment names it */
    STRAY_DAMAGED, /* a segment file without a valid header */
    STRAY_ASIDE,   /* a damaged file that was put aside earlier: NUMBER.wal.damaged */
};

struct stray {
    uint64_t number;
    uint64_t file_bytes;
    enum stray_kind kind;
};

struct segment_list {
    struct segment *items; /* sorted by number; all ends are known except that of the newest */
    uint32_t count, capacity;
    struct stray *strays; /* segment files that do not belong to the log */
    uint32_t stray_count, stray_capacity;
    uint64_t number_max; /* the highest number, strays included */
};

/*
 * Reads every segment's header and links the segments. Changes no file. `ret_list` is given:
 * segment_list_fini(). ERR_UNSUPPORTED: a newer version wrote one of them. ERR_CORRUPT: they belong
 * to two logs.
 */
MUST_CHECK enum err segment_list_read(struct env *env, const char *dir, struct budget *budget,
                                      struct segment_list *ret_list, struct why *why);
void segment_list_fini(struct segment_list *list, struct budget *budget);
/* Allocates memory for one more item. ERR_NOMEM. */
MUST_CHECK enum err segment_list_reserve(struct segment_list *list, struct budget *budget);

/* Removes files without records, and renames those with a damaged header, so that people find
 * them. */
void segment_list_sweep(struct segment_list *list, struct env *env, const char *dir);

/* True if the stray was a segment with records, and the links between headers do not show that. */
bool stray_is_loss(const struct segment_list *list, const struct stray *stray, bool from_oldest);

#endif
