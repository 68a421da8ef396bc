/* parse_fuzz.c - parses any text as statements of InfluxQL. */
#include <assert.h>

#include "influxql/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_expr(const struct expr *x)
{
    assert(x->kind != EXPR_BINARY || x->item_count == 2);
    assert(x->kind != EXPR_PAREN || x->item_count == 1);
    assert(x->kind != EXPR_REGEX || x->regex != NULL);
    for (uint32_t i = 0; i < x->item_count; i++)
        check_expr(x->items[i]);
}

static void
check_select(const struct select *s)
{
    assert(s->column_count > 0 && s->sources.count > 0 && s->interval_ns >= 0);
    for (uint32_t i = 0; i < s->column_count; i++)
        check_expr(s->columns[i].expr);
    for (uint32_t i = 0; i < s->sources.count; i++)
        if (s->sources.items[i].subquery != NULL) check_select(s->sources.items[i].subquery);
    if (s->where != NULL) check_expr(s->where);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct budget budget;
    struct arena arena;
    struct statements statements;
    struct why why = {""};
    budget_init(&budget, "fuzz", 0, NULL);
    arena_init(&arena, &budget, 64 << 20, 0);
    enum err e = influxql_parse(bytes_of(data, size), &arena, &budget, &statements, &why);
    assert(e == OK || why.text[0] != '\0');
    assert(e != OK || statements.count > 0);
    for (uint32_t i = 0; i < statements.count && e == OK; i++)
        if (statements.items[i].select != NULL) check_select(statements.items[i].select);
    statements_free(&statements);
    arena_fini(&arena);
    assert(budget_used(&budget) == 0);
    return 0;
}
