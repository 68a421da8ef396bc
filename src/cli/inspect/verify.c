/*
 * verify.c - `firekeep verify DIR`: checks every checksum, recounts the ledger and the account of
 * each destination, and reports each problem. Reads only.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/check.h"
#include "cli/commands.h"
#include "cli/rules/verify_rules.h"
#include "model/storage_layout.h"
#include "relay/operate/examine.h"
#include "tsdb/tsdb.h"

#define MEMORY_BYTES_MAX ((uint64_t)2 << 30) /* the state of rules may have half of it */

struct verifying {
    const char *config_file;
    const char *dir;
    struct settings settings;
    struct config_lists lists;
    struct budget memory; /* for destinations and rules */
    struct tsdb_report store;
    struct examine_report relay;
    struct verify_rules_report rules;
};

static const struct flag flags[] = {
    {"config.file", 0, FLAG_TEXT, offsetof(struct verifying, config_file), "FILE",
     "configuration file of the server, to count the samples that wait for its destinations"},
    {0},
};

static const char notes[] =
    "\nReads the whole directory of a stopped server, or a snapshot, and changes nothing: parts,\n"
    "log, the data of destinations (states, dead letters, files they keep), stored rules, and the\n"
    "state of rules. Prints a line with the name of the file for each problem.\n"
    "\nExit status: 0 no problems, 1 something is damaged or does not add up, 2 wrong usage.\n";

static void
print_line(void *context, const char *line)
{
    (void)context;
    printf("%s\n", line);
}

static enum err
verify_rule_files(struct verifying *v, struct why *why)
{
    struct verify_rules_options options = {
        .env = env_real(), .dir = v->dir, .memory = &v->memory, .say = print_line};
    enum err e = verify_rules(&options, &v->rules, why);
    if (e || v->rules.wrong == 0) return e;
    return why_set(why, ERR_CORRUPT,
                   "files of rules are damaged or not valid (%" PRIu64 " finding%s)",
                   v->rules.wrong, plural(v->rules.wrong));
}

/* Verifies the destinations also if the store is damaged. */
static enum err
verify_samples(struct verifying *v, struct why *why)
{
    struct env *env = env_real();
    char relay_dir[200], log_dir[200];
    struct examine_options options = {
        .env = env,
        .dir = relay_dir,
        .log_dir = log_dir,
        .memory = &v->memory,
        .destinations = v->config_file == NULL ? NULL : &v->lists.destinations,
        .say = print_line,
    };
    struct why relay_why = {""};
    enum err store = tsdb_verify(env, v->dir, print_line, NULL, &v->store, why);
    if (store && store != ERR_CORRUPT) return store;
    bool is_local = v->config_file != NULL && v->settings.storage_mode == STORAGE_LOCAL;
    bool is_none = v->config_file != NULL && v->settings.storage_mode == STORAGE_NONE;
    options.stored = is_local || (!is_none && (v->store.parts > 0 || v->store.damaged_places > 0));
    options.store_pos = v->store.store_pos;
    enum err relay = path_join(relay_dir, sizeof relay_dir, v->dir, STORAGE_RELAY);
    if (relay == OK) relay = path_join(log_dir, sizeof log_dir, v->dir, STORAGE_LOG);
    if (relay == OK) relay = relay_examine(&options, &v->relay, &relay_why);
    if (store) return store;
    if (relay) return why_set(why, relay, "%s", why_text(&relay_why, relay));
    if (v->relay.wrong == 0) return OK;
    return why_set(why, ERR_CORRUPT,
                   "the data of destinations is damaged or does not add up (%" PRIu64 " finding%s)",
                   v->relay.wrong, plural(v->relay.wrong));
}

/* Verifies the rules also if samples are damaged. */
static enum err
verify_all(struct verifying *v, struct why *why)
{
    struct why rules_why = {""};
    enum err e = verify_samples(v, why);
    if (e && e != ERR_CORRUPT) return e;
    enum err rules = verify_rule_files(v, &rules_why);
    if (e || rules == OK) return e;
    return why_set(why, rules, "%s", why_text(&rules_why, rules));
}

static int
run_verify(int argc, char **argv)
{
    struct verifying v = {0};
    struct why why = {""};
    int count = 0;
    budget_init(&v.memory, "verify", MEMORY_BYTES_MAX, NULL);
    enum err e = flags_parse(flags, &v, argc - 1, argv + 1, &count, &why);
    if (e == OK && count != 1) e = why_set(&why, ERR_INPUT, "expected one DIR");
    if (e) return cli_usage_error("verify", "%s", why.text);
    v.dir = argv[1];
    struct tsdb_reading_lock lock = TSDB_READING_LOCK_NONE;
    if (v.config_file != NULL) {
        e = check_file(v.config_file, &v.settings, &v.lists, &why);
    }
    /* Held while all of it is read; other readers share it. */
    if (e == OK) e = tsdb_reading_lock_take(env_real(), v.dir, &lock, &why);
    if (e == OK) e = verify_all(&v, &why);
    tsdb_reading_lock_drop(&lock);
    config_lists_free(&v.lists);
    if (e) {
        fflush(stdout);
        bool names_it = why_names(&why, v.dir);
        fprintf(stderr, "firekeep verify: %s%s%s\n", names_it ? "" : v.dir, names_it ? "" : ": ",
                why_text(&why, e));
        return EXIT_FAILED;
    }
    printf("%s: ok (%" PRIu64 " part%s, %" PRIu64 " log record%s, %" PRIu64 " destination%s)\n",
           v.dir, v.store.parts, plural(v.store.parts), v.store.log_records,
           plural(v.store.log_records), v.relay.destinations, plural(v.relay.destinations));
    return EXIT_DONE;
}

const struct command command_verify = {
    "verify",
    "[flags] DIR",
    "verify all checksums of a storage directory and recount its ledgers",
    run_verify,
    flags,
    notes};
