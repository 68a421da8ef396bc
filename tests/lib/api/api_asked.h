/* api_asked.h - tables of requests and the answers that they must have. For tests of the routes. */
#ifndef LIB_API_API_ASKED_H
#define LIB_API_API_ASKED_H

#include "lib/api/api_rig.h"

/* These bodies are not text. */
enum message {
    NO_MESSAGE,
    WRITE_V1,
    WRITE_V2,
    WRITE_FUTURE,          /* 2.0 */
    WRITE_V1_BAD_EXEMPLAR, /* with valid samples */
    WRITE_V2_BAD_EXEMPLAR,
    WRITE_FUTURE_BAD_EXEMPLAR,
    WRITE_NO_SNAPPY,
    WRITE_V2_FIRST_SYMBOL, /* is not empty */
    WRITE_NO_MESSAGE,      /* a block of snappy without a message */
    WRITE_TOO_LARGE,
    READ_SAMPLES,
    READ_STREAMED,
    READ_ALL, /* without matchers */
    READ_BAD_PATTERN,
};

/* Returns the body; free() it. */
struct bytes asked_message(enum message message);

struct asked {
    const char *name;
    enum http_method method;
    const char *target;
    const char *headers;
    const char *text; /* the body; or: */
    enum message message;
    unsigned status;
    const char *type;     /* the start of the answer's content type; NULL if it has none */
    const char *fragment; /* a part of the answer; NULL if it is empty */
    const char *header;   /* a header of the answer; NULL: not checked */
};

#define TEXT      "text/plain"
#define JSON_TYPE "application/json"
#define PROTO     "application/x-protobuf"
#define FORM      "Content-Type: application/x-www-form-urlencoded"
#define PARTS     "Content-Type: multipart/form-data; boundary=b"
#define V2        "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request"
#define WRITTEN   "X-Prometheus-Remote-Write-"

/* Sends the request and checks the answer; does so for all of an array. */
void api_ask(struct api_rig *rig, const struct asked *c);

#define api_ask_all(rig, cases)                                     \
    for (size_t i_ = 0; i_ < sizeof(cases) / sizeof *(cases); i_++) \
    api_ask(rig, &(cases)[i_])

#endif
