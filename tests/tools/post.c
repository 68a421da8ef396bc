/*
 * post.c - libcurl with a fixed set of headers; see post.h.
 */
#include "post.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "oracle.h"

static const size_t ANSWER_BYTES_MAX = (size_t)2 << 30;

struct post {
    CURL *curl;
    struct curl_slist *headers;
    char *url;
    struct post_answer answer;
    char error[CURL_ERROR_SIZE];
};

void
post_global_init(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) return;
    fputs("libcurl cannot be initialised\n", stderr);
    exit(2);
}

static size_t
take_body(char *from, size_t item_size, size_t count, void *context)
{
    struct post *post = context;
    buf_put(&post->answer.body, from, item_size * count);
    return buf_error(&post->answer.body) ? 0 : item_size * count;
}

/* Returns the value if `line` is the header `name`, else false. */
static bool
header_value(const char *line, size_t size, const char *name, char *to, size_t to_size)
{
    size_t name_size = strlen(name);
    if (size <= name_size || line[name_size] != ':') return false;
    if (strncasecmp(line, name, name_size) != 0) return false;
    const char *at = line + name_size + 1;
    const char *end = line + size;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (end > at && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
        end--;
    snprintf(to, to_size, "%.*s", (int)(end - at), at);
    return true;
}

static size_t
take_header(char *line, size_t item_size, size_t count, void *context)
{
    struct post_answer *answer = &((struct post *)context)->answer;
    size_t size = item_size * count;
    struct {
        const char *name;
        int64_t *to;
    } written[] = {
        {"X-Prometheus-Remote-Write-Samples-Written", &answer->samples_written},
        {"X-Prometheus-Remote-Write-Histograms-Written", &answer->histograms_written},
        {"X-Prometheus-Remote-Write-Exemplars-Written", &answer->exemplars_written},
    };
    for (size_t i = 0; i < sizeof written / sizeof *written; i++) {
        char text[32];
        if (!header_value(line, size, written[i].name, text, sizeof text)) continue;
        char *end;
        errno = 0;
        long long number = strtoll(text, &end, 10);
        if (errno == 0 && end != text && *end == '\0' && number >= 0) *written[i].to = number;
    }
    (void)(header_value(line, size, "Content-Type", answer->content_type,
                        sizeof answer->content_type) ||
           header_value(line, size, "Content-Encoding", answer->content_encoding,
                        sizeof answer->content_encoding));
    return size;
}

static void
add_header(struct post *post, const char *header)
{
    post->headers = oracle_must(curl_slist_append(post->headers, header));
}

static void
add_headers(struct post *post, const struct post_options *options)
{
    add_header(post, "Content-Encoding: snappy");
    add_header(post, "User-Agent: firekeep-test-tools/1");
    add_header(post, "Expect:");
    switch (options->kind) {
    case POST_WRITE_1:
        add_header(post, "Content-Type: application/x-protobuf");
        add_header(post, "X-Prometheus-Remote-Write-Version: 0.1.0");
        break;
    case POST_WRITE_2:
        add_header(post,
                   "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request");
        add_header(post, "X-Prometheus-Remote-Write-Version: 2.0.0");
        break;
    case POST_READ:
        add_header(post, "Content-Type: application/x-protobuf");
        add_header(post, "Accept-Encoding: snappy");
        add_header(post, "X-Prometheus-Remote-Read-Version: 0.1.0");
        break;
    }
    for (size_t i = 0; i < options->header_count; i++)
        add_header(post, options->headers[i]);
}

/* Returns the URL, with the usual path if it has none. */
static char *
full_url(const struct post_options *options)
{
    const char *scheme = strstr(options->url, "://");
    const char *host = scheme == NULL ? options->url : scheme + 3;
    const char *path = strchr(host, '/');
    bool bare = path == NULL || strcmp(path, "/") == 0;
    int base_size = (int)(path == NULL ? strlen(options->url) : (size_t)(path - options->url));
    char *url = NULL;
    const char *usual = options->kind == POST_READ ? "/api/v1/read" : "/api/v1/write";
    int size = bare ? asprintf(&url, "%.*s%s", base_size, options->url, usual)
                    : asprintf(&url, "%s", options->url);
    oracle_need(size >= 0);
    return url;
}

struct post *
post_new(const struct post_options *options)
{
    struct post *post = oracle_must(calloc(1, sizeof *post));
    post->curl = oracle_must(curl_easy_init());
    post->url = full_url(options);
    buf_init(&post->answer.body, NULL, ANSWER_BYTES_MAX);
    add_headers(post, options);
    curl_easy_setopt(post->curl, CURLOPT_URL, post->url);
    curl_easy_setopt(post->curl, CURLOPT_HTTPHEADER, post->headers);
    curl_easy_setopt(post->curl, CURLOPT_POST, 1L);
    curl_easy_setopt(post->curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(post->curl, CURLOPT_WRITEDATA, post);
    curl_easy_setopt(post->curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(post->curl, CURLOPT_HEADERDATA, post);
    curl_easy_setopt(post->curl, CURLOPT_ERRORBUFFER, post->error);
    curl_easy_setopt(post->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(post->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(post->curl, CURLOPT_CONNECTTIMEOUT, 10L);
    curl_easy_setopt(post->curl, CURLOPT_TIMEOUT, options->timeout_s);
    return post;
}

void
post_free(struct post *post)
{
    if (post == NULL) return;
    curl_easy_cleanup(post->curl);
    curl_slist_free_all(post->headers);
    buf_fini(&post->answer.body);
    free(post->url);
    free(post);
}

enum err
post_send(struct post *post, struct bytes body, const struct post_answer **ret_answer,
          struct why *why)
{
    struct post_answer *answer = &post->answer;
    buf_clear(&answer->body);
    answer->status = 0;
    answer->samples_written = answer->histograms_written = answer->exemplars_written = -1;
    answer->content_type[0] = answer->content_encoding[0] = '\0';
    post->error[0] = '\0';
    curl_easy_setopt(post->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size);
    curl_easy_setopt(post->curl, CURLOPT_POSTFIELDS, body.size > 0 ? (const char *)body.at : "");
    CURLcode code = curl_easy_perform(post->curl);
    if (code != CURLE_OK) {
        const char *told = post->error[0] != '\0' ? post->error : curl_easy_strerror(code);
        return why_set(why, ERR_IO, "%s: %s", post->url, told);
    }
    curl_easy_getinfo(post->curl, CURLINFO_RESPONSE_CODE, &answer->status);
    *ret_answer = answer;
    return OK;
}

void
post_put_body(const struct post_answer *answer, char *to, size_t to_size)
{
    size_t size = answer->body.size < to_size - 1 ? answer->body.size : to_size - 1;
    for (size_t i = 0; i < size; i++) {
        uint8_t c = answer->body.at[i];
        to[i] = c < 0x20 || c >= 0x7f ? ' ' : (char)c;
    }
    while (size > 0 && to[size - 1] == ' ')
        size--;
    to[size] = '\0';
}

/* --- captures --------------------------------------------------------------------------------- */

/* Maps the file without reading it, so that skipping most of a capture is cheap. */
static enum err
map_whole(const char *path, struct capture *capture, struct why *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return why_set(why, err_from_errno(errno), "%s: %s", path, strerror(errno));
    enum err e = OK;
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        e = why_set(why, ERR_IO, "%s: not a plain file", path);
        goto out;
    }
    if (st.st_size == 0) goto out;
    void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED) {
        e = why_set(why, ERR_IO, "%s: %s", path, strerror(errno));
        goto out;
    }
    capture->size = (size_t)st.st_size;
    capture->at = at;
out:
    close(fd);
    return e;
}

enum err
capture_open(const char *path, struct capture *ret_capture, struct why *why)
{
    struct capture capture = {0};
    size_t capacity = 0;
    enum err e = map_whole(path, &capture, why);
    if (e) goto out;
    for (size_t at = 0; at < capture.size;) {
        size_t left = capture.size - at;
        uint32_t size = left < 4 ? UINT32_MAX : load_le32(capture.at + at);
        if (left < 4 || size > left - 4) {
            e = why_set(why, ERR_INPUT, "%s: record %zu at byte %zu is cut short", path,
                        capture.record_count, at);
            goto out;
        }
        if (capture.record_count == capacity) {
            capacity = capacity == 0 ? 1024 : capacity * 2;
            capture.records =
                oracle_must(reallocarray(capture.records, capacity, sizeof *capture.records));
        }
        capture.records[capture.record_count++] = bytes_of(capture.at + at + 4, size);
        at += 4 + (size_t)size;
    }
    *ret_capture = capture;
    capture = (struct capture){0};
out:
    capture_fini(&capture);
    return e;
}

void
capture_fini(struct capture *capture)
{
    if (capture->at != NULL) munmap(capture->at, capture->size);
    free(capture->records);
    *capture = (struct capture){0};
}
