/* origin.c - see origin.h. */
#include "auth/origin.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"

enum { PORT_MAX = 65535, NO_PORT = PORT_MAX + 1, BAD_PORT };

/* A host, without brackets, and the port after it. */
struct place {
    struct bytes host;
    bool is_v6;
    unsigned port; /* NO_PORT: none is given */
};

static unsigned
read_port(struct bytes digits)
{
    unsigned port = 0;
    if (digits.size == 0) return NO_PORT; /* "host:" */
    for (size_t i = 0; i < digits.size; i++) {
        if (digits.at[i] < '0' || digits.at[i] > '9') return BAD_PORT;
        port = port * 10 + (unsigned)(digits.at[i] - '0');
        if (port > PORT_MAX) return BAD_PORT;
    }
    return port;
}

/* Splits "host", "host:port", "[v6]:port". False: it is another text. */
static bool
split_place(struct bytes text, struct place *ret)
{
    const uint8_t *end = text.at + text.size, *host_end;
    bool is_v6 = text.size > 0 && text.at[0] == '[';
    if (text.size == 0) return false;
    if (is_v6) {
        host_end = memchr(text.at, ']', text.size);
        if (host_end == NULL || (host_end + 1 < end && host_end[1] != ':')) return false;
        ret->host = bytes_of(text.at + 1, (size_t)(host_end - text.at - 1));
        host_end++;
    } else {
        host_end = memchr(text.at, ':', text.size);
        if (host_end == NULL) host_end = end;
        ret->host = bytes_of(text.at, (size_t)(host_end - text.at));
        /* The name of the root is the end of each name, and may be left out. */
        if (ret->host.size > 1 && ret->host.at[ret->host.size - 1] == '.') ret->host.size--;
    }
    ret->is_v6 = is_v6;
    ret->port =
        host_end == end ? NO_PORT : read_port(bytes_of(host_end + 1, (size_t)(end - host_end - 1)));
    return ret->host.size > 0 && ret->port != BAD_PORT;
}

/* Splits "scheme://host:port", and what may follow a slash. The port is set. */
static bool
split_url(const char *url, bool *ret_is_tls, struct place *ret)
{
    *ret_is_tls = strncasecmp(url, "https://", 8) == 0;
    if (!*ret_is_tls && strncasecmp(url, "http://", 7) != 0) return false;
    const char *place = url + (*ret_is_tls ? 8 : 7);
    if (!split_place(bytes_of(place, strcspn(place, "/")), ret)) return false;
    if (ret->port == NO_PORT) ret->port = *ret_is_tls ? 443 : 80;
    return true;
}

static bool
is_name(struct bytes host, struct bytes name)
{
    return host.size == name.size &&
           strncasecmp((const char *)host.at, (const char *)name.at, name.size) == 0;
}

bool
origin_is_foreign(const char *origin, const char *host, const char *external_url)
{
    struct place from, at;
    bool is_tls, is_external_tls;
    if (origin == NULL || origin[0] == '\0') return false;
    if (!split_url(origin, &is_tls, &from)) return true; /* "null", or an extension of a browser */
    if (host != NULL && split_place(bytes_of_text(host), &at)) {
        if (at.port == NO_PORT) at.port = is_tls ? 443 : 80;
        if (from.port == at.port && is_name(from.host, at.host)) return false;
    }
    return !split_url(external_url, &is_external_tls, &at) || is_tls != is_external_tls ||
           from.port != at.port || !is_name(from.host, at.host);
}

static bool
is_address(const struct place *place)
{
    uint8_t address[sizeof(struct in6_addr)];
    char text[INET6_ADDRSTRLEN];
    if (place->host.size >= sizeof text) return false;
    memcpy(text, place->host.at, place->host.size);
    text[place->host.size] = '\0';
    return inet_pton(place->is_v6 ? AF_INET6 : AF_INET, text, address) == 1;
}

bool
origin_host_is_own(const char *host, const char *allowed, const char *external_url)
{
    struct place at, external;
    bool is_tls;
    if (host == NULL) return true;
    if (!split_place(bytes_of_text(host), &at)) return false;
    if (is_address(&at) || is_name(at.host, bytes_of_text("localhost"))) return true;
    for (size_t size; *allowed != '\0'; allowed += size + (allowed[size] == ',')) {
        size = strcspn(allowed, ",");
        if (is_name(at.host, bytes_of(allowed, size))) return true;
    }
    return split_url(external_url, &is_tls, &external) && is_name(at.host, external.host);
}

bool
origin_type_is_form(const char *content_type)
{
    static const char *const types[] = {"application/x-www-form-urlencoded", "multipart/form-data",
                                        "text/plain"};
    if (content_type == NULL) return false;
    content_type += strspn(content_type, " \t");
    size_t size = strcspn(content_type, "; \t,");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (size == strlen(types[i]) && strncasecmp(content_type, types[i], size) == 0) return true;
    }
    return false;
}
