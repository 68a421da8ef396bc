/*
 * sample_sink.c - converts samples, series by series, into one of two forms:
 *
 *      series, batches -+- text_writer: a text format                         -+- text - output
 *                       +- rw_build: a capture, requests of remote write 2.0  -+
 *
 * `text` buffers output until 256 KiB, or the end of a slice of time, so that the output can be
 * made durable there (sample_sink_series_end()). A batch is written in steps of 1024 floats: the
 * samples of one series may not fit into memory. Requests of a capture have the size that a sender
 * would choose, 2000 samples, and a longer series is named again in the next request.
 *
 * Captures name a series before its first sample, so that series without samples in the range leave
 * no trace. The text_writer does that, and counts, by itself.
 */
#include "cli/lib/sample_files.h"

#include "model/labels.h"
#include "wire/remote/remote_write_build.h"
#include "wire/snappy.h"

enum err
sample_format_parse(const char *word, int *ret_format, struct why *why)
{
    enum text_format format;
    if (strcmp(word, "rw") == 0)
        *ret_format = FORMAT_CAPTURE;
    else if (text_format_parse(word, &format))
        *ret_format = (int)format;
    else
        return why_set(why, ERR_INPUT, "--format: unknown format '%.64s'", word);
    return OK;
}

int
sample_format_of(const char *path)
{
    static const struct {
        const char *suffix;
        int format;
    } suffixes[] = {
        {".rw", FORMAT_CAPTURE},    {".om", TEXT_OPENMETRICS},   {".openmetrics", TEXT_OPENMETRICS},
        {".prom", TEXT_PROMETHEUS}, {".jsonl", TEXT_JSON_LINES}, {".ndjson", TEXT_NDJSON},
        {".csv", TEXT_CSV}};
    size_t size = path == NULL ? 0 : strlen(path);
    if (output_packing_of(path) == COMPRESSION_GZIP) size -= 3;
    if (output_packing_of(path) == COMPRESSION_ZSTD) size -= 4;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t wanted = strlen(suffixes[i].suffix);
        if (size < wanted || memcmp(path + size - wanted, suffixes[i].suffix, wanted) != 0)
            continue;
        return suffixes[i].format;
    }
    return FORMAT_UNKNOWN;
}

enum {
    TEXT_BYTES = 256 * 1024,
    SAMPLE_SINK_TEXT_BYTES_MAX = 256 << 20,
    REQUEST_SAMPLES_MAX = 2000,
    REQUEST_BYTES_MAX = 4 << 20,
    FLOATS_AT_ONCE = 1024,
};

struct sample_sink {
    int format;
    struct output *output;
    struct progress *progress;
    const struct selector *skipped;
    uint32_t skipped_count;

    struct text_writer *writer; /* for text formats */
    struct rw_build *build;     /* for captures */
    struct buf labels;
    struct buf text;
    bool in_series;
    bool named; /* the current series has a sample, and its labels were written */
    bool skip;  /* the current series is left out */
    struct sink_counts counts;
    uint64_t before;
    uint64_t done;
    uint64_t all;
};

enum err
sample_sink_new(int format, struct output *output, struct progress *progress,
                const struct selector *skipped, uint32_t skipped_count,
                struct sample_sink **ret_sink, struct why *why)
{
    struct sample_sink *s = mem_new(NULL, sizeof *s);
    if (s == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
    s->format = format;
    s->output = output;
    s->progress = progress;
    s->skipped = skipped;
    s->skipped_count = skipped_count;
    buf_init(&s->labels, NULL, SAMPLE_SINK_TEXT_BYTES_MAX);
    buf_init(&s->text, NULL, SAMPLE_SINK_TEXT_BYTES_MAX);
    enum err e = OK;
    if (format < TEXT_FORMAT_COUNT)
        e = text_writer_new((enum text_format)format, NULL, &s->writer);
    else
        e = rw_build_new(RW_V2, NULL, &s->build);
    if (e) {
        sample_sink_free(s);
        return why_set(why, e, "not enough memory");
    }
    *ret_sink = s;
    return OK;
}

void
sample_sink_free(struct sample_sink *s)
{
    if (s == NULL) return;
    text_writer_free(s->writer);
    rw_build_free(s->build);
    buf_fini(&s->labels);
    buf_fini(&s->text);
    mem_free(NULL, s, sizeof *s);
}

/* --- output ----------------------------------------------------------------------------------- */

static enum err
pass_on(struct sample_sink *s, size_t least, struct why *why)
{
    enum err e = buf_error(&s->text);
    if (e) return why_set(why, e, "not enough memory for the output");
    if (s->text.size == 0 || s->text.size < least) return OK;
    e = output_write(s->output, buf_bytes(&s->text), why);
    buf_clear(&s->text);
    progress_show(s->progress, s->before + s->counts.samples, s->done, s->all);
    return e;
}

/* Writes the request so far as a record of a capture. */
static enum err
end_request(struct sample_sink *s, struct why *why)
{
    struct bytes message;
    if (rw_build_counts(s->build).series == 0) return OK;
    enum err e = rw_build_end(s->build, &message);
    size_t at = s->text.size;
    if (e == OK) {
        buf_put_le32(&s->text, 0);
        e = snappy_pack(message, &s->text);
    }
    if (e) return why_set(why, e, "not enough memory for a request");
    store_le32(s->text.at + at, (uint32_t)(s->text.size - at - 4));
    rw_build_clear(s->build);
    return pass_on(s, TEXT_BYTES, why);
}

static enum err
end_full_request(struct sample_sink *s, struct why *why)
{
    struct rw_build_counts c = rw_build_counts(s->build);
    if (c.floats + c.histograms < REQUEST_SAMPLES_MAX && c.bytes < REQUEST_BYTES_MAX) return OK;
    s->named = false;
    return end_request(s, why);
}

/* --- series ----------------------------------------------------------------------------------- */

static bool
selects(const struct selector *selector, struct bytes labels)
{
    for (uint32_t i = 0; i < selector->count; i++) {
        struct bytes value = labels_get(labels, matcher_name(selector->matchers[i]));
        if (!matcher_matches(selector->matchers[i], value)) return false;
    }
    return true;
}

static void
end_text_series(struct sample_sink *s)
{
    if (s->in_series && s->writer != NULL) text_writer_series_end(s->writer, &s->text);
    s->in_series = false;
}

static enum err
sink_take_series(struct sample_sink *s, struct bytes labels, struct why *why)
{
    enum err e = OK;
    end_text_series(s);
    if (!labels_valid(labels))
        return why_set(why, ERR_CORRUPT, "the response contains invalid labels");
    s->skip = false;
    for (uint32_t i = 0; i < s->skipped_count && !s->skip; i++) {
        s->skip = selects(&s->skipped[i], labels);
    }
    if (s->skip) return OK;
    buf_clear(&s->labels);
    buf_put_bytes(&s->labels, labels);
    e = buf_error(&s->labels);
    if (s->writer != NULL) e = err_first(e, text_writer_series(s->writer, labels));
    s->in_series = true;
    s->named = false;
    s->counts.series++;
    return e ? why_set(why, e, "not enough memory for labels") : OK;
}

/* Called at the first sample: series without samples in the range leave no trace. */
static void
name_series(struct sample_sink *s)
{
    if (s->named) return;
    s->named = true;
    rw_build_series(s->build, buf_bytes(&s->labels));
}

/* --- samples ---------------------------------------------------------------------------------- */

/* Works in steps, so that a long series does not accumulate in memory. */
static enum err
take_floats(struct sample_sink *s, const struct sample_batch *b, struct why *why)
{
    enum err e = OK;
    for (uint32_t i = 0; i < b->count && e == OK;) {
        uint32_t end = b->count - i < FLOATS_AT_ONCE ? b->count : i + FLOATS_AT_ONCE;
        s->counts.samples += end - i;
        if (s->writer != NULL) {
            text_writer_floats(s->writer, end - i, b->times_ms + i, b->value_bits + i, &s->text);
            i = end;
        }
        for (; i < end && e == OK; i++) {
            name_series(s);
            rw_build_float(s->build, b->times_ms[i], b->value_bits[i], 0);
            e = end_full_request(s, why);
        }
        if (e == OK) e = pass_on(s, TEXT_BYTES, why);
    }
    return e;
}

enum err
sample_sink_take(struct sample_sink *s, struct bytes labels, struct series_set *set,
                 struct why *why)
{
    for (bool named = false;; named = true) {
        struct sample_batch b;
        enum err e = series_set_batch(set, &b, why);
        if (e || b.count == 0) return e;
        if (!named) e = sink_take_series(s, labels, why);
        if (e == OK && s->skip) continue;
        if (e == OK && b.kind == SAMPLE_FLOAT) e = take_floats(s, &b, why);
        for (uint32_t i = 0; b.kind != SAMPLE_FLOAT && i < b.count && e == OK; i++) {
            if (s->writer != NULL) {
                text_writer_histogram(s->writer, b.times_ms[i], &b.histograms[i], &s->text);
                e = pass_on(s, TEXT_BYTES, why);
                continue;
            }
            s->counts.histograms++;
            name_series(s);
            rw_build_histogram(s->build, b.times_ms[i], 0, &b.histograms[i]);
            e = end_full_request(s, why);
        }
        if (e) return e;
    }
}

/* --- begin and end ---------------------------------------------------------------------------- */

enum err
sample_sink_begin(struct sample_sink *s, struct why *why)
{
    if (s->writer != NULL) text_writer_begin(s->writer, &s->text);
    return pass_on(s, 0, why);
}

enum err
sample_sink_series_end(struct sample_sink *s, struct why *why)
{
    end_text_series(s);
    enum err e = s->build == NULL ? OK : end_request(s, why);
    return e ? e : pass_on(s, 0, why);
}

enum err
sample_sink_end(struct sample_sink *s, struct why *why)
{
    if (s->writer != NULL) text_writer_end(s->writer, &s->text);
    return pass_on(s, 0, why);
}

struct sink_counts
sample_sink_counts(const struct sample_sink *s)
{
    struct sink_counts counts = s->counts;
    if (s->writer == NULL) return counts;
    struct text_writer_counts w = text_writer_counts(s->writer);
    counts.series = w.series;
    counts.samples = w.samples;
    counts.histograms = w.histograms;
    counts.histograms_left_out = w.histograms_left_out;
    counts.stale_left_out = w.stale_left_out;
    counts.nan_altered = w.nan_altered;
    return counts;
}

void
sample_sink_progress(struct sample_sink *s, uint64_t samples_before, uint64_t done, uint64_t all)
{
    s->before = samples_before;
    s->done = done;
    s->all = all;
}
