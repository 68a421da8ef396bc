/*
 * origin.h - where a request comes from: a client behind proxies, a caller whom a gateway has
 * verified, or a page of another site that made a browser send it.
 */
#ifndef AUTH_ORIGIN_H
#define AUTH_ORIGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "sys/env.h"

/* --- networks --------------------------------------------------------------------------------- */

/* An address has 16 bytes; IPv4 addresses are mapped (::ffff:192.0.2.1). Pure. */
enum {
    NETWORK_ADDRESS_BYTES = 16,
    NETWORK_TEXT_BYTES = 46, /* of an address, with a NUL */
    NETWORKS_MAX = 64,
};

struct ip_network {
    uint8_t address[NETWORK_ADDRESS_BYTES];
    unsigned bits; /* of the address that belong to the network; 0 to 128 */
};
struct networks {
    struct ip_network items[NETWORKS_MAX];
    uint32_t count;
};

/* Reads "10.0.0.0/8", "::1". False: it is neither an address nor a network. */
bool network_parse(const char *text, struct ip_network *ret_network);
/* Writes an address; IPv4 as such. */
void network_print_address(const uint8_t *address, char ret_text[static NETWORK_TEXT_BYTES]);
/* Says whether one of the networks has the address. */
bool networks_have(const struct networks *networks, const uint8_t *address);

/* Finds the client that proxies speak for: `header` is X-Forwarded-For, "client, proxy, proxy".
 * Steps from `address`, the peer, back through the header as long as it is the address of a trusted
 * proxy, and leaves in `address` the first one that is not. What is not an address ends the steps,
 * and the function returns false. If a proxy adds a line of its own to those that the client sent,
 * the caller goes on from the last line to the first while the result is true. */
bool networks_find_client(const struct networks *proxies, const char *header, uint8_t *address);

/* --- callers ---------------------------------------------------------------------------------- */

/* The caller of a request whom a gateway in front of this process has verified, in a header that
 * only this process can write: its value begins with a secret. Threads: any, after
 * caller_begin(). */

#define CALLER_HEADER "X-Firekeep-Caller"

/* Makes the secret of this process, once, before its server starts. Without it no header counts.
 * Errors of env_random(). */
MUST_CHECK enum err caller_begin(struct env *env);

/* Appends the value of the header. caller_begin() was called. */
void caller_put(struct buf *to, const char *caller);

/* Returns the caller in a value of the header, a view of it. NULL: `value` is NULL, or another
 * process wrote it. */
const char *caller_of(const char *value);

/* --- pages ------------------------------------------------------------------------------------ */

/* Requests that a page of another site made a browser send are recognized by headers that the page
 * cannot choose. Texts are values of headers as they were sent; NULL: the request does not have the
 * header. `external_url` is the URL of this server, as configured; "" or a path: it is not known.
 * Pure. */

/* Returns true if `origin` is neither where the request was sent, by its header Host, nor the
 * origin of `external_url`. The scheme counts in the latter case only: a proxy may have taken TLS
 * off. Programs other than browsers send no Origin, which is not foreign. */
bool origin_is_foreign(const char *origin, const char *host, const char *external_url);

/* Returns true if a header Host is an address, localhost, one of `allowed` ("a,b"), or the host of
 * `external_url`, on any port. A page under a name that an attacker resolves to our address sends
 * another one. Also returns true without Host: browsers send no such request (HTTP/1.0). */
bool origin_host_is_own(const char *host, const char *allowed, const char *external_url);

/* Returns true for content types that any page may send to any server, because forms have them. */
bool origin_type_is_form(const char *content_type);

#endif
