/*
 * tool.h - functions of every measuring program. Errors end the program: nothing here is a server.
 */
#ifndef BENCH_LIB_TOOL_H
#define BENCH_LIB_TOOL_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/buf.h"

/* Prints and ends the program with status 2. */
void die(const char *format, ...) PRINTF_LIKE(1, 2);
/* Returns `memory`, or ends the program if it is NULL. */
void *must(void *memory);
/* Prints `usage` and ends: on stdout with status 0 if it was requested, else with status 2. */
void tell_usage(const char *usage, int asked);
/* Returns a number from the command line: all of the text, not negative. */
double parse_number(const char *option, const char *text);

double now_s(clockid_t clock);
uint64_t random_next(uint64_t *state);

/* The address of a server. */
struct address {
    bool is_tls;
    char host[128];
    char port[16];
    char path[1024];
};

/* Reads http://HOST:PORT[/PATH], or https://; `path` is the default path. */
void address_parse(struct address *a, const char *url, const char *path);
/* Returns a connected socket, or -1 if the server refuses. */
int address_connect(const struct address *a);

#endif
