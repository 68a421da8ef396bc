/* thinned.c - see thinned.h. Relaxed: the resolution orders nothing. */
#include "model/thinned.h"

#include "base/text/time_text.h"

int64_t
thinned_to(const struct query_control *control)
{
    return atomic_load_explicit(&control->thinned_to_ms, memory_order_relaxed);
}

void
thinned_say(int64_t resolution_ms, struct why *ret)
{
    char text[TIME_TEXT_BYTES];
    why_set(ret, OK, "samples are downsampled to %s; each is the last one of its window",
            time_print_duration(resolution_ms, text));
}

void
thinned_note(struct query_control *control, int64_t resolution_ms)
{
    int64_t most_ms = thinned_to(control);
    while (resolution_ms > most_ms &&
           !atomic_compare_exchange_weak_explicit(&control->thinned_to_ms, &most_ms, resolution_ms,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

void
thinned_pass(const struct query_control *from, struct query_control *to)
{
    thinned_note(to, thinned_to(from));
    if (atomic_load_explicit(&from->lacks_late, memory_order_relaxed))
        atomic_store_explicit(&to->lacks_late, true, memory_order_relaxed);
}
