/*
 * import_resume.h - how far an import has come, in a small text file that is replaced as a whole:
 *
 *     firekeep import 1
 *     to http://127.0.0.1:9201
 *     tenant team-a
 *     file 12000 3 part metrics.om.gz     lines (or records) done, bad ones among them, part|done
 *
 * Only what the target has acknowledged counts. Files are known by the names they were given with.
 */
#ifndef APP_IMPORT_RESUME_H
#define APP_IMPORT_RESUME_H

#include "base/buf.h"
#include "base/err.h"

enum { RESUME_BYTES_MAX = 64 << 20 };

struct resume_file {
    const char *path;
    uint64_t lines;
    uint64_t bad;
    bool done;
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
 * such file. ERR_INPUT: it is no such file, or belongs to another target; ERR_IO.
 */
MUST_CHECK enum err resume_load(struct resume *resume, struct why *why);

/* Writes it durably, at most once a second unless `now`. */
MUST_CHECK enum err resume_save(struct resume *resume, bool now, struct why *why);

#endif
