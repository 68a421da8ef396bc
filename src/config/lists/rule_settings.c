/*
 * rule_settings.c - reads the keys for rules, which are spread over the file's root, by one schema.
 * Without tenancy, `rule_files` belongs to a tenant without a name.
 */
#include "config/lists/lists.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/text/utf8.h"
#include "config/lists/shared_keys.h"
#include "config/schema/schema.h"
#include "sys/paths.h"

static enum err
check_root(struct schema_place *place, void *base)
{
    const struct root_context *context = schema_reader_of(place)->context;
    (void)base;
    bool tenancy = context->settings->tenancy_enabled;
    if (tenancy && schema_given(place, "rule_files")) {
        return schema_complain(place, "rule_files",
                               "tenancy.enabled is true: write it below the name of each tenant, "
                               "as 'tenants: {NAME: {rule_files: [...]}}'");
    }
    if (!tenancy && schema_given(place, "tenants")) {
        return schema_complain(place, "tenants",
                               "tenancy.enabled is false: use 'rule_files' instead");
    }
    return OK;
}

/* --- the tables ------------------------------------------------------------------------------- */

#define PATTERNS_KEY(s, f, help_)                                                              \
    {                                                                                          \
        "rule_files", SCHEMA_TEXTS, ITEMS(s, f.items, f.count),                                \
            .max = 1000, .may_be_nothing = true, .is_path = true, .check = file_pattern_check, \
            .what = "a path or pattern", .help = (help_)                                       \
    }

static const struct schema_key global_keys[] = {
    {"external_labels", SCHEMA_NAMED_TEXTS,
     ITEMS(global_in_file, external_labels.items, external_labels.count), .max = 64,
     .may_be_nothing = true, .any_control = true, .check_name = check_added_label,
     .help = "labels added to alerts that do not have them before they are sent; templates of "
             "rules see them as $externalLabels"},
    {NULL},
};
const struct schema global_schema = {global_keys, sizeof(struct global_in_file), .partial = true};

static const struct schema_key tenant_keys[] = {
    PATTERNS_KEY(tenant_rules, files,
                 "rule files of the tenant, with wildcards in the name of the file"),
    {NULL},
};
const struct schema tenant_schema = {tenant_keys, sizeof(struct tenant_rules)};

_Static_assert(offsetof(struct tenant_rules, tenant) == 0, "a map's items begin with their name");

static const struct schema_key rule_settings_root_keys[] = {
    {"global", SCHEMA_MAPPING, BELOW(rules_in_file, global, global_schema), .quiet = true,
     .may_be_nothing = true, .help = "what holds for all rules"},
    PATTERNS_KEY(rules_in_file, files,
                 "rule files, with wildcards in the name of the file; only "
                 "without `tenancy.enabled`"),
    {"tenants", SCHEMA_NAMED_MAPPINGS, ITEMS(rules_in_file, tenants, tenant_count), .max = 1000,
     .inner = &tenant_schema, .check_name = check_tenant,
     .help = "what is special to each tenant; only with `tenancy.enabled`"},
    {NULL},
};
const struct schema rules_root_schema = {rule_settings_root_keys, sizeof(struct rules_in_file),
                                         .partial = true, .check = check_root};

/* --- reading ---------------------------------------------------------------------------------- */

/*
 * Finds the $NAME or ${NAME} at the front, as Prometheus 3 does: an invalid name after a brace is
 * dropped, and a dollar before anything else is literal. Returns its length; 0: not a variable.
 */
static size_t
variable_at(const char *text, struct bytes *ret_name)
{
    size_t size = 0;
    *ret_name = (struct bytes){NULL, 0};
    if (text[0] != '$') return 0;
    if (text[1] == '{') {
        const char *end = strchr(text, '}');
        if (end == NULL) return 2;
        *ret_name = bytes_of(text + 2, (size_t)(end - text) - 2);
        return (size_t)(end - text) + 1;
    }
    if (text[1] != '\0' && strchr("*#$@!?-0123456789", text[1]) != NULL)
        size = 1;
    else
        while (isalnum((unsigned char)text[1 + size]) || text[1 + size] == '_')
            size++;
    *ret_name = bytes_of(text + 1, size);
    return size == 0 ? 0 : size + 1;
}

static enum err
put_variable(struct rule_settings *rules, struct bytes name, struct buf *to)
{
    if (name.size == 0) return OK;
    if (bytes_equal_text(name, "$")) {
        buf_put_u8(to, '$');
        return OK;
    }
    char *word = arena_new(rules->arena, name.size + 1);
    if (word == NULL) return ERR_NOMEM;
    memcpy(word, name.at, name.size);
    const char *value = getenv(word);
    if (value != NULL) buf_put_text(to, value);
    bool is_set = value != NULL && *value != '\0';
    if (!is_set && rules->unset_variable == NULL) rules->unset_variable = word;
    return OK;
}

/* ERR_INPUT: the expanded text cannot be a label's value. */
static enum err
expand_variables(struct rule_settings *rules, const char *text, struct buf *to)
{
    enum err e = OK;
    while (e == OK && *text != '\0') {
        struct bytes name;
        size_t size = variable_at(text, &name);
        if (size == 0) buf_put_u8(to, (uint8_t)*text);
        if (size > 0) e = put_variable(rules, name, to);
        text += size == 0 ? 1 : size;
    }
    if (e == OK) e = buf_error(to) == ERR_LIMIT ? ERR_INPUT : buf_error(to);
    bool is_label = to->size <= SCHEMA_TEXT_BYTES_MAX && utf8_valid(buf_bytes(to));
    return e == OK && !is_label ? ERR_INPUT : e;
}

static enum err
expand_labels(struct rule_settings *rules, const char *file_name, struct why *why)
{
    struct named_texts *to = &rules->external_labels;
    const struct named_texts *given = &rules->given_labels;
    struct buf value;
    enum err e = OK;
    if (given->count == 0) return OK;
    to->items = arena_alloc(rules->arena, given->count * sizeof *to->items);
    if (to->items == NULL) return ERR_NOMEM;
    buf_init(&value, NULL, SCHEMA_TEXT_BYTES_MAX + 1); /* with a NUL */
    for (uint32_t i = 0; e == OK && i < given->count; i++) {
        const struct named_text *label = &given->items[i];
        buf_clear(&value);
        e = expand_variables(rules, label->value, &value);
        if (e == ERR_INPUT) {
            why_set(why, e,
                    "%s: global.external_labels: %s is not UTF-8 or longer than %d bytes with the "
                    "environment variables of its value",
                    file_name, label->name, SCHEMA_TEXT_BYTES_MAX);
        }
        if (e || value.size == 0) continue;
        buf_put_u8(&value, '\0');
        struct bytes kept = arena_copy(rules->arena, buf_bytes(&value));
        if (kept.at == NULL) e = ERR_NOMEM;
        to->items[to->count++] = (struct named_text){label->name, (const char *)kept.at};
    }
    buf_fini(&value);
    return e;
}

/* Converts the keys read into the settings for other folders. */
static enum err
convert_keys(const struct rules_in_file *read, const char *file_name, struct rule_settings *rules,
             struct why *why)
{
    rules->given_labels = read->global.external_labels;
    named_texts_sort(&rules->given_labels);
    enum err e = expand_labels(rules, file_name, why);
    if (e) return e;
    rules->tenants = read->tenants;
    rules->tenant_count = read->tenant_count;
    if (read->files.count > 0) {
        struct tenant_rules *one = arena_alloc(rules->arena, sizeof *one);
        if (one == NULL) return ERR_NOMEM;
        *one = (struct tenant_rules){.tenant = "", .files = read->files};
        rules->tenants = one;
        rules->tenant_count = 1;
    }
    return OK;
}

void
rule_settings_free(struct rule_settings *settings)
{
    if (settings == NULL) return;
    root_arena_free(settings->arena);
    *settings = (struct rule_settings){NULL};
}

enum err
rule_settings_yaml(const char *file_name, struct bytes text, const struct settings *settings,
                   struct rule_settings *ret_rules, struct why *why)
{
    struct rules_in_file read = {.files = {NULL}};
    struct rule_settings rules = {NULL};
    const struct root_context root = {settings, file_name, NULL};
    enum err e = root_keys_yaml(&rules_root_schema, &root, text, &read, &rules.arena, why);
    if (e) return e;
    e = convert_keys(&read, file_name, &rules, why);
    if (e) {
        rule_settings_free(&rules);
        return e == ERR_NOMEM ? why_set(why, e, "%s: not enough memory", file_name) : e;
    }
    *ret_rules = rules;
    return OK;
}

/* --- settings --------------------------------------------------------------------------------- */

static struct rules_in_file
in_file(const struct rule_settings *rules)
{
    struct rules_in_file file = {.global = {rules->given_labels}};
    if (rules->tenant_count == 1 && rules->tenants[0].tenant[0] == '\0') {
        file.files = rules->tenants[0].files;
    } else {
        file.tenants = rules->tenants;
        file.tenant_count = rules->tenant_count;
    }
    return file;
}

void
rule_settings_print_yaml(const struct rule_settings *rules, struct buf *to)
{
    struct rules_in_file file = in_file(rules);
    file.global = (struct global_in_file){.external_labels = {NULL}};
    schema_print(to, &rules_root_schema, 0, &file, 0, false);
}

void
rule_settings_print_global(const struct rule_settings *rules, struct buf *to)
{
    enum { KEYS_INDENT = 4 };
    struct rules_in_file file = in_file(rules);
    schema_print(to, &global_schema, 0, &file.global, KEYS_INDENT, false);
}
