/* cache_test.c - the cache returns the stored data of this content, or nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "backend/archive/scan.h"
#include "lib/test.h"
#include "sys/sim.h"

static struct sim_env *sim;
static struct env *env;
static struct source_cache_settings settings = {"/cache", 1 << 20};

static struct archive_cache *
open_cache(const char *archive)
{
    struct archive_cache_options options = {env, NULL, &settings, archive};
    struct archive_cache *cache;
    assert_int_equal(archive_cache_new(&options, &cache), OK);
    return cache;
}

static struct archive_object
object_of(unsigned number, const char *tag)
{
    struct archive_object o = {.size = 5000};
    snprintf(o.key, sizeof o.key, "key%u", number);
    snprintf(o.tag, sizeof o.tag, "%s", tag);
    return o;
}

static void
store(struct archive_cache *cache, const struct archive_object *o, unsigned names)
{
    struct about about;
    char name[100];
    about_init(&about, NULL);
    assert_int_equal(about_begin(&about), OK);
    memset(name, 'x', sizeof name);
    for (unsigned i = 0; i < names; i++)
        about_add_name(&about, bytes_of(name, sizeof name));
    about_add_time(&about, 7);
    assert_int_equal(about_end(&about), OK);
    archive_cache_store(cache, o, NULL, &about);
    about_fini(&about);
}

static bool
is_there(struct archive_cache *cache, const struct archive_object *o)
{
    struct about about;
    about_init(&about, NULL);
    bool there = archive_cache_load(cache, o, NULL, &about);
    if (there) assert_true(about.parts[0].min_ms == 7);
    about_fini(&about);
    return there;
}

UNIT_TEST(test_only_the_same_content_is_known)
{
    struct archive_cache *a = open_cache("one"), *b = open_cache("two");
    struct archive_object o = object_of(1, "t"), other = object_of(1, "u"),
                          young = object_of(2, "t");
    young.is_young = true;
    store(a, &o, 1);
    store(a, &young, 1);
    assert_true(is_there(a, &o));
    assert_false(is_there(a, &other));
    assert_false(is_there(a, &young));
    assert_false(is_there(b, &o));
    archive_cache_free(a);
    a = open_cache("one");
    assert_true(is_there(a, &o));
    archive_cache_free(a);
    archive_cache_free(b);
}

UNIT_TEST(test_it_stays_within_its_size)
{
    struct archive_cache *cache = open_cache("many");
    unsigned there = 0;
    for (unsigned i = 0; i < 400; i++) {
        struct archive_object o = object_of(1000 + i, "t");
        store(cache, &o, 80);
    }
    for (unsigned i = 0; i < 400; i++) {
        struct archive_object o = object_of(1000 + i, "t");
        there += is_there(cache, &o);
    }
    assert_in_range(there, 20, (1 << 20) / 8000);
    archive_cache_free(cache);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_same_content_is_known),
        cmocka_unit_test(test_it_stays_within_its_size),
    };
    if (sim_env_new(1, &sim) != OK) return 1;
    env = sim_env_env(sim);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sim_env_free(sim);
    return failed;
}
