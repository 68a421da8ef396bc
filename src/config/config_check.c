/* config_check.c - see config_check.h. */
#include "config/config_check.h"

#include <string.h>

#include "base/mem.h"
#include "config/compare.h"
#include "config/lists/lists.h"
#include "wire/yaml/yaml_reader.h"

enum { CHANGES_MAX = 1000, PRINTED_BYTES_MAX = 8 * CONFIG_BYTES_MAX };

/* --- errors ----------------------------------------------------------------------------------- */

/* The path of another file for web.config_file is the client's choice: messages would quote it. */
static enum err
complete_access(const struct config_check *c, const struct settings *next,
                struct config_lists *lists, struct why *why)
{
    const char *path = next->web_config_file;
    if (path[0] != '\0' && strcmp(path, c->now->web_config_file) != 0) return OK;
    return access_settings_complete(&lists->access, next, why);
}

/* Reads the text like a start; errors are collected. */
static enum err
load(const struct config_check *c, const char *name, struct bytes text, struct settings *next,
     struct config_lists *lists, struct yaml_errors *errors, struct why *why)
{
    reader_collect(errors);
    enum err e = settings_load_text(next, lists, name, text, c->flag_count, c->flag_words, why);
    if (e == OK) e = complete_access(c, next, lists, why);
    if (e == OK) e = config_lists_check(lists, next, why);
    if (e) reader_note(name, why);
    reader_collect(NULL);
    return e;
}

static void
put_error(struct json *j, const char *name, const struct yaml_error *error)
{
    const char *message = error->why.text;
    char place[SETTING_TEXT_BYTES + 64];
    int size = snprintf(place, sizeof place, "%s:%zu:%zu: ", name, error->line, error->column);
    if (strncmp(message, place, (size_t)size) == 0) message += size;
    json_object_open(j);
    json_member_uint(j, "line", error->line); /* 0: it concerns all of the text */
    json_member_uint(j, "column", error->column);
    json_member_text(j, "message", message);
    json_object_close(j);
}

static void
put_errors(struct json *j, const char *name, const struct yaml_errors *errors)
{
    uint32_t shown = errors->count < YAML_ERRORS_MAX ? errors->count : YAML_ERRORS_MAX;
    json_member_uint(j, "errorsLeftOff", errors->count - shown);
    json_member_array(j, "errors");
    for (uint32_t i = 0; i < shown; i++) {
        put_error(j, name, &errors->items[i]);
    }
    json_array_close(j);
}

/* --- changes ---------------------------------------------------------------------------------- */

struct change_list {
    struct json *json;
    uint32_t count;
    bool needs_restart;
};

static void
put_change(void *context, const struct config_difference *d)
{
    struct change_list *c = context;
    c->needs_restart |= d->needs_restart;
    if (c->count++ >= CHANGES_MAX) return;
    json_object_open(c->json);
    json_member_text(c->json, "key", d->key);
    if (d->old_value != NULL) json_member_text(c->json, "old", d->old_value);
    if (d->new_value != NULL) json_member_text(c->json, "new", d->new_value);
    json_member_bool(c->json, "needsRestart", d->needs_restart);
    json_object_close(c->json);
}

/* Writes the differences from the configuration in force, in the order of keys. */
static enum err
put_changes(const struct config_check *c, const struct settings *next,
            const struct config_lists *lists, struct json *j, struct why *why)
{
    struct buf yaml;
    struct change_list changes = {.json = j};
    buf_init(&yaml, c->budget, PRINTED_BYTES_MAX);
    settings_print_yaml(next, &lists->rules, &lists->alerting, &lists->retention, &yaml);
    downsampling_rules_print_yaml(&lists->downsampling, &yaml);
    access_settings_print_yaml(&lists->access, &yaml);
    destinations_print_yaml(&lists->destinations, &yaml);
    sources_print_yaml(&lists->sources, &yaml);
    enum err e = why_set(why, buf_error(&yaml), "not enough memory to compare configurations");
    json_member_array(j, "changes");
    if (e == OK) {
        e = config_compare(c->now_yaml, buf_bytes(&yaml), c->budget, put_change, &changes, why);
    }
    json_array_close(j);
    json_member_uint(j, "changesLeftOff",
                     changes.count > CHANGES_MAX ? changes.count - CHANGES_MAX : 0);
    json_member_bool(j, "needsRestart", changes.needs_restart);
    buf_fini(&yaml);
    return e;
}

enum err
config_check_print(const struct config_check *c, struct bytes text, struct json *j, struct why *why)
{
    struct settings next;
    struct config_lists lists = {.destinations = {NULL}};
    /* Relative paths begin at the directory of the file in force. */
    const char *name = c->now->config_file[0] == '\0' ? "firekeep.yml" : c->now->config_file;
    struct yaml_errors *errors = mem_new(c->budget, sizeof *errors);
    if (errors == NULL) return why_set(why, ERR_NOMEM, "not enough memory to check a text");
    enum err e = load(c, name, text, &next, &lists, errors, why);
    bool is_answer = e != ERR_NOMEM && e != ERR_LIMIT;
    if (is_answer) {
        json_object_open(j);
        json_member_bool(j, "valid", e == OK);
        put_errors(j, name, errors);
        e = e == OK ? put_changes(c, &next, &lists, j, why) : OK;
        json_object_close(j);
    }
    config_lists_free(&lists);
    mem_free(c->budget, errors, sizeof *errors);
    return e;
}

enum err
config_plan_rules(const char *file_name, struct bytes text, int flag_count, char *const *flag_words,
                  struct tsdb_limits *ret_limits, struct why *why)
{
    struct settings next;
    struct config_lists lists = {.destinations = {NULL}};
    enum err e = settings_load_text(&next, &lists, file_name, text, flag_count, flag_words, why);
    if (e == OK) e = downsampling_levels_make(&lists.downsampling, ret_limits, why);
    if (e == OK) {
        e = retention_rules_plan(&lists.retention, &next, &ret_limits->retention_rules, why);
    }
    config_lists_free(&lists);
    return e;
}
