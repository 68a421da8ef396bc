/*
 * http_double.h - the HTTP server's side of a request, in memory: defines the functions of
 * net/http_server.h that handlers call, in place of those of net/. For tests of api/, which alone
 * are linked with it.
 */
#ifndef LIB_API_HTTP_DOUBLE_H
#define LIB_API_HTTP_DOUBLE_H

#include "base/buf.h"
#include "net/http_server.h"

enum { PAIRS_MAX = 80, PAIR_TEXT_BYTES = 4096, ANSWER_TEXT_BYTES = 1 << 20 };

struct text_pair {
    const char *name, *value;
};

struct http_request {
    enum http_method method;
    const char *target; /* borrowed */
    char path[PAIR_TEXT_BYTES], sent_path[PAIR_TEXT_BYTES], header_text[PAIR_TEXT_BYTES];
    struct text_pair headers[PAIRS_MAX], arguments[PAIRS_MAX];
    unsigned header_count, argument_count;
    struct bytes body;
    int64_t began_ns;
    bool gone;
    void *sender; /* struct user; NULL: nobody is known */
    /* The answer. */
    unsigned status; /* 0 if not answered */
    bool stream, ended, complete;
    char content_type[128], answer_headers[1024]; /* "Name: value\n" each */
    struct buf text;
};

/*
 * Makes a request. Path and arguments of `target` are decoded, unless slashes of the path are
 * escaped; an argument with "%zz" is one with an invalid escape. `headers` (may be NULL) is
 * "Name: value\nName: value". The target and the body are borrowed; buf_fini() frees r->text.
 */
void http_double_init(struct http_request *r, enum http_method method, const char *target,
                      const char *headers, struct bytes body);

/* Returns the body of the answer, a view of r->text. */
const char *http_double_text(struct http_request *r);

#endif
