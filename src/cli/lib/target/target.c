/* target.c - the code that servers and directories share. */
#include "cli/lib/target/target.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/lib/sample_files.h"
#include "config/lists/lists.h"
#include "model/select.h"
#include "model/tenant_name.h"
#include "sys/env.h"
#include "views/stack.h"

const char *
target_default_url(void)
{
    const char *url = getenv(TARGET_URL_VARIABLE);
    return url == NULL || url[0] == '\0' ? "http://127.0.0.1:9201" : url;
}

const char *
target_url_flag(const struct target_options *options)
{
    return options->url == getenv(TARGET_URL_VARIABLE) ? TARGET_URL_VARIABLE : "--url";
}

enum err
target_settle(struct target_options *options, struct why *why)
{
    if (options->url == NULL && options->storage == NULL) options->url = target_default_url();
    if (options->url == NULL) return OK;
    return client_url_plain(target_url_flag(options), options->url, options->plain_url, why);
}

enum err
target_settle_url(const char **url, struct why *why)
{
    struct target_options server = {.url = *url};
    enum err e = target_settle(&server, why);
    *url = server.url;
    return e;
}

void
target_warn_unread(const struct target_options *options)
{
    const char *path = options->config_file;
    struct settings settings;
    struct config_lists lists;
    struct why unwanted;
    if (options->storage == NULL || path == NULL) return;
    if (check_file(path, &settings, &lists, &unwanted) != OK) return;
    if (lists.sources.count > 0)
        fprintf(stderr, "warning: %s has sources, which are not read with --storage.path\n", path);
    config_lists_free(&lists);
}

enum err
target_open(const struct target_options *options, struct target **ret_target, struct why *why)
{
    const char *tenant = options->tenant;
    enum err e = tenant == NULL          ? OK
                 : options->many_tenants ? tenants_check(bytes_of_text(tenant), why)
                                         : tenant_name_check(bytes_of_text(tenant), why);
    if (e) return why_prefix(why, e, "--tenant");
    if ((options->url == NULL) == (options->storage == NULL))
        return why_set(why, ERR_INPUT, "--url and --storage.path cannot be used together");
    if (options->url != NULL && options->config_file != NULL)
        return why_set(why, ERR_INPUT, "--config.file requires --storage.path");
    if (options->url == NULL && options->http_config_file != NULL)
        return why_set(why, ERR_INPUT, "--http.config.file requires --url");
    if (options->destination != NULL) return target_destination_open(options, ret_target, why);
    return options->url != NULL ? target_server_open(options, ret_target, why)
                                : target_directory_open(options, ret_target, why);
}

enum err
target_finish(struct target *target, struct why *why)
{
    return target->ops->finish == NULL ? OK : target->ops->finish(target, why);
}

void
target_free(struct target *target)
{
    if (target != NULL) target->ops->free(target);
}

enum err
target_write(struct target *target, enum rw_version version, struct bytes message,
             struct bytes packed, const struct target_counts *counts,
             struct target_result *ret_result, struct why *why)
{
    *ret_result = (struct target_result){0};
    return target->ops->write(target, version, message, packed, counts, ret_result, why);
}

enum err
target_delete(struct target *target, const struct bytes *selectors, uint32_t count, int64_t min_ms,
              int64_t max_ms, uint64_t *ret_samples, struct why *why)
{
    *ret_samples = 0;
    if (target->ops->delete == NULL)
        return why_set(why, ERR_UNSUPPORTED, "%s: nothing can be deleted", target->name);
    return target->ops->delete (target, selectors, count, min_ms, max_ms, ret_samples, why);
}

enum err
target_fetch(struct target *target, const char *path, struct buf *to, unsigned *ret_status,
             struct why *why)
{
    if (target->ops->fetch == NULL)
        return why_set(why, ERR_UNSUPPORTED, "%s is not a server", target->name);
    return target->ops->fetch(target, path, to, ret_status, why);
}

struct bytes
target_tenant(const struct target *target)
{
    const char *tenant = target->options.tenant;
    return bytes_of_text(tenant == NULL ? "anonymous" : tenant);
}

enum err
target_read(struct target *target, const struct selector *selector, int64_t min_ms, int64_t max_ms,
            struct sample_sink *sink, struct why *why)
{
    const atomic_bool *stop = target->options.stop;
    struct series_set *set = NULL;
    struct query_control control = {.env = env_real(), .budget = target->read_memory};
    struct matcher_set matching = {selector->matchers, selector->count};
    const struct bucket_mark after = {.complete_pos = target->options.after_pos};
    struct query_request request = {.tenant = target_tenant(target),
                                    .sets = &matching,
                                    .set_count = 1,
                                    .min_ms = min_ms,
                                    .max_ms = max_ms,
                                    .partial = target->options.partial,
                                    .beyond = after.complete_pos == 0 ? NULL : &after,
                                    .control = &control};
    enum err e = answerer_select(target->answerer, &request, &set, why);
    struct bytes labels = bytes_of("", 0);
    while (e == OK && labels.at != NULL) {
        e = series_set_next(set, &labels, why);
        if (e == OK && labels.at != NULL) e = sample_sink_take(sink, labels, set, why);
        if (e == OK && stop != NULL && atomic_load_explicit(stop, memory_order_relaxed))
            e = why_set(why, ERR_CANCELED, "stopped");
    }
    /* Damage is reported after everything was read: a failed attempt is retried. */
    const char *left_out;
    for (uint32_t i = 0; e == OK && target->options.left_out != NULL &&
                         (left_out = series_set_warning(set, i)) != NULL;
         i++)
        target->options.left_out(target->options.context, left_out);
    series_set_free(set);
    int64_t resolution_ms = thinned_to(&control);
    if (resolution_ms > target->thinned_to_ms) { /* warns once for each resolution */
        struct why sentence;
        target->thinned_to_ms = resolution_ms;
        thinned_say(resolution_ms, &sentence);
        fprintf(stderr, "warning: %s: %s\n", target->name, sentence.text);
    }
    if (e && why->text[0] == '\0') why_set(why, e, "%s", err_word(e));
    return e;
}

enum err
target_query(struct target *target, const struct query_parameters *parameters,
             struct query_sink *sink, struct query_failure *failure, struct why *why)
{
    if (target->ops->query == NULL) {
        return why_set(why, ERR_UNSUPPORTED, "%s is a destination: it can only be written",
                       target->name);
    }
    return target->ops->query(target, parameters, sink, failure, why);
}
