/*
 * script.h - tests that are scripts. A line has commands, separated by " | ", and after " => " what
 * they print, separated by "; ":
 *
 *     set a 1 | get a => 1
 *
 * The test program defines script_command(), script_setup() and script_teardown(). For tests, on
 * one thread.
 */
#ifndef LIB_SCRIPT_H
#define LIB_SCRIPT_H

#include "lib/test.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/metric.h"

/* The running line. */
extern struct script {
    char printed[1 << 16]; /* by its commands so far */
    bool is_known;         /* a call of script_is() named the command */
} script;

/* --- defined by the test program -------------------------------------------------------------- */

/* Does a command, which prints with script_print(). `rest` stays until script_forget(). */
void script_command(const char *name, char *rest);

/* Run before and after each test; the second calls script_forget(). */
int script_setup(void **state);
int script_teardown(void **state);

/* --- for script_command() --------------------------------------------------------------------- */

/* Says whether the command or word is `want`. A command that no call names fails the test. */
bool script_is(const char *name, const char *want);

/* Cuts the next word off and returns it; "" at the end. */
char *script_word(char **rest);

/* Print; line feeds become "~" and double quotes single ones, for C. */
void script_print(const char *text);
void script_print_number(uint64_t number);

/* Prints the metrics whose names begin with `common` and `prefix`, without `common`. */
void script_print_metrics(const char *common, const char *prefix);

/* --- for tests -------------------------------------------------------------------------------- */

/* Frees the texts of all commands. */
void script_forget(void);

/* Does the commands of a line; what they print is in script.printed. */
void script_do(const char *line);

/* Does the commands of a line, which must print what the line says. */
void script_play(const char *line);
__attribute__((format(printf, 1, 2))) void script_playf(const char *format, ...);

/* Plays the lines of the text that the state is. */
void script_run(void **state);

/* A test named by its claim that plays lines; and a test that is a function. */
#define SCRIPT(claim, lines)                                                         \
    {                                                                                \
        claim, script_run, script_setup, script_teardown, (void *)(uintptr_t)(lines) \
    }
#define TEST(name) cmocka_unit_test_setup_teardown(name, script_setup, script_teardown)

#endif
