/*
 * export.c - `firekeep export`: what selectors select, in one of the forms.
 *
 * The time asked for may be cut into slices, a request each. After a slice the output is durable
 * and its size is known: that is a place to go back to when the next slice breaks off, and to go
 * on from in a later run (--resume). The text forms of Prometheus want all samples of a metric
 * together, so they have no slices.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/time_text.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/interrupt.h"
#include "cli/sample_sink.h"
#include "cli/target.h"
#include "sys/env.h"

enum { SLICE_TRIES_MAX = 5, RESUME_TEXT_BYTES = 64 * 1024, TOLD_MAX = 20 };

struct exporting {
    /* What was asked for. */
    const char *url;
    const char *storage;
    const char *config_file;
    const char *tenant;
    struct flag_texts match;
    const char *start_word;
    const char *end_word;
    const char *format_word;
    const char *path;
    const char *compress_word;
    const char *resume_path;
    int64_t slice_ns;
    int64_t retry_ns;
    bool partial;

    int format;
    enum output_packing packing;
    int64_t start_ms;
    int64_t end_ms;
    int64_t slice_ms; /* 0: one request */
    struct selector *selectors;
    uint32_t selector_count;
    const atomic_bool *stop;

    struct target *target;
    struct output *output;
    struct progress progress;
    struct sink_counts counts;
    int64_t next_ms;      /* the slice that comes */
    uint64_t place_bytes; /* of the output, before it */
    bool begun;           /* what comes before all samples was written */

    uint64_t missing;        /* slices that were left out because of damage */
    uint64_t left_out;       /* pages, with --partial */
    uint64_t left_out_slice; /* of those: in the attempt at hand */
    struct why damage;       /* the first of either */
};

static void
flag_table(struct exporting *x, struct flag to[16])
{
    const struct flag flags[] = {
        {"url", 0, FLAG_TEXT, &x->url, "URL", "a running server (default http://127.0.0.1:9201)"},
        {"storage.path", 0, FLAG_TEXT, &x->storage, "DIRECTORY",
         "instead: the storage directory of a stopped server"},
        {"config.file", 0, FLAG_TEXT, &x->config_file, "FILE",
         "with --storage.path: the server's settings"},
        {"tenant", 0, FLAG_TEXT, &x->tenant, "ID", "sent as X-Scope-OrgID"},
        {"match", 0, FLAG_TEXTS, &x->match, "SELECTOR",
         "which series, as in PromQL; may be given again for more (default {__name__=~\".+\"})"},
        {"start", 0, FLAG_TEXT, &x->start_word, "TIME",
         "first time: RFC 3339, Unix seconds, now or now-1d (default: all there is)"},
        {"end", 0, FLAG_TEXT, &x->end_word, "TIME", "last time, inclusive (default: all there is)"},
        {"format", 0, FLAG_TEXT, &x->format_word, "FORM",
         "openmetrics, prometheus, jsonl, ndjson, csv or rw (default: by the file's suffix, else "
         "jsonl)"},
        {"output", 'o', FLAG_TEXT, &x->path, "FILE", "where to (default '-', standard output)"},
        {"compress", 0, FLAG_TEXT, &x->compress_word, "HOW",
         "gzip, zstd or none (default: by the suffix .gz or .zst)"},
        {"slice", 0, FLAG_DURATION, &x->slice_ns, "TIME",
         "asks for so much time at once, such as 1d; not for openmetrics and prometheus"},
        {"resume", 0, FLAG_TEXT, &x->resume_path, "FILE",
         "keeps there how far it came, slice by slice, and goes on from there"},
        {"partial", 0, FLAG_SWITCH, &x->partial, NULL,
         "leaves out the pages that are damaged, and says which, instead of all of the slice"},
        {"retry", 0, FLAG_DURATION, &x->retry_ns, "TIME",
         "how long to repeat what a server cannot answer now (default 5m)"},
        {0},
    };
    memcpy(to, flags, sizeof flags);
}

static struct exporting
defaults(void)
{
    return (struct exporting){.retry_ns = 300 * NS_PER_S, .format = SINK_UNKNOWN};
}

void
export_help(struct buf *to)
{
    struct exporting x = defaults();
    struct flag flags[16];
    flag_table(&x, flags);
    flags_help(flags, to);
    buf_put_text(
        to,
        "\nOnly rw and ndjson carry native histograms; openmetrics and prometheus have no "
        "staleness\nmarkers. What is left out is counted and said. Exemplars, metadata and "
        "start times are\nnot exported.\n\nExit status: 0 all was written, 1 something went wrong, "
        "2 wrong usage.\n");
}

/* --- what was asked for ----------------------------------------------------------------------- */

static enum err
settle_times(struct exporting *x, struct why *why)
{
    int64_t now = env_realtime_ms(env_real());
    enum err e = OK;
    x->start_ms = INT64_MIN;
    x->end_ms = INT64_MAX;
    if (x->start_word != NULL) {
        e = time_parse(bytes_of_text(x->start_word), now, &x->start_ms, why);
        if (e) return why_prefix(why, e, "--start");
    }
    if (x->end_word != NULL) {
        e = time_parse(bytes_of_text(x->end_word), now, &x->end_ms, why);
        if (e) return why_prefix(why, e, "--end");
    }
    if (x->start_ms > x->end_ms) return why_set(why, ERR_INPUT, "--start is later than --end");
    if (x->resume_path != NULL && x->slice_ns == 0) x->slice_ns = 86400 * NS_PER_S;
    x->slice_ms = x->slice_ns / NS_PER_MS;
    if (x->slice_ms == 0) return OK;
    if (x->start_word == NULL || x->end_word == NULL) {
        return why_set(why, ERR_INPUT, "--slice and --resume want --start and --end");
    }
    if (x->format == TEXT_OPENMETRICS || x->format == TEXT_PROMETHEUS) {
        return why_set(why, ERR_INPUT, "%s cannot be written in slices",
                       text_format_word((enum text_format)x->format));
    }
    return OK;
}

static enum err
settle_form(struct exporting *x, struct why *why)
{
    x->format = sink_format_of(x->path);
    if (x->format == SINK_UNKNOWN) x->format = TEXT_JSON_LINES;
    if (x->format_word != NULL && !sink_format_parse(x->format_word, &x->format)) {
        return why_set(why, ERR_INPUT, "--format: '%.64s' is no form", x->format_word);
    }
    x->packing = output_packing_of(x->path);
    if (x->compress_word == NULL) return OK;
    if (strcmp(x->compress_word, "gzip") == 0)
        x->packing = OUTPUT_GZIP;
    else if (strcmp(x->compress_word, "zstd") == 0)
        x->packing = OUTPUT_ZSTD;
    else if (strcmp(x->compress_word, "none") == 0)
        x->packing = OUTPUT_PLAIN;
    else
        return why_set(why, ERR_INPUT, "--compress: gzip, zstd or none is expected");
    return OK;
}

static enum err
read_selectors(struct exporting *x, struct why *why)
{
    if (x->match.count == 0) x->match.at[x->match.count++] = "{__name__=~\".+\"}";
    x->selectors = mem_new(NULL, FLAG_TEXTS_MAX * sizeof *x->selectors);
    if (x->selectors == NULL) return why_set(why, ERR_NOMEM, "no memory");
    for (uint32_t i = 0; i < x->match.count; i++) {
        enum err e = selector_parse(bytes_of_text(x->match.at[i]), &x->selectors[i], why);
        if (e) return why_prefix(why, e, "--match '%.64s'", x->match.at[i]);
        x->selector_count++;
    }
    return OK;
}

/* --- the file that says how far it came ------------------------------------------------------- */

/* All that decides what is written; another question must not go on in the same file. */
static void
put_question(const struct exporting *x, struct buf *to)
{
    buf_printf(to, "firekeep export 1\nfrom %s\ntenant %s\nformat %d %d\nasked %s %s %" PRId64 "\n",
               target_name(x->target), x->tenant == NULL ? "" : x->tenant, x->format, x->packing,
               x->start_word, x->end_word, x->slice_ms);
    for (uint32_t i = 0; i < x->match.count; i++) {
        buf_printf(to, "match %s\n", x->match.at[i]);
    }
}

static enum err
read_resume(struct exporting *x, struct buf *text, struct why *why)
{
    struct file file;
    uint64_t size;
    enum err e = file_open(env_real(), x->resume_path, FILE_READ, &file, why);
    if (e) return e;
    e = file_size(&file, &size, why);
    if (e == OK && size >= RESUME_TEXT_BYTES) e = why_set(why, ERR_INPUT, "too large");
    if (e == OK && !buf_reserve(text, (size_t)size + 1)) e = why_set(why, ERR_NOMEM, "no memory");
    if (e == OK) e = file_read_at(&file, text->at, (size_t)size, 0, why);
    if (e == OK) text->at[size] = '\0';
    if (e == OK) text->size = (size_t)size;
    err_ignore(file_close(&file), "only read");
    return e;
}

static enum err
load_resume(struct exporting *x, struct why *why)
{
    struct buf question, text;
    struct sink_counts *c = &x->counts;
    buf_init(&question, NULL, RESUME_TEXT_BYTES);
    buf_init(&text, NULL, RESUME_TEXT_BYTES);
    put_question(x, &question);
    enum err e = err_first(buf_error(&question), read_resume(x, &text, why));
    if (e) goto out;
    bool same = text.size > question.size && memcmp(text.at, question.at, question.size) == 0;
    if (!same ||
        sscanf((char *)text.at + question.size,
               "range %" SCNd64 " %" SCNd64 "\nnext %" SCNd64 " bytes %" SCNu64 "\ncounts %" SCNu64
               " %" SCNu64 " %" SCNu64 " %" SCNu64 "\nmissing %" SCNu64 " %" SCNu64 "\n",
               &x->start_ms, &x->end_ms, &x->next_ms, &x->place_bytes, &c->samples, &c->histograms,
               &c->histograms_left_out, &c->series, &x->missing, &x->left_out) < 8) {
        e = why_set(why, ERR_INPUT, "%s is of another export", x->resume_path);
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
    char dir[256];
    const struct sink_counts *c = &x->counts;
    if (x->resume_path == NULL) return OK;
    const char *slash = strrchr(x->resume_path, '/');
    size_t size = slash == NULL ? 0 : (size_t)(slash - x->resume_path);
    if (size >= sizeof dir) return why_set(why, ERR_INPUT, "--resume: too long a name");
    snprintf(dir, sizeof dir, "%.*s", slash == NULL || size == 0 ? 1 : (int)size,
             slash == NULL ? "." : x->resume_path);
    buf_init(&text, NULL, RESUME_TEXT_BYTES);
    put_question(x, &text);
    buf_printf(&text,
               "range %" PRId64 " %" PRId64 "\nnext %" PRId64 " bytes %" PRIu64 "\ncounts %" PRIu64
               " %" PRIu64 " %" PRIu64 " %" PRIu64 "\nmissing %" PRIu64 " %" PRIu64 "\n",
               x->start_ms, x->end_ms, x->next_ms, x->place_bytes, c->samples, c->histograms,
               c->histograms_left_out, c->series, x->missing, x->left_out);
    enum err e = buf_error(&text);
    if (e == OK) {
        e = env_write_whole(env_real(), dir, slash == NULL ? x->resume_path : slash + 1,
                            buf_bytes(&text), why);
    }
    buf_fini(&text);
    return e;
}

/* --- slices ----------------------------------------------------------------------------------- */

static int64_t
slice_end(const struct exporting *x)
{
    int64_t end;
    if (x->slice_ms == 0 || __builtin_add_overflow(x->next_ms, x->slice_ms - 1, &end)) {
        return x->end_ms;
    }
    return end < x->end_ms ? end : x->end_ms;
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
                             (uint64_t)(x->next_ms - x->start_ms),
                             x->slice_ms == 0 ? 0 : (uint64_t)(x->end_ms - x->start_ms));
        if (!begun) e = sample_sink_begin(sink, why);
        begun = true;
        if (e == OK) {
            e = target_read(x->target, &x->selectors[i], x->next_ms, slice_end(x), sink, why);
        }
        if (e == OK) {
            e = sample_sink_series_end(sink, why);
        } else if (e == ERR_CORRUPT) { /* what came before it stays, if nobody goes back */
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

static bool
is_worth_repeating(const struct exporting *x, enum err e)
{
    return x->storage == NULL && (e == ERR_IO || e == ERR_AGAIN);
}

static void
left_out(void *context, const char *text)
{
    struct exporting *x = context;
    if (x->damage.text[0] == '\0') why_set(&x->damage, ERR_CORRUPT, "%s", text);
    if (x->left_out + x->left_out_slice++ < TOLD_MAX)
        progress_say(&x->progress, "left out: %s", text);
}

/* Damage costs its slice; what comes later is written. */
static enum err
pass_slice(struct exporting *x, const struct sink_counts *counts, const struct why *why)
{
    char from[TIME_TEXT_BYTES], to[TIME_TEXT_BYTES];
    struct why unwanted;
    enum err e = output_back(x->output, x->place_bytes, &unwanted);
    if (e == ERR_UNSUPPORTED) { /* what was read of it is in the pipe */
        add_counts(&x->counts, counts);
        x->begun = true;
        e = OK;
    }
    time_print(x->next_ms, from);
    time_print(slice_end(x), to);
    if (x->damage.text[0] == '\0') x->damage = *why;
    if (x->missing++ < TOLD_MAX)
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
        if (!is_worth_repeating(x, e) || tries == SLICE_TRIES_MAX) return e;
        if (output_back(x->output, x->place_bytes, &back) != OK) return e;
        progress_say(&x->progress, "%s; once more", why->text);
    }
}

static enum err
export_all(struct exporting *x, struct why *why)
{
    bool done = x->next_ms > x->end_ms;
    while (!done) {
        int64_t end = slice_end(x);
        if (atomic_load_explicit(x->stop, memory_order_relaxed)) {
            return why_set(why, ERR_CANCELED, "stopped");
        }
        enum err e = export_slice(x, end == x->end_ms, why);
        if (e == OK) e = output_place(x->output, &x->place_bytes, why);
        if (e) return e;
        done = end == x->end_ms;
        if (end < INT64_MAX) x->next_ms = end + 1;
        e = save_resume(x, why);
        if (e) return e;
    }
    return OK;
}

/* --- the command ------------------------------------------------------------------------------ */

static void
retrying(void *context, const char *reason, int64_t wait_ns)
{
    struct exporting *x = context;
    progress_say(&x->progress, "%s; again in %.1f s", reason, (double)wait_ns / 1e9);
}

static enum err
open_both(struct exporting *x, struct why *why)
{
    if (x->url == NULL && x->storage == NULL) x->url = "http://127.0.0.1:9201";
    struct target_options options = {.url = x->url,
                                     .storage = x->storage,
                                     .config_file = x->config_file,
                                     .tenant = x->tenant,
                                     .retry_ns = x->retry_ns,
                                     .stop = x->stop,
                                     .partial = x->partial,
                                     .left_out = left_out,
                                     .retrying = retrying,
                                     .context = x};
    enum err e = target_open(&options, &x->target, why);
    if (e) return e;
    x->next_ms = x->start_ms;
    if (x->resume_path != NULL) {
        if (x->path == NULL || strcmp(x->path, "-") == 0) {
            return why_set(why, ERR_INPUT, "--resume wants an output file (-o)");
        }
        e = load_resume(x, why);
        if (e) return e;
    }
    return output_open(x->path, x->packing, x->place_bytes, &x->output, why);
}

static void
summarize(struct exporting *x)
{
    const struct sink_counts *c = &x->counts;
    double seconds = progress_seconds(&x->progress);
    progress_clear(&x->progress);
    fprintf(stderr, "exported %" PRIu64 " samples, %" PRIu64 " histograms in %.1f s (%.0f/s)",
            c->samples, c->histograms, seconds,
            seconds > 0 ? (double)(c->samples + c->histograms) / seconds : 0);
    if (c->histograms_left_out > 0) {
        fprintf(stderr, "; %" PRIu64 " native histograms left out: this form has none",
                c->histograms_left_out);
    }
    if (c->stale_left_out > 0) {
        fprintf(stderr, "; %" PRIu64 " staleness markers left out: this form has none",
                c->stale_left_out);
    }
    if (c->nan_altered > 0) {
        fprintf(stderr, "; %" PRIu64 " NaNs lost their payload", c->nan_altered);
    }
    fputc('\n', stderr);
}

/* Everything that could be read was written. */
static enum err
check_whole(const struct exporting *x, struct why *why)
{
    const char *damage = target_damage(x->target);
    if (x->missing == 0 && x->left_out == 0) {
        return damage == NULL ? OK : why_set(why, ERR_CORRUPT, "%.400s", damage);
    }
    return why_set(why, ERR_CORRUPT,
                   "%" PRIu64 " slices are missing and %" PRIu64 " damaged pages left out%s%.300s",
                   x->missing, x->left_out,
                   x->damage.text[0] == '\0' ? "" : ", the first: ", x->damage.text);
}

static int
finish(struct exporting *x, enum err e, const struct why *why)
{
    for (uint32_t i = 0; i < x->selector_count; i++) {
        selector_fini(&x->selectors[i]);
    }
    mem_free(NULL, x->selectors, FLAG_TEXTS_MAX * sizeof *x->selectors);
    if (x->output != NULL) summarize(x);
    bool opened = x->output != NULL;
    output_free(x->output);
    target_free(x->target);
    if (e == OK) return EXIT_DONE;
    if (e == ERR_INPUT && !opened) return cli_usage_error("export", "%s", why->text);
    if (opened && x->resume_path != NULL && x->next_ms <= x->end_ms) {
        fprintf(stderr, "the same command goes on where this one ended\n");
    } else if (opened) {
        fprintf(stderr, "the output is not complete\n");
    }
    fprintf(stderr, "firekeep export: %s\n", why->text[0] != '\0' ? why->text : err_word(e));
    return EXIT_FAILED;
}

int
command_export(int argc, char **argv)
{
    struct exporting x = defaults();
    struct flag flags[16];
    struct why why = {""};
    int count;
    flag_table(&x, flags);
    enum err e = flags_parse(flags, argc - 1, argv + 1, &count, &why);
    if (e == OK && count > 0) {
        e = why_set(&why, ERR_INPUT, "unexpected word '%.64s' (selectors go behind --match)",
                    argv[1]);
    }
    if (e == OK) e = settle_form(&x, &why);
    if (e == OK) e = settle_times(&x, &why);
    if (e == OK) e = read_selectors(&x, &why);
    if (e == OK) {
        x.stop = interrupt_watch();
        progress_begin(&x.progress, "samples");
        e = open_both(&x, &why);
    }
    if (e == OK) e = export_all(&x, &why);
    if (e == OK) e = check_whole(&x, &why);
    return finish(&x, e, &why);
}
