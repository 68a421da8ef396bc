/* parse.c - see tree.h: a lexer, and a parser that descends by precedence. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/text/quote.h"
#include "influxql/tree.h"
#include "sys/env.h"
#include "wire/number.h"

enum { DEPTH_MAX = 100, HEIGHT_MAX = 1000, ITEMS_MAX = 10000 };

#define INTERVAL_MAX_NS (INT64_C(36500) * 86400 * NS_PER_S)

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
    enum err error;
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

/* --- errors ----------------------------------------------------------------------------------- */

/* Ends the parse with its first error: from then on there are no tokens. */
PRINTF_LIKE(3, 4)
static void
fail(struct parser *p, enum err e, const char *format, ...)
{
    char sentence[sizeof p->why->text];
    va_list arguments;
    if (p->error == OK) {
        va_start(arguments, format);
        vsnprintf(sentence, sizeof sentence, format, arguments);
        va_end(arguments);
        p->error = why_set(p->why, e, "%s", sentence);
    }
    p->token = TOKEN_END;
}

/* Says what was found where something else is expected, as InfluxDB does. */
static void
expected(struct parser *p, const char *what)
{
    unsigned line = 1, column = 1;
    for (size_t i = 0; i < p->from && p->error == OK; i++) {
        column = p->all.at[i] == '\n' ? 1 : column + 1;
        line += p->all.at[i] == '\n';
    }
    struct shown shown = shown_of(bytes_of(p->all.at + p->from, p->at - p->from));
    fail(p, ERR_INPUT, "error parsing query: found %s, expected %s at line %u, char %u",
         p->token == TOKEN_END ? "EOF" : shown.text, what, line, column);
}

static void *
take_memory(struct parser *p, size_t size)
{
    void *memory = arena_new(p->arena, size);
    if (memory == NULL) fail(p, ERR_NOMEM, "not enough memory for the query");
    return memory;
}

/* Makes room for one more item; NULL is an error. */
static void *
push(struct parser *p, void *items, uint32_t count, size_t size)
{
    if (count == ITEMS_MAX) {
        fail(p, ERR_LIMIT, "a list is too long");
        return NULL;
    }
    void *all = arena_push(p->arena, items, count, size);
    if (all == NULL) fail(p, ERR_NOMEM, "not enough memory for the query");
    return all;
}

/* --- tokens ----------------------------------------------------------------------------------- */

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

/* Takes memory for a text that ends with a character without a backslash before it; its size is at
 * most that of the rest of the token. NULL: it has no end, or memory ran out. */
static uint8_t *
text_alloc(struct parser *p, uint8_t end)
{
    size_t at = p->at + 1;
    while (at < p->all.size && p->all.at[at] != end && p->all.at[at] != '\n')
        at += p->all.at[at] == '\\' ? 2 : 1;
    if (at >= p->all.size || p->all.at[at] != end) return NULL;
    return take_memory(p, at - p->at);
}

/* Reads a text up to its quote. False: it has none, or another escape than InfluxDB knows. */
static bool
read_quoted(struct parser *p, uint8_t quote)
{
    uint8_t *to = text_alloc(p, quote);
    size_t size = 0;
    if (to == NULL) return false;
    for (p->at++; p->all.at[p->at] != quote; p->at++) {
        uint8_t c = p->all.at[p->at];
        if (c == '\\') {
            c = p->all.at[++p->at];
            if (c == 'n')
                c = '\n';
            else if (c != '\\' && c != '"' && c != '\'')
                return false;
        }
        to[size++] = c;
    }
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
                __builtin_add_overflow(part, p->all.at[from] - '0', &part)) {
                fail(p, ERR_INPUT, "a number is larger than 9223372036854775807");
                return false;
            }
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

/* Reads a regular expression, whose first slash is at the place of the next token. */
static bool
read_regex(struct parser *p)
{
    uint8_t *to = text_alloc(p, '/');
    size_t size = 0;
    if (to == NULL) return false;
    for (p->at++; p->all.at[p->at] != '/'; p->at++) {
        if (p->all.at[p->at] == '\\') {
            if (p->all.at[p->at + 1] != '/') to[size++] = '\\';
            p->at++;
        }
        to[size++] = p->all.at[p->at];
    }
    p->at++;
    p->token = TOKEN_REGEX;
    p->text = bytes_of(to, size);
    return true;
}

/* Reads the next token. With `is_operand` a slash begins a regular expression. */
static void
next_as(struct parser *p, bool is_operand)
{
    bool is_good = true;
    if (p->error != OK) return;
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
        p->token = c == '"' ? TOKEN_NAME : TOKEN_STRING;
        is_good = read_quoted(p, c);
    } else if (is_digit(c) || (c == '.' && is_digit(look(p, 1)))) {
        is_good = read_number(p);
    } else if (c == '/' && is_operand) {
        is_good = read_regex(p);
    } else {
        is_good = read_sign(p);
    }
    if (!is_good) expected(p, "a name, a number or a text");
}

static void
next(struct parser *p)
{
    next_as(p, false);
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

/* Takes a keyword if it is there. */
static bool
take_word(struct parser *p, const char *word)
{
    if (!is_word(p, word)) return false;
    next(p);
    return true;
}

static void
need_word(struct parser *p, const char *word)
{
    if (!take_word(p, word)) expected(p, word);
}

/* Takes one of ( ) , if it is there; what follows is an operand. */
static bool
take_sign(struct parser *p, char sign)
{
    if (!is_sign(p, sign)) return false;
    next_as(p, sign != ')');
    return true;
}

static void
need_sign(struct parser *p, char sign)
{
    char what[2] = {sign, '\0'};
    if (!take_sign(p, sign)) expected(p, what);
}

/* Takes a name, in quotes or without. */
static struct bytes
need_name(struct parser *p)
{
    struct bytes name = p->text;
    if (p->token == TOKEN_WORD || p->token == TOKEN_NAME)
        next(p);
    else
        expected(p, "identifier");
    return name;
}

/* Takes the regular expression that is looked at; a matcher that finds it anywhere. */
static struct matcher *
take_regex(struct parser *p)
{
    struct buf pattern;
    struct matcher *regex = NULL;
    struct matcher **regexes =
        push(p, p->to->regexes, p->to->regex_count, sizeof(struct matcher *));
    if (regexes == NULL) return NULL;
    p->to->regexes = regexes;
    buf_init(&pattern, p->budget, MATCHER_PATTERN_BYTES_MAX);
    buf_put_text(&pattern, "(?s:.*)(?-s:");
    buf_put_bytes(&pattern, p->text);
    buf_put_text(&pattern, ")(?s:.*)");
    enum err e = buf_error(&pattern);
    struct why why = {"a regular expression is too long"};
    if (e == OK)
        e = matcher_new(MATCH_REGEX, bytes_of_text("x"), buf_bytes(&pattern), p->budget, &regex,
                        &why);
    buf_fini(&pattern);
    if (e == ERR_NOMEM)
        fail(p, e, "not enough memory for the query");
    else if (e)
        fail(p, e, "%s", why.text);
    else
        regexes[p->to->regex_count++] = regex;
    next(p);
    return regex;
}

static bool
nests_too_deep(struct parser *p)
{
    if (p->depth < DEPTH_MAX) return false;
    fail(p, ERR_LIMIT, "the query nests too deep");
    return true;
}

/* --- expressions ------------------------------------------------------------------------------ */

static struct expr *parse_expr(struct parser *p, unsigned level);
static struct select *parse_select(struct parser *p);

/* Stands for an expression after an error. */
static struct expr nothing = {.kind = EXPR_BOOLEAN}; /* is never changed */

static struct expr *
expr_new(struct parser *p, enum expr_kind kind)
{
    struct expr *x = take_memory(p, sizeof *x);
    if (x == NULL) return &nothing;
    x->kind = kind;
    return x;
}

static void
add_item(struct parser *p, struct expr *to, struct expr *item)
{
    struct expr **items = push(p, to->items, to->item_count, sizeof(struct expr *));
    if (items == NULL || p->error != OK) return;
    to->items = items;
    items[to->item_count++] = item;
    if (to->height <= item->height) to->height = item->height + 1;
    if (to->height > HEIGHT_MAX) fail(p, ERR_LIMIT, "an expression is too long");
}

static struct expr *
binary_new(struct parser *p, enum op op, struct expr *left, struct expr *right)
{
    struct expr *x = expr_new(p, EXPR_BINARY);
    if (x == &nothing) return x;
    x->op = op;
    add_item(p, x, left);
    add_item(p, x, right);
    return x;
}

/* Takes "::field", "::tag" or a type, if it is there. */
static enum cast
take_cast(struct parser *p)
{
    static const char *const words[] = {"",        "field",  "tag",    "float",
                                        "integer", "string", "boolean"};
    if (!is_sign(p, ':')) return CAST_NONE;
    next(p);
    for (unsigned i = 1; i < sizeof words / sizeof *words; i++)
        if (take_word(p, words[i])) return (enum cast)i;
    expected(p, "field, tag, float, integer, string, boolean");
    return CAST_NONE;
}

/* Parses the arguments of a call. */
static void
parse_call(struct parser *p, struct expr *call)
{
    uint8_t *lower = take_memory(p, call->text.size + 1);
    for (size_t i = 0; i < call->text.size && lower != NULL; i++) {
        uint8_t c = call->text.at[i];
        lower[i] = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
    }
    if (lower != NULL) call->text.at = lower;
    call->kind = EXPR_CALL;
    need_sign(p, '(');
    if (take_sign(p, ')')) return;
    do
        add_item(p, call, parse_expr(p, 0));
    while (take_sign(p, ','));
    need_sign(p, ')');
}

static void
parse_name(struct parser *p, struct expr *x)
{
    bool is_plain = p->token == TOKEN_WORD;
    x->kind = EXPR_NAME;
    if (is_plain && (is_word(p, "true") || is_word(p, "false"))) {
        x->kind = EXPR_BOOLEAN;
        x->integer = is_word(p, "true");
        next(p);
        return;
    }
    next(p);
    if (is_plain && is_sign(p, '('))
        parse_call(p, x);
    else
        x->cast = take_cast(p);
    bool is_now = x->kind == EXPR_CALL && bytes_equal_text(x->text, "now") && x->item_count == 0;
    if (is_now) x->kind = EXPR_NOW;
}

/* Parses an operand with a sign: a number, or something times 1 or -1. */
static struct expr *parse_operand(struct parser *p);
static struct expr *
parse_signed(struct parser *p)
{
    int sign = p->op == OP_SUBTRACT ? -1 : 1;
    if (nests_too_deep(p)) return &nothing;
    p->depth++;
    next(p);
    struct expr *item = parse_operand(p);
    p->depth--;
    if (p->error != OK) return &nothing;
    if (item->kind == EXPR_INTEGER || item->kind == EXPR_NUMBER || item->kind == EXPR_DURATION) {
        item->integer *= sign;
        item->number *= sign;
        return item;
    }
    struct expr *factor = expr_new(p, EXPR_INTEGER);
    if (factor == &nothing) return factor;
    factor->integer = sign;
    return binary_new(p, OP_MULTIPLY, factor, item);
}

/* Parses what has no operator outside of parentheses. */
static struct expr *
parse_operand(struct parser *p)
{
    static const enum expr_kind kinds[] = {
        [TOKEN_STRING] = EXPR_STRING,   [TOKEN_NUMBER] = EXPR_NUMBER,
        [TOKEN_INTEGER] = EXPR_INTEGER, [TOKEN_DURATION] = EXPR_DURATION,
        [TOKEN_REGEX] = EXPR_REGEX,     [TOKEN_OP] = EXPR_WILDCARD,
        [TOKEN_SIGN] = EXPR_PAREN,
    };
    bool is_op = p->token == TOKEN_OP;
    if (is_op && (p->op == OP_SUBTRACT || p->op == OP_ADD)) return parse_signed(p);
    bool is_operand = p->token != TOKEN_END && (!is_op || p->op == OP_MULTIPLY) &&
                      (p->token != TOKEN_SIGN || p->sign == '(');
    if (!is_operand) expected(p, "identifier, string, number, bool");
    struct expr *x = p->error ? &nothing : expr_new(p, EXPR_NAME);
    if (x == &nothing) return x;
    x->text = p->text;
    x->integer = p->integer;
    x->number = p->number;
    if (p->token == TOKEN_WORD || p->token == TOKEN_NAME) {
        parse_name(p, x);
        return x;
    }
    x->kind = kinds[p->token];
    if (x->kind == EXPR_REGEX) {
        x->regex = take_regex(p);
    } else if (x->kind == EXPR_PAREN) {
        next_as(p, true);
        add_item(p, x, parse_expr(p, 0));
        need_sign(p, ')');
    } else {
        next(p);
        if (x->kind == EXPR_WILDCARD) x->cast = take_cast(p);
    }
    return x;
}

/* The level of an operator that is looked at, the lowest first; 0: it is none. */
static unsigned
level_of(const struct parser *p, enum op *ret_op)
{
    *ret_op = is_word(p, "or")       ? OP_OR
              : is_word(p, "and")    ? OP_AND
              : p->token == TOKEN_OP ? p->op
                                     : OP_NONE;
    return *ret_op == OP_NONE      ? 0
           : *ret_op == OP_OR      ? 1
           : *ret_op == OP_AND     ? 2
           : *ret_op < OP_ADD      ? 3
           : *ret_op < OP_MULTIPLY ? 4
                                   : 5;
}

/* Parses operators above a level. */
static struct expr *
parse_expr(struct parser *p, unsigned level)
{
    unsigned own;
    enum op op;
    if (nests_too_deep(p)) return &nothing;
    p->depth++;
    struct expr *x = parse_operand(p);
    while ((own = level_of(p, &op)) > level) {
        next_as(p, op == OP_MATCHES || op == OP_MATCHES_NOT);
        x = binary_new(p, op, x, parse_expr(p, own));
    }
    p->depth--;
    return x;
}

/* --- clauses ---------------------------------------------------------------------------------- */

/* Parses a source: "db"."rp"."name", "db"."rp"./regex/, "db"..name, /regex/, or a subquery. */
static struct iql_source
parse_source(struct parser *p)
{
    struct iql_source source = {.subquery = NULL};
    struct bytes parts[3];
    unsigned count = 0;
    if (is_sign(p, '(')) {
        if (nests_too_deep(p)) return source;
        p->depth++;
        next(p);
        need_word(p, "select");
        source.subquery = parse_select(p);
        p->depth--;
        need_sign(p, ')');
        return source;
    }
    for (;; next_as(p, true)) {
        if (p->token == TOKEN_REGEX) {
            if (count == 2) source.database = parts[0];
            source.regex = take_regex(p);
            return source;
        }
        parts[count] = bytes_of(NULL, 0);
        if (!is_sign(p, '.') || count == 0) parts[count] = need_name(p);
        count++;
        if (!is_sign(p, '.') || count == 3) break;
    }
    source.name = parts[count - 1];
    if (count == 3) source.database = parts[0];
    return source;
}

/* Parses FROM and what it names, if it is there. */
static void
parse_from(struct parser *p, struct iql_sources *to)
{
    if (!is_word(p, "from")) return;
    next_as(p, true);
    do {
        struct iql_source *items = push(p, to->items, to->count, sizeof *items);
        if (items == NULL) return;
        to->items = items;
        items[to->count++] = parse_source(p);
    } while (take_sign(p, ','));
}

static struct expr *
parse_where(struct parser *p)
{
    return take_word(p, "where") ? parse_expr(p, 0) : NULL;
}

static void
parse_limits(struct parser *p, struct limits *to)
{
    static const char *const words[] = {"limit", "offset", "slimit", "soffset"};
    uint64_t *const numbers[] = {&to->limit, &to->offset, &to->series_limit, &to->series_offset};
    for (unsigned i = 0; i < 4; i++) {
        if (!take_word(p, words[i])) continue;
        if (p->token != TOKEN_INTEGER) expected(p, "integer");
        *numbers[i] = (uint64_t)p->integer;
        next(p);
    }
}

/* Parses GROUP BY time(interval, offset) after its first word. */
static void
parse_interval(struct parser *p, struct select *s)
{
    if (s->interval_ns != 0) fail(p, ERR_INPUT, "multiple time dimensions not allowed");
    need_sign(p, '(');
    if (p->token != TOKEN_DURATION) expected(p, "duration");
    s->interval_ns = p->integer;
    if (s->interval_ns <= 0 || s->interval_ns > INTERVAL_MAX_NS)
        fail(p, ERR_INPUT, "time() needs an interval above 0, of at most 36500d");
    next(p);
    if (take_sign(p, ',')) {
        struct expr *offset = parse_operand(p);
        s->offset_ns = offset->integer;
        if (offset->kind != EXPR_DURATION)
            fail(p, ERR_UNSUPPORTED, "the offset of time() must be a duration");
    }
    need_sign(p, ')');
}

static void
parse_group(struct parser *p, struct select *s)
{
    if (!is_word(p, "by")) expected(p, "BY");
    next_as(p, true);
    do {
        if (take_word(p, "time")) {
            parse_interval(p, s);
            continue;
        }
        struct expr *x = parse_operand(p);
        if (x->kind != EXPR_NAME && x->kind != EXPR_WILDCARD && x->kind != EXPR_REGEX)
            fail(p, ERR_INPUT, "only time and tag dimensions allowed");
        struct expr **tags = push(p, s->tags, s->tag_count, sizeof(struct expr *));
        if (tags == NULL) return;
        s->tags = tags;
        tags[s->tag_count++] = x;
    } while (take_sign(p, ','));
}

static void
parse_fill(struct parser *p, struct select *s)
{
    static const char *const words[] = {[FILL_NULL] = "null",
                                        [FILL_NONE] = "none",
                                        [FILL_NUMBER] = "",
                                        [FILL_PREVIOUS] = "previous",
                                        [FILL_LINEAR] = "linear"};
    need_sign(p, '(');
    struct expr *x = parse_operand(p);
    bool is_number = x->kind == EXPR_INTEGER || x->kind == EXPR_NUMBER, is_known = is_number;
    s->fill = FILL_NUMBER;
    s->fill_number = x->kind == EXPR_INTEGER ? (double)x->integer : x->number;
    for (unsigned i = 0; i < sizeof words / sizeof *words && !is_number; i++) {
        if (x->kind != EXPR_NAME || !bytes_equal_text(x->text, words[i])) continue;
        s->fill = (enum iql_fill)i;
        is_known = true;
    }
    if (!is_known) expected(p, "a number, null, none, previous or linear");
    need_sign(p, ')');
}

static void
parse_order(struct parser *p, struct select *s)
{
    need_word(p, "by");
    bool is_time = take_word(p, "time");
    s->is_descending = take_word(p, "desc");
    if (!s->is_descending && !take_word(p, "asc") && !is_time)
        fail(p, ERR_INPUT, "only ORDER BY time supported at this time");
}

static void
parse_columns(struct parser *p, struct select *s)
{
    do {
        struct iql_column *columns = push(p, s->columns, s->column_count, sizeof *columns);
        if (columns == NULL) return;
        s->columns = columns;
        struct iql_column *c = &columns[s->column_count++];
        *c = (struct iql_column){.expr = parse_expr(p, 0)};
        if (take_word(p, "as")) c->alias = need_name(p);
    } while (take_sign(p, ','));
}

/* Parses a SELECT after this word. */
static struct select *
parse_select(struct parser *p)
{
    struct select *s = take_memory(p, sizeof *s);
    if (s == NULL) return NULL;
    p->at = p->from; /* the first operand may be a regular expression */
    next_as(p, true);
    parse_columns(p, s);
    if (is_word(p, "into"))
        fail(p, ERR_UNSUPPORTED, "SELECT INTO is not supported: recording rules write results");
    if (!is_word(p, "from")) expected(p, "FROM");
    parse_from(p, &s->sources);
    s->where = parse_where(p);
    if (take_word(p, "group")) parse_group(p, s);
    if (take_word(p, "fill")) parse_fill(p, s);
    if (take_word(p, "order")) parse_order(p, s);
    parse_limits(p, &s->limits);
    if (take_word(p, "tz")) {
        need_sign(p, '(');
        if (p->token != TOKEN_STRING) expected(p, "string");
        s->zone = p->text;
        next(p);
        need_sign(p, ')');
    }
    return s;
}

/* --- statements ------------------------------------------------------------------------------- */

static void
add_name(struct parser *p, struct statement *s)
{
    struct bytes *names = push(p, s->names, s->name_count, sizeof *names);
    if (names == NULL) return;
    s->names = names;
    names[s->name_count++] = need_name(p);
}

/* Parses the condition of WITH KEY or WITH MEASUREMENT. */
static void
parse_key(struct parser *p, struct statement *s)
{
    if (take_word(p, "in")) {
        need_sign(p, '(');
        do
            add_name(p, s);
        while (take_sign(p, ','));
        need_sign(p, ')');
        return;
    }
    if (p->token != TOKEN_OP || p->op < OP_EQUAL || p->op > OP_MATCHES_NOT)
        expected(p, "IN, =, !=, =~, !~");
    s->key_op = p->op;
    next_as(p, true);
    if (s->key_op < OP_MATCHES)
        add_name(p, s);
    else if (p->token == TOKEN_REGEX)
        s->key_regex = take_regex(p);
    else
        expected(p, "regex");
}

/* Parses what follows SHOW. */
static void
parse_show(struct parser *p, struct statement *s)
{
    static const struct {
        const char *words[2]; /* before CARDINALITY the last one may lack its "s" */
        enum statement_kind kind;
    } kinds[] = {
        {{"databases", ""}, SHOW_DATABASES},
        {{"measurements", ""}, SHOW_MEASUREMENTS},
        {{"measurement", ""}, SHOW_MEASUREMENTS},
        {{"field", "keys"}, SHOW_FIELD_KEYS},
        {{"field", "key"}, SHOW_FIELD_KEYS},
        {{"tag", "keys"}, SHOW_TAG_KEYS},
        {{"tag", "key"}, SHOW_TAG_KEYS},
        {{"tag", "values"}, SHOW_TAG_VALUES},
        {{"series", ""}, SHOW_SERIES},
        {{"retention", "policies"}, SHOW_RETENTION_POLICIES},
    };
    struct bytes first = p->text;
    if (p->token != TOKEN_WORD) expected(p, "a word");
    unsigned i = 0, count = sizeof kinds / sizeof *kinds;
    bool is_known = false;
    for (; i < count && !is_known; i++) {
        size_t from = p->from;
        if (!take_word(p, kinds[i].words[0])) continue;
        is_known = kinds[i].words[1][0] == '\0' || take_word(p, kinds[i].words[1]);
        if (is_known) break;
        p->at = from; /* another second word may fit */
        next(p);
    }
    if (!is_known) fail(p, ERR_UNSUPPORTED, "SHOW %s is not supported", shown_of(first).text);
    if (p->error) return;
    s->kind = kinds[i].kind;
    s->is_exact = take_word(p, "exact");
    s->is_cardinality = take_word(p, "cardinality");
    if (take_word(p, "on")) s->database = need_name(p);
    if (s->kind == SHOW_MEASUREMENTS && take_word(p, "with")) {
        need_word(p, "measurement");
        parse_key(p, s);
    }
    parse_from(p, &s->sources);
    if (s->kind == SHOW_TAG_VALUES) {
        need_word(p, "with");
        need_word(p, "key");
        parse_key(p, s);
    }
    s->where = parse_where(p);
    if (take_word(p, "order")) parse_order(p, &(struct select){.interval_ns = 0});
    parse_limits(p, &s->limits);
}

static void
parse_statement(struct parser *p, struct statement *s)
{
    if (is_word(p, "select")) {
        next_as(p, true);
        s->select = parse_select(p);
    } else if (take_word(p, "show")) {
        parse_show(p, s);
    } else if (take_word(p, "create") && take_word(p, "database")) {
        s->kind = STATEMENT_CREATE_DATABASE;
        s->database = need_name(p);
        while (p->token != TOKEN_END && !is_sign(p, ';'))
            next(p); /* WITH DURATION ...: retention is the server's */
    } else {
        static const char *const others[] = {"alter", "delete",    "drop",         "explain",
                                             "grant", "kill",      "revoke",       "set",
                                             "user",  "retention", "subscription", "continuous"};
        for (unsigned i = 0; i < sizeof others / sizeof *others; i++)
            if (is_word(p, others[i])) fail(p, ERR_UNSUPPORTED, "%s is not supported", others[i]);
        expected(p, "SELECT, SHOW, CREATE");
    }
}

enum err
influxql_parse(struct bytes text, struct arena *arena, struct budget *budget,
               struct statements *ret, struct why *why)
{
    *ret = (struct statements){.count = 0};
    struct parser p = {.all = text, .arena = arena, .budget = budget, .to = ret, .why = why};
    next(&p);
    while (p.token != TOKEN_END) {
        if (is_sign(&p, ';')) {
            next(&p);
            continue;
        }
        struct statement *items = push(&p, ret->items, ret->count, sizeof *items);
        if (items == NULL) break;
        ret->items = items;
        items[ret->count] = (struct statement){.kind = STATEMENT_SELECT};
        parse_statement(&p, &items[ret->count++]);
        if (p.token != TOKEN_END && !is_sign(&p, ';')) expected(&p, ";, EOF");
    }
    if (ret->count == 0) expected(&p, "SELECT, SHOW, CREATE");
    return p.error;
}

void
statements_free(struct statements *s)
{
    for (uint32_t i = 0; i < s->regex_count; i++)
        matcher_free(s->regexes[i]);
    s->regex_count = 0;
}
