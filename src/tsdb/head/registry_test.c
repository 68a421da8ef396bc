/* registry_test.c - the head's registry of series, labels and tenants, and its lists of ids. */
#include "lib/test.h"

#include <stdio.h>

#include "lib/random.h"
#include "tsdb/head/registry.h"
#include "tsdb/head/series_order.h"

static struct bytes
many_labels(unsigned series, uint8_t *room)
{
    struct buf to = {.at = room, .capacity = 400, .limit = 400};
    char text[32];
    for (unsigned l = 0; l < 4; l++) {
        unsigned values[] = {5, 17, 300, 1000000};
        char name[8] = {(char)('a' + l), 0};
        snprintf(text, sizeof text, "%u", series % values[l]);
        if (l == 1 && series % 7 == 0) continue;
        labels_put(&to, (struct label){bytes_of_text(name), bytes_of_text(text)});
    }
    return buf_bytes(&to);
}

UNIT_TEST(test_the_index_lists_each_series_under_its_labels_once)
{
    enum { COUNT = 30000 };
    struct registry *r;
    uint8_t room[400];
    struct buf labels;
    buf_init(&labels, NULL, 4096);
    assert_int_equal(registry_new(NULL, 5000, 42, &r), OK);
    for (unsigned i = 0; i < COUNT; i++) {
        struct series *s;
        assert_int_equal(registry_add(r, i % 3, many_labels(i, room), &s), OK);
        assert_int_equal(s->id, i);
        assert_int_equal(series_ref(r, s), 5000 + i);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        struct bytes want = many_labels(i, room);
        struct series *s = registry_find_labels(r, i % 3, want);
        assert_non_null(s);
        assert_int_equal(s->id, i);
        assert_null(registry_find_labels(r, (i + 1) % 3, want));
        assert_true(series_has_labels(r, s, want));
        assert_false(series_has_labels(r, s, bytes_of(want.at, want.size - 1)));
        buf_clear(&labels);
        series_labels(r, s, &labels);
        assert_true(bytes_equal(buf_bytes(&labels), want));
        uint8_t other_room[400];
        struct bytes other = many_labels((i + 3 * 7919) % COUNT, other_room);
        int order = series_compare(r, s, registry_find_labels(r, i % 3, other));
        int expected = labels_compare(want, other);
        assert_true((order < 0) == (expected < 0) && (order > 0) == (expected > 0));
    }
    uint64_t listed = 0, pairs = 0, in_tenants = 0;
    for (uint32_t p = 0; p < r->pairs.count; p++) {
        const struct pair *pair = registry_pair(r, p);
        struct label label = pair_label(pair);
        struct id_walk walk = id_list_walk(&registry_pair_use(r, p)->series);
        uint32_t id, before = UINT32_MAX;
        for (; id_walk_next(&walk, &id); listed++, before = id) {
            assert_true(before == UINT32_MAX || before < id);
            struct bytes own = many_labels(id, room);
            assert_true(bytes_equal(labels_get(own, label.name), label.value));
            assert_int_equal(id % 3, pair->tenant);
        }
    }
    for (unsigned i = 0; i < COUNT; i++)
        pairs += i % 7 == 0 ? 3 : 4;
    assert_int_equal(listed, pairs);
    for (uint32_t t = 0; t < 3; t++) {
        in_tenants += registry_tenant(r, t)->series.count;
        assert_int_equal(registry_tenant(r, t)->names.count, 4);
    }
    assert_int_equal(in_tenants, COUNT);
    assert_null(registry_tenant(r, 3));
    buf_fini(&labels);
    registry_validate(r);
    registry_unref(r);
}

static bool
always(void *context, const struct registry *r, const struct series *series)
{
    (void)r;
    return context == NULL || series == context;
}

UNIT_TEST(test_a_series_is_found_by_every_key_it_was_seen_under)
{
    struct registry *r;
    struct series *s, *other;
    uint8_t room[400];
    assert_int_equal(registry_new(NULL, 1, 42, &r), OK);
    assert_int_equal(registry_add(r, 2, many_labels(1, room), &s), OK);
    assert_int_equal(registry_add(r, 2, many_labels(2, room), &other), OK);
    assert_null(registry_find(r, 2, 12345, always, NULL));
    registry_alias(r, s, 12345);
    registry_alias(r, other, 12345); /* two label sets with one hash */
    assert_ptr_equal(registry_find(r, 2, 12345, always, s), s);
    assert_ptr_equal(registry_find(r, 2, 12345, always, other), other);
    assert_null(registry_find(r, 1, 12345, always, NULL));
    for (uint64_t i = 0; i < 100000; i++)
        registry_alias(r, s, i * 77777);
    assert_in_range(r->alias_count, 1000, 1100); /* bounded */
    registry_validate(r);
    registry_unref(r);
}

/* A failed allocation leaves nothing that a second attempt would trip over. */
UNIT_TEST(test_memory_refused_while_a_series_is_added_leaves_no_trace)
{
    enum { COUNT = 200 };
    struct budget budget;
    struct registry *r;
    uint8_t room[400];
    uint64_t refused = 0;
    budget_init(&budget, "head", 0, NULL);
    assert_int_equal(registry_new(&budget, 1, 42, &r), OK);
    for (unsigned i = 0; i < COUNT; i++) {
        struct series *s;
        enum err e = ERR_NOMEM;
        for (uint64_t nth = 1; e != OK; nth++) {
            mem_fail_nth(nth, false);
            e = registry_add(r, i % 3, many_labels(i, room), &s);
            mem_fail_nth(0, false);
            refused += e != OK;
            assert_true(e == OK || e == ERR_NOMEM);
            if (e) assert_null(registry_find_labels(r, i % 3, many_labels(i, room)));
        }
        assert_int_equal(s->id, i);
    }
    assert_true(refused > 20);
    uint64_t listed = 0;
    for (uint32_t p = 0; p < r->pairs.count; p++)
        listed += registry_pair_use(r, p)->series.count;
    uint64_t pairs = 0;
    for (unsigned i = 0; i < COUNT; i++)
        pairs += i % 7 == 0 ? 3 : 4;
    assert_int_equal(listed, pairs);
    registry_validate(r);
    registry_unref(r);
    assert_int_equal(budget_used(&budget), 0);
}

/* Ids are far apart and close together; a walk sees the ids that existed when it began. */
UNIT_TEST(test_an_id_list_gives_back_what_was_put_at_any_moment)
{
    enum { COUNT = 20000, WALKS = 50 };
    static uint32_t ids[COUNT];
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct rng rng = {seed};
        struct gmem gmem;
        struct id_list list = {0};
        struct id_walk walks[WALKS];
        uint32_t begun[WALKS], walk_count = 0;
        gmem_init(&gmem, NULL);
        uint32_t id = (uint32_t)rng_below(&rng, 3);
        for (uint32_t i = 0; i < COUNT; i++) {
            if (i % (COUNT / WALKS) == 7) {
                begun[walk_count] = i;
                walks[walk_count++] = id_list_walk(&list);
            }
            ids[i] = id;
            assert_int_equal(id_list_reserve(&list, &gmem), OK);
            id_list_push(&list, id);
            id += 1 + (uint32_t)(rng_next(&rng) >> (48 + rng_below(&rng, 16)));
        }
        assert_int_equal(list.count, COUNT);
        for (uint32_t w = 0; w < walk_count; w++) {
            uint32_t got[300], at = 0, n;
            while ((n = id_walk_read(&walks[w], got, 1 + (uint32_t)rng_below(&rng, 300))) > 0) {
                assert_memory_equal(got, ids + at, n * sizeof *got);
                at += n;
            }
            assert_int_equal(at, begun[w]);
        }
        gmem_fini(&gmem);
    }
}

/* The order is by all labels; a query that ends meanwhile gets the reason. */
UNIT_TEST(test_series_are_put_in_label_order_unless_that_is_canceled)
{
    enum { COUNT = 3000 };
    static uint32_t ids[COUNT];
    struct query_control control = {0};
    struct why why;
    struct registry *r;
    uint8_t room[400], next_room[400];
    assert_int_equal(registry_new(NULL, 0, 42, &r), OK);
    for (unsigned i = 0; i < COUNT; i++) {
        struct series *s;
        assert_int_equal(registry_add(r, 0, many_labels(i, room), &s), OK);
        ids[i] = s->id;
    }
    assert_int_equal(series_order(r, r->pairs.count, ids, COUNT, NULL, &control, &why), OK);
    for (unsigned i = 1; i < COUNT; i++) {
        assert_true(labels_compare(many_labels(ids[i - 1], room), many_labels(ids[i], next_room)) <
                    0);
    }
    atomic_store(&control.canceled, "query canceled: by the test");
    assert_int_equal(series_order(r, r->pairs.count, ids, COUNT, NULL, &control, &why),
                     ERR_CANCELED);
    assert_string_equal(why.text, "query canceled: by the test");
    registry_validate(r);
    registry_unref(r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_index_lists_each_series_under_its_labels_once),
        cmocka_unit_test(test_a_series_is_found_by_every_key_it_was_seen_under),
        cmocka_unit_test(test_memory_refused_while_a_series_is_added_leaves_no_trace),
        cmocka_unit_test(test_series_are_put_in_label_order_unless_that_is_canceled),
        cmocka_unit_test(test_an_id_list_gives_back_what_was_put_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
