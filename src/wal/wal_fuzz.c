/*
 * wal_fuzz.c - any files in a log's directory: recovery ends, returns only records that are in
 * them, returns the same after a power loss, and the log can be used.
 *
 * The lowest bit of the first byte selects the meaning of the rest:
 *
 *   0  files: each a byte for its name, a byte of flags, three bytes of size, its contents. Flags:
 *      1 makes the checksums of the headers right, 2 those of the records, so that their content is
 * read despite the hashes. 1  a log that is written: bytes select what is added, committed, broken
 * and restarted. Then four bytes each change its files; no record may be found that was not added.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash/hash.h"
#include "sys/fault.h"
#include "sys/sim.h"
#include "wal/wal_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILES_MAX = 8, FILE_BYTES_MAX = 1 << 20, PUTS_MAX = 200 };

static const char *const file_names[FILES_MAX] = {
    "/wal/0000000000000001.wal",         "/wal/0000000000000002.wal", "/wal/0000000000000003.wal",
    "/wal/0000000000000004.wal",         "/wal/0000000000000005.wal", "/wal/prepared-0.tmp",
    "/wal/0000000000000003.wal.damaged", "/wal/1fffffffffffffff.wal",
};

struct machine {
    struct sim_env *sim;
    struct fault_env *fe;
    struct env *env;
    struct wal_options options;
};

static void
put_whole(struct machine *m, const char *path, struct bytes content)
{
    struct file file;
    enum err e = file_open(m->env, path, FILE_REPLACE, &file, NULL);
    if (e == OK) e = file_write_at(&file, content, 0, NULL);
    if (e == OK) e = file_sync(&file, NULL);
    if (e == OK) e = file_close(&file);
    if (e == OK) e = env_syncdir(m->env, "/wal", NULL);
    assert(e == OK);
}

/* --- files as given --------------------------------------------------------------------------- */

static void
mend_header(uint8_t *at, size_t size)
{
    for (size_t copy = 0; copy <= SEGMENT_COPY_OFFSET; copy += SEGMENT_COPY_OFFSET) {
        if (size < copy + SEGMENT_COPY_BYTES) return;
        uint8_t *h = at + copy;
        memcpy(h, "FKWALSEG", 8);
        store_le64(h + 504, hash_bytes(bytes_of(h, 504), load_le64(h + 16)));
    }
}

/* Walks the records by their sizes and corrects each one's checks; version bytes become 1. */
static void
mend_records(uint8_t *at, size_t size)
{
    if (size < SEGMENT_HEADER_BYTES) return;
    uint64_t number = load_le64(at + 16), base = load_le64(at + 24);
    uint64_t seed = segment_seed(at + 48, number);
    if (base % 8 != 0) return;
    for (size_t offset = SEGMENT_HEADER_BYTES; size - offset >= RECORD_HEADER_BYTES;) {
        uint8_t *r = at + offset;
        size_t payload = load_le32(r) & 0xffffff;
        if (payload > WAL_RECORD_BYTES_MAX || record_size(payload) > size - offset) return;
        record_seal(r, payload, r[3], RECORD_VERSION, r[4], seed,
                    base + offset - SEGMENT_HEADER_BYTES);
        offset += record_size(payload);
    }
}

static void
place_files(struct machine *m, struct cursor *c)
{
    for (unsigned n = 0; n < FILES_MAX && cursor_left(c) >= 5; n++) {
        const char *path = file_names[cursor_u8(c) % FILES_MAX];
        uint8_t flags = cursor_u8(c);
        size_t size = cursor_u8(c);
        size |= (size_t)cursor_u8(c) << 8;
        size |= (size_t)cursor_u8(c) << 16;
        if (size > cursor_left(c)) size = cursor_left(c);
        if (size > FILE_BYTES_MAX) size = FILE_BYTES_MAX;
        struct bytes content = cursor_bytes(c, size);
        uint8_t *copy = malloc(size + 1);
        assert(copy != NULL);
        if (size > 0) memcpy(copy, content.at, size);
        if (flags & 1) mend_header(copy, size);
        if (flags & 2) mend_records(copy, size);
        put_whole(m, path, bytes_of(copy, size));
        free(copy);
    }
}

/* --- a log really written --------------------------------------------------------------------- */

static struct bytes
payload_of(uint64_t id, uint8_t shape)
{
    static uint8_t at[8192];
    size_t size = 16 + (shape % 8 == 7 ? shape * 30u : shape);
    store_le64(at, id);
    store_le64(at + 8, shape);
    for (size_t i = 16; i < size; i += 8) /* up to 7 bytes too many, which are not read */
        store_le64(at + i, shape % 2 ? hash_mix(id, i) : UINT64_C(0x0403020100040302) >> i % 5);
    return bytes_of(at, size);
}

static struct wal *
start(struct machine *m)
{
    struct wal *wal = NULL;
    struct wal_damage damage;
    if (wal_open(&m->options, &wal, NULL) != OK) return NULL;
    enum err e = wal_recover(wal, 0, NULL, NULL, &damage, NULL);
    assert(e == OK);
    return wal;
}

/* Commits; if that fails, the log is reopened. */
static void
commit(struct wal *wal)
{
    if (!wal_take(wal)) return;
    enum err e = wal_commit(wal, NULL);
    if (e != OK) e = wal_reopen(wal, NULL);
    assert(e == OK);
}

static void
write_log(struct machine *m, struct cursor *c)
{
    struct wal *wal = start(m);
    assert(wal != NULL);
    for (uint64_t id = 1; id < PUTS_MAX && cursor_left(c) > 0; id++) {
        uint8_t what = cursor_u8(c);
        if (what == 0) break;
        struct bytes payload = payload_of(id, what);
        enum wal_type type = what % 3 == 0 ? WAL_SERIES : WAL_FLOATS;
        assert(wal_put(wal, type, payload, what % 4 == 1) == OK);
        wal_count(wal, LEDGER_FLOAT, what % 5);
        if (what % 16 == 1) fault_env_arm(m->fe, (struct fault){FAULT_SYNC, 1, false});
        if (what % 8 != 2) commit(wal);
        fault_env_disarm(m->fe);
        if (what % 32 == 3) {
            wal_free(wal);
            wal = start(m);
            assert(wal != NULL);
        }
        if (what % 32 == 4) assert(wal_prepare(wal, NULL) == OK);
    }
    wal_free(wal);
}

/* Makes one change: file, kind and position. */
static void
change_file(struct machine *m, struct cursor *c)
{
    const char *path = file_names[cursor_u8(c) % 5];
    uint8_t what = cursor_u8(c);
    uint64_t where = cursor_u8(c);
    where |= (uint64_t)cursor_u8(c) << 8;
    struct file file;
    uint64_t size;
    if (c->bad || file_open(m->env, path, FILE_UPDATE, &file, NULL) != OK) return;
    enum err e = file_size(&file, &size, NULL);
    assert(e == OK);
    if (what >= 32 && size > SEGMENT_HEADER_BYTES)
        where = SEGMENT_HEADER_BYTES + where % (size - SEGMENT_HEADER_BYTES);
    static const uint8_t zeros[700];
    switch (what % 4) {
    case 0:
        e = where < size ? file_truncate(&file, where, NULL) : OK;
        break;
    case 1:
        e = file_write_at(&file, bytes_of(zeros, what * 2), where, NULL);
        break;
    default:
        if (where < size) e = sim_env_damage(m->sim, path, where);
    }
    if (e == OK) e = file_sync(&file, NULL); /* no power loss takes the change back */
    assert(e == OK);
    file_close(&file);
    if (what == 200) e = env_unlink(m->env, path, NULL);
    if (e == OK) e = env_syncdir(m->env, "/wal", NULL);
    assert(e == OK);
}

/* --- records found ---------------------------------------------------------------------------- */

struct finding {
    struct machine *m;
    bool by_put;       /* only records that payload_of() makes */
    uint64_t last_pos; /* position of the record before */
    uint64_t last_id;
    uint64_t sum; /* sum of all records, in order */
    uint64_t count;
};

/* Checks that the record is in its file at its position, with the right checks. */
static void
check_stands_there(struct machine *m, const struct wal_record *record)
{
    char path[64];
    uint8_t header[SEGMENT_HEADER_BYTES], fixed[RECORD_HEADER_BYTES];
    struct file file;
    struct segment segment;
    enum segment_state state;
    size_t got;
    assert(segment_path(path, sizeof path, "/wal", record->segment) == OK);
    assert(file_open(m->env, path, FILE_READ, &file, NULL) == OK);
    assert(file_read_some(&file, header, sizeof header, 0, &got, NULL) == OK);
    assert(segment_header_unpack(bytes_of(header, got), record->segment, &state, &segment, NULL) ==
           OK);
    assert(state == SEGMENT_USED);
    uint64_t offset = segment_offset(&segment, record->pos);
    assert(file_read_at(&file, fixed, sizeof fixed, offset, NULL) == OK);
    size_t size = record_size(load_le32(fixed) & 0xffffff);
    uint8_t *as_is = malloc(size), *sealed = malloc(size);
    assert(as_is != NULL);
    assert(sealed != NULL);
    assert(file_read_at(&file, as_is, size, offset, NULL) == OK);
    memcpy(sealed, as_is, size);
    uint64_t seed = segment_seed(segment.log_id, segment.number);
    size_t payload_size = load_le32(as_is) & 0xffffff;
    uint8_t pads[8] = {0};
    size_t pad = size - RECORD_HEADER_BYTES - payload_size;
    if (memcmp(as_is + size - pad, pads, pad) == 0) {
        record_seal(sealed, payload_size, as_is[3], as_is[5], as_is[4], seed, record->pos);
        assert(memcmp(sealed, as_is, size) == 0);
    }
    if (!(as_is[4] & FLAG_ZSTD))
        assert(bytes_equal(record->payload, bytes_of(as_is + RECORD_HEADER_BYTES, payload_size)));
    free(as_is);
    free(sealed);
    file_close(&file);
}

static enum err
found(void *context, const struct wal_record *record, struct why *why)
{
    (void)why;
    struct finding *f = context;
    assert(record->pos > f->last_pos);
    f->last_pos = record->pos;
    check_stands_there(f->m, record);
    if (f->by_put) {
        assert(record->payload.size >= 16);
        uint64_t id = load_le64(record->payload.at);
        assert(id > f->last_id);
        f->last_id = id;
        uint8_t shape = (uint8_t)load_le64(record->payload.at + 8);
        assert(bytes_equal(record->payload, payload_of(id, shape)));
    }
    f->sum = hash_mix(hash_mix(f->sum, record->pos), hash_bytes(record->payload, record->type));
    f->count++;
    return OK;
}

/* Opens the log and reads it; NULL if it is refused. */
static struct wal *
read_log(struct machine *m, bool by_put, struct finding *ret_found)
{
    struct wal *wal = NULL;
    struct wal_damage damage;
    *ret_found = (struct finding){.m = m, .by_put = by_put};
    enum err e = wal_open(&m->options, &wal, NULL);
    if (e == OK) e = wal_recover(wal, 0, found, ret_found, &damage, NULL);
    assert(e == OK || e == ERR_CORRUPT || e == ERR_UNSUPPORTED);
    if (e == OK) return wal;
    wal_free(wal);
    return NULL;
}

/* Checks that a reader reaches the end as well. */
static void
follow(struct machine *m, struct wal *wal)
{
    struct wal_reader *reader;
    uint64_t last_pos = 0;
    assert(wal_reader_open(wal, "fuzz", 0, &reader, NULL) == OK);
    for (;;) {
        struct wal_record record;
        enum err e = wal_reader_next(reader, &record, NULL);
        if (e == ERR_AGAIN || e == ERR_MISSING || e == ERR_UNSUPPORTED) break;
        assert(e == OK || e == ERR_CORRUPT);
        assert(wal_reader_pos(reader) >= last_pos);
        last_pos = wal_reader_pos(reader);
        if (e == OK) check_stands_there(m, &record);
    }
    wal_reader_close(reader);
}

struct explained {
    uint64_t bytes;
    uint64_t damaged;
};

static enum err
explain_record(void *context, const struct wal_record_info *info)
{
    struct explained *x = context;
    x->bytes += info->record_bytes;
    return OK;
}

static void
explain_damage(void *context, uint64_t pos, uint64_t bytes, const char *text)
{
    struct explained *x = context;
    (void)pos;
    assert(text[0] != '\0');
    x->damaged += bytes;
}

/* Describes each file alone: records and damage cover it from its first position to its end. */
static void
explain(struct machine *m)
{
    for (uint64_t number = 1; number <= 4; number++) {
        struct explained x = {0, 0};
        struct wal_inspector inspector = {
            .record = explain_record, .damage = explain_damage, .context = &x};
        struct wal_inspection result;
        enum err e = wal_inspect(m->env, "/wal", number, NULL, &inspector, &result, NULL);
        assert(e == OK || e == ERR_MISSING || e == ERR_UNSUPPORTED);
        if (e) continue;
        assert(x.bytes + x.damaged == result.end_pos - result.segment.base_pos);
        assert(x.damaged == result.damaged_bytes);
    }
}

static void
use_log(struct machine *m, bool by_put)
{
    struct finding first, again, then, verified = {.m = m, .by_put = by_put};
    struct wal_damage damage;
    enum err e = wal_verify(m->env, "/wal", 0, false, found, &verified, &damage, NULL);
    explain(m);
    struct wal *wal = read_log(m, by_put, &first);
    assert(e == OK || wal == NULL);
    if (wal == NULL) return;
    assert(verified.sum == first.sum);
    wal_free(wal);
    sim_env_power_loss(m->sim);
    wal = read_log(m, by_put, &again);
    assert(wal != NULL);
    assert(again.sum == first.sum);
    follow(m, wal);
    assert(wal_put(wal, WAL_METADATA, payload_of(1 << 20, 9), false) == OK);
    assert(wal_take(wal));
    assert(wal_commit(wal, NULL) == OK);
    wal_free(wal);
    sim_env_power_loss(m->sim);
    wal = read_log(m, by_put, &then);
    assert(wal != NULL);
    assert(then.count == first.count + 1);
    wal_free(wal);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct machine m;
    if (size == 0 || sim_env_new(1, &m.sim) != OK) return 0;
    enum err e = fault_env_new(sim_env_env(m.sim), &m.fe);
    assert(e == OK);
    m.env = fault_env_env(m.fe);
    m.options = (struct wal_options){
        .env = m.env,
        .dir = "/wal",
        .segment_bytes = WAL_SEGMENT_BYTES_MIN,
        .batch_bytes_max = 1024 * 1024,
    };
    struct cursor c = cursor_of(bytes_of(data + 1, size - 1));
    bool by_put = data[0] & 1;
    e = env_mkdir(m.env, "/wal", NULL);
    if (e == OK) e = env_syncdir(m.env, "/", NULL);
    assert(e == OK);
    if (!by_put) place_files(&m, &c);
    if (by_put) write_log(&m, &c);
    while (by_put && cursor_left(&c) >= 4)
        change_file(&m, &c);
    /* Data that a failed sync left in memory could be read again if the header that voids
     * it vanished. */
    sim_env_power_loss(m.sim);
    use_log(&m, by_put);
    fault_env_free(m.fe);
    sim_env_free(m.sim);
    return 0;
}
