/* answer.c - see answer.h. */
#include "lib/promql/answer.h"

#include <math.h>
#include <stdlib.h>

#include "lib/test.h"

struct answer
answer_over(struct view *view, const char *text, const struct promql_options *options)
{
    struct answer a = {.e = OK};
    struct why why;
    buf_init(&a.error, NULL, 1 << 20);
    assert_int_equal(promql_parse(bytes_of_text(text), NULL, NULL, &a.tree, &a.error), OK);
    a.e = promql_run(a.tree, view, options, &a.result, &a.error, &why);
    view_free(view);
    return a;
}

void
answer_free(struct answer *a)
{
    promql_result_free(a->result);
    promql_free(a->tree);
    buf_fini(&a->error);
}

struct answer_values *
answer_values_of(struct answer *a, const struct promql_options *o)
{
    struct answer_values *v = malloc(sizeof *v);
    struct bytes labels;
    struct promql_point p;
    assert_non_null(v);
    assert_int_equal(a->e, OK);
    for (unsigned i = 0; i < ANSWER_SERIES * ANSWER_STEPS; i++)
        v->bits[i / ANSWER_STEPS][i % ANSWER_STEPS] = STALE_NAN_BITS;
    while (promql_next_series(a->result, &labels)) {
        struct bytes i = labels_get(labels, bytes_of("i", 1));
        unsigned at = i.size == 1 ? i.at[0] - '0' : 0;
        while (promql_next_point(a->result, false, &p)) {
            v->bits[at][o->step_ms == 0 ? 0 : (p.t_ms - o->first_ms) / o->step_ms] =
                double_bits(p.value);
        }
    }
    return v;
}

bool
answer_is_there(uint64_t bits)
{
    return bits != STALE_NAN_BITS;
}

bool
answer_is_near(double a, double b, double scale)
{
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    if (isinf(a) || isinf(b)) return a == b;
    return fabs(a - b) <= 1e-9 * (fabs(a) + fabs(b) + scale);
}
