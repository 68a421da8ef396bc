/*
 * flags.h - flags of all commands but serve: a table for "--name=value" or "--name value", "-o" for
 * those with a letter, with positional words between them, and "--" before words that look like
 * flags.
 */
#ifndef CLI_LIB_FLAGS_H
#define CLI_LIB_FLAGS_H

#include "base/buf.h"
#include "base/err.h"

enum flag_kind {
    FLAG_SWITCH,   /* bool */
    FLAG_TEXT,     /* const char *; the last of repeated flags counts */
    FLAG_TEXTS,    /* struct flag_texts; all repeated flags count */
    FLAG_COUNT,    /* uint64_t */
    FLAG_DURATION, /* int64_t, nanoseconds */
    FLAG_TIME,     /* struct flag_time */
    FLAG_CHOICE,   /* int: index of the choices */
    FLAG_REMOVED,  /* is refused; the help says what replaces it, and is not printed */
};

enum { FLAG_TEXTS_MAX = 64 };

struct flag_texts {
    const char *at[FLAG_TEXTS_MAX];
    uint32_t count;
};

/* A point in time, as given and as parsed. */
struct flag_time {
    const char *word; /* NULL: not given */
    int64_t ms;
};

struct flag {
    const char *name; /* without hyphens; NULL ends the table */
    char letter;      /* 0: no letter */
    enum flag_kind kind;
    size_t at;                  /* offset of the field in the command's struct */
    const char *what;           /* the form of a value, "FILE" */
    const char *help;           /* one sentence, lower case, no full stop */
    const char *const *choices; /* for FLAG_CHOICE; ends at a NULL */
};

/* A row of the table: a flag of earlier versions. */
#define REMOVED_FLAG(name, advice) {name, 0, FLAG_REMOVED, 0, NULL, advice}

/* Parses the words after the command into the fields of `to`. Positional words are moved to the
 * front of `words`, and counted. ERR_INPUT: `why` says what is invalid. */
MUST_CHECK enum err flags_parse(const struct flag *flags, void *to, int count, char **words,
                                int *ret_word_count, struct why *why);

/* Appends the lines of `help CMD`. */
void flags_help(const struct flag *flags, struct buf *to);

#endif
