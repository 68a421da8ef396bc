/* origin.c - see origin.h. The secret of callers is compared in a time that does not depend on its
 * content. */
#include "auth/origin.h"

#include <arpa/inet.h>
#include <assert.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/text/hex.h"

/* --- networks --------------------------------------------------------------------------------- */

enum { TEXT_BYTES = INET6_ADDRSTRLEN + 4, MAPPED_BITS = 96 };
_Static_assert(NETWORK_TEXT_BYTES >= INET6_ADDRSTRLEN, "an address fits");

static const uint8_t mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* Reads an address, without a port. Returns its number of bits, 0 if it is invalid. */
static unsigned
read_address(const char *text, uint8_t *to)
{
    if (inet_pton(AF_INET6, text, to) == 1) return 128;
    if (inet_pton(AF_INET, text, to + sizeof mapped) != 1) return 0;
    memcpy(to, mapped, sizeof mapped);
    return 32;
}

bool
network_parse(const char *text, struct ip_network *ret_network)
{
    char host[TEXT_BYTES];
    const char *slash = strchr(text, '/');
    size_t size = slash == NULL ? strlen(text) : (size_t)(slash - text);
    unsigned bits = 0;
    int read = 0;
    if (size >= sizeof host) return false;
    memcpy(host, text, size);
    host[size] = '\0';
    unsigned most = read_address(host, ret_network->address);
    if (most == 0) return false;
    ret_network->bits = 128;
    if (slash == NULL) return true;
    if (slash[1] < '0' || slash[1] > '9' || sscanf(slash + 1, "%3u%n", &bits, &read) != 1)
        return false;
    if (slash[1 + read] != '\0' || bits > most) return false;
    ret_network->bits = most == 32 ? MAPPED_BITS + bits : bits;
    return true;
}

void
network_print_address(const uint8_t *address, char ret_text[static NETWORK_TEXT_BYTES])
{
    bool is_v4 = memcmp(address, mapped, sizeof mapped) == 0;
    const char *text =
        inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? address + sizeof mapped : address, ret_text,
                  NETWORK_TEXT_BYTES);
    assert(text != NULL); /* it fits */
}

bool
networks_have(const struct networks *networks, const uint8_t *address)
{
    for (uint32_t i = 0; i < networks->count; i++) {
        const struct ip_network *n = &networks->items[i];
        size_t whole = n->bits / 8;
        if (memcmp(n->address, address, whole) != 0) continue;
        if (n->bits % 8 == 0) return true;
        if ((n->address[whole] ^ address[whole]) >> (8 - n->bits % 8) == 0) return true;
    }
    return false;
}

/* Reads an item of the header: an address, perhaps with a port. */
static bool
read_item(const char *from, const char *end, uint8_t *to)
{
    char text[TEXT_BYTES + 8];
    while (from < end && *from == ' ')
        from++;
    while (end > from && end[-1] == ' ')
        end--;
    size_t size = (size_t)(end - from);
    if (size == 0 || size >= sizeof text) return false;
    memcpy(text, from, size);
    text[size] = '\0';
    if (text[0] == '[') { /* "[::1]:443" */
        char *close = strchr(text, ']');
        if (close == NULL) return false;
        *close = '\0';
        return read_address(text + 1, to) != 0;
    }
    char *colon = strchr(text, ':');
    if (colon != NULL && strchr(text, '.') != NULL && strchr(colon + 1, ':') == NULL)
        *colon = '\0'; /* "192.0.2.1:443" */
    return read_address(text, to) != 0;
}

bool
networks_find_client(const struct networks *proxies, const char *header, uint8_t *address)
{
    const char *end = header + strlen(header);
    uint8_t before[NETWORK_ADDRESS_BYTES];
    while (end > header && networks_have(proxies, address)) {
        const char *from = end;
        while (from > header && from[-1] != ',')
            from--;
        if (!read_item(from, end, before)) return false;
        memcpy(address, before, sizeof before);
        end = from > header ? from - 1 : header;
    }
    return true;
}

/* --- the caller of a gateway ------------------------------------------------------------------ */

/* The secret is compared in a time that does not depend on its content. */
enum { WORDS = 2, SECRET_BYTES = WORDS * HEX_WORD_BYTES };

static char secret[SECRET_BYTES + 1]; /* "" before caller_begin() */

enum err
caller_begin(struct env *env)
{
    uint64_t random[WORDS];
    enum err e = env_random(env, random, sizeof random);
    if (e) return e;
    for (size_t i = 0; i < WORDS; i++)
        hex_print_word(random[i], secret + i * HEX_WORD_BYTES);
    return OK;
}

void
caller_put(struct buf *to, const char *caller)
{
    assert(secret[0] != '\0');
    buf_printf(to, "%s %s", secret, caller);
}

const char *
caller_of(const char *value)
{
    if (value == NULL || secret[0] == '\0' || strlen(value) <= SECRET_BYTES) return NULL;
    bool is_ours = gnutls_memcmp(value, secret, SECRET_BYTES) == 0 && value[SECRET_BYTES] == ' ';
    return is_ours ? value + SECRET_BYTES + 1 : NULL;
}

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
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (size == strlen(types[i]) && strncasecmp(content_type, types[i], size) == 0) return true;
    return false;
}
