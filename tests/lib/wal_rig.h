/*
 * wal_rig.h - what the tests of wal/ share: a log on a simulated machine, and a model of what
 * was put into it.
 *
 * Every record but the series records has an id; all else about it (type, size, contents, series)
 * follows from the id, so that whoever reads it can check it. The model keeps the commits in order,
 * each with its fate. As the store does, a series record is put before the first record of a series
 * in each segment.
 */
#ifndef LIB_WAL_RIG_H
#define LIB_WAL_RIG_H

#include "lib/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "sys/fault.h"
#include "sys/sim.h"
#include "wal/internal.h"

#define must(call) assert_int_equal((call), OK)

enum { SERIES_COUNT = 9, COMMITS_MAX = 4096, SMALL_SEGMENT = WAL_SEGMENT_BYTES_MIN };

enum fate {
    FATE_COMMITTED,
    FATE_UNCERTAIN, /* was on its way when something broke: there as a whole or not at all */
    FATE_VOID,
};

struct model_commit {
    uint64_t first_id;
    uint32_t count;
    enum fate fate;
    uint64_t end_pos;
    uint64_t floats; /* what wal_count() was told */
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
    uint64_t batch_first_id; /* of what is not yet taken */
    uint64_t batch_floats;
    uint64_t defined_in; /* the segment that `defined` is about */
    uint32_t defined;    /* bit s: series s */
    uint64_t store_pos;  /* a durable position of the store: replay begins there */
    struct wal_damage damage;
    struct why why;
};

/* Runs after each test: only a failed one has left its machine behind. */
int wal_tell_seed(void **state);

uint64_t wal_rig_random(struct wal_rig *rig, uint64_t below);

void wal_rig_init(struct wal_rig *rig, uint64_t seed);

void wal_rig_fini(struct wal_rig *rig);

/* --- records ---------------------------------------------------------------------------------- */

enum wal_type id_type(uint64_t id);

uint32_t id_series(uint64_t id);

bool id_compress(uint64_t id);

/* 16 bytes and more: mostly small, now and then a large one. */
size_t id_size(uint64_t id);

/* The payload of an id in a buffer of this function. */
struct bytes id_payload(uint64_t id);

uint64_t record_id(const struct wal_record *record);

/* Any record but a series record is exactly what its id says. */
void check_record(const struct wal_record *record);

/* --- putting and committing ------------------------------------------------------------------- */

/* One record, with all that belongs to it. */
enum err wal_rig_put(struct wal_rig *rig);

void wal_rig_put_many(struct wal_rig *rig, uint32_t count);

/* The batch that is filled becomes the model's next commit. */
struct model_commit *wal_rig_take(struct wal_rig *rig);

/* What is in the batch will never be: its ids are not used again. */
void wal_rig_forget_batch(struct wal_rig *rig);

/* After a commit that failed, also the batch filled meanwhile is void. */
enum err wal_rig_commit(struct wal_rig *rig);

/* `count` commits of a few records. */
void wal_rig_fill(struct wal_rig *rig, uint32_t count);

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

enum err find_record(void *context, const struct wal_record *record, struct why *why);

/* Every commit with that fate, in order, nothing else; the uncertain ones are decided thereby. */
void check_findings(struct wal_rig *rig, const struct findings *f);

/* Opens the log and recovers it; what is found is given to `f`, unchecked. */
enum err wal_rig_open_finding(struct wal_rig *rig, struct findings *f);

/* Opens the log; what is found is what the model says, and nothing is damaged. */
enum err wal_rig_open(struct wal_rig *rig);

void wal_rig_close(struct wal_rig *rig);

void wal_rig_restart(struct wal_rig *rig);

void wal_rig_power_loss(struct wal_rig *rig);

void wal_rig_kill(struct wal_rig *rig);

uint64_t wal_rig_floats(const struct wal_rig *rig);

/* --- more of logs ----------------------------------------------------------------------------- */

struct seen {
    struct findings f;
    struct wal_damage damage;
};

struct seen wal_rig_verify(struct wal_rig *rig);

/* A log of at least five full segments; `ret` is about the one at `index`, 0 the oldest. */
void wal_rig_make_long_log(struct wal_rig *rig, uint64_t seed, uint32_t index,
                           struct segment *ret_segment);

/* --- files ------------------------------------------------------------------------------------ */

const char *segment_file(uint64_t number);

/* A file of the machine as a whole; free() it. */
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

/* Of all names and contents of the log's directory. */
uint64_t dir_sum(struct wal_rig *rig, uint32_t *ret_count);

#endif
