/* http_calls_test.c - many calls at once, against servers with scripted answers. */
#include "lib/test.h"

#include <dlfcn.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/lock.h"
#include "lib/net/http_player.h"
#include "lib/net/http_rig.h"
#include "net/http_calls.h"

static const struct http_calls_target target = {
    .proxy_url = "", .connect_timeout_ms = 5000, .timeout_ms = 10000};

static struct http_calls *
calls_new(void)
{
    struct http_calls *calls;
    assert_int_equal(http_calls_new(env_real(), NULL, "test/1", &calls, NULL), OK);
    return calls;
}

static struct http_call_answer
wait_for_one(struct http_calls *calls)
{
    struct http_call_answer answer;
    while (!http_calls_done(calls, &answer))
        http_calls_poll(calls, 1000);
    return answer;
}

static struct http_call
post_to(const char *url, void *context)
{
    return (struct http_call){.target = &target,
                              .method = "POST",
                              .url = url,
                              .body = bytes_of_text("body"),
                              .answer_bytes_max = 100,
                              .context = context};
}

UNIT_TEST(test_an_answer_is_given_as_it_came)
{
    static const char *const wanted[] = {"X-One", "x-two", "X-Three", NULL};
    static const char *const headers[] = {"Content-Type: text/x", NULL};
    const char *answer = "HTTP/1.1 419 Odd\r\nContent-Length: 5\r\nX-ONE: 1\r\nX-Two:  two \r\n"
                         "Retry-After: 7\r\nDate: Fri, 24 May 2013 00:00:00 GMT\r\n\r\nwhat?";
    struct player p;
    player_start(&p, 1, &answer);
    struct http_calls *calls = calls_new();
    struct http_call call = post_to(p.url, &p);
    call.wanted = wanted;
    call.headers = headers;
    assert_int_equal(http_calls_start(calls, &call, NULL), OK);
    assert_int_equal(http_calls_count(calls), 1);
    struct http_call_answer a = wait_for_one(calls);
    assert_int_equal(http_calls_count(calls), 0);
    assert_int_equal(a.failure, HTTP_CALL_ANSWERED);
    assert_int_equal(a.status, 419);
    assert_true(bytes_equal_text(a.body, "what?"));
    assert_false(a.body_cut);
    assert_string_equal(a.wanted[0], "1");
    assert_string_equal(a.wanted[1], "two");
    assert_string_equal(a.wanted[2], "");
    assert_int_equal(a.retry_after_ns, 7 * NS_PER_S);
    assert_int_equal(a.date_s, 1369353600);
    assert_ptr_equal(a.context, &p);
    assert_non_null(strstr(p.seen, "POST /path HTTP/1.1\r\n"));
    assert_non_null(strstr(p.seen, "User-Agent: test/1\r\n"));
    assert_non_null(strstr(p.seen, "Content-Type: text/x\r\n"));
    assert_null(strstr(p.seen, "Expect"));
    assert_non_null(strstr(p.seen, "\r\n\r\nbody"));
    http_calls_free(calls);
    player_stop(&p);
}

/* A proxy's answer dated an hour ahead of our clock would otherwise stop requests for an hour. */
UNIT_TEST(test_a_date_in_retry_after_is_one_of_the_clock_that_the_answer_shows)
{
    static const char *const answers[] = {
        "HTTP/1.1 429 Later\r\nContent-Length: 0\r\nRetry-After: Fri, 24 May 2013 00:00:09 GMT\r\n"
        "Date: Fri, 24 May 2013 00:00:00 GMT\r\n\r\n",
        "HTTP/1.1 429 Later\r\nContent-Length: 0\r\nDate: Sun, 24 May 2093 00:00:00 GMT\r\n"
        "Retry-After: Sun, 24 May 2093 00:00:09 GMT\r\n\r\n",
    };
    for (unsigned i = 0; i < 2; i++) {
        struct player p;
        player_start(&p, 1, &answers[i]);
        struct http_calls *calls = calls_new();
        struct http_call call = post_to(p.url, &p);
        assert_int_equal(http_calls_start(calls, &call, NULL), OK);
        struct http_call_answer a = wait_for_one(calls);
        assert_int_equal(a.status, 429);
        assert_int_equal(a.retry_after_ns, 9 * NS_PER_S);
        http_calls_free(calls);
        player_stop(&p);
    }
}

UNIT_TEST(test_a_slow_answer_holds_up_no_other)
{
    const char *silence = "", *answer = "HTTP/1.1 204 Fine\r\n\r\n";
    struct player slow, quick;
    player_start(&slow, 1, &silence);
    player_start(&quick, 1, &answer);
    struct http_calls *calls = calls_new();
    struct http_call first = post_to(slow.url, &slow), second = post_to(quick.url, &quick);
    assert_int_equal(http_calls_start(calls, &first, NULL), OK);
    assert_int_equal(http_calls_start(calls, &second, NULL), OK);
    struct http_call_answer a = wait_for_one(calls);
    assert_ptr_equal(a.context, &quick);
    assert_int_equal(a.status, 204);
    assert_int_equal(http_calls_count(calls), 1);
    http_calls_free(calls); /* gives up the other one */
    player_stop(&slow);
    player_stop(&quick);
}

/* Name servers that do not answer for "slow.invalid" until a test lets them, or takes too long.
 * They replace the function of libc in all of this program. */
static struct lock names_lock;
static struct cond names_news;
static bool is_looking_up, may_answer, was_told;

int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
            struct addrinfo **ret)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (name == NULL || strcmp(name, "slow.invalid") != 0) return real(name, service, hints, ret);
    int64_t until_ns = env_monotonic_ns(env_real()) + 100 * NS_PER_S;
    lock_take(&names_lock);
    is_looking_up = true;
    cond_wake_all(&names_news);
    while (!may_answer && cond_wait_until(&names_news, &names_lock, until_ns)) {
    }
    was_told = may_answer;
    is_looking_up = false;
    cond_wake_all(&names_news);
    lock_drop(&names_lock);
    return EAI_AGAIN;
}

static void
await_look_up(bool begins)
{
    lock_take(&names_lock);
    while (is_looking_up != begins)
        cond_wait(&names_news, &names_lock);
    lock_drop(&names_lock);
}

static void
let_names_be_answered(void)
{
    lock_take(&names_lock);
    may_answer = true;
    cond_wake_all(&names_news);
    lock_drop(&names_lock);
    await_look_up(false);
    assert_true(was_told);
}

static void
let_names_wait(void)
{
    lock_take(&names_lock);
    may_answer = was_told = false;
    lock_drop(&names_lock);
}

UNIT_TEST(test_a_slow_look_up_whose_time_is_over_does_not_block)
{
    static const struct http_calls_target hasty = {
        .proxy_url = "", .connect_timeout_ms = 50, .timeout_ms = 50};
    struct http_calls *calls = calls_new();
    struct http_call call = post_to("http://slow.invalid/", calls);
    let_names_wait();
    call.target = &hasty;
    assert_int_equal(http_calls_start(calls, &call, NULL), OK);
    assert_int_equal(wait_for_one(calls).failure, HTTP_CALL_TIMEOUT);
    http_calls_free(calls);
    let_names_be_answered();
}

UNIT_TEST(test_giving_up_a_slow_look_up_does_not_block)
{
    struct http_calls *calls = calls_new();
    struct http_call call = post_to("http://slow.invalid/", calls);
    let_names_wait();
    assert_int_equal(http_calls_start(calls, &call, NULL), OK);
    http_calls_poll(calls, 0);
    await_look_up(true);
    http_calls_give_up(calls, calls);
    http_calls_free(calls);
    let_names_be_answered();
}

/* They replace the functions of GnuTLS that libcurl calls for trusted certificates. "/gone.pem"
 * cannot be read; an existing file is opened, so that opening a pipe would wait. */
static unsigned trusted_files, trusted_directories;

int
gnutls_certificate_set_x509_trust_file(gnutls_certificate_credentials_t credentials,
                                       const char *path, gnutls_x509_crt_fmt_t format)
{
    (void)credentials;
    (void)format;
    if (strcmp(path, "/gone.pem") == 0) return GNUTLS_E_FILE_ERROR;
    FILE *file = fopen(path, "re");
    if (file == NULL && errno == ENOTDIR) return GNUTLS_E_FILE_ERROR;
    if (file != NULL) fclose(file);
    trusted_files++;
    return 1;
}

int
gnutls_certificate_set_x509_trust_dir(gnutls_certificate_credentials_t credentials,
                                      const char *path, gnutls_x509_crt_fmt_t format)
{
    (void)credentials;
    (void)path;
    (void)format;
    trusted_directories++;
    return 1;
}

UNIT_TEST(test_with_a_file_of_authorities_those_of_the_system_are_not_trusted)
{
    static const struct http_calls_target ours = {
        .proxy_url = "", .ca_file = "/ours.pem", .connect_timeout_ms = 5000, .timeout_ms = 10000};
    const char *answer = "HTTP/1.1 200 Fine\r\n\r\n";
    char url[64];
    struct player p;
    player_start(&p, 1, &answer);
    snprintf(url, sizeof url, "https%s", p.url + strlen("http"));
    struct http_calls *calls = calls_new();
    struct http_call call = post_to(url, calls);
    call.target = &ours;
    trusted_files = trusted_directories = 0;
    assert_int_equal(http_calls_start(calls, &call, NULL), OK);
    while (trusted_files == 0)
        http_calls_poll(calls, 1000);
    assert_int_equal(trusted_directories, 0);
    http_calls_free(calls);
    player_stop(&p);
}

UNIT_TEST(test_files_of_certificates_that_cannot_be_read_are_named)
{
    char dir[] = "/tmp/firekeep-calls-test-XXXXXX", pipe[64], no_ca[128], no_pair[200];
    assert_non_null(mkdtemp(dir));
    snprintf(pipe, sizeof pipe, "%s/pipe", dir);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    snprintf(no_ca, sizeof no_ca, "cannot read certificates from ca_file %s", pipe);
    snprintf(no_pair, sizeof no_pair,
             "cannot read cert_file %s and key_file %s, or they do not belong together", pipe,
             pipe);
    const struct {
        struct http_calls_target target;
        const char *error;
    } cases[] = {
        {{.ca_file = "/gone.pem"}, "cannot read certificates from ca_file /gone.pem"},
        {{.ca_file = "/ours.pem", .cert_file = "/no.pem", .key_file = "/no.key"},
         "cannot read cert_file /no.pem and key_file /no.key, or they do not belong together"},
        {{.ca_file = pipe}, no_ca},
        {{.ca_file = "/ours.pem", .cert_file = pipe, .key_file = pipe}, no_pair},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_calls_target target_ = cases[i].target;
        const char *silence = "";
        char url[64];
        struct player p;
        player_start(&p, 1, &silence);
        snprintf(url, sizeof url, "https%s", p.url + strlen("http"));
        target_.proxy_url = "";
        target_.timeout_ms = 10000;
        struct http_calls *calls = calls_new();
        struct http_call call = post_to(url, calls);
        call.target = &target_;
        assert_int_equal(http_calls_start(calls, &call, NULL), OK);
        struct http_call_answer a = wait_for_one(calls);
        assert_int_equal(a.failure, HTTP_CALL_TLS);
        assert_string_equal(a.error, cases[i].error);
        http_calls_free(calls);
        player_stop(&p);
    }
    unlink(pipe);
    rmdir(dir);
}

UNIT_TEST(test_causes_of_a_missing_answer_are_distinguished)
{
    static const struct http_calls_target hasty = {
        .proxy_url = "", .connect_timeout_ms = 5000, .timeout_ms = 50};
    const char *answers[] = {NULL,
                             "HTTP/1.1 200 Fine\r\nContent-Length: 9\r\n\r\nhalf",
                             "HTTP/1.1 200 Fine\r\nContent-",
                             "HTTP/1.1 200 Fine\r\n",
                             "SSH-2.0-OpenSSH_9.2\r\n",
                             "HTTP/1.1 000 None\r\n\r\n",
                             ""};
    struct player p;
    player_start(&p, 7, answers);
    struct http_calls *calls = calls_new();
    const struct {
        const char *url;
        const struct http_calls_target *target;
        enum http_call_failure failure;
    } cases[] = {
        {p.url, &target, HTTP_CALL_BROKEN},
        {p.url, &target, HTTP_CALL_BROKEN},
        {p.url, &target, HTTP_CALL_BROKEN},
        {p.url, &target, HTTP_CALL_BROKEN},
        {p.url, &target, HTTP_CALL_BROKEN},
        {p.url, &target, HTTP_CALL_BROKEN},
        {p.url, &hasty, HTTP_CALL_TIMEOUT},
        {"http://127.0.0.1:1/", &target, HTTP_CALL_CONNECT},
        {"http://no-such-host.invalid/", &target, HTTP_CALL_RESOLVE},
        {"ftp://127.0.0.1/", &target, HTTP_CALL_BAD_URL},
        {"no url at all :", &target, HTTP_CALL_BAD_URL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_call call = post_to(cases[i].url, NULL);
        call.target = cases[i].target;
        assert_int_equal(http_calls_start(calls, &call, NULL), OK);
        struct http_call_answer a = wait_for_one(calls);
        assert_int_equal(a.failure, cases[i].failure);
        assert_int_equal(a.status, 0);
        assert_true(a.error[0] != '\0');
        bool says_why = strstr(a.error, ": Connection refused") != NULL;
        assert_int_equal(says_why, a.failure == HTTP_CALL_CONNECT);
    }
    http_calls_free(calls);
    player_stop(&p);
}

UNIT_TEST(test_https_to_an_address_without_tls_is_named)
{
    char url[60];
    struct http_rig *rig = http_rig_new(http_rig_options());
    struct http_calls *calls = calls_new();
    snprintf(url, sizeof url, "https://127.0.0.1:%u/text", http_server_port(rig->server));
    struct http_call call = post_to(url, NULL);
    assert_int_equal(http_calls_start(calls, &call, NULL), OK);
    struct http_call_answer a = wait_for_one(calls);
    assert_int_equal(a.failure, HTTP_CALL_NO_TLS);
    assert_string_equal(a.error, "the server does not speak TLS at this address; use http:// "
                                 "instead of https://");
    http_calls_free(calls);
    http_rig_free(rig);
}

UNIT_TEST(test_a_long_answer_is_cut)
{
    char answer[400];
    int size = snprintf(answer, sizeof answer, "HTTP/1.1 200 Fine\r\nContent-Length: 300\r\n\r\n");
    memset(answer + size, 'x', 300);
    answer[size + 300] = '\0';
    const char *answers[] = {answer};
    struct player p;
    player_start(&p, 1, answers);
    struct http_calls *calls = calls_new();
    struct http_call call = post_to(p.url, NULL);
    assert_int_equal(http_calls_start(calls, &call, NULL), OK);
    struct http_call_answer a = wait_for_one(calls);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body.size, 100);
    assert_true(a.body_cut);
    http_calls_free(calls);
    player_stop(&p);
}

UNIT_TEST(test_an_answer_that_exceeds_the_limit_is_a_failure)
{
    enum { BYTES = 18 << 20 };
    char *answer = malloc(BYTES + 1);
    assert_non_null(answer);
    memset(answer, 'x', BYTES);
    answer[BYTES] = '\0';
    static const char head[] = "HTTP/1.1 200 Fine\r\n\r\n";
    memcpy(answer, head, strlen(head));
    const char *answers[] = {answer};
    struct player p;
    player_start(&p, 1, answers);
    struct http_calls *calls = calls_new();
    struct http_call call = post_to(p.url, NULL);
    assert_int_equal(http_calls_start(calls, &call, NULL), OK);
    struct http_call_answer a = wait_for_one(calls);
    assert_int_equal(a.failure, HTTP_CALL_BROKEN);
    assert_string_equal(a.error, "the response is too large");
    http_calls_free(calls);
    player_stop(&p);
    free(answer);
}

static void *
wake_soon(void *context)
{
    http_calls_wake(context);
    return NULL;
}

/* The player answers one request on a connection, and then holds it open. */
UNIT_TEST(test_ended_connections_are_not_used_again)
{
    static const char *const answers[] = {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
                                          "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb"};
    struct player p;
    player_start(&p, 2, answers);
    atomic_store(&p.holds, true);
    struct http_calls *calls = calls_new();
    http_calls_reset_given_up(calls);
    struct http_call call = post_to(p.url, &p);
    assert_int_equal(http_calls_start(calls, &call, NULL), OK);
    assert_true(bytes_equal_text(wait_for_one(calls).body, "a"));
    http_calls_renew(calls);
    assert_int_equal(http_calls_start(calls, &call, NULL), OK);
    assert_true(bytes_equal_text(wait_for_one(calls).body, "b"));
    http_calls_free(calls);
    player_stop(&p);
}

/* The body does not fit into the buffers of the sockets. */
UNIT_TEST(test_a_request_that_is_given_up_ends_with_a_reset)
{
    enum { BODY_BYTES = 32 << 20 };
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    char url[64], piece[65536];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", ntohs(address.sin_port));
    struct http_calls *calls = calls_new();
    http_calls_reset_given_up(calls);
    struct http_call call = post_to(url, calls);
    uint8_t *body = calloc(1, BODY_BYTES);
    call.body = bytes_of(body, BODY_BYTES);
    assert_int_equal(http_calls_start(calls, &call, NULL), OK);
    struct pollfd arrived = {.fd = listener, .events = POLLIN};
    while (poll(&arrived, 1, 0) == 0)
        http_calls_poll(calls, 10);
    int fd = accept(listener, NULL, NULL);
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    while (poll(&readable, 1, 0) == 0)
        http_calls_poll(calls, 10);
    http_calls_give_up(calls, calls);
    assert_int_equal(http_calls_count(calls), 0);
    ssize_t got;
    size_t sum = 0;
    while ((got = recv(fd, piece, sizeof piece, 0)) > 0)
        sum += (size_t)got;
    assert_int_equal(got, -1);
    assert_int_equal(errno, ECONNRESET);
    assert_in_range(sum, 0, BODY_BYTES - 1);
    close(fd);
    close(listener);
    free(body);
    http_calls_free(calls);
}

UNIT_TEST(test_waiting_ends_when_woken)
{
    struct http_calls *calls = calls_new();
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wake_soon, calls), 0);
    http_calls_poll(calls, 600 * 1000);
    pthread_join(thread, NULL);
    http_calls_free(calls);
}

UNIT_TEST(test_waiting_ends_when_a_descriptor_of_others_is_ready)
{
    int ends[2];
    struct http_calls *calls = calls_new();
    assert_int_equal(pipe(ends), 0);
    struct pollfd fds[] = {{.fd = ends[0], .events = POLLIN}, {.fd = ends[1], .events = POLLIN}};
    http_calls_poll_also(calls, fds, 2, 0);
    assert_int_equal(fds[0].revents, 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    http_calls_poll_also(calls, fds, 2, 600 * 1000);
    assert_int_equal(fds[0].revents, POLLIN);
    assert_int_equal(fds[1].revents, 0);
    fds[1].events = POLLOUT;
    http_calls_poll_also(calls, fds + 1, 1, 60000);
    assert_int_equal(fds[1].revents, POLLOUT);
    close(ends[0]);
    close(ends[1]);
    http_calls_free(calls);
}

UNIT_TEST(test_methods_without_a_body_have_none)
{
    static const char *const methods[] = {"GET", "HEAD", "DELETE", "PUT", "POST"};
    const char *answers[5];
    for (unsigned i = 0; i < 5; i++)
        answers[i] = "HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n";
    struct player p;
    player_start(&p, 5, answers);
    struct http_calls *calls = calls_new();
    for (unsigned i = 0; i < 5; i++) {
        struct http_call call = post_to(p.url, NULL);
        char line[40];
        call.method = methods[i];
        call.body = bytes_of(NULL, 0);
        assert_int_equal(http_calls_start(calls, &call, NULL), OK);
        assert_int_equal(wait_for_one(calls).status, 200);
        snprintf(line, sizeof line, "%s /path HTTP/1.1\r\n", methods[i]);
        assert_ptr_equal(strstr(p.seen, line), p.seen);
        const char *length = strstr(p.seen, "Content-Length: ");
        assert_true(length == NULL || strtoul(length + 16, NULL, 10) == 0);
    }
    http_calls_free(calls);
    player_stop(&p);
}

/* --- secrets ---------------------------------------------------------------------------------- */

static bool seen_in_freed;

static void
look_for_token(const void *memory, size_t size_bytes)
{
    seen_in_freed |= memmem(memory, size_bytes, "hush-token", 10) != NULL;
}

UNIT_TEST(test_no_answer_stays_in_memory_that_is_given_back)
{
    char answer[900];
    int size = snprintf(answer, sizeof answer, "HTTP/1.1 200 Fine\r\nContent-Length: 800\r\n\r\n");
    while (size < 840) /* long enough for its buffer to grow */
        size += snprintf(answer + size, sizeof answer - (size_t)size, "hush-token");
    const char *answers[] = {answer, answer};
    struct player p;
    player_start(&p, 2, answers);
    struct http_calls *calls = calls_new();
    struct http_call call = post_to(p.url, NULL);
    call.answer_bytes_max = 10000;
    seen_in_freed = false;
    mem_watch_frees(look_for_token);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(http_calls_start(calls, &call, NULL), OK);
        struct http_call_answer a = wait_for_one(calls);
        assert_int_equal(a.status, 200);
        assert_non_null(memmem(a.body.at, a.body.size, "hush-token", 10));
    }
    http_calls_free(calls);
    mem_watch_frees(NULL);
    assert_false(seen_in_freed);
    player_stop(&p);
}

UNIT_TEST(test_a_refusal_that_repeats_our_credentials_is_masked)
{
    static const char *const headers[] = {"Authorization: Bearer hush-token", NULL};
    static const char *const wanted[] = {"Location", NULL};
    const char *answers[] = {
        "HTTP/1.1 403 No\r\nLocation: /hush-token\r\nContent-Length: 26\r\n\r\n"
        "no hush-token, no hush-tok",
        "HTTP/1.1 200 Fine\r\nContent-Length: 10\r\n\r\nhush-token"};
    struct player p;
    player_start(&p, 2, answers);
    struct http_calls *calls = calls_new();
    struct http_call call = post_to(p.url, NULL);
    call.headers = headers;
    call.wanted = wanted;
    assert_int_equal(http_calls_start(calls, &call, NULL), OK);
    struct http_call_answer a = wait_for_one(calls);
    assert_true(bytes_equal_text(a.body, "no **********, no hush-tok"));
    assert_string_equal(a.wanted[0], "/hush-token");
    http_calls_mask_answer(calls, &a);
    assert_true(bytes_equal_text(a.body, "no **********, no ********"));
    assert_string_equal(a.wanted[0], "/**********");
    assert_int_equal(http_calls_start(calls, &call, NULL), OK);
    assert_true(bytes_equal_text(wait_for_one(calls).body, "hush-token"));
    http_calls_free(calls);
    player_stop(&p);
}

/* --- proxies ---------------------------------------------------------------------------------- */

/* Returns the player as a proxy; the password is "p@ss:word". */
static struct http_calls_target
through(const struct player *p, char url[100])
{
    unsigned port = (unsigned)strtoul(strrchr(p->url, ':') + 1, NULL, 10);
    snprintf(url, 100, "http://user:p%%40ss%%3Aword@127.0.0.1:%u", port);
    return (struct http_calls_target){
        .proxy_url = url, .connect_timeout_ms = 5000, .timeout_ms = 10000};
}

static const char proxy_line[] = "Proxy-Authorization: Basic dXNlcjpwQHNzOndvcmQ=\r\n";

static struct http_call_answer
ask_through(const struct http_calls_target *through_it, const char *url)
{
    static const char *const headers[] = {"Authorization: Bearer secret", NULL};
    struct http_calls *calls = calls_new();
    struct http_call call = post_to(url, NULL);
    call.target = through_it;
    call.headers = headers;
    assert_int_equal(http_calls_start(calls, &call, NULL), OK);
    struct http_call_answer answer = wait_for_one(calls);
    answer.body = bytes_of(NULL, 0); /* the calls free its memory */
    http_calls_free(calls);
    return answer;
}

UNIT_TEST(test_a_proxy_gets_the_user_and_password_of_its_url)
{
    const char *answers[] = {"HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n"};
    struct player p;
    char url[100];
    player_start(&p, 1, answers);
    struct http_calls_target target_ = through(&p, url);
    struct http_call_answer a = ask_through(&target_, "http://destination.invalid/path");
    assert_int_equal(a.failure, HTTP_CALL_ANSWERED);
    assert_int_equal(a.status, 200);
    assert_ptr_equal(strstr(p.seen, "POST http://destination.invalid/path HTTP/1.1\r\n"), p.seen);
    assert_non_null(strstr(p.seen, proxy_line));
    assert_non_null(strstr(p.seen, "\r\nAuthorization: Bearer secret\r\n"));
    player_stop(&p);
}

UNIT_TEST(test_a_proxy_is_asked_to_connect_and_sees_no_header_of_the_request)
{
    static const struct {
        const char *answer;
        unsigned status;
    } cases[] = {
        {"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n", 407},
        {"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", 403},
        {"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n", 503},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct player p;
        char url[100];
        player_start(&p, 1, &cases[i].answer);
        struct http_calls_target target_ = through(&p, url);
        struct http_call_answer a = ask_through(&target_, "https://destination.invalid/path");
        assert_int_equal(a.failure, HTTP_CALL_PROXY);
        assert_int_equal(a.status, 0);
        assert_int_equal(a.proxy_status, cases[i].status);
        assert_null(strstr(a.error, "word"));
        assert_ptr_equal(strstr(p.seen, "CONNECT destination.invalid:443 HTTP/1.1\r\n"), p.seen);
        assert_non_null(strstr(p.seen, proxy_line));
        assert_null(strstr(p.seen, "Bearer"));
        player_stop(&p);
    }
}

UNIT_TEST(test_hosts_of_no_proxy_are_reached_without_it)
{
    static const char *const lists[] = {"127.0.0.1", "other.example,127.0.0.1", "127.0.0.0/8", "*"};
    const char *answers[4];
    for (unsigned i = 0; i < 4; i++)
        answers[i] = "HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n";
    struct player p;
    player_start(&p, 4, answers);
    for (unsigned i = 0; i < 4; i++) {
        const struct http_calls_target target_ = {.proxy_url = "http://user:word@127.0.0.1:1",
                                                  .no_proxy = lists[i],
                                                  .connect_timeout_ms = 5000,
                                                  .timeout_ms = 10000};
        assert_int_equal(ask_through(&target_, p.url).status, 200);
        assert_ptr_equal(strstr(p.seen, "POST /path HTTP/1.1\r\n"), p.seen);
        assert_null(strstr(p.seen, "Proxy-"));
    }
    player_stop(&p);
}

UNIT_TEST(test_the_environment_counts_where_no_proxy_is_given_and_only_there)
{
    const char *answers[3];
    for (unsigned i = 0; i < 3; i++)
        answers[i] = "HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n";
    struct player p;
    char url[100];
    player_start(&p, 3, answers);
    struct http_calls_target given = through(&p, url), not_given = given, none = given;
    not_given.proxy_url = NULL;
    none.proxy_url = "";
    unsetenv("no_proxy");
    unsetenv("NO_PROXY");
    setenv("http_proxy", url, 1);
    assert_int_equal(ask_through(&not_given, "http://destination.invalid/").status, 200);
    assert_non_null(strstr(p.seen, proxy_line));
    assert_int_equal(ask_through(&none, "http://destination.invalid/").failure, HTTP_CALL_RESOLVE);
    setenv("no_proxy", "destination.invalid", 1);
    assert_int_equal(ask_through(&not_given, "http://destination.invalid/").failure,
                     HTTP_CALL_RESOLVE);
    assert_int_equal(ask_through(&given, "http://destination.invalid/").status, 200);
    unsetenv("no_proxy");
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    assert_int_equal(ask_through(&given, "http://destination.invalid/").status, 200);
    unsetenv("http_proxy");
    player_stop(&p);
}

UNIT_TEST(test_no_error_shows_a_proxys_password)
{
    static const char *const urls[] = {
        "http://user:hush@no-such-host.invalid:3128",
        "http://user:hush@127.0.0.1:1",
        "http://user:hush@[half",
        "strange://user:hush@127.0.0.1:1",
        "user:hush@ho st",
    };
    const struct http_calls_target target_ = {.connect_timeout_ms = 5000, .timeout_ms = 10000};
    unsetenv("no_proxy");
    unsetenv("NO_PROXY");
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        setenv("http_proxy", urls[i], 1);
        struct http_call_answer a = ask_through(&target_, "http://destination.invalid/");
        assert_int_not_equal(a.failure, HTTP_CALL_ANSWERED);
        assert_true(a.error[0] != '\0');
        assert_null(strstr(a.error, "hush"));
    }
    unsetenv("http_proxy");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_is_given_as_it_came),
        cmocka_unit_test(test_a_date_in_retry_after_is_one_of_the_clock_that_the_answer_shows),
        cmocka_unit_test(test_a_slow_answer_holds_up_no_other),
        cmocka_unit_test(test_a_slow_look_up_whose_time_is_over_does_not_block),
        cmocka_unit_test(test_giving_up_a_slow_look_up_does_not_block),
        cmocka_unit_test(test_with_a_file_of_authorities_those_of_the_system_are_not_trusted),
        cmocka_unit_test(test_files_of_certificates_that_cannot_be_read_are_named),
        cmocka_unit_test(test_causes_of_a_missing_answer_are_distinguished),
        cmocka_unit_test(test_https_to_an_address_without_tls_is_named),
        cmocka_unit_test(test_a_long_answer_is_cut),
        cmocka_unit_test(test_an_answer_that_exceeds_the_limit_is_a_failure),
        cmocka_unit_test(test_ended_connections_are_not_used_again),
        cmocka_unit_test(test_a_request_that_is_given_up_ends_with_a_reset),
        cmocka_unit_test(test_waiting_ends_when_woken),
        cmocka_unit_test(test_waiting_ends_when_a_descriptor_of_others_is_ready),
        cmocka_unit_test(test_methods_without_a_body_have_none),
        cmocka_unit_test(test_no_answer_stays_in_memory_that_is_given_back),
        cmocka_unit_test(test_a_refusal_that_repeats_our_credentials_is_masked),
        cmocka_unit_test(test_a_proxy_gets_the_user_and_password_of_its_url),
        cmocka_unit_test(test_a_proxy_is_asked_to_connect_and_sees_no_header_of_the_request),
        cmocka_unit_test(test_hosts_of_no_proxy_are_reached_without_it),
        cmocka_unit_test(test_the_environment_counts_where_no_proxy_is_given_and_only_there),
        cmocka_unit_test(test_no_error_shows_a_proxys_password),
    };
    lock_init(&names_lock, LOCK_RANK_LEAF);
    cond_init(&names_news);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
