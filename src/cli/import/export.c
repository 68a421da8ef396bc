/*
 * export.c - `firekeep export`: writes selected series in one of the formats.
 *
 * The time range may be cut into slices, each of which is a request. After a slice the output is
 * durable and its size is known: if the next slice fails, the output is cut to that size, and a
 * later run continues from there (--resume). The text formats of Prometheus require all samples of
 * a metric together, so they have no slices.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text/time_text.h"
#include "cli/cli.h"
#include "cli/lib/resume.h"
#include "cli/lib/sample_files.h"
#include "cli/lib/target/target.h"
#include "sys/env.h"

enum { SLICE_TRIES_MAX = 5, RESUME_TEXT_BYTES = 64 * 1024, SHOWN_MAX = 20 };

struct exporting {
    /* Command line. */
    struct target_options target_options;
    struct flag_texts match;
    struct flag_time start, end; /* by default from the oldest to the newest sample */
    const char *format_word;
    const char *path;
    int compress; /* index of the choices; -1: by the file's suffix */
    const char *resume_path;
    int64_t slice_ns;

    int format;
    enum compression packing;
    int64_t slice_ms; /* 0: one request */
    struct selector *selectors;
    uint32_t selector_count;

    struct target *target;
    struct output *output;
    struct progress progress;
    struct sink_counts counts;
    int64_t next_ms;         /* start of the next slice */
    uint64_t position_bytes; /* size of the output before that slice */
    bool begun;              /* the header was written */

    uint64_t missing;        /* slices omitted because of damage */
    uint64_t left_out;       /* pages and answers of sources omitted with --partial */
    uint64_t left_out_slice; /* the same, in the current attempt */
    struct why damage;       /* the first error of `missing` or `left_out` */
};

static const char *const compressions[] = {"gzip", "zstd", "none", NULL};
static const enum compression packings[] = {COMPRESSION_GZIP, COMPRESSION_ZSTD, COMPRESSION_NONE};

static const struct flag flags[] = {
    TARGET_FLAGS(struct exporting, target_options,
                 "with --storage.path: configuration file of the server"),
    {"match", 0, FLAG_TEXTS, offsetof(struct exporting, match), "SELECTOR",
     "series to export, as in PromQL; can be repeated (default {__name__=~\".+\"})"},
    {"start", 0, FLAG_TIME, offsetof(struct exporting, start), "TIME",
     "start time: RFC 3339, Unix seconds, now or now-1d (default: the oldest sample)"},
    {"end", 0, FLAG_TIME, offsetof(struct exporting, end), "TIME",
     "end time, inclusive (default: the newest sample)"},
    {"after", 0, FLAG_COUNT, offsetof(struct exporting, target_options.after_pos), "POSITION",
     "with --storage.path: only what was written after this position of the log, such as that up "
     "to "
     "which a bucket is complete"},
    {"format", 0, FLAG_TEXT, offsetof(struct exporting, format_word), "FORM",
     "openmetrics, prometheus, jsonl, ndjson, csv or rw (default: by the suffix of the file, "
     "else jsonl)"},
    {"output", 'o', FLAG_TEXT, offsetof(struct exporting, path), "FILE",
     "output file (default '-', standard output)"},
    {"compress", 0, FLAG_CHOICE, offsetof(struct exporting, compress), "HOW",
     "gzip, zstd or none (default: by the suffix .gz or .zst)", compressions},
    {"slice", 0, FLAG_DURATION, offsetof(struct exporting, slice_ns), "TIME",
     "read this much time per request, such as 1d; not for openmetrics and prometheus"},
    {"resume", 0, FLAG_TEXT, offsetof(struct exporting, resume_path), "FILE",
     "save the progress to this file after each slice, and continue from it"},
    {"partial", 0, FLAG_SWITCH, offsetof(struct exporting, target_options.partial), NULL,
     "leave out only damaged pages and sources that may fail, and name them, instead of the whole "
     "slice"},
    {"retry", 0, FLAG_DURATION, offsetof(struct exporting, target_options.retry_ns), "TIME",
     "how long to retry when the server is not available (default 5m)"},
    {0},
};

static const char notes[] =
    "\nOnly rw and ndjson can hold native histograms; openmetrics and prometheus cannot hold\n"
    "staleness markers. Whatever is left out is counted and reported. Exemplars, metadata and\n"
    "start times are not exported.\n"
    "\nExit status: 0 everything was written, 1 something failed, 2 wrong usage.\n";

/* --- flags ------------------------------------------------------------------------------------ */

static enum err
export_check_flags(struct exporting *x, struct why *why)
{
    x->format = sample_format_of(x->path);
    if (x->format == FORMAT_UNKNOWN) x->format = TEXT_JSON_LINES;
    if (x->format_word != NULL) {
        enum err e = sample_format_parse(x->format_word, &x->format, why);
        if (e) return e;
    }
    x->packing = x->compress < 0 ? output_packing_of(x->path) : packings[x->compress];
    if (x->target_options.after_pos > 0 && x->target_options.storage == NULL)
        return why_set(why, ERR_INPUT, "--after requires --storage.path");
    if (x->start.ms > x->end.ms) return why_set(why, ERR_INPUT, "--start is later than --end");
    if (x->resume_path != NULL && x->slice_ns == 0) x->slice_ns = 86400 * NS_PER_S;
    x->slice_ms = x->slice_ns / NS_PER_MS;
    if (x->resume_path != NULL && (x->path == NULL || strcmp(x->path, "-") == 0))
        return why_set(why, ERR_INPUT, "--resume requires an output file (-o)");
    if (x->slice_ms != 0 && (x->start.word == NULL || x->end.word == NULL))
        return why_set(why, ERR_INPUT, "--slice and --resume require --start and --end");
    if (x->slice_ms != 0 && (x->format == TEXT_OPENMETRICS || x->format == TEXT_PROMETHEUS)) {
        return why_set(why, ERR_INPUT, "%s cannot be written in slices",
                       text_format_word((enum text_format)x->format));
    }
    if (x->match.count == 0) x->match.at[x->match.count++] = "{__name__=~\".+\"}";
    x->selectors = mem_new(NULL, FLAG_TEXTS_MAX * sizeof *x->selectors);
    if (x->selectors == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
    for (uint32_t i = 0; i < x->match.count; i++) {
        enum err e = selector_parse(bytes_of_text(x->match.at[i]), &x->selectors[i], why);
        if (e) return why_prefix(why, e, "--match '%.64s'", x->match.at[i]);
        x->selector_count++;
    }
    return OK;
}

/* --- the progress file ------------------------------------------------------------------------ */

/* Appends everything that decides the output: a different request must not continue the same
 * file. */
static void
put_question(const struct exporting *x, struct buf *to)
{
    buf_printf(to, "firekeep export 1\nfrom %s\ntenant %s\nformat %d %d\nasked %s %s %" PRId64 "\n",
               x->target->name, x->target_options.tenant == NULL ? "" : x->target_options.tenant,
               x->format, x->packing, x->start.word, x->end.word, x->slice_ms);
    for (uint32_t i = 0; i < x->match.count; i++)
        buf_printf(to, "match %s\n", x->match.at[i]);
}

static enum err
load_resume(struct exporting *x, struct why *why)
{
    struct buf question, text;
    struct sink_counts *c = &x->counts;
    buf_init(&question, NULL, RESUME_TEXT_BYTES);
    buf_init(&text, NULL, RESUME_TEXT_BYTES);
    put_question(x, &question);
    enum err e = err_first(buf_error(&question), resume_text_read(x->resume_path, &text, why));
    if (e) goto out;
    bool same = text.size > question.size && memcmp(text.at, question.at, question.size) == 0;
    if (!same ||
        sscanf((char *)text.at + question.size,
               "range %" SCNd64 " %" SCNd64 "\nnext %" SCNd64 " bytes %" SCNu64 "\ncounts %" SCNu64
               " %" SCNu64 " %" SCNu64 " %" SCNu64 "\nmissing %" SCNu64 " %" SCNu64 "\n",
               &x->start.ms, &x->end.ms, &x->next_ms, &x->position_bytes, &c->samples,
               &c->histograms, &c->histograms_left_out, &c->series, &x->missing,
               &x->left_out) < 8) {
        e = why_set(why, ERR_INPUT, "%s belongs to another export", x->resume_path);
        goto out;
    }
    x->begun = true;
out:
    buf_fini(&question);
    buf_fini(&text);
    return e == ERR_MISSING ? OK : e;
}

static enum err
save_resume(struct exporting *x, struct why *why)
{
    struct buf text;
    const struct sink_counts *c = &x->counts;
    if (x->resume_path == NULL) return OK;
    buf_init(&text, NULL, RESUME_TEXT_BYTES);
    put_question(x, &text);
    buf_printf(&text,
               "range %" PRId64 " %" PRId64 "\nnext %" PRId64 " bytes %" PRIu64 "\ncounts %" PRIu64
               " %" PRIu64 " %" PRIu64 " %" PRIu64 "\nmissing %" PRIu64 " %" PRIu64 "\n",
               x->start.ms, x->end.ms, x->next_ms, x->position_bytes, c->samples, c->histograms,
               c->histograms_left_out, c->series, x->missing, x->left_out);
    enum err e = buf_error(&text);
    if (e == OK) e = resume_text_write(x->resume_path, buf_bytes(&text), why);
    buf_fini(&text);
    return e;
}

/* --- slices ----------------------------------------------------------------------------------- */

static int64_t
slice_end(const struct exporting *x)
{
    int64_t end;
    if (x->slice_ms == 0 || __builtin_add_overflow(x->next_ms, x->slice_ms - 1, &end))
        return x->end.ms;
    return end < x->end.ms ? end : x->end.ms;
}

static void
add_counts(struct sink_counts *to, const struct sink_counts *more)
{
    to->series += more->series;
    to->samples += more->samples;
    to->histograms += more->histograms;
    to->histograms_left_out += more->histograms_left_out;
    to->stale_left_out += more->stale_left_out;
    to->nan_altered += more->nan_altered;
}

static enum err
try_slice(struct exporting *x, bool last, struct sink_counts *ret_counts, struct why *why)
{
    struct sample_sink *sink = NULL;
    enum err e = OK;
    bool begun = x->begun;
    for (uint32_t i = 0; i < x->selector_count && e == OK; i++) {
        e = sample_sink_new(x->format, x->output, &x->progress, x->selectors, i, &sink, why);
        if (e) return e;
        sample_sink_progress(sink, x->counts.samples + ret_counts->samples,
                             (uint64_t)(x->next_ms - x->start.ms),
                             x->slice_ms == 0 ? 0 : (uint64_t)(x->end.ms - x->start.ms));
        if (!begun) e = sample_sink_begin(sink, why);
        begun = true;
        if (e == OK)
            e = target_read(x->target, &x->selectors[i], x->next_ms, slice_end(x), sink, why);
        if (e == OK) {
            e = sample_sink_series_end(sink, why);
        } else if (e ==
                   ERR_CORRUPT) { /* keep what precedes the damage, if the output cannot be cut */
            struct why unwanted;
            err_ignore(sample_sink_series_end(sink, &unwanted), "the first one counts");
        }
        if (e == OK && last && i + 1 == x->selector_count) e = sample_sink_end(sink, why);
        struct sink_counts counts = sample_sink_counts(sink);
        add_counts(ret_counts, &counts);
        sample_sink_free(sink);
    }
    return e;
}

static void
left_out(void *context, const char *text)
{
    struct exporting *x = context;
    if (x->damage.text[0] == '\0') why_set(&x->damage, ERR_CORRUPT, "%s", text);
    if (x->left_out + x->left_out_slice++ < SHOWN_MAX)
        progress_say(&x->progress, "left out: %s", text);
}

/* Skips a damaged slice: later ones are written. */
static enum err
pass_slice(struct exporting *x, const struct sink_counts *counts, const struct why *why)
{
    char from[TIME_TEXT_BYTES], to[TIME_TEXT_BYTES];
    struct why unwanted;
    enum err e = output_back(x->output, x->position_bytes, &unwanted);
    if (e == ERR_UNSUPPORTED) { /* the beginning of the slice is already in the pipe */
        add_counts(&x->counts, counts);
        x->begun = true;
        e = OK;
    }
    time_print(x->next_ms, from);
    time_print(slice_end(x), to);
    if (x->damage.text[0] == '\0') x->damage = *why;
    if (x->missing++ < SHOWN_MAX)
        progress_say(&x->progress, "missing: %s to %s: %s", from, to, why->text);
    return e;
}

static enum err
export_slice(struct exporting *x, bool last, struct why *why)
{
    for (int tries = 1;; tries++) {
        struct sink_counts counts = {0};
        x->left_out_slice = 0;
        enum err e = try_slice(x, last, &counts, why);
        if (e == OK) {
            add_counts(&x->counts, &counts);
            x->left_out += x->left_out_slice;
            x->begun = true;
            return OK;
        }
        struct why back;
        if (e == ERR_CORRUPT && x->slice_ms != 0) return pass_slice(x, &counts, why);
        /* An answer broke off. Answers that did not begin were retried for the time of --retry. */
        bool passing = x->target_options.storage == NULL && e == ERR_IO;
        if (!passing || tries == SLICE_TRIES_MAX) return e;
        if (output_back(x->output, x->position_bytes, &back) != OK) return e;
        progress_say(&x->progress, "%s; retrying", why->text);
    }
}

static enum err
export_all(struct exporting *x, struct why *why)
{
    bool done = x->next_ms > x->end.ms;
    while (!done) {
        int64_t end = slice_end(x);
        if (atomic_load_explicit(x->target_options.stop, memory_order_relaxed))
            return why_set(why, ERR_CANCELED, "stopped");
        enum err e = export_slice(x, end == x->end.ms, why);
        if (e == OK) e = output_position(x->output, &x->position_bytes, why);
        if (e) return e;
        done = end == x->end.ms;
        if (end < INT64_MAX) x->next_ms = end + 1;
        e = save_resume(x, why);
        if (e) return e;
    }
    return OK;
}

/* --- the command ------------------------------------------------------------------------------ */

static int
export_finish(struct exporting *x, enum err e, const struct why *why)
{
    const struct sink_counts *c = &x->counts;
    bool opened = x->output != NULL;
    for (uint32_t i = 0; i < x->selector_count; i++)
        selector_fini(&x->selectors[i]);
    mem_free(NULL, x->selectors, FLAG_TEXTS_MAX * sizeof *x->selectors);
    output_free(x->output);
    target_free(x->target);
    progress_clear(&x->progress);
    if (e == ERR_INPUT && !opened) return cli_usage_error("export", "%s", why->text);
    if (opened) {
        double seconds = progress_seconds(&x->progress), all = (double)(c->samples + c->histograms);
        fprintf(stderr, "exported %" PRIu64 " samples, %" PRIu64 " histograms in %.1f s (%.0f/s)",
                c->samples, c->histograms, seconds, seconds > 0 ? all / seconds : 0);
        if (c->histograms_left_out > 0) {
            fprintf(stderr, "; %" PRIu64 " native histograms left out: the format cannot hold them",
                    c->histograms_left_out);
        }
        if (c->stale_left_out > 0) {
            fprintf(stderr, "; %" PRIu64 " staleness markers left out: the format cannot hold them",
                    c->stale_left_out);
        }
        if (c->nan_altered > 0)
            fprintf(stderr, "; %" PRIu64 " NaNs lost their payload", c->nan_altered);
        fputc('\n', stderr);
    }
    if (e == OK) return EXIT_DONE;
    if (opened && x->resume_path != NULL && x->next_ms <= x->end.ms)
        fprintf(stderr, "run the same command again to continue\n");
    else if (opened)
        fprintf(stderr, "the output is incomplete\n");
    return cli_failed("export", e, why);
}

static int
run_export(int argc, char **argv)
{
    struct exporting x = {.target_options.retry_ns = 300 * NS_PER_S,
                          .start.ms = INT64_MIN,
                          .end.ms = INT64_MAX,
                          .compress = -1,
                          .format = FORMAT_UNKNOWN};
    struct why why = {""};
    int count;
    enum err e = flags_parse(flags, &x, argc - 1, argv + 1, &count, &why);
    if (e == OK && count > 0) {
        e = why_set(&why, ERR_INPUT, "unexpected argument '%.64s'; use --match for selectors",
                    argv[1]);
    }
    if (e == OK) e = export_check_flags(&x, &why);
    progress_begin(&x.progress, "samples");
    if (e == OK) e = target_settle(&x.target_options, &why);
    x.target_options.stop = interrupt_watch();
    x.target_options.left_out = left_out;
    x.target_options.context = &x;
    x.target_options.progress = &x.progress;
    if (e == OK) e = target_open(&x.target_options, &x.target, &why);
    if (e == OK) target_warn_unread(&x.target_options);
    x.next_ms = x.start.ms;
    if (e == OK) e = resume_lock(x.resume_path, &why);
    if (e == OK && x.resume_path != NULL) e = load_resume(&x, &why);
    if (e == OK) e = output_open(x.path, x.packing, x.position_bytes, &x.output, &why);
    if (e == OK) e = export_all(&x, &why);
    if (e == OK && (x.missing > 0 || x.left_out > 0)) {
        e = why_set(&why, ERR_CORRUPT,
                    "%" PRIu64 " slices are missing, and %" PRIu64
                    " times pages, lines or a source were left out%s%.300s",
                    x.missing, x.left_out,
                    x.damage.text[0] == '\0' ? "" : ", the first: ", x.damage.text);
    } else if (e == OK && x.target->damage[0] != '\0') {
        e = why_set(&why, ERR_CORRUPT, "%.400s", x.target->damage);
    }
    return export_finish(&x, e, &why);
}

const struct command command_export = {
    "export",   "[flags]", "write samples from a server or a storage directory to a file",
    run_export, flags,     notes};
