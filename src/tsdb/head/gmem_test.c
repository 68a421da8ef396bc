/*
 * gmem_test.c - memory of a generation: pieces never overlap, are reused, and stay within the
 * budget.
 */
#include "lib/test.h"

#include <stdlib.h>

#include "lib/random.h"
#include "tsdb/head/registry.h"

enum { PIECES = 600 };

struct piece {
    uint8_t *at;
    size_t size;
    uint8_t fill;
};

static size_t
random_size(struct rng *r)
{
    return rng_below(r, (uint64_t)1 << (1 + rng_below(r, 17)));
}

static void
check_piece(const struct piece *p)
{
    for (size_t i = 0; i < p->size; i++)
        assert_int_equal(p->at[i], p->fill);
}

UNIT_TEST(test_pieces_never_overlap_however_they_come_and_go)
{
    struct rng r = {1};
    struct budget budget;
    budget_init(&budget, "test", 0, NULL);
    struct gmem g;
    gmem_init(&g, &budget);
    static struct piece pieces[PIECES];
    for (unsigned step = 0; step < 20000; step++) {
        struct piece *p = &pieces[rng_below(&r, PIECES)];
        if (p->at != NULL && rng_below(&r, 3) == 0) {
            size_t size = p->size + random_size(&r), used = rng_below(&r, p->size + 1);
            check_piece(p);
            p->at = gmem_grow(&g, p->at, p->size, used, size);
            p->size = used;
            check_piece(p);
            p->size = size;
        } else if (p->at != NULL) {
            check_piece(p);
            gmem_free(&g, p->at, p->size);
            p->at = NULL;
            continue;
        } else {
            p->size = random_size(&r);
            p->at = gmem_alloc(&g, p->size);
        }
        assert_non_null(p->at);
        assert_int_equal((uintptr_t)p->at % 16, 0);
        p->fill = (uint8_t)rng_next(&r);
        memset(p->at, p->fill, gmem_piece_bytes(p->size));
    }
    assert_int_equal(g.total_bytes, budget_used(&budget));
    gmem_validate(&g);
    gmem_fini(&g);
    assert_int_equal(budget_used(&budget), 0);
}

UNIT_TEST(test_pieces_given_back_are_used_again)
{
    struct gmem g;
    gmem_init(&g, NULL);
    for (size_t size = 0; size <= 32 * 1024; size += 1 + size / 7) {
        void *first = gmem_alloc(&g, size);
        gmem_free(&g, first, size);
        assert_ptr_equal(gmem_alloc(&g, gmem_piece_bytes(size)), first);
        assert_true(gmem_piece_bytes(size) >= size);
        assert_true(gmem_piece_bytes(size) <= size + size / 4 + 16);
        assert_int_equal(gmem_piece_bytes(gmem_piece_bytes(size)), gmem_piece_bytes(size));
    }
    gmem_validate(&g);
    gmem_fini(&g);
}

UNIT_TEST(test_a_reserved_piece_is_allocated_without_memory)
{
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct rng r = {seed};
        struct gmem g;
        gmem_init(&g, NULL);
        for (unsigned round = 0; round < 20; round++) {
            size_t sizes[30], count = 1 + rng_below(&r, 30), need = 0;
            for (size_t i = 0; i < count; i++) {
                sizes[i] = random_size(&r);
                need += gmem_piece_bytes(sizes[i]);
            }
            assert_int_equal(gmem_reserve(&g, need), OK);
            mem_fail_nth(1, true);
            for (size_t i = 0; i < count; i++) {
                void *piece = gmem_alloc(&g, sizes[i]);
                if (piece == NULL) fail_msg("seed %u", (unsigned)seed);
                memset(piece, 1, sizes[i]);
                if (rng_below(&r, 3) == 0) gmem_free(&g, piece, sizes[i]);
            }
            mem_fail_nth(0, false);
        }
        gmem_validate(&g);
        gmem_fini(&g);
    }
}

UNIT_TEST(test_an_exhausted_budget_is_reported_and_harmless)
{
    struct budget budget;
    budget_init(&budget, "test", 100 * 1024, NULL);
    struct gmem g;
    gmem_init(&g, &budget);
    assert_int_equal(gmem_reserve(&g, 200 * 1024), ERR_NOMEM);
    assert_null(gmem_alloc(&g, 200 * 1024));
    uint8_t *piece = gmem_alloc(&g, 100);
    assert_non_null(piece);
    memset(piece, 7, 100);
    assert_null(gmem_grow(&g, piece, 100, 100, 200 * 1024));
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(piece[i], 7);
    unsigned got = 0;
    while (gmem_alloc(&g, 1000) != NULL)
        got++;
    assert_in_range(got, 80, 100);
    gmem_validate(&g);
    gmem_fini(&g);
    assert_int_equal(budget_used(&budget), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_never_overlap_however_they_come_and_go),
        cmocka_unit_test(test_pieces_given_back_are_used_again),
        cmocka_unit_test(test_a_reserved_piece_is_allocated_without_memory),
        cmocka_unit_test(test_an_exhausted_budget_is_reported_and_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
