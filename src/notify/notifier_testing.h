/*
 * notifier_testing.h - a test program of which each test has a notifier of its own, as TEST()
 * begins and ends it, and two members that it may tell.
 */
#ifndef NOTIFY_NOTIFIER_TESTING_H
#define NOTIFY_NOTIFIER_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "notify/notify_rig_testing.h"

#define A "http://a:9093/api/v2/alerts"
#define B "http://b:9093/api/v2/alerts"

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static struct rig rig;

static int
setup(void **state)
{
    (void)state;
    rig_init(&rig);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

#endif
