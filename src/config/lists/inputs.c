/* inputs.c - the sections of other protocols than remote write: otlp, with Prometheus' keys for
 * what its receiver makes of metrics, and line_listeners. */
#include "config/lists/lists.h"

#include <string.h>

#include "auth/origin.h"
#include "config/lists/shared_keys.h"
#include "config/schema/schema.h"
#include "inputs/graphite/graphite.h"

static enum err
check_otlp(struct schema_place *place, void *base)
{
    const struct inputs_in_file *o = base;
    if (o->otlp.promotes_all && schema_given(place, "promote_resource_attributes"))
        return schema_complain(place, "promote_resource_attributes",
                               "cannot be used with promote_all_resource_attributes");
    if (!o->otlp.promotes_all && schema_given(place, "ignore_resource_attributes"))
        return schema_complain(place, "ignore_resource_attributes",
                               "requires promote_all_resource_attributes");
    return OK;
}

#define OTLP(f) AT(inputs_in_file, otlp.f)

static const struct schema_key otlp_keys[] = {
    {"translation_strategy", SCHEMA_CHOICE, OTLP(translation),
     .fallback = "UnderscoreEscapingWithSuffixes",
     .choices = "UnderscoreEscapingWithSuffixes|UnderscoreEscapingWithoutSuffixes|"
                "NoUTF8EscapingWithSuffixes|NoTranslation",
     .help = "what names of metrics and labels become"},
    {"promote_resource_attributes", SCHEMA_TEXTS,
     ITEMS(inputs_in_file, otlp.promoted.items, otlp.promoted.count), .max = 1000,
     .may_be_nothing = true, .help = "attributes of resources that all their series get as labels"},
    {"promote_all_resource_attributes", SCHEMA_BOOL, OTLP(promotes_all),
     .help = "all attributes of resources become labels"},
    {"ignore_resource_attributes", SCHEMA_TEXTS,
     ITEMS(inputs_in_file, otlp.ignored.items, otlp.ignored.count), .max = 1000,
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

_Static_assert(offsetof(struct inputs_in_file, given) == 0, "the schema says given_first");

const struct schema otlp_schema = {otlp_keys, sizeof(struct inputs_in_file), .given_first = true,
                                   .check = check_otlp};

/* --- line_listeners --------------------------------------------------------------------------- */

static bool
is_own_host(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           strncmp(host, "127.", 4) == 0;
}

static enum err
check_line_listener(struct schema_place *place, void *base)
{
    const struct line_listener_settings *l = base;
    struct graphite_templates *templates;
    struct ip_network network;
    struct why why;
    char host[SETTING_TEXT_BYTES];
    uint16_t port;
    if (settings_listen_address(l->address, host, &port, &why) != OK)
        return schema_complain(place, "address", "%s", why.text);
    for (uint32_t i = 0; i < l->allow_count; i++)
        if (!network_parse(l->allow[i], &network))
            return schema_complain(place, "allow", "expected an address or a network, got '%s'",
                                   l->allow[i]);
    if (l->allow_count == 0 && !is_own_host(host))
        return schema_complain(place, "address",
                               "is not of this machine alone: 'allow' must name who may connect");
    if (l->allow_count > NETWORKS_MAX)
        return schema_complain(place, "allow", "has more than %d networks", NETWORKS_MAX);
    if (l->type != LINES_GRAPHITE && l->template_count > 0)
        return schema_complain(place, "templates", "is for type graphite");
    enum err e = graphite_templates_new(l->templates, l->template_count, l->separator, NULL,
                                        &templates, &why);
    if (e == OK) graphite_templates_free(templates);
    return e ? schema_complain(place, "templates", "%s", why.text) : OK;
}

#define LINES(f) AT(line_listener_settings, f)

static const struct schema_key line_listener_keys[] = {
    {"type", SCHEMA_CHOICE, LINES(type), .required = true, .choices = "graphite|opentsdb",
     .help = "what the lines are: Graphite's plaintext, or OpenTSDB's telnet commands"},
    {"address", SCHEMA_TEXT, LINES(address), .required = true, .max = 200, .what = "HOST:PORT",
     .help = "TCP address to listen on; of this machine alone, unless 'allow' is set"},
    {"allow", SCHEMA_TEXTS, ITEMS(line_listener_settings, allow, allow_count), .max = 64,
     .help = "networks whose clients may connect; others are disconnected"},
    {"user", SCHEMA_TEXT, LINES(user), .max = 200,
     .help = "name of the user as whom samples are written; required with users"},
    {"tenant", SCHEMA_TEXT, LINES(tenant), .max = 150,
     .help = "tenant of the samples; default: the only one of the user, or 'anonymous'"},
    {"templates", SCHEMA_TEXTS, ITEMS(line_listener_settings, templates, template_count),
     .max = 1000,
     .help = "what parts of Graphite's paths become, in the form of Telegraf; default: the path is "
             "the name"},
    {"separator", SCHEMA_TEXT, LINES(separator), .fallback = "_", .max = 20,
     .help = "what is between parts that a template joins"},
    {"max_connections", SCHEMA_COUNT, LINES(connections_max), .fallback = "256", .min = 1,
     .max = 4096, .help = "connections at one time; more are disconnected"},
    {"idle_timeout", SCHEMA_DURATION, LINES(idle_ms), .fallback = "10m", .min = SECOND,
     .max = 365 * (uint64_t)DAY, .help = "a connection that sends nothing for so long is closed"},
    {NULL},
};
static const struct schema line_listener_schema = {
    line_listener_keys, sizeof(struct line_listener_settings), .check = check_line_listener};

/* --- both ------------------------------------------------------------------------------------- */

/* The mapping of otlp is embedded in the struct itself. */
static const struct schema_key inputs_root_keys[] = {
    {"otlp", SCHEMA_MAPPING, .offset = 0, .size = sizeof(struct inputs_in_file),
     .inner = &otlp_schema,
     .help = "what metrics become that arrive by OTLP; the keys of Prometheus (restart)"},
    {"line_listeners", SCHEMA_MAPPINGS, ITEMS(inputs_in_file, lines, line_count), .max = 64,
     .inner = &line_listener_schema, .help = "listeners for lines of Graphite and OpenTSDB, over TCP (restart)"},
    {NULL},
};
const struct schema inputs_root_schema = {inputs_root_keys, sizeof(struct inputs_in_file),
                                          .partial = true};

enum err
inputs_yaml(const char *file_name, struct bytes text, const struct settings *settings,
            struct inputs_in_file *ret, struct why *why)
{
    struct inputs_in_file read = {.given = false};
    const struct root_context root = {settings, file_name, NULL};
    struct arena *arena;
    enum err e = root_keys_yaml(&inputs_root_schema, &root, text, &read, &arena, why);
    if (e) return e;
    read.arena = arena;
    *ret = read;
    return OK;
}

void
inputs_free(struct inputs_in_file *inputs)
{
    root_arena_free(inputs->arena);
    *inputs = (struct inputs_in_file){.given = false};
}

bool
inputs_equal(const struct inputs_in_file *a, const struct inputs_in_file *b)
{
    if (a->given != b->given || a->line_count != b->line_count) return false;
    for (uint32_t i = 0; i < a->line_count; i++)
        if (!schema_equal(&line_listener_schema, 0, &a->lines[i], &b->lines[i])) return false;
    return !a->given || schema_equal(&otlp_schema, 0, a, b);
}

void
inputs_print_yaml(const struct inputs_in_file *inputs, struct buf *to)
{
    enum { KEYS_INDENT = 2 };
    if (inputs->given) {
        buf_put_text(to, "otlp:\n");
        schema_print(to, &otlp_schema, 0, inputs, KEYS_INDENT, false);
    }
    if (inputs->line_count == 0) return;
    buf_put_text(to, "line_listeners:\n");
    for (uint32_t i = 0; i < inputs->line_count; i++)
        schema_print(to, &line_listener_schema, 0, &inputs->lines[i], KEYS_INDENT, true);
}
