#include "model/select.h"

#include "sys/env.h"

enum err
query_control_check(struct query_control *control, struct why *why)
{
    /* Relaxed: the flag carries nothing but itself, and a batch later is soon enough. */
    if (atomic_load_explicit(&control->canceled, memory_order_relaxed)) {
        return why_set(why, ERR_CANCELED, "the query was canceled: its client has gone");
    }
    if (control->deadline_ns == 0) return OK;
    if (control->env->ops->monotonic_ns(control->env) < control->deadline_ns) return OK;
    return why_set(why, ERR_CANCELED, "the query timed out");
}
