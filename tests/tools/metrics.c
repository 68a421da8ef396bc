/*
 * metrics.c - metrics URL SECONDS QUESTION...: questions about the metrics of the server at URL.
 *
 *   sum START...                      sums of the lines that begin with each START
 *   are {START COMPARISON NUMBER}...  whether those sums compare like this: = != < <= > >=
 *   opened                            whether no destination is closed
 *   state DESTINATION [STATE]         prints it, or whether it is that
 *   settled DESTINATION...            open, nothing queued, and nothing in the log ahead of them
 *   balances DESTINATION              open; taken = delivered + dead-lettered + dropped + queued
 *
 * A question is answered from one page, as the metrics change. It is repeated until the answer is
 * yes, for at most SECONDS (0: once); then the reason is written and the status is 1. One process
 * does all of this, because scripts wait all the time.
 */
#include "plain_http.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_SECONDS = 10, PAUSE_MS = 10, PAUSE_MS_MAX = 160 };

static const char *page; /* the current page */
static char why[512];    /* the reason why the answer is no */

__attribute__((format(printf, 1, 2))) static bool
no(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    return false;
}

static const char *
next_line(const char *line)
{
    line = strchr(line, '\n');
    return line != NULL && line[1] != 0 ? line + 1 : NULL;
}

static double
value_of(const char *line)
{
    const char *end = line + strcspn(line, "\n");
    while (end > line && end[-1] != ' ')
        end--;
    return strtod(end, NULL);
}

static double
sum_of(const char *start)
{
    double sum = 0;
    for (const char *line = page; line != NULL; line = next_line(line))
        if (strncmp(line, start, strlen(start)) == 0) sum += value_of(line);
    return sum;
}

static double
sum_of_destination(const char *what, const char *destination)
{
    char start[256];
    snprintf(start, sizeof start, "firekeep_destination_%s{destination=\"%s\"", what, destination);
    return sum_of(start);
}

static void
print_sums(char **starts)
{
    for (; *starts != NULL; starts++)
        printf("%.0f\n", sum_of(*starts));
}

static bool
compares(double a, const char *comparison, double b)
{
    if (strcmp(comparison, "=") == 0) return !(a < b) && !(a > b);
    if (strcmp(comparison, "!=") == 0) return a < b || a > b;
    if (strcmp(comparison, "<") == 0) return a < b;
    if (strcmp(comparison, "<=") == 0) return a <= b;
    if (strcmp(comparison, ">") == 0) return a > b;
    if (strcmp(comparison, ">=") == 0) return a >= b;
    fprintf(stderr, "metrics: no comparison: %s\n", comparison);
    exit(2);
}

static bool
are(char **triples)
{
    for (; *triples != NULL; triples += 3) {
        if (triples[1] == NULL || triples[2] == NULL) return no("a comparison is not whole");
        double sum = sum_of(triples[0]);
        if (!compares(sum, triples[1], strtod(triples[2], NULL)))
            return no("%s...: %.0f is not %s %s", triples[0], sum, triples[1], triples[2]);
    }
    return true;
}

static bool
opened(void)
{
    static const char start[] = "firekeep_destination_open{";
    for (const char *line = page; line != NULL; line = next_line(line))
        if (strncmp(line, start, sizeof start - 1) == 0 && !(value_of(line) > 0))
            return no("closed: %.*s", (int)strcspn(line, "\n"), line);
    return true;
}

/* Copies the state to `to`; it is empty if the destination is closed or missing. */
static void
find_state(const char *destination, char to[64])
{
    char start[256];
    int length = snprintf(start, sizeof start,
                          "firekeep_destination_state{destination=\"%s\",state=\"", destination);
    *to = 0;
    for (const char *line = page; line != NULL; line = next_line(line))
        if (strncmp(line, start, (size_t)length) == 0 && value_of(line) > 0)
            snprintf(to, 64, "%.*s", (int)strcspn(line + length, "\""), line + length);
}

static bool
is_in_state(const char *destination, const char *wanted)
{
    char state[64];
    find_state(destination, state);
    return strcmp(state, wanted) == 0 || no("%s is %s, not %s", destination, state, wanted);
}

static bool
settled(char **destinations)
{
    for (; *destinations != NULL; destinations++) {
        double is_open = sum_of_destination("open", *destinations);
        double queued = sum_of_destination("samples_queued", *destinations);
        double lag = sum_of_destination("lag_bytes", *destinations);
        if (!(is_open > 0) || queued > 0 || lag > 0)
            return no("%s: open %.0f, queued %.0f, lag %.0f", *destinations, is_open, queued, lag);
    }
    return true;
}

static bool
balances(const char *destination)
{
    double taken = sum_of_destination("samples_taken_total", destination);
    double found = sum_of_destination("samples_delivered_total", destination) +
                   sum_of_destination("samples_dead_lettered_total", destination) +
                   sum_of_destination("samples_dropped_total", destination) +
                   sum_of_destination("samples_queued", destination);
    if (!(sum_of_destination("open", destination) > 0)) return no("%s is not open", destination);
    return !(fabs(taken - found) > 0) ||
           no("%s: taken %.0f, accounted for %.0f", destination, taken, found);
}

static bool
answer(char **words, int count)
{
    const char *question = words[0];
    char state[64];
    if (strcmp(question, "sum") == 0) {
        print_sums(words + 1);
        return true;
    }
    if (strcmp(question, "are") == 0) return are(words + 1);
    if (strcmp(question, "opened") == 0) return opened();
    if (strcmp(question, "settled") == 0) return settled(words + 1);
    if (strcmp(question, "balances") == 0 && count == 2) return balances(words[1]);
    if (strcmp(question, "state") == 0 && count == 3) return is_in_state(words[1], words[2]);
    if (strcmp(question, "state") != 0 || count != 2) {
        fprintf(stderr, "metrics: no question: %s\n", question);
        exit(2);
    }
    find_state(words[1], state);
    puts(state);
    return true;
}

static bool
look(const struct plain_url *url, char **words, int count)
{
    struct plain_answer got;
    char error[PLAIN_ERROR_SIZE];
    static const struct plain_request request = {.method = "GET"};
    if (!plain_http(url, &request, LOOK_SECONDS, &got, error)) return no("no metrics: %s", error);
    page = got.body;
    bool is_so = got.status == 200 ? answer(words, count) : no("no metrics: status %d", got.status);
    plain_answer_fini(&got);
    return is_so;
}

static double
now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
    char text[256];
    struct plain_url url;
    if (argc < 4 || snprintf(text, sizeof text, "%s/metrics", argv[1]) >= (int)sizeof text ||
        !plain_url_parse(text, &url)) {
        fputs("usage: metrics http://HOST:PORT SECONDS QUESTION...\n", stderr);
        return 2;
    }
    double until = now_s() + atof(argv[2]);
    int pause = PAUSE_MS;
    while (!look(&url, argv + 3, argc - 3)) {
        if (now_s() >= until) {
            puts(why);
            return 1;
        }
        nanosleep(&(struct timespec){.tv_nsec = pause * 1000000L}, NULL);
        if (pause < PAUSE_MS_MAX) pause *= 2;
    }
    return 0;
}
