/*
 * err.h - errors: an enum for programs, and a sentence for people.
 *
 * The enum is small on purpose: it says what a caller can do, and so decides an HTTP status, a
 * retry or a repair. Details for people (path, line, errno text) go into a `struct why`.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_index, args_index) \
    __attribute__((format(printf, format_index, args_index)))

enum err {
    OK = 0,
    ERR_INPUT,       /* the caller's bytes are wrong and will stay so: correct them */
    ERR_LIMIT,       /* larger than a configured limit: send or ask for less */
    ERR_AGAIN,       /* not now: come back later with the same */
    ERR_NOMEM,       /* a budget or the machine is out of memory: come back later */
    ERR_FULL,        /* the device is out of space: come back when there is room */
    ERR_MISSING,     /* the named object does not exist */
    ERR_CORRUPT,     /* the bytes read differ from those that were written: distrust them */
    ERR_IO,          /* the device failed: distrust it */
    ERR_UNSUPPORTED, /* written by a newer version, or a feature this build lacks: leave it alone */
    ERR_CANCELED,    /* the caller gave up or its deadline passed */
    ERR_COUNT
};

/* Returns a stable lower-case word for logs and metrics, never NULL. */
const char *err_word(enum err e);

/* A sentence for people. It is cut to fit, never allocated, and ends in NUL. */
struct why {
    char text[476];
    uint32_t trouble; /* the kind of error, for counters (model/trouble.h); 0 if not set */
};

/* Sets the sentence and resets the kind; `why` may be NULL. Returns `e`, so that a function that
 * fails can end with the call. */
enum err why_set(struct why *why, enum err e, const char *format, ...) PRINTF_LIKE(3, 4);
/* Returns the sentence, or the word of `e` if there is none: some errors, above all of memory, have
 * none. */
const char *why_text(const struct why *why, enum err e);
/* True if the sentence names the path or one below it, as in "cannot open PATH: ...". */
bool why_names(const struct why *why, const char *path);

/* Puts "prefix: " before the sentence, or before the word of `e` if there is none; the kind stays.
 * `why` may be NULL. Returns `e`. */
enum err why_prefix(struct why *why, enum err e, const char *format, ...) PRINTF_LIKE(3, 4);

/* Maps an errno value (positive) to the enum. 0 is OK. */
enum err err_from_errno(int errno_value);

/* The system's text of an errno value; for lacking permission, with advice about the path that the
 * sentence names. */
struct errno_text {
    char text[128];
};
struct errno_text errno_text(int errno_value);

/* Marks an error that is ignored on purpose, with the reason. */
#define err_ignore(e, reason)     \
    do {                          \
        if (e) (void)("" reason); \
    } while (0)

/* Returns the first error: it wins over those of cleaning up. */
static inline enum err
err_first(enum err first, enum err later)
{
    return first ? first : later;
}

#endif
