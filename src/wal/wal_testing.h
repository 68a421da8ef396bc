/*
 * wal_testing.h - what the tests of wal/ share: a log on a simulated machine, and a model of what
 * was put into it.
 *
 * Every record but the series records has an id; all else about it (type, size, contents, series)
 * follows from the id, so that whoever reads it can check it. The model keeps the commits in order,
 * each with its fate. As the store does, a series record is put before the first record of a series
 * in each segment.
 */
#ifndef WAL_WAL_TESTING_H
#define WAL_WAL_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

struct rig {
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

static int64_t seed_at_work = -1; /* of the machine not yet done with */

/* Runs after each test: only a failed one has left its machine behind. */
static inline int
tell_seed(void **state)
{
    (void)state;
    mem_fail_nth(0, false);
    if (seed_at_work >= 0) print_error("failed with seed %lld\n", (long long)seed_at_work);
    seed_at_work = -1;
    return 0;
}

static inline uint64_t
rig_random(struct rig *rig, uint64_t below)
{
    rig->random = hash_mix(rig->random, 0x6a09e667f3bcc909);
    return rig->random % below;
}

static inline void
rig_init(struct rig *rig, uint64_t seed)
{
    *rig = (struct rig){.random = seed, .next_id = 1, .batch_first_id = 1};
    seed_at_work = (int64_t)seed;
    must(sim_env_new(seed, &rig->sim));
    must(fault_env_new(sim_env_env(rig->sim), &rig->fe));
    rig->env = fault_env_env(rig->fe);
    rig->commits = calloc(COMMITS_MAX, sizeof *rig->commits);
    assert_non_null(rig->commits);
    rig->options = (struct wal_options){
        .env = rig->env,
        .dir = "/wal",
        .segment_bytes = SMALL_SEGMENT,
        .batch_bytes_max = 256 * 1024,
    };
}

static inline void
rig_fini(struct rig *rig)
{
    wal_free(rig->wal);
    fault_env_free(rig->fe);
    sim_env_free(rig->sim);
    free(rig->commits);
    seed_at_work = -1;
}

/* --- records ---------------------------------------------------------------------------------- */

static inline uint64_t
id_mix(uint64_t id, uint64_t what)
{
    return hash_mix(hash_mix(7, id), what);
}

static inline enum wal_type
id_type(uint64_t id)
{
    static const enum wal_type types[] = {WAL_FLOATS, WAL_HISTOGRAMS, WAL_EXEMPLARS, WAL_METADATA,
                                          WAL_LEDGER};
    return types[id_mix(id, 1) % 5];
}

static inline uint32_t
id_series(uint64_t id)
{
    return (uint32_t)(id_mix(id, 2) % SERIES_COUNT);
}

static inline bool
id_compress(uint64_t id)
{
    return id_mix(id, 3) % 2 == 0;
}

/* 16 bytes and more: mostly small, now and then a large one. */
static inline size_t
id_size(uint64_t id)
{
    uint64_t r = id_mix(id, 4);
    return 16 + (r % 16 == 0 ? (r >> 8) % 20000 : r % 4 == 0 ? (r >> 8) % 1500 : (r >> 8) % 100);
}

/* The payload of an id in a buffer of this function. */
static inline struct bytes
id_payload(uint64_t id)
{
    static _Thread_local uint8_t at[32 * 1024];
    size_t size = id_size(id);
    bool dull = id_mix(id, 5) % 2 == 0;
    store_le64(at, id);
    store_le64(at + 8, id_series(id));
    for (size_t i = 16; i < size; i++) {
        at[i] = dull ? (uint8_t)(i % 11) : (uint8_t)(id_mix(id, 64 + i / 8) >> (8 * (i % 8)));
    }
    return bytes_of(at, size);
}

static inline uint64_t
record_id(const struct wal_record *record)
{
    assert_true(record->payload.size >= 16);
    return load_le64(record->payload.at);
}

/* Any record but a series record is exactly what its id says. */
static inline void
check_record(const struct wal_record *record)
{
    uint64_t id = record_id(record);
    assert_int_equal(record->type, id_type(id));
    assert_int_equal(record->version, 1);
    assert_true(bytes_equal(record->payload, id_payload(id)));
}

/* --- putting and committing ------------------------------------------------------------------- */

static inline enum err
rig_define(struct rig *rig, uint32_t series)
{
    uint64_t segment = wal_place(rig->wal).segment;
    if (rig->defined_in != segment) rig->defined = 0;
    rig->defined_in = segment;
    if (rig->defined & 1u << series) return OK;
    uint8_t payload[16] = {0};
    store_le64(payload, 1000 + series);
    enum err e = wal_put(rig->wal, WAL_SERIES, bytes_of(payload, sizeof payload), false);
    if (e == OK) rig->defined |= 1u << series;
    return e;
}

/* One record, with all that belongs to it. */
static inline enum err
rig_put(struct rig *rig)
{
    uint64_t id = rig->next_id;
    enum err e = wal_reserve(rig->wal, wal_put_bytes(16) + wal_put_bytes(id_size(id)), &rig->why);
    if (e) return e;
    must(rig_define(rig, id_series(id)));
    must(wal_put(rig->wal, id_type(id), id_payload(id), id_compress(id)));
    wal_count(rig->wal, LEDGER_FLOAT, 1 + id % 10); /* of whatever type it is */
    rig->batch_floats += 1 + id % 10;
    rig->next_id++;
    return OK;
}

static inline void
rig_put_many(struct rig *rig, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        must(rig_put(rig));
    }
}

/* The batch that is filled becomes the model's next commit. */
static inline struct model_commit *
rig_take(struct rig *rig)
{
    if (!wal_take(rig->wal)) return NULL;
    assert_true(rig->commit_count < COMMITS_MAX);
    struct model_commit *c = &rig->commits[rig->commit_count++];
    *c = (struct model_commit){
        .first_id = rig->batch_first_id,
        .count = (uint32_t)(rig->next_id - rig->batch_first_id),
        .fate = FATE_UNCERTAIN,
        .floats = rig->batch_floats,
    };
    rig->batch_first_id = rig->next_id;
    rig->batch_floats = 0;
    return c;
}

/* What is in the batch will never be: its ids are not used again. */
static inline void
rig_forget_batch(struct rig *rig)
{
    rig->batch_first_id = rig->next_id;
    rig->batch_floats = 0;
    rig->defined_in = 0;
}

/* After a commit that failed, also the batch filled meanwhile is void. */
static inline enum err
rig_commit(struct rig *rig)
{
    struct model_commit *c = rig_take(rig);
    if (c == NULL) return OK;
    enum err e = wal_commit(rig->wal, &rig->why);
    if (e) {
        rig_forget_batch(rig);
        return e;
    }
    c->fate = FATE_COMMITTED;
    c->end_pos = wal_end(rig->wal);
    return OK;
}

/* `count` commits of a few records. */
static inline void
rig_fill(struct rig *rig, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        rig_put_many(rig, 1 + (uint32_t)rig_random(rig, 6));
        must(rig_commit(rig));
    }
}

static inline enum err
rig_reopen(struct rig *rig)
{
    enum err e = wal_reopen(rig->wal, &rig->why);
    if (e) return e;
    for (uint32_t i = 0; i < rig->commit_count; i++) {
        if (rig->commits[i].fate == FATE_UNCERTAIN) rig->commits[i].fate = FATE_VOID;
    }
    return OK;
}

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

static inline void
findings_fini(struct findings *f)
{
    free(f->items);
    *f = (struct findings){0};
}

static inline enum err
find_record(void *context, const struct wal_record *record, struct why *why)
{
    (void)why;
    struct findings *f = context;
    assert_true(record->pos > f->last_pos);
    f->last_pos = record->pos;
    if (f->segment != record->segment) f->defined = 0;
    assert_true(record->segment >= f->segment);
    f->segment = record->segment;
    if (record->type == WAL_SERIES) {
        f->defined |= 1u << (load_le64(record->payload.at) - 1000);
        return OK;
    }
    assert_true(record->pos >= f->from_pos);
    check_record(record);
    uint64_t id = record_id(record);
    f->undefined_count += !(f->defined & 1u << id_series(id));
    if (f->count == f->capacity) {
        f->capacity = f->capacity == 0 ? 256 : 2 * f->capacity;
        f->items = realloc(f->items, f->capacity * sizeof *f->items);
        assert_non_null(f->items);
    }
    f->items[f->count++] =
        (struct found){id, record->pos, record->commit_end_pos, record->epoch, record->salvaged};
    return OK;
}

/* Every commit with that fate, in order, nothing else; the uncertain ones are decided thereby. */
static inline void
check_findings(struct rig *rig, const struct findings *f)
{
    uint32_t at = 0;
    uint64_t last_epoch = 0;
    assert_int_equal(f->undefined_count, 0);
    for (uint32_t i = 0; i < rig->commit_count; i++) {
        struct model_commit *c = &rig->commits[i];
        if (c->fate == FATE_VOID) continue;
        if (c->fate == FATE_COMMITTED && c->end_pos <= f->from_pos) continue;
        bool there = c->count > 0 && at < f->count && f->items[at].id == c->first_id;
        if (c->fate == FATE_COMMITTED) assert_true(there || c->count == 0);
        if (!there) {
            c->fate = FATE_VOID;
            continue;
        }
        uint64_t end = f->items[at].commit_end_pos;
        assert_true(f->items[at].epoch > last_epoch);
        last_epoch = f->items[at].epoch;
        for (uint32_t k = 0; k < c->count; k++, at++) {
            assert_true(at < f->count);
            assert_int_equal(f->items[at].id, c->first_id + k);
            assert_int_equal(f->items[at].commit_end_pos, end);
            assert_int_equal(f->items[at].epoch, last_epoch);
            assert_false(f->items[at].salvaged);
        }
        if (c->fate == FATE_COMMITTED) assert_int_equal(c->end_pos, end);
        c->fate = FATE_COMMITTED;
        c->end_pos = end;
    }
    assert_int_equal(at, f->count);
}

/* Opens the log and recovers it; what is found is given to `f`, unchecked. */
static inline enum err
rig_open_finding(struct rig *rig, struct findings *f)
{
    *f = (struct findings){.from_pos = rig->store_pos};
    rig_forget_batch(rig);
    enum err e = wal_open(&rig->options, &rig->wal, &rig->why);
    if (e == OK) {
        e = wal_recover(rig->wal, rig->store_pos, find_record, f, &rig->damage, &rig->why);
    }
    if (e) {
        wal_free(rig->wal);
        rig->wal = NULL;
    }
    return e;
}

/* Opens the log; what is found is what the model says, and nothing is damaged. */
static inline enum err
rig_open(struct rig *rig)
{
    struct findings f;
    enum err e = rig_open_finding(rig, &f);
    if (e == OK) {
        if (rig->damage.places > 0) fail_msg("%s", rig->damage.first);
        check_findings(rig, &f);
    }
    findings_fini(&f);
    return e;
}

static inline void
rig_close(struct rig *rig)
{
    wal_free(rig->wal);
    rig->wal = NULL;
}

static inline void
rig_restart(struct rig *rig)
{
    rig_close(rig);
    must(rig_open(rig));
}

static inline void
rig_power_loss(struct rig *rig)
{
    rig_close(rig);
    sim_env_power_loss(rig->sim);
}

static inline void
rig_kill(struct rig *rig)
{
    sim_env_kill(rig->sim);
    rig_close(rig);
}

static inline uint64_t
rig_floats(const struct rig *rig)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < rig->commit_count; i++) {
        if (rig->commits[i].fate == FATE_COMMITTED) sum += rig->commits[i].floats;
    }
    return sum;
}

/* --- more of logs ----------------------------------------------------------------------------- */

struct seen {
    struct findings f;
    struct wal_damage damage;
};

static inline struct seen
verify_finding(struct rig *rig)
{
    struct seen s = {0};
    must(wal_verify(rig->env, "/wal", 0, false, find_record, &s.f, &s.damage, &rig->why));
    return s;
}

/* A log of at least five full segments; `ret` is about the one at `index`, 0 the oldest. */
static inline void
make_long_log(struct rig *rig, uint64_t seed, uint32_t index, struct segment *ret_segment)
{
    rig_init(rig, seed);
    must(rig_open(rig));
    while (rig->wal->list.count < 5) {
        rig_fill(rig, 1);
    }
    rig_fill(rig, 3);
    *ret_segment = rig->wal->list.items[index];
    rig_close(rig);
}

/* --- files ------------------------------------------------------------------------------------ */

static inline const char *
segment_file(uint64_t number)
{
    static char path[64];
    must(segment_path(path, sizeof path, "/wal", number));
    return path;
}

/* A file of the machine as a whole; free() it. */
static inline uint8_t *
read_file(struct rig *rig, const char *path, size_t *ret_size)
{
    struct file file;
    uint64_t size;
    must(file_open(sim_env_env(rig->sim), path, FILE_READ, &file, NULL));
    must(file_size(&file, &size, NULL));
    uint8_t *at = malloc((size_t)size + 1);
    assert_non_null(at);
    must(file_read_at(&file, at, (size_t)size, 0, NULL));
    must(file_close(&file));
    *ret_size = (size_t)size;
    return at;
}

static inline void
write_file(struct rig *rig, const char *path, const void *at, size_t size)
{
    struct file file;
    must(file_open(sim_env_env(rig->sim), path, FILE_REPLACE, &file, NULL));
    must(file_write_at(&file, bytes_of(at, size), 0, NULL));
    must(file_sync(&file, NULL));
    must(file_close(&file));
    must(env_syncdir(sim_env_env(rig->sim), "/wal", NULL));
}

static inline void
patch_file(struct rig *rig, const char *path, const void *at, size_t size, uint64_t offset)
{
    struct file file;
    must(file_open(sim_env_env(rig->sim), path, FILE_UPDATE, &file, NULL));
    must(file_write_at(&file, bytes_of(at, size), offset, NULL));
    must(file_sync(&file, NULL));
    must(file_close(&file));
}

static inline bool
file_exists(struct rig *rig, const char *path)
{
    struct file file;
    enum err e = file_open(sim_env_env(rig->sim), path, FILE_READ, &file, NULL);
    if (e == OK) must(file_close(&file));
    return e == OK;
}

struct dir_sum {
    struct rig *rig;
    uint64_t sum;
    uint32_t count;
};

static inline enum err
dir_sum_add(void *context, const char *name, bool is_dir)
{
    struct dir_sum *d = context;
    char path[300];
    size_t size = 0;
    snprintf(path, sizeof path, "/wal/%s", name);
    uint8_t *at = is_dir ? NULL : read_file(d->rig, path, &size);
    uint64_t one =
        hash_mix(hash_bytes(bytes_of(name, strlen(name)), 1), hash_bytes(bytes_of(at, size), 2));
    d->sum += hash_mix(one, size); /* whatever the order */
    d->count++;
    free(at);
    return OK;
}

/* Of all names and contents of the log's directory. */
static inline uint64_t
dir_sum(struct rig *rig, uint32_t *ret_count)
{
    struct dir_sum d = {.rig = rig};
    must(env_listdir(sim_env_env(rig->sim), "/wal", dir_sum_add, &d, NULL));
    if (ret_count != NULL) *ret_count = d.count;
    return d.sum;
}

#endif
