/* parser_fuzz.c - parses arbitrary text. A valid expression is printed, on one line and in several;
 * the printed text is valid, too, and printed the same. A valid selector is one alternative, and
 * alternatives of a selector with matchers have matchers. */
#include <assert.h>

#include "promql/parse/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_BYTES_MAX = 64 << 20 };

static void
check_comes_back(const struct promql_tree *tree)
{
    struct buf line, lines, again_line, error;
    struct promql_tree *again;
    buf_init(&line, NULL, TEXT_BYTES_MAX);
    buf_init(&lines, NULL, TEXT_BYTES_MAX);
    buf_init(&again_line, NULL, TEXT_BYTES_MAX);
    buf_init(&error, NULL, TEXT_BYTES_MAX);
    tree_print(tree->root, &line);
    tree_print_pretty(tree->root, &lines);
    enum err e = promql_parse(buf_bytes(&lines), NULL, NULL, &again, &error);
    assert(e == OK);
    tree_print(again->root, &again_line);
    assert(bytes_equal(buf_bytes(&line), buf_bytes(&again_line)));
    buf_clear(&lines);
    tree_print_json(again->root, &lines);
    assert(buf_error(&lines) == OK);
    promql_free(again);
    buf_fini(&line);
    buf_fini(&lines);
    buf_fini(&again_line);
    buf_fini(&error);
}

static void
check_alternatives(struct bytes text)
{
    struct promql_tree *one, *all;
    struct buf error;
    buf_init(&error, NULL, TEXT_BYTES_MAX);
    enum err selects = promql_parse_selector(text, NULL, NULL, &one, &error);
    buf_clear(&error);
    enum err e = promql_parse_alternatives(text, NULL, NULL, &all, &error);
    assert(e == OK || e == ERR_INPUT || e == ERR_LIMIT);
    assert((e == OK) == (error.size == 0));
    assert(selects != OK || (e == OK && all->set_count == 1));
    if (selects == OK) promql_free(one);
    for (uint32_t i = 0; e == OK && i < all->set_count; i++)
        assert(all->set_count == 1 || all->sets[i].count > 0);
    if (e == OK) promql_free(all);
    buf_fini(&error);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct promql_tree *tree;
    struct buf error;
    buf_init(&error, NULL, TEXT_BYTES_MAX);
    enum err e = promql_parse(bytes_of(data, size), NULL, NULL, &tree, &error);
    assert(e == OK || e == ERR_INPUT || e == ERR_LIMIT);
    assert((e == OK) == (error.size == 0));
    if (e == OK) {
        check_comes_back(tree);
        promql_free(tree);
    }
    buf_fini(&error);
    check_alternatives(bytes_of(data, size));
    return 0;
}
