/* resume.h - the progress of a long command, in a small text file that is replaced as a whole. */
#ifndef CLI_LIB_RESUME_H
#define CLI_LIB_RESUME_H

#include "base/buf.h"
#include "base/err.h"
#include "sys/env.h"

/* --- slices ----------------------------------------------------------------------------------- */

/*
 * Slices of time, or of something else, have a state each.
 *
 *     firekeep copy 1
 *     from archive
 *     ...                          the question: the state is valid only for this one
 *     range 1700000000000 1702591999999
 *     counts 12345 678 90          what the command counts
 *     slices cccc....
 *
 *     .  to be done         c  done; of copy: copied    v  verified, all is there
 *     d  of copy: verified, samples are missing or different, copied once more; of replay: what the
 *        group recorded is deleted
 *     C  copied once more   x  verified again, and still not all is there
 */
enum { SLICES_MAX = 1000000, SLICE_COUNTS = 3 };
#define SLICE_TIME_MS_MAX ((int64_t)1 << 60) /* for times before and after 1970 */

struct slice_state {
    const char *path;       /* NULL: the state is not saved */
    struct bytes question;  /* lines, each with its end; a view */
    int64_t min_ms, max_ms; /* both inclusive */
    int64_t slice_ms;       /* 0: `count` slices, each of the whole range */
    uint64_t counts[SLICE_COUNTS];
    char *slices;
    uint32_t count;
    int64_t saved_ns;
};

/*
 * Zeroed except for path, question, range, slice_ms and a count, which are as requested. If the
 * file exists, the range and the rest are read from it. ERR_INPUT: too many slices, or the file
 * belongs to another question; ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err slice_state_load(struct slice_state *state, struct why *why);
void slice_state_fini(struct slice_state *state);
/* Writes it durably, at most once a second unless `now`. */
MUST_CHECK enum err slice_state_save(struct slice_state *state, bool now, struct why *why);

/* Returns the times of a slice: slices begin at multiples of their length, so that days are
 * those of UTC. */
void slice_state_times(const struct slice_state *state, uint32_t slice, int64_t *ret_min_ms,
                       int64_t *ret_max_ms);
/* Returns the number of slices in one of these states. */
uint32_t slice_state_in(const struct slice_state *state, const char *states);

/* --- an import -------------------------------------------------------------------------------- */

/*
 *     firekeep import 2
 *     to http://127.0.0.1:9201
 *     tenant team-a
 *     file 12000 3 part 881234 1f2e3d4c5b6a7988 metrics.om.gz
 *
 * A file's line has: lines (or records) done, invalid ones among them, part|done, the file's bytes
 * and a hash of its beginning, its name as given. Only what the target has acknowledged counts, and
 * not a last line without a line feed. A file is not done if its end is missing. A file that has
 * grown is continued after the lines read; one whose beginning has changed is refused.
 */
enum { RESUME_BYTES_MAX = 64 << 20 };

struct resume_file {
    const char *path;
    uint64_t lines;
    uint64_t bad;
    bool done;
    uint64_t bytes; /* size, and a hash of the beginning; 0 if not a regular file */
    uint64_t begin;
};

struct resume {
    const char *path; /* file of the progress; NULL if it is not saved */
    const char *target;
    const char *tenant; /* "": not given */
    struct resume_file *files;
    uint32_t file_count;
    int64_t saved_ns;
};

/*
 * Fills lines, bad and done of files that are in the file at `path`; OK also if that does not
 * exist. ERR_INPUT: it is not a progress file, belongs to another target, or one of its files was
 * replaced; ERR_IO.
 */
MUST_CHECK enum err resume_load(struct resume *resume, struct why *why);

/* Writes it durably, at most once a second unless `now`. */
MUST_CHECK enum err resume_save(struct resume *resume, bool now, struct why *why);

/*
 * Reads the text of a progress file, of import or export, into `to`, which must have a limit above
 * the size (otherwise ERR_INPUT), and ends it with a NUL; ERR_MISSING. The second function writes
 * it, durably and as a whole.
 */
MUST_CHECK enum err resume_text_read(const char *path, struct buf *to, struct why *why);
MUST_CHECK enum err resume_text_write(const char *path, struct bytes text, struct why *why);

/* Allows one run at a time: locks `path`.lock, which is made and stays, until the process ends.
 * OK without a path. ERR_AGAIN: another run has locked it; ERR_INPUT, ERR_IO. */
MUST_CHECK enum err resume_lock(const char *path, struct why *why);

#endif
