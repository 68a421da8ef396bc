/*
 * inspect_private.h - private to this folder: remarks, rankings with bounded memory, and functions
 * shared by the kinds of files.
 */
#ifndef TSDB_INSPECT_INSPECT_PRIVATE_H
#define TSDB_INSPECT_INSPECT_PRIVATE_H

#include "tsdb/inspect/inspect.h"
#include "tsdb/part/walk.h"
#include "tsdb/store/store.h"

enum { INSPECT_CACHE_BYTES = 16 * 1024 * 1024 };

/* Returns true if the manifest was edited since it was read. */
bool inspect_is_edited(const struct inspect_options *options, const char *dir, uint64_t edit);

/* --- remarks ---------------------------------------------------------------------------------- */

enum remark_kind { REMARK_NOTE, REMARK_DAMAGE };
/* Adds a remark, unless it is damage that is among the last remarks. ERR_NOMEM. */
MUST_CHECK enum err remark(struct inspect_remarks *remarks, struct arena *arena,
                           enum remark_kind kind, const char *format, ...) PRINTF_LIKE(4, 5);
/* Turns ERR_CORRUPT into a remark and OK; returns other errors. */
MUST_CHECK enum err remark_if_damage(struct inspect_remarks *remarks, struct arena *arena,
                                     enum err e, const struct why *why);

/* Returns a copy that ends with a NUL; NULL if memory is refused. */
const char *arena_text(struct arena *arena, const char *text);

/* --- rankings --------------------------------------------------------------------------------- */

struct top_entry {
    uint64_t order; /* number of the offer: the earlier of two equal ones stays */
    uint64_t rank;
    struct inspect_item item; /* its text is stored in `text` */
    struct buf text;
};

/* Keeps the largest of many entries: a heap with the least of them on top. */
struct top {
    struct budget *budget;
    struct top_entry *heap;
    uint32_t capacity;
    uint32_t count;
    uint64_t offered;
};

MUST_CHECK enum err top_init(struct top *top, struct budget *budget, uint32_t capacity);
void top_fini(struct top *top);
/* Counts an offer. Returns true if it is among the largest so far, so that the caller calls
 * top_put(). */
bool top_offer(struct top *top, uint64_t rank);
/* Copies the text; tenant is a view that outlives the ranking. ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK enum err top_put(struct top *top, uint64_t rank, const struct inspect_item *item);
/* Gives the entries sorted, in `arena`, and empties the heap. */
MUST_CHECK enum err top_take(struct top *top, struct arena *arena,
                             struct inspect_ranking *ret_ranking);

/* --- parts ------------------------------------------------------------------------------------ */

void inspect_facts(const struct part_info *info, struct inspect_part_facts *ret_facts);
/* Describes a block. ERR_CORRUPT. */
MUST_CHECK enum err inspect_block(struct part *part, const struct block_ref *block,
                                  enum inspect_form *ret_form, struct codec_facts *ret_values,
                                  struct codec_facts *ret_times, struct why *why);
/* Gets the size of a file. ERR_MISSING. */
MUST_CHECK enum err inspect_file_bytes(struct env *env, const char *dir, const char *name,
                                       uint64_t *ret_bytes);

/* --- rows.c: the rows of a part, and the blocks they name ------------------------------------- */

/*
 * Fills in everything that comes from rows, blocks and labels. `ret_counted`: floats and
 * histograms. Damage becomes remarks. ERR_NOMEM, ERR_IO.
 */
MUST_CHECK enum err inspect_rows(const struct inspect_options *options, struct part *part,
                                 struct inspect_part *result, uint64_t *ret_counted,
                                 struct why *why);

#endif
