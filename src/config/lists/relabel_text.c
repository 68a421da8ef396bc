/* relabel_text.c - see relabel_text.h. */
#include "config/lists/relabel_text.h"

#include "config/lists/root_keys.h"
#include "config/lists/shared_keys.h"

#define LIST(name_)                                                            \
    {                                                                          \
        name_, SCHEMA_MAPPINGS, ITEMS(relabel_text, specs, count),             \
            .max = RELABEL_TEXT_RULES_MAX, .group = 1, .may_be_nothing = true, \
            .inner = &relabel_schema, .help = "rules"                          \
    }

static const struct schema_key keys[] = {
    LIST("relabel"),
    LIST("relabel_configs"),
    LIST("write_relabel_configs"),
    LIST("metric_relabel_configs"),
    LIST("alert_relabel_configs"),
    {NULL},
};
static const struct schema schema = {keys, sizeof(struct relabel_text)};

enum err
relabel_text_yaml(struct bytes yaml, struct relabel_text *ret_text, struct why *why)
{
    struct relabel_text text = {NULL};
    const struct root_context root = {.file_name = "rules"};
    enum err e = root_keys_yaml(&schema, &root, yaml, &text, &text.arena, why);
    if (e == OK) *ret_text = text;
    return e;
}

void
relabel_text_free(struct relabel_text *text)
{
    root_arena_free(text->arena);
    *text = (struct relabel_text){NULL};
}
