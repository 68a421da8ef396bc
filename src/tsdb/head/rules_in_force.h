/*
 * rules_in_force.h - private to tsdb/: the configured rules of retention, and those that they
 * replaced, which protect samples until their grace is over.
 *
 *      change --> former (a series is kept for the longest time that one of them says)
 *                   |
 *                   +--- grace over, or configured again ---> forgotten
 *
 * Threads: the owner's lock, that of the head.
 */
#ifndef TSDB_HEAD_RULES_IN_FORCE_H
#define TSDB_HEAD_RULES_IN_FORCE_H

#include "model/series_rules.h"

/* The retention that a configuration says. */
struct rules_configured {
    struct series_rules *rules; /* NULL: none */
    int64_t kept_ms;            /* all samples are expired at this age; 0: never */
};

struct rules_former {
    struct rules_configured was;
    int64_t left_ms; /* when it was replaced, by the clock */
    int64_t seen_ns; /* when this process began to count its grace, monotonic */
};

/* Zeroed, there are no rules. */
struct rules_in_force {
    struct rules_configured now;
    struct rules_former former[SERIES_RULES_FORMER_MAX]; /* newest first */
    uint32_t former_count;
    struct series_rules *all; /* of `now` and `former`; NULL: they hide nothing */
    int64_t kept_ms;          /* the longest of `now` and `former`; 0: all is kept */
};

void rules_in_force_fini(struct rules_in_force *rules);
/* Replaces what is configured; takes a reference. False if both hide the same: then kept_ms, which
 * may differ without rules, is in force at once. */
bool rules_in_force_change(struct rules_in_force *rules, const struct rules_configured *next,
                           int64_t now_ms, int64_t now_ns);
/* Sets what is configured, with nothing former. */
void rules_in_force_begin(struct rules_in_force *rules, const struct rules_configured *first);
/* Adds a former configuration that is older than the others; takes a reference. The owner calls
 * rules_in_force_combine() afterwards. */
void rules_in_force_add_former(struct rules_in_force *rules, const struct rules_former *former);
/* Forgets former configurations from this one on, which are the oldest. */
void rules_in_force_forget(struct rules_in_force *rules, uint32_t from);
/* Computes `all` and `kept_ms`. Without memory nothing is hidden until the next change. */
void rules_in_force_combine(struct rules_in_force *rules);
/* True if both hide the same. */
bool rules_configured_equal(const struct rules_configured *a, const struct rules_configured *b);

#endif
