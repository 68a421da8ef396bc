/*
 * walk.h - a part as an object, where in it something is, and walks over it: for the files that
 * read parts, here and in the folders that docs/rooms.txt names.
 */
#ifndef TSDB_PART_WALK_H
#define TSDB_PART_WALK_H

#include "base/lock.h"
#include "base/table.h"
#include "tsdb/part/format.h"
#include "tsdb/part/part.h"

/*
 * Which page a number lies in: the directory of one kind of page. Unpacked when first asked for;
 * two threads may do so at once, and one of them wins.
 */
struct directory_table {
    uint32_t count;
    size_t memory_bytes;
    uint64_t *offsets;
    uint32_t *numbers;  /* the first in each page, ascending */
    uint32_t *key_ends; /* with keys: where each ends */
    uint8_t *keys;
};

struct directory {
    uint64_t page;                         /* 0: there is nothing of this kind */
    bool has_keys;                         /* what separates each page from the one before */
    struct bytes bytes;                    /* with DIRECTORY_IN_ROOT: view of the part's arena */
    struct directory_table *_Atomic table; /* release, pairs with acquire in directory_table() */
};

struct hidden {
    uint64_t tombstone;
    roaring_bitmap_t *series;
};

struct part {
    struct env *env;
    const char *parts_dir;
    struct budget *budget;
    _Atomic uint32_t references; /* acquire-release: the last one closes */
    atomic_bool dropped;         /* relaxed: the references order it */
    atomic_bool left_alone;      /* relaxed: one thread merges */
    atomic_bool removed;         /* relaxed: a number for people */
    _Atomic(struct why *) alone; /* why; released by that thread, acquired by who tells it */
    struct part_info info;
    struct page_source source;
    struct arena arena; /* what is unpacked at opening: tenants */
    struct part_tenant *tenants;
    uint32_t tenant_count;
    struct directory rows;
    struct directory values;
    struct directory postings;
    struct directory exemplars;
    struct directory stale;
    bool knows_stale;         /* written by a version that has that directory */
    _Atomic uint64_t applied; /* relaxed: set before others see the part, or by the one who edits */

    struct lock hidden_lock; /* LOCK_RANK_LEAF; guards the rest */
    struct hidden *hidden;
    uint32_t hidden_count;
    uint32_t hidden_capacity;
};

/* --- read.c ----------------------------------------------------------------------------------- */

/* ERR_CORRUPT, in words. `offset` is that of the page; 0: it is none. */
enum err part_damaged(const struct part *part, uint64_t offset, const char *what, struct why *why);
MUST_CHECK enum err part_directory_table(struct part *part, struct directory *directory,
                                         const struct directory_table **ret_table, struct why *why);
/* How many pages begin at or before `number`. */
uint32_t part_pages_until(const struct directory_table *table, uint32_t number);
/* Where the page with a number is, and which numbers lie in it. */
MUST_CHECK enum err part_directory_find(struct part *part, struct directory *directory,
                                        uint32_t number, uint64_t *ret_offset, uint32_t *ret_first,
                                        uint32_t *ret_next, struct why *why);

/*
 * The same by order, in the directory of label values: the last page that holds a number in
 * [first, end), the numbers of one name, and may hold `value` or, if no page does, what is before
 * it.
 */
MUST_CHECK enum err part_directory_search(struct part *part, struct directory *directory,
                                          uint32_t first, uint32_t end, struct bytes value,
                                          uint32_t *ret_number, struct why *why);

/* --- row_stats.c ------------------------------------------------------------------------------ */

/* Of a block of floats, whose `count` is set, out of the columns of its group, each of which is
 * read on. False: it makes no sense; that a column was too short its cursor tells. */
bool row_stats_get(struct cursor *columns, unsigned shape, struct block_ref *block);
/* Passes over those of a block of any kind. True: it is a constant, of which nothing more is
 * written. */
bool row_stats_skip(struct cursor *columns, unsigned shape);

/* --- stale.c ---------------------------------------------------------------------------------- */

/* Walks what is told of blocks of histograms, those that have staleness markers or may. */
struct stale_walk {
    const struct directory_table *table; /* NULL: not begun */
    uint32_t next_page;                  /* in the table */
    const struct page *page;
    uint64_t offset; /* of the page */
    struct cursor c;
    uint32_t series; /* of the entry at hand, in the part; UINT32_MAX: there are no more */
    uint32_t block;  /* in its row */
    uint32_t count;  /* of staleness markers; 0: not known */
};

/* Sets the statistics of the series' blocks of histograms where they are known: cheapest in
 * ascending order of series. ERR_IO, ERR_NOMEM; what is damaged is not known. */
MUST_CHECK enum err stale_walk_set(struct stale_walk *walk, struct part *part, uint32_t series,
                                   struct block_ref *blocks, uint32_t count, struct why *why);
void stale_walk_fini(struct stale_walk *walk, struct part *part);

/* --- labels.c --------------------------------------------------------------------------------- */

/* NULL: there is none. */
const struct part_name *part_find_name(const struct part_index *index, struct bytes name);
const struct part_name *part_name_of_pair(const struct part_index *index, uint32_t pair);

/* Walks label values in pair order, from any pair on. */
struct value_walk {
    struct part *part;
    const struct page *page;
    uint64_t offset; /* of the page */
    struct cursor c;
    uint32_t next_pair;
    uint32_t page_first;
    uint32_t page_end;      /* first pair of the next page */
    uint32_t restart_count; /* of the page, */
    uint32_t items_end;     /* and where they are */
    struct buf value;
};

void value_walk_init(struct value_walk *walk, struct part *part, struct budget *budget);
void value_walk_fini(struct value_walk *walk);
/* The value of `pair` in walk->value. Steps on if it is the next one. */
MUST_CHECK enum err value_walk_get(struct value_walk *walk, uint32_t pair, struct why *why);
/*
 * Moves *pair on, within its page and before `end`, to where values are just before `value` or it
 * itself: at most a few steps of value_walk_get() from it.
 */
MUST_CHECK enum err value_walk_near(struct value_walk *walk, uint32_t *pair, uint32_t end,
                                    struct bytes value, struct why *why);

/* --- label_store.c ---------------------------------------------------------------------------- */

/* A label that is wanted, or there, as a field of canonical labels. */
struct label_entry {
    uint32_t pair;
    uint32_t at; /* in `fields` */
    uint32_t size;
};

/*
 * Labels of pairs. What was noted and is not there is read in the order of pairs, so each page of
 * values is unpacked once for all of it.
 */
struct label_store {
    const struct part_index *index;
    struct budget *budget;
    struct buf entries; /* struct label_entry */
    uint32_t entry_count;
    uint32_t read_count; /* so many of them are there */
    struct table table;  /* by hash of the pair, indexes of entries */
    struct buf fields;
    struct buf order; /* u64: of those being read, pair and entry */
    struct value_walk values;
};

void label_store_init(struct label_store *store, const struct part_index *index,
                      struct budget *budget);
void label_store_fini(struct label_store *store);
/* Forgets everything if that is much. */
void label_store_trim(struct label_store *store);
void label_store_forget(struct label_store *store);
/*
 * Notes pairs, and says which entries are theirs, until everything is forgotten. ERR_NOMEM.
 */
MUST_CHECK enum err label_store_note(struct label_store *store, const uint32_t *pairs,
                                     uint32_t pair_count, uint32_t *ret_entries);
/* Takes in what was noted. Failed, it forgets everything. */
MUST_CHECK enum err label_store_read(struct label_store *store, struct why *why);
/* Appends labels that were taken in. */
MUST_CHECK enum err label_store_put(const struct label_store *store, const uint32_t *entries,
                                    uint32_t count, struct buf *to, struct why *why);

/* --- postings.c ------------------------------------------------------------------------------- */

/* Gathers the series of pairs, those of a window. */
struct postings_walk {
    struct part *part;
    const struct part_tenant *tenant;
    const struct page *page;
    uint64_t offset; /* of the page */
    struct cursor c;
    uint32_t next_pair;
    uint32_t page_end;

    uint32_t from; /* the window, within the tenant */
    uint32_t to;
    const roaring_bitmap_t *among; /* others are not wanted; NULL: all are */
    uint32_t list_max;             /* so many of each list are enough */
    uint32_t list_left;            /* of the list at hand; with one more, */
    bool list_ended;               /* it ended early, */
    bool cut;                      /* as some list did */
    uint32_t list_count;
    uint64_t added_count;
    roaring_bitmap_t *set; /* numbers in the part */
    uint64_t *bits;        /* of the window: more of the set; NULL: not needed */
    uint32_t batch_count;
    uint32_t batch[256]; /* still more */
};

/* Series `from` to `to`, numbers in the part; `among` and `list_max` may be set then, for a few of
 * each list. No memory: walk->set is NULL. */
void postings_begin(struct postings_walk *walk, const struct part_index *index, uint32_t from,
                    uint32_t to);
void postings_end(struct postings_walk *walk);
/* Adds the series of a pair (numbered through the part): cheapest in ascending order. */
MUST_CHECK enum err postings_add(struct postings_walk *walk, uint32_t pair, struct why *why);
/* All that was added; the walk's own. */
roaring_bitmap_t *postings_set(struct postings_walk *walk);

#endif
