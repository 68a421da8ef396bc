/* deletions.c - `firekeep deletions [ID]` and `firekeep undelete ID`: the receipts of deletions of
 * a server, and undoing one. */
#include <stdio.h>
#include <stdlib.h>

#include "base/text/time_text.h"
#include "cli/cli.h"
#include "cli/lib/client_access.h"
#include "cli/lib/report.h"
#include "cli/lib/target/target.h"
#include "model/tenant_name.h"
#include "sys/env.h"

#define MEMORY_BYTES_MAX ((uint64_t)256 << 20)

struct deletions_command {
    /* Command line. */
    const char *url, *http_config_file, *tenant;
    int form; /* -1: not given */
    const char *id;
    bool undo;

    struct budget memory;
};

static const struct flag deletions_flags[] = {
    {"url", 0, FLAG_TEXT, offsetof(struct deletions_command, url), "URL",
     "URL of the server (default $FIREKEEP_URL, or http://127.0.0.1:9201)"},
    HTTP_CONFIG_FLAG(struct deletions_command, http_config_file),
    {"tenant", 0, FLAG_TEXT, offsetof(struct deletions_command, tenant), "ID",
     "tenant, sent in the header X-Scope-OrgID"},
    REPORT_FLAG(struct deletions_command),
    {0},
};

static const char deletions_notes[] =
    "\nLists what was deleted with /api/v1/admin/tsdb/delete_series, the newest first; with ID "
    "one\n"
    "deletion, and how many of its samples are hidden and how many are gone. The server needs\n"
    "--web.enable-admin-api.\n"
    "\nExit status: 0 done; 1 it failed, or the deletion does not exist; 2 wrong usage.\n";

static const char undelete_notes[] =
    "\nUndoes a deletion that is held (delete.hold): its samples are visible again.\n"
    "\nExit status: 0 done; 1 it failed, or the deletion is not held any more; 2 wrong usage.\n";

/* --- the report ------------------------------------------------------------------------------- */

static void
report_one(struct report *r, const json_t *x)
{
    static const struct {
        const char *key, *title;
        enum value_kind kind;
    } fields[] = {
        {"id", "deletion", VALUE_TEXT},
        {"state", "state", VALUE_TEXT},
        {"time", "made", VALUE_TIME},
        {"heldUntil", "held until", VALUE_TIME},
        {"undone", "undone", VALUE_TIME},
        {"selector", "selector", VALUE_TEXT},
        {"start", "from", VALUE_TIME},
        {"end", "to", VALUE_TIME},
        {"series", "series", VALUE_COUNT},
        {"samples", "samples", VALUE_COUNT},
        {"hidden", "still hidden", VALUE_COUNT},
        {"gone", "gone from the disk", VALUE_COUNT},
        {"windows", "windows", VALUE_COUNT},
        {"hiddenWindows", "windows still hidden", VALUE_COUNT},
        {"goneWindows", "windows gone", VALUE_COUNT},
        {"parts", "parts with some", VALUE_COUNT},
        {"partBytes", "size of these parts", VALUE_SIZE},
        {"snapshots", "snapshots with some", VALUE_COUNT},
        {"bucket", "in the bucket", VALUE_TEXT},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        report_field(r, fields[i].key, fields[i].title,
                     value_json(x, fields[i].key, fields[i].kind));
}

static void
report_all(struct report *r, const json_t *list)
{
    size_t i;
    const json_t *x;
    report_table(r, "deletions", NULL,
                 "id|state|time=made|heldUntil=held until|series|samples|windows|parts|"
                 "partBytes=in parts of|snapshots|bucket|selector");
    json_array_foreach(list, i, x)
    {
        report_row(r, value_json(x, "id", VALUE_TEXT), value_json(x, "state", VALUE_TEXT),
                   value_json(x, "time", VALUE_TIME), value_json(x, "heldUntil", VALUE_TIME),
                   value_json(x, "series", VALUE_COUNT), value_json(x, "samples", VALUE_COUNT),
                   value_json(x, "windows", VALUE_COUNT), value_json(x, "parts", VALUE_COUNT),
                   value_json(x, "partBytes", VALUE_SIZE), value_json(x, "snapshots", VALUE_COUNT),
                   value_json(x, "bucket", VALUE_TEXT), value_json(x, "selector", VALUE_TEXT));
    }
    report_table_end(r, 0);
}

/* --- the request ------------------------------------------------------------------------------ */

static enum err
ask_server(struct deletions_command *a, struct why *why)
{
    char path[128], tenant[TENANT_NAME_BYTES_MAX + 32];
    struct json_tree json;
    const json_t *data;
    struct report *report;
    struct client_call call = {.url = a->url, .config_file = a->http_config_file, .path = path};
    snprintf(path, sizeof path, "/api/v1/admin/tsdb/deletions%s%s%s", a->id == NULL ? "" : "/",
             a->id == NULL ? "" : a->id, a->undo ? "/undo" : "");
    if (a->undo) call.body = bytes_of("", 0);
    if (a->tenant != NULL) {
        snprintf(tenant, sizeof tenant, "X-Scope-OrgID: %s", a->tenant);
        call.header = tenant;
    }
    enum err e = client_call_json(&call, &a->memory, &json, &data, why);
    if (e) return e;
    if (a->id == NULL ? !json_is_array(data) : !json_is_object(data))
        e = why_set(why, ERR_UNSUPPORTED, "the response is not from Firekeep");
    if (e == OK) e = report_new(a->form, stdout, &a->memory, &report, why);
    if (e == OK) {
        if (a->id == NULL)
            report_all(report, data);
        else
            report_one(report, data);
        e = report_end(report, why);
        report_free(report);
    }
    json_tree_fini(&json);
    return e;
}

/* --- commands --------------------------------------------------------------------------------- */

static int
run(const char *name, bool undo, int argc, char **argv)
{
    struct deletions_command a = {.form = -1, .undo = undo};
    struct why why = {""};
    int count = 0;
    budget_init(&a.memory, "deletions", MEMORY_BYTES_MAX, NULL);
    enum err e = flags_parse(deletions_flags, &a, argc - 1, argv + 1, &count, &why);
    if (e == OK && (count > 1 || (undo && count == 0)))
        e = why_set(&why, ERR_INPUT, undo ? "expected one ID" : "expected at most one ID");
    size_t digits = e == OK && count == 1 ? strspn(argv[1], "0123456789") : 0;
    if (e == OK && count == 1 &&
        (digits == 0 || digits >= 20 || argv[1][digits] != '\0' || argv[1][0] == '0'))
        e = why_set(&why, ERR_INPUT, "'%.64s' is not the number of a deletion", argv[1]);
    if (e == OK && a.tenant != NULL) {
        e = tenant_name_check(bytes_of_text(a.tenant), &why);
        if (e) e = why_prefix(&why, ERR_INPUT, "--tenant");
    }
    if (e == OK) e = target_settle_url(&a.url, &why);
    if (e) return cli_usage_error(name, "%s", why.text);
    a.id = count == 1 ? argv[1] : NULL;
    e = ask_server(&a, &why);
    return e ? cli_failed(name, e, &why) : EXIT_DONE;
}

static int
run_deletions(int argc, char **argv)
{
    return run("deletions", false, argc, argv);
}

static int
run_undelete(int argc, char **argv)
{
    return run("undelete", true, argc, argv);
}

const struct command command_deletions = {
    "deletions",   "[flags] [ID]",  "list deletions of samples, and what became of them",
    run_deletions, deletions_flags, deletions_notes};

const struct command command_undelete = {
    "undelete",   "[flags] ID",    "undo a deletion of samples that is held",
    run_undelete, deletions_flags, undelete_notes};
