/* query.c - `firekeep query SELECTOR`: samples for people, or as JSON lines or CSV. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/time_text.h"
#include "cli/commands.h"
#include "cli/sample_sink.h"
#include "cli/target.h"
#include "sys/env.h"

struct querying {
    struct target_options target;
    struct flag_time start, end;
    int form; /* of the choices */
};

static const char *const forms[] = {"text", "json", "csv", NULL};
static const int formats[] = {FORMAT_PEOPLE, TEXT_JSON_LINES, TEXT_CSV};

static const struct flag flags[] = {
    TARGET_FLAGS(struct querying, target, "with --storage.path: configuration file of the server"),
    {"start", 0, FLAG_TIME, offsetof(struct querying, start), "TIME",
     "start time: RFC 3339, Unix seconds, now or now-1d (default now-1h)"},
    {"end", 0, FLAG_TIME, offsetof(struct querying, end), "TIME",
     "end time, inclusive (default now)"},
    {"format", 0, FLAG_CHOICE, offsetof(struct querying, form), "FORM",
     "text, json or csv (default text)", forms},
    {"retry", 0, FLAG_DURATION, offsetof(struct querying, target.retry_ns), "TIME",
     "how long to retry when the server is not available (default 0s)"},
    {0},
};

static const char notes[] =
    "\nSELECTOR is a PromQL series selector: up{job=~\"a|b\",x!=\"y\"}. As text, each series is "
    "one\n"
    "line, followed by its samples; json prints one line per series, like jsonl of export.\n"
    "\nExit status: 0 done, 1 something failed, 2 wrong usage.\n";

static enum err
print(struct querying *q, struct target *target, const struct selector *selector, struct why *why)
{
    struct progress progress;
    struct output *output = NULL;
    struct sample_sink *sink = NULL;
    uint64_t bytes;
    progress_begin(&progress, "samples");
    progress.on_terminal = false; /* that is where the samples go */
    enum err e = output_open(NULL, OUTPUT_PLAIN, 0, &output, why);
    if (e == OK) e = sample_sink_new(formats[q->form], output, &progress, NULL, 0, &sink, why);
    if (e == OK) e = sample_sink_begin(sink, why);
    if (e == OK) {
        e = target_read(target, selector, q->start.ms, q->end.ms, sink, why);
    }
    struct why later;
    if (sink != NULL) { /* what came before an error is shown, too */
        enum err ended = sample_sink_series_end(sink, e ? &later : why);
        if (ended == OK) ended = output_place(output, &bytes, e ? &later : why);
        e = err_first(e, ended);
        uint64_t left_out = sample_sink_counts(sink).histograms_left_out;
        if (left_out > 0) {
            fprintf(stderr, "%llu native histograms left out; use --format=text to print them\n",
                    (unsigned long long)left_out);
        }
    }
    sample_sink_free(sink);
    output_free(output);
    return e;
}

static int
run_query(int argc, char **argv)
{
    int64_t now_ms = env_realtime_ms(env_real());
    struct querying q = {.start.ms = now_ms - 3600 * 1000, .end.ms = now_ms};
    struct selector selector = {.count = 0};
    struct target *target = NULL;
    struct why why = {""};
    int count;
    enum err e = flags_parse(flags, &q, argc - 1, argv + 1, &count, &why);
    if (e == OK && count != 1) e = why_set(&why, ERR_INPUT, "expected one SELECTOR");
    if (e == OK && q.start.ms > q.end.ms) {
        e = why_set(&why, ERR_INPUT, "--start is later than --end");
    }
    if (e == OK) e = selector_parse(bytes_of_text(argv[1]), &selector, &why);
    if (e == OK) {
        target_settle(&q.target);
        q.target.stop = interrupt_watch();
        signal(SIGPIPE, SIG_DFL); /* `| head` has seen enough: no word about it */
        e = target_open(&q.target, &target, &why);
    }
    if (e == ERR_INPUT || e == ERR_LIMIT) {
        selector_fini(&selector);
        return cli_usage_error("query", "%s", why.text);
    }
    if (e == OK) e = print(&q, target, &selector, &why);
    if (e == OK && target_damage(target) != NULL) {
        e = why_set(&why, ERR_CORRUPT, "%.400s", target_damage(target));
        why_prefix(&why, e, "the result may be incomplete");
    }
    target_free(target);
    selector_fini(&selector);
    return e ? cli_failed("query", e, &why) : EXIT_DONE;
}

const struct command command_query = {
    "query", "[flags] SELECTOR", "print the samples that a selector matches", run_query, flags,
    notes};
