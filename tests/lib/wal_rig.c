/*
 * wal_rig.c - see wal_rig.h.
 *
 * Type, series, size and content of a record are functions of its id (id_mix()), so a reader needs
 * no list of records: commits are ranges of ids, and check_findings() walks ids and findings
 * together.
 */
#include "lib/wal_rig.h"

static int64_t seed_at_work = -1; /* seed of the machine that is still in use */

int
wal_print_seed(void **state)
{
    (void)state;
    mem_fail_nth(0, false);
    if (seed_at_work >= 0) print_error("failed with seed %lld\n", (long long)seed_at_work);
    seed_at_work = -1;
    return 0;
}

uint64_t
wal_rig_random(struct wal_rig *rig, uint64_t below)
{
    rig->random = hash_mix(rig->random, 0x6a09e667f3bcc909);
    return rig->random % below;
}

void
wal_rig_init(struct wal_rig *rig, uint64_t seed)
{
    *rig = (struct wal_rig){.random = seed, .next_id = 1, .batch_first_id = 1};
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

void
wal_rig_fini(struct wal_rig *rig)
{
    wal_free(rig->wal);
    fault_env_free(rig->fe);
    sim_env_free(rig->sim);
    free(rig->commits);
    seed_at_work = -1;
}

/* --- records ---------------------------------------------------------------------------------- */

static uint64_t
id_mix(uint64_t id, uint64_t what)
{
    return hash_mix(hash_mix(7, id), what);
}

enum wal_type
id_type(uint64_t id)
{
    static const enum wal_type types[] = {WAL_FLOATS, WAL_HISTOGRAMS, WAL_EXEMPLARS, WAL_METADATA,
                                          WAL_LEDGER};
    return types[id_mix(id, 1) % 5];
}

uint32_t
id_series(uint64_t id)
{
    return (uint32_t)(id_mix(id, 2) % SERIES_COUNT);
}

bool
id_compress(uint64_t id)
{
    return id_mix(id, 3) % 2 == 0;
}

size_t
id_size(uint64_t id)
{
    uint64_t r = id_mix(id, 4);
    return 16 + (r % 16 == 0 ? (r >> 8) % 20000 : r % 4 == 0 ? (r >> 8) % 1500 : (r >> 8) % 100);
}

struct bytes
id_payload(uint64_t id)
{
    static _Thread_local uint8_t at[32 * 1024];
    size_t size = id_size(id);
    bool dull = id_mix(id, 5) % 2 == 0;
    store_le64(at, id);
    store_le64(at + 8, id_series(id));
    for (size_t i = 16; i < size && dull; i++)
        at[i] = (uint8_t)(i % 11);
    for (size_t i = 16; i < size && !dull; i += 8)
        store_le64(at + i, id_mix(id, 64 + i / 8));
    return bytes_of(at, size);
}

uint64_t
record_id(const struct wal_record *record)
{
    assert_true(record->payload.size >= 16);
    return load_le64(record->payload.at);
}

void
check_record(const struct wal_record *record)
{
    uint64_t id = record_id(record);
    assert_int_equal(record->type, id_type(id));
    assert_int_equal(record->version, 1);
    assert_true(bytes_equal(record->payload, id_payload(id)));
}

/* --- putting and committing ------------------------------------------------------------------- */

static enum err
wal_rig_define(struct wal_rig *rig, uint32_t series)
{
    uint64_t segment = wal_filling(rig->wal).segment;
    if (rig->defined_in != segment) rig->defined = 0;
    rig->defined_in = segment;
    if (rig->defined & 1u << series) return OK;
    uint8_t payload[16] = {0};
    store_le64(payload, 1000 + series);
    enum err e = wal_put(rig->wal, WAL_SERIES, bytes_of(payload, sizeof payload), false);
    if (e == OK) rig->defined |= 1u << series;
    return e;
}

enum err
wal_rig_put(struct wal_rig *rig)
{
    uint64_t id = rig->next_id;
    enum err e = wal_reserve(rig->wal, wal_put_bytes(16) + wal_put_bytes(id_size(id)), &rig->why);
    if (e) return e;
    must(wal_rig_define(rig, id_series(id)));
    must(wal_put(rig->wal, id_type(id), id_payload(id), id_compress(id)));
    wal_count(rig->wal, LEDGER_FLOAT, 1 + id % 10); /* for records of any type */
    rig->batch_floats += 1 + id % 10;
    rig->next_id++;
    return OK;
}

void
wal_rig_put_many(struct wal_rig *rig, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        must(wal_rig_put(rig));
}

struct model_commit *
wal_rig_take(struct wal_rig *rig)
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

void
wal_rig_forget_batch(struct wal_rig *rig)
{
    rig->batch_first_id = rig->next_id;
    rig->batch_floats = 0;
    rig->defined_in = 0;
}

enum err
wal_rig_commit(struct wal_rig *rig)
{
    struct model_commit *c = wal_rig_take(rig);
    if (c == NULL) return OK;
    enum err e = wal_commit(rig->wal, &rig->why);
    if (e) {
        wal_rig_forget_batch(rig);
        return e;
    }
    c->fate = FATE_COMMITTED;
    c->end_pos = wal_end(rig->wal);
    return OK;
}

void
wal_rig_fill(struct wal_rig *rig, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        wal_rig_put_many(rig, 1 + (uint32_t)wal_rig_random(rig, 6));
        must(wal_rig_commit(rig));
    }
}

enum err
wal_rig_reopen(struct wal_rig *rig)
{
    enum err e = wal_reopen(rig->wal, &rig->why);
    if (e) return e;
    for (uint32_t i = 0; i < rig->commit_count; i++)
        if (rig->commits[i].fate == FATE_UNCERTAIN) rig->commits[i].fate = FATE_VOID;
    return OK;
}

/* --- recovery --------------------------------------------------------------------------------- */

void
findings_fini(struct findings *f)
{
    free(f->items);
    *f = (struct findings){0};
}

enum err
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

void
check_findings(struct wal_rig *rig, const struct findings *f)
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

enum err
wal_rig_open_finding(struct wal_rig *rig, struct findings *f)
{
    *f = (struct findings){.from_pos = rig->store_pos};
    wal_rig_forget_batch(rig);
    enum err e = wal_open(&rig->options, &rig->wal, &rig->why);
    if (e == OK) e = wal_recover(rig->wal, rig->store_pos, find_record, f, &rig->damage, &rig->why);
    if (e) {
        wal_free(rig->wal);
        rig->wal = NULL;
    }
    return e;
}

enum err
wal_rig_open(struct wal_rig *rig)
{
    struct findings f;
    enum err e = wal_rig_open_finding(rig, &f);
    if (e == OK) {
        if (rig->damage.places > 0) fail_msg("%s", rig->damage.first);
        check_findings(rig, &f);
    }
    findings_fini(&f);
    return e;
}

void
wal_rig_close(struct wal_rig *rig)
{
    wal_free(rig->wal);
    rig->wal = NULL;
}

void
wal_rig_restart(struct wal_rig *rig)
{
    wal_rig_close(rig);
    must(wal_rig_open(rig));
}

void
wal_rig_power_loss(struct wal_rig *rig)
{
    wal_rig_close(rig);
    sim_env_power_loss(rig->sim);
}

void
wal_rig_kill(struct wal_rig *rig)
{
    sim_env_kill(rig->sim);
    wal_rig_close(rig);
}

uint64_t
wal_rig_floats(const struct wal_rig *rig)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < rig->commit_count; i++)
        if (rig->commits[i].fate == FATE_COMMITTED) sum += rig->commits[i].floats;
    return sum;
}

/* --- more of logs ----------------------------------------------------------------------------- */

struct seen
wal_rig_verify(struct wal_rig *rig)
{
    struct seen s = {0};
    must(wal_verify(rig->env, "/wal", 0, false, find_record, &s.f, &s.damage, &rig->why));
    return s;
}

void
wal_rig_make_long_log(struct wal_rig *rig, uint64_t seed, uint32_t index,
                      struct segment *ret_segment)
{
    wal_rig_init(rig, seed);
    must(wal_rig_open(rig));
    while (rig->wal->list.count < 5)
        wal_rig_fill(rig, 1);
    wal_rig_fill(rig, 3);
    *ret_segment = rig->wal->list.items[index];
    wal_rig_close(rig);
}

/* --- files ------------------------------------------------------------------------------------ */

const char *
segment_file(uint64_t number)
{
    static char path[64];
    must(segment_path(path, sizeof path, "/wal", number));
    return path;
}

uint8_t *
wal_rig_read_file(struct wal_rig *rig, const char *path, size_t *ret_size)
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

void
wal_rig_write_file(struct wal_rig *rig, const char *path, const void *at, size_t size)
{
    struct file file;
    must(file_open(sim_env_env(rig->sim), path, FILE_REPLACE, &file, NULL));
    must(file_write_at(&file, bytes_of(at, size), 0, NULL));
    must(file_sync(&file, NULL));
    must(file_close(&file));
    must(env_syncdir(sim_env_env(rig->sim), "/wal", NULL));
}

void
wal_rig_patch_file(struct wal_rig *rig, const char *path, const void *at, size_t size,
                   uint64_t offset)
{
    struct file file;
    must(file_open(sim_env_env(rig->sim), path, FILE_UPDATE, &file, NULL));
    must(file_write_at(&file, bytes_of(at, size), offset, NULL));
    must(file_sync(&file, NULL));
    must(file_close(&file));
}

bool
wal_rig_file_exists(struct wal_rig *rig, const char *path)
{
    struct file file;
    enum err e = file_open(sim_env_env(rig->sim), path, FILE_READ, &file, NULL);
    if (e == OK) must(file_close(&file));
    return e == OK;
}

static enum err
dir_sum_add(void *context, const char *name, bool is_dir)
{
    struct dir_sum *d = context;
    char path[300];
    size_t size = 0;
    snprintf(path, sizeof path, "/wal/%s", name);
    uint8_t *at = is_dir ? NULL : wal_rig_read_file(d->rig, path, &size);
    uint64_t one =
        hash_mix(hash_bytes(bytes_of(name, strlen(name)), 1), hash_bytes(bytes_of(at, size), 2));
    d->sum += hash_mix(one, size); /* a sum does not depend on the order */
    d->count++;
    free(at);
    return OK;
}

uint64_t
dir_sum(struct wal_rig *rig, uint32_t *ret_count)
{
    struct dir_sum d = {.rig = rig};
    must(env_listdir(sim_env_env(rig->sim), "/wal", dir_sum_add, &d, NULL));
    if (ret_count != NULL) *ret_count = d.count;
    return d.sum;
}
