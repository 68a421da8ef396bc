/* catalog_test.c - objects of a catalog come back as they were written, and a chain of them is read
 * as one state, or refused. */
#include "lib/test.h"

#include <stdio.h>

#include "sys/sim_objects.h"
#include "tsdb/store/catalog.h"

#define must(call) assert_int_equal((call), OK)

struct rig {
    struct sim_objects bucket;
    struct arena arena;
    struct why why;
    uint64_t checksum; /* of the last delta that was written */
};

static void
rig_init(struct rig *rig)
{
    *rig = (struct rig){.checksum = 0};
    sim_objects_init(&rig->bucket);
    arena_init(&rig->arena, NULL, 0, 0);
}

static void
rig_fini(struct rig *rig)
{
    arena_fini(&rig->arena);
    sim_objects_fini(&rig->bucket);
}

static struct catalog_part
part_of(uint64_t number)
{
    return (struct catalog_part){.entry = {.number = number,
                                           .from_pos = number * 10,
                                           .to_pos = number * 10 + 10,
                                           .time = {(int64_t)number, (int64_t)number + 5}},
                                 .session = 7,
                                 .tag = number + 100,
                                 .size = number * 1000};
}

static void
put_object(struct rig *rig, const char *key, struct catalog *c)
{
    struct buf object;
    uint64_t checksum;
    buf_init(&object, NULL, 1 << 20);
    must(catalog_write(c, &object, &checksum));
    must(rig->bucket.objects.ops->put(&rig->bucket.objects, key, buf_bytes(&object), true, NULL,
                                      &rig->why));
    if (c->kind != CATALOG_BASE) rig->checksum = checksum;
    buf_fini(&object);
}

/* Writes a delta that adds a part of its number, and removes the one before an even number; odd
 * ones have the totals of all tenants. */
static void
put_delta(struct rig *rig, uint64_t number)
{
    char key[OBJECT_KEY_BYTES];
    struct catalog_part part = part_of(number);
    uint64_t before = number - 1;
    struct tenant_totals totals[2] = {{bytes_of_text("one"), {{{0}}}},
                                      {bytes_of_text("two"), {{{0}}}}};
    totals[0].totals.count[LEDGER_FLOAT][LEDGER_RECEIVED] = number;
    totals[1].totals.count[LEDGER_FLOAT][LEDGER_RECEIVED] = number + 1;
    struct catalog c = {.kind = number == 1 ? CATALOG_OPEN : CATALOG_CHANGE,
                        .number = number,
                        .before = rig->checksum,
                        .session = 7,
                        .complete_pos = number * 10,
                        .parts = &part,
                        .part_count = 1,
                        .removed = &before,
                        .removed_count = number % 2 == 0,
                        .state = {.tenants = totals, .tenant_count = number % 2 == 0 ? 0 : 2}};
    catalog_delta_key(number, key);
    put_object(rig, key, &c);
}

static enum err
load(struct rig *rig, uint64_t from, struct catalog *ret)
{
    uint64_t checksum = 0;
    rig->why.text[0] = '\0';
    enum err e = catalog_load(&rig->bucket.objects, from, &rig->arena, ret, &checksum, &rig->why);
    if (e == OK) assert_int_equal(checksum, rig->checksum);
    return e;
}

/* After nine deltas: parts 2 4 6 8 and 9. */
static void
expect_nine(const struct catalog *c)
{
    static const uint64_t parts[] = {2, 4, 6, 8, 9};
    assert_int_equal(c->number, 9);
    assert_int_equal(c->complete_pos, 90);
    assert_int_equal(c->part_count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(c->parts[i].entry.number, parts[i]);
        assert_int_equal(c->parts[i].size, parts[i] * 1000);
        assert_int_equal(c->parts[i].entry.time.max_ms, (int64_t)parts[i] + 5);
    }
    assert_int_equal(c->state.tenant_count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        const struct tenant_totals *t = &c->state.tenants[i];
        assert_int_equal(t->totals.count[LEDGER_FLOAT][LEDGER_RECEIVED],
                         bytes_equal_text(t->name, "one") ? 9 : 10);
    }
}

UNIT_TEST(test_an_empty_bucket_has_no_chain)
{
    struct rig rig;
    struct catalog c;
    rig_init(&rig);
    must(load(&rig, 0, &c));
    assert_int_equal(c.number, 0);
    rig_fini(&rig);
}

UNIT_TEST(test_deltas_add_up_from_any_known_number)
{
    struct rig rig;
    struct catalog c;
    rig_init(&rig);
    for (uint64_t n = 1; n <= 9; n++)
        put_delta(&rig, n);
    for (uint64_t from = 0; from <= 9; from++) {
        must(load(&rig, from, &c));
        expect_nine(&c);
    }
    rig_fini(&rig);
}

UNIT_TEST(test_a_base_replaces_the_deltas_before_it)
{
    struct rig rig;
    struct catalog base, c;
    char key[OBJECT_KEY_BYTES];
    rig_init(&rig);
    for (uint64_t n = 1; n <= 6; n++)
        put_delta(&rig, n);
    must(load(&rig, 0, &base));
    base.before = rig.checksum;
    catalog_base_key(6, key);
    put_object(&rig, key, &base);
    for (uint64_t n = 7; n <= 9; n++)
        put_delta(&rig, n);
    sim_objects_find(&rig.bucket, "catalog/00000000000000000002")->at[20] ^= 1; /* not read */
    must(load(&rig, 0, &c));
    expect_nine(&c);
    rig_fini(&rig);
}

UNIT_TEST(test_a_chain_with_a_fault_is_refused)
{
    static const struct {
        const char *key;
        bool damages; /* else it is removed */
        const char *words;
    } cases[] = {
        {"catalog/00000000000000000004", true, "catalog/00000000000000000004 is damaged"},
        {"catalog/00000000000000000009", true, "catalog/00000000000000000009 is damaged"},
        {"catalog/00000000000000000008", false, "is missing"},
        {"catalog/00000000000000000002", false, "is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        struct catalog c;
        rig_init(&rig);
        for (uint64_t n = 1; n <= 9; n++)
            put_delta(&rig, n);
        struct sim_object *o = sim_objects_find(&rig.bucket, cases[i].key);
        if (cases[i].damages)
            o->at[o->size / 2] ^= 1;
        else
            must(rig.bucket.objects.ops->remove(&rig.bucket.objects, cases[i].key, &rig.why));
        assert_int_equal(load(&rig, 0, &c), ERR_CORRUPT);
        if (strstr(rig.why.text, cases[i].words) == NULL) fail_msg("%s", rig.why.text);
        rig_fini(&rig);
    }
}

UNIT_TEST(test_a_delta_of_another_chain_is_refused)
{
    struct rig rig;
    struct catalog c;
    rig_init(&rig);
    put_delta(&rig, 1);
    rig.checksum++;
    put_delta(&rig, 2);
    assert_int_equal(load(&rig, 0, &c), ERR_CORRUPT);
    assert_non_null(strstr(rig.why.text, "does not follow"));
    rig_fini(&rig);
}

UNIT_TEST(test_a_failed_request_is_an_error_and_not_an_older_state)
{
    for (uint64_t at = 1; at < 40; at++) {
        struct rig rig;
        struct catalog c;
        rig_init(&rig);
        for (uint64_t n = 1; n <= 9; n++)
            put_delta(&rig, n);
        rig.bucket.requests = 0;
        rig.bucket.fails_at = at;
        enum err e = load(&rig, 0, &c);
        if (rig.bucket.requests < at)
            must(e);
        else
            assert_int_equal(e, ERR_AGAIN);
        if (e == OK) expect_nine(&c);
        rig_fini(&rig);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_bucket_has_no_chain),
        cmocka_unit_test(test_deltas_add_up_from_any_known_number),
        cmocka_unit_test(test_a_base_replaces_the_deltas_before_it),
        cmocka_unit_test(test_a_chain_with_a_fault_is_refused),
        cmocka_unit_test(test_a_delta_of_another_chain_is_refused),
        cmocka_unit_test(test_a_failed_request_is_an_error_and_not_an_older_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
