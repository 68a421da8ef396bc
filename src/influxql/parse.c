/* parse.c - see tree.h: a lexer, and a parser that descends by precedence. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/text/quote.h"
#include "influxql/tree.h"
#include "sys/env.h"
#include "wire/number.h"

enum { DEPTH_MAX = 100, ITEMS_MAX = 10000 };

enum iql_token {
    TOKEN_END,
    TOKEN_WORD, /* `text`, as written: a keyword or a name */
    TOKEN_NAME, /* in double quotes */
    TOKEN_STRING,
    TOKEN_NUMBER,
    TOKEN_INTEGER,
    TOKEN_DURATION,
    TOKEN_REGEX,
    TOKEN_OP,   /* `op` */
    TOKEN_SIGN, /* one of ( ) , ; . : and "::" as ':' */
};

struct parser {
    struct bytes all;
    size_t at; /* where the next token begins */
    struct arena *arena;
    struct budget *budget;
    struct statements *to;
    unsigned depth;
    struct why *why;

    /* The token that is looked at. */
    enum iql_token token;
    size_t from; /* its place */
    struct bytes text;
    enum op op;
    char sign;
    int64_t integer;
    double number;
};

/* --- errors
 * -----------------------------------------------------------------------------------
 */

static enum err
no_memory(struct parser *p)
{
    return why_set(p->why, ERR_NOMEM, "not enough memory for the query");
}

/* Says what was found where something else is expected, as InfluxDB does. */
static enum err
expected(struct parser *p, const char *what)
{
    unsigned line = 1, column = 1;
    for (size_t i = 0; i < p->from; i++) {
        column = p->all.at[i] == '\n' ? 1 : column + 1;
        line += p->all.at[i] == '\n';
    }
    struct bytes found = bytes_of(p->all.at + p->from, p->at - p->from);
    struct shown shown = shown_of(found);
    return why_set(p->why, ERR_INPUT,
                   "error parsing query: found %s, expected %s at line %u, char %u",
                   p->token == TOKEN_END ? "EOF" : shown.text, what, line, column);
}

/* --- tokens
 * -----------------------------------------------------------------------------------
 */

static bool
is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool
is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static uint8_t
look(const struct parser *p, size_t ahead)
{
    return p->at + ahead < p->all.size ? p->all.at[p->at + ahead] : 0;
}

/* Skips blanks and comments. */
static void
skip_blanks(struct parser *p)
{
    for (;;) {
        uint8_t c = look(p, 0);
        if (p->at < p->all.size && (c == ' ' || c == '\t' || c == '\n' || c == '\r')) {
            p->at++;
        } else if (c == '-' && look(p, 1) == '-') {
            while (p->at < p->all.size && p->all.at[p->at] != '\n')
                p->at++;
        } else if (c == '/' && look(p, 1) == '*') {
            for (p->at += 2; p->at < p->all.size; p->at++)
                if (look(p, 0) == '*' && look(p, 1) == '/') break;
            p->at = p->at + 2 < p->all.size ? p->at + 2 : p->all.size;
        } else {
            return;
        }
    }
}

/* Reads a text up to its quote. False: it has none, or another escape than
 * InfluxDB knows. */
static bool
read_quoted(struct parser *p, uint8_t quote)
{
    uint8_t *to = arena_alloc(p->arena, p->all.size - p->at + 1);
    size_t size = 0;
    if (to == NULL) return false;
    for (p->at++; p->at < p->all.size && p->all.at[p->at] != quote; p->at++) {
        uint8_t c = p->all.at[p->at];
        if (c == '\n') return false;
        if (c == '\\') {
            c = look(p, 1);
            p->at++;
            if (c == 'n')
                c = '\n';
            else if (c != '\\' && c != '"' && c != '\'')
                return false;
        }
        to[size++] = c;
    }
    if (p->at == p->all.size) return false;
    p->at++;
    p->text = bytes_of(to, size);
    return true;
}

static int64_t
unit_ns(struct bytes unit)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {{"ns", 1},
                 {"u", 1000},
                 {"\xc2\xb5", 1000},
                 {"us", 1000},
                 {"ms", NS_PER_MS},
                 {"s", NS_PER_S},
                 {"m", 60 * NS_PER_S},
                 {"h", 3600 * NS_PER_S},
                 {"d", 86400 * NS_PER_S},
                 {"w", 7 * 86400 * NS_PER_S}};
    for (unsigned i = 0; i < sizeof units / sizeof *units; i++)
        if (bytes_equal_text(unit, units[i].name)) return units[i].ns;
    return 0;
}

/* Reads a number, or durations in a row: 1h30m. False: it is neither. */
static bool
read_number(struct parser *p)
{
    size_t from = p->at;
    while (is_digit(look(p, 0)))
        p->at++;
    if (look(p, 0) == '.') {
        uint64_t bits;
        for (p->at++; is_digit(look(p, 0)); p->at++)
            ;
        p->token = TOKEN_NUMBER;
        if (!number_parse((const char *)p->all.at + from, p->at - from, &bits)) return false;
        p->number = bits_double(bits);
        return true;
    }
    p->token = TOKEN_INTEGER;
    p->integer = 0;
    for (;;) {
        int64_t part = 0;
        for (; from < p->at; from++)
            if (__builtin_mul_overflow(part, 10, &part) ||
                __builtin_add_overflow(part, p->all.at[from] - '0', &part))
                return false;
        while (is_letter(look(p, 0)) || look(p, 0) >= 0x80)
            p->at++;
        if (p->at == from) {
            p->integer = part;
            return p->token == TOKEN_INTEGER;
        }
        int64_t unit = unit_ns(bytes_of(p->all.at + from, p->at - from));
        if (unit == 0 || __builtin_mul_overflow(part, unit, &part) ||
            __builtin_add_overflow(p->integer, part, &p->integer))
            return false;
        p->token = TOKEN_DURATION;
        for (from = p->at; is_digit(look(p, 0)); p->at++)
            ;
        if (p->at == from) return true;
    }
}

static bool
read_sign(struct parser *p)
{
    static const struct {
        const char *text;
        enum op op;
    } ops[] = {{"=~", OP_MATCHES},   {"!~", OP_MATCHES_NOT}, {"!=", OP_NOT_EQUAL},
               {"<>", OP_NOT_EQUAL}, {"<=", OP_LESS_EQUAL},  {">=", OP_GREATER_EQUAL},
               {"=", OP_EQUAL},      {"<", OP_LESS},         {">", OP_GREATER},
               {"+", OP_ADD},        {"-", OP_SUBTRACT},     {"*", OP_MULTIPLY},
               {"/", OP_DIVIDE},     {"%", OP_MODULO},       {"|", OP_BIT_OR},
               {"^", OP_BIT_XOR},    {"&", OP_BIT_AND}};
    for (unsigned i = 0; i < sizeof ops / sizeof *ops; i++) {
        size_t size = strlen(ops[i].text);
        if (look(p, 0) != ops[i].text[0] || (size == 2 && look(p, 1) != ops[i].text[1])) continue;
        p->token = TOKEN_OP;
        p->op = ops[i].op;
        p->at += size;
        return true;
    }
    p->token = TOKEN_SIGN;
    p->sign = (char)look(p, 0);
    p->at += p->sign == ':' && look(p, 1) == ':' ? 2 : 1;
    return p->sign != 0 && strchr("(),;.:", p->sign) != NULL;
}

/* Reads a regular expression, whose first slash is at the place of the next
 * token. */
static bool
read_regex(struct parser *p)
{
    uint8_t *to = arena_alloc(p->arena, p->all.size - p->at + 1);
    size_t size = 0;
    if (to == NULL) return false;
    for (p->at++; p->at < p->all.size && p->all.at[p->at] != '/'; p->at++) {
        if (look(p, 0) == '\n') return false;
        if (look(p, 0) == '\\' && look(p, 1) == '/') p->at++;
        to[size++] = p->all.at[p->at];
    }
    if (p->at == p->all.size) return false;
    p->at++;
    p->token = TOKEN_REGEX;
    p->text = bytes_of(to, size);
    return true;
}

/* Reads the next token. With `is_operand` a slash begins a regular expression.
 */
static enum err
next_as(struct parser *p, bool is_operand)
{
    bool is_good = true;
    skip_blanks(p);
    p->from = p->at;
    uint8_t c = look(p, 0);
    if (p->at >= p->all.size) {
        p->token = TOKEN_END;
    } else if (is_letter(c)) {
        p->token = TOKEN_WORD;
        while (is_letter(look(p, 0)) || is_digit(look(p, 0)))
            p->at++;
        p->text = bytes_of(p->all.at + p->from, p->at - p->from);
    } else if (c == '"' || c == '\'') {
        is_good = read_quoted(p, c);
        p->token = c == '"' ? TOKEN_NAME : TOKEN_STRING;
    } else if (is_digit(c) || (c == '.' && is_digit(look(p, 1)))) {
        is_good = read_number(p);
    } else if (c == '/' && is_operand) {
        is_good = read_regex(p);
    } else {
        is_good = read_sign(p);
    }
    return is_good ? OK : expected(p, "a name, a number or a text");
}

static enum err
next(struct parser *p)
{
    return next_as(p, false);
}

static bool
is_word(const struct parser *p, const char *word)
{
    return p->token == TOKEN_WORD && p->text.size == strlen(word) &&
           strncasecmp((const char *)p->text.at, word, p->text.size) == 0;
}

static bool
is_sign(const struct parser *p, char sign)
{
    return p->token == TOKEN_SIGN && p->sign == sign;
}

/* Takes a keyword. *ret_taken is false if another token is there. */
static enum err
take_word(struct parser *p, const char *word, bool *ret_taken)
{
    *ret_taken = is_word(p, word);
    return *ret_taken ? next(p) : OK;
}

static enum err
need_word(struct parser *p, const char *word)
{
    return is_word(p, word) ? next(p) : expected(p, word);
}

static enum err
need_sign(struct parser *p, char sign)
{
    char what[2] = {sign, '\0'};
    return is_sign(p, sign) ? next(p) : expected(p, what);
}

/* Takes a name, in quotes or without. */
static enum err
need_name(struct parser *p, struct bytes *ret)
{
    if (p->token != TOKEN_WORD && p->token != TOKEN_NAME) return expected(p, "identifier");
    *ret = p->text;
    return next(p);
}

static enum err
need_count(struct parser *p, uint64_t *ret)
{
    if (p->token != TOKEN_INTEGER) return expected(p, "integer");
    *ret = (uint64_t)p->integer;
    return next(p);
}

/* Takes the regular expression that is looked at; a matcher that finds it
 * anywhere. */
static enum err
take_regex(struct parser *p, struct matcher **ret)
{
    struct buf pattern;
    buf_init(&pattern, p->budget, MATCHER_PATTERN_BYTES_MAX);
    buf_put_text(&pattern, "(?s:.*)(?-s:");
    buf_put_bytes(&pattern, p->text);
    buf_put_text(&pattern, ")(?s:.*)");
    struct matcher **regexes =
        arena_push(p->arena, p->to->regexes, p->to->regex_count, sizeof *regexes);
    enum err e = regexes == NULL ? no_memory(p) : buf_error(&pattern);
    if (e == OK) {
        p->to->regexes = regexes;
        e = matcher_new(MATCH_REGEX, bytes_of_text("x"), buf_bytes(&pattern), p->budget, ret,
                        p->why);
    }
    if (e == OK) regexes[p->to->regex_count++] = *ret;
    buf_fini(&pattern);
    return e ? e : next(p);
}

/* --- expressions
 * ------------------------------------------------------------------------------
 */

static enum err parse_expr(struct parser *p, unsigned level, struct expr **ret);
static enum err parse_select(struct parser *p, struct select **ret);

static struct expr *
expr_new(struct parser *p, enum expr_kind kind)
{
    struct expr *x = arena_new(p->arena, sizeof *x);
    if (x == NULL)
        (void)no_memory(p);
    else
        x->kind = kind;
    return x;
}

static enum err
add_item(struct parser *p, struct expr *to, struct expr *item)
{
    struct expr **items = arena_push(p->arena, to->items, to->item_count, sizeof *items);
    if (items == NULL) return no_memory(p);
    if (to->item_count == ITEMS_MAX) return why_set(p->why, ERR_LIMIT, "too many items in a list");
    to->items = items;
    items[to->item_count++] = item;
    return OK;
}

/* Takes "::field", "::tag" or a type, if it is there. */
static enum err
take_cast(struct parser *p, enum cast *ret)
{
    static const char *const words[] = {"",        "field",  "tag",    "float",
                                        "integer", "string", "boolean"};
    if (!is_sign(p, ':')) return OK;
    enum err e = next(p);
    for (unsigned i = 1; e == OK && i < sizeof words / sizeof *words; i++) {
        if (!is_word(p, words[i])) continue;
        *ret = (enum cast)i;
        return next(p);
    }
    return e ? e : expected(p, "field, tag, float, integer, string, boolean");
}

static enum err
parse_call(struct parser *p, struct expr *call)
{
    uint8_t *lower = arena_alloc(p->arena, call->text.size + 1);
    if (lower == NULL) return no_memory(p);
    for (size_t i = 0; i < call->text.size; i++)
        lower[i] =
            call->text.at[i] | (is_letter(call->text.at[i]) && call->text.at[i] != '_' ? 0x20 : 0);
    call->kind = EXPR_CALL;
    call->text.at = lower;
    enum err e = next_as(p, true);
    if (e == OK && is_sign(p, ')')) return next(p);
    while (e == OK) {
        struct expr *item;
        e = parse_expr(p, 0, &item);
        if (e == OK) e = add_item(p, call, item);
        if (e || !is_sign(p, ',')) break;
        e = next_as(p, true);
    }
    return e ? e : need_sign(p, ')');
}

static enum err
parse_name(struct parser *p, struct expr *x)
{
    bool is_plain = p->token == TOKEN_WORD;
    x->kind = EXPR_NAME;
    x->text = p->text;
    if (is_plain && (is_word(p, "true") || is_word(p, "false"))) {
        x->kind = EXPR_BOOLEAN;
        x->integer = is_word(p, "true");
        return next(p);
    }
    enum err e = next(p);
    if (e == OK && is_plain && is_sign(p, '(')) e = parse_call(p, x);
    if (e == OK && x->kind == EXPR_CALL && bytes_equal_text(x->text, "now") && x->item_count == 0)
        x->kind = EXPR_NOW;
    return e || x->kind != EXPR_NAME ? e : take_cast(p, &x->cast);
}

/* Parses what has no operator outside of parentheses. */
static enum err
parse_operand(struct parser *p, struct expr **ret)
{
    struct expr *x = *ret = expr_new(p, EXPR_INTEGER);
    enum err e = OK;
    if (x == NULL) return ERR_NOMEM;
    x->text = p->text;
    x->integer = p->integer;
    x->number = p->number;
    switch (p->token) {
    case TOKEN_WORD:
    case TOKEN_NAME:
        return parse_name(p, x);
    case TOKEN_STRING:
        x->kind = EXPR_STRING;
        return next(p);
    case TOKEN_NUMBER:
        x->kind = EXPR_NUMBER;
        return next(p);
    case TOKEN_INTEGER:
        return next(p);
    case TOKEN_DURATION:
        x->kind = EXPR_DURATION;
        return next(p);
    case TOKEN_REGEX:
        x->kind = EXPR_REGEX;
        return take_regex(p, &x->regex);
    case TOKEN_OP:
        if (p->op == OP_MULTIPLY) {
            x->kind = EXPR_WILDCARD;
            e = next(p);
            return e ? e : take_cast(p, &x->cast);
        }
        if (p->op != OP_SUBTRACT && p->op != OP_ADD) break;
        /* A sign: the operand is a number, or is multiplied by one. */
        int sign = p->op == OP_SUBTRACT ? -1 : 1;
        struct expr *item = NULL, *factor;
        e = next(p);
        if (e == OK) e = parse_operand(p, &item);
        if (e) return e;
        if (item->kind == EXPR_INTEGER || item->kind == EXPR_NUMBER ||
            item->kind == EXPR_DURATION) {
            item->integer *= sign;
            item->number *= sign;
            *ret = item;
            return OK;
        }
        factor = expr_new(p, EXPR_INTEGER);
        if (factor == NULL) return ERR_NOMEM;
        factor->integer = sign;
        *x = (struct expr){.kind = EXPR_BINARY, .op = OP_MULTIPLY};
        e = add_item(p, x, factor);
        return e ? e : add_item(p, x, item);
    case TOKEN_SIGN:
        if (p->sign != '(') break;
        x->kind = EXPR_PAREN;
        e = next_as(p, true);
        struct expr *inner;
        if (e == OK) e = parse_expr(p, 0, &inner);
        if (e == OK) e = add_item(p, x, inner);
        return e ? e : need_sign(p, ')');
    case TOKEN_END:
        break;
    }
    return expected(p, "identifier, string, number, bool");
}

/* The level of an operator that is looked at, the lowest first; 0: it is none.
 */
static unsigned
level_of(const struct parser *p, enum op *ret_op)
{
    *ret_op = is_word(p, "or") ? OP_OR : is_word(p, "and") ? OP_AND : p->op;
    if (p->token != TOKEN_OP && *ret_op != OP_OR && *ret_op != OP_AND) return 0;
    if (p->token == TOKEN_WORD && !is_word(p, "or") && !is_word(p, "and")) return 0;
    return *ret_op == OP_OR        ? 1
           : *ret_op == OP_AND     ? 2
           : *ret_op < OP_ADD      ? 3
           : *ret_op < OP_MULTIPLY ? 4
                                   : 5;
}

/* Parses operators above a level. */
static enum err
parse_expr(struct parser *p, unsigned level, struct expr **ret)
{
    unsigned own;
    enum op op;
    struct expr *right;
    if (++p->depth > DEPTH_MAX) return why_set(p->why, ERR_LIMIT, "the query nests too deep");
    enum err e = parse_operand(p, ret);
    while (e == OK && (own = level_of(p, &op)) > level) {
        struct expr *x = expr_new(p, EXPR_BINARY);
        if (x == NULL) return ERR_NOMEM;
        x->op = op;
        e = next_as(p, op == OP_MATCHES || op == OP_MATCHES_NOT);
        if (e == OK) e = parse_expr(p, own, &right);
        if (e == OK) e = add_item(p, x, *ret);
        if (e == OK) e = add_item(p, x, right);
        *ret = x;
    }
    p->depth--;
    return e;
}

/* --- clauses
 * ----------------------------------------------------------------------------------
 */

/* Parses a source: "db"."rp"."name", "db"."rp"./regex/, "db"..name, /regex/, or
 * a subquery. */
static enum err
parse_source(struct parser *p, struct iql_source *to)
{
    struct bytes parts[3];
    unsigned count = 0;
    enum err e = OK;
    *to = (struct iql_source){.subquery = NULL};
    if (is_sign(p, '(')) {
        if (++p->depth > DEPTH_MAX) return why_set(p->why, ERR_LIMIT, "the query nests too deep");
        e = next(p);
        if (e == OK) e = need_word(p, "select");
        if (e == OK) e = parse_select(p, &to->subquery);
        p->depth--;
        return e ? e : need_sign(p, ')');
    }
    for (;;) {
        if (p->token == TOKEN_REGEX) {
            if (count == 2) to->database = parts[0];
            return take_regex(p, &to->regex);
        }
        if (count == 3) return expected(p, "a clause");
        parts[count] = bytes_of(NULL, 0);
        if (!is_sign(p, '.') || count == 0) e = need_name(p, &parts[count]);
        count++;
        if (e || !is_sign(p, '.')) break;
        e = next_as(p, true);
    }
    to->name = parts[count - 1];
    if (count == 3) to->database = parts[0];
    return e;
}

static enum err
parse_sources(struct parser *p, struct iql_sources *to)
{
    for (;;) {
        struct iql_source *items = arena_push(p->arena, to->items, to->count, sizeof *items);
        if (items == NULL) return no_memory(p);
        to->items = items;
        enum err e = parse_source(p, &items[to->count]);
        to->count++;
        if (e || !is_sign(p, ',')) return e;
        e = next_as(p, true);
        if (e) return e;
    }
}

/* Parses FROM and what it names, if it is there. */
static enum err
parse_from(struct parser *p, struct iql_sources *to)
{
    if (!is_word(p, "from")) return OK;
    enum err e = next_as(p, true);
    return e ? e : parse_sources(p, to);
}

static enum err
parse_where(struct parser *p, struct expr **ret)
{
    bool is_there;
    enum err e = take_word(p, "where", &is_there);
    return e || !is_there ? e : parse_expr(p, 0, ret);
}

static enum err
parse_limits(struct parser *p, struct limits *to)
{
    const struct {
        const char *word;
        uint64_t *to;
    } all[] = {{"limit", &to->limit},
               {"offset", &to->offset},
               {"slimit", &to->series_limit},
               {"soffset", &to->series_offset}};
    for (unsigned i = 0; i < 4; i++) {
        bool is_there;
        enum err e = take_word(p, all[i].word, &is_there);
        if (e == OK && is_there) e = need_count(p, all[i].to);
        if (e) return e;
    }
    return OK;
}

static enum err
parse_interval(struct parser *p, struct select *s)
{
    enum err e = need_sign(p, '(');
    if (e == OK && p->token != TOKEN_DURATION) e = expected(p, "duration");
    s->interval_ns = p->integer;
    if (e == OK) e = next(p);
    if (e == OK && is_sign(p, ',')) {
        struct expr *offset;
        e = next(p);
        if (e == OK) e = parse_operand(p, &offset);
        if (e == OK && offset->kind != EXPR_DURATION)
            e = why_set(p->why, ERR_UNSUPPORTED, "the offset of time() must be a duration");
        if (e == OK) s->offset_ns = offset->integer;
    }
    if (e == OK && s->interval_ns < NS_PER_MS)
        e = why_set(p->why, ERR_UNSUPPORTED, "time() of less than a millisecond");
    return e ? e : need_sign(p, ')');
}

static enum err
parse_group(struct parser *p, struct select *s)
{
    for (;;) {
        enum err e = next_as(p, true); /* the word or the comma before */
        if (e == OK && is_word(p, "time")) {
            e = next(p);
            if (e == OK && s->interval_ns != 0)
                e = why_set(p->why, ERR_INPUT, "multiple time dimensions not allowed");
            if (e == OK) e = parse_interval(p, s);
        } else if (e == OK) {
            struct expr *x;
            e = parse_operand(p, &x);
            struct expr **tags =
                e ? NULL : arena_push(p->arena, s->tags, s->tag_count, sizeof *tags);
            if (e == OK && tags == NULL) e = no_memory(p);
            if (e) return e;
            if (x->kind != EXPR_NAME && x->kind != EXPR_WILDCARD && x->kind != EXPR_REGEX)
                return why_set(p->why, ERR_INPUT, "only time and tag dimensions allowed");
            s->tags = tags;
            tags[s->tag_count++] = x;
        }
        if (e || !is_sign(p, ',')) return e;
    }
}

static enum err
parse_fill(struct parser *p, struct select *s)
{
    static const char *const words[] = {[FILL_NULL] = "null",
                                        [FILL_NONE] = "none",
                                        [FILL_PREVIOUS] = "previous",
                                        [FILL_LINEAR] = "linear",
                                        [FILL_NUMBER] = "0"};
    struct expr *x;
    enum err e = next(p);
    if (e == OK) e = need_sign(p, '(');
    if (e == OK) e = parse_operand(p, &x);
    if (e) return e;
    s->fill = FILL_NUMBER;
    if (x->kind == EXPR_INTEGER || x->kind == EXPR_NUMBER) {
        s->fill_number = x->kind == EXPR_INTEGER ? (double)x->integer : x->number;
        return need_sign(p, ')');
    }
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        if (i != FILL_NUMBER && x->kind == EXPR_NAME && bytes_equal_text(x->text, words[i])) {
            s->fill = (enum iql_fill)i;
            return need_sign(p, ')');
        }
    return expected(p, "a number, null, none, previous or linear");
}

static enum err
parse_order(struct parser *p, struct select *s)
{
    bool is_time, is_up;
    enum err e = next(p);
    if (e == OK) e = need_word(p, "by");
    if (e) return e;
    is_time = is_word(p, "time");
    if (is_time) e = next(p);
    if (e) return e;
    s->is_descending = is_word(p, "desc");
    is_up = is_word(p, "asc");
    if (!is_time && !s->is_descending && !is_up)
        return why_set(p->why, ERR_INPUT, "only ORDER BY time supported at this time");
    return s->is_descending || is_up ? next(p) : OK;
}

static enum err
parse_zone(struct parser *p, struct select *s)
{
    enum err e = next(p);
    if (e == OK) e = need_sign(p, '(');
    if (e == OK && p->token != TOKEN_STRING) e = expected(p, "string");
    s->zone = p->text;
    if (e == OK) e = next(p);
    return e ? e : need_sign(p, ')');
}

static enum err
parse_columns(struct parser *p, struct select *s)
{
    for (;;) {
        bool has_alias = false;
        struct iql_column *columns =
            arena_push(p->arena, s->columns, s->column_count, sizeof *columns);
        if (columns == NULL) return no_memory(p);
        if (s->column_count == ITEMS_MAX) return why_set(p->why, ERR_LIMIT, "too many columns");
        s->columns = columns;
        struct iql_column *c = &columns[s->column_count++];
        *c = (struct iql_column){.expr = NULL};
        enum err e = parse_expr(p, 0, &c->expr);
        if (e == OK) e = take_word(p, "as", &has_alias);
        if (e == OK && has_alias) e = need_name(p, &c->alias);
        if (e || !is_sign(p, ',')) return e;
        e = next_as(p, true);
        if (e) return e;
    }
}

/* Parses a SELECT after this word, whose token is looked at again as an
 * operand. */
static enum err
parse_select(struct parser *p, struct select **ret)
{
    struct select *s = *ret = arena_new(p->arena, sizeof *s);
    if (s == NULL) return no_memory(p);
    p->at = p->from; /* the first operand may be a regular expression */
    enum err e = next_as(p, true);
    if (e == OK) e = parse_columns(p, s);
    if (e == OK && is_word(p, "into"))
        e = why_set(p->why, ERR_UNSUPPORTED,
                    "SELECT INTO is not supported: recording rules write results");
    if (e == OK && !is_word(p, "from")) e = expected(p, "FROM");
    if (e == OK) e = parse_from(p, &s->sources);
    if (e == OK) e = parse_where(p, &s->where);
    if (e == OK && is_word(p, "group")) {
        e = next(p);
        if (e == OK && !is_word(p, "by")) e = expected(p, "BY");
        if (e == OK) e = parse_group(p, s);
    }
    if (e == OK && is_word(p, "fill")) e = parse_fill(p, s);
    if (e == OK && is_word(p, "order")) e = parse_order(p, s);
    if (e == OK) e = parse_limits(p, &s->limits);
    if (e == OK && is_word(p, "tz")) e = parse_zone(p, s);
    return e;
}

/* --- statements
 * -------------------------------------------------------------------------------
 */

/* Takes "ON db", if it is there. */
static enum err
take_on(struct parser *p, struct statement *s)
{
    bool is_there;
    enum err e = take_word(p, "on", &is_there);
    return e || !is_there ? e : need_name(p, &s->database);
}

static enum err
add_name(struct parser *p, struct statement *s)
{
    struct bytes *names = arena_push(p->arena, s->names, s->name_count, sizeof *names);
    if (names == NULL) return no_memory(p);
    s->names = names;
    return need_name(p, &names[s->name_count++]);
}

/* Parses the condition of WITH KEY or WITH MEASUREMENT. */
static enum err
parse_key(struct parser *p, struct statement *s)
{
    if (is_word(p, "in")) {
        enum err e = next(p);
        if (e == OK) e = need_sign(p, '(');
        if (e == OK) e = add_name(p, s);
        while (e == OK && is_sign(p, ',')) {
            e = next(p);
            if (e == OK) e = add_name(p, s);
        }
        return e ? e : need_sign(p, ')');
    }
    if (p->token != TOKEN_OP || p->op < OP_EQUAL || p->op > OP_MATCHES_NOT)
        return expected(p, "IN, =, !=, =~, !~");
    s->key_op = p->op;
    enum err e = next_as(p, true);
    if (e) return e;
    if (s->key_op < OP_MATCHES) return add_name(p, s);
    if (p->token != TOKEN_REGEX) return expected(p, "regex");
    return take_regex(p, &s->key_regex);
}

/* Parses what follows SHOW. */
static enum err
parse_show(struct parser *p, struct statement *s)
{
    static const struct {
        const char *first, *second, *one; /* the last two: NULL, and before CARDINALITY */
        enum statement_kind kind;
    } kinds[] = {
        {"databases", NULL, NULL, SHOW_DATABASES},
        {"measurements", NULL, "measurement", SHOW_MEASUREMENTS},
        {"field", "keys", "key", SHOW_FIELD_KEYS},
        {"tag", "keys", "key", SHOW_TAG_KEYS},
        {"tag", "values", "values", SHOW_TAG_VALUES},
        {"series", NULL, "series", SHOW_SERIES},
        {"retention", "policies", NULL, SHOW_RETENTION_POLICIES},
    };
    char first[16] = "", second[16] = "";
    bool is_there;
    if (p->token != TOKEN_WORD) return expected(p, "a word");
    snprintf(first, sizeof first, "%.*s", (int)p->text.size, (const char *)p->text.at);
    enum err e = next(p);
    if (e == OK && (strcasecmp(first, "field") == 0 || strcasecmp(first, "tag") == 0 ||
                    strcasecmp(first, "retention") == 0)) {
        if (p->token == TOKEN_WORD)
            snprintf(second, sizeof second, "%.*s", (int)p->text.size, (const char *)p->text.at);
        e = next(p);
    }
    if (e == OK) e = take_word(p, "exact", &s->is_exact);
    if (e == OK) e = take_word(p, "cardinality", &s->is_cardinality);
    if (e) return e;
    unsigned i = 0, count = sizeof kinds / sizeof *kinds;
    for (; i < count; i++) {
        const char *one = kinds[i].second == NULL ? kinds[i].first : kinds[i].second;
        const char *word = kinds[i].second == NULL ? first : second;
        bool has_first = kinds[i].second == NULL || strcasecmp(kinds[i].first, first) == 0;
        if (has_first &&
            strcasecmp(s->is_cardinality && kinds[i].one != NULL ? kinds[i].one : one, word) == 0)
            break;
    }
    if (i == count)
        return why_set(p->why, ERR_UNSUPPORTED, "SHOW %s %s is not supported", first, second);
    s->kind = kinds[i].kind;
    e = take_on(p, s);
    if (e == OK && s->kind == SHOW_MEASUREMENTS && is_word(p, "with")) {
        e = next(p);
        if (e == OK) e = need_word(p, "measurement");
        if (e == OK) e = parse_key(p, s);
    }
    if (e == OK) e = parse_from(p, &s->sources);
    if (e == OK && s->kind == SHOW_TAG_VALUES) {
        e = need_word(p, "with");
        if (e == OK) e = need_word(p, "key");
        if (e == OK) e = parse_key(p, s);
    }
    if (e == OK) e = parse_where(p, &s->where);
    if (e == OK) e = take_word(p, "order", &is_there); /* BY is read, its order is the only one */
    while (e == OK && is_there && !is_word(p, "limit") && !is_word(p, "offset") &&
           p->token != TOKEN_END && !is_sign(p, ';'))
        e = next(p);
    return e ? e : parse_limits(p, &s->limits);
}

static enum err
parse_statement(struct parser *p, struct statement *s)
{
    enum err e = OK;
    if (is_word(p, "select")) {
        e = next_as(p, true);
        return e ? e : parse_select(p, &s->select);
    }
    if (is_word(p, "show")) {
        e = next(p);
        return e ? e : parse_show(p, s);
    }
    if (is_word(p, "create")) {
        e = next(p);
        if (e == OK && !is_word(p, "database"))
            return why_set(p->why, ERR_UNSUPPORTED, "CREATE %.*s is not supported",
                           (int)(p->text.size < 20 ? p->text.size : 20),
                           p->token == TOKEN_WORD ? (const char *)p->text.at : "");
        s->kind = STATEMENT_CREATE_DATABASE;
        if (e == OK) e = next(p);
        if (e == OK) e = need_name(p, &s->database);
        while (e == OK && p->token != TOKEN_END && !is_sign(p, ';'))
            e = next(p); /* WITH DURATION ...: retention is the server's */
        return e;
    }
    static const char *const others[] = {"alter", "delete", "drop",   "explain",
                                         "grant", "kill",   "revoke", "set"};
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++)
        if (is_word(p, others[i]))
            return why_set(p->why, ERR_UNSUPPORTED, "%s is not supported", others[i]);
    return expected(p, "SELECT, SHOW, CREATE");
}

enum err
influxql_parse(struct bytes text, struct arena *arena, struct budget *budget,
               struct statements *ret, struct why *why)
{
    *ret = (struct statements){.count = 0};
    struct parser p = {.all = text, .arena = arena, .budget = budget, .to = ret, .why = why};
    enum err e = next(&p);
    while (e == OK && p.token != TOKEN_END) {
        if (is_sign(&p, ';')) {
            e = next(&p);
            continue;
        }
        struct statement *items = arena_push(arena, ret->items, ret->count, sizeof *items);
        if (items == NULL) return no_memory(&p);
        ret->items = items;
        items[ret->count] = (struct statement){.kind = STATEMENT_SELECT};
        e = parse_statement(&p, &items[ret->count++]);
        if (e == OK && p.token != TOKEN_END && !is_sign(&p, ';')) e = expected(&p, ";, EOF");
    }
    if (e == OK && ret->count == 0) e = expected(&p, "SELECT, SHOW, CREATE");
    return e;
}

void
statements_free(struct statements *s)
{
    for (uint32_t i = 0; i < s->regex_count; i++)
        matcher_free(s->regexes[i]);
    s->regex_count = 0;
}
