/*
 * destinations.c - `firekeep destinations test|plan|reset NAME`: whether a destination of a
 * configuration file works, and what it would be given and cost, before it is switched on; and
 * where one goes on whose state cannot be read.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/check.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/destinations_private.h"
#include "cli/flags.h"
#include "config/suggest.h"

enum { FLAGS = 7 };
#define MEMORY_BYTES_MAX ((uint64_t)1 << 30)

struct verb {
    const char *name;
    /* With a configuration; NULL: reset, which needs none. */
    enum err (*run)(struct destinations_asking *a, bool *ret_well, struct why *why);
};

static const struct verb verbs[] = {
    {"test", destinations_try}, {"plan", destinations_plan}, {"reset", NULL}};

static void
flag_table(struct destinations_asking *a, struct flag to[FLAGS])
{
    const struct flag flags[] = {
        {"config.file", 0, FLAG_TEXT, &a->config_file, "FILE",
         "the server's configuration file, with the destination in it"},
        {"write", 0, FLAG_SWITCH, &a->write, NULL,
         "test: writes one sample, firekeep_destination_test{destination=\"NAME\"}"},
        {"storage.path", 0, FLAG_TEXT, &a->storage, "DIRECTORY",
         "plan: storage directory of a stopped server, or a snapshot (default: the file's); reset: "
         "storage directory of the server, whether it runs or not"},
        {"from", 0, FLAG_TEXT, &a->from_word, "TIME",
         "plan: first time, RFC 3339, Unix seconds, now-1d or beginning (default: the last day); "
         "reset: previous, oldest, now or a time"},
        {"shards", 0, FLAG_COUNT, &a->shards, "N",
         "plan: of a Kinesis stream, which is not asked how many it has (default 1)"},
        {"format", 0, FLAG_CHOICE, &a->form, "FORM", "text or json (default text)", report_forms},
        {0},
    };
    memcpy(to, flags, sizeof flags);
}

void
destinations_help(struct buf *to)
{
    struct destinations_asking a = {0};
    struct flag flags[FLAGS];
    flag_table(&a, flags);
    flags_help(flags, to);
    buf_put_text(
        to,
        "\ntest    looks up the host, connects, checks TLS, credentials, permissions, and whether\n"
        "        what is written to is there; a permission that is missing is named. Nothing is\n"
        "        stored without --write. No server and no storage is needed.\n"
        "plan    what of the stored samples the destination would be given, in how many calls and\n"
        "        bytes, what is billed for it, what would be a dead letter, and what would be\n"
        "        written in another, reversible form. Nothing is sent, and nothing written.\n"
        "reset   decides where a destination goes on whose state is damaged or missing:\n"
        "        previous  where the state saved before the last one stands; what was delivered\n"
        "                  since is sent again\n"
        "        oldest    at the oldest sample of store and log; all of it is sent again\n"
        "        now       what waits is given up, and counted as dropped by the operator as far\n"
        "                  as it is known\n"
        "        TIME      at the samples of this time, in store and log\n"
        "\nExit status: 0 done, 1 something does not work or cannot be read, 2 wrong usage.\n");
}

static enum err
no_destination(const struct destinations_asking *a, const char *name, struct why *why)
{
    struct suggestion near;
    suggest_begin(&near, bytes_of_text(name));
    for (uint32_t i = 0; i < a->list.count; i++) {
        suggest_try(&near, a->list.items[i].name);
    }
    const char *best = suggest_end(&near);
    if (best == NULL) {
        return why_set(why, ERR_MISSING, "%s: there is no destination '%.64s'", a->config_file,
                       name);
    }
    return why_set(why, ERR_MISSING, "%s: there is no destination '%.64s'; did you mean '%s'?",
                   a->config_file, name, best);
}

static enum err
settle(struct destinations_asking *a, int count, char **words, const struct verb **ret_verb,
       struct why *why)
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
            return why_set(why, ERR_INPUT, "reset takes --storage.path and --from, and needs both");
        }
        return OK;
    }
    if (a->config_file == NULL) return why_set(why, ERR_INPUT, "--config.file is required");
    bool tests = strcmp((*ret_verb)->name, "test") == 0;
    if (!tests && a->write) return why_set(why, ERR_INPUT, "--write goes with test");
    if (tests && (a->storage != NULL || a->from_word != NULL || a->shards != 0)) {
        return why_set(why, ERR_INPUT, "--storage.path, --from and --shards go with plan");
    }
    if (a->form < 0) a->form = REPORT_TEXT;
    return OK;
}

static enum err
run(struct destinations_asking *a, const struct verb *verb, const char *name, bool *ret_well,
    struct why *why)
{
    enum err e = check_file(a->config_file, &a->settings, &a->list, why);
    if (e) return e;
    for (uint32_t i = 0; i < a->list.count; i++) {
        if (strcmp(a->list.items[i].name, name) == 0) a->destination = &a->list.items[i];
    }
    if (a->destination == NULL) return no_destination(a, name, why);
    e = report_new((enum report_form)a->form, stdout, NULL, &a->report);
    if (e) return why_set(why, e, "no memory for a report");
    e = verb->run(a, ret_well, why);
    if (e) return e;
    e = report_end(a->report);
    return e ? why_set(why, e, "no memory for all of the report") : OK;
}

int
command_destinations(int argc, char **argv)
{
    struct destinations_asking a = {.form = -1};
    struct flag flags[FLAGS];
    struct why why = {""};
    const struct verb *verb;
    int count = 0;
    bool well = false;
    signal(SIGPIPE, SIG_DFL); /* `| head` has seen enough: no word about it */
    budget_init(&a.memory, "destinations", MEMORY_BYTES_MAX, NULL);
    flag_table(&a, flags);
    enum err e = flags_parse(flags, argc - 1, argv + 1, &count, &why);
    if (e == OK) e = settle(&a, count, argv + 1, &verb, &why);
    if (e) return cli_usage_error("destinations", "%s", why.text);
    if (verb->run == NULL) {
        well = true;
        e = destinations_reset(&a, argv[2], &why);
    } else {
        e = run(&a, verb, argv[2], &well, &why);
    }
    report_free(a.report);
    destinations_free(&a.list);
    if (e == OK) return well ? EXIT_DONE : EXIT_FAILED;
    return cli_failed("destinations", e, &why);
}
