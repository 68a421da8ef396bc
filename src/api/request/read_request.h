/*
 * read_request.h - private to api/: a request that reads series: its arguments, its limits, the
 * series that it selects and those that its sender may see, and the pieces of its answer.
 *
 * All of these have to permit a series (the fence):
 *
 *     the user                 one of the read_matchers
 *     parameters of the URL    one of extra_filters[], and each extra_label
 *     fields of the body       the same: a form cannot widen what a proxy puts into the URL
 */
#ifndef API_REQUEST_READ_REQUEST_H
#define API_REQUEST_READ_REQUEST_H

#include "api/handler.h"
#include "auth/users.h"
#include "base/buf.h"
#include "base/text/json.h"
#include "base/text/texts.h"
#include "model/permitted.h"
#include "net/http_server.h"
#include "views/stack.h"

/*
 * Arguments of a request, from its query string and from a body that is a
 * urlencoded form.
 */

struct form_field {
    const char *name;
    const char *value;
};

struct form {
    const struct http_request *request;
    struct arena arena;
    struct form_field *fields; /* fields of the body */
    uint32_t count;
};

/* Reads the body if its content type is that of a form; ignores an urlencoded body of GET.
 * ERR_INPUT: it is not a valid form, or one in parts; ERR_NOMEM. form_fini() is required in any
 * case. */
MUST_CHECK enum err form_read(const struct http_request *request, struct budget *budget,
                              struct form *ret_form, struct why *why);
/* Checks all arguments of the query string, for routes that ignore none. ERR_INPUT, with
 * Prometheus' sentence. */
MUST_CHECK enum err form_check_query(const struct form *form, struct why *why);
void form_fini(struct form *form);

/* Returns the argument's `nth` value, counted from 0: values in the body come first. NULL after the
 * last. */
const char *form_nth(const struct form *form, const char *name, uint32_t nth);
/* Returns the first value; NULL also if it is empty, which for Prometheus is absent. */
const char *form_given(const struct form *form, const char *name);
/* The places of arguments. */
enum form_place { FORM_URL, FORM_BODY, FORM_PLACES };
/* Returns one value of an argument after another; the walk begins with {0}. NULL after the last. */
struct form_walk {
    uint32_t arguments;
    uint32_t fields;
};
const char *form_next(const struct form *form, const char *name, struct form_walk *walk);
/* Does the same for the values in one place. */
const char *form_next_of(const struct form *form, enum form_place place, const char *name,
                         struct form_walk *walk);

/* Reads a whole number of so many bits like Go. Returns NULL, with *ret_number, or Go's error. */
const char *form_whole(const char *text, unsigned bits, int64_t *ret_number);

/* Reads a time as Prometheus' API does: as time_parse_api(), and numbers in all forms of Go. */
bool form_parse_time(const char *text, int64_t *ret_ms);

/* Read arguments of a kind; if one is absent *ret stays as it is. ERR_INPUT: Prometheus' sentence
 * is appended to `error`. */
MUST_CHECK enum err form_time(const struct form *form, const char *name, int64_t *ret_ms,
                              struct buf *error);
/* The argument "limit"; 0: unlimited. */
MUST_CHECK enum err form_limit(const struct form *form, uint64_t *ret_limit, struct buf *error);
MUST_CHECK enum err form_bool(const struct form *form, const char *name, bool *ret,
                              struct buf *error);
/* Appends `invalid parameter "name": ` and the text. Returns ERR_INPUT. */
enum err form_invalid(struct buf *error, const char *name, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Selectors of series. */
struct match {
    struct promql_tree **trees; /* in the form's arena */
    uint32_t tree_count;
    struct matcher_set *sets; /* views of the trees; also in the arena */
    uint32_t set_count;
};

struct fence {
    struct permitted permitted; /* count 0: all series */
    struct bytes word;          /* equal for equal fences only; in the form's arena */
    struct match filters[FORM_PLACES];
    struct matcher **labels; /* those of extra_label; in the form's arena */
    uint32_t label_count;
    struct users *users; /* held, as the user's matchers are theirs; NULL if it has none */
};

struct read_request {
    struct api *api;
    struct http_request *request;
    struct form form;
    struct budget budget; /* below read_budget */
    struct query_control control;
    struct query_request query; /* has the tenant and the control; at first, of all times */
    struct match match;
    struct fence fence;
    struct bytes replicas[REPLICA_LABELS_MAX]; /* labels of replicas that are merged, in order */
    uint32_t replica_count;
    bool counts_usage; /* metrics that are asked for count as used */
    struct view *view;
    struct warnings warnings; /* about data that is missing because of damage */
    struct buf text;
    struct json json;
    bool begun;       /* the answer is a stream */
    unsigned refused; /* status of a refusal of the tenant, or 0 */
    struct buf error; /* a sentence for ERR_INPUT, which may be longer than `why` */
    struct why why;
};

/* Sets all fields; read_request_end() follows in any case. */
void read_request_begin(struct read_request *r, struct api *api, struct http_request *request);
/* Frees all; all sets have been freed before. */
void read_request_end(struct read_request *r);

/* These read arguments. ERR_INPUT: a sentence is appended to `error`, or is in `why`; ERR_NOMEM and
 * ERR_CANCELED, with `why`. Arguments stay until read_request_end(), while views of the request end
 * when the answer begins. */

/* Reads the tenant and the form. ERR_INPUT also if `refused` is set. */
MUST_CHECK enum err read_request_arguments(struct read_request *r);
/* Adds all selectors that `parse` finds in a text. */
MUST_CHECK enum err read_request_match(struct read_request *r, struct match *to, const char *text,
                                       enum err (*parse)(struct bytes text, struct budget *budget,
                                                         struct query_control *control,
                                                         struct promql_tree **ret_tree,
                                                         struct buf *error));
/* Reads all match[], each of which is a selector, into `match` and the query. ERR_INPUT also if one
 * of them selects everything. */
MUST_CHECK enum err read_request_matches(struct read_request *r);
/* Reads whether damaged data may be left out, which is the default, and the source. */
MUST_CHECK enum err read_request_partial(struct read_request *r);
/* Reads the fence. */
MUST_CHECK enum err read_request_fence(struct read_request *r);
/* Reads the fence and, as in Thanos, `dedup` and `replicaLabels[]`, or the setting where they are
 * absent; and `count_usage`. */
MUST_CHECK enum err read_request_scope(struct read_request *r);

/* Return true if the user or the URL restricts a request, for routes that cannot. */
bool fence_of_user(const struct http_request *request);
bool fence_of_url(const struct http_request *request);

/* Opens a view of the api's answerer that merges the replicas, and answers only with series that
 * the fence permits, which outlives the view and its sets; sets control->permitted and
 * control->usage. ERR_UNSUPPORTED: the answerer cannot restrict its answers. Errors of view_open().
 */
MUST_CHECK enum err read_request_open(const struct read_request *r, struct query_control *control,
                                      struct view **ret_view, struct why *why);

/* Keeps a warning: for sinks, whose context begins with a struct read_request. */
enum err read_request_warn(void *request, const char *sentence);
/* Replies with the error of the arguments. False: there was no error, and no reply. */
bool read_request_refuse(struct read_request *r, enum err e);
/* Sends a piece of a long answer of status 200 and clears `text`, unless the query has to end. The
 * first piece begins the stream and sets `begun`: the caller then ends it. */
MUST_CHECK enum err read_request_send(struct read_request *r, enum queue_name queue,
                                      const char *content_type);

#endif
