/* durations.c - computes durations at the times of a query. */
#include <inttypes.h>
#include <math.h>

#include "promql/eval/plan/durations.h"

/* Puts an error with the bytes that it is about, as Prometheus does. */
static bool
refuse(const struct node *n, const char *what, struct buf *error)
{
    buf_printf(error, "%" PRIu32 ":%" PRIu32 ": %s", n->at.begin, n->at.end, what);
    return false;
}

static bool
seconds_of(const struct node *n, const struct query_times *times, double *ret, struct buf *error)
{
    double left = 0, right = 0;
    if (n->kind == NODE_NUMBER) {
        *ret = n->number.value;
        return true;
    }
    if (n->duration.left != NULL && !seconds_of(n->duration.left, times, &left, error)) {
        return false;
    }
    if (n->duration.right != NULL && !seconds_of(n->duration.right, times, &right, error)) {
        return false;
    }
    switch (n->duration.op) {
    case TOKEN_STEP:
        *ret = (double)times->step_ms / 1000;
        return true;
    case TOKEN_RANGE:
        *ret = (double)((uint64_t)times->last_ms - (uint64_t)times->first_ms) / 1000;
        return true;
    case TOKEN_MIN_OF:
        *ret = fmin(left, right);
        return true;
    case TOKEN_MAX_OF:
        *ret = fmax(left, right);
        return true;
    case TOKEN_ADD:
        *ret = left + right;
        return true;
    case TOKEN_SUB:
        *ret = left - right; /* a sign has no left operand: 0 - right */
        return true;
    case TOKEN_MUL:
        *ret = left * right;
        return true;
    case TOKEN_DIV:
        *ret = left / right;
        return right != 0 || refuse(n, "division by zero", error);
    case TOKEN_MOD:
        *ret = fmod(left, right);
        return right != 0 || refuse(n, "modulo by zero", error);
    default:
        *ret = pow(left, right);
        return true;
    }
}

bool
duration_at(const struct duration *d, bool positive, const struct query_times *times,
            int64_t *ret_ms, struct buf *error)
{
    double seconds;
    *ret_ms = d->ms;
    if (d->expr == NULL) return true;
    if (!seconds_of(d->expr, times, &seconds, error)) return false;
    if (positive && !(seconds > 0)) {
        return refuse(d->expr, "duration must be greater than 0", error);
    }
    if (!(fabs(seconds) < 0x1p63 / 1e9)) {
        return refuse(d->expr, "duration is out of range", error);
    }
    *ret_ms = (int64_t)(seconds * 1000);
    return true;
}

/* Durations are checked in the order of Prometheus: outer ones first. */
bool
durations_fit(const struct node *n, const struct query_times *times, struct buf *error)
{
    int64_t ms;
    switch (n->kind) {
    case NODE_NUMBER:
    case NODE_STRING:
    case NODE_DURATION:
        return true;
    case NODE_SELECTOR:
        return duration_at(&n->selector.shift.offset, false, times, &ms, error);
    case NODE_RANGE:
        return duration_at(&n->range.range, true, times, &ms, error) &&
               durations_fit(n->range.selector, times, error);
    case NODE_SUBQUERY:
        return duration_at(&n->subquery.shift.offset, false, times, &ms, error) &&
               duration_at(&n->subquery.step, true, times, &ms, error) &&
               duration_at(&n->subquery.range, true, times, &ms, error) &&
               durations_fit(n->subquery.expr, times, error);
    case NODE_AGGREGATION:
        return durations_fit(n->aggregation.expr, times, error) &&
               (n->aggregation.param == NULL || durations_fit(n->aggregation.param, times, error));
    case NODE_BINARY:
        return durations_fit(n->binary.left, times, error) &&
               durations_fit(n->binary.right, times, error);
    case NODE_UNARY:
        return durations_fit(n->unary.expr, times, error);
    case NODE_PAREN:
        return durations_fit(n->paren, times, error);
    case NODE_CALL:
        for (uint32_t i = 0; i < n->call.argument_count; i++) {
            if (!durations_fit(n->call.arguments[i], times, error)) return false;
        }
        return true;
    }
    return true;
}
