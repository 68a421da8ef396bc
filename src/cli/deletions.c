/* deletions.c - `firekeep deletions [ID]` and `firekeep undelete ID`: the receipts of deletions of
 * a server, and undoing one. */
#include <stdio.h>
#include <stdlib.h>

#include "base/text/time_text.h"
#include "cli/commands.h"
#include "cli/lib/client_access.h"
#include "cli/lib/report.h"
#include "cli/lib/target/target.h"
#include "model/tenant_name.h"
#include "sys/env.h"
#include "wire/json/json_tree.h"

#define ANSWER_BYTES_MAX ((uint64_t)8 << 20)
#define MEMORY_BYTES_MAX ((uint64_t)256 << 20)

enum { VALUES_MAX = 16384 };

struct deletions_command {
    /* Command line. */
    const char *url, *http_config_file, *tenant;
    int form; /* -1: not given */
    const char *id;
    bool undo;

    struct budget memory;
};

static const struct flag flags[] = {
    {"url", 0, FLAG_TEXT, offsetof(struct deletions_command, url), "URL",
     "URL of the server (default $FIREKEEP_URL, or http://127.0.0.1:9201)"},
    HTTP_CONFIG_FLAG(struct deletions_command, http_config_file),
    {"tenant", 0, FLAG_TEXT, offsetof(struct deletions_command, tenant), "ID",
     "tenant, sent in the header X-Scope-OrgID"},
    {"format", 0, FLAG_CHOICE, offsetof(struct deletions_command, form), "FORM",
     "text or json (default text)", report_forms},
    {0},
};

static const char notes[] =
    "\nLists what was deleted with /api/v1/admin/tsdb/delete_series, the newest first; with ID "
    "one\n"
    "deletion, and how many of its samples are hidden and how many are gone. The server needs\n"
    "--web.enable-admin-api.\n"
    "\nExit status: 0 done; 1 it failed, or the deletion does not exist; 2 wrong usage.\n";

static const char undelete_notes[] =
    "\nUndoes a deletion that is held (delete.hold): its samples are visible again.\n"
    "\nExit status: 0 done; 1 it failed, or the deletion is not held any more; 2 wrong usage.\n";

/* --- the report ------------------------------------------------------------------------------- */

static struct report_value
count_of(const json_t *receipt, const char *key)
{
    const json_t *value = json_object_get(receipt, key);
    if (!json_is_integer(value)) return value_none();
    return value_count((uint64_t)json_integer_value(value));
}

static struct report_value
size_of(const json_t *receipt, const char *key)
{
    struct report_value value = count_of(receipt, key);
    if (value.kind == VALUE_COUNT) value.kind = VALUE_SIZE;
    return value;
}

static struct report_value
time_of(const json_t *receipt, const char *key)
{
    int64_t ms;
    struct bytes text = json_tree_text(json_object_get(receipt, key));
    return text.at != NULL && time_parse_rfc3339(text, &ms) ? value_time(ms) : value_none();
}

static struct report_value
text_of(const json_t *receipt, const char *key)
{
    struct bytes text = json_tree_text(json_object_get(receipt, key));
    return text.at == NULL ? value_none() : value_view(text);
}

static void
report_one(struct report *r, const json_t *x)
{
    report_field(r, "id", "deletion", text_of(x, "id"));
    report_field(r, "state", "state", text_of(x, "state"));
    report_field(r, "time", "made", time_of(x, "time"));
    report_field(r, "heldUntil", "held until", time_of(x, "heldUntil"));
    report_field(r, "undone", "undone", time_of(x, "undone"));
    report_field(r, "selector", "selector", text_of(x, "selector"));
    report_field(r, "start", "from", time_of(x, "start"));
    report_field(r, "end", "to", time_of(x, "end"));
    report_field(r, "series", "series", count_of(x, "series"));
    report_field(r, "samples", "samples", count_of(x, "samples"));
    report_field(r, "hidden", "still hidden", count_of(x, "hidden"));
    report_field(r, "gone", "gone from the disk", count_of(x, "gone"));
    report_field(r, "windows", "windows", count_of(x, "windows"));
    report_field(r, "hiddenWindows", "windows still hidden", count_of(x, "hiddenWindows"));
    report_field(r, "goneWindows", "windows gone", count_of(x, "goneWindows"));
    report_field(r, "parts", "parts with some", count_of(x, "parts"));
    report_field(r, "partBytes", "size of these parts", size_of(x, "partBytes"));
    report_field(r, "snapshots", "snapshots with some", count_of(x, "snapshots"));
}

static void
report_all(struct report *r, const json_t *list)
{
    size_t i;
    const json_t *x;
    report_table(r, "deletions", NULL,
                 "id|state|time=made|heldUntil=held until|series|samples|windows|parts|"
                 "partBytes=in parts of|snapshots|selector");
    json_array_foreach(list, i, x)
    {
        report_row(r, text_of(x, "id"), text_of(x, "state"), time_of(x, "time"),
                   time_of(x, "heldUntil"), count_of(x, "series"), count_of(x, "samples"),
                   count_of(x, "windows"), count_of(x, "parts"), size_of(x, "partBytes"),
                   count_of(x, "snapshots"), text_of(x, "selector"));
    }
    report_table_end(r, 0);
}

/* Prints the answer of the API. ERR_UNSUPPORTED: the text is not such an answer. */
static enum err
print(struct deletions_command *a, struct bytes text, struct why *why)
{
    struct json_tree json;
    struct report *report;
    enum report_form form = a->form < 0 ? REPORT_TEXT : (enum report_form)a->form;
    struct why reason = {""};
    enum err e = json_tree_read(&a->memory, text, VALUES_MAX, &json, &reason);
    const json_t *data = e ? NULL : json_object_get(json.root, "data");
    bool is_answer = a->id == NULL ? json_is_array(data) : json_is_object(data);
    if (e || !is_answer) {
        if (e == OK) json_tree_fini(&json);
        return why_set(why, ERR_UNSUPPORTED, "the response is not from Firekeep");
    }
    e = report_new(form, stdout, &a->memory, &report);
    if (e == OK) {
        if (a->id == NULL)
            report_all(report, data);
        else
            report_one(report, data);
        e = report_end(report);
        report_free(report);
    }
    json_tree_fini(&json);
    return e ? why_set(why, e, "not enough memory for the report") : OK;
}

/* --- the request ------------------------------------------------------------------------------ */

static enum err
ask_server(struct deletions_command *a, struct why *why)
{
    char path[128], tenant[TENANT_NAME_BYTES_MAX + 32];
    struct buf text;
    struct client_call call = {.url = a->url, .config_file = a->http_config_file, .path = path};
    snprintf(path, sizeof path, "/api/v1/admin/tsdb/deletions%s%s%s", a->id == NULL ? "" : "/",
             a->id == NULL ? "" : a->id, a->undo ? "/undo" : "");
    if (a->undo) call.body = bytes_of("", 0);
    if (a->tenant != NULL) {
        snprintf(tenant, sizeof tenant, "X-Scope-OrgID: %s", a->tenant);
        call.header = tenant;
    }
    buf_init(&text, &a->memory, ANSWER_BYTES_MAX);
    enum err e = client_call(&call, &text, why);
    if (e == OK) e = print(a, buf_bytes(&text), why);
    buf_fini(&text);
    return e;
}

/* --- commands --------------------------------------------------------------------------------- */

static bool
is_number(const char *text)
{
    size_t size = strspn(text, "0123456789");
    return size > 0 && size < 20 && text[size] == '\0' && text[0] != '0';
}

static int
run(const char *name, bool undo, int argc, char **argv)
{
    struct deletions_command a = {.form = -1, .undo = undo};
    struct why why = {""};
    int count = 0;
    budget_init(&a.memory, "deletions", MEMORY_BYTES_MAX, NULL);
    enum err e = flags_parse(flags, &a, argc - 1, argv + 1, &count, &why);
    if (e == OK && (count > 1 || (undo && count == 0)))
        e = why_set(&why, ERR_INPUT, undo ? "expected one ID" : "expected at most one ID");
    if (e == OK && count == 1 && !is_number(argv[1]))
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
    "deletions",   "[flags] [ID]", "list deletions of samples, and what became of them",
    run_deletions, flags,          notes};

const struct command command_undelete = {
    "undelete",   "[flags] ID", "undo a deletion of samples that is held",
    run_undelete, flags,        undelete_notes};
