/*
 * dns.h - asks the name servers of /etc/resolv.conf, through c-ares. No function waits: the caller
 * polls the descriptors of dns_fds() with its own.
 *
 * A name without a dot at its end is looked up in the domains of `search`, as resolv.conf(5) says.
 * OK is an answer, also if the name does not exist or has no such records. A question fails if
 * servers did not answer for one of its names, which may then exist.
 *
 * Threads: one.
 */
#ifndef NOTIFY_OUTSIDE_DNS_H
#define NOTIFY_OUTSIDE_DNS_H

#include <poll.h>

#include "notify/settings.h"
#include "sys/env.h"

enum { DNS_RECORDS_MAX = 1000, DNS_FDS_MAX = 16, DNS_ERROR_BYTES = 128 };

struct dns_answer_record {
    const char *target; /* an address, or a name without a dot at its end */
    uint32_t port;      /* for SRV */
};
struct dns_answer {
    void *context;
    enum err e;                              /* OK; ERR_AGAIN, ERR_NOMEM: it has failed */
    const struct dns_answer_record *records; /* views until the next dns_done() */
    uint32_t count;
    bool is_cut; /* the name has more records */
    char error[DNS_ERROR_BYTES];
};

struct dns;
/* `servers`: "127.0.0.1:5353,..." for tests; NULL: the system's. ERR_NOMEM. */
MUST_CHECK enum err dns_new(struct budget *memory, const char *servers, struct dns **ret_dns,
                            struct why *why);
/* Gives up pending questions. NULL is fine. */
void dns_free(struct dns *dns);

/* Asks a question, whose answer dns_done() returns. ERR_NOMEM; ERR_IO: /etc/resolv.conf cannot
 * be read. */
MUST_CHECK enum err dns_ask(struct dns *dns, const char *name, enum dns_record type, void *context,
                            struct why *why);
void dns_give_up(struct dns *dns, const void *context);

/* Returns descriptors to poll, DNS_FDS_MAX at most, and shortens *wait_ms to the next deadline. */
uint32_t dns_fds(struct dns *dns, struct pollfd *ret_fds, int *wait_ms);
/* Reads answers and lets questions time out. It is called after each poll(), even if no descriptor
 * is ready. */
void dns_go_on(struct dns *dns, const struct pollfd *fds, uint32_t count);
/* Returns the answer of a completed question. False if no question is completed. */
bool dns_done(struct dns *dns, struct dns_answer *ret_answer);

#endif
