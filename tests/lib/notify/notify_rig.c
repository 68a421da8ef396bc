/* notify_rig.c - see notify_rig.h. */
#include "lib/notify/notify_rig.h"

/* --- the other machines ----------------------------------------------------------------------- */

static void
fake_begin(struct notify_rig *rig, const struct fake_call *call)
{
    int64_t now_ns = env_monotonic_ns(rig->env);
    assert_true(rig->call_count < RIG_CALLS_MAX);
    struct fake_call *c = &rig->calls[rig->call_count++];
    *c = *call;
    c->due_ns = c->after_ms < 0 ? INT64_MAX : now_ns + c->after_ms * NS_PER_MS;
}

static enum err
fake_start(struct outside *outside, const struct http_call *request, struct why *why)
{
    struct notify_rig *rig = (struct notify_rig *)outside;
    struct fake_call call = {.request = *request};
    if (rig->fails) return why_set(why, ERR_NOMEM, "not enough memory for an HTTP request");
    call.answer = (struct http_call_answer){.context = request->context, .status = 200};
    rig->serve(rig, &call);
    if (call.answer.failure != HTTP_CALL_ANSWERED) strcpy(call.answer.error, "it failed");
    fake_begin(rig, &call);
    return OK;
}

static enum err
fake_ask(struct outside *outside, const char *name, enum dns_record type, void *context,
         struct why *why)
{
    struct notify_rig *rig = (struct notify_rig *)outside;
    struct fake_call call = {
        .is_look_up = true, .found = rig->zone, .after_ms = rig->zone_after_ms};
    if (rig->fails) return why_set(why, ERR_NOMEM, "not enough memory for a question");
    assert_int_equal(type, rig->zone_type);
    assert_string_equal(name, "am.example");
    rig->look_ups++;
    call.found.context = context;
    fake_begin(rig, &call);
    return OK;
}

static void
fake_end(struct notify_rig *rig, unsigned i)
{
    rig->calls[i] = rig->calls[--rig->call_count];
}

static void
fake_give_up(struct outside *outside, const void *context)
{
    struct notify_rig *rig = (struct notify_rig *)outside;
    for (unsigned i = rig->call_count; i-- > 0;) {
        const struct fake_call *c = &rig->calls[i];
        if ((c->is_look_up ? c->found.context : c->answer.context) == context) fake_end(rig, i);
    }
}

/* Moves time on to the first event that is due, or by `wait_ms`. */
static void
fake_poll(struct outside *outside, int wait_ms)
{
    struct notify_rig *rig = (struct notify_rig *)outside;
    int64_t now_ns = env_monotonic_ns(rig->env), until_ns = now_ns + wait_ms * NS_PER_MS;
    if (rig->look != NULL) rig->look(rig);
    for (unsigned i = 0; i < rig->call_count; i++)
        if (rig->calls[i].due_ns < until_ns) until_ns = rig->calls[i].due_ns;
    if (until_ns > now_ns && !rig->is_woken) sim_env_advance_ns(rig->sim, until_ns - now_ns);
    rig->is_woken = false;
}

/* Finds a call that has ended. */
static bool
fake_ended(struct notify_rig *rig, bool is_look_up, struct fake_call *ret)
{
    for (unsigned i = 0; i < rig->call_count; i++) {
        const struct fake_call *c = &rig->calls[i];
        if (c->is_look_up != is_look_up || c->due_ns > env_monotonic_ns(rig->env)) continue;
        *ret = *c;
        fake_end(rig, i);
        return true;
    }
    return false;
}

static bool
fake_done(struct outside *outside, struct http_call_answer *ret)
{
    struct fake_call ended;
    bool is_ended = fake_ended((struct notify_rig *)outside, false, &ended);
    if (is_ended) *ret = ended.answer;
    return is_ended;
}

static bool
fake_question_done(struct outside *outside, struct dns_answer *ret)
{
    struct fake_call ended;
    bool is_ended = fake_ended((struct notify_rig *)outside, true, &ended);
    if (is_ended) *ret = ended.found;
    return is_ended;
}

static void
fake_wake(struct outside *outside)
{
    ((struct notify_rig *)outside)->is_woken = true;
}

/* Checks that no call is pending; the test owns the memory. */
static void
fake_free(struct outside *outside)
{
    assert_int_equal(((struct notify_rig *)outside)->call_count, 0);
}

static const struct outside_ops FAKE_OPS = {
    fake_start, fake_give_up,       fake_ask,  fake_give_up, fake_poll,
    fake_done,  fake_question_done, fake_wake, fake_free,
};

/* --- settings --------------------------------------------------------------------------------- */

uint64_t
notify_rig_hold_failures(struct notify_rig *rig)
{
    uint64_t left = mem_fail_left();
    if (mem_fail_fired()) rig->has_fired = true;
    mem_fail_nth(0, false);
    return left;
}

void
notify_rig_begin_settings(struct notify_rig *rig)
{
    uint64_t left = notify_rig_hold_failures(rig);
    if (rig->alerting.arena != NULL) alerting_free(&rig->alerting);
    struct arena *arena = mem_new(NULL, sizeof *arena);
    arena_init(arena, NULL, 0, 0);
    rig->made = arena_new(arena, sizeof *rig->made);
    mem_fail_nth(left, false);
    rig->alerting = (struct alerting){.arena = arena, .items = rig->made->items};
    rig->alerting.alert_relabel = rig->made->relabel;
    rig->external_labels = (struct named_texts){rig->external, 0};
}

void
notify_rig_target(struct notify_rig *rig, const char *address)
{
    struct text_list *targets = &rig->last->members.targets;
    assert_true(targets->count < RIG_LIST_MAX);
    rig->last->targets[targets->count++] = address;
    rig->alerting.items[rig->alerting.count - 1].static_count = 1;
}

struct alertmanager_settings *
notify_rig_add(struct notify_rig *rig)
{
    struct rig_alertmanager *own = &rig->made->own[rig->alerting.count];
    struct alertmanager_settings *a = &rig->alerting.items[rig->alerting.count++];
    assert_true(rig->alerting.count <= RIG_LIST_MAX);
    rig->last = own;
    *a = (struct alertmanager_settings){
        .line = rig->alerting.count + 1,
        .timeout_ms = 10000,
        .static_configs = &own->members,
        .file_configs = &own->files,
        .http_configs = &own->http,
        .dns_configs = &own->dns,
        .relabel = own->relabel,
        .alert_relabel = own->alert_relabel,
        .hash = rig->alerting.count,
    };
    own->name = "am.example";
    own->members = (struct static_members){{own->targets, 0}, {own->target_labels, 0}};
    own->files = (struct file_members){.files = {&own->pattern, 1}, .refresh_ms = 60 * 1000};
    own->http = (struct http_members){.url = "http://list/", .refresh_ms = 20 * 1000};
    own->dns = (struct dns_members){.names = {&own->name, 1}, .port = 9093};
    return a;
}

/* --- the notifier ----------------------------------------------------------------------------- */

enum err
notify_rig_new(struct notify_rig *rig)
{
    const struct notifier_options options = {rig->env, &rig->memory, "http://us:9201/",
                                             &rig->outside};
    rig->notifier = NULL;
    return notifier_new(&options, &rig->notifier, &rig->why);
}

void
notify_rig_end(struct notify_rig *rig)
{
    notifier_free(rig->notifier);
    rig->notifier = NULL;
    assert_int_equal(budget_used(&rig->memory), 0);
}

void
notify_rig_init_on(struct notify_rig *rig, struct sim_env *sim,
                   void (*serve)(struct notify_rig *rig, struct fake_call *call))
{
    memset(rig, 0, sizeof *rig);
    rig->env = sim_env_env(sim);
    rig->sim = sim;
    budget_init(&rig->memory, "notify", 0, NULL);
    rig->limits = (struct notifier_limits){10000, 256, 0};
    rig->outside.ops = &FAKE_OPS;
    rig->serve = serve;
    rig->zone_type = DNS_A;
    assert_int_equal(notify_rig_new(rig), OK);
    notify_rig_begin_settings(rig);
}

void
notify_rig_fini(struct notify_rig *rig)
{
    notify_rig_end(rig);
    alerting_free(&rig->alerting);
}

enum err
notify_rig_prepare(struct notify_rig *rig, struct notifier_change **ret_change)
{
    rig->why.text[0] = '\0';
    enum err e = notifier_prepare(rig->notifier, &rig->alerting, &rig->external_labels,
                                  &rig->limits, ret_change, &rig->why);
    assert_null(rig->alerting.arena);
    notify_rig_begin_settings(rig);
    return e;
}

void
notify_rig_start(struct notify_rig *rig)
{
    struct notifier_change *change;
    if (notify_rig_prepare(rig, &change)) fail_msg("%s", rig->why.text);
    notifier_commit(change);
}

void
notify_rig_run(struct notify_rig *rig, int64_t ms)
{
    enum { STEPS_MAX = 1000000 };
    int64_t until_ns = env_monotonic_ns(rig->env) + ms * NS_PER_MS;
    unsigned steps = 0;
    for (int64_t left_ns; (left_ns = until_ns - env_monotonic_ns(rig->env)) > 0;) {
        assert_in_range(++steps, 1, STEPS_MAX); /* without waits it would never end */
        notifier_step(rig->notifier, (int)(left_ns / NS_PER_MS));
    }
    for (int i = 0; i < 20; i++)
        notifier_step(rig->notifier, 0);
}

void
notify_rig_fire(struct notify_rig *rig, const char *name, int64_t starts_ms,
                size_t annotation_bytes)
{
    struct buf labels;
    int64_t now_ms = env_realtime_ms(rig->env);
    uint64_t left = notify_rig_hold_failures(rig);
    buf_init(&labels, NULL, 1 << 16);
    put_alert_labels(&labels, name, NULL);
    mem_fail_nth(left, false);
    char *text = malloc(annotation_bytes + 1);
    memset(text, 'x', annotation_bytes);
    const struct label annotation = {bytes_of_text("a"), bytes_of(text, annotation_bytes)};
    const struct alert_notice notice = {
        .tenant = bytes_of_text("acme"),
        .labels = buf_bytes(&labels),
        .annotations = &annotation,
        .annotation_count = annotation_bytes > 0,
        .expression = bytes_of_text("up == 0"),
        .starts_ns = starts_ms * NS_PER_MS,
        .ends_ns = (now_ms + 4 * 60 * 1000) * NS_PER_MS,
    };
    notifier_send(rig->notifier, &notice, 1);
    free(text);
    buf_fini(&labels);
}
