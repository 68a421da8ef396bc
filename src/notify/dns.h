/*
 * dns.h - asks name servers, those of /etc/resolv.conf, through c-ares. Nothing here waits: who
 * polls descriptors polls those of dns_fds(), too.
 *
 * A name without a dot at its end is looked for in the domains of `search`, as resolv.conf(5) says.
 * OK is an answer, also that there is nothing of that name or type. Where one of the names had no
 * answer from any server, it may exist, and the question has failed.
 *
 * Threads: one.
 */
#ifndef NOTIFY_DNS_H
#define NOTIFY_DNS_H

#include <poll.h>

#include "notify/settings.h"
#include "sys/env.h"

enum { DNS_RECORDS_MAX = 1000, DNS_FDS_MAX = 16, DNS_ERROR_BYTES = 128 };

struct dns_answer_record {
    const char *target; /* an address, or a name without a dot at its end */
    uint32_t port;      /* of SRV */
};
struct dns_answer {
    void *context;
    enum err e;                              /* OK; ERR_AGAIN, ERR_NOMEM: it has failed */
    const struct dns_answer_record *records; /* until the next dns_done() */
    uint32_t count;
    bool is_cut; /* there are more */
    char error[DNS_ERROR_BYTES];
};

struct dns;
/* `servers`: "127.0.0.1:5353,..." for tests; NULL: those of the system. ERR_NOMEM. */
MUST_CHECK enum err dns_new(struct budget *memory, const char *servers, struct dns **ret_dns,
                            struct why *why);
/* Gives up what is under way. NULL is fine. */
void dns_free(struct dns *dns);

/* ERR_NOMEM; ERR_IO: /etc/resolv.conf cannot be read. */
MUST_CHECK enum err dns_ask(struct dns *dns, const char *name, enum dns_record type, void *context,
                            struct why *why);
void dns_give_up(struct dns *dns, const void *context);

/* What to poll, DNS_FDS_MAX at most; and for how long: `wait_ms`, or less. */
uint32_t dns_fds(struct dns *dns, struct pollfd *ret_fds, int *wait_ms);
/* After that; also if nothing came. */
void dns_go_on(struct dns *dns, const struct pollfd *fds, uint32_t count);
/* A question that is done. False: none. */
bool dns_done(struct dns *dns, struct dns_answer *ret_answer);

#endif
