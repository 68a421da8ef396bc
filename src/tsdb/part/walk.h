/*
 * walk.h - a part as an object, its directories, and walks over its pages: for the files that read
 * parts, here and in the folders that docs/rooms.txt names.
 */
#ifndef TSDB_PART_WALK_H
#define TSDB_PART_WALK_H

#include "base/lock.h"
#include "base/table.h"
#include "tsdb/part/format.h"
#include "tsdb/part/part.h"

/*
 * The directory of one kind of page, from numbers to pages. Unpacked on first use; two threads may
 * do so at once, and the first one publishes its table.
 */
struct directory_table {
    uint32_t count;
    size_t memory_bytes;
    uint64_t *offsets;
    uint32_t *numbers;  /* the first number in each page, ascending */
    uint32_t *key_ends; /* with keys: end of each in `keys` */
    uint8_t *keys;
};

struct directory {
    uint64_t page;                         /* 0 without pages of this kind */
    bool has_keys;                         /* a key separates each page from the one before */
    struct bytes bytes;                    /* with DIRECTORY_IN_ROOT: view of the part's arena */
    struct directory_table *_Atomic table; /* release, pairs with acquire in directory_table() */
};

/* The series of a part that a tombstone selects. */
struct hidden_series {
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
    _Atomic(struct why *) alone; /* why left_alone; release, pairs with part_alone_reason() */
    struct part_info info;
    struct page_source source;
    struct arena arena; /* tenants, and directories in the root */
    struct part_tenant *tenants;
    uint32_t tenant_count;
    struct directory rows;
    struct directory values;
    struct directory postings;
    struct directory exemplars;
    struct directory stale;
    bool knows_stale;         /* written by a version that has that directory */
    _Atomic uint64_t applied; /* relaxed: set before other threads see the part, or by an edit */

    uint64_t leveled_rules; /* see part_leveled_ms() */
    int64_t leveled_ms;
    uint64_t within_rules; /* see part_is_within_rules() */
    int64_t within_ms;

    struct lock hidden_lock; /* LOCK_RANK_LEAF; guards the rest */
    struct hidden_series *hidden;
    uint32_t hidden_count;
    uint32_t hidden_capacity;
};

/* --- read.c ----------------------------------------------------------------------------------- */

/* Returns ERR_CORRUPT and sets `why`. `offset`: of the damaged page; 0 if it is not a page. */
enum err part_damaged(const struct part *part, uint64_t offset, const char *what, struct why *why);
MUST_CHECK enum err part_directory_table(struct part *part, struct directory *directory,
                                         const struct directory_table **ret_table, struct why *why);
/* Returns the number of pages that begin at or before `number`. */
uint32_t part_pages_until(const struct directory_table *table, uint32_t number);
/* Finds the page that has a number: its offset, its first number, and the next page's. */
MUST_CHECK enum err part_directory_find(struct part *part, struct directory *directory,
                                        uint32_t number, uint64_t *ret_offset, uint32_t *ret_first,
                                        uint32_t *ret_next, struct why *why);

/*
 * Searches the directory of label values for `value`, among the numbers [first, end) of one name.
 * *ret_number gets the first number of the last page whose key is not above the value, or `first`.
 */
MUST_CHECK enum err part_directory_search(struct part *part, struct directory *directory,
                                          uint32_t first, uint32_t end, struct bytes value,
                                          uint32_t *ret_number, struct why *why);

/* Callbacks of a walk over the pages of a part, in the order of the file. */
struct page_visitor {
    /* For each page with a whole header. May be NULL. */
    void (*page)(void *context, const struct page_facts *facts);
    /* For each page that is not whole, after page() if its header is. */
    void (*damaged)(void *context, uint64_t offset, const struct why *why);
    /* For bytes after a damaged header, up to the next header. May be NULL. */
    void (*skipped)(void *context, uint64_t bytes);
    void *context;
};
/* Reads and checks every page. ERR_IO, ERR_NOMEM. */
MUST_CHECK enum err pages_walk(struct page_source *source, const struct page_visitor *visitor,
                               struct why *why);

/* --- rows.c ----------------------------------------------------------------------------------- */

/* Walks the list of blocks of histograms that have, or may have, staleness markers. */
struct stale_walk {
    const struct directory_table *table; /* NULL before the first seek */
    uint32_t next_page;                  /* index in the table */
    const struct page *page;
    uint64_t offset; /* offset of the page */
    struct cursor c;
    uint32_t series; /* series of the current entry, in the part; UINT32_MAX at the end */
    uint32_t block;  /* block in its row */
    uint32_t count;  /* number of staleness markers; 0 if not known */
};

/* --- labels.c --------------------------------------------------------------------------------- */

/* NULL if the tenant does not have the name. */
const struct part_name *part_find_name(const struct part_index *index, struct bytes name);
const struct part_name *part_name_of_pair(const struct part_index *index, uint32_t pair);

/* Walks label values in pair order, from any pair on. */
struct value_walk {
    struct part *part;
    const struct page *page;
    uint64_t offset; /* offset of the page */
    struct cursor c;
    uint32_t next_pair;
    uint32_t page_first;
    uint32_t page_end;      /* first pair of the next page */
    uint32_t restart_count; /* restarts of the page */
    uint32_t items_end;     /* offset of the restarts in the page */
    struct buf value;
};

/* Reads nothing. value_walk_fini() releases the page. */
void value_walk_init(struct value_walk *walk, struct part *part, struct budget *budget);
void value_walk_fini(struct value_walk *walk);
/* Reads the value of `pair` into walk->value: cheapest if it is the next one. */
MUST_CHECK enum err value_walk_get(struct value_walk *walk, uint32_t pair, struct why *why);
/*
 * Moves *pair on, within its page and before `end`, to a pair whose value is not above `value` and
 * at most a few steps of value_walk_get() before it.
 */
MUST_CHECK enum err value_walk_near(struct value_walk *walk, uint32_t *pair, uint32_t end,
                                    struct bytes value, struct why *why);

/* A label that was noted, and its field of canonical labels once it is read. */
struct label_entry {
    uint32_t pair;
    uint32_t at; /* offset in `fields` */
    uint32_t size;
};

/*
 * Labels of pairs. Labels that were noted are read in the order of pairs, so that each page of
 * values is unpacked once for all of them.
 */
struct label_store {
    const struct part_index *index;
    struct budget *budget;
    struct buf entries; /* struct label_entry */
    uint32_t entry_count;
    uint32_t read_count; /* the first entries, whose fields are read */
    struct table table;  /* by hash of the pair: indexes of entries */
    struct buf fields;
    struct buf order; /* u64: pair and entry, while labels are read */
    struct value_walk values;
};

void label_store_init(struct label_store *store, const struct part_index *index,
                      struct budget *budget);
void label_store_fini(struct label_store *store);
/* Forgets all labels if there are many, or if some were noted and not read. */
void label_store_trim(struct label_store *store);
/* Forgets all labels, and keeps memory for the next ones. */
void label_store_forget(struct label_store *store);
/* Notes pairs, and gives the indexes of their entries, valid until labels are forgotten.
 * ERR_NOMEM. */
MUST_CHECK enum err label_store_note(struct label_store *store, const uint32_t *pairs,
                                     uint32_t pair_count, uint32_t *ret_entries);
/* Reads the labels that were noted. On an error it forgets all. */
MUST_CHECK enum err label_store_read(struct label_store *store, struct why *why);
/* Appends labels that were read. */
MUST_CHECK enum err label_store_put(const struct label_store *store, const uint32_t *entries,
                                    uint32_t count, struct buf *to, struct why *why);

/* --- match.c ---------------------------------------------------------------------------------- */

/* Gathers the series of pairs, within a window. */
struct postings_walk {
    struct part *part;
    const struct part_tenant *tenant;
    const struct page *page;
    uint64_t offset; /* offset of the page */
    struct cursor c;
    uint32_t next_pair;
    uint32_t page_end;

    uint32_t from; /* the window, from and to included, within the tenant */
    uint32_t to;
    const roaring_bitmap_t *among; /* only these series are wanted; NULL for all */
    uint32_t list_max;             /* series wanted from each list */
    uint32_t list_left;            /* rest of the current list */
    bool list_ended;               /* the current list has more than list_max */
    bool cut;                      /* some list had more than list_max */
    uint32_t list_count;
    uint64_t added_count;
    roaring_bitmap_t *set; /* numbers in the part */
    uint64_t *bits; /* other numbers of the set, by number in the window; NULL if not needed */
    uint32_t batch_count;
    uint32_t batch[256]; /* numbers to be added to `set` */
};

/* Begins with the window of series `from` to `to`, numbers in the part; `among` and `list_max` may
 * be set then. walk->set is NULL without memory. */
void postings_begin(struct postings_walk *walk, const struct part_index *index, uint32_t from,
                    uint32_t to);
/* Frees the set and releases the page. */
void postings_end(struct postings_walk *walk);
/* Adds the series of a pair (a number in the part): cheapest in ascending order. */
MUST_CHECK enum err postings_add(struct postings_walk *walk, uint32_t pair, struct why *why);
/* Returns the added series; owned by the walk. */
roaring_bitmap_t *postings_set(struct postings_walk *walk);

#endif
