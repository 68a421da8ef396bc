/*
 * destinations.c - `firekeep destinations test|plan|reset NAME`: checks that a destination of a
 * configuration file works, forecasts its requests and cost before it is enabled, and sets where a
 * destination with an unreadable state continues.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/text/suggest.h"
#include "cli/check.h"
#include "cli/commands.h"
#include "cli/destinations/destinations_private.h"

#define MEMORY_BYTES_MAX ((uint64_t)1 << 30)

struct destinations_verb {
    const char *name;
    /* Needs the configuration; NULL: reset, which does not. */
    enum err (*run)(struct destinations_command *a, bool *ret_well, struct why *why);
};

static const struct destinations_verb verbs[] = {
    {"test", destinations_try}, {"plan", destinations_plan}, {"reset", NULL}};

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
destinations_check_flags(struct destinations_command *a, int count, char **words,
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
destinations_run(struct destinations_command *a, const struct destinations_verb *verb,
                 const char *name, bool *ret_well, struct why *why)
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
    if (e == OK) e = destinations_check_flags(&a, count, argv + 1, &verb, &why);
    if (e) return cli_usage_error("destinations", "%s", why.text);
    if (verb->run == NULL) {
        well = true;
        e = destinations_reset(&a, argv[2], &why);
    } else {
        e = destinations_run(&a, verb, argv[2], &well, &why);
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
