/*
 * flags.h - the flags of commands other than serve: a table, "--name=value" or "--name value", "-o"
 * for those with a letter, words in between, "--" before words that look like flags.
 */
#ifndef CLI_LIB_FLAGS_H
#define CLI_LIB_FLAGS_H

#include "base/buf.h"
#include "base/err.h"

enum flag_kind {
    FLAG_SWITCH,   /* bool */
    FLAG_TEXT,     /* const char *; of a flag given twice the last one counts */
    FLAG_TEXTS,    /* struct flag_texts: each counts */
    FLAG_COUNT,    /* uint64_t */
    FLAG_DURATION, /* int64_t, nanoseconds */
    FLAG_TIME,     /* struct flag_time */
    FLAG_CHOICE,   /* int: which of the choices */
};

enum { FLAG_TEXTS_MAX = 64 };

struct flag_texts {
    const char *at[FLAG_TEXTS_MAX];
    uint32_t count;
};

/* A point in time, as it was said and as it is. */
struct flag_time {
    const char *word; /* NULL: it was not */
    int64_t ms;
};

struct flag {
    const char *name; /* without hyphens; NULL ends the table */
    char letter;      /* 0: none */
    enum flag_kind kind;
    size_t at;                  /* offset of its field in the command's struct */
    const char *what;           /* a value is, "FILE" */
    const char *help;           /* one sentence, lower case, no full stop */
    const char *const *choices; /* of FLAG_CHOICE; ends at a NULL */
};

/*
 * Reads the words after the command into the fields of `to`. Words that are no flags are moved to
 * the front of `words`, and counted. ERR_INPUT: `why` says what is wrong.
 */
MUST_CHECK enum err flags_parse(const struct flag *flags, void *to, int count, char **words,
                                int *ret_word_count, struct why *why);

/* As `help CMD` shows them. */
void flags_help(const struct flag *flags, struct buf *to);

#endif
