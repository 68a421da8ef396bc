/*
 * get.c - a plain HTTP request; started thousands of times by scripts, as it starts in a tenth of
 * curl's time.
 *
 *   get URL... [SECONDS]          the bodies, on standard output, one behind the other
 *   get -d FORM URL [SECONDS]     POST of FORM
 *   get --wait PID URL SECONDS    asks until the answer is below 400; nothing is written
 *
 * The URL is http://HOST:PORT/PATH with an IPv4 address; the path is sent as it is. Status 22: the
 * answer is 400 or above; 28: it took longer than SECONDS (10); 1: no answer, or not a whole one,
 * or the process PID has ended.
 */
#include "plain_http.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    ANSWER_TIMEOUT = 28,
    ANSWER_REFUSED = 22,
    DEFAULT_SECONDS = 10,
    LOOK_SECONDS = 2,
    PAUSE_MS = 10,
    PAUSE_MS_MAX = 100,
};

static void
on_alarm(int signal)
{
    (void)signal;
    static const char text[] = "get: timeout\n";
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(ANSWER_TIMEOUT);
}

static int
print_answer(const char *posted, const char *text, int seconds)
{
    struct plain_url url;
    struct plain_answer answer;
    char error[PLAIN_ERROR_SIZE];
    if (!plain_url_parse(text, &url)) return 2;
    if (!plain_http(&url, posted, seconds, &answer, error)) {
        fprintf(stderr, "get: %s\n", error);
        return 1;
    }
    if (answer.status >= 400) {
        fprintf(stderr, "get: %s answers %d\n", text, answer.status);
        return ANSWER_REFUSED;
    }
    size_t written = fwrite(answer.body, 1, answer.length, stdout);
    free(answer.body);
    return written == answer.length && fflush(stdout) == 0 ? 0 : 1;
}

static int
wait_for(pid_t pid, const char *text)
{
    struct plain_url url;
    struct plain_answer answer;
    char error[PLAIN_ERROR_SIZE];
    if (!plain_url_parse(text, &url)) return 2;
    for (int pause = PAUSE_MS;; pause = pause * 2 < PAUSE_MS_MAX ? pause * 2 : PAUSE_MS_MAX) {
        bool has_answer = plain_http(&url, NULL, LOOK_SECONDS, &answer, error);
        if (has_answer && answer.status < 400) return 0;
        if (has_answer) free(answer.body);
        if (kill(pid, 0) != 0 && errno == ESRCH) return 1;
        nanosleep(&(struct timespec){.tv_nsec = pause * 1000000L}, NULL);
    }
}

int
main(int argc, char **argv)
{
    const char *posted = NULL, *awaited = NULL;
    if (argc > 2 && strcmp(argv[1], "-d") == 0) posted = argv[2];
    if (argc > 2 && strcmp(argv[1], "--wait") == 0) awaited = argv[2];
    char **urls = argv + (posted != NULL || awaited != NULL ? 3 : 1), **end = argv + argc;
    int seconds = DEFAULT_SECONDS, status = 2;
    if (end - urls > 1 && strncmp(end[-1], "http:", 5) != 0) seconds = atoi(*--end);
    signal(SIGALRM, on_alarm);
    signal(SIGPIPE, SIG_IGN);
    if (seconds > 0) alarm((unsigned)seconds);
    if (awaited != NULL && end - urls == 1)
        status = wait_for((pid_t)atol(awaited), *urls);
    else if (awaited == NULL && (posted == NULL || end - urls == 1))
        for (status = urls == end ? 2 : 0; urls < end && status == 0; urls++)
            status = print_answer(posted, *urls, seconds);
    if (status == 2)
        fputs("usage: get http://HOST:PORT/PATH... [SECONDS]\n"
              "       get -d FORM http://HOST:PORT/PATH [SECONDS]\n"
              "       get --wait PID http://HOST:PORT/PATH SECONDS\n",
              stderr);
    return status;
}
