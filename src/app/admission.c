/*
 * admission.c - see server_private.h.
 *
 * The thread reads the files each LOOK_NS: certificates, keys and CAs, the secrets of access keys,
 * and files with keys of tokens. Those that differ are taken over if all of them are good; a
 * half-written file is an error, logged once a minute, and the old ones stay in force. If the file
 * for web.config.file has changed, it asks for a reload. Keys of tokens that have a URL are fetched
 * by another thread, which may have to wait.
 *
 * Invariants:
 *  1. `tls` has one for each listener with TLS, the one that the HTTP server has.
 *  2. `users` is the set that the gate has.
 *  3. What changes after the start changes under `files_lock`, which may be held while files are
 *     read; `tls` under `lock`, too, so that metrics do not wait for a disk. Sets of users are made
 *     under `files_lock`: issuers_get() is for one thread at a time.
 *  4. The thread runs only while there is an HTTP server. The first settings are committed before
 *     that, once.
 */
#include "app/server_private.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/worker.h"
#include "auth/tokens/tokens.h"
#include "base/hash/hash.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/metric.h"
#include "net/tls.h"

enum {
    HEADER_LINES_BYTES_MAX = 64 * 1024,
    UNVERIFIED_PART = 8, /* memory of requests that are not verified is 1/8 of the memory */
};
#define LOOK_NS (5 * NS_PER_S)
#define LOG_NS  (60 * NS_PER_S)

_Static_assert((int)HTTP_LISTENERS_MAX == (int)LISTENERS_MAX, "each listener is a place");

struct admission {
    struct env *env;
    struct budget *memory;
    struct issuers *issuers;
    struct key_fetcher *fetcher;
    struct budget unverified; /* memory of requests that the gate has not let in */
    struct gate *gate;
    struct http_server *http;
    const char *external_url;
    void (*on_change)(void *context);
    void *context;
    struct http_place places[HTTP_LISTENERS_MAX];
    char hosts[HTTP_LISTENERS_MAX][SETTING_TEXT_BYTES];
    struct buf first_headers; /* of all answers, until the HTTP server has them */
    struct worker worker;
    struct metric_collector collector;

    struct lock files_lock; /* LOCK_RANK_SETTINGS; guards to the next blank line */
    struct access_settings lists;
    struct users *users;
    char web_config_file[SETTING_TEXT_BYTES];
    uint64_t web_config_hash; /* of its text; 0: the setting is empty */

    struct lock lock; /* LOCK_RANK_API; guards `tls` */
    struct tls *tls[HTTP_LISTENERS_MAX];

    _Atomic bool reread_failed; /* relaxed */
    /* Relaxed. There are access keys; their files could not be read the last time. */
    _Atomic bool has_signing_keys, signing_keys_failed;
};

/* --- TLS of all listeners --------------------------------------------------------------------- */

struct tls_set {
    struct tls *items[HTTP_LISTENERS_MAX];
};

static void
tls_set_free(struct tls_set *set)
{
    for (size_t i = 0; i < HTTP_LISTENERS_MAX; i++)
        tls_release(set->items[i]);
    *set = (struct tls_set){{NULL}};
}

static enum err
tls_set_read(struct admission *a, const struct listener_list *listeners, struct tls_set *ret_set,
             struct why *why)
{
    enum err e = OK;
    *ret_set = (struct tls_set){{NULL}};
    for (uint32_t i = 0; i < listeners->count && e == OK; i++) {
        const struct listener_settings *l = &listeners->items[i];
        if (!l->tls.given) continue;
        e = tls_new(&l->tls, a->memory, &ret_set->items[i], why);
        if (e) why_prefix(why, e, "listener %s", l->address);
    }
    if (e) tls_set_free(ret_set);
    return e;
}

/* Gives the HTTP server those that differ, and takes them over. */
static unsigned
tls_set_commit(struct admission *a, struct tls_set *set)
{
    unsigned changed = 0;
    assert(lock_is_mine(&a->files_lock)); /* invariant 3 */
    lock_take(&a->lock);
    for (size_t i = 0; i < HTTP_LISTENERS_MAX; i++) {
        if (tls_equal(a->tls[i], set->items[i])) continue;
        assert(a->tls[i] != NULL && set->items[i] != NULL); /* a reload changes no place */
        if (a->http != NULL) http_server_set_tls(a->http, i, set->items[i]);
        struct tls *old = a->tls[i];
        a->tls[i] = set->items[i]; /* invariant 1 */
        set->items[i] = old;
        changed++;
    }
    lock_drop(&a->lock);
    tls_set_free(set);
    return changed;
}

/* Clients refuse such certificates, but those that do not verify them do not notice. */
static void
warn_of_expired_certificates(struct admission *a)
{
    int64_t now_s = env_realtime_ms(a->env) / 1000;
    assert(lock_is_mine(&a->files_lock)); /* invariant 3: nobody else changes `tls` */
    for (uint32_t i = 0; i < a->lists.listeners.count; i++) {
        if (a->tls[i] != NULL && tls_expires_s(a->tls[i]) <= now_s)
            log_warn("the TLS certificate of a listener has expired",
                     KV("address", a->lists.listeners.items[i].address));
    }
}

/* --- files that change ------------------------------------------------------------------------ */

/* Returns a hash of a file's bytes, 0 if it cannot be read. */
static uint64_t
hash_of_file(const char *path)
{
    struct buf text;
    uint64_t hash = 0;
    if (path[0] == '\0') return 0;
    if (config_read(path, CONFIG_BYTES_MAX, &text, NULL) == OK)
        hash = hash_bytes(buf_bytes(&text), 1) | 1;
    buf_fini(&text);
    return hash;
}

static void
reread_certificates(struct admission *a)
{
    static struct log_gate often;
    struct tls_set set;
    struct why why;
    uint64_t held_back;
    unsigned changed = 0;
    assert(a->http != NULL); /* invariant 4 */
    lock_take(&a->files_lock);
    enum err e = tls_set_read(a, &a->lists.listeners, &set, &why);
    if (e == OK) changed = tls_set_commit(a, &set);
    if (changed > 0) warn_of_expired_certificates(a);
    lock_drop(&a->files_lock);
    atomic_store_explicit(&a->reread_failed, e != OK, memory_order_relaxed);
    if (changed > 0) log_info("TLS certificates reloaded", KV("listeners", changed));
    if (e && log_often(&often, env_monotonic_ns(a->env), LOG_NS, &held_back))
        log_error("cannot reread TLS certificates, keeping the old ones", KV("error", &why));
}

/* Gives the gate a set of users, which is taken over. */
static void
use_users(struct admission *a, struct users *users)
{
    struct users *old = a->users;
    assert(lock_is_mine(&a->files_lock)); /* invariant 3 */
    a->users = users;
    gate_set_users(a->gate, users); /* invariant 2 */
    users_release(old);
    bool has_keys = signing_keys_count(users_signing_keys(users)) > 0;
    atomic_store_explicit(&a->has_signing_keys, has_keys, memory_order_relaxed);
    atomic_store_explicit(&a->signing_keys_failed, false, memory_order_relaxed);
}

static void
reread_signing_keys(struct admission *a)
{
    static struct log_gate often;
    struct why why;
    uint64_t held_back;
    bool is_changed = false;
    if (!atomic_load_explicit(&a->has_signing_keys, memory_order_relaxed)) return;
    lock_take(&a->files_lock);
    struct signing_keys *keys = NULL;
    struct users *users = NULL;
    enum err e = signing_keys_read(&a->lists.users, a->memory, &keys, &why);
    is_changed = e == OK && !signing_keys_equal(keys, users_signing_keys(a->users));
    assert(lock_is_mine(&a->files_lock)); /* invariant 3 */
    if (is_changed) e = users_new(&a->lists.users, a->issuers, a->memory, &users, &why);
    if (users != NULL) use_users(a, users);
    signing_keys_free(keys);
    lock_drop(&a->files_lock);
    atomic_store_explicit(&a->signing_keys_failed, e != OK, memory_order_relaxed);
    if (e == OK && is_changed) log_info("secrets of access keys reloaded");
    if (e && log_often(&often, env_monotonic_ns(a->env), LOG_NS, &held_back))
        log_error("cannot reread the secrets of access keys, keeping the old ones",
                  KV("error", &why));
}

static void
admission_run(void *context)
{
    struct admission *a = context;
    while (worker_rest(&a->worker, env_monotonic_ns(a->env) + LOOK_NS, REST_UNTIL_STOPPED)) {
        issuers_reread_files(a->issuers);
        reread_signing_keys(a);
        reread_certificates(a);
        lock_take(&a->files_lock);
        uint64_t hash = hash_of_file(a->web_config_file);
        bool is_changed = hash != 0 && hash != a->web_config_hash;
        if (is_changed) a->web_config_hash = hash;
        lock_drop(&a->files_lock);
        if (is_changed) a->on_change(a->context);
    }
}

/* --- settings in force ------------------------------------------------------------------------ */

static int passed_socket(const char *name);

/* The clients that can connect to a listener. */
enum reach {
    REACH_FILE, /* processes that may open the file of a Unix socket */
    REACH_MACHINE,
    REACH_NETWORK,
};

static enum reach
reach_of_socket(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } address = {.room = {0}};
    socklen_t size = sizeof address;
    bool is_loopback = false;
    if (fd < 0 || getsockname(fd, &address.any, &size) != 0) return REACH_NETWORK;
    if (address.any.sa_family == AF_UNIX) return REACH_FILE;
    if (address.any.sa_family == AF_INET)
        is_loopback = ntohl(address.v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    if (address.any.sa_family == AF_INET6)
        is_loopback = IN6_IS_ADDR_LOOPBACK(&address.v6.sin6_addr) ||
                      (IN6_IS_ADDR_V4MAPPED(&address.v6.sin6_addr) &&
                       address.v6.sin6_addr.s6_addr[12] == IN_LOOPBACKNET);
    return is_loopback ? REACH_MACHINE : REACH_NETWORK;
}

static enum reach
reach_of(const struct listener_settings *l)
{
    bool is_loopback = strncmp(l->place, "127.", 4) == 0 || strncmp(l->place, "[::1]", 5) == 0 ||
                       strncmp(l->place, "localhost:", 10) == 0;
    if (l->kind == LISTENER_UNIX) return REACH_FILE;
    if (l->kind == LISTENER_FD) return reach_of_socket(passed_socket(l->place));
    return is_loopback ? REACH_MACHINE : REACH_NETWORK;
}

static void
log_warnings(const struct access_settings *lists)
{
    struct buf text;
    buf_init(&text, NULL, 1 << 20);
    access_settings_warn(lists, &text);
    buf_put_u8(&text, '\0');
    if (buf_error(&text) == OK) {
        char *at = (char *)text.at, *line;
        while ((line = strsep(&at, "\n")) != NULL)
            if (line[0] != '\0')
                log_warn("a setting of access is weak or has no effect", KV("setting", line));
    }
    buf_fini(&text);
    /* Warns of listeners on the network that ask for no credentials. */
    for (uint32_t i = 0; i < lists->listeners.count && lists->users.count == 0; i++) {
        const struct listener_settings *l = &lists->listeners.items[i];
        bool asks = l->tls.given && l->tls.client_auth == TLS_CLIENT_REQUIRE;
        if (reach_of(l) != REACH_NETWORK || asks) continue;
        log_warn("no users are configured: whoever reaches this address may read and write",
                 KV("address", l->address));
    }
}

/* Makes the lines of the headers that all answers get; the server sends nosniff itself. */
static enum err
make_headers(struct admission *a, const struct named_texts *headers, struct buf *to,
             struct why *why)
{
    buf_init(to, a->memory, HEADER_LINES_BYTES_MAX);
    for (uint32_t i = 0; i < headers->count; i++) {
        if (strcasecmp(headers->items[i].name, "X-Content-Type-Options") == 0) continue;
        buf_printf(to, "%s: %s\r\n", headers->items[i].name, headers->items[i].value);
    }
    return why_set(why, buf_error(to), "http_server_config.headers cannot be kept: %s",
                   err_word(buf_error(to)));
}

/* Guards listeners that only this machine reaches, and with web.allowed_hosts those on the network,
 * too: without it, the names of this machine are not known. Browsers do not open Unix sockets. */
static void
set_guard(struct admission *a, const struct settings *settings,
          const struct listener_list *listeners)
{
    struct gate_guard guard = {.is_guarded = {false}};
    bool has_hosts = settings->web_allowed_hosts[0] != '\0';
    _Static_assert(sizeof guard.allowed_hosts == sizeof settings->web_allowed_hosts, "both fit");
    _Static_assert(sizeof guard.external_url == SETTING_URL_BYTES, "both fit");
    for (uint32_t i = 0; i < listeners->count; i++) {
        enum reach reach = reach_of(&listeners->items[i]);
        guard.is_guarded[i] = reach == REACH_MACHINE || (reach == REACH_NETWORK && has_hosts);
    }
    memcpy(guard.allowed_hosts, settings->web_allowed_hosts, sizeof guard.allowed_hosts);
    snprintf(guard.external_url, sizeof guard.external_url, "%s", a->external_url);
    gate_set_guard(a->gate, &guard);
}

struct admission_change {
    struct admission *admission;
    const struct settings *settings;
    struct access_settings *lists;
    struct tls_set tls;
    struct users *users;
    struct buf headers;
};

enum err
admission_prepare(struct admission *a, const struct settings *settings,
                  struct access_settings *lists, struct admission_change **ret_change,
                  struct why *why)
{
    struct admission_change *change = mem_new(a->memory, sizeof *change);
    if (change == NULL) return why_set(why, ERR_NOMEM, "not enough memory to reload");
    change->admission = a;
    change->settings = settings;
    change->lists = lists;
    enum err e = a->http == NULL ? OK : access_settings_check_reload(&a->lists, lists, why);
    if (e == OK) e = tls_set_read(a, &lists->listeners, &change->tls, why);
    lock_take(&a->files_lock);
    if (e == OK) e = users_new(&lists->users, a->issuers, a->memory, &change->users, why);
    lock_drop(&a->files_lock);
    if (e == OK) e = make_headers(a, &lists->http.headers, &change->headers, why);
    if (e)
        admission_abandon(change);
    else
        *ret_change = change;
    return e;
}

void
admission_abandon(struct admission_change *change)
{
    if (change == NULL) return;
    tls_set_free(&change->tls);
    users_release(change->users);
    buf_fini(&change->headers);
    mem_free(change->admission->memory, change, sizeof *change);
}

void
admission_commit(struct admission_change *change)
{
    struct admission *a = change->admission;
    bool is_first = a->http == NULL;
    assert(!is_first || a->lists.listeners.count == 0); /* invariant 4 */
    lock_take(&a->files_lock);
    bool has_users =
        is_first || !access_users_equal(&a->lists.users, &change->lists->users) ||
        !signing_keys_equal(users_signing_keys(a->users), users_signing_keys(change->users));
    if (has_users) {
        use_users(a, change->users);
        change->users = NULL;
    }
    if (is_first) memcpy(a->tls, change->tls.items, sizeof a->tls); /* no other thread has it */
    if (is_first) change->tls = (struct tls_set){{NULL}};
    if (!is_first) (void)tls_set_commit(a, &change->tls);
    struct access_settings old = a->lists;
    a->lists = *change->lists;
    *change->lists = old; /* is freed with the rest of the caller's lists */
    warn_of_expired_certificates(a);
    snprintf(a->web_config_file, sizeof a->web_config_file, "%s",
             change->settings->web_config_file);
    a->web_config_hash = hash_of_file(a->web_config_file);
    lock_drop(&a->files_lock);
    unsigned allowed[HTTP_LISTENERS_MAX];
    for (uint32_t i = 0; i < a->lists.listeners.count; i++)
        allowed[i] = a->lists.listeners.items[i].allow;
    gate_set_places(a->gate, allowed, a->lists.listeners.count);
    static struct networks proxies; /* one thread at a time */
    char item[SETTING_TEXT_BYTES];
    proxies.count = 0;
    for (const char *rest = change->settings->web_trusted_proxies;
         proxies.count < NETWORKS_MAX && (rest = settings_list_next(rest, item)) != NULL;)
        if (network_parse(item, &proxies.items[proxies.count])) proxies.count++;
    gate_set_proxies(a->gate, &proxies);
    set_guard(a, change->settings, &a->lists.listeners);
    gate_set_rate(a->gate, a->lists.http.rate_interval_ns, a->lists.http.rate_burst);
    if (is_first)
        a->first_headers = change->headers, change->headers = (struct buf){.at = NULL};
    else
        http_server_set_headers(a->http, &change->headers);
    log_warnings(&a->lists);
    admission_abandon(change);
}

void
admission_print_yaml(struct admission *a, struct buf *to)
{
    lock_take(&a->files_lock);
    access_settings_print_yaml(&a->lists, to);
    lock_drop(&a->files_lock);
}

bool
admission_has_users(const struct admission *a)
{
    return a->lists.users.count > 0;
}

void
admission_print_addresses(struct admission *a, char *to, size_t to_size)
{
    size_t used = 0;
    to[0] = '\0';
    for (uint32_t i = 0; i < a->lists.listeners.count && used < to_size; i++) {
        used += (size_t)snprintf(to + used, to_size - used, "%s%s", i == 0 ? "" : ",",
                                 a->lists.listeners.items[i].address);
    }
}

bool
admission_first_host(struct admission *a, char *ret_host)
{
    uint16_t port;
    for (uint32_t i = 0; i < a->lists.listeners.count; i++) {
        const struct listener_settings *l = &a->lists.listeners.items[i];
        if (l->kind == LISTENER_TCP)
            return settings_listen_address(l->place, ret_host, &port, NULL) == OK;
    }
    return false;
}

/* --- places ----------------------------------------------------------------------------------- */

/* The sockets that the service manager passes: sd_listen_fds_with_names(3). */
enum { FIRST_SOCKET = 3 };

/* Reads the next name. False: there are no more sockets. */
static bool
next_socket_name(int *index, const char **rest, struct bytes *ret_name)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    long sockets = count == NULL ? 0 : strtol(count, NULL, 10);
    if (*index < 0) *rest = getenv("LISTEN_FDNAMES");
    if (pid == NULL || strtol(pid, NULL, 10) != getpid() || *rest == NULL) return false;
    if (++*index >= sockets) return false;
    size_t size = strcspn(*rest, ":");
    *ret_name = bytes_of((const uint8_t *)*rest, size);
    *rest += (*rest)[size] == ':' ? size + 1 : size;
    return true;
}

/* Returns how many sockets have a name, and one of them. */
static unsigned
count_passed_sockets(const char *name, int *ret_socket)
{
    unsigned found = 0;
    struct bytes other;
    const char *rest;
    for (int i = -1; next_socket_name(&i, &rest, &other);) {
        if (!bytes_equal_text(other, name)) continue;
        *ret_socket = FIRST_SOCKET + i;
        found++;
    }
    return found;
}

static int
passed_socket(const char *name)
{
    int socket = -1;
    (void)count_passed_sockets(name, &socket);
    return socket;
}

/* Clients that connect to such a socket wait in vain: the service manager listens. */
static void
warn_of_unused_sockets(const struct listener_list *listeners)
{
    struct bytes name;
    const char *rest;
    for (int i = -1; next_socket_name(&i, &rest, &name);) {
        bool is_used = false;
        for (uint32_t l = 0; l < listeners->count; l++) {
            is_used |= listeners->items[l].kind == LISTENER_FD &&
                       bytes_equal_text(name, listeners->items[l].place);
        }
        if (!is_used)
            log_warn("no listener uses a socket of the service manager: its clients get no answer",
                     KV("name", name));
    }
}

static enum err
make_place(struct admission *a, size_t i, struct why *why)
{
    const struct listener_settings *l = &a->lists.listeners.items[i];
    struct http_place *place = &a->places[i];
    enum err e = OK;
    assert((a->tls[i] != NULL) == l->tls.given); /* invariant 1 */
    *place = (struct http_place){.name = l->address, .tls = a->tls[i]};
    switch (l->kind) {
    case LISTENER_TCP:
        e = settings_listen_address(l->place, a->hosts[i], &place->port, why);
        place->host = a->hosts[i];
        break;
    case LISTENER_UNIX:
        place->unix_path = l->place;
        place->unix_mode = l->mode;
        break;
    case LISTENER_FD: {
        unsigned found = count_passed_sockets(l->place, &place->socket);
        if (found == 0)
            e = why_set(why, ERR_INPUT, "the service manager passes no socket of this name");
        if (found > 1)
            e = why_set(why, ERR_INPUT,
                        "the service manager passes %u sockets of this name; use a socket unit "
                        "with a FileDescriptorName= of its own for each",
                        found);
        if (e) why_prefix(why, e, "listener %s", l->address);
        break;
    }
    }
    return e;
}

enum err
admission_places(struct admission *a, const struct http_place **ret_places, size_t *ret_count,
                 struct why *why)
{
    enum err e = OK;
    *ret_places = a->places;
    *ret_count = a->lists.listeners.count;
    warn_of_unused_sockets(&a->lists.listeners);
    for (size_t i = 0; i < *ret_count && e == OK; i++)
        e = make_place(a, i, why);
    return e;
}

/* --- metrics ---------------------------------------------------------------------------------- */

static void
collect(struct metric_sink *sink, void *context)
{
    static const struct metric_family refused = {
        "firekeep_http_requests_not_let_in_total",
        "Requests that were refused before they were read, by reason.", METRIC_KIND_COUNTER};
    static const struct metric_family passwords = {
        "firekeep_password_checks_total", "Passwords that requests had, by how they were checked.",
        METRIC_KIND_COUNTER};
    static const char *const reasons[GATE_REFUSALS] = {"unauthorized", "forbidden", "busy", "rate"};
    struct admission *a = context;
    struct gate_stats stats;
    int64_t first_s = INT64_MAX;
    gate_stats(a->gate, &stats);
    for (size_t i = 0; i < GATE_REFUSALS; i++) {
        struct metric_pair label = {"reason", bytes_of_text(reasons[i])};
        metric_put_u64(sink, &refused, &label, 1, stats.refused[i]);
    }
    metric_put_u64(sink, &passwords, &(struct metric_pair){"how", bytes_of_text("remembered")}, 1,
                   stats.passwords_known);
    metric_put_u64(sink, &passwords, &(struct metric_pair){"how", bytes_of_text("hashed")}, 1,
                   stats.passwords_hashed);
    metric_put_u64(sink, &passwords, &(struct metric_pair){"how", bytes_of_text("turned_away")}, 1,
                   stats.passwords_full);
    metric_put_budget(sink, &a->unverified);
    if (atomic_load_explicit(&a->has_signing_keys, memory_order_relaxed))
        metric_put_one(
            sink, "firekeep_access_keys_last_reread_successful", METRIC_KIND_GAUGE,
            "1 if the files of access keys could be read the last time that they were looked at.",
            (double)(!atomic_load_explicit(&a->signing_keys_failed, memory_order_relaxed)));
    lock_take(&a->lock);
    for (size_t i = 0; i < HTTP_LISTENERS_MAX; i++)
        if (a->tls[i] != NULL && tls_expires_s(a->tls[i]) < first_s)
            first_s = tls_expires_s(a->tls[i]);
    lock_drop(&a->lock);
    if (first_s == INT64_MAX) return;
    metric_put_one(
        sink, "firekeep_tls_certificate_expiry_timestamp_seconds", METRIC_KIND_GAUGE,
        "Unix time at which the first of the listeners' certificates expires, in seconds.",
        (double)first_s);
    metric_put_one(sink, "firekeep_tls_last_reread_successful", METRIC_KIND_GAUGE,
                   "1 if the files of TLS could be read the last time that they were looked at.",
                   (double)(!atomic_load_explicit(&a->reread_failed, memory_order_relaxed)));
}

/* --- life ------------------------------------------------------------------------------------- */

enum err
admission_new(struct env *env, struct budget *memory, const struct settings *settings,
              struct access_settings *lists, const char *external_url,
              void (*on_change)(void *context), void *context, struct admission **ret_admission,
              struct why *why)
{
    struct admission_change *change;
    struct admission *a = mem_new(memory, sizeof *a);
    if (a == NULL) return why_set(why, ERR_NOMEM, "not enough memory to start");
    a->env = env;
    a->memory = memory;
    budget_init(&a->unverified, "unverified",
                atomic_load_explicit(&memory->limit_bytes, memory_order_relaxed) / UNVERIFIED_PART,
                memory);
    a->external_url = external_url;
    a->on_change = on_change;
    a->context = context;
    lock_init(&a->files_lock, LOCK_RANK_SETTINGS);
    lock_init(&a->lock, LOCK_RANK_API);
    worker_init(&a->worker, env);
    enum err e = gate_new(env, memory, &a->gate, why);
    if (e == OK) e = issuers_new(env, memory, &a->issuers, why);
    if (e == OK) e = admission_prepare(a, settings, lists, &change, why);
    if (e) {
        admission_free(a);
        return e;
    }
    admission_commit(change);
    a->collector = (struct metric_collector){.collect = collect, .context = a};
    metric_register_collector(&a->collector);
    *ret_admission = a;
    return OK;
}

struct http_gate
admission_gate(struct admission *a)
{
    struct http_gate gate = gate_of_server(a->gate);
    gate.unverified = &a->unverified;
    return gate;
}

struct gate *
admission_users(struct admission *a)
{
    return a->gate;
}

struct gate_sessions
admission_sessions(struct admission *a)
{
    return gate_sessions_of(a->gate);
}

enum err
admission_begin(struct admission *a, struct http_server *server, struct why *why)
{
    assert(a->http == NULL); /* invariant 4 */
    a->http = server;
    http_server_set_headers(server, &a->first_headers);
    enum err e = worker_start(&a->worker, "admission", admission_run, a);
    if (e) return why_set(why, e, "cannot start a thread");
    return key_fetcher_start(a->env, a->memory, a->issuers, &a->fetcher, why);
}

void
admission_end(struct admission *a)
{
    if (a == NULL) return;
    worker_join(&a->worker);
    key_fetcher_stop(a->fetcher);
    a->fetcher = NULL;
    a->http = NULL;
}

void
admission_free(struct admission *a)
{
    if (a == NULL) return;
    metric_unregister(&a->collector.link);
    worker_join(&a->worker);
    worker_fini(&a->worker);
    key_fetcher_stop(a->fetcher);
    gate_free(a->gate);
    users_release(a->users);
    issuers_free(a->issuers);
    for (size_t i = 0; i < HTTP_LISTENERS_MAX; i++)
        tls_release(a->tls[i]);
    access_settings_free(&a->lists);
    buf_fini(&a->first_headers);
    lock_fini(&a->files_lock);
    lock_fini(&a->lock);
    mem_free(a->memory, a, sizeof *a);
}
