/*
 * lexer.c - see lexer.h. The parser takes one token at a time.
 *
 *     outside --"{{"--> inside --"}}"--> outside
 *
 * "{{- " removes spaces from the text before it, " -}}" from that after it. A comment fills its
 * delimiters alone and is not a token. Spaces are not tokens either, but a token records if spaces
 * precede it: `.a .b` is not `.a.b`.
 *
 * Invariants: start <= at <= size of the text; `parens` is 0 outside of delimiters, unless the text
 * is over.
 */
#include "template/tree.h"

#include <assert.h>

#include "base/text/quote.h"
#include "base/text/utf8.h"

enum { DELIM_BYTES = 2, MARKER_BYTES = 2, END_OF_TEXT = -1 };

void
tmpl_lexer_init(struct tmpl_lexer *l, struct bytes text, struct tmpl_unicode *unicode,
                struct buf *sentence)
{
    *l = (struct tmpl_lexer){.text = text, .unicode = unicode, .sentence = sentence};
}

static bool
is_space(int32_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool
tmpl_text_at(const struct tmpl_lexer *l, size_t at, const char *what)
{
    size_t size = strlen(what);
    return at + size <= l->text.size && memcmp(l->text.at + at, what, size) == 0;
}

static bool
space_at(const struct tmpl_lexer *l, size_t at)
{
    return at < l->text.size && is_space(l->text.at[at]);
}

/* True at "- " after a left delimiter. */
static bool
trims_left(const struct tmpl_lexer *l, size_t at)
{
    return tmpl_text_at(l, at, "-") && space_at(l, at + 1);
}

/* True at a right delimiter; *ret_trims is true if a marker precedes it. */
static bool
right_delim_at(const struct tmpl_lexer *l, size_t at, bool *ret_trims)
{
    *ret_trims = space_at(l, at) && tmpl_text_at(l, at + 1, "-}}");
    return *ret_trims || tmpl_text_at(l, at, "}}");
}

/* The next character and its size. */
static int32_t
tmpl_peek_char(const struct tmpl_lexer *l, unsigned *ret_bytes)
{
    *ret_bytes = 0;
    if (l->at >= l->text.size) return END_OF_TEXT;
    return rune_get(l->text.at + l->at, l->text.size - l->at, ret_bytes);
}

static int32_t
tmpl_take_char(struct tmpl_lexer *l)
{
    unsigned bytes;
    int32_t c = tmpl_peek_char(l, &bytes);
    l->at += bytes;
    return c;
}

static struct tmpl_token
token_of(struct tmpl_lexer *l, enum tmpl_token_type type, uint32_t begin, uint32_t end)
{
    assert(begin <= end);
    assert(end <= l->text.size);
    struct bytes text = bytes_of(l->text.at + begin, end - begin);
    return (struct tmpl_token){type, begin, l->spaced, text};
}

/* The token from `start` to the position. */
static struct tmpl_token
token(struct tmpl_lexer *l, enum tmpl_token_type type)
{
    return token_of(l, type, l->start, l->at);
}

static struct tmpl_token
fail_written(struct tmpl_lexer *l)
{
    struct tmpl_token t = token(l, TMPL_ERROR);
    t.text = buf_bytes(l->sentence);
    l->over = true;
    l->at = (uint32_t)l->text.size;
    return t;
}

static struct tmpl_token
tmpl_lexer_fail(struct tmpl_lexer *l, const char *sentence)
{
    buf_put_text(l->sentence, sentence);
    return fail_written(l);
}

static struct tmpl_token
fail_character(struct tmpl_lexer *l, const char *before, int32_t c)
{
    buf_put_text(l->sentence, before);
    quote_code_point(l->sentence, c == END_OF_TEXT ? RUNE_NONE : c);
    return fail_written(l);
}

/* --- outside ---------------------------------------------------------------------------------- */

static void
skip_spaces(struct tmpl_lexer *l)
{
    while (space_at(l, l->at))
        l->at++;
}

/* Skips a comment. False: *ret is an error. */
static bool
skip_comment(struct tmpl_lexer *l, struct tmpl_token *ret)
{
    bool trims;
    l->start = l->at;
    const uint8_t *from = l->text.at + l->at + 2, *end = l->text.at + l->text.size;
    const uint8_t *found = memmem(from, (size_t)(end - from), "*/", 2);
    if (found == NULL) {
        *ret = tmpl_lexer_fail(l, "unclosed comment");
        return false;
    }
    l->at = (uint32_t)(found - l->text.at) + 2;
    if (!right_delim_at(l, l->at, &trims)) {
        *ret = tmpl_lexer_fail(l, "comment ends before closing delimiter");
        return false;
    }
    l->at += DELIM_BYTES + (trims ? MARKER_BYTES : 0);
    if (trims) skip_spaces(l);
    return true;
}

/* Takes the text before the next delimiter. False: it is empty, and l->at is at a delimiter. */
static bool
tmpl_take_text(struct tmpl_lexer *l, struct tmpl_token *ret)
{
    const uint8_t *from = l->text.at + l->at;
    size_t left = l->text.size - l->at;
    const uint8_t *found = left == 0 ? NULL : memmem(from, left, "{{", DELIM_BYTES);
    uint32_t end = found == NULL ? (uint32_t)l->text.size : (uint32_t)(found - l->text.at);
    uint32_t begin = l->at, kept = end;
    if (found != NULL && trims_left(l, end + DELIM_BYTES))
        while (kept > begin && is_space(l->text.at[kept - 1]))
            kept--;
    l->at = end;
    if (kept == begin && found != NULL) return false;
    *ret = token_of(l, kept == begin ? TMPL_END_OF_TEXT : TMPL_TEXT, begin, kept);
    return true;
}

static struct tmpl_token
outside(struct tmpl_lexer *l)
{
    struct tmpl_token t;
    for (;;) {
        if (tmpl_take_text(l, &t)) return t;
        l->start = l->at;
        l->at += DELIM_BYTES;
        uint32_t marker = trims_left(l, l->at) ? MARKER_BYTES : 0;
        if (!tmpl_text_at(l, l->at + marker, "/*")) {
            t = token(l, TMPL_LEFT_DELIM);
            l->at += marker;
            l->inside = true;
            l->parens = 0;
            return t;
        }
        l->at += marker;
        if (!skip_comment(l, &t)) return t;
    }
}

/* --- inside ----------------------------------------------------------------------------------- */

/* True if a word may end here. */
static bool
at_terminator(const struct tmpl_lexer *l)
{
    unsigned bytes;
    int32_t c = tmpl_peek_char(l, &bytes);
    if (c == END_OF_TEXT || is_space(c)) return true;
    if (c < 0x80 && strchr(".,|:)(", (int)c) != NULL && c != 0) return true;
    return tmpl_text_at(l, l->at, "}}");
}

/* Takes a word. False: a character follows that may not, and *ret is an error. */
static bool
tmpl_take_word(struct tmpl_lexer *l, struct tmpl_token *ret)
{
    unsigned bytes;
    int32_t c;
    while (tmpl_is_word(l->unicode, c = tmpl_peek_char(l, &bytes)))
        l->at += bytes;
    if (at_terminator(l)) return true;
    *ret = fail_character(l, "bad character ", c);
    return false;
}

static struct tmpl_token
identifier(struct tmpl_lexer *l)
{
    static const struct {
        const char *word;
        enum tmpl_token_type type;
    } keys[] = {{"block", TMPL_BLOCK},
                {"break", TMPL_BREAK},
                {"continue", TMPL_CONTINUE},
                {"define", TMPL_DEFINE},
                {"else", TMPL_ELSE},
                {"end", TMPL_END},
                {"if", TMPL_IF},
                {"nil", TMPL_NIL},
                {"range", TMPL_RANGE},
                {"template", TMPL_TEMPLATE},
                {"with", TMPL_WITH},
                {"true", TMPL_BOOL},
                {"false", TMPL_BOOL}};
    struct tmpl_token t;
    if (!tmpl_take_word(l, &t)) return t;
    t = token(l, TMPL_IDENTIFIER);
    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++)
        if (bytes_equal_text(t.text, keys[i].word)) t.type = keys[i].type;
    return t;
}

/* Takes a field or variable from after the dot or the dollar sign. */
static struct tmpl_token
field_or_variable(struct tmpl_lexer *l, enum tmpl_token_type type)
{
    struct tmpl_token t;
    if (at_terminator(l)) return token(l, type == TMPL_VARIABLE ? TMPL_VARIABLE : TMPL_DOT);
    if (!tmpl_take_word(l, &t)) return t;
    return token(l, type);
}

/* Takes a number, which the parser reads. */
static struct tmpl_token
number(struct tmpl_lexer *l)
{
    uint8_t before = l->text.at[l->at - 1];
    for (; l->at < l->text.size; l->at++) {
        uint8_t c = l->text.at[l->at];
        bool sign = (c == '+' || c == '-') && ((before | 0x20) == 'e' || (before | 0x20) == 'p');
        if (!sign && c != '.' && !ascii_is_word(c)) break;
        before = c;
    }
    return token(l, TMPL_NUMBER);
}

/* Takes a literal from after the opening quote. */
static struct tmpl_token
literal(struct tmpl_lexer *l, int32_t quote)
{
    for (;;) {
        int32_t c = tmpl_take_char(l);
        if (c == quote) break;
        if (quote == '`') {
            if (c == END_OF_TEXT) return tmpl_lexer_fail(l, "unterminated raw quoted string");
            continue;
        }
        if (c == '\\') c = tmpl_take_char(l);
        if (c != END_OF_TEXT && c != '\n') continue;
        return tmpl_lexer_fail(l, quote == '"' ? "unterminated quoted string"
                                               : "unterminated character constant");
    }
    return token(l, quote == '`'   ? TMPL_RAW_STRING
                    : quote == '"' ? TMPL_STRING
                                   : TMPL_CHAR_CONSTANT);
}

static struct tmpl_token
inside(struct tmpl_lexer *l)
{
    l->spaced = space_at(l, l->at);
    skip_spaces(l);
    l->start = l->at;
    bool trims = l->spaced && tmpl_text_at(l, l->at, "-}}");
    if (trims || tmpl_text_at(l, l->at, "}}")) {
        if (l->parens > 0) return tmpl_lexer_fail(l, "unclosed left paren");
        l->start = l->at += trims;
        l->at += DELIM_BYTES;
        struct tmpl_token t = token(l, TMPL_RIGHT_DELIM);
        if (trims) skip_spaces(l);
        l->inside = false;
        return t;
    }
    int32_t c = tmpl_take_char(l);
    if (c == END_OF_TEXT) return tmpl_lexer_fail(l, "unclosed action");
    if (c == '=') return token(l, TMPL_ASSIGN);
    if (c == ':')
        return tmpl_take_char(l) == '=' ? token(l, TMPL_DECLARE)
                                        : tmpl_lexer_fail(l, "expected :=");
    if (c == '|') return token(l, TMPL_PIPE);
    if (c == '"' || c == '`' || c == '\'') return literal(l, c);
    if (c == '$') return field_or_variable(l, TMPL_VARIABLE);
    bool digit_next = l->at < l->text.size && ascii_is_digit(l->text.at[l->at]);
    if (c == '.' && !digit_next && l->at < l->text.size) return field_or_variable(l, TMPL_FIELD);
    if (c == '.' || c == '+' || c == '-' || (c < 0x80 && ascii_is_digit((uint8_t)c)))
        return number(l);
    if (tmpl_is_word(l->unicode, c)) {
        l->at = l->start;
        return identifier(l);
    }
    if (c == '(' || c == ')') {
        if (c == '(') {
            l->parens++;
            return token(l, TMPL_LEFT_PAREN);
        }
        if (l->parens == 0) return tmpl_lexer_fail(l, "unexpected right paren");
        l->parens--;
        return token(l, TMPL_RIGHT_PAREN);
    }
    if (c >= ' ' && c < 0x7f) return token(l, TMPL_CHAR);
    return fail_character(l, "unrecognized character in action: ", c);
}

struct tmpl_token
tmpl_lexer_next(struct tmpl_lexer *l)
{
    l->start = l->at;
    buf_clear(l->sentence);
    if (l->over) return token(l, TMPL_END_OF_TEXT);
    assert(l->inside || l->parens == 0);
    return l->inside ? inside(l) : outside(l);
}
