/* run.c - errors and limits of an execution: see run.h. */
#include "template/run.h"

#include <assert.h>
#include <stdio.h>

#include "base/text/quote.h"

enum {
    STEP_BYTES = 64, /* cost of text: one step for so many bytes */
    STEP_NS = 1000,
};

__attribute__((format(printf, 2, 0))) static void
set_message(struct tmpl_run *run, const char *format, va_list args)
{
    (void)vsnprintf(run->message, sizeof run->message, format, args);
}

bool
run_fail(struct tmpl_run *run, const char *format, ...)
{
    va_list args;
    if (run->failed) return false; /* the first error wins */
    va_start(args, format);
    set_message(run, format, args);
    va_end(args);
    run->failed = ERR_INPUT;
    return false;
}

bool
run_prefix(struct tmpl_run *run, const char *format, ...)
{
    va_list args;
    char before[RUN_MESSAGE_BYTES];
    assert(run->failed != OK); /* there is a message */
    memcpy(before, run->message, sizeof before);
    va_start(args, format);
    set_message(run, format, args);
    va_end(args);
    size_t size = strlen(run->message);
    (void)snprintf(run->message + size, sizeof run->message - size, "%s", before);
    return false;
}

bool
run_limit(struct tmpl_run *run, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_message(run, format, args);
    va_end(args);
    run->failed = ERR_LIMIT;
    return false;
}

bool
run_no_memory(struct tmpl_run *run)
{
    /* Exceeding the limit of a template is its own fault; that of an outer budget is not. */
    bool own = atomic_load_explicit(&run->budget.refused_count, memory_order_relaxed) > 0;
    if (own) return run_limit(run, "more than %d MiB of memory", RUN_MEMORY_BYTES_MAX >> 20);
    run->failed = ERR_NOMEM;
    return false;
}

bool
run_settle(struct tmpl_run *run, const struct buf *buf)
{
    if (buf_error(buf) == OK) return true;
    if (buf_error(buf) == ERR_NOMEM) return run_no_memory(run);
    return run_limit(run, "more than %d bytes of text", TEMPLATE_OUTPUT_BYTES_MAX);
}

static bool
spend_steps(struct tmpl_run *run, uint64_t steps)
{
    run->steps += steps;
    if (run->steps <= TEMPLATE_STEPS_MAX) return true;
    return run_limit(run, "more than %d steps", TEMPLATE_STEPS_MAX);
}

bool
run_spend(struct tmpl_run *run, uint64_t size_bytes)
{
    return spend_steps(run, 1 + size_bytes / STEP_BYTES);
}

bool
run_spend_ns(struct tmpl_run *run, uint64_t ns)
{
    return spend_steps(run, 1 + ns / STEP_NS);
}

struct bytes
run_copy(struct tmpl_run *run, struct bytes text)
{
    struct bytes copy = arena_copy(&run->arena, text);
    if (copy.at == NULL) run_no_memory(run);
    return copy;
}

bool
run_take_text(struct tmpl_run *run, struct tmpl_value *ret)
{
    if (!run_settle(run, &run->text) || !run_spend(run, run->text.size)) return false;
    *ret = tmpl_of_text(run_copy(run, buf_bytes(&run->text)));
    return ret->text.at != NULL;
}

bool
run_value(struct tmpl_run *run, uint64_t bits, const struct fhist *h, struct tmpl_value *ret)
{
    *ret = tmpl_of_float(bits_double(bits));
    if (h == NULL) return true;
    if (!run_spend(run, fhist_bytes(h))) return false;
    *ret =
        (struct tmpl_value){.type = TMPL_TYPE_HISTOGRAM, .histogram = fhist_keep(&run->arena, h)};
    return ret->histogram != NULL || run_no_memory(run);
}

bool
run_fail_quoted(struct tmpl_run *run, const char *before, struct bytes text, const char *after)
{
    buf_clear(&run->scratch);
    quote_text(&run->scratch, text);
    if (buf_error(&run->scratch) == ERR_NOMEM) return run_no_memory(run);
    return run_fail(run, "%s%.*s%s", before, (int)run->scratch.size, (const char *)run->scratch.at,
                    after);
}
