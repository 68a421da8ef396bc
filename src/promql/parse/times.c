/*
 * times.c - numbers and durations, expressions of durations, and suffixes of operands: ranges,
 * offset, @, anchored, smoothed.
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>

#include "base/text/quote.h"
#include "base/text/utf8.h"
#include "promql/parse/parse_private.h"

/* --- numbers ---------------------------------------------------------------------------------- */

static double
number(struct promql_parser *p, const struct promql_token *t)
{
    double value = 0;
    const char *wrong = lexer_number(t->text, &value);
    if (wrong != NULL) {
        parse_fail_quoted(p, t->at, "error parsing number: strconv.ParseFloat: parsing ", t->text,
                          wrong);
    }
    return value;
}

static int64_t
bad_duration(struct promql_parser *p, const struct promql_token *t, const char *text)
{
    parse_fail_quoted(p, t->at, text, t->text, "");
    return 0;
}

/* Reads 1h30m, where each unit occurs once and larger ones are first, as milliseconds; nanoseconds
 * must fit into 64 bits. */
static int64_t
duration_ms(struct promql_parser *p, const struct promql_token *t)
{
    static const char invalid[] = "not a valid duration string: ";
    static const struct {
        char name[3];
        uint64_t ms;
    } units[] = {{"y", 31536000000}, {"w", 604800000}, {"d", 86400000}, {"h", 3600000},
                 {"m", 60000},       {"s", 1000},      {"ms", 1}};
    enum { UNITS = sizeof units / sizeof *units };
    static const uint64_t ms_max = INT64_MAX / 1000000;
    struct bytes s = t->text;
    uint64_t sum = 0;
    for (size_t i = 0, next = 0; i < s.size;) {
        uint64_t n = 0;
        size_t digits = i, unit = 0;
        for (; i < s.size && ascii_is_digit(s.at[i]); i++) {
            if (n > (UINT64_MAX - 9) / 10) return bad_duration(p, t, invalid);
            n = n * 10 + (s.at[i] - '0');
        }
        size_t begin = i;
        while (i < s.size && !ascii_is_digit(s.at[i]))
            i++;
        if (begin == digits || i == begin) return bad_duration(p, t, invalid);
        struct bytes name = bytes_of(s.at + begin, i - begin);
        while (unit < UNITS && !bytes_equal_text(name, units[unit].name))
            unit++;
        if (unit == UNITS) {
            parse_fail_quoted(p, t->at, "unknown unit ", name, " in duration ");
            quote_text(p->error, s);
            return 0;
        }
        if (unit < next) return bad_duration(p, t, invalid);
        next = unit + 1;
        if (n > ms_max / units[unit].ms || sum + n * units[unit].ms > ms_max) {
            parse_fail(p, t->at, "duration out of range");
            return 0;
        }
        sum += n * units[unit].ms;
    }
    return (int64_t)sum;
}

struct node *
parse_number(struct promql_parser *p)
{
    struct promql_token t = parse_take(p);
    bool is_duration = t.type == TOKEN_DURATION;
    double value = is_duration ? (double)duration_ms(p, &t) / 1000 : number(p, &t);
    struct node *n = parse_node(p, NODE_NUMBER, VALUE_SCALAR, parse_span(&t));
    if (n == NULL) return NULL;
    n->number.value = value;
    n->number.is_duration = is_duration;
    return n;
}

/* --- duration expressions --------------------------------------------------------------------- */

static struct node *
duration_node(struct promql_parser *p, enum token_type op, struct node *left, struct node *right,
              struct text_span at)
{
    assert(left == NULL || right != NULL); /* a sign has the right operand alone */
    struct node *n = parse_node(p, NODE_DURATION, VALUE_SCALAR, at);
    if (n == NULL) return NULL;
    n->duration.op = op;
    n->duration.left = left;
    n->duration.right = right;
    parse_add_depth(p, n, left);
    parse_add_depth(p, n, right);
    return n;
}

static struct node *duration_binary(struct promql_parser *p, unsigned above);

/* Parses step(), range(), min_of(a, b) and max_of(a, b). */
static struct node *
times_duration_word(struct promql_parser *p)
{
    struct promql_token word = parse_take(p);
    struct node *left = NULL, *right = NULL;
    if (!parse_expect(p, TOKEN_LEFT_PAREN)) return NULL;
    bool compares = word.type == TOKEN_MIN_OF || word.type == TOKEN_MAX_OF;
    if (compares) {
        left = duration_binary(p, 0);
        if (left == NULL || !parse_expect(p, TOKEN_COMMA)) return NULL;
        right = duration_binary(p, 0);
        if (right == NULL) return NULL;
    }
    if (!parse_expect(p, TOKEN_RIGHT_PAREN)) return NULL;
    struct text_span at = {word.at, p->last_end};
    if (compares)
        at = (struct text_span){left->at.begin, right->at.end}; /* as Prometheus reports it */
    return duration_node(p, word.type, left, right, at);
}

static bool
is_duration_word(enum token_type type)
{
    return type >= TOKEN_STEP && type <= TOKEN_RANGE;
}

/* Applies a sign. With `keeps_plus` a plus sign becomes a node, as a minus sign does. */
static struct node *
duration_signed(struct promql_parser *p, const struct promql_token *sign, struct node *n,
                bool keeps_plus)
{
    if (n == NULL) return NULL;
    if (n->kind == NODE_NUMBER) {
        if (sign->type == TOKEN_SUB) n->number.value = -n->number.value;
        n->at.begin = sign->at;
        return n;
    }
    if (sign->type == TOKEN_ADD && !keeps_plus) return n;
    return duration_node(p, sign->type, NULL, n, (struct text_span){sign->at, n->at.end});
}

static struct node *
duration_operand(struct promql_parser *p)
{
    struct node *n = NULL;
    if (!parse_is_unnested(p)) return NULL;
    p->nesting++;
    enum token_type type = parse_peek(p)->type;
    if (token_is_number(type)) {
        n = parse_number(p);
    } else if (is_duration_word(type)) {
        n = times_duration_word(p);
    } else if (type == TOKEN_LEFT_PAREN) {
        parse_take(p);
        n = duration_binary(p, 0);
        if (n == NULL || !parse_expect(p, TOKEN_RIGHT_PAREN)) n = NULL;
        /* A number in parentheses is just the number. */
        if (n != NULL && n->kind == NODE_DURATION) n->duration.in_parens = true;
    } else if (token_is_sign(type)) {
        struct promql_token sign = parse_take(p);
        n = duration_signed(p, &sign, duration_binary(p, PRECEDENCE_SIGN), false);
    } else {
        parse_unexpected(p);
    }
    assert(p->nesting > 0); /* invariant 3 of state.c */
    p->nesting--;
    return p->failed ? NULL : n;
}

/* Parses the operators after `left` that bind tighter than `above`. */
static struct node *
duration_operators(struct promql_parser *p, struct node *left, unsigned above)
{
    while (left != NULL && !p->failed) {
        enum token_type type = parse_peek(p)->type;
        bool computes = type >= TOKEN_ADD && type <= TOKEN_POW;
        unsigned precedence = computes ? parse_precedence(type) : 0;
        if (precedence <= above) break;
        struct promql_token op = parse_take(p);
        struct node *right = duration_binary(p, op.type == TOKEN_POW ? precedence - 1 : precedence);
        if (right == NULL) return NULL;
        bool is_zero = right->kind == NODE_NUMBER && right->number.value == 0;
        if (is_zero && op.type == TOKEN_DIV) return parse_fail(p, op.at, "division by zero");
        if (is_zero && op.type == TOKEN_MOD) return parse_fail(p, op.at, "modulo by zero");
        left = duration_node(p, op.type, left, right,
                             (struct text_span){left->at.begin, right->at.end});
    }
    return p->failed ? NULL : left;
}

static struct node *
duration_binary(struct promql_parser *p, unsigned above)
{
    return duration_operators(p, duration_operand(p), above);
}

/* independent of the time of a step */
static struct node *
offset_duration(struct promql_parser *p)
{
    enum token_type type = parse_peek(p)->type;
    if (type == TOKEN_LEFT_PAREN) return duration_binary(p, 0);
    if (!token_is_sign(type)) return duration_operand(p);
    struct promql_token sign = parse_take(p);
    type = parse_peek(p)->type;
    if (!token_is_sign(type))
        return duration_signed(p, &sign, duration_operand(p), is_duration_word(type));
    struct node *n = duration_binary(p, PRECEDENCE_SIGN);
    return duration_operators(p, duration_signed(p, &sign, n, false), 0);
}

static struct duration
duration_of(struct promql_parser *p, const struct node *n, bool positive)
{
    struct duration d = {0, NULL};
    if (n == NULL) return d;
    if (n->kind == NODE_DURATION) {
        d.expr = n;
        return d;
    }
    assert(n->kind == NODE_NUMBER);
    if (positive && !(n->number.value > 0)) {
        parse_fail(p, n->at.begin, "duration must be greater than 0");
    } else if (fabs(n->number.value) > 0x1p63 / 1e9) { /* nanoseconds must fit into 64 bits */
        parse_fail(p, n->at.begin, "duration out of range");
    } else {
        double ns = round(n->number.value * 1e9); /* milliseconds are truncated, not rounded */
        d.ms = fabs(ns) < 0x1p63 ? (int64_t)ns / 1000000 : (int64_t)(ns / 1e6);
    }
    return d;
}

/* --- suffixes of an operand ------------------------------------------------------------------- */

/* The offset and @ of a node; NULL if it cannot have them. */
static struct shift *
shift_of(struct node *n)
{
    switch (n->kind) {
    case NODE_SELECTOR:
        return &n->selector.shift;
    case NODE_RANGE:
        return &n->range.selector->selector.shift;
    case NODE_SUBQUERY:
        return &n->subquery.shift;
    default:
        return NULL;
    }
}

static bool
offset(struct promql_parser *p, struct node *n)
{
    static const char expected[] = "number, duration, step(), or range()";
    struct parse_context before = parse_in_context(p, "offset", expected);
    parse_take(p);
    struct duration d = duration_of(p, offset_duration(p), false);
    if (p->failed) return false;
    p->context = before;
    struct shift *shift = shift_of(n);
    if (shift == NULL) {
        return parse_fail(p, n->at.begin,
                          "offset modifier must be preceded by an instant vector selector or range "
                          "vector selector or a subquery") != NULL;
    }
    if (shift->offset.ms != 0 || shift->offset.expr != NULL)
        return parse_fail(p, n->at.begin, "offset may not be set multiple times") != NULL;
    shift->offset = d;
    n->at.end = p->last_end;
    return true;
}

static bool
at_modifier(struct promql_parser *p, struct node *n)
{
    struct parse_context before = parse_in_context(p, "@", "timestamp");
    double seconds = 0;
    parse_take(p);
    enum token_type type = parse_peek(p)->type;
    enum at_kind kind = type == TOKEN_START ? AT_START : type == TOKEN_STOP ? AT_END : AT_TIME;
    if (kind == AT_TIME) {
        bool negative = token_is_sign(type) && parse_take(p).type == TOKEN_SUB;
        if (!token_is_number(parse_peek(p)->type)) return parse_unexpected(p) != NULL;
        struct promql_token t = parse_take(p);
        seconds = t.type == TOKEN_DURATION ? (double)duration_ms(p, &t) / 1000 : number(p, &t);
        if (negative) seconds = -seconds;
        if (p->failed) return false;
    } else {
        parse_take(p);
        if (!parse_expect(p, TOKEN_LEFT_PAREN) || !parse_expect(p, TOKEN_RIGHT_PAREN)) return false;
    }
    p->context = before;
    if (!(fabs(seconds) < 0x1p63)) {
        const char *sign = isnan(seconds) ? "NaN" : seconds < 0 ? "-Inf" : "+Inf";
        char text[400];
        snprintf(text, sizeof text, "%f", seconds);
        return parse_fail(p, n->at.begin, "timestamp out of bounds for @ modifier: %s",
                          isfinite(seconds) ? text : sign) != NULL;
    }
    struct shift *shift = shift_of(n);
    if (shift == NULL) {
        return parse_fail(
                   p, n->at.begin,
                   "@ modifier must be preceded by an instant vector selector or range vector "
                   "selector or a subquery") != NULL;
    }
    if (shift->at != AT_NONE)
        return parse_fail(p, n->at.begin, "@ <timestamp> may not be set multiple times") != NULL;
    shift->at = kind;
    double ms = round(seconds * 1000);
    shift->at_ms = ms >= 0x1p63 ? INT64_MAX : ms < -0x1p63 ? INT64_MIN : (int64_t)ms;
    n->at.end = p->last_end;
    return true;
}

static bool
extent(struct promql_parser *p, struct node *n)
{
    struct promql_token word = parse_take(p);
    bool smoothed = word.type == TOKEN_SMOOTHED;
    enum extent wanted = smoothed ? EXTENT_SMOOTHED : EXTENT_ANCHORED;
    const char *name = token_word(word.type);
    struct node *s = n->kind == NODE_RANGE ? n->range.selector : n;
    if (n->kind == NODE_SUBQUERY) {
        return parse_fail(p, n->at.begin, "%s modifier is not supported for subqueries", name) !=
               NULL;
    }
    if (s->kind != NODE_SELECTOR)
        return parse_fail(p, n->at.begin, "%s modifier not implemented", name) != NULL;
    if (s->selector.extent != EXTENT_PLAIN && s->selector.extent != wanted) {
        return parse_fail(p, n->at.begin,
                          "anchored and smoothed modifiers cannot be used together") != NULL;
    }
    s->selector.extent = wanted;
    return true;
}

static struct node *
range_of(struct promql_parser *p, struct node *n, uint32_t open, struct duration range)
{
    const char *wrong = NULL;
    if (n->kind != NODE_SELECTOR)
        wrong = "ranges only allowed for vector selectors";
    else if (n->selector.shift.offset.ms != 0 || n->selector.shift.offset.expr != NULL)
        wrong = "no offset modifiers allowed before range";
    else if (n->selector.shift.at != AT_NONE)
        wrong = "no @ modifiers allowed before range";
    if (wrong != NULL) return parse_fail(p, open, "%s", wrong);
    struct node *r =
        parse_node(p, NODE_RANGE, VALUE_MATRIX, (struct text_span){n->at.begin, p->last_end});
    if (r == NULL) return NULL;
    r->range.selector = n;
    r->range.range = range;
    parse_add_depth(p, r, n);
    return r;
}

/* Parses [range] or [range:step]. */
static struct node *
brackets(struct promql_parser *p, struct node *n)
{
    struct parse_context before =
        parse_in_context(p, "subquery or range selector", "number, duration, step(), or range()");
    struct promql_token open = parse_take(p);
    struct duration range = duration_of(p, duration_binary(p, 0), true);
    parse_in_context(p, "subquery or range", "\":\" or \"]\"");
    if (p->failed) return NULL;
    if (parse_accept(p, TOKEN_RIGHT_BRACKET)) {
        p->context = before;
        return range_of(p, n, open.at, range);
    }
    if (!parse_expect(p, TOKEN_COLON)) return NULL;
    struct node *s = parse_node(p, NODE_SUBQUERY, VALUE_MATRIX, n->at);
    if (s == NULL) return NULL;
    parse_in_context(p, "subquery selector", "number, duration, step(), range(), or \"]\"");
    if (parse_peek(p)->type != TOKEN_RIGHT_BRACKET) {
        s->subquery.step = duration_of(p, duration_binary(p, 0), true);
        parse_in_context(p, "subquery selector", "\"]\"");
    }
    if (p->failed || !parse_expect(p, TOKEN_RIGHT_BRACKET)) return NULL;
    p->context = before;
    s->at.end = p->last_end;
    s->subquery.expr = n;
    s->subquery.range = range;
    parse_add_depth(p, s, n);
    return s;
}

struct node *
parse_suffixes(struct promql_parser *p, struct node *n)
{
    while (n != NULL && !p->failed) {
        switch (parse_peek(p)->type) {
        case TOKEN_LEFT_BRACKET:
            n = brackets(p, n);
            break;
        case TOKEN_OFFSET:
            if (!offset(p, n)) return NULL;
            break;
        case TOKEN_AT:
            if (!at_modifier(p, n)) return NULL;
            break;
        case TOKEN_ANCHORED:
        case TOKEN_SMOOTHED:
            if (!extent(p, n)) return NULL;
            break;
        default:
            return p->failed ? NULL : n;
        }
    }
    return NULL;
}
