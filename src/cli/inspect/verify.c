/*
 * verify.c - `firekeep verify DIR`: checks every checksum, recounts the ledger and the account of
 * each destination, and reports each problem. Reads only.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/text/quote.h"
#include "cli/bucket/bucket_link.h"
#include "cli/cli.h"
#include "cli/inspect/inspect.h"
#include "cli/lib/target/target.h"
#include "config/lists/lists.h"
#include "model/storage_layout.h"
#include "relay/operate/operate.h"
#include "relay/state/directory.h"
#include "relay/state/state.h"
#include "rules/load/rule_files.h"
#include "rules/schedule/checkpoint.h"
#include "rules/stored/stored_file.h"
#include "tsdb/tsdb.h"
#include "tsdb/tsdb_bucket.h"

#define STATES_BYTES_MAX ((uint64_t)1 << 30) /* for the states of destinations and rules */

enum { STATE_BYTES_MAX = 64 << 20 };

struct storage_check {
    struct env *env;
    const char *dir;
    struct budget memory;
    char rules_dir[FILE_PATH_BYTES];
    struct why *why;
};

/* Returns the errors that say something about the version or the machine, and OK for those that
 * say something about one file. */
static enum err
without_damage(enum err e)
{
    return e == ERR_UNSUPPORTED || e == ERR_NOMEM ? e : OK;
}

static enum err
check_samples(struct storage_check *c)
{
    struct target_options options = {.storage = c->dir};
    struct target *target = NULL;
    enum err e = target_open(&options, &target, c->why);
    if (e == OK) target_free(target);
    if (e == ERR_AGAIN)
        return why_set(c->why, e, "a running server or command uses %s; stop it", c->dir);
    return e;
}

static enum err
check_destinations(struct storage_check *c)
{
    char relay_dir[FILE_PATH_BYTES], dir[FILE_PATH_BYTES];
    struct relay_names names = {0};
    struct relay_state state;
    struct buf file;
    enum err e = path_in(relay_dir, sizeof relay_dir, c->dir, STORAGE_RELAY, c->why);
    if (e) return e;
    e = relay_names_read(&names, c->env, relay_dir, &c->memory, c->why);
    buf_init(&file, &c->memory, STATE_BYTES_MAX);
    const struct relay_name *name;
    for (size_t i = 0; e == OK && (name = relay_name_at(&names, i)) != NULL; i++) {
        if (!name->is_dir) continue;
        e = path_in(dir, sizeof dir, relay_dir, name->text, c->why);
        if (e == OK) e = relay_state_read(c->env, dir, &file, &state, c->why);
        e = without_damage(e);
    }
    buf_fini(&file);
    buf_fini(&names.all);
    return e == ERR_MISSING ? OK : e;
}

static enum err
check_stored_rules(void *context, const char *tenant)
{
    struct storage_check *c = context;
    struct stored_texts texts;
    struct arena arena;
    struct buf file;
    arena_init(&arena, &c->memory, 0, 0);
    buf_init(&file, &c->memory, STORED_FILE_BYTES_MAX);
    enum err e = stored_read(c->env, c->rules_dir, tenant, &file, c->why);
    if (e == OK) {
        e = stored_decode(buf_bytes(&file), bytes_of_text(tenant), &arena, &texts, c->why);
        if (e) why_prefix(c->why, e, "%s/%s.groups", c->rules_dir, tenant);
    }
    buf_fini(&file);
    arena_fini(&arena);
    return without_damage(e);
}

static enum err
check_state_of_rules(struct storage_check *c)
{
    struct checkpoint_reader state;
    enum err e = checkpoint_read(c->env, c->dir, &c->memory, &state, c->why);
    if (e == OK) checkpoint_fini(&state);
    e = without_damage(e);
    if (e == OK) e = path_in(c->rules_dir, sizeof c->rules_dir, c->dir, STORAGE_RULES, c->why);
    if (e == OK) e = stored_each(c->env, c->rules_dir, check_stored_rules, c, c->why);
    return e == ERR_MISSING ? OK : e;
}

enum err
check_storage(const char *dir, struct why *why)
{
    struct storage_check c = {.env = env_real(), .dir = dir, .why = why};
    budget_init(&c.memory, "check", STATES_BYTES_MAX, NULL);
    enum err e = check_samples(&c);
    if (e == OK) e = check_destinations(&c);
    if (e == OK) e = check_state_of_rules(&c);
    return e;
}

enum { FINDING_BYTES_MAX = 1024 };

struct verifying_rules {
    const struct verify_rules_options *options;
    char dir[FILE_PATH_BYTES];
    struct verify_rules_report report;
    const char *tenant; /* tenant whose file is being read */
    bool is_pushed; /* the directory has groups of pushed metrics, in files of the same format */
};

static void PRINTF_LIKE(2, 3) add_finding(struct verifying_rules *v, const char *format, ...)
{
    char line[FINDING_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    v->report.wrong++;
    v->options->say(v->options->context, line);
}

static enum err
check_group(struct verifying_rules *v, const struct stored_text *text)
{
    const struct rule_file_options options = {.report = NULL};
    struct rule_group group;
    struct arena arena;
    struct why why = {""};
    arena_init(&arena, v->options->memory, 0, 0);
    enum err e = rule_group_parse("group", text->text, &options, &arena, &group, &why);
    if (e == OK && !bytes_equal_text(text->name, group.name)) {
        e = why_set(&why, ERR_INPUT, "its text is that of %s",
                    shown_of(bytes_of_text(group.name)).text);
    }
    arena_fini(&arena);
    v->report.groups++;
    if (e == OK || e == ERR_NOMEM) return e;
    add_finding(v, "stored rules of tenant %s: namespace %s, group %s: %s", v->tenant,
                shown_of(text->namespace).text, shown_of(text->name).text, why_text(&why, e));
    return OK;
}

static enum err
check_stored_groups(void *context, const char *tenant)
{
    struct verifying_rules *v = context;
    struct stored_texts texts = {NULL};
    struct arena arena;
    struct buf file;
    struct why why = {""};
    v->tenant = tenant;
    v->report.tenants += !v->is_pushed;
    arena_init(&arena, v->options->memory, 0, 0);
    buf_init(&file, v->options->memory, STORED_FILE_BYTES_MAX);
    enum err e = stored_read(v->options->env, v->dir, tenant, &file, &why);
    if (e == OK) e = stored_decode(buf_bytes(&file), bytes_of_text(tenant), &arena, &texts, &why);
    if (e != OK && e != ERR_NOMEM) {
        add_finding(v, "%s %s: %s/%s.groups: %s",
                    v->is_pushed ? "pushed metrics" : "stored rules of tenant", tenant, v->dir,
                    tenant, why_text(&why, e));
        e = OK;
    }
    for (uint32_t i = 0; e == OK && !v->is_pushed && i < texts.count; i++)
        e = check_group(v, &texts.items[i]);
    buf_fini(&file);
    arena_fini(&arena);
    return e;
}

static enum err
check_state(struct verifying_rules *v, struct why *why)
{
    const struct verify_rules_options *options = v->options;
    struct checkpoint_reader state;
    struct why reason = {""};
    enum err e = checkpoint_read(options->env, options->dir, options->memory, &state, &reason);
    if (e == OK) checkpoint_fini(&state);
    if (e == OK || e == ERR_MISSING) return OK;
    if (e == ERR_NOMEM) return why_set(why, e, "%s", why_text(&reason, e));
    add_finding(v, "state of rules: %s", why_text(&reason, e));
    return OK;
}

enum err
verify_rules(const struct verify_rules_options *options, struct verify_rules_report *ret,
             struct why *why)
{
    struct verifying_rules v = {.options = options};
    struct why listing = {""};
    for (unsigned i = 0; i < 2; i++) {
        v.is_pushed = i == 1;
        enum err e = path_in(v.dir, sizeof v.dir, options->dir,
                             v.is_pushed ? STORAGE_PUSHED : STORAGE_RULES, why);
        if (e) return e;
        e = stored_each(options->env, v.dir, check_stored_groups, &v, &listing);
        if (e != OK && e != ERR_MISSING) return why_set(why, e, "%s", why_text(&listing, e));
    }
    enum err e = check_state(&v, why);
    if (e == OK) *ret = v.report;
    return e;
}

#define VERIFY_MEMORY_BYTES_MAX ((uint64_t)2 << 30) /* the state of rules may have half of it */

struct verifying {
    const char *config_file;
    bool remote;
    const char *dir;
    struct settings settings;
    struct config_lists lists;
    struct budget memory; /* for destinations and rules */
    struct tsdb_report store;
    struct examine_report relay;
    struct verify_rules_report rules;
};

static const struct flag verify_flags[] = {
    {"config.file", 0, FLAG_TEXT, offsetof(struct verifying, config_file), "FILE",
     "configuration file of the server, to count the samples that wait for its destinations"},
    {"remote", 0, FLAG_SWITCH, offsetof(struct verifying, remote), NULL,
     "read all parts in the bucket of its object_storage, too"},
    {0},
};

static const char verify_notes[] =
    "\nReads the whole directory of a stopped server, or a snapshot, and changes nothing: parts,\n"
    "log, the data of destinations (states, dead letters, files they keep), stored rules, pushed\n"
    "metrics, and the state of rules. Prints a line with the name of the file for each problem.\n"
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
                   "files of rules or pushed metrics are damaged or not valid (%" PRIu64
                   " finding%s)",
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
    bool is_none = v->config_file != NULL && v->settings.storage_mode != STORAGE_LOCAL;
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

static enum err
verify_bucket(struct verifying *v, struct why *why)
{
    struct bucket_link link;
    struct tsdb_bucket_verdict verdict;
    enum err e = bucket_link_open(env_real(), &v->lists.objects, &v->memory, NULL, &link, why);
    if (e == OK)
        e = tsdb_bucket_verify(link.objects, &v->memory, true, print_line, NULL, &verdict, why);
    if (e == OK)
        printf("%s: ok (%" PRIu64 " part%s)\n", link.objects->shown, verdict.parts,
               plural(verdict.parts));
    bucket_link_close(&link);
    return e;
}

static int
run_verify(int argc, char **argv)
{
    struct verifying v = {0};
    struct why why = {""};
    int count = 0;
    budget_init(&v.memory, "verify", VERIFY_MEMORY_BYTES_MAX, NULL);
    enum err e = flags_parse(verify_flags, &v, argc - 1, argv + 1, &count, &why);
    if (e == OK && count != 1) e = why_set(&why, ERR_INPUT, "expected one DIR");
    if (e) return cli_usage_error("verify", "%s", why.text);
    v.dir = argv[1];
    struct tsdb_reading_lock lock = TSDB_READING_LOCK_NONE;
    if (v.config_file != NULL) e = check_file(v.config_file, &v.settings, &v.lists, &why);
    /* Held while all of it is read; other readers share it. */
    if (e == OK) e = tsdb_reading_lock_take(env_real(), v.dir, &lock, &why);
    if (e == OK && v.remote && !v.lists.objects.given)
        e = why_set(&why, ERR_INPUT, "--remote requires --config.file with object_storage");
    if (e == OK) e = verify_all(&v, &why);
    if (e == OK && v.remote) e = verify_bucket(&v, &why);
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
    if (v.store.remote_parts > 0 && !v.remote) {
        printf("%" PRIu64
               " of these parts %s only in the bucket: --remote reads them, 'firekeep bucket "
               "verify' compares checksums\n",
               v.store.remote_parts, v.store.remote_parts == 1 ? "is" : "are");
    }
    return EXIT_DONE;
}

const struct command command_verify = {
    "verify",
    "[flags] DIR",
    "verify all checksums of a storage directory and recount its ledgers",
    run_verify,
    verify_flags,
    verify_notes};
