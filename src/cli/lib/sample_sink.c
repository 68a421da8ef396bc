/*
 * sample_sink.c - writes files of samples. Samples are converted, series by series, into one of two
 * forms:
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
 *
 * In the output each MiB, and what precedes a checkpoint, is a gzip member or a zstd frame of its
 * own, so that a file cut there is complete. Readers accept several in sequence.
 */

#include "cli/lib/sample_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/common/pack.h"
#include "model/labels.h"
#include "wire/remote/remote_write_build.h"
#include "wire/snappy.h"

/* --- output ----------------------------------------------------------------------------------- */

enum { PLAIN_BYTES = 1 << 20 };

struct output {
    char name[200]; /* for messages */
    int file;
    bool is_file;           /* can be cut to a checkpoint */
    uint64_t written_bytes; /* on disk */
    struct packer *packer;  /* NULL: nothing is compressed */
    struct buf plain, packed;
};

enum compression
output_packing_of(const char *path)
{
    size_t size = path == NULL ? 0 : strlen(path);
    if (size > 3 && strcmp(path + size - 3, ".gz") == 0) return COMPRESSION_GZIP;
    if (size > 4 && strcmp(path + size - 4, ".zst") == 0) return COMPRESSION_ZSTD;
    return COMPRESSION_NONE;
}

static enum err
system_error(const struct output *o, const char *what, struct why *why)
{
    return why_set(why, err_from_errno(errno), "cannot %s %s: %s", what, o->name,
                   errno_text(errno).text);
}

static enum err
open_file(struct output *o, const char *path, uint64_t resume_bytes, struct why *why)
{
    struct stat st;
    int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (resume_bytes == 0 ? O_TRUNC : 0);
    snprintf(o->name, sizeof o->name, "%s", path);
    o->file = open(path, flags, 0666);
    if (o->file < 0 || fstat(o->file, &st) != 0) return system_error(o, "open", why);
    o->is_file = S_ISREG(st.st_mode);
    if (resume_bytes == 0) return OK;
    if (!o->is_file || (uint64_t)st.st_size < resume_bytes)
        return why_set(why, ERR_INPUT, "%s is shorter than the progress file records", path);
    return output_back(o, resume_bytes, why);
}

enum err
output_open(const char *path, enum compression packing, uint64_t resume_bytes,
            struct output **ret_output, struct why *why)
{
    struct output *o = mem_new(NULL, sizeof *o);
    if (o == NULL) return why_set(why, ERR_NOMEM, "not enough memory to write the output");
    enum err e = OK;
    buf_init(&o->plain, NULL, PLAIN_BYTES);
    buf_init(&o->packed, NULL, 2 * PLAIN_BYTES);
    o->file = STDOUT_FILENO;
    snprintf(o->name, sizeof o->name, "standard output");
    if (path != NULL && strcmp(path, "-") != 0) e = open_file(o, path, resume_bytes, why);
    if (e == OK && packing != COMPRESSION_NONE && packer_new(packing, &o->packer))
        e = why_set(why, ERR_NOMEM, "not enough memory to write %s", o->name);
    if (e) {
        output_free(o);
        return e;
    }
    *ret_output = o;
    return OK;
}

void
output_free(struct output *o)
{
    if (o == NULL) return;
    packer_free(o->packer);
    buf_fini(&o->plain);
    buf_fini(&o->packed);
    if (o->file > STDERR_FILENO) close(o->file);
    mem_free(NULL, o, sizeof *o);
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Writes the plain bytes, as a member or frame of their own if they are to be compressed. */
static enum err
output_flush(struct output *o, struct why *why)
{
    struct bytes left = buf_bytes(&o->plain);
    if (o->packer != NULL && left.size > 0) {
        buf_clear(&o->packed);
        enum err e = pack(o->packer, left, &o->packed);
        if (e) return why_set(why, e, "cannot compress %s", o->name);
        left = buf_bytes(&o->packed);
    }
    while (left.size > 0) {
        ssize_t put = write(o->file, left.at, left.size);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return system_error(o, "write", why);
        left = bytes_of(left.at + put, left.size - (size_t)put);
        o->written_bytes += (uint64_t)put;
    }
    buf_clear(&o->plain);
    return OK;
}

enum err
output_write(struct output *o, struct bytes piece, struct why *why)
{
    while (piece.size > 0) {
        size_t room = PLAIN_BYTES - o->plain.size, size = piece.size < room ? piece.size : room;
        buf_put(&o->plain, piece.at, size);
        if (buf_error(&o->plain))
            return why_set(why, ERR_NOMEM, "not enough memory to write %s", o->name);
        piece = bytes_of(piece.at + size, piece.size - size);
        enum err e = o->plain.size == PLAIN_BYTES ? output_flush(o, why) : OK;
        if (e) return e;
    }
    return OK;
}

enum err
output_position(struct output *o, uint64_t *ret_bytes, struct why *why)
{
    enum err e = output_flush(o, why);
    if (e == OK && o->is_file && fdatasync(o->file) != 0) e = system_error(o, "sync", why);
    if (e == OK) *ret_bytes = o->written_bytes;
    return e;
}

enum err
output_back(struct output *o, uint64_t bytes, struct why *why)
{
    if (!o->is_file) return why_set(why, ERR_UNSUPPORTED, "%s is not a file", o->name);
    if (ftruncate(o->file, (off_t)bytes) != 0 || lseek(o->file, (off_t)bytes, SEEK_SET) < 0)
        return system_error(o, "truncate", why);
    buf_clear(&o->plain);
    o->written_bytes = bytes;
    return OK;
}

/* --- formats ---------------------------------------------------------------------------------- */

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

/* --- passing on ------------------------------------------------------------------------------- */

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
    for (uint32_t i = 0; i < s->skipped_count && !s->skip; i++)
        s->skip = selects(&s->skipped[i], labels);
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
