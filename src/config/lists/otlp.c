/* otlp.c - the section otlp: Prometheus' keys for what its receiver of OTLP makes of metrics. */
#include "config/lists/lists.h"

#include "config/lists/shared_keys.h"
#include "config/schema/schema.h"

static enum err
check_otlp(struct schema_place *place, void *base)
{
    const struct otlp_in_file *o = base;
    if (o->settings.promotes_all && schema_given(place, "promote_resource_attributes"))
        return schema_complain(place, "promote_resource_attributes",
                               "cannot be used with promote_all_resource_attributes");
    if (!o->settings.promotes_all && schema_given(place, "ignore_resource_attributes"))
        return schema_complain(place, "ignore_resource_attributes",
                               "requires promote_all_resource_attributes");
    return OK;
}

#define OTLP(f) AT(otlp_in_file, settings.f)

static const struct schema_key otlp_keys[] = {
    {"translation_strategy", SCHEMA_CHOICE, OTLP(translation),
     .fallback = "UnderscoreEscapingWithSuffixes",
     .choices = "UnderscoreEscapingWithSuffixes|UnderscoreEscapingWithoutSuffixes|"
                "NoUTF8EscapingWithSuffixes|NoTranslation",
     .help = "what names of metrics and labels become"},
    {"promote_resource_attributes", SCHEMA_TEXTS,
     ITEMS(otlp_in_file, settings.promoted.items, settings.promoted.count), .max = 1000,
     .may_be_nothing = true, .help = "attributes of resources that all their series get as labels"},
    {"promote_all_resource_attributes", SCHEMA_BOOL, OTLP(promotes_all),
     .help = "all attributes of resources become labels"},
    {"ignore_resource_attributes", SCHEMA_TEXTS,
     ITEMS(otlp_in_file, settings.ignored.items, settings.ignored.count), .max = 1000,
     .may_be_nothing = true, .help = "but these"},
    {"keep_identifying_resource_attributes", SCHEMA_BOOL, OTLP(keeps_identifying),
     .help = "target_info has service.name, service.namespace and service.instance.id, too"},
    {"convert_histograms_to_nhcb", SCHEMA_BOOL, OTLP(histograms_to_nhcb),
     .help = "histograms with bounds become native histograms with custom buckets"},
    {"promote_scope_metadata", SCHEMA_BOOL, OTLP(promotes_scope),
     .help =
         "series get the labels otel_scope_name, otel_scope_version, otel_scope_schema_url, and "
         "one for each attribute of the scope"},
    {"label_name_underscore_sanitization", SCHEMA_BOOL, OTLP(escapes_lone_underscore),
     .fallback = "true", .help = "label names that begin with one underscore get 'key' before it"},
    {"label_name_preserve_multiple_underscores", SCHEMA_BOOL, OTLP(keeps_underscores),
     .fallback = "true", .help = "several underscores in a row stay in label names"},
    {NULL},
};

_Static_assert(offsetof(struct otlp_in_file, given) == 0, "the schema says given_first");

const struct schema otlp_schema = {otlp_keys, sizeof(struct otlp_in_file), .given_first = true,
                                   .check = check_otlp};

/* The mapping is embedded in the struct itself. */
static const struct schema_key otlp_root_keys[] = {
    {"otlp", SCHEMA_MAPPING, .offset = 0, .size = sizeof(struct otlp_in_file),
     .inner = &otlp_schema,
     .help = "what metrics become that arrive by OTLP; the keys of Prometheus"},
    {NULL},
};
const struct schema otlp_root_schema = {otlp_root_keys, sizeof(struct otlp_in_file),
                                        .partial = true};

enum err
otlp_yaml(const char *file_name, struct bytes text, const struct settings *settings,
          struct otlp_in_file *ret, struct why *why)
{
    struct otlp_in_file read = {.given = false};
    const struct root_context root = {settings, file_name, NULL};
    struct arena *arena;
    enum err e = root_keys_yaml(&otlp_root_schema, &root, text, &read, &arena, why);
    if (e) return e;
    read.arena = arena;
    *ret = read;
    return OK;
}

void
otlp_free(struct otlp_in_file *otlp)
{
    root_arena_free(otlp->arena);
    *otlp = (struct otlp_in_file){.given = false};
}

bool
otlp_equal(const struct otlp_in_file *a, const struct otlp_in_file *b)
{
    if (!a->given || !b->given) return a->given == b->given;
    return schema_equal(&otlp_schema, 0, a, b);
}

void
otlp_print_yaml(const struct otlp_in_file *otlp, struct buf *to)
{
    enum { KEYS_INDENT = 2 };
    if (!otlp->given) return;
    buf_put_text(to, "otlp:\n");
    schema_print(to, &otlp_schema, 0, otlp, KEYS_INDENT, false);
}
