/* lists.c - see lists.h. */
#include "config/lists/lists.h"

#include "wire/yaml/yaml_reader.h"

void
config_lists_free(struct config_lists *lists)
{
    destinations_free(&lists->destinations);
    sources_free(&lists->sources);
    rule_settings_free(&lists->rules);
    alerting_free(&lists->alerting);
    access_settings_free(&lists->access);
}

/* Notes the error of one more pass, and returns the first of all passes. */
static enum err
after_pass(enum err first, enum err e, const char *file_name, const struct why *why)
{
    if (e && why != NULL) reader_note(file_name, why);
    return err_first(first, e);
}

enum err
config_lists_yaml(const char *file_name, struct bytes text, const struct settings *settings,
                  struct config_lists *ret_lists, struct why *why)
{
    struct config_lists lists = {.destinations = {NULL}};
    enum err e = destinations_yaml(file_name, text, settings, &lists.destinations, why);
    if (reader_goes_on(e)) {
        enum err one = sources_yaml(file_name, text, settings, &lists.sources, why);
        e = after_pass(e, one, file_name, why);
    }
    if (reader_goes_on(e)) {
        enum err one = rule_settings_yaml(file_name, text, settings, &lists.rules, why);
        e = after_pass(e, one, file_name, why);
    }
    if (reader_goes_on(e)) {
        enum err one = alerting_yaml(file_name, text, settings, &lists.alerting, why);
        e = after_pass(e, one, file_name, why);
    }
    if (reader_goes_on(e)) {
        enum err one = access_settings_yaml(file_name, text, settings, &lists.access, why);
        e = after_pass(e, one, file_name, why);
    }
    if (e) {
        config_lists_free(&lists);
    } else {
        *ret_lists = lists;
    }
    return e;
}

enum err
config_lists_check(const struct config_lists *lists, const struct settings *settings,
                   struct why *why)
{
    enum err e = destinations_check(&lists->destinations, settings->storage_path, why);
    return e ? e : sources_check(&lists->sources, settings, &lists->access.given.listeners, why);
}
