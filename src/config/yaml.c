/*
 * yaml.c - settings_yaml(): tables for config/schema, made from the table of settings. A section is
 * a mapping of the root; deeper ones are refused where they begin.
 *
 * Keys that are not settings are skipped here: they are read in passes of their own (lists.h),
 * because their rules depend on settings that may follow them, or come from flags.
 *
 * The setting, never YAML, decides what a scalar means: `true`, `"true"` and `'true'` are the same,
 * and a path may be called 9201. Only a plain null counts as a missing value.
 */
#include <assert.h>
#include <stdio.h>

#include "base/text/suggest.h"
#include "config/schema/schema.h"

/* Keys that are not settings. */
static const struct {
    const char *section; /* "": the root */
    const char *name;
} others[] = {
    {"", "destinations"},
    {"", "sources"},
    {"", "downsampling"},
    {"", "object_storage"},
    {"", "otlp"},
    {"", "line_listeners"},
    {"", "rule_files"},
    {"", "tenants"},
    {"", "tls_server_config"},
    {"", "http_server_config"},
    {"", "basic_auth_users"},
    {"", "rate_limit"},
    {"", "listeners"},
    {"", "users"},
    {"global", "external_labels"},
    {"alerting", "alertmanagers"},
    {"alerting", "alert_relabel_configs"},
    {"alerting", "tenant_label"},
    {"retention", "rules"},
};
enum { OTHER_COUNT = sizeof others / sizeof *others };

/* Keys of Prometheus that Firekeep does not have, with advice for a migrated file. */
#define NO_SCRAPING \
    "is a setting of Prometheus' scraping; Firekeep does not scrape targets: remove it"
#define NO_SUCH   "is a setting of Prometheus that Firekeep does not have: remove it"
#define NO_ROUTES "is a setting of Alertmanager: run one, and name it in 'alerting'"
static const struct schema_refusal foreign_root[] = {
    {"config", "can only be given as the flag --config.file"},
    {"scrape_configs", NO_SCRAPING},
    {"scrape_config_files", NO_SCRAPING},
    {"remote_write", "is a setting of Prometheus; use 'destinations'"},
    {"remote_read", "is a setting of Prometheus; use 'sources'"},
    {"groups",
     "belongs in a rule file: use 'firekeep check rules FILE', and name it in 'rule_files'"},
    {"route", NO_ROUTES},
    {"receivers", NO_ROUTES},
    {"tracing", NO_SUCH},
    {"runtime", NO_SUCH},
    {NULL},
};
static const struct schema_refusal foreign_storage[] = {
    {"tsdb", NO_SUCH},
    {"exemplars", NO_SUCH},
    {NULL},
};
static const struct schema_refusal foreign_global[] = {
    {"scrape_interval", NO_SCRAPING},
    {"scrape_timeout", NO_SCRAPING},
    {"scrape_protocols", NO_SCRAPING},
    {"scrape_failure_log_file", NO_SCRAPING},
    {"scrape_native_histograms", NO_SCRAPING},
    {"always_scrape_classic_histograms", NO_SCRAPING},
    {"convert_classic_histograms_to_nhcb", NO_SCRAPING},
    {"extra_scrape_metrics", NO_SCRAPING},
    {"metric_name_validation_scheme", NO_SCRAPING},
    {"metric_name_escaping_scheme", NO_SCRAPING},
    {"body_size_limit", NO_SCRAPING},
    {"sample_limit", NO_SCRAPING},
    {"label_limit", NO_SCRAPING},
    {"label_name_length_limit", NO_SCRAPING},
    {"label_value_length_limit", NO_SCRAPING},
    {"target_limit", NO_SCRAPING},
    {"keep_dropped_targets", NO_SCRAPING},
    {"query_log_file", "is a setting of Prometheus; use 'slow_log' below 'query:'"},
    {NULL},
};

/* The names of a setting in a file: for web.listen-address "web" and "listen_address". */
struct setting_names {
    char section[SETTING_TEXT_BYTES], key[SETTING_TEXT_BYTES];
};

static struct setting_names
names_of(const struct setting *s)
{
    struct setting_names names;
    char *dot = strchr(setting_yaml_name(s, names.section), '.');
    snprintf(names.key, sizeof names.key, "%s", dot + 1);
    *dot = '\0';
    return names;
}

/* Refuses the whole name of a setting, in any spelling, in place of a section or key. */
static enum err
refuse_dotted(struct config_reader *in)
{
    struct bytes name = reader_scalar(in);
    for (const struct setting *s = settings_table(); s->name != NULL; s++) {
        if (!suggest_is_same(name, bytes_of_text(s->name))) continue;
        if (s->flag_only) return reader_complain(in, "--%s can only be given as a flag", s->name);
        return reader_complain(in, "write %s as '%s:' with '%s:' below it", shown_of(name).text,
                               names_of(s).section, names_of(s).key);
    }
    return OK;
}

enum { SECTIONS_MAX = 32 };

struct settings_reader {
    struct config_reader in;
    struct schema_reader reader;
    struct settings next;
    struct setting_names names[SETTINGS_MAX];
    struct schema root, sections[SECTIONS_MAX];
    struct schema_key root_keys[SECTIONS_MAX + OTHER_COUNT];
    struct schema_key keys[SETTINGS_MAX + OTHER_COUNT + SECTIONS_MAX]; /* by section */
};

/* Appends the other keys of a section; the next row ends it. */
static struct schema_key *
add_others(struct schema_key *to, const char *section)
{
    for (size_t i = 0; i < OTHER_COUNT; i++) {
        if (strcmp(others[i].section, section) != 0) continue;
        *to++ = (struct schema_key){.name = others[i].name, .kind = SCHEMA_SKIPPED};
    }
    return to;
}

/* Makes the tables: the settings of a section follow each other. */
static void
make_tables(struct settings_reader *r)
{
    struct schema_key *section = r->root_keys, *key = r->keys;
    struct setting_names *names = r->names;
    const struct setting *s = settings_table();
    while (s->name != NULL) {
        *names = names_of(s);
        const char *name = names->section;
        struct schema *schema = &r->sections[section - r->root_keys];
        *schema = (struct schema){
            .keys = key,
            .size = sizeof r->next,
            .refused = strcmp(name, "storage") == 0  ? foreign_storage
                       : strcmp(name, "global") == 0 ? foreign_global
                                                     : NULL,
            .refuse = refuse_dotted,
        };
        for (; strcmp(names->section, name) == 0; *++names = names_of(s)) {
            if (!s->flag_only)
                *key++ =
                    (struct schema_key){.name = names->key, .kind = SCHEMA_SETTING, .setting = s};
            if ((++s)->name == NULL) break;
        }
        if (key == schema->keys) continue; /* all of them are flags */
        *section++ = (struct schema_key){
            .name = name, .kind = SCHEMA_MAPPING, .inner = schema, .may_be_nothing = true};
        key = add_others(key, name) + 1;
        assert(section < r->root_keys + SECTIONS_MAX);
    }
    add_others(section, "");
    r->root = (struct schema){.keys = r->root_keys,
                              .size = sizeof r->next,
                              .refused = foreign_root,
                              .refuse = refuse_dotted};
}

static enum err
settings_read_root(struct config_reader *in, void *context)
{
    struct settings_reader *r = context;
    if (in->event.type == YAML_MAPPING_START_EVENT)
        return schema_read(&r->reader, &r->root, &r->next);
    return reader_complain(in, "expected sections such as 'web:', got %s", reader_found(in).text);
}

enum err
settings_yaml(struct settings *settings, const char *file_name, struct bytes text, struct why *why)
{
    struct settings_reader *r = mem_new(NULL, sizeof *r);
    if (r == NULL) return why_set(why, ERR_NOMEM, "%s: not enough memory", file_name);
    r->next = *settings;
    r->reader = (struct schema_reader){.in = &r->in, .list = "", .types = ""};
    make_tables(r);
    enum err e = reader_init(&r->in, file_name, text, CONFIG_BYTES_MAX, why);
    if (e == OK) {
        e = reader_document(&r->in, settings_read_root, r);
        /* If errors were passed over, the valid settings still serve later checks better than
         * defaults do. */
        if (e == OK || r->in.passed_over > 0) *settings = r->next;
        reader_fini(&r->in);
    }
    mem_free(NULL, r, sizeof *r);
    return e;
}
