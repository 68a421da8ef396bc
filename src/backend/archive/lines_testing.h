/* lines_testing.h - a sink that prints what it receives, for tests of lines.h. */
#ifndef BACKEND_ARCHIVE_LINES_TESTING_H
#define BACKEND_ARCHIVE_LINES_TESTING_H

#include "backend/archive/lines.h"
#include "base/buf.h"
#include "model/labels.h"

struct noted {
    struct buf text;   /* a line for each sample */
    struct buf series; /* labels, each with its length */
    uint32_t series_count;
    uint32_t junk;
    uint64_t junk_line; /* the last one */
};

static inline enum err
note_labels(void *context, struct label *labels, uint32_t count, uint32_t *ret_number,
            struct why *why)
{
    static const struct labels_limits none = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    struct noted *n = context;
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

static inline bool
note_wants(void *context, uint32_t number, int64_t t_ms)
{
    (void)context, (void)number, (void)t_ms;
    return true;
}

static inline void
note_series(struct noted *n, uint32_t number)
{
    struct cursor c = cursor_of(buf_bytes(&n->series));
    struct bytes labels = cursor_counted(&c);
    while (number-- > 0) {
        labels = cursor_counted(&c);
    }
    labels_print(&n->text, labels);
}

static inline enum err
note_number(void *context, uint32_t number, int64_t t_ms, uint64_t bits, int64_t start_ms,
            struct why *why)
{
    struct noted *n = context;
    (void)why;
    note_series(n, number);
    buf_printf(&n->text, " %lld %016llx %lld\n", (long long)t_ms, (unsigned long long)bits,
               (long long)start_ms);
    return OK;
}

static inline enum err
note_histogram(void *context, uint32_t number, int64_t t_ms, const struct histogram *histogram,
               int64_t start_ms, struct why *why)
{
    struct noted *n = context;
    (void)why, (void)histogram;
    note_series(n, number);
    buf_printf(&n->text, " %lld histogram %lld\n", (long long)t_ms, (long long)start_ms);
    return OK;
}

static inline void
note_forget(void *context)
{
    (void)context;
}

static inline enum err
note_junk(void *context, uint64_t line, const struct why *why)
{
    struct noted *n = context;
    (void)why;
    n->junk++;
    n->junk_line = line;
    return OK;
}

static inline void
noted_init(struct noted *n)
{
    *n = (struct noted){.junk = 0};
    buf_init(&n->text, NULL, 256 << 20);
    buf_init(&n->series, NULL, 256 << 20);
}

static inline void
noted_fini(struct noted *n)
{
    buf_fini(&n->text);
    buf_fini(&n->series);
}

static inline struct archive_line_sink
noted_sink(struct noted *n)
{
    return (struct archive_line_sink){.labels = note_labels,
                                      .wants = note_wants,
                                      .number = note_number,
                                      .histogram = note_histogram,
                                      .forget = note_forget,
                                      .junk = note_junk,
                                      .context = n};
}

#endif
