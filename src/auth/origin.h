/*
 * origin.h - recognizes requests that a page of another site made a browser send, by headers that
 * the page cannot choose. Pure.
 *
 * Texts are values of headers as they were sent; NULL: the request does not have the header.
 * `external_url` is the URL of this server, as configured; "" or a path: it is not known.
 */
#ifndef AUTH_ORIGIN_H
#define AUTH_ORIGIN_H

#include <stdbool.h>

/*
 * Returns true if `origin` is neither where the request was sent, by its header Host, nor the
 * origin of `external_url`. The scheme counts in the latter case only: a proxy may have taken TLS
 * off. Programs other than browsers send no Origin, which is not foreign.
 */
bool origin_is_foreign(const char *origin, const char *host, const char *external_url);

/*
 * Returns true if a header Host is an address, localhost, one of `allowed` ("a,b"), or the host of
 * `external_url`, on any port. A page under a name that an attacker resolves to our address sends
 * another one. Also returns true without Host: browsers send no such request (HTTP/1.0).
 */
bool origin_host_is_own(const char *host, const char *allowed, const char *external_url);

/* Returns true for content types that any page may send to any server, because forms have them. */
bool origin_type_is_form(const char *content_type);

#endif
