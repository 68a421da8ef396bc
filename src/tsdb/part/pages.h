/*
 * pages.h - private to part/: the pages a part is made of: written in a row, read one by one
 * through a cache. Format: docs/format/part.md.
 */
#ifndef TSDB_PART_PAGES_H
#define TSDB_PART_PAGES_H

#include "base/buf.h"
#include "base/lock.h"
#include "sys/env.h"

enum page_kind {
    PAGE_TIMES = 1,
    PAGE_VALUES = 2,
    PAGE_ROWS = 3,
    PAGE_LABEL_VALUES = 4,
    PAGE_POSTINGS = 5,
    PAGE_NAMES = 6,
    PAGE_EXEMPLARS = 7,
    PAGE_METADATA = 8,
    PAGE_DIRECTORY = 9,
    PAGE_ROOT = 10,
};

enum {
    PAGE_HEADER_BYTES = 16,
    PAGE_BYTES_MAX = 256 * 1024 * 1024 - 1, /* 28 bits */
    PAGE_SLACK_BYTES = 16,                  /* readable after an unpacked page */
};

/* --- writing ---------------------------------------------------------------------------------- */

/* Writes one file from front to back, in large pieces. */
struct page_writer {
    struct file file;
    struct buf out; /* bytes that are not written to the file */
    struct buf packed;
    uint64_t flushed_bytes; /* bytes written to the file */
    uint64_t part_number;
    int level;                  /* level of zstd; 0 packs nothing */
    struct ZSTD_CCtx_s *zstd;   /* about 600 KiB, not charged to a budget */
    uint64_t payload_bytes[16]; /* stored bytes with headers, by kind */
};

/* Creates the file, which must not exist. page_writer_fini() is required, also after an error. */
MUST_CHECK enum err page_writer_open(struct page_writer *writer, struct env *env,
                                     struct budget *budget, const char *path, uint64_t part_number,
                                     struct why *why);
/* Abandons the file if it is still open. */
void page_writer_fini(struct page_writer *writer);
/* Writes a page; gives its offset. */
MUST_CHECK enum err page_write(struct page_writer *writer, enum page_kind kind,
                               struct bytes payload, uint64_t *ret_offset, struct why *why);
/* Writes bytes outside of pages: header and footer. */
MUST_CHECK enum err page_write_raw(struct page_writer *writer, struct bytes bytes, struct why *why);
/* Returns the offset of the next byte that is written. */
uint64_t page_writer_offset(const struct page_writer *writer);
/* Writes what is buffered, syncs and closes the file. */
MUST_CHECK enum err page_writer_close(struct page_writer *writer, struct why *why);

/* --- reading ---------------------------------------------------------------------------------- */

/* An unpacked page, valid until page_release(). PAGE_SLACK_BYTES after it are zero. */
struct page {
    const uint8_t *at;
    uint32_t size;
    uint8_t kind; /* enum page_kind; 0 for page_keep_made() */
};

struct page_cache;
/* Pages that are not held are evicted when those in memory exceed `capacity_bytes`. ERR_NOMEM. */
MUST_CHECK enum err page_cache_new(struct budget *budget, uint64_t capacity_bytes,
                                   struct page_cache **ret_cache);
/* Makes damage found through `cache` known to `other`, which outlives it. */
void page_cache_report_to(struct page_cache *cache, struct page_cache *other);
/* Notes that the content of a page is invalid although its checksum matches. */
void page_cache_note_damage(struct page_cache *cache, uint64_t part_number, uint64_t offset);
/* All pages are released. NULL is fine. */
void page_cache_free(struct page_cache *cache);
/* Asserts the invariants of pages.c; O(n). For tests and debug builds. Takes the cache's lock. */
void page_cache_validate(struct page_cache *cache);

struct remote_store;
/* A file that pages are read from. */
struct page_source {
    struct page_cache *cache;
    uint64_t cache_id; /* never reused in the process */
    uint64_t part_number;
    uint64_t file_bytes;
    uint64_t index_bytes;        /* of its end, which has all but samples; 0: not known */
    struct file file;            /* closed if it is remote: then its path is the key */
    bool is_remote;              /* the file is in a bucket */
    struct remote_store *remote; /* which that is; NULL: its pages cannot be read */
};
/* Reads bytes of the source. ERR_IO: a second attempt failed, too; errors of remote_read(). */
MUST_CHECK enum err page_source_read(struct page_source *source, void *to, size_t size,
                                     uint64_t offset, struct why *why);
/* Returns an id for a page_source. */
uint64_t page_cache_new_id(struct page_cache *cache);
/* Return the budget of its pages, and how many bytes of them it keeps. */
struct budget *page_cache_budget(struct page_cache *cache);
uint64_t page_cache_capacity(const struct page_cache *cache);
/* Drops all pages of a source that is closed. */
void page_cache_forget(struct page_cache *cache, uint64_t cache_id);

/* Gets a page from the cache or the file; the caller holds it until page_release(). A page that
 * does not fit into the cache is kept as long as it is held. ERR_CORRUPT: not a valid page of that
 * kind; `why` names part and page. ERR_IO: a second attempt failed, too. ERR_NOMEM: the budget is
 * exhausted, and freeing pages that are not held did not help. */
MUST_CHECK enum err page_get(struct page_source *source, uint64_t offset, enum page_kind kind,
                             const struct page **ret_page, struct why *why);
/* Ends one page_get(), page_find_made() or other hold; accepts NULL. */
void page_release(struct page_source *source, const struct page *page);

/* Finds bytes computed from a source's pages that page_keep_made() keeps in the cache, under a
 * number below 2^63; they are evicted like pages. NULL if not cached; otherwise held like a page.
 */
const struct page *page_find_made(struct page_source *source, uint64_t number);
/* Keeps a copy of the bytes, if there is memory and room in the cache. */
void page_keep_made(struct page_source *source, uint64_t number, struct bytes bytes);

struct page_facts {
    enum page_kind kind;
    bool packed;
    uint32_t stored_bytes; /* size of the payload */
    uint32_t raw_bytes;    /* size of the unpacked payload */
    uint64_t next;         /* offset after the page */
};
/* Checks the page at `offset` without keeping it, for verification. Facts are given if the header
 * is valid, also if the payload is damaged. */
MUST_CHECK enum err page_check(struct page_source *source, uint64_t offset,
                               struct page_facts *ret_facts, struct why *why);

/* Finds the first place in [from, end) with the header of a page; `end` if not found. */
MUST_CHECK enum err page_search(struct page_source *source, uint64_t from, uint64_t end,
                                uint64_t *ret_offset, struct why *why);

struct page_cache_stats {
    uint64_t hits;
    uint64_t misses;
    uint64_t bytes;
    uint64_t pages;
    uint64_t pages_damaged; /* damaged pages found, each counted once; at most 1024 */
};
/* All numbers are of one moment. Any thread. */
void page_cache_stats(struct page_cache *cache, struct page_cache_stats *ret_stats);

#endif
