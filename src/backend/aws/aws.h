/*
 * aws.h - what all destinations in AWS share: where a service is, how a request to it is signed,
 * what its refusals mean. credentials.h says who we are.
 *
 * A writer's way through this:
 *
 *     once         aws_region(), aws_endpoint(), aws_credentials_new()
 *     prepare()    aws_credentials_step()
 *     begin()      aws_sign() -> a call to send
 *     judge()      aws_json_judge() or aws_xml_judge() -> a verdict; VERDICT_UNPREPARED:
 *                  aws_credentials_refused()
 *
 * Nothing here waits for the network. Threads: all of one destination belongs to its thread.
 */
#ifndef BACKEND_AWS_AWS_H
#define BACKEND_AWS_AWS_H

#include "backend/aws/keys.h"
#include "backend/aws/profile.h"
#include "backend/writer.h"

enum { AWS_REGION_BYTES = 40, AWS_ENDPOINT_BYTES = 512 };

/* --- where ------------------------------------------------------------------------------------ */

/*
 * The region: of the settings, of AWS_REGION, AWS_DEFAULT_REGION, of the profile. ERR_MISSING:
 * none is given; ERR_INPUT: it is not a valid name; errors of aws_profiles_read().
 */
MUST_CHECK enum err aws_region(const struct aws_setup *setup, char ret_region[AWS_REGION_BYTES],
                               struct why *why);

struct aws_service {
    const char *name;     /* what requests are signed for: "kinesis" */
    const char *host;     /* before the region: "kinesis", "ingest.timestream" */
    const char *variable; /* AWS_ENDPOINT_URL_...: "KINESIS", "TIMESTREAM_WRITE" */
};

/*
 * Where requests go, "https://host" without a slash at its end: `own` (of the settings, may be
 * NULL), AWS_ENDPOINT_URL_<variable>, AWS_ENDPOINT_URL, or the service's host in the region.
 * ERR_INPUT: no URL of http or https, or one with a user, a query or odd characters; ERR_LIMIT.
 */
MUST_CHECK enum err aws_endpoint(const struct aws_setup *setup, const struct aws_service *service,
                                 const char *own, const char *region,
                                 char ret_endpoint[AWS_ENDPOINT_BYTES], struct why *why);

/* An endpoint in its parts, views of it. */
struct aws_url {
    bool tls;
    struct bytes authority; /* "[::1]:8000"; the scheme's own port is left out */
    struct bytes host;      /* "::1" */
    struct bytes path;      /* "" or "/..."; what follows, a query too */
};
/* False: no URL of http or https, one with a user, or with characters that no URL has. */
bool aws_url_split(const char *url, struct aws_url *ret_url);

/* --- when ------------------------------------------------------------------------------------- */

/* The time that AWS believes it is, as far as its refusals taught us. */
struct aws_clock {
    struct env *env;
    int64_t skew_s;      /* what AWS is ahead of our clock */
    uint32_t correction; /* how many there were since something went well */
};

void aws_clock_init(struct aws_clock *clock, struct env *env);
/* Unix seconds. */
int64_t aws_clock_now_s(const struct aws_clock *clock);

/* --- requests --------------------------------------------------------------------------------- */

/* What is to be sent. Texts are borrowed until the call is done, as struct http_call says. */
struct aws_parts {
    const struct http_calls_target *target;
    const char *method;
    const char *endpoint; /* of aws_endpoint() */
    const char *path;     /* after the endpoint's, percent-encoded, begins with "/" */
    const char *query;    /* percent-encoded, without "?"; NULL: none */
    const char *const
        *headers; /* "Name: value", all are signed; NULL after the last; may be NULL */
    struct bytes body;
    const char *service; /* aws_service.name */
    const char *region;
    bool is_s3;
};

/* The texts of one signed call. They hold the session token, and are overwritten in the end. */
struct aws_request {
    struct buf text;
    const char *headers[HTTP_CALLS_HEADERS_MAX + 1];
};

void aws_request_init(struct aws_request *request, struct budget *memory);
void aws_request_fini(struct aws_request *request);

/* What the judges want to know of an answer's headers. A list of one's own begins with these. */
enum { AWS_WANTED_ERROR_TYPE, AWS_WANTED_COUNT };
extern const char *const aws_wanted[AWS_WANTED_COUNT + 1];

/*
 * Makes the call: URL, Host, the headers given, X-Amz-Date, the session token, Authorization. Its
 * texts live until the next use of `request`. `keys` NULL: it is not signed. `answer_bytes_max` is
 * AWS_ANSWER_BYTES_MAX; the caller may raise it, and may ask for more headers.
 * ERR_INPUT: an endpoint or header that none is; ERR_LIMIT: more than HTTP_CALLS_HEADERS_MAX
 * headers; ERR_NOMEM; errors of sigv4_sign().
 */
MUST_CHECK enum err aws_sign(const struct aws_parts *parts, const struct sigv4_credentials *keys,
                             int64_t time_s, struct aws_request *request,
                             struct http_call *ret_call, struct why *why);

/* --- answers ---------------------------------------------------------------------------------- */

/* What a service says when it refuses. */
struct aws_error {
    char code[72];                 /* "AccessDeniedException"; "": it did not say */
    char message[400];             /* in words */
    char region[AWS_REGION_BYTES]; /* of S3: the right one; "": it did not say */
};

/* The error in an answer; of JSON services it may stand in a header. All is bounded and printable,
 * and nothing that could be a key or a token is in it. */
void aws_json_error(const struct http_call_answer *answer, struct aws_error *ret_error);
void aws_xml_error(const struct http_call_answer *answer, struct aws_error *ret_error);

/*
 * Judges an answer by its error, and where that is not known by its status; fills all of `ret_step`
 * for WRITER_DONE. VERDICT_DELIVERED: a 2xx, whose body is the caller's to look at (a body that is
 * an <Error> is one, to the second of them). VERDICT_UNPREPARED: the keys were refused.
 * VERDICT_AGAIN: `clock` was wrong and is right now; a few times, then VERDICT_RETRY. No answer:
 * VERDICT_RETRY, but VERDICT_BLOCKED where the URL or trust is at fault.
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

#endif
