/* manifest_fuzz.c - reads arbitrary bytes as MANIFEST and FORMAT, unchanged and with a corrected
 * checksum, which lets the content be reached. Content that is read is written again and comes
 * back. */
#include <assert.h>
#include <stdlib.h>

#include "base/hash/hash.h"
#include "sys/sim.h"
#include "tsdb/store/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_receipts(const struct manifest *m, const struct manifest *again)
{
    /* Without a receipt, no deletion can be undone. */
    assert(again->final_tombstone ==
           (m->receipt_count > 0 ? m->final_tombstone : m->last_tombstone));
    assert(again->receipt_count == m->receipt_count);
    for (uint32_t i = 0; i < m->receipt_count; i++) {
        const struct tsdb_receipt *a = &again->receipts[i], *b = &m->receipts[i];
        assert(a->id == b->id && a->pos == b->pos && a->made_ms == b->made_ms);
        assert(a->undone_ms == b->undone_ms);
        assert(a->range.min_ms == b->range.min_ms && a->range.max_ms == b->range.max_ms);
        assert(bytes_equal(a->tenant, b->tenant) && bytes_equal(a->selector, b->selector));
        assert(a->series == b->series && a->samples == b->samples && a->selected == b->selected);
    }
}

static void
check_tombstones(const struct manifest *m, const struct manifest *again)
{
    assert(again->last_tombstone == m->last_tombstone);
    assert(again->tombstone_count == m->tombstone_count);
    for (uint32_t i = 0; i < m->tombstone_count; i++) {
        const struct manifest_tombstone *a = &again->tombstones[i], *b = &m->tombstones[i];
        assert(a->id == b->id && a->pos == b->pos && a->made_ms == b->made_ms);
        assert(a->matcher_count == b->matcher_count);
        for (uint32_t k = 0; k < b->matcher_count; k++) {
            assert(a->matchers[k].type == b->matchers[k].type);
            assert(bytes_equal(a->matchers[k].name, b->matchers[k].name));
            assert(bytes_equal(a->matchers[k].pattern, b->matchers[k].pattern));
        }
    }
}

static void
check_comes_back(struct env *env, const struct manifest *m, struct arena *arena)
{
    struct manifest again;
    enum err e = manifest_write(env, "/again", m, NULL, NULL);
    assert(e == OK);
    e = manifest_read(env, "/again", arena, &again, NULL);
    assert(e == OK);
    assert(again.edit == m->edit && again.store_pos == m->store_pos);
    assert(again.newest_ms == m->newest_ms && again.next_ref == m->next_ref &&
           again.ref_floor == m->ref_floor);
    assert(again.part_count == m->part_count && again.tenant_count == m->tenant_count);
    assert(again.receipt_count == m->receipt_count && again.rules_count == m->rules_count &&
           again.done_count[RULES_RETAIN] == m->done_count[RULES_RETAIN] &&
           again.done_count[RULES_DOWNSAMPLE] == m->done_count[RULES_DOWNSAMPLE]);
    for (uint32_t i = 0; i < m->part_count; i++)
        assert(memcmp(&again.parts[i], &m->parts[i], sizeof m->parts[i]) == 0);
    for (uint32_t i = 0; i < m->tenant_count; i++) {
        assert(bytes_equal(again.tenants[i].name, m->tenants[i].name));
        assert(memcmp(&again.tenants[i].totals, &m->tenants[i].totals,
                      sizeof m->tenants[i].totals) == 0);
    }
    check_tombstones(m, &again);
    check_receipts(m, &again);
}

static void
try_manifest(struct env *env, struct bytes content)
{
    struct arena arena;
    struct manifest m;
    struct why why = {""};
    arena_init(&arena, NULL, 64 << 20, 0);
    enum err e = env_write_whole(env, "/db", "MANIFEST", content, NULL);
    if (e == OK) {
        e = manifest_read(env, "/db", &arena, &m, &why);
        assert(e == OK || e == ERR_CORRUPT || e == ERR_UNSUPPORTED || e == ERR_NOMEM);
        assert(e == OK || why.text[0] != 0);
        if (e == OK) check_comes_back(env, &m, &arena);
    }
    arena_fini(&arena);
}

static void
mend(uint8_t *content, size_t size)
{
    memcpy(content, "FKMANIFS", 8);
    content[8] |= 2; /* lower versions were never released */
    store_le32(content + 12, (uint32_t)(size - 24));
    store_le64(content + size - 8, hash_bytes(bytes_of(content, size - 8), 0));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sim_env *sim;
    if (sim_env_new(1, &sim) != OK) return 0;
    struct env *env = sim_env_env(sim);
    uint8_t *copy = malloc(size + 1);
    assert(copy != NULL);
    if (size > 0) memcpy(copy, data, size);
    enum err e = env_mkdir(env, "/db", NULL);
    if (e == OK) e = env_mkdir(env, "/again", NULL);
    assert(e == OK);
    try_manifest(env, bytes_of(copy, size));
    if (env_write_whole(env, "/db", "FORMAT", bytes_of(copy, size), NULL) == OK) {
        e = format_check(env, "/db", NULL);
        assert(e == OK || e == ERR_CORRUPT || e == ERR_UNSUPPORTED);
    }
    if (size >= 24) {
        mend(copy, size);
        try_manifest(env, bytes_of(copy, size));
    }
    free(copy);
    sim_env_free(sim);
    return 0;
}
