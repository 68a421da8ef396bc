/*
 * destinations.c - `firekeep destinations test|reset NAME`: checks that a destination of a
 * configuration file works, and sets where a destination with an unreadable state continues.
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
#include "base/text/time_text.h"
#include "base/version.h"
#include "cli/cli.h"
#include "cli/lib/report.h"
#include "cli/lib/terminal.h"
#include "config/lists/lists.h"
#include "model/storage_layout.h"
#include "relay/operate/operate.h"
#include "relay/state/directory.h"
#include "relay/state/state.h"
#include "sys/env.h"

#define DESTINATIONS_MEMORY_BYTES_MAX ((uint64_t)1 << 30)

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
    e = storage_check_restored(env_real(), a->storage, why);
    if (e == OK) e = check_states(dir, name, &reset, why);
    if (e == OK) e = reset_put(env_real(), dir, &reset, why);
    if (e) return e;
    printf("%s continues from %s: a running server applies this within 10 seconds, a stopped one "
           "when it starts\n",
           name, a->from_word);
    return OK;
}

/* --- the command ------------------------------------------------------------------------------ */

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
    budget_init(&a.memory, "destinations", DESTINATIONS_MEMORY_BYTES_MAX, NULL);
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
