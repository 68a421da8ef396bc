/*
 * letter_file.h - the files that dead letters lie in: the bytes of what is written, and the way
 * through a file that may be torn, damaged or foreign. Format: docs/format/relay.md.
 *
 * A file is a header and entries. An entry is a letter, or marks: what became of letters of this
 * file or of older ones. Entries are written in batches, each durable before the next is begun; an
 * entry says where its batch began. So what is bad before the begin of a batch is damage, and what
 * is bad after the begin of the last one is what a crash left, unless the caller knows that it
 * was durable (letters_mark.h).
 *
 * Threads: none of its own; a scan belongs to one at a time.
 */
#ifndef RELAY_LETTERS_LETTER_FILE_H
#define RELAY_LETTERS_LETTER_FILE_H

#include "relay/letters/dead_letters.h"

enum {
    LETTER_FILE_BYTES = 16 * 1024 * 1024,      /* then another begins, at the latest */
    LETTER_FILE_READ_BYTES = 64 * 1024 * 1024, /* what is after that is not ours */
    LETTER_FILE_HEADER_BYTES = 20,
    LETTER_FILE_NAME_BYTES = 24,
    LETTER_ENTRY_HEADER_BYTES = 12,
    LETTER_ENTRY_BYTES_MAX = 16 * 1024 * 1024, /* without its header */
    LETTER_BYTES_MIN = 32,                     /* no letter with its header is smaller */
    LETTER_BAD_MAX = 16,                       /* places of a file that are told one by one */
};

#define LETTER_FILES_DIR "dead-letters" /* in the destination's directory */

/* Where a letter lies. Files are numbered from 1, and no number comes twice. */
struct letter_place {
    uint32_t file; /* 0: nowhere */
    uint32_t number;
};

/* What became of letters. The numbers are stored. */
enum letter_mark {
    MARK_REPLAYING = 1,
    MARK_DELIVERED = 2,
    MARK_DROPPED = 3, /* by the operator */
    MARK_REVOKED = 4,
    MARK_GONE = 5, /* any of the last three: said again, because the file that said it goes */
    MARK_LAST = MARK_GONE,
};

/* The numbers are stored. */
enum letter_entry_type {
    ENTRY_LETTER = 1,
    ENTRY_MARKS = 2,
    ENTRY_END = 3,  /* of a file after which another one begins: all of it is durable */
    ENTRY_HOLE = 4, /* in the place of what a crash left; readers are not given any */
};

struct letter_entry {
    enum letter_entry_type type;
    uint64_t offset; /* in the file */

    /* ENTRY_LETTER: */
    uint32_t number;
    uint32_t missing; /* numbers before it that cannot be read, as bytes between cannot */
    struct letter_place replaces; /* that letter is no longer one */
    struct dead_letter letter;
    struct histogram histogram; /* the letter's, if it is one */

    /* ENTRY_MARKS: */
    enum letter_mark mark;
    uint32_t file;
    struct bytes runs; /* for letter_runs_next() */
};

/* "0000002a.letters" */
void letter_file_name(uint32_t number, char to[LETTER_FILE_NAME_BYTES]);
/* False: no such name. */
bool letter_file_number(const char *name, uint32_t *ret_number);

/* --- writing ---------------------------------------------------------------------------------- */

void letter_header_put(struct buf *to);

/* What an entry holds, for letter_entry_put(). Out of memory shows in buf_error(to). */
void letter_put(struct buf *to, struct letter_place replaces, const struct dead_letter *letter);
/* A letter's number may become known last: `letter` is all that letter_put() wrote. */
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
    uint32_t behind; /* the last run that was written */
    uint32_t first;
    uint32_t count;
};
void letter_runs_begin(struct letter_runs *runs, struct buf *to);
void letter_runs_add(struct letter_runs *runs, uint32_t number);
void letter_runs_end(struct letter_runs *runs);
/*
 * The next run; `from` is a cursor of all of them, `*behind` is 0 at first and is kept between
 * calls. False: there is none, or (then from->bad) these are none.
 */
bool letter_runs_next(struct cursor *from, uint32_t *behind, uint32_t *ret_first,
                      uint32_t *ret_count);

/* --- reading ---------------------------------------------------------------------------------- */

/* Bytes of a file that cannot be read. */
struct letter_bad {
    uint64_t offset;
    uint64_t end;
    uint32_t letters; /* numbers of letters that are missing here */
};

struct letter_scan {
    struct file file;
    struct budget *memory;
    uint64_t durable_end; /* all before it is known to have been durable */
    uint64_t end;         /* of what is to be read: the file's size as it was opened */
    uint64_t offset;      /* where the next entry is looked for */
    uint64_t whole_end;   /* of the last entry that was given */
    uint64_t batch_at;    /* where the last batch begins, as far as entries were given */
    bool ended;           /* the last whole entry says that nothing comes after it */
    uint64_t damaged;     /* places that were durable and cannot be read */
    uint64_t damaged_end; /* bad places before it are such */
    bool clean;           /* nothing bad was met so far, a torn end neither */
    struct letter_bad bad[LETTER_BAD_MAX]; /* the first of them, damaged or not */
    uint32_t bad_count;

    struct buf window; /* of the file, from window_at on */
    uint64_t window_at;
    struct arena arena; /* the entry's histogram */
    uint64_t patience;  /* how many bytes may still be summed up in search of an entry */
    uint32_t suspects;  /* bad places that may be of the last batch */
    uint64_t suspect_at;
    bool bad_before;      /* something bad stands between the last letter and here */
    uint32_t next_number; /* letters' numbers ascend */
    struct letter_entry entry;
};

/*
 * ERR_MISSING; ERR_UNSUPPORTED: a newer version wrote it; ERR_IO, ERR_NOMEM. A bad header is a bad
 * place, no error. letter_scan_close() after success only.
 */
MUST_CHECK enum err letter_scan_open(struct letter_scan *scan, struct env *env, const char *path,
                                     struct budget *memory, struct why *why);
void letter_scan_close(struct letter_scan *scan);

/* Goes on at an entry's offset, and no further than to `end`, which the file has. */
void letter_scan_seek(struct letter_scan *scan, uint64_t offset, uint64_t end);
/*
 * The next whole entry of a type we know, a view until the next call; what is bad is stepped over.
 * ERR_MISSING: the end. ERR_IO, ERR_NOMEM: the same call again.
 */
MUST_CHECK enum err letter_scan_next(struct letter_scan *scan,
                                     const struct letter_entry **ret_entry, struct why *why);
/* All before this offset was durable: what is bad there is damage. */
void letter_scan_trust(struct letter_scan *scan, uint64_t durable_end);
/*
 * Puts the bytes of the file from `from` (0, or where a batch begins) to `end` (of a whole entry),
 * with a header that is one, and with holes in the place of what cannot be read: to be written over
 * what a crash left. ERR_CORRUPT: a hole does not fit in; ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err letter_scan_mend(struct letter_scan *scan, uint64_t from, uint64_t end,
                                     struct buf *to, struct why *why);

#endif
