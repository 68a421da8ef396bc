/* query.c - `firekeep query SELECTOR`: samples for people, or as JSON lines or CSV. */
#include <signal.h>
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

struct query {
    const char *url;
    const char *storage;
    const char *config_file;
    const char *tenant;
    const char *start_word;
    const char *end_word;
    const char *format_word;
    int64_t retry_ns;
    int format;
    int64_t start_ms;
    int64_t end_ms;
};

static void
flag_table(struct query *q, struct flag to[12])
{
    const struct flag flags[] = {
        {"url", 0, FLAG_TEXT, &q->url, "URL", "a running server (default http://127.0.0.1:9201)"},
        {"storage.path", 0, FLAG_TEXT, &q->storage, "DIRECTORY",
         "instead: the storage directory of a stopped server"},
        {"config.file", 0, FLAG_TEXT, &q->config_file, "FILE",
         "with --storage.path: the server's settings"},
        {"tenant", 0, FLAG_TEXT, &q->tenant, "ID", "sent as X-Scope-OrgID"},
        {"start", 0, FLAG_TEXT, &q->start_word, "TIME",
         "first time: RFC 3339, Unix seconds, now or now-1d (default now-1h)"},
        {"end", 0, FLAG_TEXT, &q->end_word, "TIME", "last time, inclusive (default now)"},
        {"format", 0, FLAG_TEXT, &q->format_word, "FORM", "text, json or csv (default text)"},
        {"retry", 0, FLAG_DURATION, &q->retry_ns, "TIME",
         "how long to repeat what a server cannot answer now (default 0s)"},
        {0},
    };
    memcpy(to, flags, sizeof flags);
}

void
query_help(struct buf *to)
{
    struct query q = {0};
    struct flag flags[12];
    flag_table(&q, flags);
    flags_help(flags, to);
    buf_put_text(to,
                 "\nA SELECTOR is one as in PromQL: up{job=~\"a|b\",x!=\"y\"}. As text, each "
                 "series is a line,\nfollowed by its samples; json is a line for each series as "
                 "in export's jsonl.\n\nExit status: 0 done, 1 something went wrong, 2 wrong "
                 "usage.\n");
}

static enum err
settle(struct query *q, struct why *why)
{
    static const struct {
        const char *word;
        int format;
    } forms[] = {{"text", SINK_PEOPLE}, {"json", TEXT_JSON_LINES}, {"csv", TEXT_CSV}};
    int64_t now = env_realtime_ms(env_real());
    const char *start = q->start_word == NULL ? "now-1h" : q->start_word;
    const char *end = q->end_word == NULL ? "now" : q->end_word;
    const char *word = q->format_word == NULL ? "text" : q->format_word;
    enum err e = time_parse(bytes_of_text(start), now, &q->start_ms, why);
    if (e) return why_prefix(why, e, "--start");
    e = time_parse(bytes_of_text(end), now, &q->end_ms, why);
    if (e) return why_prefix(why, e, "--end");
    if (q->start_ms > q->end_ms) return why_set(why, ERR_INPUT, "--start is later than --end");
    for (unsigned i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (strcmp(word, forms[i].word) != 0) continue;
        q->format = forms[i].format;
        return OK;
    }
    return why_set(why, ERR_INPUT, "--format: text, json or csv is expected");
}

static enum err
print(struct query *q, struct target *target, const struct selector *selector, struct why *why)
{
    struct progress progress;
    struct output *output = NULL;
    struct sample_sink *sink = NULL;
    uint64_t bytes;
    progress_begin(&progress, "samples");
    progress.on_terminal = false; /* that is where the samples go */
    enum err e = output_open(NULL, OUTPUT_PLAIN, 0, &output, why);
    if (e == OK) e = sample_sink_new(q->format, output, &progress, NULL, 0, &sink, why);
    if (e == OK) e = sample_sink_begin(sink, why);
    if (e == OK) {
        e = target_read(target, selector, q->start_ms, q->end_ms, sink, why);
    }
    struct why later;
    if (sink != NULL) { /* what came before an error is shown, too */
        enum err ended = sample_sink_series_end(sink, e ? &later : why);
        if (ended == OK) ended = output_place(output, &bytes, e ? &later : why);
        e = err_first(e, ended);
        uint64_t left_out = sample_sink_counts(sink).histograms_left_out;
        if (left_out > 0) {
            fprintf(stderr, "%llu native histograms left out: only text shows them\n",
                    (unsigned long long)left_out);
        }
    }
    sample_sink_free(sink);
    output_free(output);
    return e;
}

int
command_query(int argc, char **argv)
{
    struct query q = {0};
    struct flag flags[12];
    struct selector selector = {.count = 0};
    struct target *target = NULL;
    struct why why = {""};
    int count;
    flag_table(&q, flags);
    enum err e = flags_parse(flags, argc - 1, argv + 1, &count, &why);
    if (e == OK && count != 1) e = why_set(&why, ERR_INPUT, "one selector is wanted");
    if (e == OK) e = settle(&q, &why);
    if (e == OK) e = selector_parse(bytes_of_text(argv[1]), &selector, &why);
    if (e == OK && q.url == NULL && q.storage == NULL) q.url = "http://127.0.0.1:9201";
    if (e == OK) {
        struct target_options options = {.url = q.url,
                                         .storage = q.storage,
                                         .config_file = q.config_file,
                                         .tenant = q.tenant,
                                         .retry_ns = q.retry_ns,
                                         .stop = interrupt_watch()};
        signal(SIGPIPE, SIG_DFL); /* `| head` has seen enough: no word about it */
        e = target_open(&options, &target, &why);
    }
    if (e == ERR_INPUT || e == ERR_LIMIT) {
        selector_fini(&selector);
        return cli_usage_error("query", "%s", why.text);
    }
    if (e == OK) e = print(&q, target, &selector, &why);
    if (e == OK && target_damage(target) != NULL) {
        e = why_set(&why, ERR_CORRUPT, "%.400s", target_damage(target));
        why_prefix(&why, e, "not all may be there");
    }
    if (e) fprintf(stderr, "firekeep query: %s\n", why.text[0] != '\0' ? why.text : err_word(e));
    target_free(target);
    selector_fini(&selector);
    return e ? EXIT_FAILED : EXIT_DONE;
}
