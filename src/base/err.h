/*
 * err.h - what a caller can do about a failure, and the sentence a person reads about it.
 *
 * The enum is small on purpose: it decides an HTTP status, a retry or a repair. Everything a person
 * wants to know besides (path, line, errno text) goes into a `struct why`.
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
    ERR_INPUT,       /* the caller's bytes are wrong and will stay so: mend them */
    ERR_LIMIT,       /* larger than a configured limit: send or ask for less */
    ERR_AGAIN,       /* not now: come back later with the same */
    ERR_NOMEM,       /* a budget or the machine is out of memory: come back later */
    ERR_FULL,        /* the device is out of space: come back when there is room */
    ERR_MISSING,     /* what was named does not exist */
    ERR_CORRUPT,     /* the bytes read are not what was written: distrust them */
    ERR_IO,          /* the device failed: distrust it */
    ERR_UNSUPPORTED, /* written by a newer version, or a feature this build lacks: leave it alone */
    ERR_CANCELED,    /* the caller gave up or its deadline passed */
    ERR_COUNT
};

/* A stable lower-case word for logs and metrics, never NULL. */
const char *err_word(enum err e);

/* The sentence for people. Truncated, never allocated; always NUL-terminated. */
struct why {
    char text[476];
    uint32_t trouble; /* of which kind, for those who count them (model/trouble.h); 0: not said */
};

/* Writes the sentence, and that nothing is said of its kind; `why` may be NULL. Returns `e`, so
 * that a failing function ends with it. */
enum err why_set(struct why *why, enum err e, const char *format, ...) PRINTF_LIKE(3, 4);
/* The sentence, or the word of `e` without one: some errors, memory's above all, have none. */
const char *why_text(const struct why *why, enum err e);
/* True if the sentence names that path, or one below it, as in "cannot open PATH: ...": it needs
 * not be said again. */
bool why_names(const struct why *why, const char *path);

/*
 * Puts "prefix: " before the sentence that is there, whose kind stays, or before the word of `e` if
 * there is none. `why` may be NULL. Returns `e`.
 */
enum err why_prefix(struct why *why, enum err e, const char *format, ...) PRINTF_LIKE(3, 4);

/* Maps an errno value (positive) to the enum. 0 is OK. */
enum err err_from_errno(int errno_value);

/* The system's words for it; with what to do if the path in the same sentence lacks permission. */
struct errno_text {
    char text[128];
};
struct errno_text errno_text(int errno_value);

/* Says aloud that an error is not acted upon, and why that is right. */
#define err_ignore(e, reason)     \
    do {                          \
        if (e) (void)("" reason); \
    } while (0)

/* The first error wins over those met while cleaning up. */
static inline enum err
err_first(enum err first, enum err later)
{
    return first ? first : later;
}

#endif
