/*
 * alertmanager.c - makes members: discoveries find targets, relabelling makes URLs of them or drops
 * them, and each URL becomes one member.
 *
 * Invariants:
 *
 * 1. No two members of an Alertmanager have the same URL. There are at most MEMBERS_MAX.
 * 2. `dropped` has `dropped_count` texts, at most MEMBERS_MAX.
 */
#include "notify/notify_private.h"

#include <assert.h>
#include <stdio.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "base/log.h"
#include "base/text/hex.h"
#include "model/relabel.h"
#include "notify/discovery/discovery.h"
#include "notify/settings.h"

void
alerting_free(struct alerting *alerting)
{
    if (alerting == NULL) return;
    if (alerting->arena != NULL) arena_fini(alerting->arena);
    mem_free(NULL, alerting->arena, alerting->arena == NULL ? 0 : sizeof *alerting->arena);
    *alerting = (struct alerting){NULL};
}

/* Members that the configuration names. */

struct static_discovery {
    struct discovery base;
    struct targets targets;
};

static void
static_free(struct discovery *discovery)
{
    struct static_discovery *s = (struct static_discovery *)discovery;
    targets_fini(&s->targets);
    mem_free(s->base.options.memory, s, sizeof *s);
}

static void
static_each(const struct discovery *discovery,
            void (*take)(void *context, const struct targets *targets), void *context)
{
    take(context, &((const struct static_discovery *)discovery)->targets);
}

/* The settings are borrowed. ERR_NOMEM; errors of targets_add() where there is a `why`. */
static MUST_CHECK enum err
discovery_static_new(const struct outside_context *options, const struct static_members *settings,
                     struct discovery **ret_discovery, struct why *why)
{
    static const struct discovery_class class = {.free = static_free, .each = static_each};
    struct static_discovery *s = mem_new(options->memory, sizeof *s);
    if (s == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the targets");
    s->base = (struct discovery){
        .class = &class, .options = *options, .has_changed = true, .due_ns = INT64_MAX};
    targets_init(&s->targets, options->memory);
    enum err e = OK;
    for (uint32_t i = 0; i < settings->targets.count && e == OK; i++) {
        struct label labels[TARGETS_LABELS_MAX + 1] = {
            {bytes_of_text("__address__"), bytes_of_text(settings->targets.items[i])}};
        uint32_t count = 1;
        for (uint32_t k = 0; k < settings->labels.count && count <= TARGETS_LABELS_MAX; k++) {
            const struct named_text *own = &settings->labels.items[k];
            if (strcmp(own->name, "__address__") == 0) continue; /* the target's wins */
            labels[count++] = (struct label){bytes_of_text(own->name), bytes_of_text(own->value)};
        }
        e = targets_add(&s->targets, labels, count, why);
    }
    if (e)
        static_free(&s->base);
    else
        *ret_discovery = &s->base;
    return e;
}

enum { URL_BYTES_MAX = 4096, DROPPED_BYTES_MAX = 1 << 20, SCRATCH_BYTES_MAX = 4 << 20 };

/* --- lists ------------------------------------------------------------------------------------ */

static void
members_init(struct members *m, struct budget *memory)
{
    *m = (struct members){.memory = memory};
    buf_init(&m->dropped, memory, DROPPED_BYTES_MAX);
}

void
members_fini(struct members *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        member_free(m->items[i]);
    array_free(m->memory, m->items, m->capacity);
    buf_fini(&m->dropped);
    members_init(m, m->memory);
}

void
shared_alerting_unref(struct shared_alerting *shared)
{
    if (shared == NULL) return;
    uint32_t before = atomic_fetch_sub_explicit(&shared->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1) return;
    alerting_free(&shared->alerting);
    mem_free(NULL, shared, sizeof *shared);
}

/* --- from a target to a URL ------------------------------------------------------------------- */

struct members_finding {
    struct alertmanager *of;
    struct members *members;
    uint32_t queue_max;
    uint32_t left_out;        /* targets beyond MEMBERS_MAX */
    uint32_t invalid;         /* targets without a valid address */
    uint64_t invalid_hash;    /* hash of their addresses, in any order */
    char invalid_address[64]; /* the first */
    struct arena scratch;
    enum err e;
};

static struct bytes
label_of(struct bytes labels, const char *name)
{
    return labels_get(labels, bytes_of_text(name));
}

/* Cuts an address for the log: text before an '@' may be a password. */
static struct bytes
shown_address(struct bytes address)
{
    const uint8_t *at = address.size == 0 ? NULL : memrchr(address.at, '@', address.size);
    if (at == NULL) return address;
    return bytes_of(at + 1, (size_t)(address.at + address.size - (at + 1)));
}

/* Says whether an address is HOST:PORT and no more: a query would swallow the path, so that
 * requests went to "/", and a user and a password would be shown with the URL. */
static bool
is_address(struct bytes address)
{
    for (size_t i = 0; i < address.size; i++)
        if (address.at[i] <= ' ' || strchr("/?#@\\", address.at[i]) != NULL) return false;
    return address.size > 0;
}

/* Adds the labels of the Alertmanager's settings to those of a target. */
static enum err
complete_labels(struct members_finding *f, struct bytes target, struct bytes *ret)
{
    static const struct labels_limits none = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    const struct alertmanager_settings *s = f->of->settings;
    struct label labels[TARGETS_LABELS_MAX + 2];
    uint32_t count = 0;
    struct cursor c = cursor_of(target);
    while (labels_next(&c, &labels[count])) {
        count++;
        assert(count <= TARGETS_LABELS_MAX); /* targets_add() limits them */
    }
    const struct label own[] = {
        {bytes_of_text("__scheme__"), bytes_of_text(s->scheme == NULL ? "http" : s->scheme)},
        {bytes_of_text("__alerts_path__"), bytes_of_text(f->of->path)},
    };
    for (unsigned i = 0; i < 2; i++)
        if (labels_get(target, own[i].name).size == 0) labels[count++] = own[i];
    struct buf text;
    buf_init(&text, f->of->memory, SCRATCH_BYTES_MAX);
    enum reject reject = labels_build(labels, count, &none, &text);
    *ret = arena_copy(&f->scratch, buf_bytes(&text));
    bool failed = buf_error(&text) || reject != REJECT_NONE || ret->at == NULL;
    buf_fini(&text);
    return failed ? ERR_NOMEM : OK;
}

static enum err
alertmanager_add_member(struct members_finding *f, const char *url)
{
    struct members *m = f->members;
    struct member *member;
    assert(m->count <= MEMBERS_MAX); /* invariant 1 */
    uint64_t hash = hash_bytes(bytes_of_text(url), 0);
    for (uint32_t i = 0; i < m->count; i++)
        if (m->items[i]->url_hash == hash && strcmp(m->items[i]->url, url) == 0) return OK;
    if (m->count == MEMBERS_MAX) {
        f->left_out++;
        return OK;
    }
    if (!array_reserve(m->memory, &m->items, &m->capacity, m->count + 1)) return ERR_NOMEM;
    enum err e = member_new(f->of->memory, url, f->queue_max, &member);
    if (e == OK) m->items[m->count++] = member;
    return e;
}

static enum err
take_target(struct members_finding *f, struct bytes target)
{
    struct bytes labels, relabelled;
    struct buf url;
    arena_reset(&f->scratch);
    enum err e = complete_labels(f, target, &labels);
    if (e) return e;
    relabelled = labels;
    if (f->of->relabel != NULL) {
        e = relabel_apply(f->of->relabel, labels, &f->scratch, &relabelled);
        if (e) return e;
    }
    bool is_dropped = relabelled.size == 0;
    if (!is_dropped) labels = relabelled;
    struct bytes address = label_of(labels, "__address__");
    bool is_valid = is_address(address);
    buf_init(&url, f->of->memory, URL_BYTES_MAX);
    /* Escaped as Go's net/url does. */
    struct bytes path = label_of(labels, "__alerts_path__");
    buf_put_bytes(&url, label_of(labels, "__scheme__"));
    buf_put_text(&url, "://");
    buf_put_bytes(&url, shown_address(label_of(labels, "__address__")));
    if (path.size > 0 && path.at[0] != '/') buf_put_u8(&url, '/');
    buf_put_percent(&url, path, "$&+,/:;=@");
    buf_put_u8(&url, 0);
    if (buf_error(&url)) {
        e = buf_error(&url) == ERR_LIMIT ? OK : ERR_NOMEM;
        is_valid = false;
    } else if (is_dropped) {
        struct members *m = f->members;
        assert(m->dropped_count <= MEMBERS_MAX);        /* invariant 2 */
        size_t size = strlen((const char *)url.at) + 1; /* a target of JSON may contain a NUL */
        if (m->dropped_count < MEMBERS_MAX && buf_reserve(&m->dropped, size)) {
            buf_put(&m->dropped, url.at, size);
            m->dropped_count++;
        }
    } else if (is_valid) {
        e = alertmanager_add_member(f, (const char *)url.at);
    }
    buf_fini(&url);
    if (!is_valid && !is_dropped && e == OK) {
        struct bytes shown = shown_address(address);
        if (f->invalid++ == 0) {
            snprintf(f->invalid_address, sizeof f->invalid_address, "%.*s", (int)shown.size,
                     (const char *)shown.at);
        }
        f->invalid_hash += hash_bytes(address, 0);
    }
    return e;
}

static void
take_targets(void *context, const struct targets *targets)
{
    struct members_finding *f = context;
    for (uint32_t i = 0; i < targets->count && f->e == OK; i++)
        f->e = take_target(f, targets->items[i]);
}

enum err
alertmanager_find(struct alertmanager *a, uint32_t queue_max, struct members *ret_members)
{
    struct members_finding f = {.of = a, .members = ret_members, .queue_max = queue_max};
    members_init(ret_members, a->memory);
    arena_init(&f.scratch, a->memory, SCRATCH_BYTES_MAX, 0);
    for (uint32_t i = 0; i < a->discovery_count; i++) {
        const struct discovery *d = a->discoveries[i];
        d->class->each(d, take_targets, &f);
    }
    arena_fini(&f.scratch);
    if (f.e) {
        members_fini(ret_members);
        return ERR_NOMEM;
    }
    /* Logs ignored targets, unless they are those of the last look. */
    bool is_news = f.invalid != a->invalid || f.invalid_hash != a->invalid_hash;
    if (f.invalid > 0 && is_news) {
        log_warn("notify: targets ignored, invalid address: expected HOST:PORT",
                 KV("targets", f.invalid), KV("address", f.invalid_address));
    }
    if (f.left_out > 0 && f.left_out != a->left_out) {
        log_warn("notify: too many members of an Alertmanager, ignoring the rest",
                 KV("members", MEMBERS_MAX), KV("left_out", f.left_out));
    }
    a->invalid = f.invalid;
    a->invalid_hash = f.invalid_hash;
    a->left_out = f.left_out;
    for (uint32_t i = 0; i < a->discovery_count; i++)
        a->discoveries[i]->has_changed = false;
    return OK;
}

/* --- life ------------------------------------------------------------------------------------- */

/* Appends the elements of a path without empty ones and dots, like Go's path.Join. */
static void
put_elements(struct buf *to, const char *path)
{
    for (size_t size; *path != '\0'; path += size + (path[size] == '/')) {
        size = strcspn(path, "/");
        struct bytes element = bytes_of(path, size);
        if (size == 0 || bytes_equal_text(element, ".")) continue;
        if (bytes_equal_text(element, "..")) {
            /* Removes the last element; the root stays. */
            while (to->size > 0 && to->at[to->size - 1] != '/')
                to->size--;
            if (to->size > 0) to->size--;
            continue;
        }
        buf_put_u8(to, '/');
        buf_put_bytes(to, element);
    }
}

static enum err
make_path(struct alertmanager *a)
{
    struct buf path;
    buf_init(&path, a->memory, URL_BYTES_MAX);
    if (a->settings->path_prefix != NULL) put_elements(&path, a->settings->path_prefix);
    put_elements(&path, "api");
    put_elements(&path, a->settings->api_version == NULL ? "v2" : a->settings->api_version);
    put_elements(&path, "alerts");
    buf_put_u8(&path, 0);
    enum err e = buf_error(&path);
    if (e == OK) {
        a->path = mem_alloc(a->memory, path.size);
        if (a->path == NULL) e = ERR_NOMEM;
    }
    if (e == OK) {
        a->path_bytes = path.size;
        memcpy(a->path, path.at, path.size);
    }
    buf_fini(&path);
    return e;
}

static enum err
make_relabel(const struct relabel_spec *specs, uint32_t count, const char *name,
             struct relabel **ret, struct why *why)
{
    if (count == 0) return OK;
    enum err e = relabel_new(specs, count, ret, why);
    return e ? why_prefix(why, e, "%s", name) : OK;
}

static enum err
add_discovery(struct alertmanager *a, struct discovery *discovery)
{
    if (!array_reserve(a->memory, &a->discoveries, &a->discovery_capacity,
                       a->discovery_count + 1)) {
        discovery_free(discovery);
        return ERR_NOMEM;
    }
    a->discoveries[a->discovery_count++] = discovery;
    return OK;
}

static enum err
make_discoveries(struct alertmanager *a, const struct outside_context *options, struct why *why)
{
    const struct alertmanager_settings *s = a->settings;
    struct discovery *made = NULL;
    enum err e = OK;
    for (uint32_t i = 0; i < s->static_count && e == OK; i++) {
        e = discovery_static_new(options, &s->static_configs[i], &made, why);
        if (e) why_prefix(why, e, "static_configs");
        if (e == OK) e = add_discovery(a, made);
    }
    for (uint32_t i = 0; i < s->dns_count && e == OK; i++) {
        e = discovery_dns_new(options, &s->dns_configs[i], &made);
        if (e == OK) e = add_discovery(a, made);
    }
    for (uint32_t i = 0; i < s->file_count && e == OK; i++) {
        e = discovery_file_new(options, &s->file_configs[i], &made);
        if (e == OK) e = add_discovery(a, made);
    }
    for (uint32_t i = 0; i < s->http_count && e == OK; i++) {
        e = discovery_http_new(options, &s->http_configs[i], &made, why);
        if (e == OK) e = add_discovery(a, made);
    }
    return e;
}

static enum err
make_all(struct alertmanager *a, const struct outside_context *options, uint32_t queue_max,
         struct why *why)
{
    const struct alertmanager_settings *s = a->settings;
    const struct access_options access = {
        .what = "Alertmanager",
        .http = &s->http,
        .basic_auth = &s->basic_auth,
        .authorization = &s->authorization,
        .oauth2 = &s->oauth2,
        .sigv4 = &s->sigv4,
        .timeout_ms = s->timeout_ms,
    };
    enum err e = access_new(options, &access, &a->access, why);
    if (e == OK) e = make_path(a);
    if (e == OK)
        e = make_relabel(s->relabel, s->relabel_count, "relabel_configs", &a->relabel, why);
    if (e == OK) {
        e = make_relabel(s->alert_relabel, s->alert_relabel_count, "alert_relabel_configs",
                         &a->alert_relabel, why);
    }
    if (e == OK) e = make_discoveries(a, options, why);
    return e ? e : alertmanager_find(a, queue_max, &a->members);
}

enum err
alertmanager_new(const struct outside_context *options, struct shared_alerting *shared,
                 const struct alertmanager_settings *settings, uint32_t queue_max,
                 struct alertmanager **ret_alertmanager, struct why *why)
{
    struct alertmanager *a = mem_new(options->memory, sizeof *a);
    if (a == NULL) return ERR_NOMEM;
    a->memory = options->memory;
    a->refs = 1;
    a->shared = shared;
    atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
    a->settings = settings;
    a->line = settings->line;
    members_init(&a->members, options->memory);
    struct outside_context own = *options;
    own.line = &a->line;
    enum err e = make_all(a, &own, queue_max, why);
    if (e)
        alertmanager_unref(a);
    else
        *ret_alertmanager = a;
    return e;
}

struct alertmanager *
alertmanager_ref(struct alertmanager *a)
{
    uint32_t before = atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
    assert(before > 0);
    return a;
}

void
alertmanager_unref(struct alertmanager *a)
{
    if (a == NULL) return;
    uint32_t before = atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1) return;
    for (uint32_t i = 0; i < a->discovery_count; i++)
        discovery_free(a->discoveries[i]);
    array_free(a->memory, a->discoveries, a->discovery_capacity);
    access_free(a->access);
    members_fini(&a->members);
    relabel_free(a->relabel);
    relabel_free(a->alert_relabel);
    mem_free(a->memory, a->path, a->path_bytes);
    shared_alerting_unref(a->shared);
    mem_free(a->memory, a, sizeof *a);
}

/* --- steps ------------------------------------------------------------------------------------ */

int64_t
alertmanager_step(struct alertmanager *a)
{
    int64_t due_ns = INT64_MAX;
    for (uint32_t i = 0; i < a->discovery_count; i++) {
        struct discovery *d = a->discoveries[i];
        discovery_step(d);
        if (d->due_ns < due_ns) due_ns = d->due_ns;
    }
    return due_ns;
}

bool
alertmanager_has_changed(const struct alertmanager *a)
{
    for (uint32_t i = 0; i < a->discovery_count; i++)
        if (a->discoveries[i]->has_changed) return true;
    return false;
}

void
alertmanager_stop(struct alertmanager *a)
{
    for (uint32_t i = 0; i < a->discovery_count; i++)
        discovery_stop(a->discoveries[i]);
    access_stop(a->access);
}
