/*
 * tsdb_machine.h - a store on a simulated machine, remote write requests built as bytes, and
 * reading back. For tests.
 *
 * A machine is used by one thread. A result that a function does not expect fails the test. Times
 * are in milliseconds since 1970; the machine's clock begins at SIM_BEGIN.
 */
#ifndef LIB_TSDB_TSDB_MACHINE_H
#define LIB_TSDB_TSDB_MACHINE_H

#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/random.h"
#include "lib/wire/remote_write_validate.h"
#include "sys/fault.h"
#include "sys/sim.h"
#include "tsdb/tsdb.h"

#define MINUTE_MS   60000LL
#define DAY_MS      (24 * 60 * MINUTE_MS)
#define SIM_BEGIN   1767225600000LL /* the simulated machine's first moment */
#define STORE_DIR   "store"
#define must(call)  assert_int_equal((call), OK)
#define text(chars) bytes_text(chars)

static inline struct bytes
bytes_text(const char *chars)
{
    return bytes_of(chars, strlen(chars));
}

/* seed of the machine that machine_init() made last; -1 after its end */
extern int64_t machine_seed;

/* Prints the seed of the machine that a failed test left; a teardown of tests. */
int tell_seed(void **state);

/* --- requests --------------------------------------------------------------------------------- */

/* A write request; the next series, or sending it, closes the current series. */
struct rq {
    enum rw_version version;
    struct buf out;
    struct buf symbols; /* 2.0: the fields that come before all series */
    struct buf item;
    struct buf inner;
    struct buf packed;
    uint32_t symbol_count;
    bool in_series;
};

void rq_init(struct rq *rq, enum rw_version version);
void rq_fini(struct rq *rq);

/* Append a field of protobuf: of bytes, and of a varint. */
void rq_field(struct buf *to, unsigned number, struct bytes content);
void rq_number(struct buf *to, unsigned number, uint64_t value);

/* Closes the current series, if there is one. */
void rq_close(struct rq *rq);

/* Appends a label of the current series or exemplar to `to`. */
void rq_label_pair(struct rq *rq, struct bytes name, struct bytes value, struct buf *to);

/* Begins a series with the labels "name=value,name=value", in this order. */
void rq_series(struct rq *rq, const char *labels);

/* Append to the current series. start_ms is only sent by version 2.0, and if it is not 0. */
void rq_float(struct rq *rq, int64_t t_ms, uint64_t bits, int64_t start_ms);
void rq_histogram(struct rq *rq, int64_t t_ms, const struct histogram *h, int64_t start_ms);
void rq_exemplar(struct rq *rq, int64_t t_ms, uint64_t bits, const char *labels);

/* Appends metadata: for `family` with version 1.0, for the current series with 2.0. */
void rq_metadata(struct rq *rq, enum metric_type type, const char *family, const char *help,
                 const char *unit);

/* --- the machine ------------------------------------------------------------------------------ */

struct machine {
    /* Allocations of the store fail, those of the test do not: see step(). */
    bool memory_fails;
    bool memory_fails_forever;
    bool memory_failed;
    uint64_t memory_fails_in;
    struct sim_env *sim;
    struct fault_env *fe;
    struct env *env;
    struct budget memory;
    struct tsdb_options options;
    struct tsdb_limits limits;
    struct tsdb *db; /* NULL: closed */
    struct tsdb_opening opening;
    struct rw_request request;
    bool writes_itself;          /* requests are the server's own */
    struct ingest_result result; /* result of the last request */
    struct why why;
};

/* Calls the store while its allocations fail as memory_arm() asked. */
#define step(m, call)               \
    ({                              \
        memory_resume(m);           \
        enum err step_err = (call); \
        memory_pause(m);            \
        step_err;                   \
    })

void memory_resume(struct machine *m);
void memory_pause(struct machine *m);

/* Lets the nth allocation of the store fail, and if `forever` all later ones; 0 ends this. */
void memory_arm(struct machine *m, uint64_t nth, bool forever);

/* Makes a machine without a store; m->options and m->limits may be changed before it is opened. */
void machine_init(struct machine *m, uint64_t seed);
void machine_fini(struct machine *m);

/* Opens the store. After an error, m->db is NULL and m->why has the reason. */
enum err machine_open(struct machine *m);
void machine_must_open(struct machine *m);
void machine_close(struct machine *m);
void machine_restart(struct machine *m);

/* Sends the request as the server does; the verdict is in m->result. */
enum err machine_send(struct machine *m, const char *tenant, struct rq *rq);

void machine_commit(struct machine *m);

/* Cuts the head and writes it out. */
void machine_flush(struct machine *m);

/* Appends a line of tsdb_verify() to the buffer `context` if it reports damage. */
void say_line(void *context, const char *line);

/* Verifies a closed store: all files are whole, the ledger balances. `loud` prints what is wrong.
 */
enum err machine_verify(struct machine *m, bool loud);

/* Closes, verifies and opens the store. */
void machine_verified_restart(struct machine *m);

/* --- ledgers ---------------------------------------------------------------------------------- */

/* Returns the tenant's ledger, zeroed if `tenant` is NULL, after checking that all ledgers balance.
 */
struct ledger machine_ledger(struct machine *m, const char *tenant);

/* --- reading ---------------------------------------------------------------------------------- */

struct matcher_text {
    enum matcher_type type;
    const char *name;
    const char *pattern;
};

extern const struct matcher_text every_series[]; /* one matcher that each series has */

struct question {
    const char *tenant;
    const struct matcher_text *matchers;
    uint32_t matcher_count;
    int64_t min_ms;
    int64_t max_ms;
    bool partial;
    struct matcher *made[4];
    struct matcher_set set;
    struct query_request request;
};

/* Makes a query with up to 4 matchers; the texts are borrowed until question_fini(). */
void question_init(struct question *q, const char *tenant, const struct matcher_text *matchers,
                   uint32_t count, int64_t min_ms, int64_t max_ms);
void question_fini(struct question *q);

/* Called for each sample; `index` is its place in the batch, a view during the call. */
typedef void each_sample(void *context, struct bytes labels, const struct sample_batch *batch,
                         uint32_t index);

/* Walks a set to its end. Series must ascend by labels, times ascend and be within the query. */
enum err set_walk(struct series_set *set, const struct query_request *request, each_sample *each,
                  void *context, struct why *why);

enum err machine_select(struct machine *m, const struct question *q, each_sample *each,
                        void *context);

struct view *machine_view(struct machine *m);

enum err machine_exemplars(struct machine *m, const struct query_request *request,
                           enum err (*each)(void *context, const struct exemplar *x),
                           void *context);

enum err machine_metadata(struct machine *m, const char *tenant, const char *family,
                          enum err (*each)(void *context, const struct metadata *x), void *context);

/* Lists label names (`what` is "*"), series (""), or the values of the label `what`. */
enum err machine_texts(struct machine *m, const struct query_request *request, const char *what,
                       enum err (*each)(void *context, struct bytes text), void *context);

/* Expects the lines "{labels} time value[ since start]\n" as the answer; for all series and times.
 */
void expect_lines(struct machine *m, const char *tenant, const struct matcher_text *matchers,
                  uint32_t count, int64_t min_ms, int64_t max_ms, const char *expected);
void expect_all(struct machine *m, const char *tenant, const char *expected);

/* All files below a directory: the sum of their sizes, and a hash of names and contents. */
struct tree_sum {
    struct env *env;
    char path[200];
    uint64_t bytes;
    uint64_t hash;
};

struct tree_sum tree_sum_of(struct env *env, const char *path);

#endif
