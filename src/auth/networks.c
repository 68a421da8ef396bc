/* networks.c - see networks.h. */
#include "auth/networks.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

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
    while (from < end && *from == ' ') {
        from++;
    }
    while (end > from && end[-1] == ' ') {
        end--;
    }
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
        while (from > header && from[-1] != ',') {
            from--;
        }
        if (!read_item(from, end, before)) return false;
        memcpy(address, before, sizeof before);
        end = from > header ? from - 1 : header;
    }
    return true;
}
