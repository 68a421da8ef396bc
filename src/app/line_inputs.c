/*
 * line_inputs.c - see server_private.h: listeners for lines, each with a thread, and the thread
 * that writes pushed metrics again.
 *
 *     accept -> bytes -> whole lines -> one request -> own_store()
 *                                            |             |
 *                                  OpenTSDB: errors of    ERR_AGAIN, ERR_NOMEM: nothing is read
 *                                  lines are sent back    until it could be stored
 *
 * Lines are not answered, so what is in a buffer or in a batch of the log when the process ends is
 * lost.
 */
#include "app/server_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text/quote.h"
#include "base/version.h"
#include "inputs/graphite/graphite.h"
#include "inputs/opentsdb/opentsdb.h"
#include "inputs/push/push.h"
#include "wire/remote/remote_write_fill.h"

enum { LINE_BYTES_MAX = 64 * 1024, LINES_LOOK_MS = 1000, RETRY_MS = 100, BACKLOG = 64 };
#define LINES_LOG_AGAIN_NS (60 * NS_PER_S)
#define REPEAT_NS          (60 * NS_PER_S)

static struct metric_counter line_points[] = {
    {.name = "firekeep_input_lines_total",
     .help = "Lines that listeners took, by their protocol.",
     .labels = {{"input", "graphite"}}},
    {.name = "firekeep_input_lines_total",
     .help = "Lines that listeners took, by their protocol.",
     .labels = {{"input", "opentsdb"}}}};
static struct metric_counter line_refused[] = {
    {.name = "firekeep_input_refused_lines_total",
     .help = "Lines that listeners refused, or whose sample the store refused, by their protocol.",
     .labels = {{"input", "graphite"}}},
    {.name = "firekeep_input_refused_lines_total",
     .help = "Lines that listeners refused, or whose sample the store refused, by their protocol.",
     .labels = {{"input", "opentsdb"}}}};

struct line_connection {
    int socket; /* -1: closed */
    int64_t heard_ns;
    size_t size; /* of what is in `text` */
    char *text;  /* LINE_BYTES_MAX */
};

struct line_listener {
    struct line_inputs *all;
    const struct line_listener_settings *settings;
    struct networks allow;
    struct graphite_templates *templates;
    int socket; /* that listens; -1: none */
    struct env_thread *thread;

    /* The thread owns these. */
    struct rw_request request;
    struct line_connection *connections;
    struct pollfd *polled;
    uint32_t count;
    struct log_gate gate;
};

struct line_inputs {
    struct line_inputs_options options;
    struct line_listener *listeners;
    uint32_t count;
    _Atomic bool stopping; /* relaxed */
    struct worker repeater;
};

/* --- lines ------------------------------------------------------------------------------------ */

static void
log_lines(struct line_listener *l, const char *sentence)
{
    uint64_t held_back;
    if (log_often(&l->gate, env_monotonic_ns(l->all->options.env), LINES_LOG_AGAIN_NS, &held_back))
        log_warn("lines are refused", KV("address", l->settings->address), KV("error", sentence),
                 KV("more_held_back", held_back));
}

/* Counts a line that is not one, or may not be written. */
static void
refuse_line(struct line_listener *l, const char *sentence)
{
    metric_inc(&line_points[l->settings->type]);
    metric_inc(&line_refused[l->settings->type]);
    log_lines(l, sentence);
}

#define NO_PERMISSION "the listener's user is unknown, or may not write to the tenant"

/* Finds whose the lines are. False: they may not be written. */
static bool
find_tenant(const struct line_listener *l, const struct users *users, const struct user **ret_user,
            struct bytes *ret_tenant)
{
    const char *name = l->settings->tenant;
    const struct user *user = NULL;
    if (users != NULL && users_count(users) > 0) {
        user = l->settings->user == NULL ? NULL
                                         : users_by_name(users, bytes_of_text(l->settings->user));
        if (user == NULL || (user->permissions & PERMISSION_WRITE) == 0) return false;
        if (name == NULL && l->all->options.tenancy) name = user_only_tenant(user);
    }
    if (name == NULL) name = "anonymous";
    *ret_user = user;
    *ret_tenant = bytes_of_text(name);
    return user == NULL || user_may_use(user, *ret_tenant);
}

/* Says whether lines are those of another protocol, whose sender must be cut off. */
static bool
is_foreign(const char *text, size_t size)
{
    static const char *const verbs[] = {"GET /",    "POST /",   "PUT /",      "HEAD /",  "DELETE /",
                                        "OPTIONS ", "CONNECT ", "PRI * HTTP", "\x16\x03"};
    for (unsigned i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        size_t verb = strlen(verbs[i]);
        if (size >= verb && memcmp(text, verbs[i], verb) == 0) return true;
    }
    return memchr(text, '\0', size) != NULL;
}

static void
answer(const struct line_connection *c, const char *text)
{
    /* A client that does not read its errors loses them. */
    (void)!send(c->socket, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Takes a line of a client. False: the client is to be cut off. */
static bool
take_line(struct line_listener *l, const struct line_connection *c, struct bytes line, enum err *e)
{
    struct why why = {.text = ""};
    bool is_telnet = l->settings->type == LINES_OPENTSDB;
    if (line.size > 0 && line.at[line.size - 1] == '\r') line.size--;
    if (line.size == 0) return true;
    if (is_telnet && bytes_equal_text(line, "exit")) return false;
    if (is_telnet && bytes_equal_text(line, "version")) {
        answer(c, "firekeep " FIREKEEP_VERSION "\n");
        return true;
    }
    *e = is_telnet ? opentsdb_line_fill(&l->request, line, &why)
                   : graphite_line_fill(l->templates, env_realtime_ms(l->all->options.env),
                                        &l->request, line, &why);
    metric_inc(&line_points[l->settings->type]);
    if (*e != ERR_INPUT) return true;
    *e = OK;
    metric_inc(&line_refused[l->settings->type]);
    char text[sizeof why.text + 80];
    snprintf(text, sizeof text, "%s\n", why.text);
    if (is_telnet) answer(c, text);
    snprintf(text, sizeof text, "%s: %s", shown_of(line).text, why.text);
    log_lines(l, text);
    return true;
}

/* Stores the request, for as long as that takes. */
static enum err
store_lines(struct line_listener *l, struct bytes tenant, const struct user *user)
{
    struct line_inputs *all = l->all;
    struct rules_written written = {.rejected = 0};
    struct why why = {.text = ""};
    uint32_t changed;
    enum err e = OK;
    if (user != NULL && user->write_labels.size > 0)
        e = rw_overwrite_labels(&l->request, user->write_labels, &changed, &why);
    while (e == OK) {
        e = own_store(all->options.writes, TSDB_FROM_SENDER, tenant, &l->request, &written, &why);
        if (e != ERR_AGAIN && e != ERR_NOMEM) break;
        log_lines(l, why.text);
        if (atomic_load_explicit(&all->stopping, memory_order_relaxed)) break;
        env_sleep(all->options.env, RETRY_MS * NS_PER_MS);
        e = OK;
    }
    metric_add(&line_refused[l->settings->type], written.rejected);
    if (written.rejected > 0) log_lines(l, written.text);
    if (e) log_lines(l, why_text(&why, e));
    return e;
}

/* Takes all whole lines of what a client has sent. False: it is to be cut off. */
static bool
take_lines(struct line_listener *l, struct line_connection *c)
{
    struct users *users = gate_hold_users(l->all->options.gate);
    const struct user *user = NULL;
    struct bytes tenant = {NULL, 0};
    size_t from = 0;
    char *feed;
    uint64_t lines = 0;
    bool is_permitted = find_tenant(l, users, &user, &tenant), goes_on = true;
    enum err e = OK;
    rw_fill_begin(&l->request, l->all->options.seed, c->size);
    while (goes_on && e == OK && from < c->size &&
           (feed = memchr(c->text + from, '\n', c->size - from)) != NULL) {
        size_t size = (size_t)(feed - c->text) - from;
        goes_on = !is_foreign(c->text + from, size);
        if (goes_on && is_permitted)
            goes_on = take_line(l, c, bytes_of(c->text + from, size), &e);
        else
            refuse_line(l, is_permitted ? "a line is not of this protocol" : NO_PERMISSION);
        from += size + 1;
        lines++;
    }
    if (goes_on && is_foreign(c->text + from, c->size - from)) {
        refuse_line(l, "a line is not of this protocol");
        goes_on = false;
    }
    goes_on &= is_permitted;
    if (e) log_lines(l, err_word(e));
    if (e == OK) {
        rw_fill_end(&l->request);
        lines = l->request.series_count;
        if (lines > 0) e = store_lines(l, tenant, user);
    }
    if (e) metric_add(&line_refused[l->settings->type], lines);
    rw_request_clear(&l->request);
    if (users != NULL) users_release(users);
    memmove(c->text, c->text + from, c->size - from);
    c->size -= from;
    if (c->size == LINE_BYTES_MAX) {
        refuse_line(l, "a line is longer than 64 KiB");
        goes_on = false;
    }
    return goes_on && e == OK;
}

/* --- connections ------------------------------------------------------------------------------ */

static void
close_line(struct line_listener *l, struct line_connection *c)
{
    close(c->socket);
    mem_free(l->all->options.memory, c->text, LINE_BYTES_MAX);
    *c = (struct line_connection){.socket = -1};
    l->count--;
}

static bool
may_connect(const struct line_listener *l, const struct sockaddr_storage *from)
{
    struct ip_network peer;
    char text[INET6_ADDRSTRLEN];
    const void *address =
        from->ss_family == AF_INET
            ? (const void *)&((const struct sockaddr_in *)(const void *)from)->sin_addr
            : &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
    if (l->allow.count == 0) return true;
    return inet_ntop(from->ss_family, address, text, sizeof text) != NULL &&
           network_parse(text, &peer) && networks_have(&l->allow, peer.address);
}

static void
accept_line(struct line_listener *l)
{
    struct sockaddr_storage from;
    socklen_t size = sizeof from;
    int socket = accept4(l->socket, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (socket < 0) return;
    char *text = NULL;
    if (!may_connect(l, &from))
        log_lines(l, "a client connects from an address that is not in 'allow'");
    else if (l->count == l->settings->connections_max)
        log_lines(l, "max_connections is reached");
    else
        text = mem_alloc(l->all->options.memory, LINE_BYTES_MAX);
    if (text == NULL) {
        close(socket);
        return;
    }
    struct line_connection *c = l->connections;
    while (c->socket >= 0)
        c++;
    *c = (struct line_connection){socket, env_monotonic_ns(l->all->options.env), 0, text};
    l->count++;
}

static void
read_line_client(struct line_listener *l, struct line_connection *c)
{
    ssize_t n = recv(c->socket, c->text + c->size, LINE_BYTES_MAX - c->size, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n > 0) {
        c->heard_ns = env_monotonic_ns(l->all->options.env);
        c->size += (size_t)n;
    } else if (n == 0 && c->size > 0 && c->size < LINE_BYTES_MAX) {
        c->text[c->size++] = '\n'; /* the last line may lack it */
        (void)take_lines(l, c);
    }
    if (n <= 0 || !take_lines(l, c)) close_line(l, c);
}

static void
listen_loop(void *context)
{
    struct line_listener *l = context;
    struct line_inputs *all = l->all;
    uint32_t most = l->settings->connections_max;
    while (!atomic_load_explicit(&all->stopping, memory_order_relaxed)) {
        for (uint32_t i = 0; i <= most; i++)
            l->polled[i] =
                (struct pollfd){i < most ? l->connections[i].socket : l->socket, POLLIN, 0};
        int n = poll(l->polled, most + 1, LINES_LOOK_MS);
        int64_t now_ns = env_monotonic_ns(all->options.env);
        for (uint32_t i = 0; i < most; i++) {
            struct line_connection *c = &l->connections[i];
            if (c->socket < 0) continue;
            if (n > 0 && l->polled[i].revents != 0)
                read_line_client(l, c);
            else if (now_ns - c->heard_ns > l->settings->idle_ms * NS_PER_MS)
                close_line(l, c);
        }
        if (n > 0 && l->polled[most].revents != 0) accept_line(l);
    }
}

/* --- pushed metrics --------------------------------------------------------------------------- */

static enum err
store_pushed(void *context, struct bytes tenant, struct rw_request *request, bool settles,
             struct why *why)
{
    struct line_inputs *all = context;
    struct rules_written written;
    enum err e = own_store(all->options.writes, TSDB_FROM_SERVER, tenant, request, &written, why);
    if (e == OK && written.rejected > 0)
        log_warn("samples of pushed metrics are refused", KV("tenant", tenant),
                 KV("error", written.text));
    return e == OK && settles ? own_settle(all->options.writes, written.ticket, why) : e;
}

static void
repeat_loop(void *context)
{
    struct line_inputs *all = context;
    const struct line_inputs_options *o = &all->options;
    for (;;) {
        if (!worker_rest(&all->repeater, env_monotonic_ns(o->env) + REPEAT_NS, REST_UNTIL_STOPPED))
            return;
        struct rw_request request;
        struct why why = {.text = ""};
        enum err e = rw_request_init(&request, o->memory);
        if (e == OK)
            e = push_repeat(o->pushed, env_realtime_ms(o->env), o->seed, &request, store_pushed,
                            all, &why);
        rw_request_fini(&request);
        if (e) log_warn("cannot write pushed metrics again", KV("error", why_text(&why, e)));
    }
}

/* --- life ------------------------------------------------------------------------------------- */

static enum err
start_listener(struct line_listener *l, struct why *why)
{
    const struct line_listener_settings *s = l->settings;
    struct budget *memory = l->all->options.memory;
    char host[SETTING_TEXT_BYTES];
    uint16_t port;
    enum err e = settings_listen_address(s->address, host, &port, why);
    for (uint32_t i = 0; i < s->allow_count && e == OK; i++)
        if (!network_parse(s->allow[i], &l->allow.items[l->allow.count++])) e = ERR_INPUT;
    if (e == OK && s->template_count > 0)
        e = graphite_templates_new(s->templates, s->template_count, s->separator, memory,
                                   &l->templates, why);
    if (e == OK) e = rw_request_init(&l->request, memory);
    l->connections = mem_new(memory, s->connections_max * sizeof *l->connections);
    l->polled = mem_new(memory, (s->connections_max + 1) * sizeof *l->polled);
    if (e == OK && (l->connections == NULL || l->polled == NULL)) e = ERR_NOMEM;
    for (uint32_t i = 0; i < s->connections_max && l->connections != NULL; i++)
        l->connections[i].socket = -1;
    if (e == OK) e = env_listen(l->all->options.env, host, port, BACKLOG, &l->socket, why);
    if (e == OK) e = env_thread_start(l->all->options.env, "lines", listen_loop, l, &l->thread);
    return e ? why_prefix(why, e, "line_listeners: %s", s->address) : OK;
}

static void
end_listener(struct line_listener *l)
{
    struct line_inputs *all = l->all;
    uint32_t most = l->settings->connections_max;
    if (l->thread != NULL) env_thread_join(all->options.env, l->thread);
    for (uint32_t i = 0; i < most && l->connections != NULL; i++)
        if (l->connections[i].socket >= 0) close_line(l, &l->connections[i]);
    if (l->socket >= 0) close(l->socket);
    mem_free(all->options.memory, l->connections, most * sizeof *l->connections);
    mem_free(all->options.memory, l->polled, (most + 1) * sizeof *l->polled);
    graphite_templates_free(l->templates);
    rw_request_fini(&l->request);
}

enum err
line_inputs_start(const struct line_inputs_options *options, struct line_inputs **ret,
                  struct why *why)
{
    struct line_inputs *all = mem_new(NULL, sizeof *all);
    if (all == NULL) return why_set(why, ERR_NOMEM, "not enough memory to start");
    all->options = *options;
    *ret = all;
    for (unsigned i = 0; i < 2; i++) {
        metric_register_counter(&line_points[i]);
        metric_register_counter(&line_refused[i]);
    }
    worker_init(&all->repeater, options->env);
    enum err e = OK;
    if (options->pushed != NULL) e = worker_start(&all->repeater, "pushed", repeat_loop, all);
    all->listeners = mem_new(NULL, (options->lines.line_count + 1) * sizeof *all->listeners);
    if (all->listeners == NULL) e = ERR_NOMEM;
    for (uint32_t i = 0; i < options->lines.line_count && e == OK; i++) {
        struct line_listener *l = &all->listeners[all->count++];
        *l = (struct line_listener){.all = all, .settings = &options->lines.lines[i], .socket = -1};
        e = start_listener(l, why);
    }
    return e;
}

void
line_inputs_stop(struct line_inputs *all)
{
    if (all == NULL) return;
    atomic_store_explicit(&all->stopping, true, memory_order_relaxed);
    worker_stop(&all->repeater);
    for (uint32_t i = 0; i < all->count; i++)
        if (all->listeners[i].socket >= 0) env_shutdown(all->options.env, all->listeners[i].socket);
}

void
line_inputs_free(struct line_inputs *all)
{
    if (all == NULL) return;
    line_inputs_stop(all);
    worker_join(&all->repeater);
    worker_fini(&all->repeater);
    for (uint32_t i = 0; i < all->count; i++)
        end_listener(&all->listeners[i]);
    mem_free(NULL, all->listeners, (all->options.lines.line_count + 1) * sizeof *all->listeners);
    mem_free(NULL, all, sizeof *all);
}
