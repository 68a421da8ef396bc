/*
 * source_targets.c - checks that a server is not its own source. A query of such a server would
 * send itself another one, until no slot for queries is left. Only the settings are compared, and
 * no name is resolved, so not every such URL is found.
 */
#include <curl/curl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <strings.h>

#include "config/lists/sources.h"

/* The address and path in a URL. */
struct url_target {
    char host[SETTING_TEXT_BYTES]; /* without brackets */
    char path[SETTING_TEXT_BYTES];
    unsigned long port;
};

/* Copies a part of a URL into `to`. A longer part cannot be an address of this server. */
static CURLUcode
take_part(CURLU *url, CURLUPart part, char to[SETTING_TEXT_BYTES])
{
    char *text = NULL;
    CURLUcode code = curl_url_get(url, part, &text, CURLU_DEFAULT_PORT);
    if (code == CURLUE_OK) {
        size_t bracket = text[0] == '[';
        snprintf(to, SETTING_TEXT_BYTES, "%s", text + bracket);
        if (bracket == 1) to[strcspn(to, "]")] = '\0';
    }
    curl_free(text);
    return code;
}

/* ERR_NOMEM; an invalid URL has port 0. */
static enum err
url_target_of(const char *text, struct url_target *ret_target, struct why *why)
{
    struct url_target target = {.port = 0};
    char port[SETTING_TEXT_BYTES] = "0";
    CURLU *url = curl_url();
    CURLUcode code = url == NULL ? CURLUE_OUT_OF_MEMORY : curl_url_set(url, CURLUPART_URL, text, 0);
    if (code == CURLUE_OK) code = take_part(url, CURLUPART_HOST, target.host);
    if (code == CURLUE_OK) code = take_part(url, CURLUPART_PATH, target.path);
    if (code == CURLUE_OK) code = take_part(url, CURLUPART_PORT, port);
    curl_url_cleanup(url);
    if (code == CURLUE_OUT_OF_MEMORY) {
        return why_set(why, ERR_NOMEM, "not enough memory for a URL");
    }
    if (code == CURLUE_OK) target.port = strtoul(port, NULL, 10);
    *ret_target = target;
    return OK;
}

static bool
is_loopback(const char *host)
{
    return strcasecmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
           strcmp(host, "::1") == 0;
}

static bool
is_address(const struct url_target *target, const char *address)
{
    char host[SETTING_TEXT_BYTES];
    uint16_t port;
    if (settings_listen_address(address, host, &port, NULL) != OK) return false;
    if (port == 0 || port != target->port) return false;
    if (strcasecmp(host, target->host) == 0) return true;
    if (!is_loopback(target->host)) return false;
    bool all = host[0] == '\0' || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
    return all || (is_loopback(host) && (strcasecmp(host, "localhost") == 0 ||
                                         strcasecmp(target->host, "localhost") == 0));
}

static bool
is_listen_address(const struct url_target *target, const struct settings *settings)
{
    char address[SETTING_TEXT_BYTES];
    const char *rest = settings->web_listen_address;
    while ((rest = settings_list_next(rest, address)) != NULL) {
        if (is_address(target, address)) return true;
    }
    return false;
}

static bool
is_listener(const struct url_target *target, const struct listener_list *listeners)
{
    bool is_one = false;
    for (uint32_t i = 0; i < listeners->count && !is_one; i++) {
        is_one = is_address(target, listeners->items[i].address);
    }
    return is_one;
}

/* True if the URL is below the external URL of this server. */
static bool
is_below(const struct url_target *target, const struct url_target *outer)
{
    size_t size = strlen(outer->path);
    while (size > 0 && outer->path[size - 1] == '/') {
        size--;
    }
    return outer->port != 0 && outer->port == target->port &&
           strcasecmp(outer->host, target->host) == 0 &&
           strncmp(outer->path, target->path, size) == 0 && target->path[size] == '/';
}

enum err
sources_check(const struct sources *list, const struct settings *settings,
              const struct listener_list *listeners, struct why *why)
{
    struct url_target external, target;
    enum err e = url_target_of(settings->web_external_url, &external, why);
    for (uint32_t i = 0; i < list->count && e == OK; i++) {
        const struct source_settings *s = &list->items[i];
        if (s->type != SOURCE_REMOTE_READ) continue; /* Firekeep serves no other protocol */
        e = url_target_of(s->u.remote_read.url, &target, why);
        if (e) return e;
        const char *ours = is_listen_address(&target, settings) ? "web.listen-address"
                           : is_listener(&target, listeners)    ? "listeners"
                           : is_below(&target, &external)       ? "web.external-url"
                                                                : NULL;
        if (ours == NULL) continue;
        e = why_set(why, ERR_INPUT,
                    "source %s (line %" PRIu32 "): url is an address of this server (%s); a server "
                    "cannot read from itself",
                    s->name, s->line, ours);
    }
    return e;
}
