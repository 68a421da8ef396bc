/*
 * api_rig.h - the routes of the API without sockets, threads or a process: requests in memory
 * (http_double.h), an answerer and an owner that do as they are told, and a real store on a
 * simulated machine. Jobs run one after the other, in api_rig_run(). For tests.
 */
#ifndef LIB_API_RIG_H
#define LIB_API_RIG_H

#include "api/internal.h"
#include "lib/http_double.h"
#include "lib/tsdb_machine.h"
#include "wire/snappy.h"

/* --- the whole ------------------------------------------------------------------------------- */

struct api_rig {
    struct machine m;
    struct env_ops ops;
    struct api *api;
    struct api_options options;
    struct api_limits limits;
    /* The double of the store's answerer: it has `names`, or fails. */
    struct answerer answerer;
    struct view view;
    struct series_set set;
    enum err open_error, ask_error, sample_error;
    const char *warning;    /* of samples and of look-ups */
    unsigned names;         /* "name000".. */
    const char *metric;     /* the only one, instead of those */
    unsigned series, given; /* of the set at hand */
    struct query_request asked;
    char asked_name[64];
    /* The owner. */
    enum err owner_error; /* of whatever it is asked */
    const char *owner_why;
    bool takes_nothing; /* no write */
    bool has_sources;
    const char *held; /* why writes wait */
    struct destination_wish wish;
    char wished[64];
    enum tsdb_merge_mode merged;
    unsigned flushes_wanted;
};

struct api_rig *api_rig_of_answerer(struct answerer *answerer);

enum err double_open(struct answerer *answerer, struct query_control *control, struct view **ret,
                     struct why *why);

/* The store is open; rig_start() follows, when the options are as the test wants them. */
struct api_rig *api_rig_new(void);

struct api_rig *api_rig_start(struct api_rig *rig);

void api_rig_free(struct api_rig *rig);

/* --- asking ----------------------------------------------------------------------------------- */

/* Hands it to its route, as the server does; false: there is none, or not for this method. */
bool api_rig_hand(struct api_rig *rig, struct http_request *request);

/* Until nothing is left to do: each queue's jobs, and commits. */
void api_rig_run(struct api_rig *rig);

void api_rig_ask(struct api_rig *rig, struct http_request *request, enum http_method method,
                 const char *target, const char *headers, struct bytes body);

/* --- messages, packed; free() them ------------------------------------------------------------ */

struct bytes api_packed(const struct buf *message);

/* A write of up{a="b"} with two samples and an exemplar with these labels. */
struct bytes write_message_with(enum rw_version version, int64_t t_ms, double value,
                                const char *exemplar_labels);

struct bytes write_message(enum rw_version version, int64_t t_ms, double value);

/* A remote read of one selector; `pattern` NULL: without matchers. */
struct bytes read_message(bool streamed, unsigned matcher_type, const char *pattern);

#endif
