/*
 * tsdb_claim.h - a machine for each test, single samples, and what must be seen of them at
 * every stage of their way. For tests only.
 */
#ifndef LIB_TSDB_CLAIM_H
#define LIB_TSDB_CLAIM_H

#include "lib/tsdb_machine.h"

extern struct machine machine;

int claim_setup(void **state);

int claim_teardown(void **state);

#define T0 (SIM_BEGIN - 60 * MINUTE_MS)

/* One series with one float. */
enum err send_float(const char *tenant, const char *labels, int64_t t_ms, double value);

void must_send_float(const char *tenant, const char *labels, int64_t t_ms, double value);

void expect_result(uint64_t written, uint64_t rejected);

/* The same lines before and after everything that may happen to them on their way down. */
void expect_at_every_stage(const char *tenant, const char *lines);

#define claim(function) cmocka_unit_test_setup_teardown(function, claim_setup, claim_teardown)

#endif
