/* noted_lines.c - see noted_lines.h. */
#include "lib/backend/noted_lines.h"

static enum err
note_labels(void *context, struct label *labels, uint32_t count, uint32_t *ret_number,
            struct why *why)
{
    static const struct labels_limits none = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    struct noted_lines *n = context;
    struct buf built;
    buf_init(&built, NULL, 16 << 20);
    enum reject reject = labels_build(labels, count, &none, &built);
    enum err e = buf_error(&built);
    if (e == OK && reject != REJECT_NONE) e = why_set(why, ERR_CORRUPT, "bad labels");
    if (e == OK) buf_put_counted(&n->series, buf_bytes(&built));
    if (e == OK) *ret_number = n->series_count++;
    buf_fini(&built);
    return e;
}

static bool
note_wants(void *context, uint32_t number, int64_t t_ms)
{
    (void)context, (void)number, (void)t_ms;
    return true;
}

static void
note_series(struct noted_lines *n, uint32_t number)
{
    struct cursor c = cursor_of(buf_bytes(&n->series));
    struct bytes labels = cursor_counted(&c);
    while (number-- > 0)
        labels = cursor_counted(&c);
    labels_print(&n->text, labels);
}

static enum err
note_number(void *context, uint32_t number, int64_t t_ms, uint64_t bits, int64_t start_ms,
            struct why *why)
{
    struct noted_lines *n = context;
    (void)why;
    note_series(n, number);
    buf_printf(&n->text, " %lld %016llx %lld\n", (long long)t_ms, (unsigned long long)bits,
               (long long)start_ms);
    return OK;
}

static enum err
note_histogram(void *context, uint32_t number, int64_t t_ms, const struct histogram *histogram,
               int64_t start_ms, struct why *why)
{
    struct noted_lines *n = context;
    (void)why, (void)histogram;
    note_series(n, number);
    buf_printf(&n->text, " %lld histogram %lld\n", (long long)t_ms, (long long)start_ms);
    return OK;
}

static void
note_forget(void *context)
{
    (void)context;
}

static enum err
note_junk(void *context, uint64_t line, const struct why *why)
{
    struct noted_lines *n = context;
    (void)why;
    n->junk++;
    n->junk_line = line;
    return OK;
}

void
noted_lines_init(struct noted_lines *n)
{
    *n = (struct noted_lines){.junk = 0};
    buf_init(&n->text, NULL, 256 << 20);
    buf_init(&n->series, NULL, 256 << 20);
}

void
noted_lines_fini(struct noted_lines *n)
{
    buf_fini(&n->text);
    buf_fini(&n->series);
}

struct archive_line_sink
noted_lines_sink(struct noted_lines *n)
{
    return (struct archive_line_sink){.labels = note_labels,
                                      .wants = note_wants,
                                      .number = note_number,
                                      .histogram = note_histogram,
                                      .forget = note_forget,
                                      .junk = note_junk,
                                      .context = n};
}
