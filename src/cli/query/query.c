/*
 * query.c - `firekeep query EXPR`: evaluates an expression of PromQL, at one time or over a range.
 *
 *     expression, times -- target -+- a server: its query API  -+- sink: table, CSV, JSON, chart
 *                                  +- a directory: the engine  -+
 *
 * With --explain or --analyze, the plan of the query and its cost are printed instead of the
 * result.
 *
 * The result goes to stdout, messages go to stderr.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/text/quote.h"
#include "cli/cli.h"
#include "cli/lib/query.h"
#include "cli/lib/target/target.h"
#include "cli/query/query_print.h"
#include "sys/env.h"

enum { FORM_CHART = QUERY_JSON + 1, SENTENCE_BYTES_MAX = 4 << 20, STEPS_WANTED = 250 };
#define HOUR_MS    ((int64_t)3600 * 1000)
#define TIMEOUT_NS (365 * 86400 * NS_PER_S) /* a longer timeout makes no difference */

struct querying {
    struct target_options target;
    struct flag_time time, start, end;
    int64_t step_ns; /* -1: not given */
    int64_t lookback_ns;
    int64_t timeout_ns;
    uint64_t limit;
    int form; /* index of the choices */
    bool explain;
    bool analyze;

    struct query_parameters parameters;
};

static const char *const forms[] = {"table", "csv", "json", "chart", NULL};

static const struct flag flags[] = {
    TARGET_FLAGS(struct querying, target, "with --storage.path: configuration file of the server"),
    {"time", 0, FLAG_TIME, offsetof(struct querying, time), "TIME",
     "evaluate at this time: RFC 3339, Unix seconds, now or now-1d (default now)"},
    {"start", 0, FLAG_TIME, offsetof(struct querying, start), "TIME",
     "evaluate over a range from this time (default one hour before --end)"},
    {"end", 0, FLAG_TIME, offsetof(struct querying, end), "TIME",
     "evaluate over a range until this time, inclusive (default now)"},
    {"step", 0, FLAG_DURATION, offsetof(struct querying, step_ns), "TIME",
     "time between two evaluations of a range (default 1/250 of it, at least 1s)"},
    {"format", 0, FLAG_CHOICE, offsetof(struct querying, form), "FORM",
     "table, csv, json or chart (default table)", forms},
    {"limit", 0, FLAG_COUNT, offsetof(struct querying, limit), "COUNT",
     "maximum number of series in the result; 0 means no limit (default 0)"},
    {"lookback-delta", 0, FLAG_DURATION, offsetof(struct querying, lookback_ns), "TIME",
     "how long a series has its last value (default: query.lookback_delta of the server)"},
    {"timeout", 0, FLAG_DURATION, offsetof(struct querying, timeout_ns), "TIME",
     "maximum time for the evaluation (default: as long as the server allows)"},
    {"explain", 0, FLAG_SWITCH, offsetof(struct querying, explain), NULL,
     "print what the query would read, and how it is evaluated, without running it"},
    {"analyze", 0, FLAG_SWITCH, offsetof(struct querying, analyze), NULL,
     "run the query, and print what each of its operators read and took instead of the result"},
    {"retry", 0, FLAG_DURATION, offsetof(struct querying, target.retry_ns), "TIME",
     "how long to retry when the server is not available (default 0s)"},
    {0},
};

static const char notes[] =
    "\nEXPR is an expression of PromQL; 'up[1h]' prints raw samples. With --start, --end or "
    "--step\n"
    "it is evaluated over a range, else at one time; a chart shows the last hour if no time is\n"
    "given. json prints the data of the query API, csv the columns of export. Warnings go to\n"
    "standard error.\n"
    "\n--explain and --analyze print a table or json, see docs/promql.md.\n"
    "\nExit status: 0 done, 1 something failed, 2 wrong usage or not a valid expression.\n";

/* --- the request ------------------------------------------------------------------------------ */

static enum err
settle_range(struct querying *q, int64_t now_ms, struct why *why)
{
    struct query_parameters *a = &q->parameters;
    int64_t range_ms;
    a->last_ms = q->end.word == NULL ? now_ms : q->end.ms;
    a->first_ms = q->start.word == NULL ? a->last_ms - HOUR_MS : q->start.ms;
    if (a->first_ms > a->last_ms) return why_set(why, ERR_INPUT, "--start is later than --end");
    if (__builtin_sub_overflow(a->last_ms, a->first_ms, &range_ms))
        return why_set(why, ERR_INPUT, "--start and --end are too far apart");
    int64_t step_s = range_ms / 1000 / STEPS_WANTED;
    a->step_ms = q->step_ns >= 0 ? q->step_ns / NS_PER_MS : (step_s < 1 ? 1 : step_s) * 1000;
    return a->step_ms > 0 ? OK : why_set(why, ERR_INPUT, "--step must be at least 1ms");
}

static enum err
query_check_flags(struct querying *q, int64_t now_ms, struct why *why)
{
    struct query_parameters *a = &q->parameters;
    bool range = q->start.word != NULL || q->end.word != NULL || q->step_ns >= 0;
    if (range && q->time.word != NULL)
        return why_set(why, ERR_INPUT, "--time cannot be used with --start, --end and --step");
    range |= q->form == FORM_CHART && q->time.word == NULL;
    bool plans = q->explain || q->analyze;
    if (q->explain && q->analyze)
        return why_set(why, ERR_INPUT, "--explain and --analyze cannot be used together");
    if (plans && q->form != QUERY_TABLE && q->form != QUERY_JSON)
        return why_set(why, ERR_INPUT, "--explain and --analyze need --format=table or json");
    a->mode = q->explain ? QUERY_EXPLAIN : q->analyze ? QUERY_ANALYZE : QUERY_RESULT;
    if (q->timeout_ns > TIMEOUT_NS) q->timeout_ns = TIMEOUT_NS;
    if ((q->timeout_ns > 0 && q->timeout_ns < NS_PER_MS) ||
        (q->lookback_ns > 0 && q->lookback_ns < NS_PER_MS))
        return why_set(why, ERR_INPUT, "--timeout and --lookback-delta must be at least 1ms");
    a->timeout_ms = q->timeout_ns / NS_PER_MS;
    a->lookback_ms = q->lookback_ns / NS_PER_MS;
    a->limit = q->limit;
    if (range) return settle_range(q, now_ms, why);
    a->first_ms = a->last_ms = q->time.word == NULL ? now_ms : q->time.ms;
    return OK;
}

/* --- the result ------------------------------------------------------------------------------- */

static enum err
make_sink(const struct querying *q, struct query_sink **ret_sink, struct why *why)
{
    const struct query_parameters *a = &q->parameters;
    if (a->mode != QUERY_RESULT && q->form == QUERY_TABLE)
        return plan_printer_new(stdout, q->analyze, ret_sink, why);
    if (q->form != FORM_CHART)
        return query_printer_new((enum query_form)q->form, stdout, ret_sink, why);
    struct chart_options chart = {
        .to = stdout,
        .is_range = a->step_ms > 0,
        .first_ms = a->first_ms,
        .last_ms = a->last_ms,
        .gap_ms = a->step_ms > 0       ? a->step_ms
                  : a->lookback_ms > 0 ? a->lookback_ms
                                       : HOUR_MS / 12,
    };
    chart_room(&chart.width, &chart.height);
    return chart_new(&chart, ret_sink, why);
}

/* Prints the error of an expression without a result. */
static int
print_failure(const struct querying *q, const struct query_failure *failure)
{
    struct buf text;
    uint32_t width, height;
    buf_init(&text, NULL, SENTENCE_BYTES_MAX);
    buf_put_shown(&text, buf_bytes(&failure->sentence));
    buf_put_u8(&text, '\n');
    chart_room(&width, &height);
    caret_put(&text, q->parameters.expression, buf_bytes(&failure->sentence), width);
    fflush(stdout);
    fprintf(stderr, "firekeep query: %.*s", (int)text.size, (const char *)text.at);
    buf_fini(&text);
    if (failure->bad_question) fprintf(stderr, "Try 'firekeep help query'.\n");
    return failure->bad_question ? EXIT_USAGE : EXIT_FAILED;
}

static int
print(const struct querying *q, struct target *target)
{
    struct query_sink *sink = NULL;
    struct query_failure failure = {.bad_question = false};
    struct why why = {""}, later = {""};
    buf_init(&failure.sentence, NULL, SENTENCE_BYTES_MAX);
    enum err e = make_sink(q, &sink, &why);
    if (e == OK) e = target_query(target, &q->parameters, sink, &failure, &why);
    bool refused = failure.sentence.size > 0;
    /* A partial result is shown before an error, but not as a chart, which would look complete. */
    if (sink != NULL && !refused && (e == OK || q->form != FORM_CHART))
        e = err_first(e, sink->ops->end(sink, e ? &later : &why));
    if (sink != NULL) sink->ops->free(sink);
    int code = EXIT_DONE;
    if (refused) {
        code = print_failure(q, &failure);
    } else if (e == OK && target->damage[0] != '\0') {
        e = why_set(&why, ERR_CORRUPT, "%.400s", target->damage);
        why_prefix(&why, e, "the result may be incomplete");
        code = cli_failed("query", e, &why);
    } else if (ferror(stdout)) {
        code = EXIT_FAILED; /* cli_run() reports the error */
    } else if (e) {
        code = cli_failed("query", e, &why);
    }
    buf_fini(&failure.sentence);
    return code;
}

static int
run_query(int argc, char **argv)
{
    struct querying q = {.target.many_tenants = true, .step_ns = -1};
    struct target *target = NULL;
    struct why why = {""};
    int count;
    enum err e = flags_parse(flags, &q, argc - 1, argv + 1, &count, &why);
    if (e == OK && count != 1) e = why_set(&why, ERR_INPUT, "expected one EXPR");
    if (e == OK) {
        /* The error of an empty text has no place. */
        q.parameters.expression = bytes_of_text(argv[1][0] == '\0' ? " " : argv[1]);
        e = query_check_flags(&q, env_realtime_ms(env_real()), &why);
    }
    if (e == OK) {
        e = target_settle(&q.target, &why);
        if (e == OK) e = target_open(&q.target, &target, &why);
        if (e == OK) target_warn_unread(&q.target);
    }
    if (e == ERR_INPUT || e == ERR_LIMIT) return cli_usage_error("query", "%s", why.text);
    int code = e ? cli_failed("query", e, &why) : print(&q, target);
    target_free(target);
    return code;
}

const struct command command_query = {
    "query", "[flags] EXPR", "print the result of a PromQL expression", run_query, flags, notes};
