/*
 * destinations.c - `firekeep destinations test|reset NAME` and `firekeep sources test NAME`: check
 * that a destination or source of a configuration file works, and set where a destination with an
 * unreadable state continues.
 *
 * A reset leaves the operator's decision in the directory of the destination; a server applies it
 * when it next opens the destination, which a running one tries every ten seconds.
 *
 * The test of a source sends requests as a query does: for the first series of a time range, and
 * for label names. The error shows which step failed: name, connection, trust, credentials, the
 * answer's form.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/settings.h"
#include "backend/source.h"
#include "base/text/hex.h"
#include "base/text/time_text.h"
#include "base/version.h"
#include "cli/cli.h"
#include "cli/lib/report.h"
#include "cli/lib/terminal.h"
#include "config/lists/lists.h"
#include "model/storage_layout.h"
#include "model/trouble.h"
#include "relay/operate/operate.h"
#include "relay/state/directory.h"
#include "relay/state/state.h"
#include "sys/env.h"
#include "sys/file_cache.h"

/* --- destinations ----------------------------------------------------------------------------- */

#define MEMORY_BYTES_MAX ((uint64_t)1 << 30)

enum { DIR_BYTES = 128 };

/* Flags and memory of the command. */
struct destinations_command {
    const char *config_file;
    const char *storage;
    const char *from_word;
    int form; /* enum report_form; -1: not given */
    bool write;

    struct settings settings;
    struct config_lists lists;
    const struct destination_settings *destination; /* with the name given */
    struct budget memory;
    struct report *report;
};

/* --- the test of a destination ---------------------------------------------------------------- */

/* Prints a line of text, or appends a row of the report, which for sources has no advice. */
static void
put_finding(struct report *r, int form, bool ok, const char *what, const char *reason,
            const char *said, const char *advice)
{
    if (form == REPORT_JSON) {
        report_row(r, value_text(what), value_bool(ok), value_text(reason), value_text(said),
                   value_text(advice));
        return;
    }
    printf("%-6s  %s%s%s%s%s\n", ok ? "ok" : "FAILED", what, reason[0] == '\0' ? "" : ": ", reason,
           said[0] == '\0' ? "" : ": ", said);
    if (advice[0] != '\0') printf("        %s\n", advice);
    fflush(stdout); /* the next test may take long */
}

static void
print_finding(void *context, const struct trial_finding *f)
{
    struct destinations_command *a = context;
    put_finding(a->report, a->form, f->ok, f->what, f->reason, f->said, f->advice);
}

/* Makes a directory for a writer during its test. */
static enum err
make_writer_dir(char dir[DIR_BYTES], struct why *why)
{
    const char *place = getenv("TMPDIR");
    if (place == NULL || place[0] == '\0') place = "/tmp";
    int size = snprintf(dir, DIR_BYTES, "%s/firekeep-test-XXXXXX", place);
    if (size < 0 || size >= DIR_BYTES) return why_set(why, ERR_LIMIT, "TMPDIR is too long");
    if (mkdtemp(dir) != NULL) return OK;
    return why_set(why, ERR_IO, "cannot create a directory in %s", place);
}

static enum err
test_destination(struct destinations_command *a, bool *ret_well, struct why *why)
{
    struct destination_settings settings = *a->destination;
    char dir[DIR_BYTES],
        instance[33] = ""; /* random, so that objects written there collide with no others */
    uint8_t random[16];
    uint32_t failed = 0;
    settings.dry_run = false;
    enum err e = env_random(env_real(), random, sizeof random);
    if (e) return why_set(why, e, "cannot get random numbers");
    hex_print(bytes_of(random, sizeof random), instance);
    e = make_writer_dir(dir, why);
    if (e) return e;
    struct trial_options options = {
        .env = env_real(),
        .memory = &a->memory,
        .settings = &settings,
        .writer = writer_class_of(settings.type),
        .dir = dir,
        .instance = instance,
        .user_agent = "Firekeep/" FIREKEEP_VERSION,
        .write = a->write,
        .stop = interrupt_watch(),
        .each = print_finding,
        .context = a,
    };
    if (a->form == REPORT_JSON) { /* one object that contains the findings */
        report_field(a->report, "name", "name", value_text(settings.name));
        report_field(a->report, "type", "type", value_text(destination_type_word(settings.type)));
        report_table(a->report, "findings", "Findings", "what|ok|reason|said|advice");
    }
    e = trial_run(&options, &failed, why);
    if (e == OK && a->form == REPORT_JSON) {
        report_table_end(a->report, 0);
        report_field(a->report, "ok", "ok", value_bool(failed == 0));
    } else if (e == OK && failed > 0) {
        printf("%s: %" PRIu32 " failed; checks that depend on them were skipped\n", settings.name,
               failed);
    } else if (e == OK) {
        printf("%s: ok%s\n", settings.name,
               a->write ? "" : "; nothing was written (use --write to send a sample)");
    }
    err_ignore(env_remove_tree(env_real(), dir, NULL), "it is a temporary one");
    *ret_well = failed == 0;
    return e;
}

/* --- reset ------------------------------------------------------------------------------------ */

static enum err
parse_reset_from(const char *word, struct reset *ret_reset, struct why *why)
{
    static const enum reset_from words[] = {RESET_NOW, RESET_OLDEST, RESET_PREVIOUS};
    if (word == NULL)
        return why_set(why, ERR_INPUT, "--from is required: previous, oldest, now or a time");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(word, reset_word(words[i])) != 0) continue;
        *ret_reset = (struct reset){.from = words[i]};
        return OK;
    }
    *ret_reset = (struct reset){.from = RESET_TIME};
    enum err e =
        time_parse(bytes_of_text(word), env_realtime_ms(env_real()), &ret_reset->from_ms, why);
    if (e) return why_prefix(why, e, "--from");
    if (ret_reset->from_ms <= env_realtime_ms(env_real())) return OK;
    return why_set(why, ERR_INPUT,
                   "--from: %s is in the future; to drop the queued samples, use now", word);
}

/* Allows a reset only if the state cannot be read, or belongs to another destination. */
static enum err
check_states(const char *dir, const char *name, const struct reset *reset, struct why *why)
{
    struct buf memory;
    struct relay_state state;
    struct why damage = {""};
    buf_init(&memory, NULL, RELAY_STATE_BYTES_MAX);
    enum err e = relay_state_read(env_real(), dir, &memory, &state, &damage);
    bool own = e == OK && (state.name[0] == '\0' || strcmp(state.name, name) == 0);
    if (own) {
        e = why_set(why, ERR_INPUT,
                    "the state of destination %s is readable and needs no reset; to send stored "
                    "samples again, use POST /api/v1/admin/destinations/%s/replay?from=TIME",
                    name, name);
    } else if (e == ERR_MISSING) {
        why_set(why, e, "%s: destination not found", dir);
    } else if (e && e != ERR_CORRUPT) {
        why_set(why, e, "%s", damage.text);
    } else {
        e = OK;
    }
    if (e == OK && reset->from == RESET_PREVIOUS) {
        e = relay_state_read_previous(env_real(), dir, &memory, &state, why);
        if (e) why_prefix(why, e, "cannot continue from the previous state; choose another --from");
    }
    buf_fini(&memory);
    return e;
}

static enum err
reset_destination(const struct destinations_command *a, const char *name, struct why *why)
{
    char dir[RELAY_DIR_BYTES];
    struct reset reset;
    enum err e = parse_reset_from(a->from_word, &reset, why);
    if (e) return e;
    e = storage_relay_path(dir, sizeof dir, a->storage, name);
    if (e || strchr(name, '/') != NULL) {
        return why_set(why, ERR_INPUT, "%s/relay/%.64s: not a valid path of a destination",
                       a->storage, name);
    }
    e = storage_check_restored(env_real(), a->storage, why);
    if (e == OK) e = check_states(dir, name, &reset, why);
    if (e == OK) e = reset_put(env_real(), dir, &reset, why);
    if (e) return e;
    printf("%s continues from %s: a running server applies this within 10 seconds, a stopped one "
           "when it starts\n",
           name, a->from_word);
    return OK;
}

/* --- destinations test|reset ------------------------------------------------------------------ */

static const struct flag flags[] = {
    {"config.file", 0, FLAG_TEXT, offsetof(struct destinations_command, config_file), "FILE",
     "configuration file of the server, with the destination in it"},
    {"write", 0, FLAG_SWITCH, offsetof(struct destinations_command, write), NULL,
     "test: write one sample, firekeep_destination_test{destination=\"NAME\"}"},
    {"storage.path", 0, FLAG_TEXT, offsetof(struct destinations_command, storage), "DIRECTORY",
     "reset: storage directory of the server, running or stopped"},
    {"from", 0, FLAG_TEXT, offsetof(struct destinations_command, from_word), "TIME",
     "reset: previous, oldest, now or a time"},
    REPORT_FLAG(struct destinations_command),
    REMOVED_FLAG("shards", "it was a flag of plan, which was removed as well"),
    {0},
};

static const char destinations_notes[] =
    "\ntest    resolve the host, connect, and check TLS, credentials, permissions, and that the\n"
    "        target exists; a missing permission is named. Stores nothing without --write. Needs\n"
    "        no server and no storage directory.\n"
    "reset   set the position of a destination whose state is damaged or missing:\n"
    "        previous  continue from the state saved before the last one; samples delivered\n"
    "                  since then are sent again\n"
    "        oldest    start at the oldest sample in the store and the log; everything is sent\n"
    "                  again\n"
    "        now       drop what is queued; it counts as dropped by the operator, as far as\n"
    "                  known\n"
    "        TIME      start at the samples of this time in the store and the log\n"
    "\nExit status: 0 done, 1 something does not work or cannot be read, 2 wrong usage.\n";

static enum err
check_flags(struct destinations_command *a, int count, char **words, bool *ret_test,
            struct why *why)
{
    *ret_test = count > 0 && strcmp(words[0], "test") == 0;
    if (count > 0 && strcmp(words[0], "plan") == 0)
        return why_set(why, ERR_INPUT,
                       "plan was removed: dry_run: true of a destination counts samples, bytes and "
                       "billed units as they arrive");
    if (count == 0 || (!*ret_test && strcmp(words[0], "reset") != 0))
        return why_set(why, ERR_INPUT, "expected test or reset");
    if (count != 2) return why_set(why, ERR_INPUT, "expected the name of one destination");
    if (!*ret_test) {
        if (a->storage != NULL && a->config_file == NULL && !a->write && a->form < 0) return OK;
        return why_set(why, ERR_INPUT,
                       "reset requires --storage.path and --from, and takes no other flags");
    }
    if (a->config_file == NULL) return why_set(why, ERR_INPUT, "--config.file is required");
    if (a->storage != NULL || a->from_word != NULL)
        return why_set(why, ERR_INPUT, "--storage.path and --from are only valid with reset");
    if (a->form < 0) a->form = REPORT_TEXT;
    return OK;
}

static enum err
find_and_test(struct destinations_command *a, const char *name, bool *ret_well, struct why *why)
{
    enum err e = check_file(a->config_file, &a->settings, &a->lists, why);
    if (e) return e;
    e = config_find_destination(&a->lists, a->config_file, name, &a->destination, why);
    if (e) return e;
    e = report_new(a->form, stdout, NULL, &a->report, why);
    if (e == OK) e = test_destination(a, ret_well, why);
    return e ? e : report_end(a->report, why);
}

static int
run_destinations(int argc, char **argv)
{
    struct destinations_command a = {.form = -1};
    struct why why = {""};
    int count = 0;
    bool tests, well = false;
    signal(SIGPIPE, SIG_DFL); /* ends quietly after `| head` */
    budget_init(&a.memory, "destinations", MEMORY_BYTES_MAX, NULL);
    enum err e = flags_parse(flags, &a, argc - 1, argv + 1, &count, &why);
    if (e == OK) e = check_flags(&a, count, argv + 1, &tests, &why);
    if (e) return cli_usage_error("destinations", "%s", why.text);
    if (tests) {
        e = find_and_test(&a, argv[2], &well, &why);
    } else {
        well = true;
        e = reset_destination(&a, argv[2], &why);
    }
    report_free(a.report);
    config_lists_free(&a.lists);
    if (e == OK) return well ? EXIT_DONE : EXIT_FAILED;
    return cli_failed("destinations", e, &why);
}

const struct command command_destinations = {"destinations",
                                             "test|reset [flags] NAME",
                                             "test a destination, or reset its position",
                                             run_destinations,
                                             flags,
                                             destinations_notes};

/* --- the test of a source --------------------------------------------------------------------- */

#define DAY_MS ((int64_t)24 * 3600 * 1000)

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

static void
source_finding(struct sources_command *a, const char *what, bool ok, const char *reason,
               const char *said)
{
    a->failed += !ok;
    put_finding(a->report, a->form, ok, what, reason, said, "");
}

static void
put_failure(struct sources_command *a, const char *what, enum err e, const struct why *why)
{
    source_finding(a, what, false, trouble_word(trouble_of(why, e)), why_text(why, e));
}

/* --- what it tries ---------------------------------------------------------------------------- */

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
    source_finding(a, "query", true, "", "the response can be read");
    if (labels.at != NULL) {
        char time[TIME_TEXT_BYTES];
        buf_printf(&first->text, ", %" PRIu64 " samples until %s%s", first->samples,
                   time_print(first->last_ms, time), first->more ? ", and perhaps more" : "");
        buf_put_u8(&first->text, '\0');
        source_finding(a, "series", true, "",
                       buf_error(&first->text) ? "" : (const char *)first->text.at);
    } else
        source_finding(a, "series", true, "",
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
        source_finding(a, "look-ups", true, "", "none of its own: names come from series");
    else if (e)
        put_failure(a, "look-ups", e, &why);
    else
        source_finding(a, "look-ups", true, "", said);
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
    source_finding(a, "cache", e == OK, e == OK ? "" : "cannot be written",
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
        if (from_ms > to_ms)
            return why_set(why, ERR_INPUT, "--from is later than all that the source is asked for");
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
    if (e == OK)
        e = source_view_open(&a->source.options, INT64_MIN, INT64_MAX, &a->control, &a->view, why);
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

/* --- sources test ----------------------------------------------------------------------------- */

static enum err
sources_run(struct sources_command *a, const char *name, struct why *why)
{
    enum err e = check_file(a->config_file, &a->settings, &a->lists, why);
    if (e) return e;
    const struct source_settings *settings;
    e = config_find_source(&a->lists, a->config_file, name, &settings, why);
    if (e) return e;
    e = report_new(a->form, stdout, NULL, &a->report, why);
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

static int
run_sources(int argc, char **argv)
{
    struct sources_command a = {.form = REPORT_TEXT};
    struct why why = {""};
    int count = 0;
    signal(SIGPIPE, SIG_DFL); /* ends quietly after `| head` */
    budget_init(&a.memory, "sources", MEMORY_BYTES_MAX, NULL);
    enum err e = flags_parse(sources_flags, &a, argc - 1, argv + 1, &count, &why);
    if (e == OK && (count == 0 || strcmp(argv[1], "test") != 0))
        e = why_set(&why, ERR_INPUT, "expected test");
    if (e == OK && count != 2) e = why_set(&why, ERR_INPUT, "expected the name of one source");
    if (e == OK && a.config_file == NULL) e = why_set(&why, ERR_INPUT, "--config.file is required");
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
