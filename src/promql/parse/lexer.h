/*
 * lexer.h - splits PromQL into tokens; positions and words of errors are those of Prometheus.
 */
#ifndef PROMQL_PARSE_LEXER_H
#define PROMQL_PARSE_LEXER_H

#include "base/buf.h"

enum token_type {
    TOKEN_END,
    TOKEN_ERROR, /* the lexer's `error` has the sentence; TOKEN_END follows */
    TOKEN_EQUAL,
    TOKEN_COMMA,
    TOKEN_COLON,
    TOKEN_DURATION,
    TOKEN_IDENTIFIER,
    TOKEN_METRIC_IDENTIFIER, /* an identifier with a colon */
    TOKEN_NUMBER,
    TOKEN_STRING, /* with its quotes */
    TOKEN_LEFT_BRACE,
    TOKEN_RIGHT_BRACE,
    TOKEN_LEFT_BRACKET,
    TOKEN_RIGHT_BRACKET,
    TOKEN_LEFT_PAREN,
    TOKEN_RIGHT_PAREN,

    TOKEN_ADD, /* operators from here */
    TOKEN_SUB,
    TOKEN_MUL,
    TOKEN_DIV,
    TOKEN_MOD,
    TOKEN_POW,
    TOKEN_ATAN2,
    TOKEN_EQ,
    TOKEN_NE,
    TOKEN_LE,
    TOKEN_LT,
    TOKEN_GE,
    TOKEN_GT,
    TOKEN_TRIM_UPPER, /* </ */
    TOKEN_TRIM_LOWER, /* >/ */
    TOKEN_AND,
    TOKEN_OR,
    TOKEN_UNLESS,
    TOKEN_MATCH_REGEX,
    TOKEN_MATCH_NOT_REGEX,
    TOKEN_AT,

    TOKEN_SUM, /* aggregations from here */
    TOKEN_AVG,
    TOKEN_COUNT,
    TOKEN_MIN,
    TOKEN_MAX,
    TOKEN_GROUP,
    TOKEN_STDDEV,
    TOKEN_STDVAR,
    TOKEN_TOPK,
    TOKEN_BOTTOMK,
    TOKEN_COUNT_VALUES,
    TOKEN_QUANTILE,
    TOKEN_LIMITK,
    TOKEN_LIMIT_RATIO,

    TOKEN_OFFSET, /* keywords from here */
    TOKEN_SMOOTHED,
    TOKEN_ANCHORED,
    TOKEN_BY,
    TOKEN_WITHOUT,
    TOKEN_ON,
    TOKEN_IGNORING,
    TOKEN_GROUP_LEFT,
    TOKEN_GROUP_RIGHT,
    TOKEN_FILL,
    TOKEN_FILL_LEFT,
    TOKEN_FILL_RIGHT,
    TOKEN_BOOL,

    TOKEN_START, /* words before () */
    TOKEN_STOP,
    TOKEN_STEP,
    TOKEN_MIN_OF,
    TOKEN_MAX_OF,
    TOKEN_RANGE,
    TOKEN_TYPE_COUNT
};

struct promql_token {
    enum token_type type;
    uint32_t at; /* byte of the text */
    struct bytes text;
};

enum lexer_mode { LEX_ORDINARY, LEX_DURATION, LEX_ENDED };

struct lexer {
    struct bytes input;
    uint32_t at;    /* byte of the next character */
    uint32_t start; /* byte of the token being read */
    enum lexer_mode mode;
    uint32_t paren_depth;
    bool brace_open;
    bool bracket_open;
    bool got_colon;    /* since a bracket was opened */
    bool got_duration; /* seen in the whole text */
    struct buf *error; /* written at most once */
};

/* Comments are skipped. `input` is shorter than 4 GiB. */
void lexer_init(struct lexer *lexer, struct bytes input, struct buf *error);
struct promql_token lexer_next(struct lexer *lexer);

/* Reads a number. Returns what is wrong with it, or NULL. 0x1f, 017 and 1_000 are integers. */
const char *lexer_number(struct bytes text, double *ret);

static inline bool
token_is_operator(enum token_type type)
{
    return type >= TOKEN_ADD && type <= TOKEN_AT;
}

static inline bool
token_is_aggregation(enum token_type type)
{
    return type >= TOKEN_SUM && type <= TOKEN_LIMIT_RATIO;
}

static inline bool
token_is_comparison(enum token_type type)
{
    return type >= TOKEN_EQ && type <= TOKEN_GT;
}

/* True if the result is another metric than the operands. */
static inline bool
token_changes_metric(enum token_type type)
{
    return type >= TOKEN_ADD && type <= TOKEN_ATAN2;
}

static inline bool
token_is_set_operator(enum token_type type)
{
    return type == TOKEN_AND || type == TOKEN_OR || type == TOKEN_UNLESS;
}

static inline bool
token_may_name_metric(enum token_type type)
{
    return type == TOKEN_IDENTIFIER || type == TOKEN_METRIC_IDENTIFIER ||
           token_is_aggregation(type) || token_is_set_operator(type) ||
           (type >= TOKEN_OFFSET && type <= TOKEN_WITHOUT) ||
           (type >= TOKEN_FILL && type <= TOKEN_FILL_RIGHT) ||
           (type >= TOKEN_START && type <= TOKEN_RANGE);
}

/* Returns the text of a type; NULL if it has none of its own. */
const char *token_word(enum token_type type);
/* Appends a token as errors name it: identifier "up", <op:+>, "(", end of input. */
void token_describe(const struct promql_token *token, struct buf *to);

#endif
