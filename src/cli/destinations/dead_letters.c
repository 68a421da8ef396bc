/*
 * dead_letters.c - `firekeep dead-letters list|show|replay|drop`: shows what destinations refused
 * permanently, and decides what happens to it. list and show read the storage directory, of a
 * running server too. A running server owns the files, so it is asked for a decision (--url);
 * without one the command locks the directory and changes the state.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "backend/settings.h"
#include "cli/cli.h"
#include "cli/lib/client_access.h"
#include "cli/lib/report.h"
#include "cli/lib/target/target.h"
#include "model/storage_layout.h"
#include "relay/letters/letters.h"
#include "relay/state/directory.h"

#define LETTERS_MEMORY_MAX ((uint64_t)512 << 20)

enum {
    PATH_BYTES = 256,
    OUT_BYTES = 64 * 1024,
    OUT_BYTES_MAX = 128 * 1024 * 1024, /* the largest letter as JSON */
    REASON_BYTES = 64,
    ANSWER_BYTES = 512,
    GROUPS_MAX = 4096,
};

/* Letters of one destination with the same reason. */
struct letter_group {
    const char *destination;
    char reason[REASON_BYTES]; /* cut to its beginning */
    uint64_t kept, replaying;
    int64_t first_ms;
    int64_t last_ms;
    uint8_t answer[ANSWER_BYTES];
    size_t answer_size;
};

struct letters_request {
    const char *storage, *url, *http_config_file;
    const char *destination;
    const char *reason;
    int form; /* enum report_form */

    struct budget memory;
    struct relay_names names; /* destinations to work on */
    const char *name;         /* the current destination */
    enum letters_wish wish;
    struct buf groups; /* struct letter_group */
    uint64_t left_out; /* letters without a group */
    struct buf out;
    struct report *report;
    bool failed;
};

static const struct flag dead_letters_flags[] = {
    {"storage.path", 0, FLAG_TEXT, offsetof(struct letters_request, storage), "DIRECTORY",
     "storage directory; for replay and drop, of a stopped server"},
    {"url", 0, FLAG_TEXT, offsetof(struct letters_request, url), "URL",
     "URL of the running server, instead of --storage.path; not for show"},
    HTTP_CONFIG_FLAG(struct letters_request, http_config_file),
    {"destination", 0, FLAG_TEXT, offsetof(struct letters_request, destination), "NAME",
     "only dead letters of this destination (default: all; required with --url)"},
    {"reason", 0, FLAG_TEXT, offsetof(struct letters_request, reason), "REASON",
     "list and show only dead letters with this reason (default: all)"},
    REPORT_FLAG(struct letters_request),
    {0},
};

static const char notes[] =
    "\nlist    print the number of dead letters by destination and reason\n"
    "show    print each dead letter as a line of JSON, which firekeep import reads\n"
    "replay  send the dead letters again; those refused again become dead letters again, and\n"
    "        those that cannot be read are counted as dropped (reason damaged)\n"
    "drop    discard the dead letters; they count as dropped by the operator\n"
    "\nreplay and drop apply to all dead letters that are not being sent again, and print their\n"
    "number. A running server needs --web.enable-admin-api.\n"
    "\nExit status: 0 done, 1 something is damaged or failed, 2 wrong usage.\n";

/* --- destinations ----------------------------------------------------------------------------- */

static bool
is_destination_name(const char *name)
{
    size_t size = strlen(name);
    return size > 0 && size <= DESTINATION_NAME_BYTES_MAX && strchr(name, '/') == NULL &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static enum err
destination_path(const struct letters_request *a, const char *name, char to[PATH_BYTES],
                 struct why *why)
{
    enum err e = storage_relay_path(to, PATH_BYTES, a->storage, name);
    return e == OK ? OK : why_set(why, e, "%s: path is too long", a->storage);
}

/* Keeps the names of destinations, including dangling links, but not those of files. */
static void
keep_destinations(struct letters_request *a)
{
    struct relay_name *names = (struct relay_name *)(void *)a->names.all.at;
    size_t count = a->names.all.size / sizeof *names, kept = 0;
    for (size_t i = 0; i < count; i++) {
        char path[PATH_BYTES];
        if (!is_destination_name(names[i].text) || names[i].text[0] == '.') continue;
        if (!names[i].is_dir && destination_path(a, names[i].text, path, NULL) == OK &&
            relay_directory_look(env_real(), path, NULL) == ERR_INPUT)
            continue;
        names[kept++] = names[i];
    }
    a->names.all.size = kept * sizeof *names;
}

/* A storage directory without a directory `relay` never had a destination. */
static enum err
find_destinations(struct letters_request *a, struct why *why)
{
    char path[PATH_BYTES];
    struct relay_name name = {.is_dir = true};
    struct file_facts facts;
    enum err e = storage_check_restored(env_real(), a->storage, why);
    if (e == OK) e = destination_path(a, a->destination == NULL ? "" : a->destination, path, why);
    if (e) return e;
    if (a->destination == NULL) path[strlen(path) - 1] = '\0';
    e = relay_directory_look(env_real(), path, why);
    if (a->destination != NULL) {
        if (e == ERR_MISSING)
            why_set(why, e, "destination '%s' not found in %s", a->destination, a->storage);
        if (e) return e;
        memcpy(name.text, a->destination, strlen(a->destination));
        buf_init(&a->names.all, &a->memory, sizeof name);
        buf_put(&a->names.all, &name, sizeof name);
        return buf_error(&a->names.all);
    }
    if (e == ERR_MISSING) return env_facts(env_real(), a->storage, &facts, why);
    if (e == OK) e = relay_names_read(&a->names, env_real(), path, &a->memory, why);
    if (e == OK) keep_destinations(a);
    return e;
}

/* Reports the error of a destination, and continues with the others. */
static void
each_destination(struct letters_request *a,
                 enum err (*act)(struct letters_request *a, const char *dir, struct why *why))
{
    const struct relay_name *name;
    for (size_t i = 0; (name = relay_name_at(&a->names, i)) != NULL; i++) {
        char path[PATH_BYTES];
        struct why why = {""};
        a->name = name->text;
        enum err e = destination_path(a, a->name, path, &why);
        if (e == OK) e = relay_directory_look(env_real(), path, &why);
        if (e == OK) e = act(a, path, &why);
        if (e == OK || e == ERR_MISSING) continue; /* no letters */
        a->failed = true;
        fflush(stdout);
        fprintf(stderr, "firekeep dead-letters: %s: %s\n", a->name, why_text(&why, e));
    }
}

static bool
is_meant(const struct letters_request *a, const struct dead_letter *letter)
{
    return a->reason == NULL || bytes_equal_text(letter->reason, a->reason);
}

static enum err
walk_letters(struct letters_request *a, const char *dir,
             enum err (*each)(void *context, const struct dead_letter *letter, struct bytes line,
                              bool again),
             struct why *why)
{
    struct dead_letters_report report;
    enum err e = dead_letters_each(env_real(), dir, &a->memory, each, a, &report, why);
    if (e || report.lost == 0) return e;
    a->failed = true;
    fflush(stdout);
    fprintf(stderr, "firekeep dead-letters: %s: %s\n", a->name, report.text);
    return OK;
}

/* --- list ------------------------------------------------------------------------------------- */

static struct letter_group *
find_letter_group(struct letters_request *a, struct bytes reason, int64_t failed_ms)
{
    struct letter_group *groups = (struct letter_group *)(void *)a->groups.at;
    size_t count = a->groups.size / sizeof *groups;
    if (reason.size >= REASON_BYTES) reason.size = REASON_BYTES - 1;
    for (size_t i = count; i-- > 0 && groups[i].destination == a->name;)
        if (bytes_equal_text(reason, groups[i].reason)) return &groups[i];
    struct letter_group group = {
        .destination = a->name, .first_ms = failed_ms, .last_ms = failed_ms};
    if (reason.size > 0) memcpy(group.reason, reason.at, reason.size);
    if (count == GROUPS_MAX || !buf_reserve(&a->groups, sizeof group)) return NULL;
    buf_put(&a->groups, &group, sizeof group);
    return (struct letter_group *)(void *)a->groups.at + count;
}

static enum err
list_letter(void *context, const struct dead_letter *letter, struct bytes line, bool again)
{
    struct letters_request *a = context;
    (void)line;
    if (!is_meant(a, letter)) return OK;
    struct letter_group *group = find_letter_group(a, letter->reason, letter->failed_ms);
    if (group == NULL) {
        a->left_out++;
        return OK;
    }
    group->kept += !again;
    group->replaying += again;
    if (letter->failed_ms < group->first_ms) group->first_ms = letter->failed_ms;
    if (letter->failed_ms < group->last_ms) return OK;
    group->last_ms = letter->failed_ms;
    group->answer_size = letter->answer.size < ANSWER_BYTES ? letter->answer.size : ANSWER_BYTES;
    if (group->answer_size > 0) memcpy(group->answer, letter->answer.at, group->answer_size);
    return OK;
}

static enum err
list_destination(struct letters_request *a, const char *dir, struct why *why)
{
    return walk_letters(a, dir, list_letter, why);
}

static void
begin_list(struct letters_request *a)
{
    report_table(a->report, "letters", "Dead letters",
                 "destination|reason|letters|replaying|firstFailed=first failed|"
                 "lastFailed=last failed|answer=last response");
}

static void
letters_list(struct letters_request *a)
{
    each_destination(a, list_destination);
    const struct letter_group *groups = (const struct letter_group *)(const void *)a->groups.at;
    size_t count = a->groups.size / sizeof *groups;
    if (a->form == REPORT_TEXT && count == 0 && !a->failed) printf("no dead letters\n");
    begin_list(a);
    for (size_t i = 0; i < count; i++) {
        const struct letter_group *g = &groups[i];
        report_row(a->report, value_text(g->destination), value_text(g->reason),
                   value_count(g->kept), value_count(g->replaying), value_time(g->first_ms),
                   value_time(g->last_ms), value_view(bytes_of(g->answer, g->answer_size)));
    }
    report_table_end(a->report, a->left_out);
}

/* --- show ------------------------------------------------------------------------------------- */

/* Prints the line as it is stored, with the destination and the state before its members. */
static enum err
show_letter(void *context, const struct dead_letter *letter, struct bytes line, bool again)
{
    struct letters_request *a = context;
    if (!is_meant(a, letter)) return OK;
    buf_printf(&a->out, "{\"destination\":\"%s\",\"state\":\"%s\",", a->name,
               again ? "replaying" : "kept");
    buf_put(&a->out, line.at + 1, line.size - 1);
    enum err e = buf_error(&a->out);
    if (e || a->out.size < OUT_BYTES) return e;
    fwrite(a->out.at, 1, a->out.size, stdout);
    buf_clear(&a->out);
    return ferror(stdout) ? ERR_IO : OK;
}

static enum err
show_destination(struct letters_request *a, const char *dir, struct why *why)
{
    enum err e = walk_letters(a, dir, show_letter, why);
    if (e == OK) fwrite(a->out.at, 1, a->out.size, stdout);
    buf_clear(&a->out);
    return e;
}

static void
letters_show(struct letters_request *a)
{
    each_destination(a, show_destination);
}

/* --- replay and drop -------------------------------------------------------------------------- */

static enum err
decide_destination(struct letters_request *a, const char *dir, struct why *why)
{
    uint64_t count = 0;
    if (a->wish == LETTERS_REPLAY) /* reports letters that cannot be read */
        err_ignore(list_destination(a, dir, why), "the next call meets it, too");
    enum err e = dead_letters_decide(env_real(), dir, &a->memory, a->wish, &count, why);
    if (e == OK || e == ERR_MISSING) report_row(a->report, value_text(a->name), value_count(count));
    return e;
}

static void
begin_decision(struct letters_request *a)
{
    if (a->wish == LETTERS_REPLAY)
        report_table(a->report, "replay", "Replay", "destination|letters=dead letters to replay");
    else
        report_table(a->report, "drop", "Drop", "destination|letters=dead letters to drop");
}

/* Locks the directory against a server, and other commands. */
static enum err
lock_storage(const struct letters_request *a, struct file *ret_lock, struct why *why)
{
    char path[PATH_BYTES];
    enum err e = path_in(path, sizeof path, a->storage, STORAGE_LOCK, why);
    if (e == OK) e = file_open(env_real(), path, FILE_UPDATE, ret_lock, why);
    if (e) return e;
    e = file_lock(ret_lock, why);
    if (e == ERR_AGAIN)
        why_set(why, e, "a server uses %s: ask it with --url and --destination", a->storage);
    if (e) err_ignore(file_close(ret_lock), "it is not locked");
    return e;
}

static void
decide(struct letters_request *a)
{
    struct file lock;
    struct why why = {""};
    if (a->form == REPORT_TEXT && a->names.all.size == 0) printf("no dead letters\n");
    begin_decision(a);
    enum err e = a->names.all.size == 0 ? ERR_MISSING : lock_storage(a, &lock, &why);
    if (e == OK) {
        each_destination(a, decide_destination);
        err_ignore(file_close(&lock), "nothing was written to it");
    } else if (a->names.all.size > 0) {
        a->failed = true;
        fprintf(stderr, "firekeep dead-letters: %s\n", why_text(&why, e));
    }
    report_table_end(a->report, 0);
}

/* --- a running server ------------------------------------------------------------------------- */

static uint64_t
count_of(const json_t *one, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(one, key));
}

static void
list_answer(struct letters_request *a, const json_t *data)
{
    size_t i;
    const json_t *x;
    begin_list(a);
    json_array_foreach(json_object_get(data, "reasons"), i, x)
    {
        struct bytes reason = json_tree_text(json_object_get(x, "reason"));
        if (a->reason != NULL && !bytes_equal_text(reason, a->reason)) continue;
        report_row(a->report, value_text(a->destination), value_view(reason),
                   value_count(count_of(x, "kept")), value_count(count_of(x, "replaying")),
                   value_json(x, "first", VALUE_TIME), value_json(x, "last", VALUE_TIME),
                   value_view(json_tree_text(json_object_get(x, "answer"))));
    }
    report_table_end(a->report, count_of(data, "others"));
}

static enum err
ask_server(struct letters_request *a, bool decides, struct why *why)
{
    char path[DESTINATION_NAME_BYTES_MAX + 64];
    struct json_tree json;
    const json_t *data;
    struct client_call call = {.url = a->url, .config_file = a->http_config_file, .path = path};
    const char *action = !decides                    ? ""
                         : a->wish == LETTERS_REPLAY ? "?action=replay"
                                                     : "?action=drop";
    snprintf(path, sizeof path, "/api/v1/admin/dead_letters/%s%s", a->destination, action);
    if (decides) call.body = bytes_of("", 0);
    enum err e = client_call_json(&call, &a->memory, &json, &data, why);
    if (e) return e;
    if (!json_is_object(data)) {
        e = why_set(why, ERR_UNSUPPORTED, "the response is not from Firekeep");
    } else if (decides) {
        begin_decision(a);
        report_row(a->report, value_text(a->destination), value_count(count_of(data, "letters")));
        report_table_end(a->report, 0);
    } else {
        list_answer(a, data);
    }
    json_tree_fini(&json);
    return e;
}

/* --- the command ------------------------------------------------------------------------------ */

static const struct letter_verb {
    const char *name;
    void (*run)(struct letters_request *a);
    bool reports, decides;
    enum letters_wish wish;
} verbs[] = {{"list", letters_list, true, false, LETTERS_REPLAY},
             {"show", letters_show, false, false, LETTERS_REPLAY},
             {"replay", decide, true, true, LETTERS_REPLAY},
             {"drop", decide, true, true, LETTERS_DROP}};

static enum err
letters_check_flags(struct letters_request *a, int count, char **words,
                    const struct letter_verb **ret_verb, struct why *why)
{
    *ret_verb = NULL;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs && count == 1; i++)
        if (strcmp(verbs[i].name, words[0]) == 0) *ret_verb = &verbs[i];
    if (*ret_verb == NULL) return why_set(why, ERR_INPUT, "expected list, show, replay or drop");
    if (a->url != NULL && a->storage != NULL)
        return why_set(why, ERR_INPUT, "--url and --storage.path exclude each other");
    if (a->url != NULL && !(*ret_verb)->reports)
        return why_set(why, ERR_INPUT, "show reads the directory: use --storage.path");
    if (a->url != NULL && a->destination == NULL)
        return why_set(why, ERR_INPUT, "--url needs --destination");
    if (a->url == NULL && a->storage == NULL)
        return why_set(why, ERR_INPUT, "--storage.path is required, or --url");
    if (a->destination != NULL && !is_destination_name(a->destination)) {
        return why_set(why, ERR_INPUT, "--destination: invalid destination name '%.64s'",
                       a->destination);
    }
    if (a->reason != NULL && (*ret_verb)->decides) {
        return why_set(why, ERR_INPUT,
                       "--reason is for list and show; %s applies to all dead letters",
                       (*ret_verb)->name);
    }
    if (a->reason != NULL && a->reason[0] == '\0')
        return why_set(why, ERR_INPUT, "--reason must not be empty");
    return a->url == NULL ? OK : target_settle_url(&a->url, why);
}

static enum err
letters_run(struct letters_request *a, const struct letter_verb *verb, struct why *why)
{
    buf_init(&a->groups, &a->memory, GROUPS_MAX * sizeof(struct letter_group));
    buf_init(&a->out, &a->memory, OUT_BYTES_MAX);
    enum err e = a->url != NULL ? OK : find_destinations(a, why);
    if (e == OK && verb->reports) e = report_new(a->form, stdout, &a->memory, &a->report, why);
    if (e) goto out;
    a->wish = verb->wish;
    if (a->url != NULL)
        e = ask_server(a, verb->decides, why);
    else
        verb->run(a);
    if (e == OK && a->report != NULL) e = report_end(a->report, why);
    fflush(stdout);
out:
    report_free(a->report);
    buf_fini(&a->names.all);
    buf_fini(&a->groups);
    buf_fini(&a->out);
    return e;
}

static int
run_dead_letters(int argc, char **argv)
{
    struct letters_request a = {0};
    struct why why = {""};
    const struct letter_verb *verb;
    int count = 0;
    signal(SIGPIPE, SIG_DFL); /* ends quietly after `| head` */
    budget_init(&a.memory, "dead-letters", LETTERS_MEMORY_MAX, NULL);
    enum err e = flags_parse(dead_letters_flags, &a, argc - 1, argv + 1, &count, &why);
    if (e == OK) e = letters_check_flags(&a, count, argv + 1, &verb, &why);
    if (e) return cli_usage_error("dead-letters", "%s", why.text);
    e = letters_run(&a, verb, &why);
    if (e == OK) return a.failed ? EXIT_FAILED : EXIT_DONE;
    return cli_failed("dead-letters", e, &why);
}

const struct command command_dead_letters = {
    "dead-letters",
    "list|show|replay|drop [flags]",
    "list, show, replay or drop samples that destinations refused permanently",
    run_dead_letters,
    dead_letters_flags,
    notes};
