/*
 * config_fuzz.c - reads any text as a configuration file: it is refused with a reason and without
 * side effects, or accepted, and then its printed form has the same meaning. The same holds for its
 * lists.
 */
#include <assert.h>

#include "config/config_check.h"
#include "config/lists/client_texts.h"
#include "config/lists/lists.h"
#include "config/schema/text.h"
#include "wire/yaml/yaml_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_same(const struct settings *a, const struct settings *b)
{
    for (const struct setting *s = settings_table(); s->name != NULL; s++)
        if (s->type == SETTING_TEXT)
            assert(strcmp(setting_text(s, a), setting_text(s, b)) == 0);
        else
            assert(setting_number(s, a) == setting_number(s, b));
}

static void
check_settings(const struct settings *settings)
{
    struct settings again;
    struct why why;
    struct buf text;
    settings_default(&again);
    buf_init(&text, NULL, 1 << 16);
    settings_print_yaml(settings, NULL, NULL, NULL, &text);
    assert(buf_error(&text) == OK);
    enum err e = settings_yaml(&again, "printed.yml", buf_bytes(&text), &why);
    assert(e == OK);
    check_same(settings, &again);
    buf_fini(&text);
}

/* Secrets are not printed, so only the printed form must be the same again. */
static void
check_printed_destinations(const struct destinations *list, const struct settings *settings)
{
    struct destinations again;
    struct why why;
    struct buf text, text_again;
    buf_init(&text, NULL, 64 << 20);
    buf_init(&text_again, NULL, 64 << 20);
    destinations_print_yaml(list, &text);
    assert(buf_error(&text) == OK);
    if (text.size <= CONFIG_BYTES_MAX) { /* defaults may make it longer than the limit of files */
        enum err e = destinations_yaml("printed.yml", buf_bytes(&text), settings, &again, &why);
        assert(e == OK);
        destinations_print_yaml(&again, &text_again);
        assert(bytes_equal(buf_bytes(&text), buf_bytes(&text_again)));
        destinations_free(&again);
    }
    buf_fini(&text);
    buf_fini(&text_again);
}

static void
check_destinations(struct bytes text, const struct settings *settings)
{
    struct destinations list, again;
    struct why why = {""};
    enum err e = destinations_yaml("fuzz.yml", text, settings, &list, &why);
    if (e) {
        assert(why.text[0] != 0);
        return;
    }
    e = destinations_yaml("fuzz.yml", text, settings, &again, &why);
    assert(e == OK);
    assert(list.count == again.count);
    for (uint32_t i = 0; i < list.count; i++)
        assert(destination_settings_equal(&list.items[i], &again.items[i]));
    destinations_free(&again);
    check_printed_destinations(&list, settings);
    destinations_free(&list);
}

static void
check_printed_sources(const struct sources *list, const struct settings *settings)
{
    struct sources again;
    struct why why;
    struct buf text, text_again;
    buf_init(&text, NULL, 64 << 20);
    buf_init(&text_again, NULL, 64 << 20);
    sources_print_yaml(list, &text);
    assert(buf_error(&text) == OK);
    if (text.size <= CONFIG_BYTES_MAX) {
        enum err e = sources_yaml("printed.yml", buf_bytes(&text), settings, &again, &why);
        assert(e == OK);
        sources_print_yaml(&again, &text_again);
        assert(bytes_equal(buf_bytes(&text), buf_bytes(&text_again)));
        sources_free(&again);
    }
    buf_fini(&text);
    buf_fini(&text_again);
}

static void
check_sources(struct bytes text, const struct settings *settings)
{
    struct sources list, again;
    struct why why = {""};
    enum err e = sources_yaml("fuzz.yml", text, settings, &list, &why);
    if (e) {
        assert(why.text[0] != 0);
        return;
    }
    e = sources_yaml("fuzz.yml", text, settings, &again, &why);
    assert(e == OK);
    assert(list.count == again.count);
    for (uint32_t i = 0; i < list.count; i++)
        assert(source_settings_equal(&list.items[i], &again.items[i]));
    sources_free(&again);
    check_printed_sources(&list, settings);
    e = sources_check(&list, settings, &(struct listener_list){NULL}, &why);
    assert(e == OK || e == ERR_INPUT);
    sources_free(&list);
}

/* True if both are printed as the same. */
static bool
rule_settings_equal(const struct rule_settings *a, const struct rule_settings *b)
{
    struct buf one, other;
    buf_init(&one, NULL, CONFIG_BYTES_MAX * 8);
    buf_init(&other, NULL, CONFIG_BYTES_MAX * 8);
    rule_settings_print_yaml(a, &one);
    rule_settings_print_global(a, &one);
    rule_settings_print_yaml(b, &other);
    rule_settings_print_global(b, &other);
    bool same = bytes_equal(buf_bytes(&one), buf_bytes(&other));
    buf_fini(&one);
    buf_fini(&other);
    return same;
}

/* Checks the rules, which are between settings. */
static void
check_rules(struct bytes text, const struct settings *settings)
{
    struct rule_settings rules, again;
    struct why why = {""};
    struct buf printed;
    enum err e = rule_settings_yaml("fuzz.yml", text, settings, &rules, &why);
    if (e) {
        assert(why.text[0] != 0);
        return;
    }
    buf_init(&printed, NULL, 64 << 20);
    settings_print_yaml(settings, &rules, NULL, NULL, &printed);
    assert(buf_error(&printed) == OK);
    if (printed.size <= CONFIG_BYTES_MAX) {
        e = rule_settings_yaml("printed.yml", buf_bytes(&printed), settings, &again, &why);
        assert(e == OK);
        assert(rule_settings_equal(&rules, &again));
        rule_settings_free(&again);
    }
    buf_fini(&printed);
    rule_settings_free(&rules);
}

static void
check_printed_alerting(const struct alerting *alerting, const struct settings *settings)
{
    struct alerting again;
    struct why why;
    struct buf text, text_again;
    buf_init(&text, NULL, 64 << 20);
    buf_init(&text_again, NULL, 64 << 20);
    settings_print_yaml(settings, NULL, alerting, NULL, &text);
    assert(buf_error(&text) == OK);
    if (text.size <= CONFIG_BYTES_MAX) {
        enum err e = alerting_yaml("printed.yml", buf_bytes(&text), settings, &again, &why);
        assert(e == OK);
        settings_print_yaml(settings, NULL, &again, NULL, &text_again);
        assert(bytes_equal(buf_bytes(&text), buf_bytes(&text_again)));
        alerting_free(&again);
    }
    buf_fini(&text);
    buf_fini(&text_again);
}

static void
check_alerting(struct bytes text, const struct settings *settings)
{
    struct alerting alerting, again;
    struct why why = {""};
    enum err e = alerting_yaml("fuzz.yml", text, settings, &alerting, &why);
    if (e) {
        assert(why.text[0] != 0);
        return;
    }
    e = alerting_yaml("fuzz.yml", text, settings, &again, &why);
    assert(e == OK);
    assert(schema_equal(&alerting_schema, 0, &alerting, &again));
    for (uint32_t i = 0; i < alerting.count; i++)
        assert(alerting.items[i].hash == again.items[i].hash);
    alerting_free(&again);
    check_printed_alerting(&alerting, settings);
    alerting_free(&alerting);
}

static void
check_retention(struct bytes text, const struct settings *settings)
{
    struct retention_rules rules, again;
    struct why why = {""};
    struct buf printed, printed_again;
    enum err e = retention_rules_yaml("fuzz.yml", text, settings, &rules, &why);
    if (e) {
        assert(why.text[0] != 0);
        return;
    }
    buf_init(&printed, NULL, 64 << 20);
    buf_init(&printed_again, NULL, 64 << 20);
    settings_print_yaml(settings, NULL, NULL, &rules, &printed);
    assert(buf_error(&printed) == OK);
    if (printed.size <= CONFIG_BYTES_MAX) {
        e = retention_rules_yaml("printed.yml", buf_bytes(&printed), settings, &again, &why);
        assert(e == OK);
        settings_print_yaml(settings, NULL, NULL, &again, &printed_again);
        assert(bytes_equal(buf_bytes(&printed), buf_bytes(&printed_again)));
        retention_rules_free(&again);
    }
    buf_fini(&printed);
    buf_fini(&printed_again);
    retention_rules_free(&rules);
}

static void
check_downsampling(struct bytes text, const struct settings *settings)
{
    struct downsampling_rules rules, again;
    struct tsdb_limits limits = {.level_count = 0};
    struct why why = {""};
    struct buf printed, printed_again;
    enum err e = downsampling_rules_yaml("fuzz.yml", text, settings, &rules, &why);
    if (e) {
        assert(why.text[0] != 0);
        return;
    }
    e = downsampling_levels_make(&rules, &limits, &why);
    assert(e == OK);
    for (uint32_t i = 1; i < limits.level_count; i++)
        assert(limits.levels[i].resolution_ms % limits.levels[i - 1].resolution_ms == 0);
    tsdb_limits_drop_rules(&limits);
    buf_init(&printed, NULL, 64 << 20);
    buf_init(&printed_again, NULL, 64 << 20);
    downsampling_rules_print_yaml(&rules, &printed);
    assert(buf_error(&printed) == OK);
    if (printed.size <= CONFIG_BYTES_MAX) {
        e = downsampling_rules_yaml("printed.yml", buf_bytes(&printed), settings, &again, &why);
        assert(e == OK);
        downsampling_rules_print_yaml(&again, &printed_again);
        assert(bytes_equal(buf_bytes(&printed), buf_bytes(&printed_again)));
        downsampling_rules_free(&again);
    }
    buf_fini(&printed);
    buf_fini(&printed_again);
    downsampling_rules_free(&rules);
}

/* Checks that the printed form is read to the same. Secrets are not printed, and <secret> is not a
 * valid hash or token. */
static void
check_printed_access(const struct access_settings *access, const struct settings *settings)
{
    struct access_settings again = {.file_name = ""};
    struct why why;
    struct buf text, text_again;
    buf_init(&text, NULL, 64 << 20);
    buf_init(&text_again, NULL, 64 << 20);
    access_settings_print_yaml(access, &text);
    assert(buf_error(&text) == OK);
    bool has_secret = text.size > 0 && memmem(text.at, text.size, "<secret>", 8) != NULL;
    if (text.size <= CONFIG_BYTES_MAX && !has_secret) {
        enum err e = access_settings_yaml("printed.yml", buf_bytes(&text), settings, &again, &why);
        assert(e == OK);
        access_settings_print_yaml(&again, &text_again);
        assert(bytes_equal(buf_bytes(&text), buf_bytes(&text_again)));
        access_settings_free(&again);
    }
    buf_fini(&text);
    buf_fini(&text_again);
}

static void
check_access(struct bytes text, const struct settings *settings)
{
    struct access_settings access, again;
    struct why why = {""};
    struct buf warnings;
    enum err e = access_settings_yaml("fuzz.yml", text, settings, &access, &why);
    if (e) {
        assert(why.text[0] != 0);
        return;
    }
    e = access_settings_yaml("fuzz.yml", text, settings, &again, &why);
    assert(e == OK);
    check_printed_access(&access, settings);
    e = access_settings_merge(&access, settings, NULL, bytes_of("", 0), &why);
    assert(e == OK || (e == ERR_INPUT && why.text[0] != 0));
    enum err e_again = access_settings_merge(&again, settings, NULL, bytes_of("", 0), &why);
    assert(e == e_again);
    assert(access_settings_equal(&access, &again));
    assert(access_settings_check_reload(&access, &again, NULL) == OK);
    buf_init(&warnings, NULL, 1 << 20);
    access_settings_warn(&access, &warnings);
    buf_fini(&warnings);
    access_settings_free(&again);
    access_settings_free(&access);
}

static void
check_relabel_text(struct bytes text)
{
    struct relabel_text rules;
    struct why why = {""};
    enum err e = relabel_text_yaml(text, &rules, &why);
    assert(e == OK || why.text[0] != 0);
    if (e == OK) relabel_text_free(&rules);
}

static enum err
read_whole(struct bytes text, struct why *why)
{
    struct settings settings;
    struct config_lists lists = {.destinations = {NULL}};
    struct why other = {""};
    settings_default(&settings);
    enum err e = settings_yaml(&settings, "fuzz.yml", text, why);
    if (!reader_goes_on(e)) return e;
    enum err more = config_lists_yaml("fuzz.yml", text, &settings, &lists, &other);
    if (more == OK) config_lists_free(&lists);
    if (e == OK) *why = other;
    return err_first(e, more);
}

/* Checks that the collected errors include the one that ends reading otherwise. */
static void
check_errors(struct bytes text)
{
    static struct yaml_errors errors;
    struct why why = {""}, ignored = {""};
    enum err e = read_whole(text, &why);
    errors.count = 0;
    reader_collect(&errors);
    enum err collected = read_whole(text, &ignored);
    reader_collect(NULL);
    assert(e == collected);
    assert((e == OK) == (errors.count == 0));
    bool found = e == OK || errors.count > YAML_ERRORS_MAX;
    for (uint32_t i = 0; i < errors.count && !found; i++)
        found = strcmp(errors.items[i].why.text, why.text) == 0;
    assert(found);
}

/* Checks that a text is answered with errors, or with its changes from the defaults. */
static void
check_changes(struct bytes text)
{
    struct settings now;
    struct why why = {""};
    struct buf yaml, answer;
    struct json j;
    settings_default(&now);
    buf_init(&yaml, NULL, 1 << 20);
    buf_init(&answer, NULL, 64 << 20);
    settings_print_yaml(&now, NULL, NULL, NULL, &yaml);
    json_init(&j, &answer);
    const struct config_check c = {.now = &now, .now_yaml = buf_bytes(&yaml)};
    enum err e = config_check_print(&c, text, &j, &why);
    assert(e == OK || e == ERR_LIMIT);
    assert(j.done == (e == OK));
    buf_fini(&answer);
    buf_fini(&yaml);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings before, settings;
    settings_default(&before);
    settings = before;
    struct why why = {""};
    enum err e = settings_yaml(&settings, "fuzz.yml", bytes_of(data, size), &why);
    if (e) {
        assert(why.text[0] != 0);
        assert(memcmp(&settings, &before, sizeof before) == 0);
    } else {
        check_settings(&settings);
    }
    check_destinations(bytes_of(data, size), &settings);
    check_sources(bytes_of(data, size), &settings);
    check_rules(bytes_of(data, size), &settings);
    check_alerting(bytes_of(data, size), &settings);
    check_retention(bytes_of(data, size), &settings);
    check_downsampling(bytes_of(data, size), &settings);
    check_access(bytes_of(data, size), &settings);
    check_errors(bytes_of(data, size));
    check_changes(bytes_of(data, size));
    check_relabel_text(bytes_of(data, size));
    return 0;
}
