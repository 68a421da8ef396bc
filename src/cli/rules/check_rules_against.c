/*
 * check_rules_against.c - reports what a configuration file would change about the rules and
 * Alertmanagers of a server. Both are compared as they are printed, because a server returns no
 * secrets: another password makes no difference. Names of rule files are compared, not their
 * contents.
 */
#include <stdio.h>
#include <string.h>

#include "base/text/shown.h"
#include "cli/rules/check_rules.h"

/* --- texts ------------------------------------------------------------------------------------ */

enum { PRINTED_BYTES_MAX = 8 << 20 };

/* Compares the printed forms. One that is too long to be printed differs from all. */
static bool
same_printed(const struct alerting *a, const struct alerting *b)
{
    struct buf text, other;
    buf_init(&text, NULL, PRINTED_BYTES_MAX);
    buf_init(&other, NULL, PRINTED_BYTES_MAX);
    alerting_print_yaml(a, &text);
    alerting_print_yaml(b, &other);
    bool same = buf_error(&text) == OK && buf_error(&other) == OK &&
                bytes_equal(buf_bytes(&text), buf_bytes(&other));
    buf_fini(&text);
    buf_fini(&other);
    return same;
}

/* Returns a list of one Alertmanager; a view. */
static struct alerting
only(const struct alerting *list, uint32_t index)
{
    return (struct alerting){.items = &list->items[index], .count = 1};
}

/* --- rule files ------------------------------------------------------------------------------- */

static const struct tenant_rules *
find_tenant(const struct rule_settings *rules, const char *tenant)
{
    for (uint32_t i = 0; i < rules->tenant_count; i++) {
        if (strcmp(rules->tenants[i].tenant, tenant) == 0) return &rules->tenants[i];
    }
    return NULL;
}

static bool
has_pattern(const struct tenant_rules *rules, const char *pattern)
{
    for (uint32_t i = 0; rules != NULL && i < rules->given.count; i++) {
        if (strcmp(rules->given.items[i], pattern) == 0) return true;
    }
    return false;
}

/* Prints a line for each pattern of `of` that the other lacks. */
static void
report_patterns(const struct rule_settings *of, const struct rule_settings *other, const char *what)
{
    for (uint32_t i = 0; i < of->tenant_count; i++) {
        const struct tenant_rules *rules = &of->tenants[i];
        const struct tenant_rules *others = find_tenant(other, rules->tenant);
        for (uint32_t k = 0; k < rules->given.count; k++) {
            if (has_pattern(others, rules->given.items[k])) continue;
            if (rules->tenant[0] != '\0') {
                printf("tenant %s: ", shown_of(bytes_of_text(rules->tenant)).text);
            }
            /* Not quoted: the configuration refuses control characters. */
            printf("rule file '%s': %s\n", rules->given.items[k], what);
        }
    }
}

static bool
same_labels(const struct named_texts *a, const struct named_texts *b)
{
    if (a->count != b->count) return false;
    for (uint32_t i = 0; i < a->count; i++) {
        if (strcmp(a->items[i].name, b->items[i].name) != 0) return false;
        if (strcmp(a->items[i].value, b->items[i].value) != 0) return false;
    }
    return true;
}

/* --- Alertmanagers ---------------------------------------------------------------------------- */

/* An Alertmanager is known by the place of its first members. */
static struct shown
alertmanager_name(const struct alertmanager_settings *a)
{
    for (uint32_t i = 0; i < a->static_count; i++) {
        const struct text_list *targets = &a->static_configs[i].targets;
        if (targets->count > 0) return shown_of(bytes_of_text(targets->items[0]));
    }
    const char *name = a->dns_count > 0    ? a->dns_configs[0].names.items[0]
                       : a->file_count > 0 ? a->file_configs[0].given.items[0]
                       : a->http_count > 0 ? a->http_configs[0].url
                                           : NULL;
    if (name == NULL) return (struct shown){"without members"};
    return shown_of(bytes_of_text(name));
}

enum likeness { NOT_THERE, CHANGED, THE_SAME };

/* Returns the greatest likeness of an Alertmanager of the list. */
static enum likeness
find_alike(const struct alerting *list, const struct alerting *one)
{
    enum likeness best = NOT_THERE;
    struct shown name = alertmanager_name(one->items);
    for (uint32_t i = 0; i < list->count; i++) {
        struct alerting other = only(list, i);
        if (same_printed(one, &other)) return THE_SAME;
        if (strcmp(alertmanager_name(other.items).text, name.text) == 0) best = CHANGED;
    }
    return best;
}

static void
report_alertmanagers(const struct alerting *file, const struct alerting *server)
{
    for (uint32_t i = 0; i < server->count; i++) {
        struct alerting one = only(server, i);
        if (find_alike(file, &one) != NOT_THERE) continue;
        printf("Alertmanager %s: not in the file: it is no longer sent alerts\n",
               alertmanager_name(one.items).text);
    }
    for (uint32_t i = 0; i < file->count; i++) {
        struct alerting one = only(file, i);
        enum likeness alike = find_alike(server, &one);
        if (alike == THE_SAME) continue;
        printf("Alertmanager %s: %s\n", alertmanager_name(one.items).text,
               alike == CHANGED ? "changes" : "new");
    }
}

/* --- the comparison --------------------------------------------------------------------------- */

void
check_rules_against(const struct config_lists *file, const struct rule_settings *rules,
                    const struct alerting *alerting)
{
    report_patterns(rules, &file->rules, "not in the file: its rules are no longer evaluated");
    report_patterns(&file->rules, rules, "new");
    if (!same_labels(&file->rules.given_labels, &rules->given_labels)) {
        printf("external_labels: changes\n");
    }
    report_alertmanagers(&file->alerting, alerting);
    struct alerting a = file->alerting,
                    b = *alerting; /* the settings common to all Alertmanagers */
    a.count = b.count = 0;
    struct alerting label_a = {.tenant_label = a.tenant_label};
    struct alerting label_b = {.tenant_label = b.tenant_label};
    if (!same_printed(&label_a, &label_b)) printf("tenant_label of alerts: changes\n");
    a.tenant_label = b.tenant_label = NULL;
    if (!same_printed(&a, &b)) printf("alert_relabel_configs: changes\n");
}
