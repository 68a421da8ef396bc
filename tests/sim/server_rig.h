/*
 * server_rig.h - for the tests of the whole server: a server in this process, on a directory
 * of its own and a faulting env, clients that write and read over 127.0.0.1, and a model of what
 * was acknowledged. For tests only.
 *
 * Sample number i of series number n is at base_ms + i and has the value n * SAMPLES_MAX + i, so
 * that each says where it belongs. All waiting is for events and fails after WAIT_S.
 */
#ifndef SIM_SERVER_RIG_H
#define SIM_SERVER_RIG_H

#include "lib/http_rig.h"

#include <dirent.h>
#include <ftw.h>
#include <snappy-c.h>
#include <sys/stat.h>

#include "app/server.h"
#include "lib/tsdb_machine.h"
#include "remote_read.pb-c.h"

enum { SERIES_MAX = 256, SAMPLES_MAX = 4096, CROWD_MAX = 64 };

enum fate { NEVER_SENT, SENT, ACKNOWLEDGED };

struct site {
    char dir[128];   /* temporary */
    char store[160]; /* in it */
    struct fault_env *fe;
    struct settings settings;
    int flag_count; /* what a reload reads again */
    char **flag_words;
    struct server *server; /* NULL: not running */
    int64_t base_ms;
    uint8_t fates[SERIES_MAX][SAMPLES_MAX]; /* enum fate */
    uint8_t found[SERIES_MAX][SAMPLES_MAX]; /* how often, when read back */
};

/* --- the site --------------------------------------------------------------------------------- */

struct site *site_new(void);

enum err site_try_start(struct site *s, struct why *why);

void site_start(struct site *s);

void site_stop(struct site *s);

void site_free(struct site *s);

/* Runs after each test: only a failed one has left its site behind. */
int site_clean_up(void **state);

int site_mute(void **state);

#define SERVER_TEST(name) cmocka_unit_test_teardown(name, site_clean_up)

/* Every millisecond until it is true; the server is ticked as its owner would. */
#define wait_for(s, condition)                                                               \
    for (int waited_ms = 0; !(condition); waited_ms++) {                                     \
        if (waited_ms == WAIT_S * 1000) fail_msg("not within %d s: %s", WAIT_S, #condition); \
        server_tick((s)->server);                                                            \
        poll(NULL, 0, 1);                                                                    \
    }

/* As `serve` stops, on SIGTERM. */
void site_stop_in_order(struct site *s);

struct tsdb_stats site_stats(const struct site *s);

unsigned site_open_files(void);

/* --- requests --------------------------------------------------------------------------------- */

struct body {
    char *at;
    size_t size;
};

struct body site_body(struct rq *rq);

double site_value(unsigned series, unsigned sample);

/* A write of `count` samples of a series. */
struct body site_write_request(struct site *s, enum rw_version version, unsigned series,
                               unsigned first, unsigned count);

void site_acknowledge(struct site *s, unsigned series, unsigned first, unsigned count);

bool send_post(struct client *c, const char *path, const char *proto, struct body body);

bool send_write(struct client *c, enum rw_version version, struct body body);

struct client site_connect(const struct site *s);

/* 503 asks to come back, and says why. */
void site_check_refusal(const struct response *r);

/* One write on a connection of its own; 0: the connection was closed without an answer. */
int site_write_body(struct site *s, enum rw_version version, struct body body);

int site_write(struct site *s, unsigned series, unsigned first, unsigned count);

/* A GET; the answer is to be freed. */
struct response site_get(const struct site *s, const char *path);

int site_status(const struct site *s, const char *path);

/* Whether /-/ready says no, for a reason that has these words in it. */
bool site_unready_because(const struct site *s, const char *words);

bool site_is_ready(const struct site *s);

/* Of /metrics: what follows `name` and a blank. */
double site_metric(const struct site *s, const char *name);

/* --- reading back ----------------------------------------------------------------------------- */

enum { READ_QUERIES_MAX = 64 };

/* Everything there is, `queries` times. */
struct body site_read_request(struct site *s, bool streamed, unsigned queries);

/* Reads all there is into s->found; gives the status. */
int site_read(struct site *s);

/* What was acknowledged is there once; what was never sent is not; nothing is there twice. */
void site_check_contents(struct site *s);

/* The directory, with the server stopped, has no damage and its ledger balances. */
void site_check_directory(struct site *s);

/* Stops, looks, starts, looks. */
void site_check_restart(struct site *s);

/* --- a crowd of senders ----------------------------------------------------------------------- */

/* Each connection writes one sample after another of its own series and repeats what got 503. */
struct crowd {
    struct site *site;
    unsigned count;
    struct client clients[CROWD_MAX];
    unsigned series[CROWD_MAX];
    unsigned next[CROWD_MAX]; /* sample */
    bool waiting[CROWD_MAX];  /* for an answer */
    bool resting[CROWD_MAX];  /* refused */
    int64_t rested_ns;
    uint64_t acknowledged;
    uint64_t refused;
};

void crowd_send(struct crowd *w, unsigned i);

/* Of series `first`, `first` + 1, ... */
void crowd_open(struct crowd *w, struct site *s, unsigned first, unsigned count);

/* Those refused come back after 20 ms; Prometheus would wait longer. */
void crowd_turn(struct crowd *w);

#define crowd_until(w, condition)                                          \
    for (int64_t began_ns = env_monotonic_ns(env_real()); !(condition);) { \
        if (env_monotonic_ns(env_real()) - began_ns > WAIT_S * NS_PER_S) { \
            fail_msg("not within %d s: %s", WAIT_S, #condition);           \
        }                                                                  \
        crowd_turn(w);                                                     \
    }

/* Everybody gets the last answer. */
void crowd_end(struct crowd *w);

void crowd_close(struct crowd *w);

/* Those refused last are repeated until each was taken. */
void crowd_finish(struct crowd *w);

#endif
