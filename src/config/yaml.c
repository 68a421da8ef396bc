/*
 * yaml.c - settings_yaml(): libyaml's events against the table.
 *
 * The grammar allows only what the table can express, so reading needs no stack:
 *
 *     stream    = [ document ]
 *     document  = "" | { section | other }
 *     section   = name: { key: scalar | other }
 *
 * Anything deeper is refused where it begins, so the depth of a hostile file does not matter.
 * `other` keys are skipped here: they are read in passes of their own (lists.h), because their
 * rules depend on settings that may follow them, or come from flags.
 *
 * The setting, never YAML, decides what a scalar means: `true`, `"true"` and `'true'` are the same,
 * and a path may be called 9201. Only a plain null counts as a missing value.
 */
#include <stdio.h>

#include "base/text/suggest.h"
#include "config/schema/text.h"

/* Keys that are not settings. */
static const struct {
    const char *section; /* "": the root */
    const char *name;
} others[] = {
    {"", "destinations"},
    {"", "sources"},
    {"", "downsampling"},
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
static const struct {
    const char *section, *name, *sentence;
} foreign[] = {
    {"", "scrape_configs", NO_SCRAPING},
    {"", "scrape_config_files", NO_SCRAPING},
    {"", "remote_write", "is a setting of Prometheus; use 'destinations'"},
    {"", "remote_read", "is a setting of Prometheus; use 'sources'"},
    {"", "groups",
     "belongs in a rule file: use 'firekeep check rules FILE', and name it in 'rule_files'"},
    {"", "route", NO_ROUTES},
    {"", "receivers", NO_ROUTES},
    {"", "otlp", NO_SUCH},
    {"", "tracing", NO_SUCH},
    {"", "runtime", NO_SUCH},
    {"storage", "tsdb", NO_SUCH},
    {"storage", "exemplars", NO_SUCH},
    {"global", "scrape_interval", NO_SCRAPING},
    {"global", "scrape_timeout", NO_SCRAPING},
    {"global", "scrape_protocols", NO_SCRAPING},
    {"global", "scrape_failure_log_file", NO_SCRAPING},
    {"global", "scrape_native_histograms", NO_SCRAPING},
    {"global", "always_scrape_classic_histograms", NO_SCRAPING},
    {"global", "convert_classic_histograms_to_nhcb", NO_SCRAPING},
    {"global", "extra_scrape_metrics", NO_SCRAPING},
    {"global", "metric_name_validation_scheme", NO_SCRAPING},
    {"global", "metric_name_escaping_scheme", NO_SCRAPING},
    {"global", "body_size_limit", NO_SCRAPING},
    {"global", "sample_limit", NO_SCRAPING},
    {"global", "label_limit", NO_SCRAPING},
    {"global", "label_name_length_limit", NO_SCRAPING},
    {"global", "label_value_length_limit", NO_SCRAPING},
    {"global", "target_limit", NO_SCRAPING},
    {"global", "keep_dropped_targets", NO_SCRAPING},
    {"global", "query_log_file", "is a setting of Prometheus; use 'slow_log' below 'query:'"},
};

struct settings_reader {
    struct config_reader in;
    struct settings next;
    /* Line on which setting i of the table was given, 0 if not; sections use the index of their
     * first setting. */
    size_t setting_line[SETTINGS_MAX];
    size_t section_line[SETTINGS_MAX];
    size_t other_line[OTHER_COUNT];
    const struct setting *section; /* the first setting of the current section */
};

/* --- names of sections and keys --------------------------------------------------------------- */

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

/* Returns the index of the current key in `others`, or OTHER_COUNT. */
static size_t
find_other(const struct settings_reader *r, const char *section)
{
    size_t i = 0;
    while (i < OTHER_COUNT && !(strcmp(others[i].section, section) == 0 &&
                                bytes_equal_text(reader_scalar(&r->in), others[i].name))) {
        i++;
    }
    return i;
}

/* ERR_INPUT with advice if the current key is one of Prometheus that Firekeep does not have. */
static enum err
refuse_foreign(struct settings_reader *r, const char *section)
{
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        bool same = strcmp(foreign[i].section, section) == 0 &&
                    bytes_equal_text(reader_scalar(&r->in), foreign[i].name);
        if (same) return reader_complain(&r->in, "'%s' %s", foreign[i].name, foreign[i].sentence);
    }
    return OK;
}

/* Finds the setting whose whole name, in any spelling, was given in place of a section or key. */
static const struct setting *
find_dotted(struct bytes name)
{
    for (const struct setting *s = settings_table(); s->name != NULL; s++) {
        if (suggest_is_same(name, bytes_of_text(s->name))) return s;
    }
    return NULL;
}

static enum err
refuse_dotted(struct settings_reader *r, const struct setting *s)
{
    if (s->flag_only) return reader_complain(&r->in, "--%s can only be given as a flag", s->name);
    return reader_complain(&r->in, "write %s as '%s:' with '%s:' below it",
                           shown_of(reader_scalar(&r->in)).text, names_of(s).section,
                           names_of(s).key);
}

static enum err
unknown_section(struct settings_reader *r)
{
    struct bytes name = reader_scalar(&r->in);
    const struct setting *dotted = find_dotted(name);
    if (dotted != NULL) return refuse_dotted(r, dotted);
    enum err e = refuse_foreign(r, "");
    if (e) return e;
    struct suggestion near;
    suggest_begin(&near, name);
    for (const struct setting *s = settings_table(); s->name != NULL; s++) {
        struct setting_names names = names_of(s);
        if (!s->flag_only) {
            suggest_try(&near, names.section);
        } else if (bytes_equal_text(name, names.section)) {
            return reader_complain(&r->in, "unknown key '%s': --%s can only be given as a flag",
                                   names.section, s->name);
        }
    }
    for (size_t i = 0; i < OTHER_COUNT; i++) {
        if (others[i].section[0] == '\0') suggest_try(&near, others[i].name);
    }
    struct hint hint = suggest_hint(&near, "");
    struct shown shown = shown_of(name);
    /* The key may lack its section. */
    for (const struct setting *s = settings_table(); s->name != NULL && hint.text[0] == 0; s++) {
        if (s->flag_only || !suggest_is_same(name, bytes_of_text(names_of(s).key))) continue;
        return reader_complain(&r->in, "unknown key %s; did you mean '%s' below '%s:'?", shown.text,
                               names_of(s).key, names_of(s).section);
    }
    for (size_t i = 0; i < OTHER_COUNT && hint.text[0] == 0; i++) {
        if (!suggest_is_same(name, bytes_of_text(others[i].name))) continue;
        return reader_complain(&r->in, "unknown key %s; did you mean '%s' below '%s:'?", shown.text,
                               others[i].name, others[i].section);
    }
    return reader_complain(&r->in, "unknown key %s%s", shown.text, hint.text);
}

static enum err
unknown_key(struct settings_reader *r, const struct setting *first)
{
    struct bytes name = reader_scalar(&r->in);
    const struct setting *dotted = find_dotted(name);
    struct setting_names in = names_of(first);
    if (dotted != NULL) return refuse_dotted(r, dotted);
    enum err e = refuse_foreign(r, in.section);
    if (e) return e;
    struct suggestion near;
    suggest_begin(&near, name);
    for (const struct setting *s = settings_table(); s->name != NULL; s++) {
        struct setting_names names = names_of(s);
        if (strcmp(names.section, in.section) == 0) suggest_try(&near, names.key);
    }
    for (size_t i = 0; i < OTHER_COUNT; i++) {
        if (strcmp(others[i].section, in.section) == 0) suggest_try(&near, others[i].name);
    }
    return reader_complain(&r->in, "unknown key %s in '%s'%s", shown_of(name).text, in.section,
                           suggest_hint(&near, "").text);
}

/* --- the grammar ------------------------------------------------------------------------------ */

/* Refuses a duplicate. `line` is 0 until the key was given. */
static enum err
note_line(struct settings_reader *r, size_t *line)
{
    if (*line != 0) {
        return reader_complain(&r->in, "duplicate key %s, first given on line %zu",
                               shown_of(reader_scalar(&r->in)).text, *line);
    }
    *line = r->in.event.start_mark.line + 1;
    return OK;
}

/* Skips the value of others[i], which is the current key. */
static enum err
skip_other(struct settings_reader *r, size_t i)
{
    enum err e = note_line(r, &r->other_line[i]);
    if (e == OK) e = reader_next(&r->in);
    return e ? e : reader_skip(&r->in);
}

/* Reads a key of the section, at the current event, and its value. */
static enum err
settings_read_key(struct config_reader *in, void *context)
{
    struct settings_reader *r = context;
    const struct setting_names first = names_of(r->section);
    size_t other = find_other(r, first.section);
    if (other < OTHER_COUNT) return skip_other(r, other);
    const struct setting *s = r->section;
    for (; s->name != NULL; s++) {
        struct setting_names names = names_of(s);
        bool same = strcmp(names.section, first.section) == 0;
        if (same && bytes_equal_text(reader_scalar(in), names.key)) break;
    }
    if (s->name == NULL) return unknown_key(r, r->section);
    char name[SETTING_TEXT_BYTES];
    enum err e = note_line(r, &r->setting_line[s - settings_table()]);
    if (e == OK) e = reader_next(in);
    return e ? e : reader_setting(in, s, setting_yaml_name(s, name), &r->next);
}

static enum err
read_root_key(struct config_reader *in, void *context)
{
    struct settings_reader *r = context;
    enum err e;
    size_t other = find_other(r, "");
    if (other < OTHER_COUNT) return skip_other(r, other);
    const struct setting *first = settings_table(); /* the first of the section with this name */
    while (first->name != NULL &&
           (first->flag_only || !bytes_equal_text(reader_scalar(in), names_of(first).section))) {
        first++;
    }
    if (first->name == NULL) return unknown_section(r);
    e = note_line(r, &r->section_line[first - settings_table()]);
    if (e == OK) e = reader_next(in);
    if (e || reader_is_null(in)) return e; /* a section whose keys are all commented out */
    if (in->event.type != YAML_MAPPING_START_EVENT) {
        return reader_complain(in, "'%s' expects keys below it such as '%s:', got %s",
                               names_of(first).section, names_of(first).key, reader_found(in).text);
    }
    r->section = first;
    return reader_mapping(in, settings_read_key, r);
}

static enum err
settings_read_root(struct config_reader *in, void *context)
{
    if (in->event.type == YAML_MAPPING_START_EVENT) {
        return reader_mapping(in, read_root_key, context);
    }
    return reader_complain(in, "expected sections such as 'web:', got %s", reader_found(in).text);
}

enum err
settings_yaml(struct settings *settings, const char *file_name, struct bytes text, struct why *why)
{
    struct settings_reader r = {.next = *settings};
    enum err e = reader_init(&r.in, file_name, text, CONFIG_BYTES_MAX, why);
    if (e) return e;
    e = reader_document(&r.in, settings_read_root, &r);
    /* If errors were passed over, the valid settings still serve later checks better than
     * defaults do. */
    if (e == OK || r.in.passed_over > 0) *settings = r.next;
    reader_fini(&r.in);
    return e;
}
