/*
 * import_resume.h - how far an import has come, in a small text file that is replaced as a whole:
 *
 *     firekeep import 2
 *     to http://127.0.0.1:9201
 *     tenant team-a
 *     file 12000 3 part 881234 1f2e3d4c5b6a7988 metrics.om.gz
 *
 * which is: lines (or records) done, bad ones among them, part|done, the file's bytes and a hash of
 * its begin, its name as it was given. Only what the target has acknowledged counts, and no last
 * line without a line feed. A file is not done if its end is missing. A file that has grown since
 * is continued after what was read; one whose begin has changed is refused.
 */
#ifndef CLI_LIB_IMPORT_RESUME_H
#define CLI_LIB_IMPORT_RESUME_H

#include "base/buf.h"
#include "base/err.h"
#include "sys/env.h"

enum { RESUME_BYTES_MAX = 64 << 20 };

struct resume_file {
    const char *path;
    uint64_t lines;
    uint64_t bad;
    bool done;
    uint64_t bytes; /* of the file, and a hash of its begin; 0 of what is not a file */
    uint64_t begin;
};

struct resume {
    const char *path; /* NULL: nothing is kept */
    const char *target;
    const char *tenant; /* "" if none was said */
    struct resume_file *files;
    uint32_t file_count;
    int64_t saved_ns;
};

/*
 * Fills lines, bad and done of those files that the file at `path` knows; OK also if there is no
 * such file. ERR_INPUT: it is no such file, belongs to another target, or speaks of a file that is
 * another one now; ERR_IO.
 */
MUST_CHECK enum err resume_load(struct resume *resume, struct why *why);

/* Writes it durably, at most once a second unless `now`. */
MUST_CHECK enum err resume_save(struct resume *resume, bool now, struct why *why);

/*
 * Such a file's text, of import or export: all of it, ended by a NUL, into `to`, whose limit
 * is above the size (else ERR_INPUT); ERR_MISSING. And back, durably and as a whole.
 */
MUST_CHECK enum err resume_text_read(const char *path, struct buf *to, struct why *why);
MUST_CHECK enum err resume_text_write(const char *path, struct bytes text, struct why *why);

/* One run at a time: locks `path`.lock, which is made beside and stays, until the process ends.
 * OK without a path. ERR_AGAIN: another run has it; ERR_INPUT, ERR_IO. */
MUST_CHECK enum err resume_lock(const char *path, struct why *why);

/*
 * One run at a time: a lock on `path`.lock, which is made beside, until the release, which removes
 * it; one that was left behind is in nobody's way. Nothing is held without a path, and `hold` may
 * be released that is zeroed. ERR_INPUT: another run holds it; ERR_IO.
 */
struct resume_hold {
    struct file lock;
    bool held;
};
MUST_CHECK enum err resume_take(const char *path, struct resume_hold *ret, struct why *why);
void resume_release(struct resume_hold *hold);

#endif
