/*
 * server_rig.h - a whole server in this process, on a temporary directory and a faulting env,
 * clients that write and read over 127.0.0.1, and a model of what was acknowledged. For tests.
 *
 * Sample number i of series number n is at base_ms + i and has the value n * SAMPLES_MAX + i. All
 * waiting is for events and fails the test after WAIT_S.
 */
#ifndef SIM_SERVER_RIG_H
#define SIM_SERVER_RIG_H

#include "lib/net/http_rig.h"

#include <dirent.h>
#include <ftw.h>
#include <snappy-c.h>
#include <sys/stat.h>

#include "app/server_private.h"
#include "lib/tsdb/tsdb_machine.h"
#include "remote_read.pb-c.h"

enum { SERIES_MAX = 256, SAMPLES_MAX = 4096, CROWD_MAX = 64 };

enum write_fate { NEVER_SENT, SENT, ACKNOWLEDGED };

struct site {
    char dir[128];   /* temporary */
    char store[160]; /* a directory in `dir` */
    struct fault_env *fe;
    struct settings settings;
    int flag_count; /* flags that a reload reads again */
    char **flag_words;
    struct server *server; /* NULL: stopped */
    int64_t base_ms;
    uint8_t fates[SERIES_MAX][SAMPLES_MAX]; /* enum write_fate */
    uint8_t found[SERIES_MAX][SAMPLES_MAX]; /* number of times that each was read */
};

/* --- the site --------------------------------------------------------------------------------- */

/* Makes a site without a server; starts and stops the server; frees the site. */
struct site *site_new(void);
enum err site_try_start(struct site *s, struct why *why);
void site_start(struct site *s);
void site_stop(struct site *s);
void site_free(struct site *s);

/* Removes the site of a failed test, as teardown; turns logging off, as setup of a program. */
int site_clean_up(void **state);
int site_mute(void **state);

#define SERVER_TEST(name) cmocka_unit_test_teardown(name, site_clean_up)

/* Ticks the server each millisecond until the condition holds. */
#define wait_for(s, condition)                                                               \
    for (int waited_ms = 0; !(condition); waited_ms++) {                                     \
        if (waited_ms == WAIT_S * 1000) fail_msg("not within %d s: %s", WAIT_S, #condition); \
        server_tick((s)->server);                                                            \
        poll(NULL, 0, 1);                                                                    \
    }

/* Stops the server as `serve` does on SIGTERM. */
void site_stop_in_order(struct site *s);

struct tsdb_stats site_stats(const struct site *s);

/* Returns the number of open files of the process. */
unsigned site_open_files(void);

/* --- requests --------------------------------------------------------------------------------- */

struct body {
    char *at;
    size_t size;
};

/* Return a message in snappy's block format; free() body.at. The first ends `rq`. */
struct body site_body(struct rq *rq);

struct body site_write_request(struct site *s, enum rw_version version, unsigned series,
                               unsigned first, unsigned count);

double site_value(unsigned series, unsigned sample);

/* Notes in s->fates that samples were acknowledged. */
void site_acknowledge(struct site *s, unsigned series, unsigned first, unsigned count);

/* Send a request without waiting for the answer. */
bool send_post(struct client *c, const char *path, const char *proto, struct body body);
bool send_write(struct client *c, enum rw_version version, struct body body);

struct client site_connect(const struct site *s);

/* Checks that an answer with 503 has Retry-After and a reason. */
void site_check_refusal(const struct response *r);

/* Write on a new connection and return the status; 0 if it was closed without an answer. */
int site_write_body(struct site *s, enum rw_version version, struct body body);
int site_write(struct site *s, unsigned series, unsigned first, unsigned count);

/* GET a path; response_free() the answer. */
struct response site_get(const struct site *s, const char *path);
int site_status(const struct site *s, const char *path);

/* Return true if /-/ready refuses with these words in its reason, and if it is ready. */
bool site_unready_because(const struct site *s, const char *words);
bool site_is_ready(const struct site *s);

/* Returns the value that follows `name` and a blank in /metrics. */
double site_metric(const struct site *s, const char *name);

/* --- reading back ----------------------------------------------------------------------------- */

enum { READ_QUERIES_MAX = 64 };

/* Returns a remote read of everything, `queries` times. */
struct body site_read_request(struct site *s, bool streamed, unsigned queries);

/* Reads everything into s->found and returns the status. */
int site_read(struct site *s);

/* Checks that each acknowledged sample is read once, and no sample twice or without being sent. */
void site_check_contents(struct site *s);

/* Checks that the directory of the stopped server has no damage, and that its ledger balances. */
void site_check_directory(struct site *s);

/* Stops the server, checks the directory, starts it, checks the contents. */
void site_check_restart(struct site *s);

/* --- a crowd of senders ----------------------------------------------------------------------- */

/* Connections that each write a series, sample by sample, and repeat requests refused with 503. */
struct crowd {
    struct site *site;
    unsigned count;
    struct client clients[CROWD_MAX];
    unsigned series[CROWD_MAX];
    unsigned next[CROWD_MAX]; /* sample */
    bool waiting[CROWD_MAX];  /* for its answer */
    bool resting[CROWD_MAX];  /* refused */
    int64_t rested_ns;
    uint64_t acknowledged;
    uint64_t refused;
};

/* Sends the next sample of a connection. */
void crowd_send(struct crowd *w, unsigned i);

/* Opens connections for the series from `first` on. */
void crowd_open(struct crowd *w, struct site *s, unsigned first, unsigned count);

/* Takes answers and sends the next samples; refused samples are sent again after 20 ms. */
void crowd_turn(struct crowd *w);

#define crowd_until(w, condition)                                          \
    for (int64_t began_ns = env_monotonic_ns(env_real()); !(condition);) { \
        if (env_monotonic_ns(env_real()) - began_ns > WAIT_S * NS_PER_S)   \
            fail_msg("not within %d s: %s", WAIT_S, #condition);           \
        crowd_turn(w);                                                     \
    }

/* Waits for all answers; closes the connections. */
void crowd_end(struct crowd *w);
void crowd_close(struct crowd *w);

/* Repeats the samples that were refused last until they are accepted. */
void crowd_finish(struct crowd *w);

#endif
