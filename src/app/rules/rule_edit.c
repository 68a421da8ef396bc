/* rule_edit.c - see rule_edit.h. */
#include "app/rules/rule_edit.h"

#include <stdio.h>

#include "base/log.h"
#include "base/text/shown.h"

static enum err
check_names(const struct rule_editor *x, const struct rules_edit *edit,
            const struct stored_change *change, struct why *why)
{
    if (edit->verb != RULES_SET) return OK;
    struct bytes name = bytes_of_text(stored_change_name(change));
    if (!ruler_has_file_group(x->ruler, edit->tenant, edit->namespace,
                              stored_change_name(change))) {
        return OK;
    }
    return why_set(why, ERR_INPUT,
                   "rule file %s has a group %s, which is in force; use another namespace or name",
                   shown_of(bytes_of_text(edit->namespace)).text, shown_of(name).text);
}

enum err
rule_edit(const struct rule_editor *x, const struct settings *settings,
          const struct rules_edit *edit, struct buf *reasons,
          char ret_group[STORED_NAME_BYTES_MAX + 1], struct why *why)
{
    struct stored_limits limits = {settings->rules_api_max_groups, settings->rules_api_max_bytes};
    struct stored_change *change = NULL;
    struct ruler_change *ruling = NULL;
    enum err e = stored_rules_prepare(x->stored, edit, &limits, reasons, &change, why);
    const char *group = edit->verb == RULES_DELETE ? edit->group : "";
    if (e == OK && edit->verb == RULES_SET) group = stored_change_name(change);
    snprintf(ret_group, STORED_NAME_BYTES_MAX + 1, "%s", group);
    if (e == OK) e = check_names(x, edit, change, why);
    if (e == OK) {
        struct stored_groups groups = stored_change_groups(change);
        e = ruler_prepare(x->ruler, settings, NULL, &groups, &ruling, why);
    }
    if (e == OK) e = stored_rules_write(change, why);
    if (e) {
        ruler_abandon(ruling);
        stored_rules_abandon(change);
    } else {
        ruler_commit(ruling);
        stored_rules_commit(change);
    }
    return e;
}

/* Says whether the request caused the error. */
static bool
is_refusal(enum err e)
{
    return e == ERR_INPUT || e == ERR_LIMIT || e == ERR_MISSING;
}

void
rule_edit_log(const struct rule_editor *x, const struct rules_edit *edit, const char *group,
              enum err e, const struct why *why)
{
    static const char *const verbs[] = {[RULES_SET] = "set a group",
                                        [RULES_DELETE] = "delete a group",
                                        [RULES_DELETE_NAMESPACE] = "delete a namespace"};
    static struct log_gate gate;
    uint64_t held_back;
    if (e == OK) {
        log_info("stored rules changed", KV("change", verbs[edit->verb]),
                 KV("tenant", edit->tenant), KV("namespace", edit->namespace), KV("group", group));
    } else if (!is_refusal(e) &&
               log_often(&gate, env_monotonic_ns(x->env), 60 * NS_PER_S, &held_back)) {
        log_error("stored rules cannot be changed", KV("change", verbs[edit->verb]),
                  KV("tenant", edit->tenant), KV("namespace", edit->namespace), KV("group", group),
                  KV("error", why_text(why, e)), KV("more_held_back", held_back));
    }
    stored_rules_note(x->stored, e == OK         ? STORED_EDIT_DONE
                                 : is_refusal(e) ? STORED_EDIT_REFUSED
                                                 : STORED_EDIT_FAILED);
}
