/*
 * api_asked.h - tables of requests and of what is answered, for tests of the routes. For tests
 * only.
 */
#ifndef LIB_API_ASKED_H
#define LIB_API_ASKED_H

#include "lib/api_rig.h"

/* Bodies that are no text. */
enum message {
    NO_MESSAGE,
    WRITE_V1,
    WRITE_V2,
    WRITE_FUTURE,          /* 2.0 */
    WRITE_V1_BAD_EXEMPLAR, /* beside samples that are stored */
    WRITE_V2_BAD_EXEMPLAR,
    WRITE_FUTURE_BAD_EXEMPLAR,
    WRITE_NO_SNAPPY,
    WRITE_NO_MESSAGE, /* snappy, and then nothing that is known */
    WRITE_TOO_LARGE,
    READ_SAMPLES,
    READ_STREAMED,
    READ_ALL, /* without matchers */
    READ_BAD_PATTERN,
};

struct bytes asked_message(enum message message);

struct asked {
    const char *name;
    enum http_method method;
    const char *target;
    const char *headers;
    const char *text; /* the body; or: */
    enum message message;
    unsigned status;
    const char *type;     /* how the answer's content type begins; NULL: none */
    const char *fragment; /* of the answer; NULL: it is empty */
    const char *header;   /* one it has; NULL: any */
};

#define TEXT  "text/plain"
#define JSON  "application/json"
#define PROTO "application/x-protobuf"
#define FORM  "Content-Type: application/x-www-form-urlencoded"
#define PARTS "Content-Type: multipart/form-data; boundary=b"
#define PART(name, value) \
    "--b\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"
#define V2      "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request"
#define WRITTEN "X-Prometheus-Remote-Write-"

void api_ask(struct api_rig *rig, const struct asked *c);

#define api_ask_all(rig, cases)                                     \
    for (size_t i_ = 0; i_ < sizeof(cases) / sizeof *(cases); i_++) \
    api_ask(rig, &(cases)[i_])

#endif
