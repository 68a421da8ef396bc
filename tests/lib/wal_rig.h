/*
 * wal_rig.h - a log on a simulated machine, and a model of its content. For tests.
 *
 * Each record except the series records has an id, from which type, size, content and series of the
 * record follow, so that a reader can check it. The model has the commits in order, each with its
 * fate. As in the store, a series record precedes the first record of a series in each segment.
 */
#ifndef LIB_WAL_RIG_H
#define LIB_WAL_RIG_H

#include "lib/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash/hash.h"
#include "sys/fault.h"
#include "sys/sim.h"
#include "wal/wal_private.h"

#define must(call) assert_int_equal((call), OK)

enum { SERIES_COUNT = 9, COMMITS_MAX = 4096, SMALL_SEGMENT = WAL_SEGMENT_BYTES_MIN };

enum fate {
    FATE_COMMITTED,
    FATE_UNCERTAIN, /* interrupted: it is there as a whole or not at all */
    FATE_VOID,
};

struct model_commit {
    uint64_t first_id;
    uint32_t count;
    enum fate fate;
    uint64_t end_pos;
    uint64_t floats; /* the argument of wal_count() */
};

struct wal_rig {
    struct sim_env *sim;
    struct fault_env *fe;
    struct env *env;
    struct wal *wal;
    struct wal_options options;
    uint64_t random;

    struct model_commit *commits;
    uint32_t commit_count;
    uint64_t next_id;
    uint64_t batch_first_id; /* first id that is not part of a commit */
    uint64_t batch_floats;
    uint64_t defined_in; /* the segment that `defined` refers to */
    uint32_t defined;    /* bit s: series s has a record in it */
    uint64_t store_pos;  /* a durable position of the store, where replay begins */
    struct wal_damage damage;
    struct why why;
};

/* Prints the seed of the rig that a failed test left; a teardown of tests. */
int wal_print_seed(void **state);

/* Returns a random number below `below`. */
uint64_t wal_rig_random(struct wal_rig *rig, uint64_t below);

/* Makes a machine without a log; the test may change rig->options before wal_rig_open(). */
void wal_rig_init(struct wal_rig *rig, uint64_t seed);
void wal_rig_fini(struct wal_rig *rig);

/* --- records ---------------------------------------------------------------------------------- */

/* Properties of the record with this id. Sizes are 16 bytes and more, mostly small. */
enum wal_type id_type(uint64_t id);
uint32_t id_series(uint64_t id);
bool id_compress(uint64_t id);
size_t id_size(uint64_t id);

/* Returns the payload, a view until the next call. */
struct bytes id_payload(uint64_t id);

uint64_t record_id(const struct wal_record *record);

/* Checks that a record, other than a series record, is the one of its id. */
void check_record(const struct wal_record *record);

/* --- putting and committing ------------------------------------------------------------------- */

/* Put the next record, after its series record if that is due; the second must succeed. */
enum err wal_rig_put(struct wal_rig *rig);
void wal_rig_put_many(struct wal_rig *rig, uint32_t count);

/* Makes the batch the next commit of the model. */
struct model_commit *wal_rig_take(struct wal_rig *rig);

/* Gives up the batch; its ids are not used again. */
void wal_rig_forget_batch(struct wal_rig *rig);

/* Commits the batch. If that fails, the records put in the meantime are void, too. */
enum err wal_rig_commit(struct wal_rig *rig);

/* Makes `count` commits of a few records. */
void wal_rig_fill(struct wal_rig *rig, uint32_t count);

/* Reopens a poisoned log. */
enum err wal_rig_reopen(struct wal_rig *rig);

/* --- recovery --------------------------------------------------------------------------------- */

struct found {
    uint64_t id, pos, commit_end_pos, epoch;
    bool salvaged;
};

struct findings {
    struct found *items;
    uint32_t count, capacity;
    uint64_t from_pos;
    uint64_t segment;
    uint32_t defined;
    uint32_t undefined_count; /* records whose series record was not there */
    uint64_t last_pos;
};

void findings_fini(struct findings *f);

/* Adds a record to the findings `context`; for wal_recover(). */
enum err find_record(void *context, const struct wal_record *record, struct why *why);

/* Checks that all commits were found, in order, and nothing else; decides the uncertain ones. */
void check_findings(struct wal_rig *rig, const struct findings *f);

/* Opens and recovers the log; collects the records in `f` without a check. */
enum err wal_rig_open_finding(struct wal_rig *rig, struct findings *f);

/* Opens the log, and checks that it has the records of the model and no damage. */
enum err wal_rig_open(struct wal_rig *rig);
void wal_rig_close(struct wal_rig *rig);

/* Closes the log and opens it. */
void wal_rig_restart(struct wal_rig *rig);

/* Lose power, or kill the process: the log is closed then. */
void wal_rig_power_loss(struct wal_rig *rig);
void wal_rig_kill(struct wal_rig *rig);

/* Returns the number of floats in commits that were acknowledged. */
uint64_t wal_rig_floats(const struct wal_rig *rig);

/* --- more of logs ----------------------------------------------------------------------------- */

struct seen {
    struct findings f;
    struct wal_damage damage;
};

/* Reads the closed log without changing it; findings_fini() frees the findings. */
struct seen wal_rig_verify(struct wal_rig *rig);

/* Makes a log of at least five full segments, and returns the one at `index`, 0 the oldest. */
void wal_rig_make_long_log(struct wal_rig *rig, uint64_t seed, uint32_t index,
                           struct segment *ret_segment);

/* --- files ------------------------------------------------------------------------------------ */

/* Returns the path of a segment, a view until the next call. */
const char *segment_file(uint64_t number);

/* Reads a whole file of the machine; free() it. */
uint8_t *wal_rig_read_file(struct wal_rig *rig, const char *path, size_t *ret_size);

void wal_rig_write_file(struct wal_rig *rig, const char *path, const void *at, size_t size);
void wal_rig_patch_file(struct wal_rig *rig, const char *path, const void *at, size_t size,
                        uint64_t offset);

bool wal_rig_file_exists(struct wal_rig *rig, const char *path);

struct dir_sum {
    struct wal_rig *rig;
    uint64_t sum;
    uint32_t count;
};

/* Returns a sum over all names and contents of the log's directory. */
uint64_t dir_sum(struct wal_rig *rig, uint32_t *ret_count);

#endif
