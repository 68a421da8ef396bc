/* web.c - see web.h. */
#include "config/web.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/text/shown.h"
#include "config/config.h"
#include "model/matcher.h"

/* --- the listen address ----------------------------------------------------------------------- */

static const char name_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   "0123456789.-_";

/* Returns NULL if `text` was split, otherwise a description of a valid address. */
static const char *
split_address(const char *text, char *host, uint16_t *ret_port)
{
    const char *colon = strrchr(text, ':');
    const char *from = text, *to = colon;
    if (colon == NULL) return "HOST:PORT";
    bool bracketed = text[0] == '[';
    if (bracketed) {
        if (colon == text || colon[-1] != ']') return "HOST:PORT";
        from = text + 1;
        to = colon - 1;
    }
    size_t size = (size_t)(to - from);
    if (size >= SETTING_TEXT_BYTES) return "a shorter host name";
    memcpy(host, from, size);
    host[size] = 0;

    struct in_addr v4;
    struct in6_addr v6;
    bool is_v4 = host[strspn(host, "0123456789.")] == 0; /* it may be invalid */
    bool is_name = host[strspn(host, name_letters)] == 0;
    if (bracketed) {
        if (inet_pton(AF_INET6, host, &v6) != 1) return "an IPv6 address in the brackets";
    } else if (strchr(host, ':') != NULL) {
        return "HOST:PORT with an IPv6 address in brackets";
    } else if (host[0] != 0 && !(is_v4 ? inet_pton(AF_INET, host, &v4) == 1 : is_name)) {
        return "a host name or address before the colon";
    }

    const char *digits = colon + 1;
    size_t count = strspn(digits, "0123456789");
    unsigned long port = 0;
    if (count > 0 && count <= 5 && digits[count] == 0) sscanf(digits, "%lu", &port);
    if (count == 0 || count > 5 || digits[count] != 0 || port > UINT16_MAX) {
        return "a port from 0 to 65535 after the last colon";
    }
    *ret_port = (uint16_t)port;
    return NULL;
}

enum err
web_listen_rule(const char *text, const char **ret_expected)
{
    char host[SETTING_TEXT_BYTES];
    uint16_t port;
    *ret_expected = split_address(text, host, &port);
    return *ret_expected == NULL ? OK : ERR_INPUT;
}

enum err
settings_listen_address(const char *text, char *ret_host, uint16_t *ret_port, struct why *why)
{
    char host[SETTING_TEXT_BYTES];
    const char *complaint = split_address(text, host, ret_port);
    if (complaint != NULL) {
        return why_set(why, ERR_INPUT, "expected %s, got %s", complaint,
                       shown_of(bytes_of_text(text)).text);
    }
    memcpy(ret_host, host, strlen(host) + 1);
    return OK;
}

/* --- the external URL ------------------------------------------------------------------------- */

/* Characters that a prefix must not contain: routes are compared with unescaped paths, and "*"
 * ends a prefix. */
static const char no_path[] = " \"'?#%*\\<>";

/* Returns the path of a URL, or the whole text if it is only a path. */
static const char *
url_path(const char *url)
{
    const char *host = strstr(url, "://");
    if (host == NULL) return url;
    return host + 3 + strcspn(host + 3, "/");
}

enum err
web_url_rule(const char *text, const char **ret_expected)
{
    const char *host = strncmp(text, "http://", 7) == 0    ? text + 7
                       : strncmp(text, "https://", 8) == 0 ? text + 8
                                                           : NULL;
    bool fine = host != NULL ? strcspn(host, "/") > 0 : text[0] == '/' || text[0] == '\0';
    *ret_expected = "a URL such as https://example.com/firekeep, or a path";
    return fine && text[strcspn(text, no_path)] == '\0' ? OK : ERR_INPUT;
}

enum err
web_prefix_rule(const char *text, const char **ret_expected)
{
    *ret_expected = "a path such as /firekeep";
    bool fine = text[strcspn(text, no_path)] == '\0' && strstr(text, "://") == NULL;
    return fine ? OK : ERR_INPUT;
}

void
settings_route_prefix(const struct settings *settings, char *ret_prefix)
{
    bool own = settings->web_route_prefix[0] != '\0';
    const char *path = own ? settings->web_route_prefix : url_path(settings->web_external_url);
    path += strspn(path, "/");
    size_t size = strlen(path);
    while (size > 0 && path[size - 1] == '/') {
        size--;
    }
    snprintf(ret_prefix, SETTING_PREFIX_BYTES, "%s%.*s", size > 0 ? "/" : "", (int)size, path);
}

void
settings_external_url(const struct settings *settings, const char *hostname, char *ret_url)
{
    char host[SETTING_TEXT_BYTES], prefix[SETTING_PREFIX_BYTES];
    uint16_t port = 0;
    const char *external = settings->web_external_url;
    size_t size = strlen(external);
    while (size > 0 && external[size - 1] == '/') {
        size--;
    }
    snprintf(ret_url, SETTING_URL_BYTES, "%.*s", (int)size, external);
    if (external[0] != '\0' || hostname[0] == '\0' ||
        hostname[strspn(hostname, name_letters)] != '\0')
        return;
    if (settings_listen_address(settings->web_listen_address, host, &port, NULL) || port == 0)
        return;
    settings_route_prefix(settings, prefix);
    snprintf(ret_url, SETTING_URL_BYTES, "http://%.255s:%u%s", hostname, port, prefix);
}

enum err
web_origin_rule(const char *text, const char **ret_expected)
{
    struct matcher *matcher;
    if (strcmp(text, ".*") == 0) return OK; /* the default cannot fail */
    enum err e = matcher_new(MATCH_REGEX, bytes_of_text("origin"), bytes_of_text(text), NULL,
                             &matcher, NULL);
    if (e == OK) matcher_free(matcher);
    *ret_expected = "a regular expression";
    return e == ERR_LIMIT ? ERR_INPUT : e;
}
