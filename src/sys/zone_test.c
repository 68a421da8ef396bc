/* zone_test.c - local times of all zones of this machine are those of the C library. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "lib/random.h"
#include "sys/zone.h"

#define ZONES "/usr/share/zoneinfo/tzdata.zi"

static struct arena arena;

static const struct zone *
zone_of(const char *name)
{
    const struct zone *z;
    struct why why;
    assert_int_equal(zone_read(env_real(), bytes_of_text(name), &arena, &z, &why), OK);
    return z;
}

static int64_t
offset_of(int64_t t_s)
{
    struct tm tm;
    time_t t = (time_t)t_s;
    assert_non_null(localtime_r(&t, &tm));
    return tm.tm_gmtoff;
}

/* From 1900 to 2100, and each half hour around the changes of some years. */
static void
compare(const char *name)
{
    struct rng r = {.state = 7};
    const struct zone *z = zone_of(name);
    setenv("TZ", name, 1);
    tzset();
    for (unsigned i = 0; i < 2000; i++) {
        int64_t t_s = (int64_t)rng_below(&r, 6311520000u) - 2208988800;
        assert_int_equal(zone_offset_s(z, t_s), offset_of(t_s));
    }
    for (int64_t from_s = 1767225600; from_s < 4700000000; from_s += 10 * 31556952)
        for (int64_t t_s = from_s; t_s < from_s + 31556952; t_s += 10800)
            assert_int_equal(zone_offset_s(z, t_s - 1), offset_of(t_s - 1));
}

UNIT_TEST(test_offsets_are_those_of_the_c_library)
{
    char line[512], name[128];
    unsigned count = 0;
    FILE *list = fopen(ZONES, "r");
    if (list == NULL) skip();
    while (fgets(line, sizeof line, list) != NULL) {
        if (sscanf(line, "Z %127s", name) != 1) continue;
        compare(name);
        count++;
    }
    fclose(list);
    assert_true(count > 200);
    compare("UTC");
}

UNIT_TEST(test_local_times_become_utc)
{
    const struct zone *z = zone_of("Europe/Berlin");
    assert_int_equal(zone_to_utc_s(z, 1774749600), 1774746000); /* 02:00 is skipped */
    assert_int_equal(zone_to_utc_s(z, 1774749599), 1774745999);
    int64_t twice_s = zone_to_utc_s(z, 1792895400); /* 02:30 */
    assert_true(twice_s == 1792888200 || twice_s == 1792891800);
    assert_int_equal(zone_to_utc_s(zone_of("UTC"), 5), 5);
}

UNIT_TEST(test_other_names_are_refused)
{
    static const char *const names[] = {
        "",       "Europe/Atlantis", "../../etc/passwd", "/etc/passwd", "a b",
        "Europe", "tzdata.zi",       "zone.tab",         "UTC0",        "Europe/../Etc/UTC"};
    const struct zone *z;
    struct why why;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_not_equal(zone_read(env_real(), bytes_of_text(names[i]), &arena, &z, &why), OK);
}

/* Writes a file with some bytes changed or cut off. */
UNIT_TEST(test_damaged_files_are_read_or_refused)
{
    char folder[] = "/tmp/zone_test.XXXXXX", path[64];
    struct rng r = {.state = 3};
    struct buf whole;
    struct why why;
    buf_init(&whole, NULL, 1 << 20);
    assert_int_equal(env_read_whole(env_real(), "/usr/share/zoneinfo/Europe/Dublin", &whole, &why),
                     OK);
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/Damaged", folder);
    setenv("TZDIR", folder, 1);
    unsigned refused = 0;
    for (unsigned i = 0; i < 2000; i++) {
        const struct zone *z;
        struct bytes copy = arena_copy(&arena, buf_bytes(&whole));
        uint8_t *at = (uint8_t *)(uintptr_t)copy.at;
        for (unsigned k = 0; k < 3; k++)
            at[rng_below(&r, copy.size)] = (uint8_t)rng_below(&r, 256);
        if (i % 2 == 0) copy.size = rng_below(&r, copy.size);
        FILE *f = fopen(path, "w");
        assert_int_equal(fwrite(copy.at, 1, copy.size, f), copy.size);
        fclose(f);
        enum err e = zone_read(env_real(), bytes_of_text("Damaged"), &arena, &z, &why);
        assert_true(e == OK || e == ERR_CORRUPT);
        refused += e != OK;
        for (unsigned k = 0; k < 50 && e == OK; k++)
            zone_offset_s(z, (int64_t)rng_below(&r, UINT64_MAX) / 4);
        arena_reset(&arena);
    }
    assert_true(refused > 500);
    unsetenv("TZDIR");
    unlink(path);
    rmdir(folder);
    buf_fini(&whole);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offsets_are_those_of_the_c_library),
        cmocka_unit_test(test_local_times_become_utc),
        cmocka_unit_test(test_other_names_are_refused),
        cmocka_unit_test(test_damaged_files_are_read_or_refused),
    };
    arena_init(&arena, NULL, 0, 0);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_fini(&arena);
    return failed;
}
