/*
 * sources.c - `firekeep sources test NAME`: checks that a source of a configuration file can be
 * read, before a server is started with it.
 *
 * The test sends requests as a query does: for the first series of a time range, and for label
 * names. The error shows which step failed: name, connection, trust, credentials, the answer's
 * form.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include "backend/source.h"
#include "base/text/time_text.h"
#include "base/version.h"
#include "cli/cli.h"
#include "cli/lib/report.h"
#include "config/lists/lists.h"
#include "model/trouble.h"
#include "sys/file_cache.h"

#define SOURCES_MEMORY_BYTES_MAX ((uint64_t)1 << 30)
#define DAY_MS                   ((int64_t)24 * 3600 * 1000)

enum { TEXT_BYTES_MAX = 1 << 20, NAMES_SHOWN = 1000, SAMPLES_SHOWN = 100000 };

struct sources_command {
    const char *config_file;
    const char *from_word;
    const char *tenant;
    int form; /* enum report_form */

    struct settings settings;
    struct config_lists lists;
    struct budget memory;
    struct report *report;
    uint32_t failed;

    /* The source under test. */
    struct source source;
    struct source_counts counts;
    struct source_tally tally;
    struct view *view;
    struct query_request request;
    struct query_control control;
};

static const struct flag sources_flags[] = {
    {"config.file", 0, FLAG_TEXT, offsetof(struct sources_command, config_file), "FILE",
     "configuration file of the server, with the source in it"},
    {"from", 0, FLAG_TEXT, offsetof(struct sources_command, from_word), "TIME",
     "look for series since then: RFC 3339, Unix seconds or now-1d (default: the last day, or that "
     "before `time: {to: ...}` of the source)"},
    {"tenant", 0, FLAG_TEXT, offsetof(struct sources_command, tenant), "NAME",
     "tenant to ask for (default: the first of the source's, or anonymous)"},
    REPORT_FLAG(struct sources_command),
    {0},
};

static const char sources_notes[] =
    "\ntest    ask the source as a query does, and print the first series that it has: checks "
    "name,\n"
    "        connection, TLS, credentials, permissions and the form of the response; and whether\n"
    "        it can look up names and values itself, and whether its cache can be written. Needs\n"
    "        no server and no storage directory.\n"
    "\nExit status: 0 all is well, 1 a check failed, 2 wrong usage.\n";

/* --- findings --------------------------------------------------------------------------------- */

static void
put_finding(struct sources_command *a, const char *what, bool ok, const char *reason,
            const char *said)
{
    a->failed += !ok;
    if (a->form == REPORT_JSON) {
        report_row(a->report, value_text(what), value_bool(ok), value_text(reason),
                   value_text(said));
        return;
    }
    printf("%-6s  %s%s%s%s%s\n", ok ? "ok" : "FAILED", what, reason[0] == '\0' ? "" : ": ", reason,
           said[0] == '\0' ? "" : ": ", said);
    fflush(stdout); /* the next test may take long */
}

static void
put_failure(struct sources_command *a, const char *what, enum err e, const struct why *why)
{
    put_finding(a, what, false, trouble_word(trouble_of(why, e)), why_text(why, e));
}

/* --- tests ------------------------------------------------------------------------------------ */

/* The first samples of a series. */
struct first_series {
    struct buf text;
    uint64_t samples;
    int64_t last_ms;
    bool more; /* there may be more */
};

static enum err
read_samples(struct first_series *first, struct series_set *set, struct why *why)
{
    struct sample_batch batch;
    do {
        enum err e = series_set_batch(set, &batch, why);
        if (e) return e;
        if (batch.count > 0) first->last_ms = batch.times_ms[batch.count - 1];
        first->samples += batch.count;
        first->more = batch.count > 0 && first->samples >= SAMPLES_SHOWN;
    } while (batch.count > 0 && !first->more);
    return OK;
}

static enum err
find_first_series(struct sources_command *a, const struct source_settings *settings,
                  struct series_set *set, struct first_series *first, struct why *why)
{
    struct bytes labels;
    enum err e;
    do {
        e = series_set_next(set, &labels, why);
        if (e || labels.at == NULL) break;
        buf_clear(&first->text);
        labels_print_selector(&first->text,
                              labels); /* before the samples are read, which invalidates them */
        e = read_samples(first, set, why);
    } while (e == OK && first->samples == 0);
    if (e) return e;
    put_finding(a, "query", true, "", "the response can be read");
    if (labels.at != NULL) {
        char time[TIME_TEXT_BYTES];
        buf_printf(&first->text, ", %" PRIu64 " samples until %s%s", first->samples,
                   time_print(first->last_ms, time), first->more ? ", and perhaps more" : "");
        buf_put_u8(&first->text, '\0');
        put_finding(a, "series", true, "",
                    buf_error(&first->text) ? "" : (const char *)first->text.at);
    } else
        put_finding(a, "series", true, "",
                    settings->select.count == 0
                        ? "none at this time; try an earlier --from"
                        : "none at this time that `select` selects; try an earlier --from");
    return OK;
}

static void
try_query(struct sources_command *a, const struct source_settings *settings)
{
    struct series_set *set = NULL;
    struct first_series first = {.samples = 0};
    struct why why = {""};
    buf_init(&first.text, NULL, TEXT_BYTES_MAX);
    enum err e = view_select(a->view, &a->request, &set, &why);
    if (e == OK) e = find_first_series(a, settings, set, &first, &why);
    series_set_free(set);
    buf_fini(&first.text);
    if (e) put_failure(a, "query", e, &why);
}

static enum err
count_name(void *context, struct bytes text)
{
    (void)text;
    ++*(uint32_t *)context;
    return OK;
}

/* Asks the reader itself: the layers above it would derive names from all series. */
static void
try_lookups(struct sources_command *a)
{
    struct view *view;
    struct why why = {""};
    uint32_t count = 0;
    char said[80];
    struct text_sink to = {.each = count_name, .context = &count};
    struct query_request request = a->request;
    request.hints.limit = NAMES_SHOWN;
    enum err e = view_open(a->source.options.reader, &a->control, &view, &why);
    if (e == OK) {
        e = view_label_names(view, &request, &to, &why);
        view_free(view);
    }
    snprintf(said, sizeof said, "%" PRIu32 " label names", count);
    if (e == ERR_UNSUPPORTED)
        put_finding(a, "look-ups", true, "", "none of its own: names come from series");
    else if (e)
        put_failure(a, "look-ups", e, &why);
    else
        put_finding(a, "look-ups", true, "", said);
}

static void
try_cache(struct sources_command *a, const struct source_settings *settings)
{
    struct file_cache *cache;
    struct why why = {""};
    const struct file_cache_options options = {.env = env_real(),
                                               .memory = &a->memory,
                                               .path = settings->cache.path,
                                               .max_bytes = settings->cache.max_bytes};
    enum err e = file_cache_new(&options, &cache);
    if (e == OK) {
        e = file_cache_probe(cache, &why);
        file_cache_free(cache);
    }
    put_finding(a, "cache", e == OK, e == OK ? "" : "cannot be written",
                e == OK ? settings->cache.path : why_text(&why, e));
}

static void
nothing(void *owner)
{
    (void)owner; /* it outlives all views */
}

static enum err
sources_prepare(struct sources_command *a, const struct source_settings *settings, struct why *why)
{
    struct env *env = env_real();
    int64_t now_ms = env_realtime_ms(env), to_ms = now_ms;
    if (settings->times == TIMES_BETWEEN) to_ms = source_bound_ms(&settings->to, now_ms, now_ms);
    if (to_ms > now_ms) to_ms = now_ms;
    int64_t from_ms = to_ms - DAY_MS;
    if (a->from_word != NULL) {
        enum err e = time_parse(bytes_of_text(a->from_word), now_ms, &from_ms, why);
        if (e) return why_prefix(why, e, "--from");
        if (from_ms > to_ms) {
            return why_set(why, ERR_INPUT, "--from is later than all that the source is asked for");
        }
    }
    const char *tenant = a->tenant;
    if (tenant == NULL && settings->tenants.count > 0) tenant = settings->tenants.items[0];
    if (tenant == NULL || strcmp(tenant, "all") == 0) tenant = "anonymous";
    a->control = (struct query_control){.env = env, .budget = &a->memory};
    a->request = (struct query_request){.tenant = bytes_of_text(tenant),
                                        .min_ms = from_ms,
                                        .max_ms = to_ms,
                                        .control = &a->control};
    a->source.options =
        (struct source_options){.tally = &a->tally, .hold = nothing, .release = nothing};
    return OK;
}

static enum err
try_source(struct sources_command *a, const struct source_settings *settings, struct why *why)
{
    struct http_puller *puller = NULL;
    enum err e = sources_prepare(a, settings, why);
    if (e == OK) e = http_puller_new(env_real(), "Firekeep/" FIREKEEP_VERSION, &puller, why);
    struct reader_options options = {.env = env_real(),
                                     .memory = &a->memory,
                                     .settings = settings,
                                     .puller = puller,
                                     .counts = &a->counts};
    if (e == OK) e = source_init(&a->source, &options, why);
    if (e == OK) {
        e = source_view_open(&a->source.options, INT64_MIN, INT64_MAX, &a->control, &a->view, why);
    }
    if (e == OK) {
        try_query(a, settings);
        if (a->failed == 0) try_lookups(a);
        if (settings->cache.path != NULL) try_cache(a, settings);
    }
    view_free(a->view);
    source_fini(&a->source);
    http_puller_free(puller);
    return e;
}

/* --- the command ------------------------------------------------------------------------------ */

static enum err
report_source(struct sources_command *a, const struct source_settings *settings, struct why *why)
{
    enum err e = report_new(a->form, stdout, NULL, &a->report, why);
    if (e) return e;
    if (a->form == REPORT_JSON) {
        report_field(a->report, "name", "name", value_text(settings->name));
        report_field(a->report, "type", "type", value_text(source_type_word(settings->type)));
        report_table(a->report, "findings", "Findings", "what|ok|reason|said");
    }
    e = try_source(a, settings, why);
    if (e) return e;
    if (a->form == REPORT_JSON) {
        report_table_end(a->report, 0);
        report_field(a->report, "ok", "ok", value_bool(a->failed == 0));
    } else {
        printf("%s: %s\n", settings->name, a->failed == 0 ? "ok" : "failed");
    }
    return report_end(a->report, why);
}

static enum err
sources_run(struct sources_command *a, const char *name, struct why *why)
{
    enum err e = check_file(a->config_file, &a->settings, &a->lists, why);
    if (e) return e;
    const struct source_settings *settings;
    e = config_find_source(&a->lists, a->config_file, name, &settings, why);
    return e ? e : report_source(a, settings, why);
}

static int
run_sources(int argc, char **argv)
{
    struct sources_command a = {.form = REPORT_TEXT};
    struct why why = {""};
    int count = 0;
    signal(SIGPIPE, SIG_DFL); /* ends quietly after `| head` */
    budget_init(&a.memory, "sources", SOURCES_MEMORY_BYTES_MAX, NULL);
    enum err e = flags_parse(sources_flags, &a, argc - 1, argv + 1, &count, &why);
    if (e == OK && (count == 0 || strcmp(argv[1], "test") != 0)) {
        e = why_set(&why, ERR_INPUT, "expected test");
    }
    if (e == OK && count != 2) e = why_set(&why, ERR_INPUT, "expected the name of one source");
    if (e == OK && a.config_file == NULL) {
        e = why_set(&why, ERR_INPUT, "--config.file is required");
    }
    if (e) return cli_usage_error("sources", "%s", why.text);
    e = sources_run(&a, argv[2], &why);
    report_free(a.report);
    config_lists_free(&a.lists);
    if (e == OK) return a.failed == 0 ? EXIT_DONE : EXIT_FAILED;
    return cli_failed("sources", e, &why);
}

const struct command command_sources = {
    "sources",   "test [flags] NAME", "test whether a source can be read",
    run_sources, sources_flags,       sources_notes};
