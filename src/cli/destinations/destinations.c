/*
 * destinations.c - `firekeep destinations test|plan|reset NAME`: checks that a destination of a
 * configuration file works, forecasts its requests and cost before it is enabled, and sets where a
 * destination with an unreadable state continues.
 *
 * A reset leaves the operator's decision in the directory of the destination; a server applies it
 * when it next opens the destination, which a running one tries every ten seconds.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/settings.h"
#include "base/text/hex.h"
#include "base/text/suggest.h"
#include "base/text/time_text.h"
#include "base/version.h"
#include "cli/check.h"
#include "cli/commands.h"
#include "cli/lib/progress.h"
#include "cli/lib/report.h"
#include "cli/lib/target/target.h"
#include "config/lists/lists.h"
#include "model/storage_layout.h"
#include "relay/operate/command_lock.h"
#include "relay/operate/plan.h"
#include "relay/operate/reset.h"
#include "relay/operate/trial.h"
#include "relay/state/state.h"
#include "sys/env.h"
#include "tsdb/tsdb.h"

#define MEMORY_BYTES_MAX ((uint64_t)1 << 30)

enum { DIR_BYTES = 128, EXAMPLE_BYTES = PLAN_EXAMPLE_BYTES + TIME_TEXT_BYTES + 3 };
static const int64_t DAY_MS = 24LL * 3600 * 1000;
static const int64_t SPAN_MS_MIN = 60LL * 1000; /* a shorter span says too little about a day */

/* Flags and memory of the command. */
struct destinations_command {
    const char *config_file;
    const char *storage;
    const char *from_word;
    int form;        /* enum report_form; -1: not given */
    uint64_t shards; /* 0: not given */
    bool write;

    struct settings settings;
    struct config_lists lists;
    const struct destination_settings *destination; /* with the name given */
    struct budget memory;
    struct report *report;
};

/* --- test ------------------------------------------------------------------------------------- */

static void
print_finding(void *context, const struct trial_finding *f)
{
    struct destinations_command *a = context;
    if (a->form == REPORT_TEXT) {
        printf("%-6s  %s%s%s%s%s\n", f->ok ? "ok" : "FAILED", f->what,
               f->reason[0] == '\0' ? "" : ": ", f->reason, f->said[0] == '\0' ? "" : ": ",
               f->said);
        if (f->advice[0] != '\0') printf("        %s\n", f->advice);
        fflush(stdout); /* the next test may take long */
        return;
    }
    report_row(a->report, value_text(f->what), value_bool(f->ok), value_text(f->reason),
               value_text(f->said), value_text(f->advice));
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

/* --- plan ------------------------------------------------------------------------------------- */

static enum err
open_store(const struct destinations_command *a, struct target **ret_target, struct why *why)
{
    const char *storage = a->storage == NULL ? a->settings.storage_path : a->storage;
    struct target_options options = {
        .storage = storage,
        .config_file = a->config_file,
        .stop = interrupt_watch(),
    };
    enum err e = target_open(&options, ret_target, why);
    if (e != ERR_AGAIN) return e;
    return why_set(
        why, e,
        "a running server uses %s; stop it, or give a snapshot as --storage.path: POST "
        "/api/v1/admin/tsdb/snapshot creates one in %s/snapshots (--web.enable-admin-api)",
        storage, storage);
}

static enum err
find_from(const struct destinations_command *a, struct tsdb *tsdb, int64_t *ret_from_ms,
          int64_t *ret_to_ms, struct why *why)
{
    struct tsdb_stats stats;
    tsdb_stats(tsdb, &stats);
    int64_t newest_ms =
        stats.head_max_ms > stats.part_max_ms ? stats.head_max_ms : stats.part_max_ms;
    *ret_to_ms = newest_ms;
    *ret_from_ms = newest_ms < INT64_MIN + DAY_MS ? INT64_MIN : newest_ms - DAY_MS + 1;
    if (a->from_word == NULL) return OK;
    if (strcmp(a->from_word, "beginning") == 0) {
        *ret_from_ms = INT64_MIN;
        return OK;
    }
    enum err e =
        time_parse(bytes_of_text(a->from_word), env_realtime_ms(env_real()), ret_from_ms, why);
    return e ? why_prefix(why, e, "--from") : OK;
}

static enum err
find_shards(const struct destinations_command *a, uint32_t *ret_shards, struct why *why)
{
    if (a->shards > 0 && a->destination->type != DESTINATION_KINESIS) {
        return why_set(
            why, ERR_INPUT,
            "--shards is only valid with type kinesis; destination '%s' has another type",
            a->destination->name);
    }
    if (a->shards > KINESIS_SHARDS_MAX) {
        return why_set(why, ERR_INPUT, "--shards must be at most %d", KINESIS_SHARDS_MAX);
    }
    *ret_shards = a->shards == 0 ? 1 : (uint32_t)a->shards;
    return OK;
}

/* --- printing a plan -------------------------------------------------------------------------- */

static struct report_value
per_day(uint64_t count, const struct plan *p)
{
    int64_t span_ms;
    bool unknown = __builtin_sub_overflow(p->last_ms, p->first_ms, &span_ms);
    if (unknown || span_ms < SPAN_MS_MIN) return value_none();
    return value_count((uint64_t)((double)count * (double)DAY_MS / (double)span_ms));
}

static struct report_value
example_of(const struct plan_example *example, char text[EXAMPLE_BYTES])
{
    char time[TIME_TEXT_BYTES];
    bool timed = example->has_time;
    snprintf(text, EXAMPLE_BYTES, "%s%s%s", example->text, timed ? " @ " : "",
             timed ? time_print(example->t_ms, time) : "");
    return value_text(text);
}

static void
print_taken(struct report *r, const struct plan *p)
{
    bool any = p->first_ms <= p->last_ms;
    uint64_t samples = p->taken[ITEM_FLOAT] + p->taken[ITEM_HISTOGRAM];
    report_section(r, "given", "What it would receive");
    report_field(r, "stored", "samples stored", value_count(p->seen));
    report_field(r, "samples", "samples it would receive", value_count(samples));
    report_field(r, "floats", "of these, floats", value_count(p->taken[ITEM_FLOAT]));
    report_field(r, "histograms", "native histograms", value_count(p->taken[ITEM_HISTOGRAM]));
    report_field(r, "exemplars", "exemplars", value_count(p->taken[ITEM_EXEMPLAR]));
    report_field(r, "metadata", "metadata entries", value_count(p->taken[ITEM_METADATA]));
    report_field(r, "series", "series at a time (max)", value_count(p->series));
    report_field(r, "first", "first", any ? value_time(p->first_ms) : value_none());
    report_field(r, "last", "last", any ? value_time(p->last_ms) : value_none());
    report_field(r, "samplesPerDay", "samples per day", per_day(samples, p));
    report_section_end(r);
}

static void
print_cost(struct report *r, const struct plan *p)
{
    bool billed = p->unit != NULL;
    report_section(r, "cost", "What it would cost");
    report_field(r, "calls", "requests", value_count(p->calls));
    report_field(r, "callsPerDay", "requests per day", per_day(p->calls, p));
    report_field(r, "bytes", p->bytes_are_exact ? "bytes sent" : "bytes sent (estimate)",
                 value_size(p->bytes));
    report_field(r, "bytesPerDay", "bytes per day", per_day(p->bytes, p));
    report_field(r, "unit", "billed by", billed ? value_text(p->unit) : value_none());
    report_field(r, "units", "units", billed ? value_count(p->units) : value_none());
    report_field(r, "unitsPerDay", "units per day", billed ? per_day(p->units, p) : value_none());
    report_section_end(r);
}

static void
print_dead(struct report *r, const struct plan *p, const char *fate)
{
    report_table(r, "unrepresentable", fate, "floats|histograms|exemplars|metadata|why|example");
    for (uint32_t i = 0; i < p->dead_count; i++) {
        const struct plan_dead *d = &p->dead[i];
        char text[EXAMPLE_BYTES];
        report_row(r, value_count(d->count[ITEM_FLOAT]), value_count(d->count[ITEM_HISTOGRAM]),
                   value_count(d->count[ITEM_EXEMPLAR]), value_count(d->count[ITEM_METADATA]),
                   value_text(d->why), example_of(&d->example, text));
    }
    report_table_end(r, p->dead_others);
}

static void
print_mapped(struct report *r, const struct plan *p)
{
    report_table(r, "mapped", "Written in another, reversible form", "what|samples|example");
    for (uint32_t kind = 0; kind < PLAN_MAPPED_COUNT; kind++) {
        const struct plan_mapped *m = &p->mapped[kind];
        char text[EXAMPLE_BYTES];
        if (m->samples == 0) continue;
        report_row(r, value_text(plan_mapped_word(kind)), value_count(m->samples),
                   example_of(&m->example, text));
    }
    report_table_end(r, 0);
}

static void
print_plan(const struct destinations_command *a, const struct plan *p, uint32_t shards)
{
    const struct destination_settings *d = a->destination;
    bool drops = d->unrepresentable == UNREPRESENTABLE_DROP;
    struct report *r = a->report;
    uint64_t dead = 0;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        dead += p->dead_total[kind];
    }
    report_section(r, "destination", "Destination");
    report_field(r, "name", "name", value_text(d->name));
    report_field(r, "type", "type", value_text(destination_type_word(d->type)));
    if (d->type == DESTINATION_KINESIS && d->u.kinesis.format != KINESIS_NDJSON) {
        /* Requests depend on the number of shards. */
        report_field(r, "shards", "shards (--shards)", value_count(shards));
    }
    report_section_end(r);
    print_taken(r, p);
    report_field(r, drops ? "dropped" : "deadLetters",
                 drops ? "would be dropped" : "would be dead letters", value_count(dead));
    print_cost(r, p);
    print_dead(r, p, drops ? "Would be dropped" : "Would be dead letters");
    print_mapped(r, p);
    if (p->damaged > 0) {
        fprintf(stderr, "firekeep destinations: the result is incomplete: %s\n", p->damage);
    }
}

static enum err
plan_destination(struct destinations_command *a, bool *ret_well, struct why *why)
{
    struct plan *plan = mem_new(NULL, sizeof *plan);
    struct target *target = NULL;
    struct plan_options options = {
        .env = env_real(),
        .memory = &a->memory,
        .settings = a->destination,
        .writer = writer_class_of(a->destination->type),
        .stop = interrupt_watch(),
    };
    enum err e = plan == NULL ? why_set(why, ERR_NOMEM, "not enough memory for the plan") : OK;
    if (e == OK) e = find_shards(a, &options.shards, why);
    if (e == OK) e = open_store(a, &target, why);
    if (e == OK) {
        options.tsdb = target_store(target);
        options.answerer = target_answerer(target);
        e = find_from(a, options.tsdb, &options.from_ms, &options.to_ms, why);
    }
    if (e == OK) e = plan_run(&options, plan, why);
    if (e == OK) {
        *ret_well = plan->damaged == 0 && target_damage(target) == NULL;
        print_plan(a, plan, options.shards);
    }
    target_free(target);
    mem_free(NULL, plan, sizeof *plan);
    return e;
}

/* --- reset ------------------------------------------------------------------------------------ */

static enum err
parse_reset_from(const char *word, struct reset *ret_reset, struct why *why)
{
    static const enum reset_from words[] = {RESET_NOW, RESET_OLDEST, RESET_PREVIOUS};
    if (word == NULL) {
        return why_set(why, ERR_INPUT, "--from is required: previous, oldest, now or a time");
    }
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
    struct file lock = FILE_CLOSED;
    e = storage_check_restored(env_real(), a->storage, why);
    if (e == OK) e = check_states(dir, name, &reset, why);
    if (e == OK) e = command_lock(env_real(), dir, &lock, why);
    if (e == OK) e = reset_put(env_real(), dir, &reset, why);
    err_ignore(file_close(&lock), "nothing was written");
    if (e) return e;
    printf("%s continues from %s: a running server applies this within 10 seconds, a stopped one "
           "when it starts\n",
           name, a->from_word);
    return OK;
}

/* --- the command ------------------------------------------------------------------------------ */

struct destinations_verb {
    const char *name;
    /* Needs the configuration; NULL: reset, which does not. */
    enum err (*run)(struct destinations_command *a, bool *ret_well, struct why *why);
};

static const struct destinations_verb verbs[] = {
    {"test", test_destination}, {"plan", plan_destination}, {"reset", NULL}};

static const struct flag flags[] = {
    {"config.file", 0, FLAG_TEXT, offsetof(struct destinations_command, config_file), "FILE",
     "configuration file of the server, with the destination in it"},
    {"write", 0, FLAG_SWITCH, offsetof(struct destinations_command, write), NULL,
     "test: write one sample, firekeep_destination_test{destination=\"NAME\"}"},
    {"storage.path", 0, FLAG_TEXT, offsetof(struct destinations_command, storage), "DIRECTORY",
     "plan: storage directory of a stopped server, or a snapshot (default: from the file); "
     "reset: storage directory of the server, running or stopped"},
    {"from", 0, FLAG_TEXT, offsetof(struct destinations_command, from_word), "TIME",
     "plan: start time: RFC 3339, Unix seconds, now-1d or beginning (default: the last day); "
     "reset: previous, oldest, now or a time"},
    {"shards", 0, FLAG_COUNT, offsetof(struct destinations_command, shards), "N",
     "plan: number of shards of the Kinesis stream (default 1)"},
    {"format", 0, FLAG_CHOICE, offsetof(struct destinations_command, form), "FORM",
     "text or json (default text)", report_forms},
    {0},
};

static const char notes[] =
    "\ntest    resolve the host, connect, and check TLS, credentials, permissions, and that the\n"
    "        target exists; a missing permission is named. Stores nothing without --write. Needs\n"
    "        no server and no storage directory.\n"
    "plan    print which of the stored samples the destination would receive, the number of "
    "requests\n"
    "        and bytes, what is billed, what would become dead letters, and what would be written\n"
    "        in another, reversible form. Sends and writes nothing.\n"
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
check_flags(struct destinations_command *a, int count, char **words,
            const struct destinations_verb **ret_verb, struct why *why)
{
    *ret_verb = NULL;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs && count > 0; i++) {
        if (strcmp(verbs[i].name, words[0]) == 0) *ret_verb = &verbs[i];
    }
    if (*ret_verb == NULL) return why_set(why, ERR_INPUT, "expected test, plan or reset");
    if (count != 2) return why_set(why, ERR_INPUT, "expected the name of one destination");
    if ((*ret_verb)->run == NULL) {
        bool others = a->config_file != NULL || a->write || a->shards != 0 || a->form >= 0;
        if (a->storage == NULL || others) {
            return why_set(why, ERR_INPUT,
                           "reset requires --storage.path and --from, and takes no other flags");
        }
        return OK;
    }
    if (a->config_file == NULL) return why_set(why, ERR_INPUT, "--config.file is required");
    bool tests = strcmp((*ret_verb)->name, "test") == 0;
    if (!tests && a->write) return why_set(why, ERR_INPUT, "--write is only valid with test");
    if (tests && (a->storage != NULL || a->from_word != NULL || a->shards != 0)) {
        return why_set(why, ERR_INPUT,
                       "--storage.path, --from and --shards are only valid with plan");
    }
    if (a->form < 0) a->form = REPORT_TEXT;
    return OK;
}

static enum err
run_verb(struct destinations_command *a, const struct destinations_verb *verb, const char *name,
         bool *ret_well, struct why *why)
{
    enum err e = check_file(a->config_file, &a->settings, &a->lists, why);
    if (e) return e;
    const struct destinations *list = &a->lists.destinations;
    a->destination = destinations_find(list, name);
    struct suggestion near;
    suggest_begin(&near, bytes_of_text(name));
    for (uint32_t i = 0; i < list->count; i++) {
        suggest_try(&near, list->items[i].name);
    }
    if (a->destination == NULL) {
        return why_set(why, ERR_MISSING, "%s: destination '%.64s' not found%s", a->config_file,
                       name, suggest_hint(&near, "").text);
    }
    e = report_new((enum report_form)a->form, stdout, NULL, &a->report);
    if (e) return why_set(why, e, "not enough memory for the report");
    e = verb->run(a, ret_well, why);
    if (e) return e;
    e = report_end(a->report);
    return e ? why_set(why, e, "the report is incomplete: not enough memory") : OK;
}

static int
run_destinations(int argc, char **argv)
{
    struct destinations_command a = {.form = -1};
    struct why why = {""};
    const struct destinations_verb *verb;
    int count = 0;
    bool well = false;
    signal(SIGPIPE, SIG_DFL); /* ends quietly after `| head` */
    budget_init(&a.memory, "destinations", MEMORY_BYTES_MAX, NULL);
    enum err e = flags_parse(flags, &a, argc - 1, argv + 1, &count, &why);
    if (e == OK) e = check_flags(&a, count, argv + 1, &verb, &why);
    if (e) return cli_usage_error("destinations", "%s", why.text);
    if (verb->run == NULL) {
        well = true;
        e = reset_destination(&a, argv[2], &why);
    } else {
        e = run_verb(&a, verb, argv[2], &well, &why);
    }
    report_free(a.report);
    config_lists_free(&a.lists);
    if (e == OK) return well ? EXIT_DONE : EXIT_FAILED;
    return cli_failed("destinations", e, &why);
}

const struct command command_destinations = {
    "destinations",
    "test|plan|reset [flags] NAME",
    "test a destination, estimate its volume and cost, or reset its position",
    run_destinations,
    flags,
    notes};
