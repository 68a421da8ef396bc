/*
 * forms.h - private to write/: the forms of messages that write.c takes, each with its decoder and
 * its responses. Remote write has both in write.c.
 */
#ifndef API_WRITE_FORMS_H
#define API_WRITE_FORMS_H

#include "api/routes.h"
#include "inputs/input.h"
#include "wire/remote/remote_write.h"

/* Forms that are counted. */
enum input_name {
    INPUT_NONE,
    INPUT_OTLP,
    INPUT_INFLUX,
    INPUT_OPENTSDB,
    INPUT_TEXT,
    INPUT_JSON_LINES,
    INPUT_CSV,
    INPUT_PUSH,
    INPUT_COUNT
};
extern struct metric_counter input_requests[INPUT_COUNT];

/* Says how a message ended. */
struct write_end {
    unsigned status;       /* 204: it was taken, but for what the next two say; else `why` */
    const struct why *why; /* of another status */
    const struct ingest_result *result;
    const struct input_outcome *outcome;
};

struct write_form {
    enum rw_version version; /* of remote write; 0: another form */
    bool is_json;
    unsigned dialect;      /* of InfluxDB's lines: the version of its API; of others: theirs */
    const char *encodings; /* what Content-Encoding may be, with ", " between them */
    enum input_name input; /* of another form than remote write */
    struct metric_counter *requests;
    /* Reads the body, whose unpacked bytes may be in `unpacked`: views of both stay in the request.
     * NULL: remote write. Errors as write.c answers them. */
    enum err (*decode)(struct api *api, struct http_request *request, const struct write_form *form,
                       struct buf *unpacked, struct rw_request *to,
                       struct input_outcome *ret_outcome, struct why *why);
    void (*reply)(struct api *api, struct http_request *request, const struct write_form *form,
                  const struct write_end *end);
};

/* --- inputs.c --------------------------------------------------------------------------------- */

/* Finds the form of an OTLP message by its Content-Type. NULL: it is of another type. */
const struct write_form *otlp_form(const struct http_request *request);
void inputs_metrics_register(void);
/* Counts refused points; the log has the first reason once a minute for each input. */
void input_count_refused(struct api *api, const struct http_request *request, enum input_name input,
                         const struct input_outcome *outcome);

/* Gives the body as it was before its Content-Encoding; unpacked bytes are in `to`. ERR_INPUT: it
 * is malformed; ERR_LIMIT: too large; ERR_NOMEM. */
MUST_CHECK enum err unpack_body(struct api *api, struct http_request *request, struct buf *to,
                                struct bytes *ret, struct why *why);
/* Writes why points were refused, those of the decoder first. */
void put_reasons(const struct write_end *end, char *to, size_t bytes);

/* --- influx.c --------------------------------------------------------------------------------- */

/* Finds the form of lines by the path of the request. NULL: they are not sent there. */
const struct write_form *influx_form(const char *path);

/* --- others.c --------------------------------------------------------------------------------- */

/* Finds the form of other inputs by the path of the request. NULL: none is sent there. */
const struct write_form *other_form(const char *path);

#endif
