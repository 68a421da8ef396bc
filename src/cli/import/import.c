/*
 * import.c - `firekeep import`: reads files in any of the formats, line by line, into a server or a
 * directory.
 *
 *     input (file, gzip, zstd) -> line -> text reader -> batch -> target -> acknowledged
 *
 * An invalid line is reported and counted, and reading continues. After each acknowledged batch the
 * position may be saved, so that a later run continues after it; repeated samples are duplicates to
 * the store, which is harmless.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text/time_text.h"
#include "cli/cli.h"
#include "cli/lib/import_batch.h"
#include "cli/lib/resume.h"
#include "cli/lib/sample_files.h"
#include "cli/lib/terminal.h"
#include "sys/env.h"

enum { BAD_SHOWN = 20, REJECTED_SHOWN = 10, RECORD_BYTES_MAX = 64 << 20 };

struct importing {
    /* Command line. */
    struct target_options target_options;
    const char *format_word;
    struct flag_time time;
    const char *resume_path;
    bool dry_run;
    uint64_t protocol;
    uint64_t bad_shown_max;
    int format;

    struct target *target;
    struct import_batch *batch;
    struct resume resume;
    struct progress progress;

    /* The current file. */
    struct resume_file *file;
    struct input *input;
    struct text_reader *reader;
    uint64_t lines; /* or records; without a last line that lacks a line feed, because it may still
                       grow */
    uint64_t bad_here; /* added to those of the file with the next acknowledged batch */
    bool cut;          /* the end of the file is missing, so it is not done */
    bool early_reported;

    uint64_t bad_shown;
    uint64_t bad;
    uint64_t junk;
    uint64_t rejected_shown;
    uint64_t files_failed;
    uint64_t all_bytes; /* size of all files; 0: not known */
    uint64_t done_bytes;
};

static const struct flag import_flags[] = {
    TARGET_FLAGS(
        struct importing, target_options,
        "with --storage.path: configuration file of the server, for its limits and retention"),
    {"format", 0, FLAG_TEXT, offsetof(struct importing, format_word), "FORM",
     "openmetrics, prometheus, jsonl, ndjson, csv or rw (default: by name and contents)"},
    {"timestamp", 0, FLAG_TIME, offsetof(struct importing, time), "TIME",
     "time for samples that have none: RFC 3339, Unix seconds, now or now-1d"},
    {"resume", 0, FLAG_TEXT, offsetof(struct importing, resume_path), "FILE",
     "save the progress to this file, and continue from it"},
    {"dry-run", 0, FLAG_SWITCH, offsetof(struct importing, dry_run), NULL,
     "read and count everything, send nothing; limits and retention of the target are not "
     "checked"},
    {"protocol", 0, FLAG_COUNT, offsetof(struct importing, protocol), "1|2",
     "version of remote write to send (default 2; captures keep theirs)"},
    {"retry", 0, FLAG_DURATION, offsetof(struct importing, target_options.retry_ns), "TIME",
     "how long to retry when the server is not available (default 5m)"},
    {"bad-lines", 0, FLAG_COUNT, offsetof(struct importing, bad_shown_max), "N",
     "maximum number of bad lines to print; all are counted (default 20)"},
    {0},
};

static const char import_notes[] =
    "\nFILE '-' is standard input; gzip and zstd are detected by their first bytes. Bad lines are\n"
    "printed to stderr as FILE:LINE, the rest is imported. Importing the same file again does no\n"
    "harm: samples that are already stored stay unchanged.\n"
    "\nExit status: 0 everything was imported, 1 something was not (bad lines, refused samples, a\n"
    "file that cannot be read, a server that cannot be reached), 2 wrong usage.\n";

/* --- messages --------------------------------------------------------------------------------- */

static void
bad_line(struct importing *im, uint64_t line, const struct why *why)
{
    im->bad++;
    if (!im->cut) im->bad_here++; /* otherwise a continued import finds it again */
    if (im->bad_shown == im->bad_shown_max) {
        im->bad_shown++;
        progress_say(&im->progress, "more bad lines are counted but not shown (--bad-lines)");
    }
    if (im->bad_shown > im->bad_shown_max) return;
    im->bad_shown++;
    bool record = im->format == FORMAT_CAPTURE;
    progress_say(&im->progress, "%s:%s%" PRIu64 ": %s", im->file->path, record ? "record " : "",
                 line, why->text);
}

static void
rejected(void *context, const char *text)
{
    struct importing *im = context;
    if (++im->rejected_shown > REJECTED_SHOWN) return;
    bool said = strncmp(text, "refused: ", 9) == 0; /* the form of Firekeep's message */
    progress_say(&im->progress, "%s, up to line %" PRIu64 ": %s%s", im->file->path, im->lines,
                 said ? "" : "refused: ", text);
    if (im->rejected_shown == REJECTED_SHOWN)
        progress_say(&im->progress, "more refusals are counted but not shown");
}

/* Unix seconds read as milliseconds are times in 1970: reported once per file. */
static void
early_time(struct importing *im, const struct text_item *item)
{
    char time[TIME_TEXT_BYTES];
    if (im->early_reported) return;
    im->early_reported = true;
    const char *hint = im->format == TEXT_CSV ? " (Unix seconds belong in a column time_s)"
                       : im->format == TEXT_PROMETHEUS
                           ? " (--format=openmetrics reads Unix seconds)"
                           : "";
    progress_say(&im->progress,
                 "%s:%" PRIu64 ": warning: \"%.*s\" is before 1980: %s; it is read as Unix "
                 "milliseconds%s",
                 im->file->path, input_position(im->input)->line_begin,
                 (int)item->early_column.size, (const char *)item->early_column.at,
                 time_print(item->early_ms, time), hint);
}

static uint64_t
total(const struct target_counts *counts)
{
    uint64_t sum = 0;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++)
        sum += counts->of[kind];
    return sum;
}

static void
import_show_progress(struct importing *im)
{
    struct batch_counts c = batch_counts(im->batch);
    uint64_t here = input_position(im->input)->read_bytes;
    progress_show(&im->progress, c.taken.of[LEDGER_FLOAT] + c.taken.of[LEDGER_HISTOGRAM],
                  im->done_bytes + here, im->all_bytes);
}

static void
summarize(struct importing *im)
{
    struct batch_counts c = batch_counts(im->batch);
    double seconds = progress_seconds(&im->progress);
    uint64_t samples = c.taken.of[LEDGER_FLOAT] + c.taken.of[LEDGER_HISTOGRAM];
    progress_clear(&im->progress);
    fprintf(stderr,
            "%s %" PRIu64 " sample%s, %" PRIu64 " histogram%s, %" PRIu64 " exemplar%s, metadata of "
            "%" PRIu64 " famil%s in %.1f s (%.0f/s)",
            im->dry_run ? "would import" : "imported", c.taken.of[LEDGER_FLOAT],
            plural(c.taken.of[LEDGER_FLOAT]), c.taken.of[LEDGER_HISTOGRAM],
            plural(c.taken.of[LEDGER_HISTOGRAM]), c.taken.of[LEDGER_EXEMPLAR],
            plural(c.taken.of[LEDGER_EXEMPLAR]), c.families, c.families == 1 ? "y" : "ies", seconds,
            seconds > 0 ? (double)samples / seconds : 0);
    if (im->bad > 0) fprintf(stderr, "; %" PRIu64 " bad line%s", im->bad, plural(im->bad));
    if (total(&c.rejected) > 0) fprintf(stderr, "; %" PRIu64 " refused", total(&c.rejected));
    if (im->junk > 0) fprintf(stderr, "; %" PRIu64 " empty rows left out", im->junk);
    if (im->files_failed > 0) {
        fprintf(stderr, "; %" PRIu64 " file%s not read completely", im->files_failed,
                plural(im->files_failed));
    }
    if (im->dry_run) fputs("; limits and retention of the target were not checked", stderr);
    fputc('\n', stderr);
}

/* --- a file ----------------------------------------------------------------------------------- */

/* Finds the format of the current file: from the command line, its name, or its contents. */
static enum err
settle_format(struct importing *im, struct why *why)
{
    struct bytes head;
    enum text_format guessed;
    if (im->format_word != NULL) return OK;
    im->format = sample_format_of(im->file->path);
    bool json =
        im->format == TEXT_JSON_LINES || im->format == TEXT_NDJSON; /* the contents decide which */
    if (im->format != FORMAT_UNKNOWN && !json) return OK;
    enum err e = input_head(im->input, &head, why);
    if (e) return e;
    im->format = TEXT_PROMETHEUS; /* an empty file is valid in any format */
    if (head.size == 0) return OK;
    if (head.at[0] == '[') {
        return why_set(why, ERR_INPUT,
                       "a JSON array is not imported: write one object on a line, as jq -c '.[]' "
                       "does");
    }
    /* A capture begins with the small length of its first record, and snappy blocks are not
     * text. */
    uint32_t size = head.size < 8 ? 0 : load_le32(head.at);
    if (size > 0 && size <= RECORD_BYTES_MAX && memchr(head.at, 0, 4) != NULL)
        im->format = FORMAT_CAPTURE;
    else if (text_format_guess(head, &guessed))
        im->format = (int)guessed;
    else
        return why_set(why, ERR_INPUT, "unknown format; set it with --format");
    return OK;
}

static enum err
import_send(struct importing *im, struct why *why)
{
    enum err e = batch_send(im->batch, why);
    if (e) return e;
    if (im->lines > im->file->lines) im->file->lines = im->lines;
    im->file->bad = im->bad_here;
    return resume_save(&im->resume, false, why);
}

static bool
import_is_stopped(const struct importing *im)
{
    return atomic_load_explicit(im->target_options.stop, memory_order_relaxed);
}

static enum err
import_take_line(struct importing *im, struct bytes line, struct why *why)
{
    struct text_item item;
    enum err e = input_position(im->input)->line_is_last
                     ? text_reader_last_line(im->reader, line, &item, why)
                     : text_reader_line(im->reader, line, &item, why);
    if (e) return e;
    im->junk += item.junk;
    if (item.early_column.at != NULL) early_time(im, &item);
    return batch_item(im->batch, &item, why);
}

static enum err
read_lines(struct importing *im, struct why *why)
{
    for (uint64_t i = 1;; i++) {
        struct bytes line = {NULL, 0};
        if (import_is_stopped(im)) return why_set(why, ERR_CANCELED, "stopped");
        enum err e = OK; /* `at` stays NULL at the end */
        if (im->format == TEXT_CSV)
            e = input_record(im->input, TEXT_CSV_BYTES_MAX, &line, why);
        else if (im->format == TEXT_JSON_LINES || im->format == TEXT_NDJSON)
            e = input_object(im->input, TEXT_LINE_BYTES_MAX, &line, why);
        else
            e = input_line(im->input, TEXT_LINE_BYTES_MAX, &line, why);
        im->lines = input_position(im->input)->lines - input_position(im->input)->line_is_last;
        if (e == OK && line.at == NULL) return OK;
        bool is_last = input_position(im->input)->line_is_last;
        bool was_read = !is_last && im->lines <= im->file->lines;
        if (e == OK && was_read)
            e = text_reader_skip(im->reader, line, why);
        else if (e == OK)
            e = import_take_line(im, line, why);
        bool of_line = (e == ERR_INPUT || e == ERR_LIMIT) && !batch_failed(im->batch);
        if (e && !of_line) return e;
        im->cut = e && is_last;
        if (e && !was_read) bad_line(im, input_position(im->input)->line_begin, why);
        if (batch_is_full(im->batch)) {
            e = import_send(im, why);
            if (e) return e;
        }
        if (i % 256 == 0) import_show_progress(im);
    }
}

static enum err
import_text(struct importing *im, struct why *why)
{
    struct text_reader_options options = {.format = (enum text_format)im->format,
                                          .has_time = im->time.word != NULL,
                                          .time_ms = im->time.ms};
    struct text_item item;
    enum err e = text_reader_new(&options, &im->reader);
    if (e) return why_set(why, e, "not enough memory");
    e = read_lines(im, why);
    if (e == OK) {
        struct why end = {""};
        bool ended = text_reader_end(im->reader, &item, &end) == OK;
        if (!ended && !im->cut) { /* the line may end in the next run */
            im->cut = true;
            bad_line(im, input_position(im->input)->lines + 1, &end);
        }
        e = batch_item(im->batch, &item, why);
    }
    text_reader_free(im->reader);
    im->reader = NULL;
    return e;
}

/* Reads one record. *ret_end is true if the file has no further record. */
static enum err
read_record(struct importing *im, bool *ret_end, struct why *why)
{
    struct bytes piece;
    enum err e = input_piece(im->input, 4, &piece, why);
    *ret_end = e == OK && piece.at == NULL;
    if (e || *ret_end) return e;
    uint32_t size = load_le32(piece.at);
    im->lines++;
    if (size > RECORD_BYTES_MAX) {
        return why_set(why, ERR_CORRUPT, "record %" PRIu64 " has %u bytes, must be at most %d",
                       im->lines, size, RECORD_BYTES_MAX);
    }
    e = input_piece(im->input, size, &piece, why);
    if (e == OK && piece.at == NULL && size > 0)
        e = why_set(why, ERR_CORRUPT, "the last record is cut short");
    if (e || im->lines <= im->file->lines) return e;
    struct why bad = {""};
    e = batch_request(im->batch, piece, &bad);
    if (e == ERR_INPUT && !batch_failed(im->batch)) {
        bad_line(im, im->lines, &bad);
        return OK;
    }
    if (e) {
        *why = bad;
        return e;
    }
    im->file->lines = im->lines;
    im->file->bad = im->bad_here;
    return resume_save(&im->resume, false, why);
}

static enum err
read_capture(struct importing *im, struct why *why)
{
    for (bool end = false; !end;) {
        if (import_is_stopped(im)) return why_set(why, ERR_CANCELED, "stopped");
        enum err e = read_record(im, &end, why);
        if (e) return e;
        import_show_progress(im);
    }
    return OK;
}

/* Lines before an error count, unless it is an error of the target. */
static enum err
import_file(struct importing *im, struct why *why)
{
    struct why later = {""};
    im->lines = 0;
    im->cut = im->early_reported = false;
    im->bad_here = im->file->bad;
    enum err e = input_open(im->file->path, im->target_options.stop, &im->input, why);
    if (e) return e;
    e = settle_format(im, why);
    if (e == OK) e = im->format == FORMAT_CAPTURE ? read_capture(im, why) : import_text(im, why);
    if (!batch_failed(im->batch)) e = err_first(e, import_send(im, e ? &later : why));
    if (e == OK) {
        im->file->done = !im->cut;
        e = resume_save(&im->resume, true, why);
    }
    im->done_bytes += input_position(im->input)->file_bytes;
    input_free(im->input);
    im->input = NULL;
    return e;
}

/* --- all files -------------------------------------------------------------------------------- */

static enum err
read_files(struct importing *im, struct why *why)
{
    for (uint32_t i = 0; i < im->resume.file_count; i++) {
        struct why of_file = {""};
        im->file = &im->resume.files[i];
        if (im->file->done) continue;
        if (im->file->lines > 0) {
            progress_say(&im->progress, "%s: continuing after line %" PRIu64, im->file->path,
                         im->file->lines);
        }
        enum err e = import_file(im, &of_file);
        if (e == OK) continue;
        if (batch_failed(im->batch) || e == ERR_CANCELED || e == ERR_NOMEM) {
            *why = of_file;
            return e;
        }
        im->files_failed++;
        bool is_stdin = strcmp(im->file->path, "-") == 0;
        bool named = why_names(&of_file, is_stdin ? "standard input" : im->file->path);
        progress_say(&im->progress, "%s%s%s", named ? "" : im->file->path, named ? "" : ": ",
                     of_file.text);
    }
    return OK;
}

/* Reports unreadable files before the import begins. Files are not opened, because opening a
 * pipe consumes it. */
static enum err
find_sizes(struct importing *im, struct why *why)
{
    bool known = true;
    for (uint32_t i = 0; i < im->resume.file_count; i++) {
        struct stat st;
        const struct resume_file *f = &im->resume.files[i];
        if (strcmp(f->path, "-") == 0) {
            known = false;
            continue;
        }
        if (stat(f->path, &st) != 0 || access(f->path, R_OK) != 0) {
            return why_set(why, err_from_errno(errno), "cannot read %s: %s", f->path,
                           errno_text(errno).text);
        }
        if (S_ISDIR(st.st_mode)) return why_set(why, ERR_INPUT, "%s is a directory", f->path);
        known &= S_ISREG(st.st_mode);
        if (!f->done) im->all_bytes += (uint64_t)st.st_size;
    }
    if (!known) im->all_bytes = 0;
    return OK;
}

/* Finds the files before the target is opened: that makes a missing storage directory, which
 * must not happen if files are missing, too. */
static enum err
find_files(struct importing *im, uint32_t count, char *const *paths, struct why *why)
{
    im->resume.files = mem_new(NULL, count * sizeof *im->resume.files);
    if (im->resume.files == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
    for (uint32_t i = 0; i < count; i++)
        im->resume.files[im->resume.file_count++].path = paths[i];
    im->resume.path = im->dry_run ? NULL : im->resume_path;
    im->resume.target =
        im->target_options.url != NULL ? im->target_options.plain_url : im->target_options.storage;
    im->resume.tenant = im->target_options.tenant == NULL ? "" : im->target_options.tenant;
    enum err e = resume_lock(im->resume.path, why);
    if (e == OK) e = resume_load(&im->resume, why);
    for (uint32_t i = 0; i < count; i++)
        im->bad += im->resume.files[i].bad;
    return e ? e : find_sizes(im, why);
}

static enum err
import_run(struct importing *im, struct why *why)
{
    struct why last = {""};
    enum err e =
        batch_new(im->target, im->protocol == 1 ? RW_V1 : RW_V2, rejected, im, &im->batch, why);
    if (e) return e;
    e = read_files(im, why);
    e = err_first(e, resume_save(&im->resume, true, e ? NULL : why));
    if (im->target != NULL) {
        enum err finished = target_finish(im->target, &last);
        if (finished && e == OK) {
            progress_say(&im->progress, "everything is in the log, but writing a part failed: %s",
                         why_text(&last, finished));
        }
    }
    summarize(im);
    return e;
}

static enum err
check_words(struct importing *im, int count, char *const *paths, struct why *why)
{
    int inputs = 0;
    for (int i = 0; i < count; i++)
        inputs += strcmp(paths[i], "-") == 0;
    if (im->format_word != NULL) {
        enum err e = sample_format_parse(im->format_word, &im->format, why);
        if (e) return e;
    }
    if (im->protocol != 1 && im->protocol != 2)
        return why_set(why, ERR_INPUT, "--protocol: expected 1 or 2");
    if (count == 0) return why_set(why, ERR_INPUT, "missing FILE");
    return inputs > 1 ? why_set(why, ERR_INPUT, "'-' can be given only once") : OK;
}

static int
run_import(int argc, char **argv)
{
    struct importing im = {.protocol = 2,
                           .target_options.retry_ns = 300 * NS_PER_S,
                           .bad_shown_max = BAD_SHOWN,
                           .format = FORMAT_UNKNOWN};
    struct why why = {""};
    int count, code = EXIT_DONE;
    enum err e = flags_parse(import_flags, &im, argc - 1, argv + 1, &count, &why);
    if (e == OK) e = check_words(&im, count, argv + 1, &why);
    if (e == OK) e = target_settle(&im.target_options, &why);
    if (e) return cli_usage_error("import", "%s", why.text);
    im.target_options.stop = interrupt_watch();
    im.target_options.writing = true;
    im.target_options.progress = &im.progress;
    progress_begin(&im.progress, "samples");
    e = find_files(&im, (uint32_t)count, argv + 1, &why);
    bool found = e == OK;
    if (e == OK && !im.dry_run) e = target_open(&im.target_options, &im.target, &why);
    if (found && e == ERR_INPUT) {
        code = cli_usage_error("import", "%s", why.text);
    } else {
        if (e == OK) e = import_run(&im, &why);
        if (e) code = cli_failed("import", e, &why);
        if (e && im.resume.path != NULL)
            fprintf(stderr, "run the same command again to continue\n");
    }
    if (e == OK) {
        struct batch_counts c = batch_counts(im.batch);
        bool whole = im.bad == 0 && im.files_failed == 0 && total(&c.rejected) == 0;
        if (!whole) code = EXIT_FAILED;
    }
    batch_free(im.batch);
    target_free(im.target);
    mem_free(NULL, im.resume.files, (size_t)count * sizeof *im.resume.files);
    return code;
}

const struct command command_import = {
    "import",   "[flags] FILE...", "load samples from files into a server or a storage directory",
    run_import, import_flags,      import_notes};
