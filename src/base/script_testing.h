/*
 * script_testing.h - tests that are scripts. A line has commands, with " | " between, and then,
 * after " => ", what they print, with "; " between:
 *
 *     set a 1 | get a => 1
 *
 * The file that includes this says in do_command() what its commands do. For tests.
 */
#ifndef BASE_SCRIPT_TESTING_H
#define BASE_SCRIPT_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/metric.h"

/* Does a command; what it prints goes to print_text(). `rest` and what it has stay until
 * forget_texts(). */
static void do_command(const char *name, char *rest);

static struct {
    char printed[1 << 16]; /* by the line that is done */
    bool is_known;         /* the command, so far */
    char *texts[8192];     /* of commands */
    unsigned text_count;
} script;

/* Says whether the command or word is this one; a command that no call asks for is an error. */
static inline bool
is(const char *name, const char *want)
{
    bool is_it = strcmp(name, want) == 0;
    script.is_known |= is_it;
    return is_it;
}

/* Returns the next word; "" at the end. */
static inline char *
word(char **rest)
{
    char *at = *rest + strspn(*rest, " ");
    *rest = at + strcspn(at, " ");
    if (**rest != '\0') *(*rest)++ = '\0';
    return at;
}

/* Line feeds become "~" and quotes single ones, for C. */
static inline void
print_text(const char *text)
{
    size_t size = strlen(script.printed);
    assert_true(size + strlen(text) + 3 < sizeof script.printed);
    char *at = stpcpy(script.printed + size, size == 0 ? "" : "; ");
    strcpy(at, text);
    for (; *at != '\0'; at++) {
        if (*at == '\n') *at = '~';
        if (*at == '"') *at = '\'';
    }
}

static inline void
print_number(uint64_t number)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    print_text(text);
}

/* Metrics whose names begin with both, without `common`. */
static inline void
print_metrics(const char *common, const char *prefix)
{
    struct buf all;
    size_t size = strlen(common);
    buf_init(&all, NULL, 16 << 20);
    metric_collect(&all);
    buf_put_u8(&all, 0);
    assert_int_equal(buf_error(&all), OK);
    for (char *line = strtok((char *)all.at, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strncmp(line, common, size) != 0) continue;
        if (strncmp(line + size, prefix, strlen(prefix)) == 0) print_text(line + size);
    }
    buf_fini(&all);
}

static inline void
forget_texts(void)
{
    while (script.text_count > 0) {
        free(script.texts[--script.text_count]);
    }
}

/* Does the commands of a line. */
static inline void
do_line(const char *line)
{
    const char *arrow = strstr(line, " => ");
    char *at = strndup(line, arrow == NULL ? strlen(line) : (size_t)(arrow - line)), *end;
    assert_true(script.text_count < sizeof script.texts / sizeof *script.texts);
    script.texts[script.text_count++] = at;
    script.printed[0] = '\0';
    for (; at != NULL; at = end == NULL ? NULL : end + 3) {
        end = strstr(at, " | ");
        if (end != NULL) *end = '\0';
        char *rest = at, *name = word(&rest);
        script.is_known = false;
        do_command(name, rest);
        if (!script.is_known) fail_msg("unknown command %s", name);
    }
}

/* Does a line, which must print what it says. */
static inline void
play(const char *line)
{
    const char *arrow = strstr(line, " => "), *want = arrow == NULL ? "" : arrow + 4;
    do_line(line);
    if (strcmp(script.printed, want) == 0) return;
    fail_msg("%s\nprinted something else => %s", line, script.printed);
}

__attribute__((format(printf, 1, 2))) static inline void
playf(const char *format, ...)
{
    char line[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    play(line);
}

/* A test, whose state is the lines. */
static inline void
run_script(void **state)
{
    for (const char *at = *state; *at != '\0';) {
        size_t size = strcspn(at, "\n");
        char *line = strndup(at, size);
        play(line);
        free(line);
        at += size + (at[size] == '\n');
    }
}

/* Its name is its claim; the file has setup() and teardown(), which calls forget_texts(). */
#define SCRIPT(claim, lines)                                           \
    {                                                                  \
        claim, run_script, setup, teardown, (void *)(uintptr_t)(lines) \
    }
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
