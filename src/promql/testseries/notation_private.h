/* notation_private.h - a text of the notation that is being read. Private to promql/testseries/. */
#ifndef PROMQL_NOTATION_PRIVATE_H
#define PROMQL_NOTATION_PRIVATE_H

#include "promql/parse/lexer.h"
#include "promql/testseries/notation.h"

/* What stands among values. */
enum mark {
    MARK_END,
    MARK_SPACE,
    MARK_ADD,
    MARK_SUB,
    MARK_TIMES,
    MARK_NONE, /* _ */
    MARK_NUMBER,
    MARK_WORD,
    MARK_OPEN,  /* {{, and what is only within: */
    MARK_CLOSE, /* }} */
    MARK_COLON,
    MARK_LEFT_BRACKET,
    MARK_RIGHT_BRACKET,
    MARK_BAD /* what is wrong was told */
};

struct piece {
    enum mark mark;
    struct token token; /* its text and place; the type of words, numbers and signs */
};

struct reading {
    struct bytes text;
    uint32_t line; /* that the first one is said to be */
    uint32_t at;
    struct arena *arena;
    struct buf *error;
    enum err failed; /* `error` says why; everybody returns */
    struct piece piece;
    bool has_piece;                 /* it was looked at */
    uint32_t taken_at;              /* where the piece before it stands */
    const char *context, *expected; /* of what is unexpected; or NULL */
    bool in_histogram, in_list;
};

/* All return false. The first error stays. */
bool reading_fail(struct reading *r, uint32_t at, const char *format, ...) PRINTF_LIKE(3, 4);
bool reading_no_memory(struct reading *r);
/* The piece at hand, in the context. */
bool reading_unexpected(struct reading *r);

/* --- pieces.c --------------------------------------------------------------------------------- */

const struct piece *piece_peek(struct reading *r);
struct piece piece_take(struct reading *r);
bool piece_accept(struct reading *r, enum mark mark);
/* Of a number without sign. False: there is none, or it cannot be read. */
bool piece_number(struct reading *r, double *ret);
/* The same of a whole one. */
bool piece_count(struct reading *r, uint64_t *ret);

/* --- histograms.c ----------------------------------------------------------------------------- */

enum known_word { WORD_UNKNOWN, WORD_KEY, WORD_HINT };
enum known_word histogram_word(struct bytes word);

/* Behind "{{", to behind "}}". */
bool histogram_read(struct reading *r, const struct fhist **ret, bool *ret_has_hint);
/* Whether one can be added to the other, as often as there are repetitions. */
bool histogram_adds(struct reading *r, const struct fhist *to, const struct fhist *more);

#endif
