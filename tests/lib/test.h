/*
 * test.h - a unit test that has no state of its own:
 *
 *     UNIT_TEST(test_an_empty_log_has_no_records)
 *     {
 *         ...
 *     }
 *
 * Included first, because cmocka's header needs others before it.
 */
#ifndef LIB_TEST_H
#define LIB_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Begins a function for cmocka_unit_test(). */
#define UNIT_TEST(name) static void name(void **state __attribute__((unused)))

#endif
