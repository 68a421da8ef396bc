/* catalog_fuzz.c - reads arbitrary bytes as an object of a catalog, unchanged and with a corrected
 * frame, which lets the content be reached; what is read is written again and comes back, and is
 * applied to itself and to nothing. */
#include <assert.h>
#include <stdlib.h>

#include "base/hash/hash.h"
#include "tsdb/store/catalog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FRAME_BYTES = 16 };

static void
check_comes_back(const struct catalog *c, struct arena *arena)
{
    struct buf first, second;
    struct catalog again;
    uint64_t checksum, ignored;
    struct why why;
    buf_init(&first, NULL, CATALOG_BYTES_MAX);
    buf_init(&second, NULL, CATALOG_BYTES_MAX);
    enum err e = catalog_write(c, &first, &checksum);
    assert(e == OK);
    e = catalog_read(buf_bytes(&first), "again", arena, &again, &ignored, &why);
    assert(e == OK);
    assert(ignored == checksum);
    assert(again.number == c->number && again.part_count == c->part_count);
    e = catalog_write(&again, &second, &checksum);
    assert(e == OK);
    assert(bytes_equal(buf_bytes(&first), buf_bytes(&second)));
    buf_fini(&first);
    buf_fini(&second);
}

/* The roots of parts are read without their files. */
static void
check_parts(const struct catalog *c)
{
    struct page_cache *cache;
    struct why why;
    enum err e = page_cache_new(NULL, 0, &cache);
    assert(e == OK);
    for (uint32_t i = 0; i < c->part_count; i++) {
        struct part *part;
        if (catalog_open_part(&c->parts[i], NULL, cache, NULL, &part, &why)) continue;
        assert(part_is_remote(part));
        assert(part_info(part)->number == c->parts[i].entry.number);
        part_unref(part);
    }
    page_cache_free(cache);
}

static void
check(struct bytes object)
{
    struct arena arena;
    struct catalog c, base = {.kind = CATALOG_BASE};
    uint64_t checksum;
    struct why why;
    arena_init(&arena, NULL, 1 << 26, 0);
    if (catalog_read(object, "object", &arena, &c, &checksum, &why) == OK) {
        check_comes_back(&c, &arena);
        check_parts(&c);
        if (catalog_apply(&base, &c, &arena, &why) == OK) {
            assert(base.part_count == c.part_count);
            err_ignore(catalog_apply(&base, &c, &arena, &why), "it may not follow itself");
        }
    }
    arena_fini(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(bytes_of(data, size));
    if (size > 1 << 20) return 0;
    uint8_t *framed = calloc(1, FRAME_BYTES + size + 8);
    assert(framed != NULL);
    memcpy(framed, "FKCATALG", 8);
    store_le16(framed + 8, 1);
    store_le16(framed + 10, 1);
    store_le32(framed + 12, (uint32_t)size);
    if (size > 0) memcpy(framed + FRAME_BYTES, data, size);
    store_le64(framed + FRAME_BYTES + size, hash_bytes(bytes_of(framed, FRAME_BYTES + size), 0));
    check(bytes_of(framed, FRAME_BYTES + size + 8));
    free(framed);
    return 0;
}
