/*
 * server_api.c - the server as the API sees it: answers to its questions, and requests that it
 * passes on to the threads of the server.
 */
#include <stdio.h>
#include <string.h>

#include "app/destinations/relays.h"
#include "app/server_private.h"
#include "base/log.h"
#include "base/text/quote.h"
#include "base/version.h"
#include "config/config_check.h"
#include "rules/stored/stored_file.h"

enum { SHOWN_BYTES_MAX = 8 * CONFIG_BYTES_MAX };

/* --- limits ----------------------------------------------------------------------------------- */

static struct query_limits
query_limits_of(const struct settings *s)
{
    struct query_limits limits = {
        .timeout_ns = s->query_timeout_ms * NS_PER_MS,
        .lookback_ms = s->query_lookback_delta_ms,
        .subquery_step_ms = s->global_evaluation_interval_ms,
        .points_max = s->query_max_points,
        .samples_max = s->query_max_samples,
        .samples_read_max = s->query_max_samples_read,
        .series_max = s->query_max_series,
        .bytes_max = s->query_max_bytes,
        .fetched_max = s->query_max_fetched_bytes,
        .cache_bytes = s->query_cache_bytes,
        .slow_log_ns = s->query_slow_log_ms * NS_PER_MS,
        .features = promql_features_of(s->query_features),
    };
    _Static_assert(sizeof limits.replica_labels == sizeof s->query_replica_labels,
                   "both are texts");
    memcpy(limits.replica_labels, s->query_replica_labels, sizeof limits.replica_labels);
    return limits;
}

struct api_limits
server_api_limits(const struct settings *s, bool has_users)
{
    return (struct api_limits){
        .read_samples_max = s->read_max_samples,
        .read_series_max = s->read_max_series,
        .read_bytes_max = s->read_max_bytes,
        .read_timeout_ns = s->read_timeout_ms * NS_PER_MS,
        .search_results_max = s->web_search_max_limit,
        .has_users = has_users,
        .query = query_limits_of(s),
    };
}

/* --- questions -------------------------------------------------------------------------------- */

static void
show_flags(void *context, void (*each)(void *to, const char *name, const char *value), void *to)
{
    struct server *s = context;
    lock_take(&s->settings_lock);
    struct settings now = s->settings;
    lock_drop(&s->settings_lock);
    for (const struct setting *t = settings_table(); t->name != NULL; t++) {
        struct buf value;
        buf_init(&value, NULL, 4096);
        settings_value(&now, t, &value);
        buf_put_u8(&value, '\0');
        if (buf_error(&value) == OK) each(to, t->name, (const char *)value.at);
        buf_fini(&value);
    }
}

struct config_shown {
    struct server *of;
    struct buf *to;
};

static void
print_settings(void *context, const struct alerting *alerting)
{
    struct config_shown *c = context;
    settings_print_yaml(&c->of->settings, &c->of->rules, alerting, &c->of->retention, c->to);
}

static void
show_config(void *context, struct buf *to)
{
    struct server *s = context;
    struct config_shown shown = {s, to};
    lock_take(&s->settings_lock);
    notifier_show_settings(s->notifier, print_settings, &shown);
    downsampling_rules_print_yaml(&s->downsampling, to);
    lock_drop(&s->settings_lock);
    uploader_print_yaml(s->uploader, to);
    inputs_print_yaml(&s->inputs, to);
    admission_print_yaml(s->admission, to);
    relays_print_yaml(s->relays, to);
    readers_print_yaml(s->readers, to);
}

static enum err
read_rules(void *context, struct bytes text, struct tsdb_limits *ret_limits, struct why *why)
{
    const struct server *s = context;
    return config_plan_rules("firekeep.yml", text, s->flag_count, s->flag_words, ret_limits, why);
}

static enum err
check_config(void *context, struct bytes text, struct budget *budget, struct json *to,
             struct why *why)
{
    struct server *s = context;
    struct buf yaml;
    buf_init(&yaml, budget, SHOWN_BYTES_MAX);
    lock_take(&s->reload_lock); /* no reload comes between */
    show_config(s, &yaml);
    struct config_check check = {
        .now = &s->settings,
        .now_yaml = buf_bytes(&yaml),
        .flag_count = s->flag_count,
        .flag_words = s->flag_words,
        .budget = budget,
    };
    enum err e = why_set(why, buf_error(&yaml), "not enough memory for the configuration");
    if (e == OK) e = config_check_print(&check, text, to, why);
    lock_drop(&s->reload_lock);
    buf_fini(&yaml);
    return e;
}

static void
show_list(void *context, enum owner_list list, struct bytes tenants, struct json *to)
{
    struct server *s = context;
    if (list == LIST_DESTINATIONS)
        relays_print(s->relays, to);
    else if (list == LIST_SOURCES)
        readers_print(s->readers, to);
    else if (list == LIST_SOURCE_NAMES)
        readers_print_names(s->readers, tenants, to);
    else
        notifier_print(s->notifier, to);
}

static enum err
show_rules(void *context, const struct rules_question *question, struct json *to)
{
    struct server *s = context;
    return ruler_print(s->ruler, question, to);
}

static void
show_alerts(void *context, struct bytes tenant, const struct permitted *permitted, struct json *to)
{
    struct server *s = context;
    ruler_print_alerts(s->ruler, tenant, permitted, to);
}

static enum err
show_stored_rules(void *context, const struct rules_wanted *wanted, struct buf *to, struct why *why)
{
    struct server *s = context;
    lock_take(&s->reload_lock);
    enum err e = stored_rules_print(s->stored_rules, wanted, to, why);
    lock_drop(&s->reload_lock);
    return e;
}

/* Refuses a group that a rule file has. */
static enum err
check_names(const struct server *s, const struct rules_edit *edit, const char *name,
            struct why *why)
{
    if (!ruler_has_file_group(s->ruler, edit->tenant, edit->namespace, name)) return OK;
    return why_set(why, ERR_INPUT,
                   "rule file %s has a group %s, which is in force; use another namespace or name",
                   shown_of(bytes_of_text(edit->namespace)).text,
                   shown_of(bytes_of_text(name)).text);
}

/* Reloads the stored groups only. Rule files are not read, so a half-written file does not make the
 * edit fail. The evaluated groups change once the edit is durable. */
static enum err
change_rules(struct server *s, const struct rules_edit *edit, struct buf *reasons,
             char ret_group[STORED_NAME_BYTES_MAX + 1], struct why *why)
{
    struct stored_limits limits = {s->settings.rules_api_max_groups,
                                   s->settings.rules_api_max_bytes};
    struct stored_change *change = NULL;
    struct ruler_change *ruling = NULL;
    enum err e = stored_rules_prepare(s->stored_rules, edit, &limits, reasons, &change, why);
    const char *group = edit->verb == RULES_DELETE ? edit->group : "";
    if (e == OK && edit->verb == RULES_SET) group = stored_change_name(change);
    snprintf(ret_group, STORED_NAME_BYTES_MAX + 1, "%s", group);
    if (e == OK && edit->verb == RULES_SET) e = check_names(s, edit, group, why);
    if (e == OK) {
        struct stored_groups groups = stored_change_groups(change);
        e = ruler_prepare(s->ruler, &s->settings, NULL, &groups, &ruling, why);
    }
    if (e == OK) e = stored_rules_write(change, why);
    if (e) {
        ruler_abandon(ruling);
        stored_rules_abandon(change);
    } else {
        ruler_commit(ruling);
        stored_rules_commit(change);
    }
    return e;
}

static enum err
edit_rules(void *context, const struct rules_edit *edit, struct buf *reasons, struct why *why)
{
    static const char *const verbs[] = {[RULES_SET] = "set a group",
                                        [RULES_DELETE] = "delete a group",
                                        [RULES_DELETE_NAMESPACE] = "delete a namespace"};
    static struct log_gate gate;
    struct server *s = context;
    uint64_t held_back;
    const char *trouble = tsdb_dir_trouble(s->tsdb), *verb = verbs[edit->verb];
    if (trouble != NULL) return why_set(why, ERR_AGAIN, "%s", trouble);
    char group[STORED_NAME_BYTES_MAX + 1];
    /* Held while a file is written: the next reload sees the result. */
    lock_take(&s->reload_lock);
    enum err e = change_rules(s, edit, reasons, group, why);
    lock_drop(&s->reload_lock);
    bool is_refusal = e == ERR_INPUT || e == ERR_LIMIT || e == ERR_MISSING; /* by the request */
    if (e == OK) {
        log_info("stored rules changed", KV("change", verb), KV("tenant", edit->tenant),
                 KV("namespace", edit->namespace), KV("group", group));
    } else if (!is_refusal &&
               log_often(&gate, env_monotonic_ns(s->env), 60 * NS_PER_S, &held_back)) {
        log_error("stored rules cannot be changed", KV("change", verb), KV("tenant", edit->tenant),
                  KV("namespace", edit->namespace), KV("group", group),
                  KV("error", why_text(why, e)), KV("more_held_back", held_back));
    }
    stored_rules_note(s->stored_rules, e == OK      ? STORED_EDIT_DONE
                                       : is_refusal ? STORED_EDIT_REFUSED
                                                    : STORED_EDIT_FAILED);
    return e;
}

static bool
can_read(void *context)
{
    struct server *s = context;
    return readers_count(s->readers) > 0;
}

static enum err
control_destination(void *context, struct bytes name, const struct destination_control *control,
                    struct why *why)
{
    struct server *s = context;
    return relays_control(s->relays, name, control, why);
}

static enum err
ask_destination(void *context, const struct destination_question *question, struct json *to,
                struct why *why)
{
    struct server *s = context;
    lock_take(&s->settings_lock);
    const char *storage_path = s->settings.storage_path; /* no reload changes it */
    lock_drop(&s->settings_lock);
    const struct destination_answers_options options = {
        .env = s->env, .storage_path = storage_path, .relays = s->relays};
    return destination_answer(&options, question, to, why);
}

static enum err
trace_series(void *context, const struct series_question *question, struct json *to,
             struct why *why)
{
    struct server *s = context;
    lock_take(&s->settings_lock);
    struct settings now = s->settings;
    lock_drop(&s->settings_lock);
    const struct series_trace_options options = {s->tsdb, s->relays, &now};
    return series_trace(&options, question, to, why);
}

/* --- requests --------------------------------------------------------------------------------- */

static void
want_commit(void *context)
{
    struct server *s = context;
    keeper_want_commit(&s->keeper);
}

static void
want_flush(void *context)
{
    struct server *s = context;
    keeper_want_flush(&s->keeper);
}

enum err
server_flush_now(void *context, struct why *why)
{
    struct server *s = context;
    return keeper_flush_now(&s->keeper, why);
}

static enum err
merge_now(void *context, enum tsdb_merge_mode mode, struct why *why)
{
    struct server *s = context;
    enum err e = merger_run(s->merger, mode, why);
    if (e == OK && mode == TSDB_MERGE_CLEAN) uploader_settle(s->uploader);
    return e;
}

const char *
server_holds_writes(void *context)
{
    struct server *s = context;
    const char *hangs = keeper_hangs(&s->keeper);
    if (hangs != NULL) return hangs;
    if (!relays_are_full(s->relays)) return NULL;
    return "a destination has used up its log budget";
}

bool
server_takes_writes(void *context)
{
    struct server *s = context;
    return atomic_load_explicit(&s->takes_writes, memory_order_relaxed);
}

static enum err
hand_over(void *context, const struct write_for_destinations *write, struct why *why)
{
    static const struct ledger nothing;
    struct server *s = context;
    const struct offered_write offered = {
        .tenant = write->tenant,
        .request = write->request,
        .began_ns = write->began_ns,
        .timeout_ms = write->timeout_ms,
        .waiter = write->waiter,
    };
    /* The tenant exists from here on. */
    enum err e = tsdb_count_passed(s->tsdb, write->tenant, &nothing, why);
    return e ? e : write_queue_put(s->queue, &offered, why);
}

/* Counts in the ledger what is acknowledged, and what is refused for its form. */
void
server_delivered(void *context, void *waiter, enum err e, const struct write_items *items,
                 const struct ingest_result *result, const struct why *why)
{
    struct server *s = context;
    struct ledger change = {0};
    write_items_count(items, &change);
    if (e == OK)
        err_ignore(tsdb_count_passed(s->tsdb, items->tenant, &change, NULL), "the tenant exists");
    api_delivered(s->api, waiter, e, result, why);
}

/* --- starting --------------------------------------------------------------------------------- */

uint64_t
server_decoded_bytes_max(const struct server *s)
{
    uint64_t foreground =
        atomic_load_explicit(&s->memory.foreground.limit_bytes, memory_order_relaxed);
    uint64_t most = (foreground - s->memory.head_bytes / 2) / 2;
    uint64_t wanted = s->settings.web_max_decoded_bytes;
    return wanted < most ? wanted : most;
}

enum err
server_start_api(struct server *s, struct why *why)
{
    const struct settings *c = &s->settings;
    struct api_options options = {
        .env = s->env,
        .tsdb = s->tsdb,
        .answerer = readers_answerer(s->readers),
        .usage = s->usage,
        .memory = &s->memory.foreground,
        .decoded_bytes_max = server_decoded_bytes_max(s),
        .otlp = s->inputs.given ? &s->inputs.otlp : &otlp_settings_default,
        .pushed = s->pushed,
        .tenancy = c->tenancy_enabled,
        .lifecycle = c->web_enable_lifecycle,
        .admin = c->web_enable_admin_api,
        .route_prefix = s->route_prefix,
        .telemetry_path = c->web_telemetry_path,
        .external_url = s->external_url,
        .cors_origin = c->web_cors_origin,
        .read_concurrency = c->read_max_concurrent,
        .read_queue_timeout_ns = c->read_queue_timeout_ms * NS_PER_MS,
        .query_concurrency = c->query_max_concurrent,
        .query_queue_timeout_ns = c->query_queue_timeout_ms * NS_PER_MS,
        .read_frame_bytes = c->read_frame_bytes,
        .started_ms = env_realtime_ms(s->env),
        .version = FIREKEEP_VERSION,
        .commit_wanted = want_commit,
        .flush_wanted = want_flush,
        .context = s,
        .flush_now = server_flush_now,
        .merge_now = merge_now,
        .reload = server_reload,
        .reload_state = server_reload_state,
        .flags = show_flags,
        .config = show_config,
        .check_config = check_config,
        .plan_rules = read_rules,
        .list = show_list,
        .rules = show_rules,
        .alerts = show_alerts,
        .stored_rules = c->rules_api ? show_stored_rules : NULL,
        .edit_rules = c->rules_api ? edit_rules : NULL,
        .control_destination = control_destination,
        .ask_destination = ask_destination,
        .trace_series = trace_series,
        .holds_writes = server_holds_writes,
        .takes_writes = server_takes_writes,
        .hand_over = s->queue == NULL ? NULL : hand_over,
        .stored = s->is_stored,
        .can_read = can_read,
        .sessions = admission_sessions(s->admission),
    };
    struct api_limits limits = server_api_limits(c, admission_has_users(s->admission));
    settings_route_prefix(c, s->route_prefix);
    return api_new(&options, &limits, &s->api, why);
}
