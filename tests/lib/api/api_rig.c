/*
 * api_rig.c - see api_rig.h.
 *
 * The options of the API point to functions of an owner that keeps what it is asked in the rig, and
 * fails if rig->owner_error says so. The double of the answerer does the same for queries. No
 * thread is started: api_rig_run() takes the jobs that threads would take.
 */
#include "lib/api/api_rig.h"

#include "inputs/otlp/otlp.h"
#include "model/usage.h"

/* --- the whole -------------------------------------------------------------------------------- */

struct api_rig *
api_rig_of_answerer(struct answerer *answerer)
{
    return (struct api_rig *)((char *)answerer - offsetof(struct api_rig, answerer));
}

static struct api_rig *
api_rig_of_view(struct view *view)
{
    return (struct api_rig *)((char *)view - offsetof(struct api_rig, view));
}

static struct api_rig *
api_rig_of_set(struct series_set *set)
{
    return (struct api_rig *)((char *)set - offsetof(struct api_rig, set));
}

static enum err
double_result(enum err e, struct why *why)
{
    return e ? why_set(why, e, "the double says %s", err_word(e)) : OK;
}

enum err
double_open(struct answerer *answerer, struct query_control *control, struct view **ret,
            struct why *why)
{
    struct api_rig *rig = api_rig_of_answerer(answerer);
    (void)control;
    if (rig->open_error == OK) *ret = &rig->view;
    return double_result(rig->open_error, why);
}

static enum err
double_texts(struct view *view, const struct query_request *request, const struct text_sink *to,
             struct why *why)
{
    struct api_rig *rig = api_rig_of_view(view);
    rig->asked = *request;
    for (unsigned i = 0; i < rig->names; i++) {
        char name[32];
        snprintf(name, sizeof name, "name%03u", i);
        if (rig->metric != NULL) snprintf(name, sizeof name, "%s", rig->metric);
        enum err e = to->each(to->context, bytes_of_text(name));
        if (e) return e;
    }
    if (rig->warning != NULL && request->partial && to->warning != NULL)
        must(to->warning(to->context, rig->warning));
    if (rig->ask_error == ERR_CANCELED) request->control->deadline_ns = 1;
    return double_result(rig->ask_error, why);
}

/* Returns the stored labels of one series: {__name__="up"}. */
static struct bytes
double_labels(struct buf *to)
{
    buf_clear(to);
    labels_put(to, (struct label){text("__name__"), text("up")});
    return buf_bytes(to);
}

static enum err
double_series(struct view *view, const struct query_request *request, const struct text_sink *to,
              struct why *why)
{
    struct api_rig *rig = api_rig_of_view(view);
    uint8_t room[100];
    struct buf labels = {.at = room, .capacity = sizeof room, .limit = sizeof room};
    rig->asked = *request;
    enum err e = to->each(to->context, double_labels(&labels));
    return e ? e : double_result(rig->ask_error, why);
}

static enum err
double_look_up(struct view *view, enum lookup_kind kind, const struct query_request *request,
               struct bytes name, const struct text_sink *to, struct why *why)
{
    struct api_rig *rig = api_rig_of_view(view);
    if (kind == LOOKUP_SERIES) return double_series(view, request, to, why);
    if (kind == LOOKUP_VALUES) {
        snprintf(rig->asked_name, sizeof rig->asked_name, "%.*s", (int)name.size,
                 (const char *)name.at);
    }
    return double_texts(view, request, to, why);
}

static enum err
double_metadata(struct view *view, const struct query_request *request, struct bytes family,
                enum err (*each)(void *context, const struct metadata *metadata), void *context,
                struct why *why)
{
    struct api_rig *rig = api_rig_of_view(view);
    static const char *const families[] = {"a_total", "b_total"};
    rig->asked = *request;
    for (unsigned i = 0; i < 2; i++) {
        struct metadata m = {text(families[i]), METRIC_COUNTER, text("Help."), text("bytes")};
        if (family.size > 0 && !bytes_equal(family, m.family)) continue;
        enum err e = each(context, &m);
        if (e) return e;
    }
    return double_result(rig->ask_error, why);
}

/* Returns two samples of one series and one of another. */
static enum err
double_exemplars(struct view *view, const struct query_request *request,
                 const struct exemplar_sink *to, struct why *why)
{
    struct api_rig *rig = api_rig_of_view(view);
    rig->asked = *request;
    for (int i = 0; i < 3; i++) {
        uint8_t room[2][100];
        struct buf series = {.at = room[0], .capacity = sizeof room[0], .limit = sizeof room[0]};
        struct buf labels = {.at = room[1], .capacity = sizeof room[1], .limit = sizeof room[1]};
        labels_put(&series, (struct label){text("__name__"), text(i < 2 ? "up" : "vp")});
        labels_put(&labels, (struct label){text("trace"), text("x")});
        struct exemplar x = {buf_bytes(&series), buf_bytes(&labels), double_bits(i + 0.5),
                             -1000 + i * 2050};
        enum err e = to->each(to->context, &x);
        if (e) return e;
    }
    if (rig->warning != NULL && request->partial && to->warning != NULL)
        must(to->warning(to->context, rig->warning));
    return double_result(rig->ask_error, why);
}

static enum err
double_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    static uint8_t room[100];
    struct buf labels = {.at = room, .capacity = sizeof room, .limit = sizeof room};
    struct api_rig *rig = api_rig_of_set(set);
    (void)why;
    rig->given = 0;
    *ret_labels = rig->series++ == 0 ? double_labels(&labels) : (struct bytes){NULL, 0};
    return OK;
}

static enum err
double_batch(struct series_set *set, struct sample_batch *ret, struct why *why)
{
    static const int64_t times[] = {1000, 2000};
    static const uint64_t bits[] = {0, 0x3ff0000000000000};
    struct api_rig *rig = api_rig_of_set(set);
    *ret = (struct sample_batch){.kind = SAMPLE_FLOAT, .times_ms = times, .value_bits = bits};
    if (rig->thinned_to_ms > 0)
        atomic_store(&rig->asked.control->thinned_to_ms, rig->thinned_to_ms);
    if (rig->given++ == 0)
        ret->count = 2;
    else
        return double_result(rig->sample_error, why);
    return OK;
}

static const char *
double_warning(struct series_set *set, uint32_t index)
{
    const struct api_rig *rig = api_rig_of_set(set);
    return index == 0 && rig->asked.partial ? rig->warning : NULL;
}

static void
double_set_free(struct series_set *set)
{
    (void)set;
}

static enum err
double_select(struct view *view, const struct query_request *request, struct series_set **ret,
              struct why *why)
{
    struct api_rig *rig = api_rig_of_view(view);
    rig->asked = *request;
    rig->series = 0;
    *ret = &rig->set;
    return double_result(rig->ask_error, why);
}

static void
double_view_free(struct view *view)
{
    (void)view;
}

static const struct answerer_ops answerer_double = {.open = double_open};
static const struct view_ops view_double = {
    .select = double_select,
    .exemplars = double_exemplars,
    .metadata = double_metadata,
    .look_up = double_look_up,
    .free = double_view_free,
};
static const struct series_set_ops set_double = {
    .next = double_next, .batch = double_batch, .warning = double_warning, .free = double_set_free};

static enum err
owner_result(struct api_rig *rig, struct why *why)
{
    if (rig->owner_error == OK || rig->owner_why == NULL) return rig->owner_error;
    return why_set(why, rig->owner_error, "%s", rig->owner_why);
}

static enum err
owner_flush_now(void *context, struct why *why)
{
    return owner_result(context, why);
}

static enum err
owner_merge_now(void *context, enum tsdb_merge_mode mode, struct why *why)
{
    struct api_rig *rig = context;
    rig->merged = mode;
    return owner_result(rig, why);
}

static struct reload_state
owner_reload_state(void *context)
{
    return (struct reload_state){((struct api_rig *)context)->owner_error == OK, SIM_BEGIN};
}

static void
owner_flags(void *context, void (*each)(void *to, const char *name, const char *value), void *to)
{
    (void)context;
    each(to, "web.listen-address", "127.0.0.1:9201");
    each(to, "retention.time", "10y");
    each(to, "retention.size", "500GB");
}

static void
owner_config(void *context, struct buf *to)
{
    (void)context;
    buf_put_text(to, "tenancy:\n  enabled: true\n");
}

static enum err
owner_check_config(void *context, struct bytes text, struct budget *memory, struct json *to,
                   struct why *why)
{
    struct api_rig *rig = context;
    (void)memory;
    if (rig->owner_error) return owner_result(rig, why);
    json_object_open(to);
    json_member_bytes(to, "text", text);
    json_object_close(to);
    return OK;
}

static void
owner_lists(void *context, enum owner_list list, struct bytes tenants, struct json *to)
{
    (void)context, (void)tenants;
    if (list == LIST_ALERTMANAGERS) {
        json_member_array(to, "activeAlertmanagers");
        json_array_close(to);
        json_member_array(to, "droppedAlertmanagers");
    } else {
        json_array_open(to);
    }
    if (list == LIST_DESTINATIONS) json_put_text(to, "s3");
    json_array_close(to);
}

static enum err
owner_has_no_rules(void *context, const struct rules_question *question, struct json *to)
{
    (void)context;
    json_member_array(to, "groups");
    json_array_close(to);
    return question->next_token.size > 0 ? ERR_MISSING : OK;
}

static void
owner_has_no_alerts(void *context, struct bytes tenant, const struct permitted *permitted,
                    struct json *to)
{
    (void)context, (void)tenant, (void)permitted, (void)to;
}

static enum err
owner_control(void *context, struct bytes name, const struct destination_control *control,
              struct why *why)
{
    struct api_rig *rig = context;
    rig->control = *control;
    snprintf(rig->controlled, sizeof rig->controlled, "%.*s", (int)name.size,
             (const char *)name.at);
    return owner_result(rig, why);
}

static enum err
owner_answers(void *context, const struct destination_question *question, struct json *to,
              struct why *why)
{
    struct api_rig *rig = context;
    rig->question = *question;
    snprintf(rig->controlled, sizeof rig->controlled, "%.*s", (int)question->name.size,
             (const char *)question->name.at);
    snprintf(rig->question_reason, sizeof rig->question_reason, "%s",
             question->reason == NULL ? "all" : question->reason);
    if (rig->owner_error == OK) json_put_text(to, "answered");
    return owner_result(rig, why);
}

static enum err
owner_traces(void *context, const struct series_question *question, struct json *to,
             struct why *why)
{
    struct api_rig *rig = context;
    rig->series_question = *question;
    if (rig->owner_error == OK) json_put_bytes(to, question->series);
    return owner_result(rig, why);
}

static const char *
owner_holds(void *context)
{
    return ((struct api_rig *)context)->held;
}

static bool
owner_takes(void *context)
{
    return !((struct api_rig *)context)->takes_nothing;
}

static bool
owner_reads(void *context)
{
    return ((struct api_rig *)context)->has_sources;
}

static enum err
owner_has_no_rules_to_plan(void *context, struct bytes text, struct tsdb_limits *ret_limits,
                           struct why *why)
{
    (void)context, (void)text, (void)ret_limits, (void)why;
    return OK;
}

static void
owner_wants_flush(void *context)
{
    ((struct api_rig *)context)->flushes_wanted++;
}

static void
owner_wants_commit(void *context)
{
    (void)context; /* rig_run() commits in any case */
}

/* --- the gate, whose type is unknown here: the rig takes its place ---------------------------- */

static unsigned
gate_begins(struct gate *gate, const struct http_request *request, struct buf *to, struct why *why)
{
    struct api_rig *rig = (struct api_rig *)gate;
    (void)request;
    buf_put_text(to, "s=1");
    if (rig->session_refused != 0) why_set(why, ERR_INPUT, "the double refuses the session");
    return rig->session_refused;
}

static void
gate_ends(struct gate *gate, const struct http_request *request, struct buf *to)
{
    (void)gate, (void)request;
    buf_put_text(to, "s=; Max-Age=0");
}

static struct gate_rights
gate_grants(struct gate *gate, const struct http_request *request)
{
    (void)request;
    return ((struct api_rig *)gate)->rights;
}

/* --- the whole -------------------------------------------------------------------------------- */

static int
no_thread_start(struct env *env, const char *name, void (*run)(void *argument), void *argument,
                struct env_thread **ret_thread)
{
    (void)env, (void)name, (void)run, (void)argument;
    *ret_thread = NULL;
    return 0;
}

static void
no_thread_join(struct env *env, struct env_thread *thread)
{
    (void)env, (void)thread;
}

struct api_rig *
api_rig_new(void)
{
    struct api_rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    machine_init(&rig->m, 1);
    rig->ops = *rig->m.env->ops;
    rig->ops.thread_start = no_thread_start;
    rig->ops.thread_join = no_thread_join;
    rig->m.env->ops = &rig->ops;
    machine_must_open(&rig->m);
    rig->answerer = (struct answerer){.ops = &answerer_double, .name = "double"};
    must(usage_new(rig->m.env, 1, &rig->m.memory, &rig->usage));
    rig->view.ops = &view_double;
    rig->set.ops = &set_double;
    rig->names = 3;
    rig->limits = (struct api_limits){.read_samples_max = 1000,
                                      .read_timeout_ns = NS_PER_S,
                                      .search_results_max = 10000,
                                      .query = {.timeout_ns = NS_PER_S,
                                                .lookback_ms = 300000,
                                                .subquery_step_ms = 60000,
                                                .points_max = 11000,
                                                .samples_max = 1000000}};
    rig->options = (struct api_options){
        .env = rig->m.env,
        .tsdb = rig->m.db,
        .answerer = &rig->answerer,
        .usage = rig->usage,
        .memory = &rig->m.memory,
        .decoded_bytes_max = 1 << 20,
        .otlp = &otlp_settings_default,
        .stored = true,
        .lifecycle = true,
        .admin = true,
        .route_prefix = "",
        .external_url = "",
        .cors_origin = ".*",
        .read_concurrency = 2,
        .read_queue_timeout_ns = 10 * NS_PER_S,
        .query_concurrency = 2,
        .query_queue_timeout_ns = 10 * NS_PER_S,
        .read_frame_bytes = 1 << 16,
        .started_ms = SIM_BEGIN,
        .version = "1.2.3",
        .commit_wanted = owner_wants_commit,
        .flush_wanted = owner_wants_flush,
        .context = rig,
        .flush_now = owner_flush_now,
        .merge_now = owner_merge_now,
        .reload = owner_flush_now,
        .reload_state = owner_reload_state,
        .flags = owner_flags,
        .config = owner_config,
        .check_config = owner_check_config,
        .plan_rules = owner_has_no_rules_to_plan,
        .list = owner_lists,
        .rules = owner_has_no_rules,
        .alerts = owner_has_no_alerts,
        .holds_writes = owner_holds,
        .takes_writes = owner_takes,
        .can_read = owner_reads,
        .control_destination = owner_control,
        .sessions = {(struct gate *)rig, gate_begins, gate_ends, gate_grants},
        .ask_destination = owner_answers,
        .trace_series = owner_traces,
    };
    rig->rights.permissions = PERMISSIONS_ALL;
    return rig;
}

struct api_rig *
api_rig_start(struct api_rig *rig)
{
    struct why why;
    must(api_new(&rig->options, &rig->limits, &rig->api, &why));
    return rig;
}

void
api_rig_free(struct api_rig *rig)
{
    api_free(rig->api);
    usage_free(rig->usage);
    machine_fini(&rig->m);
    free(rig);
}

/* --- requests --------------------------------------------------------------------------------- */

bool
api_rig_hand(struct api_rig *rig, struct http_request *request)
{
    size_t count;
    const struct http_route *routes = api_routes(rig->api, &count);
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(routes[i].path);
        bool prefix = routes[i].path[size - 1] == '*';
        if (prefix ? strncmp(routes[i].path, request->path, size - 1) != 0
                   : strcmp(routes[i].path, request->path) != 0)
            continue;
        request->began_ns = env_monotonic_ns(rig->m.env);
        const char *argument = routes[i].argument;
        if (argument != NULL && http_argument(request, argument) == NULL) continue;
        if ((routes[i].methods & request->method) == 0) continue;
        routes[i].handler(routes[i].context, request);
        return true;
    }
    return false;
}

void
api_rig_run(struct api_rig *rig)
{
    bool busy = true;
    while (busy) {
        busy = false;
        lock_take(&rig->api->lock);
        for (unsigned i = 0; i < QUEUE_COUNT; i++)
            busy |= queue_work_locked(&rig->api->queues[i]);
        lock_drop(&rig->api->lock);
        struct why why;
        if (tsdb_commit_due(rig->m.db)) err_ignore(tsdb_commit(rig->m.db, &why), "503");
        api_committed(rig->api);
    }
}

void
api_rig_ask(struct api_rig *rig, struct http_request *request, enum http_method method,
            const char *target, const char *headers, struct bytes body)
{
    http_double_init(request, method, target, headers, body);
    assert_true(api_rig_hand(rig, request));
    api_rig_run(rig);
    assert_int_not_equal(request->status, 0);
    assert_true(!request->stream || request->ended);
}

/* --- messages, packed; free() them ------------------------------------------------------------ */

struct bytes
api_packed(const struct buf *message)
{
    struct buf to;
    buf_init(&to, NULL, 1 << 26);
    must(snappy_pack(buf_bytes(message), &to));
    return buf_bytes(&to);
}

struct bytes
write_message_with(enum rw_version version, int64_t t_ms, double value, const char *exemplar_labels)
{
    struct rq rq;
    struct buf message;
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    rq_init(&rq, version);
    rq_series(&rq, "__name__=up,a=b");
    rq_float(&rq, t_ms, bits, 0);
    rq_float(&rq, t_ms + 1, bits, 0);
    rq_exemplar(&rq, t_ms, bits, exemplar_labels);
    rq_close(&rq);
    buf_init(&message, NULL, 1 << 26);
    if (version == RW_V2) buf_put_bytes(&message, buf_bytes(&rq.symbols));
    buf_put_bytes(&message, buf_bytes(&rq.out));
    struct bytes done = api_packed(&message);
    buf_fini(&message);
    rq_fini(&rq);
    return done;
}

struct bytes
write_message(enum rw_version version, int64_t t_ms, double value)
{
    return write_message_with(version, t_ms, value, "trace=1");
}

struct bytes
read_message(bool streamed, unsigned matcher_type, const char *pattern)
{
    struct buf matcher, query, message;
    buf_init(&matcher, NULL, 1 << 20);
    buf_init(&query, NULL, 1 << 20);
    buf_init(&message, NULL, 1 << 20);
    rq_number(&query, 1, 1);
    rq_number(&query, 2, 5000);
    if (pattern != NULL) {
        rq_number(&matcher, 1, matcher_type);
        rq_field(&matcher, 2, text("__name__"));
        rq_field(&matcher, 3, text(pattern));
        rq_field(&query, 3, buf_bytes(&matcher));
    }
    rq_field(&message, 1, buf_bytes(&query));
    if (streamed) rq_number(&message, 2, 1);
    struct bytes done = api_packed(&message);
    buf_fini(&matcher);
    buf_fini(&query);
    buf_fini(&message);
    return done;
}
