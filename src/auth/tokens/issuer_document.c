/* issuer_document.c - see issuer_document.h. */
#include "auth/tokens/issuer_document.h"

#include <stdio.h>
#include <strings.h>

#include "base/text/quote.h"
#include "wire/json/json_tree.h"

enum { VALUES_MAX = 4096 };

static bool
has_scheme(const char *url, const char *scheme)
{
    size_t size = strlen(scheme);
    return strncasecmp(url, scheme, size) == 0 && url[size] != '/' && url[size] != '\0';
}

enum err
issuer_document_url(const char *issuer, char *to, struct why *why)
{
    static const char path[] = "/.well-known/openid-configuration";
    size_t size = strlen(issuer);
    while (size > 0 && issuer[size - 1] == '/') {
        size--;
    }
    if (strpbrk(issuer, "?#") != NULL)
        return why_set(why, ERR_INPUT, "issuer must not contain a query or a fragment");
    if (size + sizeof path > ISSUER_URL_BYTES)
        return why_set(why, ERR_LIMIT, "issuer is longer than %zu bytes",
                       (size_t)ISSUER_URL_BYTES - sizeof path);
    memcpy(to, issuer, size);
    memcpy(to + size, path, sizeof path);
    return OK;
}

/* Says whether all bytes are those that a URL may have: blanks and controls would be dropped, or
 * sent. */
static bool
is_plain(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] <= ' ' || text.at[i] > '~') return false;
    }
    return true;
}

static enum err
take_url(struct bytes url, const char *issuer, char *ret_url, struct why *why)
{
    if (url.size == 0) return why_set(why, ERR_INPUT, "it has no jwks_uri");
    if (url.size >= ISSUER_URL_BYTES || !is_plain(url))
        return why_set(why, ERR_INPUT, "its jwks_uri is not a URL of less than %d bytes: %s",
                       ISSUER_URL_BYTES, shown_of(url).text);
    memcpy(ret_url, url.at, url.size);
    ret_url[url.size] = '\0';
    if (has_scheme(ret_url, "https://")) return OK;
    if (!has_scheme(ret_url, "http://"))
        return why_set(why, ERR_INPUT, "its jwks_uri is not a URL of https: %s",
                       shown_of(url).text);
    if (has_scheme(issuer, "http://")) return OK;
    return why_set(why, ERR_INPUT,
                   "its jwks_uri has http, which would let others replace the keys: %s",
                   shown_of(url).text);
}

enum err
issuer_document_read(struct budget *budget, struct bytes document, const char *issuer,
                     char *ret_url, struct why *why)
{
    struct json_tree json = {.root = NULL};
    if (document.size > ISSUER_DOCUMENT_BYTES_MAX)
        return why_set(why, ERR_LIMIT, "it is longer than %d bytes", ISSUER_DOCUMENT_BYTES_MAX);
    enum err e = json_tree_read(budget, document, VALUES_MAX, &json, why);
    if (e) return e;
    struct bytes named = json_tree_text(json_object_get(json.root, "issuer"));
    if (named.at == NULL || !bytes_equal_text(named, issuer))
        e = why_set(why, ERR_INPUT, "its issuer is %s, expected %s", shown_of(named).text,
                    shown_of(bytes_of_text(issuer)).text);
    else
        e = take_url(json_tree_text(json_object_get(json.root, "jwks_uri")), issuer, ret_url, why);
    json_tree_fini(&json);
    return e;
}
