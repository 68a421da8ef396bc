/*
 * letter_file.h - the files of dead letters: encodes entries, and scans a file that may be torn,
 * damaged or foreign. Format: docs/format/relay.md.
 *
 * A file is a header and entries. An entry is a letter, or marks about letters of this file or of
 * older ones. Entries are written in batches, each durable before the next is begun; an entry has
 * the offset of its batch. So bad bytes before the start of a batch are damage, and bad bytes after
 * the start of the last one are the effect of a crash, unless the caller knows that they were
 * durable (letters_mark.h).
 *
 * Threads: none of its own; a scan belongs to one at a time.
 */
#ifndef RELAY_LETTERS_LETTER_FILE_H
#define RELAY_LETTERS_LETTER_FILE_H

#include "relay/letters/dead_letters.h"

enum {
    LETTER_FILE_BYTES = 16 * 1024 * 1024,      /* largest size before another file is begun */
    LETTER_FILE_READ_BYTES = 64 * 1024 * 1024, /* bytes after it are not read */
    LETTER_FILE_HEADER_BYTES = 20,
    LETTER_FILE_NAME_BYTES = 24,
    LETTER_ENTRY_HEADER_BYTES = 12,
    LETTER_ENTRY_BYTES_MAX = 16 * 1024 * 1024, /* without its header */
    LETTER_BYTES_MIN = 32,                     /* smallest size of a letter with its header */
    LETTER_BAD_MAX = 16,                       /* bad places of a file that are listed */
};

/* The place of a letter. Files are numbered from 1, and numbers are not used again. */
struct letter_place {
    uint32_t file; /* 0 if there is no letter */
    uint32_t number;
};

/* The decision about letters that a mark records. The numbers are stored. */
enum letter_mark {
    MARK_REPLAYING = 1,
    MARK_DELIVERED = 2,
    MARK_DROPPED = 3, /* by the operator */
    MARK_REVOKED = 4,
    MARK_GONE =
        5, /* replaces any of the last three when their file is removed, and for lost ones */
    MARK_LAST = MARK_GONE,
};

/* The numbers are stored. */
enum letter_entry_type {
    ENTRY_LETTER = 1,
    ENTRY_MARKS = 2,
    ENTRY_END = 3,  /* end of a file that is followed by another one: all of it is durable */
    ENTRY_HOLE = 4, /* replaces torn entries; readers skip it */
};

struct letter_entry {
    enum letter_entry_type type;
    uint64_t offset; /* in the file */

    /* ENTRY_LETTER: */
    uint32_t number;
    uint32_t missing; /* missing numbers before it, where bytes between cannot be read */
    struct letter_place replaces; /* the letter that it replaces */
    struct dead_letter letter;
    struct histogram histogram; /* the letter's value, if it is a histogram */

    /* ENTRY_MARKS: */
    enum letter_mark mark;
    uint32_t file;
    struct bytes runs; /* for letter_runs_next() */
};

/* "0000002a.letters" */
void letter_file_name(uint32_t number, char to[LETTER_FILE_NAME_BYTES]);
/* False if the name is not that of a file of letters. */
bool letter_file_number(const char *name, uint32_t *ret_number);

/* --- writing ---------------------------------------------------------------------------------- */

/* Appends the header of a file, LETTER_FILE_HEADER_BYTES. */
void letter_header_put(struct buf *to);

/* Put the payload of an entry, for letter_entry_put(). Out of memory shows in buf_error(to). */
void letter_put(struct buf *to, struct letter_place replaces, const struct dead_letter *letter);
/* Sets the number in a letter that letter_put() wrote into the empty buffer `letter`. */
void letter_set_number(struct buf *letter, uint32_t number);
void letter_marks_put(struct buf *to, enum letter_mark mark, uint32_t file, struct bytes runs);

/*
 * Appends an entry of 1..LETTER_ENTRY_BYTES_MAX bytes, of a batch that begins at `batch_offset` of
 * its file. ERR_NOMEM: nothing was appended.
 */
MUST_CHECK enum err letter_entry_put(struct buf *to, struct bytes payload, uint32_t batch_offset);

/* Runs of letters' numbers, ascending. */
struct letter_runs {
    struct buf *to;
    uint32_t behind; /* end of the last run that was written */
    uint32_t first;
    uint32_t count;
};
/* Append runs to `to`, which reports out of memory: begin, then numbers in ascending order, end. */
void letter_runs_begin(struct letter_runs *runs, struct buf *to);
void letter_runs_add(struct letter_runs *runs, uint32_t number);
void letter_runs_end(struct letter_runs *runs);
/*
 * Reads the next run; `from` is a cursor of all of them, `*behind` is 0 at first and kept between
 * calls. False at the end, or, with from->bad, if the bytes are invalid.
 */
bool letter_runs_next(struct cursor *from, uint32_t *behind, uint32_t *ret_first,
                      uint32_t *ret_count);

/* --- reading ---------------------------------------------------------------------------------- */

/* Bytes of a file that cannot be read. */
struct letter_bad {
    uint64_t offset;
    uint64_t end;
    uint32_t letters; /* letters that are missing here */
};

struct letter_scan {
    struct file file;
    struct budget *memory;
    uint64_t durable_end; /* all bytes before it are known to have been durable */
    uint64_t end;         /* end of the bytes to be read: the file's size when it was opened */
    uint64_t offset;      /* offset at which the next entry is searched */
    uint64_t whole_end;   /* end of the last entry that was given */
    uint64_t batch_at;    /* start of the last batch of which an entry was given */
    bool ended;           /* the last whole entry is ENTRY_END */
    uint64_t damaged;     /* bad places that were durable */
    uint64_t damaged_end; /* bad places before it were durable */
    bool clean;           /* nothing bad was met so far, not even a torn end */
    struct letter_bad bad[LETTER_BAD_MAX]; /* the first bad places, durable or not */
    uint32_t bad_count;

    struct buf window; /* bytes of the file, from window_at on */
    uint64_t window_at;
    struct arena arena; /* memory for the entry's histogram */
    uint64_t patience;  /* bytes whose checksums may still be computed in search of an entry */
    uint32_t suspects;  /* bad places that may be in the last batch */
    uint64_t suspect_at;
    bool bad_before;      /* a bad place is between the last letter and `offset` */
    uint32_t next_number; /* lowest number of the next letter */
    struct letter_entry entry;
};

/*
 * Opens a file. A bad header counts as a bad place and is not an error. Call letter_scan_close()
 * after success only. ERR_MISSING; ERR_UNSUPPORTED: a newer version wrote it; ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err letter_scan_open(struct letter_scan *scan, struct env *env, const char *path,
                                     struct budget *memory, struct why *why);
void letter_scan_close(struct letter_scan *scan);

/* Continues at an entry's offset, up to `end`, which is at most the file's size. */
void letter_scan_seek(struct letter_scan *scan, uint64_t offset, uint64_t end);
/*
 * Gives the next whole entry of a known type, a view until the next call; bad bytes are skipped.
 * ERR_MISSING: the end. ERR_IO, ERR_NOMEM: repeat the call.
 */
MUST_CHECK enum err letter_scan_next(struct letter_scan *scan,
                                     const struct letter_entry **ret_entry, struct why *why);
/* All bytes before this offset were durable: bad ones among them are damage. */
void letter_scan_trust(struct letter_scan *scan, uint64_t durable_end);
/*
 * Puts the bytes of the file from `from` (0, or the start of a batch) to `end` (of a whole entry),
 * with a valid header, and with holes in place of bytes that cannot be read, so that the caller can
 * overwrite what a crash left. ERR_CORRUPT: a hole does not fit; ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err letter_scan_mend(struct letter_scan *scan, uint64_t from, uint64_t end,
                                     struct buf *to, struct why *why);

#endif
