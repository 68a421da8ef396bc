/*
 * http_target.h - private to net's clients: applies the settings that several requests share to a
 * transfer of libcurl.
 */
#ifndef NET_HTTP_TARGET_H
#define NET_HTTP_TARGET_H

#include <curl/curl.h>
#include <stdbool.h>

#include "net/http_calls.h"

/* Sets TLS, proxy, socket and timeouts. The texts of the target live as long as the transfer. */
void http_target_apply(CURL *curl, const struct http_calls_target *target);

/* Sets the URL, and for a server_name what it requires: appends to the lists, which the caller
 * frees after the transfer; `headers` is not passed to libcurl. False: not enough memory. */
bool http_target_set_url(CURL *curl, const struct http_calls_target *target, const char *url,
                         struct curl_slist **connect_to, struct curl_slist **headers);

/* Returns a text for libcurl's message that the answer to TLS is something else, or NULL. */
const char *http_target_no_tls(const char *message);

/* Appends a text to a list. False: not enough memory; the list is as before. */
bool http_target_append(struct curl_slist **list, const char *text);

#endif
