/*
 * dns.c - asks each question for one full name after another.
 *
 * c-ares reads /etc/resolv.conf when a channel is made, so a new channel is made whenever no
 * question is pending: changes of the file count from the next round of look-ups on. c-ares cannot
 * cancel a single query, so a canceled question stays until its answer arrives, which is dropped.
 *
 *      PENDING --answered--> DONE --dns_done()--> shown
 *         |                    |
 *     dns_give_up()        dns_give_up()
 *         v                    v
 *      ABANDONED --answered--> DROPPED --dns_done()--> freed
 *
 * Invariants:
 *
 * 1. A question is in the list until dns_done(); one at most is `shown`, until the next dns_done().
 * 2. A question that is PENDING or ABANDONED has a query of the channel, which is not closed then.
 * 3. An answer that failed has no records.
 *
 * From 1.28 on c-ares passes parsed messages, and functions that pass and parse bytes are
 * deprecated; Debian 12 has 1.18, which has only these. dns_send_query() and parse_answer() exist
 * for both.
 */
#include "notify/outside/outside.h"

#include <ares.h>
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <assert.h>
#include <netdb.h>
#include <pthread.h>
#include <resolv.h>
#include <stdio.h>

enum {
    TIMEOUT_MS = 2000,
    TRIES = 2,
    NAME_BYTES = 1100,
    TARGETS_BYTES_MAX = 1 << 20,
};

struct dns_question {
    struct dns_question *next;
    struct dns *dns;
    void *context;
    enum { DNS_PENDING, DNS_ABANDONED, DNS_DONE, DNS_DROPPED } state;
    enum dns_record type;
    int at;          /* index of the next name to ask for */
    bool has_failed; /* servers did not answer for one of its names */
    struct dns_answer answer;
    struct arena arena; /* holds records */
    struct dns_answer_record *records;
    uint32_t count;
    char name[];
};

struct dns {
    struct budget *memory;
    char *servers; /* addresses of name servers; NULL for those of the system */
    size_t servers_bytes;
    ares_channel channel;
    bool has_channel;
    struct __res_state system;          /* `search` (6 domains at most) and ndots */
    struct pollfd sockets[DNS_FDS_MAX]; /* the channel's, with the events it waits for */
    uint32_t socket_count;
    struct dns_question *questions; /* invariant 1 */
    struct dns_question *shown;     /* NULL, or the question whose answer the caller has */
    bool is_ending;
};

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static bool library_is_there; /* written once, before other threads start */

static void
library_init(void)
{
    library_is_there = ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS;
}

/* --- life ------------------------------------------------------------------------------------- */

static void
question_free(struct dns_question *q)
{
    if (q == NULL) return;
    arena_fini(&q->arena);
    mem_free(q->dns->memory, q, sizeof *q + strlen(q->name) + 1);
}

static void
close_channel(struct dns *dns)
{
    if (!dns->has_channel) return;
    ares_destroy(dns->channel); /* calls back for pending queries */
    dns->socket_count = 0;
    dns->has_channel = false;
}

enum err
dns_new(struct budget *memory, const char *servers, struct dns **ret_dns, struct why *why)
{
    struct dns *dns = mem_new(memory, sizeof *dns);
    pthread_once(&library_once, library_init);
    if (dns != NULL) dns->memory = memory;
    if (dns != NULL && servers != NULL) {
        dns->servers_bytes = strlen(servers) + 1;
        dns->servers = mem_alloc(memory, dns->servers_bytes);
        if (dns->servers != NULL) memcpy(dns->servers, servers, dns->servers_bytes);
    }
    bool is_whole = dns != NULL && library_is_there && (servers == NULL || dns->servers != NULL);
    if (!is_whole) {
        dns_free(dns);
        return why_set(why, ERR_NOMEM, "not enough memory for look-ups of names");
    }
    *ret_dns = dns;
    return OK;
}

void
dns_free(struct dns *dns)
{
    if (dns == NULL) return;
    dns->is_ending = true;
    close_channel(dns);
    while (dns->questions != NULL) {
        struct dns_question *next = dns->questions->next;
        question_free(dns->questions);
        dns->questions = next;
    }
    question_free(dns->shown);
    mem_free(dns->memory, dns->servers, dns->servers_bytes);
    mem_free(dns->memory, dns, sizeof *dns);
}

static bool
is_done(const struct dns_question *q)
{
    return q->state == DNS_DONE || q->state == DNS_DROPPED;
}

/* Notes the events that a socket of the channel waits for. A socket that finds no room is not
 * polled, and its query times out. */
static void
on_socket(void *context, ares_socket_t fd, int reads, int writes)
{
    struct dns *dns = context;
    short events = (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0));
    uint32_t i = 0;
    assert(dns->socket_count <= DNS_FDS_MAX);
    while (i < dns->socket_count && dns->sockets[i].fd != fd)
        i++;
    if (i < dns->socket_count && events == 0)
        dns->sockets[i] = dns->sockets[--dns->socket_count];
    else if (i < dns->socket_count)
        dns->sockets[i].events = events;
    else if (events != 0 && i < DNS_FDS_MAX)
        dns->sockets[dns->socket_count++] = (struct pollfd){.fd = fd, .events = events};
}

static enum err
open_channel(struct dns *dns, struct why *why)
{
    struct ares_options options = {
        .flags = ARES_FLAG_EDNS | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
        .timeout = TIMEOUT_MS,
        .tries = TRIES,
        .sock_state_cb = on_socket,
        .sock_state_cb_data = dns,
    };
    int set = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
#ifdef ARES_OPT_QUERY_CACHE
    set |= ARES_OPT_QUERY_CACHE; /* 0 seconds: older versions do not cache either */
#endif
    assert(!dns->has_channel);
    assert(dns->socket_count == 0);
    memset(&dns->system, 0, sizeof dns->system);
    int status = res_ninit(&dns->system) == 0 ? ARES_SUCCESS : ARES_EFILE;
    if (status == ARES_SUCCESS) {
        res_nclose(&dns->system); /* its fields stay */
        status = ares_init_options(&dns->channel, &options, set);
        dns->has_channel = status == ARES_SUCCESS;
    }
    if (status == ARES_SUCCESS && dns->servers != NULL)
        status = ares_set_servers_ports_csv(dns->channel, dns->servers);
    if (status == ARES_SUCCESS) return OK;
    close_channel(dns);
    return why_set(why, status == ARES_ENOMEM ? ERR_NOMEM : ERR_IO,
                   "cannot ask name servers as /etc/resolv.conf says: %s", ares_strerror(status));
}

static const int types[] = {[DNS_SRV] = ns_t_srv,
                            [DNS_A] = ns_t_a,
                            [DNS_AAAA] = ns_t_aaaa,
                            [DNS_MX] = ns_t_mx,
                            [DNS_NS] = ns_t_ns};

/* --- answers ---------------------------------------------------------------------------------- */

static void
add_record(struct dns_question *q, const char *target, uint32_t port)
{
    q->answer.is_cut |= q->count == DNS_RECORDS_MAX;
    if (q->answer.is_cut || q->answer.e) return;
    struct dns_answer_record *records =
        arena_push(&q->arena, q->records, q->count, sizeof *records);
    struct bytes copy = arena_copy(&q->arena, bytes_of(target, strlen(target) + 1));
    if (records == NULL || copy.at == NULL) {
        q->answer.e = ERR_NOMEM;
        snprintf(q->answer.error, sizeof q->answer.error, "not enough memory for the answer");
        return;
    }
    q->records = records;
    q->records[q->count++] = (struct dns_answer_record){(const char *)copy.at, port};
}

static void
add_address(struct dns_question *q, int family, const void *address)
{
    char text[INET6_ADDRSTRLEN];
    if (inet_ntop(family, address, text, sizeof text) != NULL) add_record(q, text, 0);
}

#if ARES_VERSION >= 0x011c00

static void
parse_answer(struct dns_question *q, const ares_dns_record_t *message)
{
    size_t count = ares_dns_record_rr_cnt(message, ARES_SECTION_ANSWER);
    for (size_t i = 0; i < count; i++) {
        const ares_dns_rr_t *rr = ares_dns_record_rr_get_const(message, ARES_SECTION_ANSWER, i);
        ares_dns_rec_type_t type = ares_dns_rr_get_type(rr);
        if ((int)type != types[q->type]) continue; /* skips other records, usually a CNAME */
        if (type == ARES_REC_TYPE_A)
            add_address(q, AF_INET, ares_dns_rr_get_addr(rr, ARES_RR_A_ADDR));
        else if (type == ARES_REC_TYPE_AAAA)
            add_address(q, AF_INET6, ares_dns_rr_get_addr6(rr, ARES_RR_AAAA_ADDR));
        else if (type == ARES_REC_TYPE_SRV)
            add_record(q, ares_dns_rr_get_str(rr, ARES_RR_SRV_TARGET),
                       ares_dns_rr_get_u16(rr, ARES_RR_SRV_PORT));
        else
            add_record(q,
                       ares_dns_rr_get_str(rr, type == ARES_REC_TYPE_MX ? ARES_RR_MX_EXCHANGE
                                                                        : ARES_RR_NS_NSDNAME),
                       0);
    }
}

static void on_status(struct dns_question *q, int status);

static void
on_answer(void *context, ares_status_t status, size_t timeouts, const ares_dns_record_t *message)
{
    struct dns_question *q = context;
    (void)timeouts;
    if (q->dns->is_ending) return; /* all questions are freed */
    if (status == ARES_SUCCESS) parse_answer(q, message);
    on_status(q, (int)status);
}

static void
dns_send_query(struct dns_question *q, const char *name)
{
    ares_status_t status =
        ares_query_dnsrec(q->dns->channel, name, ARES_CLASS_IN, (ares_dns_rec_type_t)types[q->type],
                          on_answer, q, NULL);
    (void)status; /* on_answer() has it, too */
}

#else

static int
parse_addresses(struct dns_question *q, struct bytes text)
{
    union {
        struct ares_addrttl v4[DNS_RECORDS_MAX + 1]; /* one more, to detect excess records */
        struct ares_addr6ttl v6[DNS_RECORDS_MAX + 1];
    } *found = mem_alloc(q->dns->memory, sizeof *found);
    int count = DNS_RECORDS_MAX + 1;
    if (found == NULL) return ARES_ENOMEM;
    bool is_v6 = q->type == DNS_AAAA;
    int status = is_v6 ? ares_parse_aaaa_reply(text.at, (int)text.size, NULL, found->v6, &count)
                       : ares_parse_a_reply(text.at, (int)text.size, NULL, found->v4, &count);
    for (int i = 0; i < count && status == ARES_SUCCESS; i++)
        if (is_v6)
            add_address(q, AF_INET6, &found->v6[i].ip6addr);
        else
            add_address(q, AF_INET, &found->v4[i].ipaddr);
    mem_free(q->dns->memory, found, sizeof *found);
    return status;
}

static int
parse_names(struct dns_question *q, struct bytes text)
{
    struct ares_srv_reply *srv = NULL;
    struct ares_mx_reply *mx = NULL;
    struct hostent *ns = NULL;
    int status;
    if (q->type == DNS_SRV) {
        status = ares_parse_srv_reply(text.at, (int)text.size, &srv);
        for (const struct ares_srv_reply *at = srv; at != NULL; at = at->next)
            add_record(q, at->host, at->port);
        if (srv != NULL) ares_free_data(srv);
    } else if (q->type == DNS_MX) {
        status = ares_parse_mx_reply(text.at, (int)text.size, &mx);
        for (const struct ares_mx_reply *at = mx; at != NULL; at = at->next)
            add_record(q, at->host, 0);
        if (mx != NULL) ares_free_data(mx);
    } else {
        status = ares_parse_ns_reply(text.at, (int)text.size, &ns);
        for (char **at = ns == NULL ? NULL : ns->h_aliases; at != NULL && *at != NULL; at++)
            add_record(q, *at, 0);
        if (ns != NULL) ares_free_hostent(ns);
    }
    return status;
}

static int
parse_answer(struct dns_question *q, struct bytes text)
{
    bool has_addresses = q->type == DNS_A || q->type == DNS_AAAA;
    int status = has_addresses ? parse_addresses(q, text) : parse_names(q, text);
    /* All records have other types, usually CNAME. */
    return status == ARES_ENODATA ? ARES_SUCCESS : status;
}

static void on_status(struct dns_question *q, int status);

static void
on_answer(void *context, int status, int timeouts, unsigned char *text, int size)
{
    struct dns_question *q = context;
    (void)timeouts;
    if (q->dns->is_ending) return; /* all questions are freed */
    if (status == ARES_SUCCESS) status = parse_answer(q, bytes_of(text, (size_t)size));
    on_status(q, status);
}

static void
dns_send_query(struct dns_question *q, const char *name)
{
    ares_query(q->dns->channel, name, ns_c_in, types[q->type], on_answer, q);
}

#endif

/* --- questions -------------------------------------------------------------------------------- */

static void
question_answered(struct dns_question *q)
{
    assert(!is_done(q));
    assert(q->dns->has_channel); /* invariant 2 */
    q->state = q->state == DNS_PENDING ? DNS_DONE : DNS_DROPPED;
    if (q->has_failed && q->answer.e == OK) q->answer.e = ERR_AGAIN;
}

static void ask_next(struct dns_question *q);

static void
on_status(struct dns_question *q, int status)
{
    if (status == ARES_SUCCESS || status == ARES_ENODATA) {
        q->has_failed = false; /* failures of other names do not matter */
        question_answered(q);
        return;
    }
    if (status != ARES_ENOTFOUND) {
        q->has_failed = true;
        if (status == ARES_ENOMEM) q->answer.e = ERR_NOMEM;
        /* c-ares then tries the next server, and 1.18 reports only the last error. */
        const char *error = status == ARES_ECONNREFUSED || status == ARES_ESERVFAIL
                                ? "no name server can be reached, or all answer that they failed"
                                : ares_strerror(status);
        snprintf(q->answer.error, sizeof q->answer.error, "%s", error);
    }
    ask_next(q);
}

/* Writes the n-th name of a question to `to`. False: it has fewer names. */
static bool
question_name(const struct dns_question *q, int n, char to[NAME_BYTES])
{
    const struct __res_state *system = &q->dns->system;
    size_t size = strlen(q->name);
    int domains = 0;
    unsigned dots = 0;
    for (const char *at = q->name; (at = strchr(at, '.')) != NULL; at++)
        dots++;
    bool is_whole = size > 0 && q->name[size - 1] == '.';
    bool is_first = dots >= system->ndots; /* before the domains */
    while (!is_whole && domains < MAXDNSRCH && system->dnsrch[domains] != NULL)
        domains++;
    if (n > domains) return false;
    int domain = is_first ? n - 1 : n;
    if (domain < 0 || domain == domains)
        snprintf(to, NAME_BYTES, "%s", q->name);
    else
        snprintf(to, NAME_BYTES, "%s.%s", q->name, system->dnsrch[domain]);
    return true;
}

static void
ask_next(struct dns_question *q)
{
    char name[NAME_BYTES];
    if (q->state == DNS_ABANDONED || !question_name(q, q->at++, name)) {
        question_answered(q);
        return;
    }
    dns_send_query(q, name);
}

enum err
dns_ask(struct dns *dns, const char *name, enum dns_record type, void *context, struct why *why)
{
    enum err e = OK;
    const struct dns_question *pending = dns->questions;
    while (pending != NULL && is_done(pending))
        pending = pending->next;
    if (pending == NULL) close_channel(dns);
    if (!dns->has_channel) e = open_channel(dns, why);
    if (e) return e;
    size_t size = strlen(name) + 1;
    struct dns_question *q = mem_new(dns->memory, sizeof *q + size);
    if (q == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a question");
    q->next = dns->questions;
    q->dns = dns;
    q->context = context;
    q->type = type;
    arena_init(&q->arena, dns->memory, TARGETS_BYTES_MAX, 0);
    memcpy(q->name, name, size);
    dns->questions = q;
    ask_next(q);
    return OK;
}

void
dns_give_up(struct dns *dns, const void *context)
{
    for (struct dns_question *q = dns->questions; q != NULL; q = q->next) {
        if (q->context != context) continue;
        if (q->state == DNS_PENDING) q->state = DNS_ABANDONED;
        if (q->state == DNS_DONE) q->state = DNS_DROPPED;
    }
}

uint32_t
dns_fds(struct dns *dns, struct pollfd *fds, int *wait_ms)
{
    if (!dns->has_channel) return 0;
    for (const struct dns_question *q = dns->questions; q != NULL; q = q->next)
        if (is_done(q)) *wait_ms = 0;
    memcpy(fds, dns->sockets, dns->socket_count * sizeof *fds);
    struct timeval most = {*wait_ms / 1000, *wait_ms % 1000 * 1000}, left;
    const struct timeval *wait = ares_timeout(dns->channel, &most, &left);
    if (wait != NULL) *wait_ms = (int)(wait->tv_sec * 1000 + (wait->tv_usec + 999) / 1000);
    return dns->socket_count;
}

void
dns_go_on(struct dns *dns, const struct pollfd *fds, uint32_t count)
{
    bool is_ready = false;
    if (!dns->has_channel) return;
    for (uint32_t i = 0; i < count; i++) {
        bool reads = (fds[i].revents & (POLLIN | POLLERR | POLLHUP)) != 0;
        bool writes = (fds[i].revents & POLLOUT) != 0;
        if (!reads && !writes) continue;
        ares_process_fd(dns->channel, reads ? fds[i].fd : ARES_SOCKET_BAD,
                        writes ? fds[i].fd : ARES_SOCKET_BAD);
        is_ready = true;
    }
    /* Lets queries time out. */
    if (!is_ready) ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

bool
dns_done(struct dns *dns, struct dns_answer *ret)
{
    question_free(dns->shown);
    dns->shown = NULL;
    for (struct dns_question **at = &dns->questions, *q; (q = *at) != NULL;) {
        if (!is_done(q)) {
            at = &q->next;
            continue;
        }
        *at = q->next;
        if (q->state == DNS_DROPPED) {
            question_free(q);
            continue;
        }
        *ret = q->answer;
        ret->context = q->context;
        ret->records = q->records;
        ret->count = q->answer.e ? 0 : q->count; /* invariant 3 */
        dns->shown = q;
        return true;
    }
    return false;
}
