/*
 * post.h - one HTTP POST with the headers of the remote protocols, and a capture file's requests.
 * Threads: a `struct post` belongs to one thread; call post_global_init() before the first.
 */
#ifndef TESTS_TOOLS_POST_H
#define TESTS_TOOLS_POST_H

#include "base/buf.h"
#include "base/err.h"

enum { POST_HEADERS_MAX = 16 };

enum post_kind { POST_WRITE_1, POST_WRITE_2, POST_READ };

struct post;

struct post_options {
    const char *url;     /* without a path: the usual one of `kind` is appended */
    enum post_kind kind; /* decides path and headers */
    const char *headers[POST_HEADERS_MAX];
    size_t header_count;
    long timeout_s;
};

/* A header that is missing in the answer is -1. */
struct post_answer {
    long status;
    int64_t samples_written;
    int64_t histograms_written;
    int64_t exemplars_written;
    char content_type[128];
    char content_encoding[32];
    struct buf body;
};

void post_global_init(void);
/* Ends the program if it cannot be made. `options` is borrowed until post_free(). */
struct post *post_new(const struct post_options *options);
void post_free(struct post *post);

/*
 * Sends `body` and waits for the answer; its buffer is valid until the next call.
 * ERR_IO: no HTTP answer came; `why` names the URL and the cause.
 */
MUST_CHECK
enum err post_send(struct post *post, struct bytes body, const struct post_answer **ret_answer,
                   struct why *why);

/* Writes the body of an answer as one bounded line. */
void post_put_body(const struct post_answer *answer, char *to, size_t to_size);

/*
 * A capture: records of a little-endian uint32 length and that many bytes of a snappy block with
 * one write request.
 */
struct capture {
    uint8_t *at; /* the whole file */
    size_t size;
    struct bytes *records; /* views into it, still compressed */
    size_t record_count;
};

/* ERR_MISSING, ERR_IO: not readable. ERR_INPUT: the last record is cut short. */
MUST_CHECK
enum err capture_open(const char *path, struct capture *ret_capture, struct why *why);
void capture_fini(struct capture *capture);

#endif
