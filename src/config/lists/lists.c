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
    retention_rules_free(&lists->retention);
    downsampling_rules_free(&lists->downsampling);
    object_storage_free(&lists->objects);
    inputs_free(&lists->inputs);
    access_settings_free(&lists->access);
}

struct list_pass {
    const char *file_name;
    const struct why *why;
};

/* Notes the error of one more pass, and returns the first of all passes. */
static enum err
after_pass(enum err first, enum err e, const struct list_pass *in)
{
    if (e && in->why != NULL) reader_note(in->file_name, in->why);
    return err_first(first, e);
}

enum err
config_lists_yaml(const char *file_name, struct bytes text, const struct settings *settings,
                  struct config_lists *ret_lists, struct why *why)
{
    struct config_lists lists = {.destinations = {NULL}};
    const struct list_pass in = {file_name, why};
    enum err e = destinations_yaml(file_name, text, settings, &lists.destinations, why);
    if (reader_goes_on(e))
        e = after_pass(e, sources_yaml(file_name, text, settings, &lists.sources, why), &in);
    if (reader_goes_on(e))
        e = after_pass(e, rule_settings_yaml(file_name, text, settings, &lists.rules, why), &in);
    if (reader_goes_on(e))
        e = after_pass(e, alerting_yaml(file_name, text, settings, &lists.alerting, why), &in);
    if (reader_goes_on(e))
        e = after_pass(e, retention_rules_yaml(file_name, text, settings, &lists.retention, why),
                       &in);
    if (reader_goes_on(e))
        e = after_pass(
            e, downsampling_rules_yaml(file_name, text, settings, &lists.downsampling, why), &in);
    if (reader_goes_on(e))
        e = after_pass(e, object_storage_yaml(file_name, text, settings, &lists.objects, why), &in);
    if (reader_goes_on(e))
        e = after_pass(e, inputs_yaml(file_name, text, settings, &lists.inputs, why), &in);
    if (reader_goes_on(e))
        e = after_pass(e, access_settings_yaml(file_name, text, settings, &lists.access, why), &in);
    if (e)
        config_lists_free(&lists);
    else
        *ret_lists = lists;
    return e;
}

/*
 * Without a log, samples that no sender waits for would be lost: those of rules, and those that a
 * destination is to get later. A writer of objects or files collects samples for minutes.
 */
static enum err
check_unlogged(const struct config_lists *lists, const struct settings *settings, struct why *why)
{
    static const char with[] = "wal.ack=destination";
    if (lists->rules.tenant_count > 0 || settings->rules_api) {
        return why_set(why, ERR_INPUT,
                       "rules cannot be evaluated with %s: their results need a log", with);
    }
    if (settings->self_scrape_interval_ms > 0) {
        return why_set(why, ERR_INPUT,
                       "self-scrape.interval cannot be set with %s: its samples need a log", with);
    }
    if (lists->inputs.line_count > 0)
        return why_set(
            why, ERR_INPUT,
            "line_listeners cannot be used with %s: lines are not answered, and need a log", with);
    for (uint32_t i = 0; i < lists->destinations.count; i++) {
        const struct destination_settings *d = &lists->destinations.items[i];
        if (d->type == DESTINATION_S3 || d->type == DESTINATION_FILE) {
            return why_set(why, ERR_INPUT,
                           "destination %s: type %s cannot be used with %s: it collects samples "
                           "for a while before it writes them",
                           d->name, destination_type_word(d->type), with);
        }
        if (d->dry_run) {
            return why_set(why, ERR_INPUT,
                           "destination %s: dry_run cannot be used with %s: no sample would reach "
                           "it",
                           d->name, with);
        }
        if (d->retry.give_up_after_ms > 0) {
            return why_set(why, ERR_INPUT,
                           "destination %s: retry.give_up_after cannot be used with %s: "
                           "wal.ack-timeout decides",
                           d->name, with);
        }
    }
    return OK;
}

/* A reader has buckets, which others write. */
static enum err
check_reader(const struct config_lists *lists, struct why *why)
{
    bool is_reader = lists->destinations.count == 0 && lists->sources.count > 0;
    for (uint32_t i = 0; i < lists->sources.count; i++)
        is_reader &= lists->sources.items[i].type == SOURCE_BUCKET;
    if (is_reader) return OK;
    return why_set(why, ERR_INPUT,
                   "storage.mode=reader requires sources of type bucket, and nothing else: with "
                   "other sources, or destinations, use storage.mode=none");
}

/* With users, each listener needs one that may write. Users of the file for web.config.file are
 * known when all settings are complete. */
static enum err
check_listeners(const struct config_lists *lists, const struct settings *settings, struct why *why)
{
    const struct access_settings *access = &lists->access;
    const struct user_list *users = access->users.count > 0 ? &access->users : &access->given.users;
    bool may_be_others = access->users.count == 0 && settings->web_config_file[0] != '\0';
    for (uint32_t i = 0; i < lists->inputs.line_count && users->count > 0; i++) {
        const struct line_listener_settings *l = &lists->inputs.lines[i];
        const struct user_settings *user = NULL;
        for (uint32_t k = 0; k < users->count && l->user != NULL; k++)
            if (strcmp(users->items[k].name, l->user) == 0) user = &users->items[k];
        if (l->user == NULL)
            return why_set(why, ERR_INPUT, "line_listeners: %s needs 'user', as there are users",
                           l->address);
        if (user == NULL && !may_be_others)
            return why_set(why, ERR_INPUT, "line_listeners: %s: there is no user '%s'", l->address,
                           l->user);
        if (user != NULL && (user->permissions & PERMISSION_WRITE) == 0)
            return why_set(why, ERR_INPUT, "line_listeners: %s: user '%s' may not write",
                           l->address, l->user);
    }
    return OK;
}

enum err
config_lists_check(const struct config_lists *lists, const struct settings *settings,
                   struct why *why)
{
    enum err e = destinations_check(&lists->destinations, settings->storage_path, why);
    if (e == OK && settings->storage_mode != STORAGE_LOCAL && lists->downsampling.count > 0)
        e = why_set(why, ERR_INPUT, "downsampling requires storage.mode=local");
    if (e == OK && settings->storage_mode != STORAGE_LOCAL && lists->objects.given)
        e = why_set(why, ERR_INPUT, "object_storage requires storage.mode=local");
    if (e == OK && settings->storage_mode == STORAGE_READER) e = check_reader(lists, why);
    if (e == OK && settings->retention_size_bytes > 0 && lists->objects.given)
        e = why_set(why, ERR_INPUT,
                    "retention.size cannot be used with object_storage: it would remove samples "
                    "from the bucket, too");
    if (e == OK) e = check_listeners(lists, settings, why);
    if (e == OK && settings->wal_ack == ACK_DESTINATION) e = check_unlogged(lists, settings, why);
    return e ? e : sources_check(&lists->sources, settings, &lists->access.given.listeners, why);
}
