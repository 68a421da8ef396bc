/*
 * parser.c - parses tokens to a tree, by recursive descent; operators by precedence.
 *
 * Only the first error is reported, in the words of Prometheus, whose parser is generated from a
 * grammar. An error names the innermost rule of that grammar in which a token is unexpected: here
 * it is the parser's `context`, which a rule sets at the token where the grammar does, and restores
 * at its end. Invariants are those of state.c.
 *
 *     or < and unless < == != <= < >= > </ >/ < + - < * / % atan2 < ^ < unary < offset @ [ ]
 *
 * All operators but ^ group from the left; a sign binds like *, so -2^2 is -(2^2). Suffixes of an
 * expression (offset, @, a range, anchored, smoothed) belong to its last operand.
 */
#include "base/array.h"
#include "base/text/utf8.h"
#include "model/regex/regex.h"
#include "promql/parse/parse_private.h"

#include <assert.h>
#include <strings.h>

/* Selectors of series, and lists of label names. */

/* Compiling a longer expression may take milliseconds. */
enum { LONG_REGEX_BYTES = 256 };

/* --- selectors -------------------------------------------------------------------------------- */

static bool
add_matcher(struct promql_parser *p, struct node *n, struct node_matcher m, struct text_span at)
{
    struct why why;
    struct promql_tree *tree = p->tree;
    struct matcher *made;
    if (!parse_has_room(p, n->selector.matcher_count)) return false;
    bool compiles = m.type == MATCH_REGEX || m.type == MATCH_NOT_REGEX;
    if (compiles && m.value.size >= LONG_REGEX_BYTES && !parse_may_go_on(p)) return false;
    enum err e = matcher_new(m.type, m.name, m.value, tree->budget, &made, &why);
    if (e == ERR_NOMEM) return parse_no_memory(p) != NULL;
    if (e) { /* a regular expression is reported in the words of Go, which Prometheus uses */
        static const char before[] = "invalid regex: ";
        bool is_regex = strncmp(why.text, before, sizeof before - 1) == 0 && !p->failed;
        parse_fail(p, at.begin, "%s", is_regex ? "" : why.text);
        if (is_regex) regex_put_go_words(why.text + sizeof before - 1, p->error);
        return false;
    }
    if (!array_reserve(tree->budget, &tree->matchers, &tree->matcher_capacity,
                       tree->matcher_count + 1)) {
        matcher_free(made);
        return parse_no_memory(p) != NULL;
    }
    tree->matchers[tree->matcher_count++] = made;
    m.matcher = made;
    struct node_matcher *items =
        arena_push(&tree->arena, n->selector.matchers, n->selector.matcher_count, sizeof *items);
    if (items == NULL) return parse_no_memory(p) != NULL;
    n->selector.matchers = items;
    items[n->selector.matcher_count++] = m;
    return true;
}

static bool
take_match_type(struct promql_parser *p, enum matcher_type *ret)
{
    switch (parse_peek(p)->type) {
    case TOKEN_EQUAL:
        *ret = MATCH_EQUAL;
        break;
    case TOKEN_NE:
        *ret = MATCH_NOT_EQUAL;
        break;
    case TOKEN_MATCH_REGEX:
        *ret = MATCH_REGEX;
        break;
    case TOKEN_MATCH_NOT_REGEX:
        *ret = MATCH_NOT_REGEX;
        break;
    default:
        return false;
    }
    parse_take(p);
    return true;
}

static bool
label_matcher(struct promql_parser *p, struct node *n)
{
    struct promql_token name = *parse_peek(p);
    bool quoted = name.type == TOKEN_STRING;
    if (!quoted && name.type != TOKEN_IDENTIFIER) return parse_unexpected(p) != NULL;
    parse_take(p);
    struct node_matcher m = {.name = quoted ? parse_unquote(p, &name) : name.text};
    if (p->failed) return false;
    if (!take_match_type(p, &m.type)) {
        parse_in_context(p, "label matching", "label matching operator");
        if (!quoted) return parse_unexpected(p) != NULL;
        m = (struct node_matcher){MATCH_EQUAL, bytes_of_text("__name__"), m.name, NULL};
        return add_matcher(p, n, m, parse_span(&name));
    }
    parse_in_context(p, "label matching", "string");
    struct promql_token value = *parse_peek(p);
    if (value.type != TOKEN_STRING) return parse_unexpected(p) != NULL;
    parse_take(p);
    m.value = parse_unquote(p, &value);
    return !p->failed && add_matcher(p, n, m, parse_span(&name));
}

/* Adds the set of matchers with which the query reads the view. */
static struct node *
add_set(struct promql_parser *p, struct node *n)
{
    struct promql_tree *tree = p->tree;
    uint32_t count = n->selector.matcher_count;
    struct matcher_set *sets = arena_push(&tree->arena, tree->sets, tree->set_count, sizeof *sets);
    struct matcher **matchers = arena_alloc(&tree->arena, (count + 1) * sizeof *matchers);
    if (sets == NULL || matchers == NULL) return parse_no_memory(p);
    assert(tree->matcher_count >= count); /* the tree owns the matchers of all selectors */
    for (uint32_t i = 0; i < count; i++)
        matchers[i] = n->selector.matchers[i].matcher;
    tree->sets = sets;
    sets[tree->set_count++] = (struct matcher_set){matchers, count};
    return n;
}

/* Adds the matcher of the name, which may be NULL, and the set of all matchers. */
static struct node *
end_matchers(struct promql_parser *p, struct node *n, const struct promql_token *name)
{
    if (name == NULL) return add_set(p, n);
    n->selector.name = name->text;
    struct node_matcher m = {MATCH_EQUAL, bytes_of_text("__name__"), name->text, NULL};
    return add_matcher(p, n, m, parse_span(name)) ? add_set(p, n) : NULL;
}

static bool
label_matchers(struct promql_parser *p, struct node *n, const struct promql_token *name)
{
    struct parse_context before = parse_in_context(p, "label matching", "identifier or \"}\"");
    parse_take(p);
    while (!parse_accept(p, TOKEN_RIGHT_BRACE)) {
        if (!label_matcher(p, n)) return false;
        for (;;) { /* `or` within braces is an identifier like others */
            const struct promql_token *t = parse_peek(p);
            bool is_or = p->has_alternatives && t->type == TOKEN_IDENTIFIER && t->text.size == 2 &&
                         strncasecmp((const char *)t->text.at, "or", 2) == 0;
            if (!is_or) break;
            parse_take(p);
            if (end_matchers(p, n, name) == NULL) return false;
            n->selector.matchers = NULL; /* the next alternative, which must not be empty */
            n->selector.matcher_count = 0;
            parse_in_context(p, "label matching", "identifier");
            if (!label_matcher(p, n)) return false;
        }
        if (parse_accept(p, TOKEN_COMMA)) {
            parse_in_context(p, "label matching", "identifier or \"}\"");
            continue;
        }
        if (parse_peek(p)->type == TOKEN_RIGHT_BRACE) continue;
        parse_in_context(p, "label matching", "\",\" or \"}\"");
        return parse_unexpected(p) != NULL;
    }
    p->context = before;
    n->at.end = p->last_end;
    return true;
}

/* Parses a selector after its name, which has been taken, or NULL. With alternatives the node is
 * that of the last one, and each is a set of the tree. */
static struct node *
parse_selector(struct promql_parser *p, const struct promql_token *name)
{
    const struct promql_token *first = name == NULL ? parse_peek(p) : name;
    struct node *n = parse_node(p, NODE_SELECTOR, VALUE_VECTOR, parse_span(first));
    if (n == NULL) return NULL;
    if (parse_peek(p)->type == TOKEN_LEFT_BRACE && !label_matchers(p, n, name)) return NULL;
    return p->failed ? NULL : end_matchers(p, n, name);
}

/* --- lists of labels -------------------------------------------------------------------------- */

static bool
add_label(struct promql_parser *p, struct labels_named *to)
{
    struct promql_token t = *parse_peek(p);
    bool is_name = t.type == TOKEN_IDENTIFIER || t.type == TOKEN_METRIC_IDENTIFIER ||
                   t.type == TOKEN_STRING || token_is_aggregation(t.type) ||
                   token_is_set_operator(t.type) || t.type == TOKEN_ATAN2 ||
                   (t.type >= TOKEN_OFFSET && t.type <= TOKEN_RANGE && t.type != TOKEN_WITHOUT);
    if (!is_name) return parse_unexpected(p) != NULL;
    parse_take(p);
    struct bytes name = t.type == TOKEN_STRING ? parse_unquote(p, &t) : t.text;
    if (!p->failed && (name.size == 0 || !utf8_valid(name)))
        return parse_fail_quoted(p, t.at, "invalid label name for grouping: ", name, "") != NULL;
    if (!parse_has_room(p, to->count)) return false;
    struct bytes *names = arena_push(&p->tree->arena, to->names, to->count, sizeof *names);
    if (names == NULL) return parse_no_memory(p) != NULL;
    to->names = names;
    names[to->count++] = name;
    return !p->failed;
}

/* Parses (a, b). */
static bool
parse_labels(struct promql_parser *p, struct labels_named *ret)
{
    struct parse_context before = parse_in_context(p, "grouping opts", "\"(\"");
    if (!parse_expect(p, TOKEN_LEFT_PAREN)) return false;
    while (!parse_accept(p, TOKEN_RIGHT_PAREN)) {
        parse_in_context(p, "grouping opts", "label");
        if (!add_label(p, ret)) return false;
        parse_in_context(p, "grouping opts", "\",\" or \")\"");
        if (!parse_accept(p, TOKEN_COMMA) && parse_peek(p)->type != TOKEN_RIGHT_PAREN)
            return parse_unexpected(p) != NULL;
    }
    p->context = before;
    return true;
}

/* --- the functions of PromQL ------------------------------------------------------------------ */

#define ARGUMENTS(...) ((enum value_type[]){VALUE_NONE, ##__VA_ARGS__})

const struct function functions[FUNCTION_COUNT] = {
#define FUNCTION(id, text, type, more, ...)                                                   \
    [FUNCTION_##                                                                              \
        id] = {.name = (text),                                                                \
               .result = (type),                                                              \
               .variadic = (more),                                                            \
               .argument_count = sizeof ARGUMENTS(__VA_ARGS__) / sizeof(enum value_type) - 1, \
               .arguments = {__VA_ARGS__}},
#include "promql/parse/functions.def"
#undef FUNCTION
};

static int
functions_compare(const struct function *f, struct bytes name)
{
    return bytes_compare(bytes_of_text(f->name), name);
}

const struct function *
function_find(struct bytes name)
{
    /* A function of MetricsQL that vmalert uses to restore its state. */
    if (bytes_equal_text(name, "default_rollup")) return &functions[FUNCTION_LAST_OVER_TIME];
    unsigned i = search_first(each, 0u, (unsigned)FUNCTION_COUNT,
                              functions_compare(&functions[each], name) >= 0);
    return i < FUNCTION_COUNT && functions_compare(&functions[i], name) == 0 ? &functions[i] : NULL;
}

/* --- calls ------------------------------------------------------------------------------------ */

static struct node *expression(struct promql_parser *p, unsigned above);

struct call_arguments {
    struct node **items;
    uint32_t count;
    uint32_t depth;
};

static bool
may_begin(enum token_type type)
{
    return token_is_number(type) || token_is_sign(type) || token_may_name_metric(type) ||
           type == TOKEN_STRING || type == TOKEN_LEFT_PAREN || type == TOKEN_LEFT_BRACE;
}

static bool
call_body(struct promql_parser *p, struct call_arguments *ret)
{
    if (!parse_expect(p, TOKEN_LEFT_PAREN)) return false;
    if (parse_accept(p, TOKEN_RIGHT_PAREN)) return true;
    for (;;) {
        struct node *n = expression(p, 0);
        if (n == NULL) return false;
        if (!parse_has_room(p, ret->count)) return false;
        struct node **items = arena_push(&p->tree->arena, ret->items, ret->count, sizeof *items);
        if (items == NULL) return parse_no_memory(p) != NULL;
        ret->items = items;
        items[ret->count++] = n;
        if (n->depth > ret->depth) ret->depth = n->depth;
        if (parse_accept(p, TOKEN_RIGHT_PAREN)) return true;
        struct promql_token comma = *parse_peek(p);
        if (!parse_expect(p, TOKEN_COMMA)) return false;
        if (!may_begin(parse_peek(p)->type)) {
            return parse_fail(p, comma.at, "trailing commas not allowed in function call args") !=
                   NULL;
        }
    }
}

static struct node *
parse_function_call(struct promql_parser *p, const struct promql_token *name)
{
    struct call_arguments arguments = {.items = NULL};
    if (!call_body(p, &arguments)) return NULL;
    const struct function *function = function_find(name->text);
    if (function == NULL)
        return parse_fail_quoted(p, name->at, "unknown function with name ", name->text, "");
    struct node *n =
        parse_node(p, NODE_CALL, function->result, (struct text_span){name->at, p->last_end});
    if (n == NULL) return NULL;
    n->call.function = function;
    n->call.arguments = arguments.items;
    n->call.argument_count = arguments.count;
    for (uint32_t i = 0; i < arguments.count; i++)
        parse_add_depth(p, n, arguments.items[i]);
    return n;
}

static bool
aggregation_modifier(struct promql_parser *p, struct node *n)
{
    enum token_type type = parse_peek(p)->type;
    if (type != TOKEN_BY && type != TOKEN_WITHOUT) return true;
    parse_take(p);
    n->aggregation.without = type == TOKEN_WITHOUT;
    return parse_labels(p, &n->aggregation.labels);
}

static struct node *
aggregation(struct promql_parser *p, const struct promql_token *op)
{
    struct node *n = parse_node(p, NODE_AGGREGATION, VALUE_VECTOR, parse_span(op));
    struct call_arguments arguments = {.items = NULL};
    struct parse_context before = parse_in_context(p, "aggregation", NULL);
    if (n == NULL) return NULL;
    n->aggregation.op = op->type;
    bool first = parse_peek(p)->type != TOKEN_LEFT_PAREN;
    if (first && !aggregation_modifier(p, n)) return NULL;
    if (!call_body(p, &arguments)) return NULL;
    p->context = before;
    if (!first && !aggregation_modifier(p, n)) return NULL;
    n->at.end = p->last_end;
    if (p->failed) return NULL;
    bool takes_param = op->type == TOKEN_TOPK || op->type == TOKEN_BOTTOMK ||
                       op->type == TOKEN_COUNT_VALUES || op->type == TOKEN_QUANTILE ||
                       op->type == TOKEN_LIMITK || op->type == TOKEN_LIMIT_RATIO;
    uint32_t wanted = takes_param ? 2 : 1;
    if (arguments.count == 0)
        return parse_fail(p, op->at, "no arguments for aggregate expression provided");
    if (arguments.count != wanted) {
        return parse_fail(
            p, op->at,
            "wrong number of arguments for aggregate expression provided, expected %u, "
            "got %u",
            wanted, arguments.count);
    }
    n->aggregation.param = wanted == 2 ? arguments.items[0] : NULL;
    n->aggregation.expr = arguments.items[wanted - 1];
    parse_add_depth(p, n, n->aggregation.param);
    parse_add_depth(p, n, n->aggregation.expr);
    return n;
}

/* --- operands --------------------------------------------------------------------------------- */

static struct node *
paren(struct promql_parser *p)
{
    struct promql_token open = parse_take(p);
    struct node *inner = expression(p, 0);
    if (inner == NULL || !parse_expect(p, TOKEN_RIGHT_PAREN)) return NULL;
    struct node *n =
        parse_node(p, NODE_PAREN, inner->type, (struct text_span){open.at, p->last_end});
    if (n == NULL) return NULL;
    n->paren = inner;
    parse_add_depth(p, n, inner);
    return n;
}

static struct node *
sign(struct promql_parser *p)
{
    struct promql_token t = parse_take(p);
    struct node *inner = expression(p, PRECEDENCE_SIGN);
    if (inner == NULL) return NULL;
    if (inner->kind == NODE_NUMBER) {
        if (t.type == TOKEN_SUB) inner->number.value = -inner->number.value;
        inner->at.begin = t.at;
        return inner;
    }
    struct node *n =
        parse_node(p, NODE_UNARY, inner->type, (struct text_span){t.at, inner->at.end});
    if (n == NULL) return NULL;
    n->unary.op = t.type;
    n->unary.expr = inner;
    parse_add_depth(p, n, inner);
    return n;
}

static struct node *
parser_string(struct promql_parser *p)
{
    struct promql_token t = parse_take(p);
    struct node *n = parse_node(p, NODE_STRING, VALUE_STRING, parse_span(&t));
    struct bytes value = parse_unquote(p, &t);
    if (n == NULL || p->failed) return NULL;
    n->string = value;
    return n;
}

static struct node *
operand(struct promql_parser *p)
{
    enum token_type type = parse_peek(p)->type;
    if (p->failed) return NULL;
    if (token_is_sign(type)) return sign(p); /* suffixes belong to the operand of a sign */
    struct node *n;
    if (token_is_number(type))
        n = parse_number(p);
    else if (type == TOKEN_STRING)
        n = parser_string(p);
    else if (type == TOKEN_LEFT_PAREN)
        n = paren(p);
    else if (type == TOKEN_LEFT_BRACE)
        n = parse_selector(p, NULL);
    else if (!token_may_name_metric(type))
        n = parse_unexpected(p);
    else {
        struct promql_token t = parse_take(p);
        enum token_type after = parse_peek(p)->type;
        bool opens = after == TOKEN_LEFT_PAREN, by = after == TOKEN_BY || after == TOKEN_WITHOUT;
        bool calls = t.type == TOKEN_IDENTIFIER || (t.type >= TOKEN_START && t.type <= TOKEN_RANGE);
        if (p->failed) return NULL;
        if (token_is_aggregation(t.type) && (opens || by))
            n = aggregation(p, &t);
        else
            n = opens && calls ? parse_function_call(p, &t) : parse_selector(p, &t);
    }
    return parse_suffixes(p, n);
}

/* --- binary operators ------------------------------------------------------------------------- */

unsigned
parse_precedence(enum token_type op)
{
    static const uint8_t precedences[TOKEN_TYPE_COUNT] = {[TOKEN_OR] = 1,
                                                          [TOKEN_AND] = 2,
                                                          [TOKEN_UNLESS] = 2,
                                                          [TOKEN_ADD] = 4,
                                                          [TOKEN_SUB] = 4,
                                                          [TOKEN_MUL] = PRECEDENCE_SIGN,
                                                          [TOKEN_DIV] = PRECEDENCE_SIGN,
                                                          [TOKEN_MOD] = PRECEDENCE_SIGN,
                                                          [TOKEN_ATAN2] = PRECEDENCE_SIGN,
                                                          [TOKEN_POW] = 6};
    return op >= TOKEN_EQ && op <= TOKEN_TRIM_LOWER ? 3 : precedences[op];
}

static bool
fill_value(struct promql_parser *p, double *ret)
{
    double negative = 1;
    parse_take(p);
    if (!parse_expect(p, TOKEN_LEFT_PAREN)) return false;
    if (token_is_sign(parse_peek(p)->type)) negative = parse_take(p).type == TOKEN_SUB ? -1 : 1;
    if (!token_is_number(parse_peek(p)->type)) return parse_unexpected(p) != NULL;
    const struct node *n = parse_number(p);
    if (n == NULL || !parse_expect(p, TOKEN_RIGHT_PAREN)) return false;
    *ret = negative * n->number.value;
    return true;
}

static bool
fill_modifiers(struct promql_parser *p, struct matching *m)
{
    enum token_type type = parse_peek(p)->type;
    if (type == TOKEN_FILL) {
        m->fills_left = m->fills_right = true;
        if (!fill_value(p, &m->fill_left)) return false;
        m->fill_right = m->fill_left;
        return true;
    }
    while ((type == TOKEN_FILL_LEFT && !m->fills_left) ||
           (type == TOKEN_FILL_RIGHT && !m->fills_right)) {
        bool left = type == TOKEN_FILL_LEFT;
        if (!fill_value(p, left ? &m->fill_left : &m->fill_right)) return false;
        *(left ? &m->fills_left : &m->fills_right) = true;
        type = parse_peek(p)->type;
    }
    return !p->failed;
}

static bool
binary_modifiers(struct promql_parser *p, struct node *n)
{
    struct matching *m = &n->binary.matching;
    n->binary.returns_bool = parse_accept(p, TOKEN_BOOL);
    enum token_type type = parse_peek(p)->type;
    if (type == TOKEN_ON || type == TOKEN_IGNORING) {
        parse_take(p);
        m->on = type == TOKEN_ON;
        if (!parse_labels(p, &m->labels)) return false;
        type = parse_peek(p)->type;
        if (type == TOKEN_GROUP_LEFT || type == TOKEN_GROUP_RIGHT) {
            parse_take(p);
            m->cardinality = type == TOKEN_GROUP_LEFT ? MANY_TO_ONE : ONE_TO_MANY;
            enum token_type after = parse_peek(p)->type;
            bool fills = after >= TOKEN_FILL && after <= TOKEN_FILL_RIGHT;
            bool labels = after == TOKEN_LEFT_PAREN || !(may_begin(after) || fills);
            if (labels && !parse_labels(p, &m->include)) return false;
        }
    }
    return fill_modifiers(p, m);
}

static struct node *
binary(struct promql_parser *p, struct node *left, unsigned precedence)
{
    assert(precedence > 0);
    struct promql_token op = parse_take(p);
    struct node *n = parse_node(p, NODE_BINARY, VALUE_VECTOR, left->at);
    if (n == NULL || !binary_modifiers(p, n)) return NULL;
    struct node *right = expression(p, op.type == TOKEN_POW ? precedence - 1 : precedence);
    if (right == NULL) return NULL;
    n->at.end = right->at.end;
    n->binary.op = op.type;
    n->binary.left = left;
    n->binary.right = right;
    if (left->type == VALUE_SCALAR && right->type == VALUE_SCALAR) n->type = VALUE_SCALAR;
    parse_add_depth(p, n, left);
    parse_add_depth(p, n, right);
    return n;
}

/* Parses an expression of operators that bind tighter than `above`. */
static struct node *
expression(struct promql_parser *p, unsigned above)
{
    if (!parse_is_unnested(p)) return NULL;
    p->nesting++;
    struct node *n = operand(p);
    while (n != NULL && !p->failed) {
        unsigned precedence = parse_precedence(parse_peek(p)->type);
        if (precedence <= above) break;
        n = binary(p, n, precedence);
    }
    assert(p->nesting > 0); /* invariant 3 of state.c */
    p->nesting--;
    return p->failed ? NULL : n;
}

/* --- expressions and trees -------------------------------------------------------------------- */

static void
parse_expression(struct promql_parser *p)
{
    if (parse_peek(p)->type == TOKEN_END && !p->failed) {
        parse_fail(p, 0, "no expression found in input");
        return;
    }
    p->tree->root = expression(p, 0);
    if (!p->failed && parse_peek(p)->type != TOKEN_END) parse_unexpected(p);
    if (!p->failed) tree_check(p);
}

static void
parse_series(struct promql_parser *p)
{
    enum token_type type = parse_peek(p)->type;
    if (token_may_name_metric(type)) {
        struct promql_token name = parse_take(p);
        p->tree->root = parse_selector(p, &name);
    } else if (type == TOKEN_LEFT_BRACE) {
        p->tree->root = parse_selector(p, NULL);
    } else {
        parse_unexpected(p);
    }
    if (!p->failed && parse_peek(p)->type != TOKEN_END) parse_unexpected(p);
}

static void
parse_alternatives(struct promql_parser *p)
{
    p->has_alternatives = true;
    parse_series(p);
}

static enum err
parse(struct bytes text, void (*rule)(struct promql_parser *p), struct budget *budget,
      struct query_control *control, struct promql_tree **ret_tree, struct buf *error)
{
    if (text.size > TREE_TEXT_BYTES_MAX) {
        buf_printf(error, "expression is longer than %d bytes", TREE_TEXT_BYTES_MAX);
        return ERR_LIMIT;
    }
    struct promql_tree *tree = mem_new(budget, sizeof *tree);
    struct promql_parser p = {.tree = tree, .control = control, .error = error};
    if (tree == NULL) return ERR_NOMEM;
    tree->budget = budget;
    arena_init(&tree->arena, budget, 0, TREE_BLOCK_BYTES);
    tree->text = arena_copy(&tree->arena, text);
    buf_init(&p.lexer_error, budget, TREE_TEXT_BYTES_MAX);
    buf_init(&p.scratch, budget, TREE_TEXT_BYTES_MAX);
    lexer_init(&p.lexer, tree->text, &p.lexer_error);
    if (tree->text.at == NULL && text.size > 0)
        parse_no_memory(&p);
    else
        rule(&p);
    assert(p.nesting == 0);                 /* invariant 3 of state.c */
    assert(p.failed || tree->root != NULL); /* invariant 6 of state.c */
    enum err e = err_first(p.failed, buf_error(&p.lexer_error));
    /* Without memory for its sentence an error cannot be reported. */
    if (buf_error(&p.lexer_error) == ERR_NOMEM || buf_error(error) == ERR_NOMEM) e = ERR_NOMEM;
    buf_fini(&p.lexer_error);
    buf_fini(&p.scratch);
    if (e) {
        promql_free(tree);
        return e;
    }
#ifdef LOCK_CHECK
    if (rule == parse_expression) tree_validate(tree);
#endif
    *ret_tree = tree;
    return OK;
}

enum err
promql_parse(struct bytes text, struct budget *budget, struct query_control *control,
             struct promql_tree **ret_tree, struct buf *error)
{
    return parse(text, parse_expression, budget, control, ret_tree, error);
}

enum err
promql_parse_selector(struct bytes text, struct budget *budget, struct query_control *control,
                      struct promql_tree **ret_tree, struct buf *error)
{
    return parse(text, parse_series, budget, control, ret_tree, error);
}

enum err
promql_parse_alternatives(struct bytes text, struct budget *budget, struct query_control *control,
                          struct promql_tree **ret_tree, struct buf *error)
{
    return parse(text, parse_alternatives, budget, control, ret_tree, error);
}

void
promql_free(struct promql_tree *tree)
{
    if (tree == NULL) return;
    for (uint32_t i = 0; i < tree->matcher_count; i++)
        matcher_free(tree->matchers[i]);
    array_free(tree->budget, tree->matchers, tree->matcher_capacity);
    arena_fini(&tree->arena);
    mem_free(tree->budget, tree, sizeof *tree);
}
