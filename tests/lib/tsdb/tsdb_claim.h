/*
 * tsdb_claim.h - one machine with an open store for each test, single samples, and checks of them
 * at each stage of their way to the disk. For tests, which a program lists with claim().
 */
#ifndef LIB_TSDB_TSDB_CLAIM_H
#define LIB_TSDB_TSDB_CLAIM_H

#include "lib/tsdb/tsdb_machine.h"

extern struct machine machine; /* the machine of the running test */

int claim_setup(void **state);
int claim_teardown(void **state);

#define T0 (SIM_BEGIN - 60 * MINUTE_MS)

/* Send one float of one series; the second must be accepted. */
enum err send_float(const char *tenant, const char *labels, int64_t t_ms, double value);
void must_send_float(const char *tenant, const char *labels, int64_t t_ms, double value);

/* Checks the counts of the last request, and that the ledgers balance. */
void expect_result(uint64_t written, uint64_t rejected);

/* Expects the lines of expect_all() in the head, frozen, in a part, and after restarts. */
void expect_at_every_stage(const char *tenant, const char *lines);

#define claim(function) cmocka_unit_test_setup_teardown(function, claim_setup, claim_teardown)

#endif
