/*
 * lexer.c - see lexer.h.
 *
 * Tokens depend on the context: within braces there are no keywords; after "[" a duration is
 * expected, and until one has come other characters are refused than after it. The texts of errors
 * and their positions are those of Prometheus' lexer (promql/parser/lex.go), also where an error
 * replaces the token that it is about.
 *
 * Invariant: start <= at <= size of the input.
 */
#include "promql/parse/lexer.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>

#include "base/text/hex.h"
#include "base/text/quote.h"
#include "base/text/utf8.h"
#include "wire/number.h"

static const char *const words[TOKEN_TYPE_COUNT] = {
    [TOKEN_EQUAL] = "=",
    [TOKEN_COMMA] = ",",
    [TOKEN_COLON] = ":",
    [TOKEN_LEFT_BRACE] = "{",
    [TOKEN_RIGHT_BRACE] = "}",
    [TOKEN_LEFT_BRACKET] = "[",
    [TOKEN_RIGHT_BRACKET] = "]",
    [TOKEN_LEFT_PAREN] = "(",
    [TOKEN_RIGHT_PAREN] = ")",
    [TOKEN_ADD] = "+",
    [TOKEN_SUB] = "-",
    [TOKEN_MUL] = "*",
    [TOKEN_DIV] = "/",
    [TOKEN_MOD] = "%",
    [TOKEN_POW] = "^",
    [TOKEN_ATAN2] = "atan2",
    [TOKEN_EQ] = "==",
    [TOKEN_NE] = "!=",
    [TOKEN_LE] = "<=",
    [TOKEN_LT] = "<",
    [TOKEN_GE] = ">=",
    [TOKEN_GT] = ">",
    [TOKEN_TRIM_UPPER] = "</",
    [TOKEN_TRIM_LOWER] = ">/",
    [TOKEN_AND] = "and",
    [TOKEN_OR] = "or",
    [TOKEN_UNLESS] = "unless",
    [TOKEN_MATCH_REGEX] = "=~",
    [TOKEN_MATCH_NOT_REGEX] = "!~",
    [TOKEN_AT] = "@",
    [TOKEN_SUM] = "sum",
    [TOKEN_AVG] = "avg",
    [TOKEN_COUNT] = "count",
    [TOKEN_MIN] = "min",
    [TOKEN_MAX] = "max",
    [TOKEN_GROUP] = "group",
    [TOKEN_STDDEV] = "stddev",
    [TOKEN_STDVAR] = "stdvar",
    [TOKEN_TOPK] = "topk",
    [TOKEN_BOTTOMK] = "bottomk",
    [TOKEN_COUNT_VALUES] = "count_values",
    [TOKEN_QUANTILE] = "quantile",
    [TOKEN_LIMITK] = "limitk",
    [TOKEN_LIMIT_RATIO] = "limit_ratio",
    [TOKEN_OFFSET] = "offset",
    [TOKEN_SMOOTHED] = "smoothed",
    [TOKEN_ANCHORED] = "anchored",
    [TOKEN_BY] = "by",
    [TOKEN_WITHOUT] = "without",
    [TOKEN_ON] = "on",
    [TOKEN_IGNORING] = "ignoring",
    [TOKEN_GROUP_LEFT] = "group_left",
    [TOKEN_GROUP_RIGHT] = "group_right",
    [TOKEN_FILL] = "fill",
    [TOKEN_FILL_LEFT] = "fill_left",
    [TOKEN_FILL_RIGHT] = "fill_right",
    [TOKEN_BOOL] = "bool",
    [TOKEN_START] = "start",
    [TOKEN_STOP] = "end",
    [TOKEN_STEP] = "step",
    [TOKEN_MIN_OF] = "min_of",
    [TOKEN_MAX_OF] = "max_of",
    [TOKEN_RANGE] = "range",
};

const char *
token_word(enum token_type type)
{
    return words[type];
}

static void
put_token(const struct promql_token *t, struct buf *to)
{
    enum { SHOWN = 10 };
    int size = (int)t->text.size;
    const char *at = (const char *)t->text.at;
    if (t->type == TOKEN_IDENTIFIER || t->type == TOKEN_METRIC_IDENTIFIER)
        quote_text(to, t->text);
    else if (t->type >= TOKEN_OFFSET && t->type <= TOKEN_BOOL)
        buf_printf(to, "<%.*s>", size, at);
    else if (token_is_operator(t->type))
        buf_printf(to, "<op:%.*s>", size, at);
    else if (token_is_aggregation(t->type))
        buf_printf(to, "<aggr:%.*s>", size, at);
    else if (size > SHOWN) {
        size_t shown = 0;
        for (unsigned i = 0, bytes; i < SHOWN; i++, shown += bytes)
            rune_get(t->text.at + shown, t->text.size - shown, &bytes);
        quote_text(to, bytes_of(t->text.at, shown));
        buf_put_text(to, "...");
    } else
        quote_text(to, t->text);
}

void
token_describe(const struct promql_token *token, struct buf *to)
{
    static const char *const kinds[] = {
        [TOKEN_DURATION] = "duration ",
        [TOKEN_IDENTIFIER] = "identifier ",
        [TOKEN_METRIC_IDENTIFIER] = "metric identifier ",
        [TOKEN_NUMBER] = "number ",
        [TOKEN_STRING] = "string ",
    };
    if (token->type == TOKEN_END) {
        buf_put_text(to, "end of input");
        return;
    }
    if (words[token->type] == NULL) buf_put_text(to, kinds[token->type]);
    put_token(token, to);
}

/* --- characters ------------------------------------------------------------------------------- */

void
lexer_init(struct lexer *lexer, struct bytes input, struct buf *error)
{
    *lexer = (struct lexer){.input = input, .error = error};
}

/* The next character; RUNE_NONE at the end. */
static int32_t
peek_wide(const struct lexer *x, unsigned *ret_bytes)
{
    *ret_bytes = 0;
    if (x->at >= x->input.size) return RUNE_NONE;
    return rune_get(x->input.at + x->at, x->input.size - x->at, ret_bytes);
}

static int32_t
lexer_peek_char(const struct lexer *x)
{
    unsigned bytes;
    return peek_wide(x, &bytes);
}

static int32_t
lexer_take_char(struct lexer *x)
{
    unsigned bytes;
    int32_t c = peek_wide(x, &bytes);
    x->at += bytes;
    return c;
}

static bool
is_in(int32_t c, const char *set)
{
    return c > 0 && c < 0x80 && strchr(set, c) != NULL;
}

static bool
accept(struct lexer *x, const char *set)
{
    if (!is_in(lexer_peek_char(x), set)) return false;
    x->at++;
    return true;
}

static bool
is_space(int32_t c)
{
    return is_in(c, " \t\r\n");
}

static bool
is_digit(int32_t c)
{
    return c >= '0' && c <= '9';
}

static bool
is_alpha(int32_t c)
{
    return c == '_' || (c > 0 && c < 0x80 && ascii_is_letter((uint8_t)c));
}

static struct bytes
taken(const struct lexer *x)
{
    assert(x->start <= x->at);
    assert(x->at <= x->input.size);
    return bytes_of(x->input.at + x->start, x->at - x->start);
}

static struct promql_token
emit(struct lexer *x, enum token_type type)
{
    struct promql_token t = {type, x->start, taken(x)};
    x->start = x->at;
    return t;
}

/* Ends with an error at the token being read; after emit() it is at the next token. */
static struct promql_token
lexer_fail(struct lexer *x, const char *text)
{
    x->mode = LEX_ENDED;
    buf_put_text(x->error, text);
    return (struct promql_token){TOKEN_ERROR, x->start, taken(x)};
}

static struct promql_token
fail_at_rune(struct lexer *x, const char *text, int32_t c)
{
    struct promql_token t = lexer_fail(x, text);
    quote_rune(x->error, c);
    return t;
}

/* --- numbers, durations, strings -------------------------------------------------------------- */

/* Passes a decimal or hexadecimal number, which the parser reads. */
static bool
scan_number(struct lexer *x)
{
    const char *digits = "0123456789";
    uint32_t begin = x->at;
    bool is_hex = accept(x, "0") && accept(x, "xX"), dot = false, exponent = false;
    if (is_hex) {
        accept(x, "_");
        digits = "0123456789abcdefABCDEF";
    }
    accept(x, ".");
    accept(x, digits);
    for (int32_t c = lexer_peek_char(x); is_in(c, digits) || is_in(c, "._eE");
         c = lexer_peek_char(x)) {
        if (!is_in(c, "._eE")) {
            while (accept(x, digits)) {
            }
            continue;
        }
        x->at++;
        if (c == '.') {
            if (dot || accept(x, "_.") || is_hex) return false;
            dot = true;
            continue;
        }
        if (c != '_') {
            if (exponent) return false;
            exponent = true;
            accept(x, "+-");
        }
        if (accept(x, "._eE") || lexer_peek_char(x) == RUNE_NONE) return false;
    }
    if (x->at == begin) return false;
    int32_t after = lexer_peek_char(x);
    return !is_alpha(after) && !is_digit(after);
}

/* Passes the rest of a duration after its first number. */
static bool
scan_duration(struct lexer *x)
{
    if (!accept(x, "smhdwy")) return false;
    accept(x, "s");
    while (is_digit(lexer_peek_char(x))) {
        while (accept(x, "0123456789")) {
        }
        if (!accept(x, "smhdw")) return false;
        accept(x, "s");
    }
    int32_t after = lexer_peek_char(x);
    if (!is_alpha(after) && !is_digit(after)) return true;
    x->at++; /* part of the error's text */
    return false;
}

static struct promql_token
number_or_duration(struct lexer *x)
{
    if (scan_number(x)) return emit(x, TOKEN_NUMBER);
    if (scan_duration(x)) return emit(x, TOKEN_DURATION);
    struct promql_token t = lexer_fail(x, "bad number or duration syntax: ");
    quote_text(x->error, t.text);
    return t;
}

/* Removes single underscores between digits, and after a prefix. */
static bool
drop_underscores(struct bytes text, char *to, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.at[i];
        if (c == '_') {
            bool before = i > 0 && text.at[i - 1] != '_' && text.at[i - 1] != '.';
            bool after = i + 1 < text.size && text.at[i + 1] != '_' && text.at[i + 1] != '.';
            if (!before || !after) return false;
            continue;
        }
        if (n + 1 >= size) return false;
        to[n++] = (char)c;
    }
    to[n] = '\0';
    return true;
}

/* A number that is not an integer, or is too large for one, is read as a float. */
const char *
lexer_number(struct bytes number, double *ret)
{
    char text[512];
    uint64_t bits;
    if (!drop_underscores(number, text, sizeof text)) return ": invalid syntax";
    bool is_hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    bool is_octal = text[0] == '0' && strspn(text, "01234567") == strlen(text);
    char *end = text;
    errno = 0;
    unsigned long long whole = strtoull(text + (is_hex ? 2 : 0), &end, is_hex ? 16 : 8);
    bool fits = errno == 0 && whole <= INT64_MAX && *end == '\0' && end > text + 2 * is_hex;
    if ((is_hex || is_octal) && fits) {
        *ret = (double)whole;
        return NULL;
    }
    if (!is_hex && number_parse(text, strlen(text), &bits)) {
        *ret = bits_double(bits);
        return NULL;
    }
    bool is_range = isinf(strtod(text, &end)) && *end == '\0';
    return is_range ? ": value out of range" : ": invalid syntax";
}

/* Passes the characters after a backslash. False: *ret is an error. */
static bool
pass_escape(struct lexer *x, int32_t quote, struct promql_token *ret)
{
    int32_t c = lexer_take_char(x);
    unsigned count = 0, base = 16;
    uint32_t v = 0;
    if (c == quote || is_in(c, "abfnrtv\\")) return true;
    if (c >= '0' && c <= '7') {
        count = 3;
        base = 8;
    } else if (is_in(c, "xuU")) {
        count = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        c = lexer_take_char(x);
    } else if (c == RUNE_NONE) {
        *ret = lexer_fail(x, "escape sequence not terminated");
        return false;
    } else {
        *ret = lexer_fail(x, "unknown escape sequence ");
        quote_code_point(x->error, c);
        return false;
    }
    uint32_t max = base == 8 || count == 2 ? 0xff : 0x10ffff;
    for (; count > 0; count--) {
        int digit = c < 0 || c > 0x7f ? -1 : hex_digit((uint8_t)c);
        if (digit < 0 || (unsigned)digit >= base) {
            if (c == RUNE_NONE) {
                *ret = lexer_fail(x, "escape sequence not terminated");
                return false;
            }
            *ret = lexer_fail(x, "illegal character ");
            quote_code_point(x->error, c);
            buf_put_text(x->error, " in escape sequence");
            return false;
        }
        v = v * base + (unsigned)digit;
        if (count > 1) c = lexer_take_char(x);
    }
    if (v <= max && (v < 0xd800 || v >= 0xe000)) return true;
    *ret = lexer_fail(x, "escape sequence is an invalid Unicode code point");
    return false;
}

static struct promql_token
string(struct lexer *x, int32_t quote)
{
    for (;;) {
        unsigned bytes;
        int32_t c = peek_wide(x, &bytes);
        struct promql_token failed;
        x->at += bytes;
        if (c == quote) return emit(x, TOKEN_STRING);
        if (c == RUNE_BAD) return lexer_fail(x, "invalid UTF-8 rune");
        if (quote == '`') {
            if (c == RUNE_NONE) return lexer_fail(x, "unterminated raw string");
            continue;
        }
        if (c == RUNE_NONE || c == '\n') return lexer_fail(x, "unterminated quoted string");
        if (c == '\\' && !pass_escape(x, quote, &failed)) return failed;
    }
}

/* --- words ------------------------------------------------------------------------------------ */

static bool
word_is(struct bytes word, const char *text)
{
    return strlen(text) == word.size && strncasecmp((const char *)word.at, text, word.size) == 0;
}

static struct promql_token
keyword_or_identifier(struct lexer *x)
{
    int32_t c = lexer_peek_char(x);
    while (is_alpha(c) || is_digit(c) || c == ':') {
        x->at++;
        c = lexer_peek_char(x);
    }
    struct bytes word = taken(x);
    if (word_is(word, "inf") || word_is(word, "nan")) return emit(x, TOKEN_NUMBER);
    for (enum token_type t = TOKEN_ADD; t < TOKEN_TYPE_COUNT; t++) {
        if (!word_is(word, words[t])) continue;
        bool fills = t == TOKEN_FILL || t == TOKEN_FILL_LEFT || t == TOKEN_FILL_RIGHT;
        size_t next =
            x->at; /* these are keywords only before a parenthesis: metrics have such names */
        while (next < x->input.size && is_space(x->input.at[next]))
            next++;
        bool opens = next < x->input.size && x->input.at[next] == '(';
        return emit(x, fills && !opens ? TOKEN_IDENTIFIER : t);
    }
    bool colon = memchr(word.at, ':', word.size) != NULL;
    return emit(x, colon ? TOKEN_METRIC_IDENTIFIER : TOKEN_IDENTIFIER);
}

/* Reads a word that a duration may have, after its first letter. */
static bool
duration_word(struct lexer *x, struct promql_token *ret)
{
    static const enum token_type types[] = {TOKEN_STEP, TOKEN_RANGE, TOKEN_MIN_OF, TOKEN_MAX_OF};
    while (is_alpha(lexer_peek_char(x)))
        x->at++;
    for (unsigned i = 0; i < sizeof types / sizeof *types; i++) {
        if (!word_is(taken(x), words[types[i]])) continue;
        *ret = emit(x, types[i]);
        return true;
    }
    return false;
}

/* --- modes ------------------------------------------------------------------------------------ */

static struct promql_token
close_paren(struct lexer *x)
{
    struct promql_token t = emit(x, TOKEN_RIGHT_PAREN);
    if (x->paren_depth == 0) return fail_at_rune(x, "unexpected right parenthesis ", ')');
    x->paren_depth--;
    return t;
}

static struct promql_token
open_paren(struct lexer *x)
{
    x->paren_depth++;
    return emit(x, TOKEN_LEFT_PAREN);
}

static struct promql_token
inside_braces(struct lexer *x)
{
    int32_t c = lexer_take_char(x);
    if (c == RUNE_NONE) return lexer_fail(x, "unexpected end of input inside braces");
    if (is_alpha(c)) {
        for (c = lexer_peek_char(x); is_alpha(c) || is_digit(c); c = lexer_peek_char(x))
            x->at++;
        return emit(x, TOKEN_IDENTIFIER);
    }
    switch (c) {
    case ',':
        return emit(x, TOKEN_COMMA);
    case '"':
    case '\'':
    case '`':
        return string(x, c);
    case '=':
        return emit(x, accept(x, "~") ? TOKEN_MATCH_REGEX : TOKEN_EQUAL);
    case '!':
        c = lexer_take_char(x);
        if (c == '~') return emit(x, TOKEN_MATCH_NOT_REGEX);
        if (c == '=') return emit(x, TOKEN_NE);
        return fail_at_rune(x, "unexpected character after '!' inside braces: ", c);
    case '{':
        return fail_at_rune(x, "unexpected left brace ", c);
    case '}':
        x->brace_open = false;
        return emit(x, TOKEN_RIGHT_BRACE);
    default:
        return fail_at_rune(x, "unexpected character inside braces: ", c);
    }
}

/* Signs are the same everywhere outside of braces. */
static enum token_type
sign_of(int32_t c)
{
    static const char signs[] = "+-*/%^"; /* in the order of their tokens */
    return c == ',' ? TOKEN_COMMA : (enum token_type)(TOKEN_ADD + (strchr(signs, c) - signs));
}

/* Reads a token after "[", until a number or a duration has come. */
static struct promql_token
duration(struct lexer *x)
{
    struct promql_token t;
    int32_t c = lexer_take_char(x);
    if (is_digit(c) || (c == '.' && is_digit(lexer_peek_char(x)))) {
        x->at--;
        x->got_duration = true;
        x->mode = LEX_ORDINARY;
        return number_or_duration(x);
    }
    if (is_in(c, "+-*/%^,")) return emit(x, sign_of(c));
    switch (c) {
    case RUNE_NONE:
        return lexer_fail(x, "unexpected end of input in duration expression");
    case ']':
        x->bracket_open = x->got_colon = false;
        x->mode = LEX_ORDINARY;
        return emit(x, TOKEN_RIGHT_BRACKET);
    case ':':
        t = emit(x, TOKEN_COLON);
        if (!x->got_duration)
            return lexer_fail(x, "unexpected colon before duration in duration expression");
        if (x->got_colon) return lexer_fail(x, "unexpected repeated colon in duration expression");
        x->got_colon = true;
        return t;
    case '(':
        return open_paren(x);
    case ')':
        return close_paren(x);
    default:
        if (is_in(c, "sSmMrR") && duration_word(x, &t)) return t;
        return fail_at_rune(x, "unexpected character in duration expression: ", c);
    }
}

static struct promql_token
ordinary(struct lexer *x)
{
    struct promql_token t;
    int32_t c = lexer_take_char(x);
    if (is_digit(c) || (c == '.' && is_digit(lexer_peek_char(x)))) {
        x->at--;
        return number_or_duration(x);
    }
    if (x->bracket_open && c == ':') {
        if (x->got_colon) return fail_at_rune(x, "unexpected colon ", c);
        x->got_colon = true;
        return emit(x, TOKEN_COLON);
    }
    if (x->bracket_open && is_alpha(c)) {
        if (is_in(c, "sSmMrR") && duration_word(x, &t)) return t;
        t = fail_at_rune(x, "unexpected character: ", c);
        buf_put_text(x->error, ", expected ':'");
        return t;
    }
    if (is_alpha(c) || c == ':') {
        x->at--;
        return keyword_or_identifier(x);
    }
    if (is_in(c, "+-*/%^,")) return emit(x, sign_of(c));
    switch (c) {
    case RUNE_NONE:
        if (x->paren_depth > 0) return lexer_fail(x, "unclosed left parenthesis");
        if (x->bracket_open) return lexer_fail(x, "unclosed left bracket");
        x->mode = LEX_ENDED;
        return emit(x, TOKEN_END);
    case '@':
        return emit(x, TOKEN_AT);
    case '=':
        if (accept(x, "=")) return emit(x, TOKEN_EQ);
        if (lexer_peek_char(x) == '~')
            return fail_at_rune(x, "unexpected character after '=': ", '~');
        return emit(x, TOKEN_EQUAL);
    case '!':
        c = lexer_take_char(x);
        if (c == '=') return emit(x, TOKEN_NE);
        return fail_at_rune(x, "unexpected character after '!': ", c);
    case '<':
        if (accept(x, "/")) return emit(x, TOKEN_TRIM_UPPER);
        return emit(x, accept(x, "=") ? TOKEN_LE : TOKEN_LT);
    case '>':
        if (accept(x, "/")) return emit(x, TOKEN_TRIM_LOWER);
        return emit(x, accept(x, "=") ? TOKEN_GE : TOKEN_GT);
    case '"':
    case '\'':
    case '`':
        return string(x, c);
    case '(':
        return open_paren(x);
    case ')':
        return close_paren(x);
    case '{':
        x->brace_open = true;
        return emit(x, TOKEN_LEFT_BRACE);
    case '[':
        if (x->bracket_open) return fail_at_rune(x, "unexpected left bracket ", c);
        x->bracket_open = true;
        x->got_colon = false; /* got_duration stays, as in Prometheus' lexer */
        x->mode = LEX_DURATION;
        return emit(x, TOKEN_LEFT_BRACKET);
    case ']':
        if (!x->bracket_open) return fail_at_rune(x, "unexpected right bracket ", c);
        x->bracket_open = false;
        return emit(x, TOKEN_RIGHT_BRACKET);
    default:
        return fail_at_rune(x, "unexpected character: ", c);
    }
}

static void
skip(struct lexer *x)
{
    for (;;) {
        int32_t c = lexer_peek_char(x);
        if (c == '#' && x->mode == LEX_ORDINARY) {
            while (c != '\n' && c != '\r' && c != RUNE_NONE) {
                lexer_take_char(x);
                c = lexer_peek_char(x);
            }
        } else if (is_space(c)) {
            x->at++;
        } else {
            break;
        }
    }
    x->start = x->at;
}

struct promql_token
lexer_next(struct lexer *x)
{
    if (x->mode == LEX_ENDED) return (struct promql_token){TOKEN_END, x->start, bytes_of(NULL, 0)};
    skip(x);
    if (x->mode == LEX_DURATION) return duration(x);
    return x->brace_open ? inside_braces(x) : ordinary(x);
}
