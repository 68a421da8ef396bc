/* selector.c - a selector read from left to right; each matcher is made as soon as it is read. */
#include "model/selector.h"

#include "base/buf.h"
#include "base/text/quote.h"
#include "base/text/utf8.h"

struct selector_parser {
    struct cursor c;
    const uint8_t *start;
    struct buf name;  /* name in the current matcher; does not end in NUL */
    struct buf value; /* value in the current matcher; does not end in NUL */
    struct selector *to;
    struct why *why;
};

static enum err
expected(struct selector_parser *p, const char *what)
{
    return why_set(p->why, ERR_INPUT, "invalid selector: %s at character %zu", what,
                   (size_t)(p->c.at - p->start) + 1);
}

static uint8_t
peek(struct selector_parser *p)
{
    while (p->c.at != p->c.end && *p->c.at != 0 && strchr(" \t\r\n", *p->c.at) != NULL)
        p->c.at++;
    return p->c.at == p->c.end ? 0 : *p->c.at;
}

static bool
take_word(struct selector_parser *p, bool colon, struct buf *to)
{
    const uint8_t *from = p->c.at;
    while (p->c.at != p->c.end && (ascii_is_word(*p->c.at) || (*p->c.at == ':' && colon))) {
        if (p->c.at == from && ascii_is_digit(*from)) break;
        p->c.at++;
    }
    buf_clear(to);
    buf_put(to, from, (size_t)(p->c.at - from));
    return p->c.at != from;
}

/* --- texts ------------------------------------------------------------------------------------ */

/* Reads a text that begins with a quote of any kind. Bytes by number (\x, octal) must form UTF-8 in
 * the end: matcher_new() checks. */
static enum err
take_text(struct selector_parser *p, struct buf *to)
{
    uint8_t quote = *p->c.at++;
    buf_clear(to);
    while (p->c.at != p->c.end && *p->c.at != quote) {
        uint8_t c = *p->c.at++;
        if (c == '\n' && quote != '`') return expected(p, "line feed in a quoted string");
        if (c != '\\' || quote == '`')
            buf_put_u8(to, c);
        else if (!quote_take_escape(&p->c, quote, to))
            return expected(p, "unknown escape sequence");
    }
    if (p->c.at == p->c.end) return expected(p, "unterminated quoted string");
    p->c.at++;
    return OK;
}

static bool
is_quote(uint8_t c)
{
    return c == '"' || c == '\'' || c == '`';
}

/* --- matchers --------------------------------------------------------------------------------- */

static enum err
add_matcher(struct selector_parser *p, enum matcher_type type, struct bytes name,
            struct bytes value)
{
    enum err e = err_first(buf_error(&p->name), buf_error(&p->value));
    if (e) return why_set(p->why, e, "not enough memory for the selector");
    if (p->to->count == SELECTOR_MATCHERS_MAX) {
        return why_set(p->why, ERR_LIMIT, "selector has more than %d matchers",
                       SELECTOR_MATCHERS_MAX);
    }
    if (name.size == 0) return why_set(p->why, ERR_INPUT, "missing label name in a matcher");
    e = matcher_new(type, name, value, NULL, &p->to->matchers[p->to->count], p->why);
    if (e == OK) p->to->count++;
    if (e == ERR_NOMEM) why_set(p->why, e, "not enough memory for the selector");
    return e;
}

static enum err
take_operator(struct selector_parser *p, enum matcher_type *ret_type)
{
    uint8_t first = peek(p);
    uint8_t second = cursor_left(&p->c) >= 2 ? p->c.at[1] : 0;
    if (first == '=' && second == '~')
        *ret_type = MATCH_REGEX;
    else if (first == '!' && second == '=')
        *ret_type = MATCH_NOT_EQUAL;
    else if (first == '!' && second == '~')
        *ret_type = MATCH_NOT_REGEX;
    else if (first == '=')
        *ret_type = MATCH_EQUAL;
    else
        return expected(p, "expected one of = != =~ !~");
    p->c.at += first == '=' && second != '~' ? 1 : 2;
    return OK;
}

static enum err
take_matcher(struct selector_parser *p)
{
    enum matcher_type type = MATCH_EQUAL;
    bool quoted = is_quote(peek(p));
    enum err e = OK;
    if (quoted)
        e = take_text(p, &p->name);
    else if (!take_word(p, false, &p->name))
        e = expected(p, "expected a label name");
    if (e) return e;
    uint8_t next = peek(p);
    if (quoted && (next == ',' || next == '}')) /* {"a metric's name"} */
        return add_matcher(p, MATCH_EQUAL, bytes_of_text("__name__"), buf_bytes(&p->name));
    e = take_operator(p, &type);
    if (e) return e;
    if (!is_quote(peek(p))) return expected(p, "expected a quoted string");
    e = take_text(p, &p->value);
    if (e) return e;
    return add_matcher(p, type, buf_bytes(&p->name), buf_bytes(&p->value));
}

static enum err
take_braces(struct selector_parser *p)
{
    p->c.at++;
    while (peek(p) != '}') {
        enum err e = take_matcher(p);
        if (e) return e;
        if (peek(p) == ',')
            p->c.at++;
        else if (peek(p) != '}')
            return expected(p, "expected ',' or '}'");
    }
    p->c.at++;
    return OK;
}

static enum err
parse(struct selector_parser *p)
{
    enum err e = OK;
    peek(p);
    bool named = take_word(p, true, &p->name);
    if (named) e = add_matcher(p, MATCH_EQUAL, bytes_of_text("__name__"), buf_bytes(&p->name));
    if (e) return e;
    if (peek(p) == '{')
        e = take_braces(p);
    else if (!named)
        return expected(p, "expected a metric name or '{'");
    if (e) return e;
    peek(p);
    return p->c.at == p->c.end ? OK : expected(p, "unexpected text");
}

enum err
selector_parse_any(struct bytes text, struct selector *ret_selector, struct why *why)
{
    struct selector selector = {.count = 0};
    struct selector_parser p = {
        .c = cursor_of(text), .start = text.at, .to = &selector, .why = why};
    if (text.size > SELECTOR_BYTES_MAX)
        return why_set(why, ERR_LIMIT, "selector is longer than %d bytes", SELECTOR_BYTES_MAX);
    buf_init(&p.name, NULL, SELECTOR_BYTES_MAX);
    buf_init(&p.value, NULL, SELECTOR_BYTES_MAX);
    enum err e = parse(&p);
    buf_fini(&p.name);
    buf_fini(&p.value);
    if (e) {
        selector_fini(&selector);
        return e;
    }
    *ret_selector = selector;
    return OK;
}

enum err
selector_parse(struct bytes text, struct selector *ret_selector, struct why *why)
{
    struct selector selector;
    enum err e = selector_parse_any(text, &selector, why);
    if (e) return e;
    for (uint32_t i = 0; i < selector.count; i++) {
        if (matcher_matches_empty(selector.matchers[i])) continue;
        *ret_selector = selector;
        return OK;
    }
    selector_fini(&selector);
    return why_set(why, ERR_INPUT,
                   "selector matches every series: at least one matcher must not match the empty "
                   "string, as in {__name__=~\".+\"}");
}

void
selector_fini(struct selector *selector)
{
    if (selector == NULL) return;
    for (uint32_t i = 0; i < selector->count; i++)
        matcher_free(selector->matchers[i]);
    selector->count = 0;
}
