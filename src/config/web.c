/* web.c - checks of the settings for addresses, hosts and URLs of the server. */

#include <arpa/inet.h>
#include <stdio.h>

#include "auth/origin.h"
#include "auth/settings.h"
#include "base/text/quote.h"
#include "config/config.h"
#include "model/matcher.h"

/* --- lists ------------------------------------------------------------------------------------ */

const char *
settings_list_next(const char *list, char *ret_item)
{
    size_t size = strcspn(list, ",");
    if (list[0] == '\0' || size >= SETTING_TEXT_BYTES) return NULL;
    memcpy(ret_item, list, size);
    ret_item[size] = '\0';
    return list + size + (list[size] == ',');
}

enum err
settings_check_items(const char *text, const char *(*check)(const char *item),
                     const char **ret_expected)
{
    char item[SETTING_TEXT_BYTES], other[SETTING_TEXT_BYTES];
    size_t size = strlen(text);
    bool bad = size > 0 && text[size - 1] == ',';
    for (const char *rest = text; (rest = settings_list_next(rest, item)) != NULL;) {
        *ret_expected = check(item);
        if (*ret_expected != NULL) return ERR_INPUT;
        bad |= item[0] == '\0';
        for (const char *p = rest; (p = settings_list_next(p, other)) != NULL;)
            bad |= strcmp(item, other) == 0;
    }
    *ret_expected = "a list without empty or repeated entries";
    return bad ? ERR_INPUT : OK;
}

/* --- addresses of listeners ------------------------------------------------------------------- */

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
    if (count == 0 || count > 5 || digits[count] != 0 || port > UINT16_MAX)
        return "a port from 0 to 65535 after the last colon";
    *ret_port = (uint16_t)port;
    return NULL;
}

/* The path of a socket, in struct sockaddr_un with a NUL. */
enum { SOCKET_PATH_BYTES_MAX = 107 };

/* Does the same for an address of any kind. */
static const char *
split_listener(const char *text, enum listener_kind *ret_kind, const char **ret_place)
{
    char host[SETTING_TEXT_BYTES];
    uint16_t port;
    *ret_place = text;
    if (strncmp(text, "unix:", 5) == 0) {
        size_t size = strlen(text + 5);
        *ret_kind = LISTENER_UNIX;
        *ret_place = text + 5;
        bool fine = size > 0 && size <= SOCKET_PATH_BYTES_MAX && strchr(text, ',') == NULL;
        return fine ? NULL : "unix:PATH with a path of 1 to 107 bytes without commas";
    }
    if (strncmp(text, "fd://", 5) == 0) {
        *ret_kind = LISTENER_FD;
        *ret_place = text + 5;
        size_t size = strspn(text + 5, name_letters);
        while (text[5 + size] == '@' || text[5 + size] == '\\') /* as in names of units */
            size += 1 + strspn(text + 6 + size, name_letters);
        return size > 0 && text[5 + size] == '\0' ? NULL : "fd://NAME, a name of a systemd socket";
    }
    *ret_kind = LISTENER_TCP;
    return split_address(text, host, &port);
}

const char *
web_check_listener(const char *item)
{
    enum listener_kind kind;
    const char *place;
    return split_listener(item, &kind, &place);
}

enum err
settings_listener(const char *text, enum listener_kind *ret_kind, const char **ret_place,
                  struct why *why)
{
    const char *complaint = split_listener(text, ret_kind, ret_place);
    if (complaint == NULL) return OK;
    return why_set(why, ERR_INPUT, "expected %s, got %s", complaint,
                   shown_of(bytes_of_text(text)).text);
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

enum err
web_check_url(const char *text, const char **ret_expected)
{
    const char *host = strncmp(text, "http://", 7) == 0    ? text + 7
                       : strncmp(text, "https://", 8) == 0 ? text + 8
                                                           : NULL;
    bool fine = host != NULL ? strcspn(host, "/") > 0 : text[0] == '/' || text[0] == '\0';
    *ret_expected = "a URL such as https://example.com/firekeep, or a path";
    return fine && text[strcspn(text, no_path)] == '\0' ? OK : ERR_INPUT;
}

enum err
web_check_prefix(const char *text, const char **ret_expected)
{
    *ret_expected = "a path such as /firekeep";
    bool fine = text[strcspn(text, no_path)] == '\0' && strstr(text, "://") == NULL;
    return fine ? OK : ERR_INPUT;
}

enum err
web_check_path(const char *text, const char **ret_expected)
{
    *ret_expected = "a path such as /telemetry";
    bool fine = text[strcspn(text, no_path)] == '\0' && strstr(text, "//") == NULL;
    return fine && (text[0] == '/' || text[0] == '\0') ? OK : ERR_INPUT;
}

void
settings_route_prefix(const struct settings *settings, char *ret_prefix)
{
    bool own = settings->web_route_prefix[0] != '\0';
    const char *path = own ? settings->web_route_prefix : settings->web_external_url;
    const char *host = own ? NULL : strstr(path, "://");
    if (host != NULL) path = host + 3 + strcspn(host + 3, "/");
    path += strspn(path, "/");
    size_t size = strlen(path);
    while (size > 0 && path[size - 1] == '/')
        size--;
    snprintf(ret_prefix, SETTING_PREFIX_BYTES, "%s%.*s", size > 0 ? "/" : "", (int)size, path);
}

void
settings_external_url(const struct settings *settings, const struct listener_list *listeners,
                      const char *hostname, char *ret_url)
{
    char host[SETTING_TEXT_BYTES], prefix[SETTING_PREFIX_BYTES];
    const struct listener_settings *listener = NULL;
    uint16_t port = 0;
    const char *external = settings->web_external_url;
    size_t size = strlen(external);
    while (size > 0 && external[size - 1] == '/')
        size--;
    snprintf(ret_url, SETTING_URL_BYTES, "%.*s", (int)size, external);
    if (external[0] != '\0' || hostname[0] == '\0' ||
        hostname[strspn(hostname, name_letters)] != '\0')
        return;
    for (uint32_t i = 0; i < listeners->count && port == 0; i++) {
        listener = &listeners->items[i];
        if ((listener->allow & PERMISSION_READ) == 0) continue;
        err_ignore(settings_listen_address(listener->place, host, &port, NULL),
                   "a socket has no port");
    }
    if (port == 0) return;
    settings_route_prefix(settings, prefix);
    snprintf(ret_url, SETTING_URL_BYTES, "%s://%.255s:%u%s", listener->tls.given ? "https" : "http",
             hostname, port, prefix);
}

enum err
web_check_origin(const char *text, const char **ret_expected)
{
    struct matcher *matcher;
    if (strcmp(text, "auto") == 0) return OK; /* the default cannot fail */
    enum err e = matcher_new(MATCH_REGEX, bytes_of_text("origin"), bytes_of_text(text), NULL,
                             &matcher, NULL);
    if (e == OK) matcher_free(matcher);
    *ret_expected = "a regular expression";
    return e == ERR_LIMIT ? ERR_INPUT : e;
}

/* --- hosts and networks ----------------------------------------------------------------------- */

const char *
web_check_network(const char *item)
{
    struct ip_network network;
    return network_parse(item, &network)
               ? NULL
               : "addresses or networks such as 10.0.0.0/8 or ::1, with commas between them";
}

const char *
web_check_name(const char *item)
{
    return item[strspn(item, name_letters)] == '\0' ? NULL
                                                    : "host names without ports, with commas "
                                                      "between them";
}

const char *
web_check_service(const char *item)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    return item[strspn(item, letters)] == '\0' ? NULL : "lower case letters, digits and '-'";
}

enum err
web_check_word(const char *text, const char **ret_expected)
{
    *ret_expected = web_check_service(text);
    return *ret_expected == NULL ? OK : ERR_INPUT;
}

enum err
web_check_host(const char *text, const char **ret_expected)
{
    char host[SETTING_TEXT_BYTES];
    uint16_t port;
    bool fine =
        text[strspn(text, name_letters)] == '\0' || split_address(text, host, &port) == NULL;
    *ret_expected = "a host name, or HOST:PORT";
    return fine ? OK : ERR_INPUT;
}
