/* inspect.c - `firekeep inspect PATH [SELECTOR]`: describes files on disk and their sizes. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/text/time_text.h"
#include "cli/commands.h"
#include "cli/inspect/inspect_print.h"
#include "cli/lib/progress.h"
#include "rules/schedule/checkpoint.h"

#define MEMORY_BYTES_MAX ((uint64_t)512 << 20)

enum { TOP = 10, MIB_SHIFT = 20 };

struct inspect {
    const char *tenant;
    struct flag_time start, end;
    uint64_t top;
    int form; /* enum report_form */
    struct selector selector;
    bool has_selector;
    struct inspect_target target;
    struct inspect_options options;
    struct budget memory;
    struct progress progress;
};

static const struct flag flags[] = {
    {"top", 0, FLAG_COUNT, offsetof(struct inspect, top), "N",
     "number of entries in each ranking (default 10)"},
    {"format", 0, FLAG_CHOICE, offsetof(struct inspect, form), "FORM",
     "text or json (default text)", report_forms},
    {"tenant", 0, FLAG_TEXT, offsetof(struct inspect, tenant), "ID",
     "with a selector: tenant (default anonymous)"},
    {"start", 0, FLAG_TIME, offsetof(struct inspect, start), "TIME",
     "with a selector: start time: RFC 3339, Unix seconds, now or now-1d (default: all)"},
    {"end", 0, FLAG_TIME, offsetof(struct inspect, end), "TIME",
     "with a selector: end time, inclusive (default: all)"},
    {0},
};

static const char notes[] =
    "\nPATH is a storage directory (or a snapshot), DIR/parts/NNNN for one part, or\n"
    "DIR/wal/NNNN.wal for one segment of the log. With a SELECTOR, as in PromQL, prints where\n"
    "the series that it matches are. Changes and locks nothing: it can run beside a server.\n"
    "\nExit status: 0 done, 1 something is damaged or cannot be read (the rest is still printed),\n"
    "2 wrong usage.\n";

/* --- arguments -------------------------------------------------------------------------------- */

static enum err
settle(struct inspect *x, int count, char **words, struct why *why)
{
    if (count < 1 || count > 2) {
        return why_set(why, ERR_INPUT, "expected PATH and optionally SELECTOR");
    }
    if (x->top < 1 || x->top > INSPECT_TOP_MAX) {
        return why_set(why, ERR_INPUT, "--top must be between 1 and %d", INSPECT_TOP_MAX);
    }
    x->options.top = (uint32_t)x->top;
    x->has_selector = count == 2;
    bool extra = x->tenant != NULL || x->start.word != NULL || x->end.word != NULL;
    if (extra && !x->has_selector) {
        return why_set(why, ERR_INPUT, "--tenant, --start and --end require a selector");
    }
    if (x->start.ms > x->end.ms) return why_set(why, ERR_INPUT, "--start is later than --end");
    if (!x->has_selector) return OK;
    return selector_parse(bytes_of_text(words[1]), &x->selector, why);
}

/* --- the four uses ---------------------------------------------------------------------------- */

static void
show_progress(void *context, uint64_t done, uint64_t all)
{
    struct inspect *x = context;
    bool bytes = x->target.kind != INSPECT_DIRECTORY;
    progress_show(&x->progress, bytes ? done >> MIB_SHIFT : done, done, all);
}

/* Damage was printed already; here it decides the exit status. */
static enum err
verdict(const struct inspect_remarks *remarks, struct why *why)
{
    if (remarks->damage_count == 0) return OK;
    return why_set(why, ERR_CORRUPT, "%" PRIu64 " %s damaged", remarks->damage_count,
                   remarks->damage_count == 1 ? "place is" : "places are");
}

/* The store does not know rules: their state is read here. */
static enum err
print_directory(struct inspect *x, struct report *r, struct inspect_dir *dir, struct why *why)
{
    struct checkpoint_reader rules;
    struct why reason = {""};
    enum err e = checkpoint_read(x->options.env, x->target.dir, x->options.memory, &rules, &reason);
    bool lacks_memory = e == ERR_NOMEM;
    if (e != OK && e != ERR_MISSING && !lacks_memory)
        lacks_memory = inspect_dir_remark(dir, true, why_text(&reason, e)) != OK;
    inspect_print_dir(r, dir, e == OK ? &rules : NULL);
    checkpoint_fini(&rules);
    if (lacks_memory) return why_set(why, ERR_NOMEM, "not enough memory for the report");
    return verdict(&dir->remarks, why);
}

static enum err
run(struct inspect *x, const char *path, struct why *why)
{
    static const char *const units[] = {"parts", "MiB", "MiB"};
    static const char *const kinds[] = {"directory", "part", "segment"};
    struct inspect_question question = {
        .tenant = bytes_of_text(x->tenant == NULL ? "anonymous" : x->tenant),
        .selector = &x->selector,
        .range = {x->start.ms, x->end.ms}};
    struct inspect_series series;
    struct inspect_dir dir;
    struct inspect_part part;
    struct inspect_segment segment;
    struct report *r;
    progress_begin(&x->progress, x->has_selector ? "series" : units[x->target.kind]);
    enum err e = report_new((enum report_form)x->form, stdout, &x->memory, &r);
    if (e) return why_set(why, e, "not enough memory for the report");
    if (x->form == REPORT_JSON) {
        const char *kind = x->has_selector ? "series" : kinds[x->target.kind];
        report_field(r, "kind", "kind", value_text(kind));
        report_field(r, "path", "path", value_text(path));
    }
    if (x->has_selector)
        e = inspect_series(&x->options, x->target.dir, &question, &series, why);
    else if (x->target.kind == INSPECT_DIRECTORY)
        e = inspect_dir(&x->options, x->target.dir, &dir, why);
    else if (x->target.kind == INSPECT_PART)
        e = inspect_part(&x->options, &x->target, &part, why);
    else
        e = inspect_segment(&x->options, &x->target, &segment, why);
    progress_clear(&x->progress);
    if (e) {
        /* nothing to print */
    } else if (x->has_selector) {
        inspect_print_series(r, &series);
        e = verdict(&series.remarks, why);
        inspect_series_fini(&series);
    } else if (x->target.kind == INSPECT_DIRECTORY) {
        e = print_directory(x, r, &dir, why);
        inspect_dir_fini(&dir);
    } else if (x->target.kind == INSPECT_PART) {
        inspect_print_part(r, &part);
        e = verdict(&part.remarks, why);
        inspect_part_fini(&part);
    } else {
        inspect_print_segment(r, &segment);
        e = verdict(&segment.remarks, why);
        inspect_segment_fini(&segment);
    }
    enum err ended = report_end(r);
    if (e == OK && ended) e = why_set(why, ended, "the report is incomplete: not enough memory");
    report_free(r);
    return e;
}

static int
run_inspect(int argc, char **argv)
{
    struct inspect x = {.top = TOP, .start.ms = INT64_MIN, .end.ms = INT64_MAX};
    struct why why = {""};
    int count = 0;
    signal(SIGPIPE, SIG_DFL); /* a pipe to `head` ends the program without a message */
    budget_init(&x.memory, "inspect", MEMORY_BYTES_MAX, NULL);
    x.options = (struct inspect_options){.env = env_real(),
                                         .memory = &x.memory,
                                         .now_ms = env_realtime_ms(env_real()),
                                         .progress = show_progress,
                                         .context = &x};
    enum err e = flags_parse(flags, &x, argc - 1, argv + 1, &count, &why);
    if (e == OK) e = settle(&x, count, argv + 1, &why);
    if (e) {
        selector_fini(&x.selector);
        return cli_usage_error("inspect", "%s", why_text(&why, e));
    }
    e = inspect_path(x.options.env, argv[1], &x.target, &why);
    if (e == OK && x.has_selector && x.target.kind != INSPECT_DIRECTORY) {
        selector_fini(&x.selector);
        return cli_usage_error("inspect", "a selector requires a storage directory");
    }
    if (e == OK) e = run(&x, argv[1], &why);
    selector_fini(&x.selector);
    if (e == OK) return EXIT_DONE;
    fflush(stdout);
    bool named = why_names(&why, argv[1]);
    fprintf(stderr, "firekeep inspect: %s%s%s\n", named ? "" : argv[1], named ? "" : ": ",
            why_text(&why, e));
    return EXIT_FAILED;
}

const struct command command_inspect = {
    "inspect",
    "[flags] PATH [SELECTOR]",
    "show what a storage directory, a part or a log segment contains, and its size",
    run_inspect,
    flags,
    notes};
