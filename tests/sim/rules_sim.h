/*
 * rules_sim.h - rules on a simulated machine: a store, groups of rules, and a sender whose backlog
 * waits while the machine is down. One thread, one clock. For tests.
 */
#ifndef SIM_RULES_SIM_H
#define SIM_RULES_SIM_H

#include "base/hash/hash.h"
#include "lib/tsdb/tsdb_machine.h"
#include "rules/load/rule_files.h"
#include "rules/schedule/scheduler_private.h"

enum {
    SIM_SERIES = 6,
    SIM_SCRAPE_S = 15,
    SIM_SENT_MAX = 4096,
    SIM_GROUPS_MAX = 16,
    SIM_FILES_MAX = 2
};

#define NO_GROUPS          "groups: []\n"
#define GROUP(name, rules) "groups:\n- {name: " name ", interval: 30s, rules: [" rules "]}\n"
#define FIRES              "{alert: Fires, expr: vector(1), for: 2m}"
#define SENT               "{alert: Sent, expr: 'requests_total{n=\"0\"} > 0'}"
#define ALWAYS             "{record: always, expr: vector(1)}"

/* An alert as it was sent to Alertmanagers. */
struct sim_sent {
    char labels[160];
    int64_t at_ns, starts_ns, ends_ns;
};

struct rules_sim {
    struct machine m;
    struct budget memory; /* of the rules; nothing is left of it at the end */
    struct rules_host host;
    struct rules_terms terms;
    struct scheduler_limits limits;
    struct scheduler *scheduler;
    struct arena arena; /* memory of the rules */
    struct rule_groups files[SIM_FILES_MAX];
    struct scheduler_group list[SIM_GROUPS_MAX];

    /* The sender: its samples depend on `reality` and the time alone. */
    uint64_t reality;
    int64_t sent_s;     /* Unix: all samples up to then are sent */
    int64_t per_second; /* seconds of backlog that are sent in one; 0: all */
    bool mute;          /* the sender is away */
    bool has_own_clock; /* its clock is not set with that of the server */
    int64_t ahead_s;    /* seconds by which the server's clock is ahead of the sender's */

    unsigned first_tenant; /* tenants before it have no rules */
    unsigned tenant_count; /* the others have the same rules */
    uint64_t rejected;     /* samples of rules that the store refused */

    /* the next start has a log that lost what follows this time; 0: a whole log */
    int64_t lost_from_ns;
    bool write_fails, settle_fails, save_fails;
    unsigned dies_in; /* the power fails before the host's step of this number; 0: never */
    bool is_dead;
    bool settle_hangs;      /* what was written is stored later */
    bool memory_fails;      /* an allocation of each job is refused, or several */
    int64_t slow_ms;        /* for up to so long a query waits for its view */
    int64_t quiet_until_ns; /* Unix: the scheduler found no job that is due before */
    /* Each may be NULL. Is called after each job of one group; */
    void (*look)(struct rules_sim *s, const struct scheduler_job *job);
    /* called instead of adding the alerts to `sent`; */
    void (*notify)(struct rules_sim *s, const struct alert_notice *notices, uint32_t count);
    /* called to move the clock on, instead of sim_env_advance_ns(). */
    void (*wait)(struct rules_sim *s, int64_t ns);
    struct sim_sent sent[SIM_SENT_MAX];
    uint32_t sent_count;
};

/* --- the host --------------------------------------------------------------------------------- */

/* Opens the view of the store for queries of rules; fails to. */
enum err sim_refuse_to_open(void *context, struct query_control *control, struct view **ret_view,
                            struct why *why);
enum err sim_open(void *context, struct query_control *control, struct view **ret_view,
                  struct why *why);

/* --- life ------------------------------------------------------------------------------------- */

/* Loads the rules of one file, or of several that "---" separates. */
void sim_load(struct rules_sim *s, const char *yaml);

/* Starts the server on the machine; makes the machine and starts it. */
void sim_start(struct rules_sim *s, const char *yaml);
void sim_init(struct rules_sim *s, uint64_t seed, const char *yaml);

/* Cuts the power; the machine is down until sim_start(). */
void sim_crash(struct rules_sim *s);

/* Stops the server in order, after which all samples are in the store. */
void sim_stop(struct rules_sim *s);

void sim_fini(struct rules_sim *s);

/* --- the sender ------------------------------------------------------------------------------- */

/* Returns a hash of two numbers. */
uint64_t sim_mix(uint64_t a, uint64_t b);

/* --- time ------------------------------------------------------------------------------------- */

/* Lets time pass, and runs all that is due in it. */
void sim_pass(struct rules_sim *s, int64_t seconds);

/* Sets the wall clock forward or back. */
void sim_shift_clock(struct rules_sim *s, int64_t seconds);

/* --- jobs and samples ------------------------------------------------------------------------- */

/* Runs other jobs until one of this kind is due, and begins it; ends it. */
void sim_begin(struct rules_sim *s, enum scheduler_work work, struct scheduler_job *job);
void sim_end(struct rules_sim *s, struct scheduler_job *job);

struct sim_found {
    unsigned samples; /* with markers */
    unsigned stale;   /* staleness markers */
    unsigned changes; /* samples that are not the first one */
    int64_t stale_ms; /* time of the last marker */
    uint64_t first_bits;
};

/* Counts the samples of the series whose names match, from min_ms on. */
struct sim_found sim_find(struct rules_sim *s, const char *name_regex, int64_t min_ms);

/* Returns the number of seeds to run: SEEDS of the environment, or `usual`. */
uint64_t sim_seed_count(uint64_t usual);

/* Checks that both recorded the same up to a time. A failure prints where they differ. */
void sim_assert_same(struct rules_sim *whole, struct rules_sim *other, const char *name_regex,
                     int64_t to_ms);

#endif
