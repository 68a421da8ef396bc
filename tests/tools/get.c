/*
 * get.c - a plain HTTP request; started thousands of times by scripts, as it starts in a tenth of
 * curl's time.
 *
 *   get URL... [SECONDS]          the bodies, on standard output, one after the other
 *   get -d FORM URL [SECONDS]     POST of FORM
 *   get --wait PID URL SECONDS    asks until the answer is below 400; nothing is written
 *   get --parts METHOD BODY HEAD ANSWER URL [HEADER...]
 *                                 sends the file BODY unless it is empty; writes the head and
 *                                 the body of the answer into files, and prints its status
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
    EXCHANGE_SECONDS = 30,
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
    static const char *const form[] = {"Content-Type: application/x-www-form-urlencoded"};
    struct plain_request request = {.method = "GET"};
    struct plain_url url;
    struct plain_answer answer;
    char error[PLAIN_ERROR_SIZE];
    if (!plain_url_parse(text, &url)) return 2;
    if (posted != NULL) request = (struct plain_request){"POST", form, 1, posted, strlen(posted)};
    if (!plain_http(&url, &request, seconds, &answer, error)) {
        fprintf(stderr, "get: %s\n", error);
        return 1;
    }
    int status = answer.status < 400 ? 0 : ANSWER_REFUSED;
    if (status != 0)
        fprintf(stderr, "get: %s answers %d\n", text, answer.status);
    else if (fwrite(answer.body, 1, answer.length, stdout) != answer.length || fflush(stdout) != 0)
        status = 1;
    plain_answer_fini(&answer);
    return status;
}

static bool
read_file(const char *path, char **ret_content, size_t *ret_length)
{
    FILE *file = fopen(path, "rbe");
    size_t size = 1 << 16, length = 0;
    char *content = file != NULL ? malloc(size) : NULL;
    while (content != NULL && (length += fread(content + length, 1, size - length, file)) == size)
        content = realloc(content, size *= 2);
    if (file != NULL) fclose(file);
    *ret_content = content;
    *ret_length = length;
    return content != NULL;
}

static bool
write_file(const char *path, const char *content, size_t length)
{
    FILE *file = fopen(path, "wbe");
    if (file == NULL) return false;
    bool is_written = fwrite(content, 1, length, file) == length;
    return fclose(file) == 0 && is_written;
}

static int
exchange(char **words, size_t count)
{
    struct plain_request request = {.method = words[0]};
    struct plain_url url;
    struct plain_answer answer;
    char error[PLAIN_ERROR_SIZE], *body = NULL;
    if (count < 5 || !plain_url_parse(words[4], &url)) return 2;
    if (words[1][0] != 0) {
        if (!read_file(words[1], &body, &request.body_length)) return 1;
        request.body = body;
    }
    request.headers = (const char *const *)words + 5;
    request.header_count = count - 5;
    alarm(EXCHANGE_SECONDS);
    if (!plain_http(&url, &request, EXCHANGE_SECONDS, &answer, error)) {
        fprintf(stderr, "get: %s\n", error);
        puts("000");
        return 1;
    }
    printf("%d\n", answer.status);
    bool is_written = write_file(words[2], answer.head, answer.head_length) &&
                      write_file(words[3], answer.body, answer.length);
    plain_answer_fini(&answer);
    free(body);
    return is_written ? 0 : 1;
}

static int
wait_for(pid_t pid, const char *text)
{
    struct plain_url url;
    struct plain_answer answer;
    char error[PLAIN_ERROR_SIZE];
    if (!plain_url_parse(text, &url)) return 2;
    for (int pause = PAUSE_MS;; pause = pause * 2 < PAUSE_MS_MAX ? pause * 2 : PAUSE_MS_MAX) {
        static const struct plain_request request = {.method = "GET"};
        if (plain_http(&url, &request, LOOK_SECONDS, &answer, error)) {
            int status = answer.status;
            plain_answer_fini(&answer);
            if (status < 400) return 0;
        }
        if (kill(pid, 0) != 0 && errno == ESRCH) return 1;
        nanosleep(&(struct timespec){.tv_nsec = pause * 1000000L}, NULL);
    }
}

int
main(int argc, char **argv)
{
    signal(SIGALRM, on_alarm);
    signal(SIGPIPE, SIG_IGN);
    if (argc > 2 && strcmp(argv[1], "--parts") == 0) return exchange(argv + 2, (size_t)argc - 2);
    const char *posted = NULL, *awaited = NULL;
    if (argc > 2 && strcmp(argv[1], "-d") == 0) posted = argv[2];
    if (argc > 2 && strcmp(argv[1], "--wait") == 0) awaited = argv[2];
    char **urls = argv + (posted != NULL || awaited != NULL ? 3 : 1), **end = argv + argc;
    int seconds = DEFAULT_SECONDS, status = 2;
    if (end - urls > 1 && strncmp(end[-1], "http:", 5) != 0) seconds = atoi(*--end);
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
