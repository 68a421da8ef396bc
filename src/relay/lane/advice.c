/* advice.c - see advice.h. */
#include "relay/lane/advice.h"

#include <stddef.h>
#include <string.h>

const char *
advice_on(const char *reason)
{
    static const struct {
        const char *reason, *advice;
    } known[] = {
        {"resolve", "check the host name in the settings and the DNS resolver of this machine"},
        {"connect",
         "check the address and port, that the server runs, and the firewalls in between"},
        {"proxy", "check the user and password of proxy_url, and what the proxy allows"},
        {"timeout", "check the address and port and the firewalls in between, or raise `timeout`"},
        {"tls", "check tls_config.ca_file and tls_config.server_name, and that the server uses TLS "
                "at this address"},
        {"bad_url", "check the address in the settings"},
        {"http_401", "check user, password or token"},
        {"http_403", "check the token or password and its permissions"},
        {"http_404", "check the path and the names in the settings, or create what is missing"},
        {"http_405", "check the path in the settings"},
        {"http_407", "check the user and password of proxy_url"},
        {"credentials", "check the keys, the profile or the role: docs/destinations/aws.md"},
        {"not_found", "create it, or check its name, the region and the account"},
        {"clock", "set this machine's clock"},
        {"region", "check the region"},
        {"throttled", "retry; if it fails again, request a higher limit"},
        {"unavailable", "retry later"},
        {"configuration", "fix the settings"},
        {"directory", "create it, or make it writable for the user that runs the server"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(reason, known[i].reason) == 0) return known[i].advice;
    }
    return "";
}
