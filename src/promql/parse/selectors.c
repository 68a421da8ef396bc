/* selectors.c - selectors of series, and lists of label names. */
#include <assert.h>
#include <strings.h>

#include "base/array.h"
#include "base/text/utf8.h"
#include "model/regex/regex.h"
#include "promql/parse/parse_private.h"

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
    for (uint32_t i = 0; i < count; i++) {
        matchers[i] = n->selector.matchers[i].matcher;
    }
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

struct node *
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
    if (!p->failed && (name.size == 0 || !utf8_valid(name))) {
        return parse_fail_quoted(p, t.at, "invalid label name for grouping: ", name, "") != NULL;
    }
    if (!parse_has_room(p, to->count)) return false;
    struct bytes *names = arena_push(&p->tree->arena, to->names, to->count, sizeof *names);
    if (names == NULL) return parse_no_memory(p) != NULL;
    to->names = names;
    names[to->count++] = name;
    return !p->failed;
}

bool
parse_labels(struct promql_parser *p, struct labels_named *ret)
{
    struct parse_context before = parse_in_context(p, "grouping opts", "\"(\"");
    if (!parse_expect(p, TOKEN_LEFT_PAREN)) return false;
    while (!parse_accept(p, TOKEN_RIGHT_PAREN)) {
        parse_in_context(p, "grouping opts", "label");
        if (!add_label(p, ret)) return false;
        parse_in_context(p, "grouping opts", "\",\" or \")\"");
        if (!parse_accept(p, TOKEN_COMMA) && parse_peek(p)->type != TOKEN_RIGHT_PAREN) {
            return parse_unexpected(p) != NULL;
        }
    }
    p->context = before;
    return true;
}
