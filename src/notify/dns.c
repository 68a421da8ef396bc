/*
 * dns.c - questions, and the names that each of them is asked by, one after another.
 *
 * c-ares reads /etc/resolv.conf when a channel is made, so there is a new channel whenever none of
 * the questions is under way: what is changed in the file counts from the next round of look-ups
 * on. It cannot give up a single query; of a question that is given up the end is awaited, and
 * nobody is told.
 *
 * From 1.28 on c-ares gives parsed messages, and calls the functions that give and parse their
 * bytes deprecated; Debian 12 has 1.18, which knows only those. query() and parse() exist for both.
 */
#include "notify/dns.h"

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

struct question {
    struct question *next;
    struct dns *dns;
    void *context;
    bool is_given_up;
    bool is_done;
    enum dns_record type;
    int at;          /* which of its names is asked */
    bool has_failed; /* one of its names */
    struct dns_answer answer;
    struct arena arena; /* of records */
    struct dns_answer_record *records;
    uint32_t count;
    char name[];
};

struct dns {
    struct budget *memory;
    char *servers; /* NULL: the system's */
    size_t servers_bytes;
    ares_channel channel;
    bool has_channel;
    struct __res_state system;          /* `search` (6 domains at most) and ndots */
    struct pollfd sockets[DNS_FDS_MAX]; /* of the channel, with what it waits for */
    uint32_t socket_count;
    struct question *questions; /* all */
    struct question *shown;     /* the one that was taken last */
    bool is_ending;
};

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static bool library_is_there; /* written once, before any thread looks */

static void
library_init(void)
{
    library_is_there = ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS;
}

/* --- life ------------------------------------------------------------------------------------- */

static void
question_free(struct question *q)
{
    if (q == NULL) return;
    arena_fini(&q->arena);
    mem_free(q->dns->memory, q, sizeof *q + strlen(q->name) + 1);
}

static void
close_channel(struct dns *dns)
{
    if (!dns->has_channel) return;
    ares_destroy(dns->channel); /* calls back for what is under way */
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
        struct question *next = dns->questions->next;
        question_free(dns->questions);
        dns->questions = next;
    }
    question_free(dns->shown);
    mem_free(dns->memory, dns->servers, dns->servers_bytes);
    mem_free(dns->memory, dns, sizeof *dns);
}

static bool
is_under_way(const struct dns *dns)
{
    for (const struct question *q = dns->questions; q != NULL; q = q->next) {
        if (!q->is_done) return true;
    }
    return false;
}

/* A socket of the channel waits for something else, or no longer; one that has no room is not
 * polled, and its query times out. */
static void
on_socket(void *context, ares_socket_t fd, int reads, int writes)
{
    struct dns *dns = context;
    short events = (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0));
    uint32_t i = 0;
    while (i < dns->socket_count && dns->sockets[i].fd != fd) {
        i++;
    }
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
    set |= ARES_OPT_QUERY_CACHE; /* 0 seconds: older versions remember nothing either */
#endif
    memset(&dns->system, 0, sizeof dns->system);
    int status = res_ninit(&dns->system) == 0 ? ARES_SUCCESS : ARES_EFILE;
    if (status == ARES_SUCCESS) {
        res_nclose(&dns->system); /* the names stay in it */
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

/* --- what was answered ------------------------------------------------------------------------ */

static void
add_record(struct question *q, const char *target, uint32_t port)
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
add_address(struct question *q, int family, const void *address)
{
    char text[INET6_ADDRSTRLEN];
    if (inet_ntop(family, address, text, sizeof text) != NULL) add_record(q, text, 0);
}

#if ARES_VERSION >= 0x011c00

static void
parse(struct question *q, const ares_dns_record_t *message)
{
    size_t count = ares_dns_record_rr_cnt(message, ARES_SECTION_ANSWER);
    for (size_t i = 0; i < count; i++) {
        const ares_dns_rr_t *rr = ares_dns_record_rr_get_const(message, ARES_SECTION_ANSWER, i);
        ares_dns_rec_type_t type = ares_dns_rr_get_type(rr);
        if ((int)type != types[q->type]) continue; /* names that others stand for, above all */
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

static void on_status(struct question *q, int status);

static void
on_answer(void *context, ares_status_t status, size_t timeouts, const ares_dns_record_t *message)
{
    struct question *q = context;
    (void)timeouts;
    if (q->dns->is_ending) return; /* all are freed */
    if (status == ARES_SUCCESS) parse(q, message);
    on_status(q, (int)status);
}

static void
query(struct question *q, const char *name)
{
    ares_status_t status =
        ares_query_dnsrec(q->dns->channel, name, ARES_CLASS_IN, (ares_dns_rec_type_t)types[q->type],
                          on_answer, q, NULL);
    (void)status; /* on_answer() has it, too */
}

#else

static int
parse_addresses(struct question *q, struct bytes text)
{
    union {
        struct ares_addrttl v4[DNS_RECORDS_MAX + 1]; /* one more is seen */
        struct ares_addr6ttl v6[DNS_RECORDS_MAX + 1];
    } *found = mem_alloc(q->dns->memory, sizeof *found);
    int count = DNS_RECORDS_MAX + 1;
    if (found == NULL) return ARES_ENOMEM;
    bool is_v6 = q->type == DNS_AAAA;
    int status = is_v6 ? ares_parse_aaaa_reply(text.at, (int)text.size, NULL, found->v6, &count)
                       : ares_parse_a_reply(text.at, (int)text.size, NULL, found->v4, &count);
    for (int i = 0; i < count && status == ARES_SUCCESS; i++) {
        if (is_v6)
            add_address(q, AF_INET6, &found->v6[i].ip6addr);
        else
            add_address(q, AF_INET, &found->v4[i].ipaddr);
    }
    mem_free(q->dns->memory, found, sizeof *found);
    return status;
}

static int
parse_names(struct question *q, struct bytes text)
{
    struct ares_srv_reply *srv = NULL;
    struct ares_mx_reply *mx = NULL;
    struct hostent *ns = NULL;
    int status;
    if (q->type == DNS_SRV) {
        status = ares_parse_srv_reply(text.at, (int)text.size, &srv);
        for (const struct ares_srv_reply *at = srv; at != NULL; at = at->next) {
            add_record(q, at->host, at->port);
        }
        if (srv != NULL) ares_free_data(srv);
    } else if (q->type == DNS_MX) {
        status = ares_parse_mx_reply(text.at, (int)text.size, &mx);
        for (const struct ares_mx_reply *at = mx; at != NULL; at = at->next) {
            add_record(q, at->host, 0);
        }
        if (mx != NULL) ares_free_data(mx);
    } else {
        status = ares_parse_ns_reply(text.at, (int)text.size, &ns);
        for (char **at = ns == NULL ? NULL : ns->h_aliases; at != NULL && *at != NULL; at++) {
            add_record(q, *at, 0);
        }
        if (ns != NULL) ares_free_hostent(ns);
    }
    return status;
}

static int
parse(struct question *q, struct bytes text)
{
    bool has_addresses = q->type == DNS_A || q->type == DNS_AAAA;
    int status = has_addresses ? parse_addresses(q, text) : parse_names(q, text);
    /* There are records, and none of the type: names that others stand for, above all. */
    return status == ARES_ENODATA ? ARES_SUCCESS : status;
}

static void on_status(struct question *q, int status);

static void
on_answer(void *context, int status, int timeouts, unsigned char *text, int size)
{
    struct question *q = context;
    (void)timeouts;
    if (q->dns->is_ending) return; /* all are freed */
    if (status == ARES_SUCCESS) status = parse(q, bytes_of(text, (size_t)size));
    on_status(q, status);
}

static void
query(struct question *q, const char *name)
{
    ares_query(q->dns->channel, name, ns_c_in, types[q->type], on_answer, q);
}

#endif

/* --- questions -------------------------------------------------------------------------------- */

static void
end(struct question *q)
{
    q->is_done = true;
    if (q->has_failed && q->answer.e == OK) q->answer.e = ERR_AGAIN;
}

static void
note_failed(struct question *q, int status)
{
    q->has_failed = true;
    if (status == ARES_ENOMEM) q->answer.e = ERR_NOMEM;
    /* c-ares goes on to the next server then, and 1.18 says the same as if there was none. */
    const char *error = status == ARES_ECONNREFUSED || status == ARES_ESERVFAIL
                            ? "no name server can be reached, or all answer that they failed"
                            : ares_strerror(status);
    snprintf(q->answer.error, sizeof q->answer.error, "%s", error);
}

static void ask_next(struct question *q);

static void
on_status(struct question *q, int status)
{
    if (status == ARES_SUCCESS || status == ARES_ENODATA) {
        q->has_failed = false; /* whatever other names are */
        end(q);
        return;
    }
    if (status != ARES_ENOTFOUND) note_failed(q, status);
    ask_next(q);
}

/* The n-th name of a question into `to`. False: there are no more. */
static bool
name_of(const struct question *q, int n, char to[NAME_BYTES])
{
    const struct __res_state *system = &q->dns->system;
    size_t size = strlen(q->name);
    int domains = 0;
    unsigned dots = 0;
    for (const char *at = q->name; (at = strchr(at, '.')) != NULL; at++) {
        dots++;
    }
    bool is_whole = size > 0 && q->name[size - 1] == '.';
    bool is_first = dots >= system->ndots; /* before the domains */
    while (!is_whole && domains < MAXDNSRCH && system->dnsrch[domains] != NULL) {
        domains++;
    }
    if (n > domains) return false;
    int domain = is_first ? n - 1 : n;
    if (domain < 0 || domain == domains)
        snprintf(to, NAME_BYTES, "%s", q->name);
    else
        snprintf(to, NAME_BYTES, "%s.%s", q->name, system->dnsrch[domain]);
    return true;
}

static void
ask_next(struct question *q)
{
    char name[NAME_BYTES];
    if (q->is_given_up || !name_of(q, q->at++, name)) {
        end(q);
        return;
    }
    query(q, name);
}

enum err
dns_ask(struct dns *dns, const char *name, enum dns_record type, void *context, struct why *why)
{
    enum err e = OK;
    if (!is_under_way(dns)) close_channel(dns);
    if (!dns->has_channel) e = open_channel(dns, why);
    if (e) return e;
    size_t size = strlen(name) + 1;
    struct question *q = mem_new(dns->memory, sizeof *q + size);
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
    for (struct question *q = dns->questions; q != NULL; q = q->next) {
        if (q->context == context) q->is_given_up = true;
    }
}

uint32_t
dns_fds(struct dns *dns, struct pollfd *fds, int *wait_ms)
{
    if (!dns->has_channel) return 0;
    for (const struct question *q = dns->questions; q != NULL; q = q->next) {
        if (q->is_done) *wait_ms = 0;
    }
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
    /* What took too long. */
    if (!is_ready) ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

bool
dns_done(struct dns *dns, struct dns_answer *ret)
{
    question_free(dns->shown);
    dns->shown = NULL;
    for (struct question **at = &dns->questions, *q; (q = *at) != NULL;) {
        if (!q->is_done) {
            at = &q->next;
            continue;
        }
        *at = q->next;
        if (q->is_given_up) {
            question_free(q);
            continue;
        }
        *ret = q->answer;
        ret->context = q->context;
        ret->records = q->records;
        ret->count = q->answer.e ? 0 : q->count;
        dns->shown = q;
        return true;
    }
    return false;
}
