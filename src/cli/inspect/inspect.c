/* inspect.c - `firekeep inspect PATH`: describes files on disk and their sizes. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/text/time_text.h"
#include "cli/cli.h"
#include "cli/inspect/inspect.h"
#include "cli/lib/terminal.h"
#include "rules/schedule/checkpoint.h"

#define MEMORY_BYTES_MAX ((uint64_t)512 << 20)

enum { MIB_SHIFT = 20 };

struct inspect {
    int form; /* enum report_form */
    struct inspect_target target;
    struct inspect_options options;
    struct budget memory;
    struct progress progress;
};

static const struct flag flags[] = {
    REPORT_FLAG(struct inspect),
    {0},
};

static const char notes[] =
    "\nPATH is a storage directory (or a snapshot), DIR/parts/NNNN for one part, or\n"
    "DIR/wal/NNNN.wal for one segment of the log. Changes and locks nothing: it can run beside a\n"
    "server.\n"
    "\nExit status: 0 done, 1 something is damaged or cannot be read (the rest is still printed),\n"
    "2 wrong usage.\n";

/* --- the three uses --------------------------------------------------------------------------- */

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
    struct inspect_dir dir;
    struct inspect_part part;
    struct inspect_segment segment;
    struct report *r;
    progress_begin(&x->progress, units[x->target.kind]);
    enum err e = report_new(x->form, stdout, &x->memory, &r, why);
    if (e) return e;
    if (x->form == REPORT_JSON) {
        report_field(r, "kind", "kind", value_text(kinds[x->target.kind]));
        report_field(r, "path", "path", value_text(path));
    }
    if (x->target.kind == INSPECT_DIRECTORY)
        e = inspect_dir(&x->options, x->target.dir, &dir, why);
    else if (x->target.kind == INSPECT_PART)
        e = inspect_part(&x->options, &x->target, &part, why);
    else
        e = inspect_segment(&x->options, &x->target, &segment, why);
    progress_clear(&x->progress);
    if (e) {
        /* nothing to print */
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
    e = err_first(e, report_end(r, e ? NULL : why));
    report_free(r);
    return e;
}

static int
run_inspect(int argc, char **argv)
{
    struct inspect x = {.form = REPORT_TEXT};
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
    if (e == OK && count != 1) {
        e = why_set(&why, ERR_INPUT,
                    count == 0 ? "expected PATH"
                               : "expected one PATH; which series are stored is a query");
    }
    if (e) return cli_usage_error("inspect", "%s", why_text(&why, e));
    e = inspect_path(x.options.env, argv[1], &x.target, &why);
    if (e == OK) e = run(&x, argv[1], &why);
    if (e == OK) return EXIT_DONE;
    fflush(stdout);
    bool named = why_names(&why, argv[1]);
    fprintf(stderr, "firekeep inspect: %s%s%s\n", named ? "" : argv[1], named ? "" : ": ",
            why_text(&why, e));
    return EXIT_FAILED;
}

const struct command command_inspect = {
    "inspect",
    "[flags] PATH",
    "show what a storage directory, a part or a log segment contains, and its size",
    run_inspect,
    flags,
    notes};
