/*
 * pieces.c - splits a text of the notation into pieces. The meaning of a character depends on
 * whether it is among values, within {{}} or within []. PromQL's lexer reads names and numbers.
 */
#include <assert.h>
#include <stdio.h>
#include <strings.h>

#include "base/text/ascii.h"
#include "base/text/quote.h"
#include "promql/testseries/notation_private.h"

/* --- errors ----------------------------------------------------------------------------------- */

static void
put_place(struct notation_reading *r, uint32_t at)
{
    uint32_t line = r->line, begin = 0;
    for (uint32_t i = 0; i < at && i < r->text.size; i++) {
        if (r->text.at[i] != '\n') continue;
        line++;
        begin = i + 1;
    }
    buf_printf(r->error, "%u:%u: parse error: ", line, at - begin + 1);
}

bool
reading_fail(struct notation_reading *r, uint32_t at, const char *format, ...)
{
    char text[512];
    va_list args;
    if (r->failed) return false;
    r->failed = ERR_INPUT;
    put_place(r, at);
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buf_put_text(r->error, text);
    return false;
}

bool
reading_no_memory(struct notation_reading *r)
{
    if (r->failed) return false;
    r->failed = ERR_NOMEM;
    buf_put_text(r->error, "not enough memory");
    return false;
}

bool
reading_unexpected(struct notation_reading *r)
{
    struct notation_piece p = *piece_peek(r);
    if (r->failed) return false;
    reading_fail(r, p.token.at, "unexpected ");
    if (p.mark == MARK_END || p.mark == MARK_NUMBER || p.mark == MARK_WORD || p.mark == MARK_ADD ||
        p.mark == MARK_SUB) {
        token_describe(&p.token, r->error);
    } else {
        quote_text(r->error, p.token.text);
    }
    if (r->context != NULL) buf_printf(r->error, " in %s", r->context);
    if (r->expected != NULL) buf_printf(r->error, ", expected %s", r->expected);
    return false;
}

static struct notation_piece
bad(struct notation_reading *r, const char *text, uint32_t at)
{
    unsigned bytes;
    struct bytes rest = bytes_of(r->text.at + at, r->text.size - at);
    if (!r->failed) {
        reading_fail(r, at, "%s", text);
        quote_rune(r->error, rest.size == 0 ? RUNE_NONE : rune_get(rest.at, rest.size, &bytes));
    }
    return (struct notation_piece){.mark = MARK_BAD};
}

/* --- pieces ----------------------------------------------------------------------------------- */

/* Takes so many bytes as a piece. */
static struct notation_piece
piece_of(struct notation_reading *r, enum mark mark, enum token_type type, uint32_t size)
{
    assert(r->at + size <= r->text.size);
    struct notation_piece p = {mark, {type, r->at, bytes_of(r->text.at + r->at, size)}};
    r->at += size;
    return p;
}

/* Takes a token of PromQL's lexer, or reports its error. */
static struct notation_piece
take_token(struct notation_reading *r, enum mark mark)
{
    struct lexer lexer;
    struct buf error;
    buf_init(&error, r->arena->budget, NOTATION_BYTES_MAX);
    lexer_init(&lexer, r->text, &error);
    lexer.at = r->at;
    struct promql_token t = mark == MARK_NUMBER ? lexer_series_number(&lexer) : lexer_next(&lexer);
    assert(lexer.at <= r->text.size);
    r->at = lexer.at;
    struct notation_piece p = {t.type == TOKEN_NUMBER ? MARK_NUMBER : mark, t};
    if (t.type == TOKEN_ERROR) {
        p.mark = MARK_BAD;
        if (!r->failed) {
            reading_fail(r, t.at, "%s", "");
            buf_put_bytes(r->error, buf_bytes(&error));
        }
    }
    buf_fini(&error);
    return p;
}

static bool
is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool
is_alpha(uint8_t c)
{
    return c == '_' || ascii_is_letter(c);
}

/* Takes any number of spaces, of which the piece has the first one, as in Prometheus. */
static struct notation_piece
take_space(struct notation_reading *r)
{
    struct notation_piece p = piece_of(r, MARK_SPACE, TOKEN_ERROR, 1);
    while (r->at < r->text.size && is_space(r->text.at[r->at])) {
        r->at++;
    }
    return p;
}

static uint32_t
alpha_run(const struct notation_reading *r)
{
    uint32_t size = 0;
    while (r->at + size < r->text.size && is_alpha(r->text.at[r->at + size])) {
        size++;
    }
    return size;
}

static bool
is_number_word(const uint8_t *at, uint32_t size)
{
    return size == 3 && (strncasecmp((const char *)at, "inf", 3) == 0 ||
                         strncasecmp((const char *)at, "nan", 3) == 0);
}

static struct notation_piece
among_values(struct notation_reading *r, uint8_t c, uint8_t after)
{
    if (c == '{' && after == '{') return piece_of(r, MARK_OPEN, TOKEN_ERROR, 2);
    if (c == '+') return piece_of(r, MARK_ADD, TOKEN_ADD, 1);
    if (c == '-') return piece_of(r, MARK_SUB, TOKEN_SUB, 1);
    if (c == 'x') return piece_of(r, MARK_TIMES, TOKEN_ERROR, 1);
    if (c == '_') return piece_of(r, MARK_NONE, TOKEN_ERROR, 1);
    if (ascii_is_digit(c) || (c == '.' && ascii_is_digit(after))) {
        return take_token(r, MARK_NUMBER);
    }
    if (is_alpha(c)) return take_token(r, MARK_WORD);
    return bad(r, "unexpected character in series sequence: ", r->at);
}

/* Takes a key, a hint, Inf or NaN. */
static struct notation_piece
histogram_words(struct notation_reading *r, uint32_t size)
{
    struct bytes word = bytes_of(r->text.at + r->at, size);
    if (is_number_word(word.at, size)) return piece_of(r, MARK_NUMBER, TOKEN_NUMBER, size);
    enum known_word known = histogram_word(word);
    uint8_t after = r->at + size < r->text.size ? word.at[size] : 0;
    if (known == WORD_HINT || (known == WORD_KEY && after == ':')) {
        return piece_of(r, MARK_WORD, TOKEN_IDENTIFIER, size);
    }
    if (known == WORD_KEY) {
        reading_fail(r, r->at, "missing `:` for histogram descriptor");
    } else {
        reading_fail(r, r->at, "bad histogram descriptor found: \"%.*s\"", (int)size,
                     (const char *)word.at);
    }
    return (struct notation_piece){.mark = MARK_BAD};
}

static struct notation_piece
in_histogram(struct notation_reading *r, uint8_t c, uint8_t after)
{
    uint32_t size = alpha_run(r);
    if (size > 0) return histogram_words(r, size);
    if (c == ':') return piece_of(r, MARK_COLON, TOKEN_ERROR, 1);
    if (c == '-') return piece_of(r, MARK_SUB, TOKEN_SUB, 1);
    if (ascii_is_digit(c)) return take_token(r, MARK_NUMBER);
    if (c == '[') return piece_of(r, MARK_LEFT_BRACKET, TOKEN_ERROR, 1);
    if (c == '}' && after == '}') return piece_of(r, MARK_CLOSE, TOKEN_ERROR, 2);
    return bad(r, "histogram description incomplete unexpected: ", r->at);
}

static struct notation_piece
in_list(struct notation_reading *r, uint8_t c)
{
    if (c == '-') return piece_of(r, MARK_SUB, TOKEN_SUB, 1);
    if (ascii_is_digit(c)) return take_token(r, MARK_NUMBER);
    if (c == ']') return piece_of(r, MARK_RIGHT_BRACKET, TOKEN_ERROR, 1);
    uint32_t size = alpha_run(r);
    if (is_number_word(r->text.at + r->at, size)) {
        return piece_of(r, MARK_NUMBER, TOKEN_NUMBER, size);
    }
    if (size > 0) return piece_of(r, MARK_WORD, TOKEN_IDENTIFIER, size);
    return bad(r, "invalid character in buckets description: ", r->at);
}

const struct notation_piece *
piece_peek(struct notation_reading *r)
{
    if (r->has_piece) return &r->piece;
    r->has_piece = true;
    uint8_t c = r->at < r->text.size ? r->text.at[r->at] : 0;
    uint8_t after = r->at + 1 < r->text.size ? r->text.at[r->at + 1] : 0;
    if (r->failed)
        r->piece = (struct notation_piece){.mark = MARK_BAD};
    else if (r->at == r->text.size && r->within == WITHIN_VALUES)
        r->piece = piece_of(r, MARK_END, TOKEN_END, 0);
    else if (is_space(c))
        r->piece = take_space(r);
    else if (r->within == WITHIN_LIST)
        r->piece = in_list(r, c);
    else if (r->within == WITHIN_HISTOGRAM)
        r->piece = in_histogram(r, c, after);
    else
        r->piece = among_values(r, c, after);
    return &r->piece;
}

struct notation_piece
piece_take(struct notation_reading *r)
{
    struct notation_piece p = *piece_peek(r);
    r->has_piece = false;
    r->taken_at = p.token.at;
    return p;
}

bool
piece_accept(struct notation_reading *r, enum mark mark)
{
    if (r->failed || piece_peek(r)->mark != mark) return false;
    piece_take(r);
    return true;
}

/* --- numbers ---------------------------------------------------------------------------------- */

bool
piece_number(struct notation_reading *r, double *ret)
{
    if (piece_peek(r)->mark != MARK_NUMBER) return reading_unexpected(r);
    struct notation_piece p = piece_take(r);
    const char *wrong = lexer_number(p.token.text, ret);
    if (wrong == NULL) return true;
    reading_fail(r, p.token.at, "error parsing number: strconv.ParseFloat: parsing ");
    quote_text(r->error, p.token.text);
    buf_put_text(r->error, wrong);
    return false;
}

bool
piece_count(struct notation_reading *r, uint64_t *ret)
{
    uint64_t count = 0;
    bool fits = true, digits = true;
    if (piece_peek(r)->mark != MARK_NUMBER) return reading_unexpected(r);
    struct notation_piece p = piece_take(r);
    for (size_t i = 0; i < p.token.text.size; i++) {
        uint8_t c = p.token.text.at[i];
        digits &= ascii_is_digit(c);
        fits &= !__builtin_mul_overflow(count, 10, &count);
        fits &= !__builtin_add_overflow(count, (uint64_t)(c - '0'), &count);
    }
    *ret = count;
    if (digits && fits) return true;
    reading_fail(r, p.token.at, "invalid repetition in series values: strconv.ParseUint: parsing ");
    quote_text(r->error, p.token.text);
    buf_put_text(r->error, digits ? ": value out of range" : ": invalid syntax");
    return false;
}
