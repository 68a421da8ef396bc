/* alerting.c - reads and prints the section `alerting` by the tables of alerting_keys.c. */
#include "config/lists/rules/alerting.h"

#include "config/lists/rules/alerting_keys.h"
#include "config/lists/root_keys.h"

enum err
alerting_yaml(const char *file_name, struct bytes text, const struct settings *settings,
              struct alerting *ret_alerting, struct why *why)
{
    struct alerting read = {NULL};
    const struct root_context root = {settings, file_name, NULL};
    struct arena *arena;
    enum err e = root_keys_yaml(&alerting_root_schema, &root, text, &read, &arena, why);
    if (e) return e;
    read.arena = arena;
    for (uint32_t i = 0; e == OK && i < read.count; i++) {
        e = schema_hash(&alertmanager_schema, 0, &read.items[i], &read.items[i].hash);
    }
    if (e == OK)
        *ret_alerting = read;
    else
        alerting_free(&read);
    return e ? why_set(why, e, "%s: not enough memory", file_name) : OK;
}

void
alerting_print_yaml(const struct alerting *alerting, struct buf *to)
{
    enum { KEYS_INDENT = 4 };
    schema_print(to, &alerting_schema, 0, alerting, KEYS_INDENT, false);
}

bool
alerting_equal(const struct alerting *a, const struct alerting *b)
{
    return schema_equal(&alerting_schema, 0, a, b);
}
