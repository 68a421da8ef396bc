/* http_target.c - see http_target.h. */
#include "net/http_target.h"

#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* Returns libcurl's number of a version; shifted left by 16 bits it sets the greatest version. */
static long
tls_version(const char *name)
{
    static const struct {
        const char *name;
        long number;
    } versions[] = {{"TLS10", CURL_SSLVERSION_TLSv1_0},
                    {"TLS11", CURL_SSLVERSION_TLSv1_1},
                    {"TLS12", CURL_SSLVERSION_TLSv1_2},
                    {"TLS13", CURL_SSLVERSION_TLSv1_3}};
    for (size_t i = 0; name != NULL && i < sizeof versions / sizeof *versions; i++) {
        if (strcmp(name, versions[i].name) == 0) return versions[i].number;
    }
    return CURL_SSLVERSION_DEFAULT;
}

/* Returns the path that libcurl gets for a file that it opens. It would wait for a pipe, and all
 * transfers of the thread with it, so for a pipe this is a path that cannot be opened. The error
 * names the configured path: describe_tls_error() of http_calls.c. */
static const char *
file_or_error(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) ? "/dev/null/not-a-file" : path;
}

/* libcurl with GnuTLS does not read the variable. */
const char *
http_calls_ca_file(const char *configured)
{
    const char *path = configured != NULL ? configured : getenv("SSL_CERT_FILE");
    return path == NULL || path[0] == '\0' ? NULL : path;
}

void
http_target_apply(CURL *curl, const struct http_calls_target *target)
{
    if (target->proxy_url != NULL) {
        const char *no_proxy = target->no_proxy == NULL ? "" : target->no_proxy;
        curl_easy_setopt(curl, CURLOPT_PROXY, target->proxy_url);
        curl_easy_setopt(curl, CURLOPT_NOPROXY,
                         no_proxy); /* replaces the variable of the environment */
    }
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, target->unix_path);
    if (target->ca_file != NULL) { /* nothing else is trusted: Debian's libcurl has a CAPATH, too */
        const char *ca_file = file_or_error(target->ca_file);
        curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
        curl_easy_setopt(curl, CURLOPT_PROXY_CAINFO, ca_file);
        curl_easy_setopt(curl, CURLOPT_PROXY_CAPATH, NULL);
    }
    if (target->cert_file != NULL) {
        curl_easy_setopt(curl, CURLOPT_SSLCERT, file_or_error(target->cert_file));
    }
    if (target->key_file != NULL) {
        curl_easy_setopt(curl, CURLOPT_SSLKEY, file_or_error(target->key_file));
    }
    long versions = tls_version(target->min_version) | tls_version(target->max_version) << 16;
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, versions);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, target->insecure ? 0L : 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, target->insecure ? 0L : 2L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)target->connect_timeout_ms);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)target->timeout_ms);
}

bool
http_target_append(struct curl_slist **list, const char *text)
{
    struct curl_slist *more = curl_slist_append(*list, text);
    if (more != NULL) *list = more;
    return more != NULL;
}

/*
 * libcurl checks a certificate against the URL's host, and has no option for another name. So the
 * URL gets the expected name, and the connection and the Host header get the host of the URL.
 */
bool
http_target_set_url(CURL *curl, const struct http_calls_target *target, const char *whole,
                    struct curl_slist **connect_to, struct curl_slist **headers)
{
    char text[1024], *host = NULL, *port = NULL, *url = NULL;
    const char *name = target->server_name;
    bool tls = strncasecmp(whole, "https", 5) == 0;
    if (name == NULL || !tls) {
        return curl_easy_setopt(curl, CURLOPT_URL, whole) == CURLE_OK;
    }
    CURLU *u = curl_url();
    bool ok = u != NULL && curl_url_set(u, CURLUPART_URL, whole, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
              curl_url_set(u, CURLUPART_HOST, name, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_URL, &url, 0) == CURLUE_OK;
    if (ok) {
        snprintf(text, sizeof text, "%s:%s:%s:%s", name, port, host, port);
        ok = http_target_append(connect_to, text);
        bool usual = strcmp(port, "443") == 0; /* Host leaves out the usual port */
        snprintf(text, sizeof text, usual ? "Host: %s" : "Host: %s:%s", host, port);
        ok = ok && http_target_append(headers, text);
    }
    ok = ok && curl_easy_setopt(curl, CURLOPT_CONNECT_TO, *connect_to) == CURLE_OK &&
         curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK;
    curl_free(host);
    curl_free(port);
    curl_free(url);
    curl_url_cleanup(u);
    return ok;
}

const char *
http_target_no_tls(const char *message)
{
    bool is_other = strstr(message, gnutls_strerror(GNUTLS_E_UNEXPECTED_PACKET)) == NULL;
    return is_other
               ? NULL
               : "the server does not speak TLS at this address; use http:// instead of https://";
}
