/*
 * aws.h - the parts that all destinations in AWS share: regions and endpoints, signed requests, and
 * the judging of errors. credentials.h provides the keys.
 *
 * A writer calls:
 *
 *     once         aws_region(), aws_endpoint(), aws_credentials_new()
 *     prepare()    aws_credentials_step()
 *     begin()      aws_sign() -> a call to send
 *     judge()      aws_json_judge() or aws_xml_judge() -> a verdict; VERDICT_UNPREPARED:
 *                  aws_credentials_refused()
 *
 * Nothing here waits for the network. Threads: everything of one destination belongs to its thread.
 */
#ifndef BACKEND_AWS_AWS_H
#define BACKEND_AWS_AWS_H

#include "backend/aws/keys.h"
#include "backend/writer.h"

enum {
    AWS_REGION_BYTES = 40,
    AWS_ENDPOINT_BYTES = 512,
    AWS_BUCKET_NAME_BYTES_MAX = 255,
    AWS_BUCKET_ENDPOINT_BYTES = AWS_ENDPOINT_BYTES + AWS_BUCKET_NAME_BYTES_MAX + 1,
};

/* --- regions and endpoints -------------------------------------------------------------------- */

/* Returns the region from the settings, AWS_REGION, AWS_DEFAULT_REGION, or the profile.
 * ERR_MISSING: not given; ERR_INPUT: not a valid name; errors of aws_profiles_read(). */
MUST_CHECK enum err aws_region(const struct aws_setup *setup, char ret_region[AWS_REGION_BYTES],
                               struct why *why);

struct aws_service {
    const char *name;     /* name in signatures: "kinesis" */
    const char *host;     /* host name before the region: "kinesis", "ingest.timestream" */
    const char *variable; /* suffix of AWS_ENDPOINT_URL_...: "KINESIS", "TIMESTREAM_WRITE" */
};

/*
 * Returns the endpoint, "https://host" without a slash at its end: `own` (from the settings, may be
 * NULL), AWS_ENDPOINT_URL_<variable>, AWS_ENDPOINT_URL, or the service's host in the region.
 * ERR_INPUT: not a URL of http or https, or one with a user, a query or invalid characters;
 * ERR_LIMIT.
 */
MUST_CHECK enum err aws_endpoint(const struct aws_setup *setup, const struct aws_service *service,
                                 const char *own, const char *region,
                                 char ret_endpoint[AWS_ENDPOINT_BYTES], struct why *why);

/* The parts of an endpoint, as views. */
struct aws_url {
    bool tls;
    struct bytes authority; /* "[::1]:8000"; without the scheme's default port */
    struct bytes host;      /* "::1" */
    struct bytes path;      /* "" or "/..."; with a query, if there is one */
};
/* False: not a URL of http or https, or one with a user or invalid characters. */
bool aws_url_split(const char *url, struct aws_url *ret_url);

/* A bucket of S3, as settings name it. */
struct aws_bucket {
    const char *name;
    const char *endpoint; /* endpoint of the settings; NULL if not given */
    bool path_style;
};
/* Finds the endpoint of a bucket, without a slash at the end: the bucket is part of the host name
 * or, with *ret_in_path, of the path; then the endpoint does not include it. Errors of
 * aws_endpoint(). */
MUST_CHECK enum err aws_bucket_endpoint(const struct aws_setup *setup,
                                        const struct aws_bucket *bucket, const char *region,
                                        char ret_endpoint[AWS_BUCKET_ENDPOINT_BYTES],
                                        bool *ret_in_path, struct why *why);

/* --- the clock -------------------------------------------------------------------------------- */

/* The time of AWS, as far as its errors show it. */
struct aws_clock {
    struct env *env;
    int64_t skew_s;      /* lead of AWS over the local clock */
    uint32_t correction; /* corrections since the last success */
};

void aws_clock_init(struct aws_clock *clock, struct env *env);
/* Unix seconds. */
int64_t aws_clock_now_s(const struct aws_clock *clock);

/* --- requests --------------------------------------------------------------------------------- */

/* The parts of a request. Texts are borrowed until the call is done, as in struct http_call. */
struct aws_parts {
    const struct http_calls_target *target;
    const char *method;
    const char *endpoint;       /* from aws_endpoint() */
    const char *path;           /* after the endpoint's, percent-encoded, begins with "/" */
    const char *query;          /* percent-encoded, without "?"; NULL: no query */
    const char *const *headers; /* "Name: value", all are signed; ends at a NULL; may be NULL */
    struct bytes body;
    const char *service; /* aws_service.name */
    const char *region;
    bool is_s3;
};

/* The texts of one signed call, with the session token; overwritten in the end. */
struct aws_request {
    struct buf text;
    const char *headers[HTTP_CALLS_HEADERS_MAX + 1];
};

void aws_request_init(struct aws_request *request, struct budget *memory);
void aws_request_fini(struct aws_request *request);

/* Headers of answers that are judged. A longer list must begin with these. */
enum { AWS_WANTED_ERROR_TYPE, AWS_WANTED_COUNT };
extern const char *const aws_wanted[AWS_WANTED_COUNT + 1];

/*
 * Makes the call: URL, Host, the headers given, X-Amz-Date, the session token, Authorization. Its
 * texts live until the next use of `request`. `keys` NULL: it is not signed. `answer_bytes_max` is
 * AWS_ANSWER_BYTES_MAX; the caller may raise it, and extend `wanted`. ERR_INPUT: an invalid
 * endpoint or header; ERR_LIMIT: more than HTTP_CALLS_HEADERS_MAX headers; ERR_NOMEM; errors of
 * sigv4_sign().
 */
MUST_CHECK enum err aws_sign(const struct aws_parts *parts, const struct sigv4_credentials *keys,
                             int64_t time_s, struct aws_request *request,
                             struct http_call *ret_call, struct why *why);

/* --- answers ---------------------------------------------------------------------------------- */

/* The error of a service. */
struct aws_error {
    char code[72];                 /* such as "AccessDeniedException"; "" if not given */
    char message[400];             /* text that messages quote */
    char region[AWS_REGION_BYTES]; /* region that S3 requires; "" if not given */
};

/* Reads the error of an answer; JSON services may send it in a header. Texts are bounded and
 * printable, and words that may be keys or tokens are removed. */
void aws_json_error(const struct http_call_answer *answer, struct aws_error *ret_error);
void aws_xml_error(const struct http_call_answer *answer, struct aws_error *ret_error);

/*
 * Judges an answer by its error, or by its status if the error is unknown; fills all of `ret_step`
 * for WRITER_DONE. VERDICT_DELIVERED: a 2xx, whose body the caller has to check (for
 * aws_xml_judge(), an <Error> in the body is an error). VERDICT_UNPREPARED: the keys were refused.
 * VERDICT_AGAIN: `clock` was wrong and is corrected; after a few times VERDICT_RETRY. No answer:
 * VERDICT_RETRY, but VERDICT_BLOCKED if the URL or the certificates are wrong.
 *
 * Reasons are few: "throttled", "unavailable", "credentials", "clock", "access_denied",
 * "not_found", "quota", "region", "configuration", "too_large", "damaged", "http_NNN", and without
 * an answer those of http_judge_silence().
 */
void aws_json_judge(struct aws_clock *clock, const struct http_call_answer *answer,
                    struct writer_step *ret_step);
/* For S3 and STS. */
void aws_xml_judge(struct aws_clock *clock, const struct http_call_answer *answer,
                   struct writer_step *ret_step);

/* --- XML -------------------------------------------------------------------------------------- */

/* A text to extract: that of the first element with this name inside one with the parent's name. */
struct aws_xml_field {
    const char *parent; /* NULL: any */
    const char *name;
    char *to; /* ends in NUL; "": not found; cut to fit */
    size_t to_bytes;
};

enum { AWS_XML_BYTES_MAX = 64 << 10, AWS_XML_DEPTH_MAX = 16 };

/* The texts to extract, and how strictly. */
struct aws_xml_form {
    const char *const *roots; /* allowed names of the root; ends at a NULL */
    struct aws_xml_field *fields;
    uint32_t count;
    size_t bytes_max;
    bool is_exact; /* a text that does not fit is ERR_INPUT instead of cut */
    /* A repeated element; NULL: none. At the end of each, `each` is called with the fields
     * inside it, which are then emptied; its error stops the reading. */
    const char *item;
    enum err (*each)(void *context);
    void *context;
};

/*
 * Fills the fields from a document. ERR_MISSING: its root has another name, nothing was read.
 * ERR_INPUT: not XML, or with a document type, which no service sends; ERR_LIMIT: longer than
 * `bytes_max`, or deeper than AWS_XML_DEPTH_MAX; ERR_NOMEM. After these three the fields hold the
 * texts read before.
 */
MUST_CHECK enum err aws_xml_walk(struct bytes body, const struct aws_xml_form *form);
/* Does the same for at most AWS_XML_BYTES_MAX, with texts that are cut. */
MUST_CHECK enum err aws_xml_read(struct bytes body, const char *const *roots,
                                 struct aws_xml_field *fields, uint32_t count);

/* --- calls of a JSON service ------------------------------------------------------------------ */

/* Calls of a destination: endpoint, credentials, signed requests, judged answers. */
struct aws_caller;

struct aws_caller_options {
    const struct writer_options *writer; /* copied; the objects it points to outlive the caller */
    const struct aws_service *service;   /* borrowed, as the next three */
    const char *endpoint;                /* from the settings; NULL: not given */
    const char *operations;              /* the beginning of X-Amz-Target: "Kinesis_20131202" */
    const char *media_type;              /* "application/x-amz-json-1.1" */
};

/* Sends no request. ERR_NOMEM; errors of aws_region() and aws_endpoint(). */
MUST_CHECK enum err aws_caller_new(const struct aws_caller_options *options,
                                   struct aws_caller **ret_caller, struct why *why);
/* No call may be pending. */
void aws_caller_free(struct aws_caller *caller);

/* Returns Unix time, corrected if AWS reported a wrong clock. */
int64_t aws_caller_now_ms(const struct aws_caller *caller);

/* True if credentials have to be fetched; aws_caller_prepare() does that, as a writer's
 * prepare(). */
bool aws_caller_is_due(const struct aws_caller *caller);
void aws_caller_prepare(struct aws_caller *caller, const struct http_call_answer *answer,
                        struct writer_step *ret_step);

/*
 * Makes a step that sends `body`, which is borrowed until the call is done; `answer_bytes_max` may
 * be raised in it. `endpoint` NULL: the service's own. On an error the step is WRITER_DONE with the
 * reason. `ret_keys` is the number of the keys that signed it, for aws_caller_judge(). The step's
 * other texts live until the next one.
 */
void aws_caller_call(struct aws_caller *caller, const char *endpoint, const char *operation,
                     struct bytes body, uint32_t *ret_keys, struct writer_step *ret_step);
/* Judges as aws_json_judge(); refused keys become due. */
void aws_caller_judge(struct aws_caller *caller, uint32_t keys,
                      const struct http_call_answer *answer, struct writer_step *ret_step);

/* For an empty request that tests permissions: an error that it is invalid counts as success.
 * After aws_caller_judge(). */
void aws_judge_empty(struct writer_step *step);

/* True if a name has 1 to `bytes_max` letters, digits and characters of `others`. */
bool aws_is_name(const char *name, const char *others, size_t bytes_max);

/* Returns a text or number on the second level, {"outer":{"inner":...}}, in `size` bytes with
 * its NUL; "" if it does not exist. For descriptions. */
void aws_answer_find(struct bytes answer, const char *outer, const char *inner, char *ret,
                     size_t size);

#endif
