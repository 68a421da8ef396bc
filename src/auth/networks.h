/*
 * networks.h - IP addresses and networks; finds the client behind trusted proxies. Pure. An address
 * has 16 bytes; IPv4 addresses are mapped (::ffff:192.0.2.1).
 */
#ifndef AUTH_NETWORKS_H
#define AUTH_NETWORKS_H

#include <stdbool.h>
#include <stdint.h>

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

/*
 * Finds the client that proxies speak for: `header` is X-Forwarded-For, "client, proxy, proxy".
 * Steps from `address`, the peer, back through the header as long as it is the address of a trusted
 * proxy, and leaves in `address` the first one that is not. What is not an address ends the steps,
 * and the function returns false. If a proxy adds a line of its own to those that the client sent,
 * the caller goes on from the last line to the first while the result is true.
 */
bool networks_find_client(const struct networks *proxies, const char *header, uint8_t *address);

#endif
