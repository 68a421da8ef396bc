/* notation_private.h - a text of the notation that is being read. Private to promql/testseries/. */
#ifndef PROMQL_NOTATION_PRIVATE_H
#define PROMQL_NOTATION_PRIVATE_H

#include "promql/parse/lexer.h"
#include "promql/testseries/notation.h"

/* The kinds of pieces. */
enum mark {
    MARK_END,
    MARK_SPACE,
    MARK_ADD,
    MARK_SUB,
    MARK_TIMES,
    MARK_NONE, /* _ */
    MARK_NUMBER,
    MARK_WORD,
    MARK_OPEN,  /* {{, and what occurs only after it: */
    MARK_CLOSE, /* }} */
    MARK_COLON,
    MARK_LEFT_BRACKET,
    MARK_RIGHT_BRACKET,
    MARK_BAD /* the error was reported */
};

struct notation_piece {
    enum mark mark;
    struct promql_token token; /* text and position; the type of words, numbers and signs */
};

/* The place of the next piece, which decides what its characters mean. */
enum within { WITHIN_VALUES, WITHIN_HISTOGRAM, WITHIN_LIST /* part of a histogram's text */ };

struct notation_reading {
    struct bytes text;
    uint32_t line; /* number of the first line */
    uint32_t at;
    struct arena *arena;
    struct buf *error;
    enum err failed; /* `error` has the sentence, and all functions return */
    struct notation_piece piece;
    bool has_piece;                 /* `piece` is the next one */
    uint32_t taken_at;              /* position of the last piece that was taken */
    const char *context, *expected; /* words for errors; may be NULL */
    enum within within;
};

/* Sets the error, unless there is one. These three return false. */
bool reading_fail(struct notation_reading *r, uint32_t at, const char *format, ...)
    PRINTF_LIKE(3, 4);
bool reading_no_memory(struct notation_reading *r);
/* Reports the next piece in the context. */
bool reading_unexpected(struct notation_reading *r);

/* --- pieces.c --------------------------------------------------------------------------------- */

const struct notation_piece *piece_peek(struct notation_reading *r);
struct notation_piece piece_take(struct notation_reading *r);
bool piece_accept(struct notation_reading *r, enum mark mark);
/* Takes a number without a sign. False, with an error, if it is not one. */
bool piece_number(struct notation_reading *r, double *ret);
/* piece_number() for a whole number. */
bool piece_count(struct notation_reading *r, uint64_t *ret);

/* --- histograms.c ----------------------------------------------------------------------------- */

enum known_word { WORD_UNKNOWN, WORD_KEY, WORD_HINT };
enum known_word histogram_word(struct bytes word);

/* Reads a histogram from after "{{" to after "}}". */
bool histogram_read(struct notation_reading *r, const struct fhist **ret, bool *ret_has_hint);
/* False, with an error, if `more` cannot be added to `to` repeatedly. */
bool histogram_adds(struct notation_reading *r, const struct fhist *to, const struct fhist *more);

#endif
