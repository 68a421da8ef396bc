/*
 * api_rig.h - the routes of the API without sockets, threads or a process: requests in memory
 * (http_double.h), an answerer and an owner that the test controls, and a real store on a simulated
 * machine. Jobs run one after the other, in api_rig_run(). For tests.
 */
#ifndef LIB_API_API_RIG_H
#define LIB_API_API_RIG_H

#include "api/handler.h"
#include "lib/api/http_double.h"
#include "lib/tsdb/tsdb_machine.h"
#include "wire/snappy.h"

/* --- the whole -------------------------------------------------------------------------------- */

struct api_rig {
    struct machine m;
    struct env_ops ops;
    struct api *api;
    struct api_options options;
    struct api_limits limits;
    /* The double of the store's answerer: it has `names`, or fails. */
    struct answerer answerer;
    struct usage *usage; /* counts what requests ask for */
    struct view view;
    struct series_set set;
    enum err open_error, ask_error, sample_error;
    const char *warning;        /* a warning with samples and look-ups */
    int64_t thinned_to_ms;      /* resolution of downsampled samples; 0: there are none */
    unsigned names;             /* "name000".. */
    const char *metric;         /* the only one, instead of those */
    unsigned series, given;     /* numbers of series: in all, and returned by the current set */
    struct query_request asked; /* the last request */
    char asked_name[64];
    /* The owner. */
    enum err owner_error; /* the result of all its functions */
    const char *owner_why;
    bool takes_nothing; /* refuses writes */
    bool has_sources;
    const char *held; /* why writes wait */
    struct destination_control control;
    struct destination_question question;   /* its texts end with the request */
    struct series_question series_question; /* its texts end with the request */
    char question_reason[32];
    char controlled[64];
    enum tsdb_merge_mode merged;
    unsigned flushes_wanted;
    /* The gate. */
    struct gate_rights rights;
    unsigned session_refused; /* the result of begin() */
};

/* Returns the rig whose answerer this is. */
struct api_rig *api_rig_of_answerer(struct answerer *answerer);

/* Opens the view of the double, for answerers of tests. */
enum err double_open(struct answerer *answerer, struct query_control *control, struct view **ret,
                     struct why *why);

/* Makes a rig with an open store. The test may change its options and then calls api_rig_start().
 */
struct api_rig *api_rig_new(void);
struct api_rig *api_rig_start(struct api_rig *rig); /* returns `rig` */
void api_rig_free(struct api_rig *rig);

/* --- requests --------------------------------------------------------------------------------- */

/* Hands the request to its route. Returns false if there is no route, or it lacks the method. */
bool api_rig_hand(struct api_rig *rig, struct http_request *request);

/* Runs the jobs of all queues, and commits, until nothing is left to do. */
void api_rig_run(struct api_rig *rig);

/* Makes a request (see http_double_init()), hands it to its route and runs until it is answered. */
void api_rig_ask(struct api_rig *rig, struct http_request *request, enum http_method method,
                 const char *target, const char *headers, struct bytes body);

/* --- messages --------------------------------------------------------------------------------- */

/* Each returns a message in snappy's block format; free() it. */

struct bytes api_packed(const struct buf *message);

/* Writes two samples of up{a="b"} and an exemplar with these labels. */
struct bytes write_message_with(enum rw_version version, int64_t t_ms, double value,
                                const char *exemplar_labels);

struct bytes write_message(enum rw_version version, int64_t t_ms, double value);

/* Reads series whose names match `pattern`; all series if it is NULL. */
struct bytes read_message(bool streamed, unsigned matcher_type, const char *pattern);

#endif
