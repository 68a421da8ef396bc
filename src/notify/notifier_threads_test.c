/*
 * A notifier as a server has it: a thread that steps, others that send, show and reload meanwhile.
 * Members are the network's: one that takes everything, and one where nobody listens.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/metric.h"
#include "notify/notify_private.h"
#include "notify/notify_testing.h"

enum { SENDERS = 2, ROUNDS = 300, RELOADS = 60 };

static struct budget budget;
static struct notifier *notifier;
static atomic_bool is_over;
static int listener;
static char address[32];

/* --- a member --------------------------------------------------------------------------------- */

/* Answers one request a connection, and does not look at it but for its end. */
static void *
serve(void *context)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    (void)context;
    while (!is_over) {
        struct pollfd polled = {.fd = listener, .events = POLLIN};
        if (poll(&polled, 1, 20) != 1) continue;
        int fd = accept(listener, NULL, NULL);
        char text[1 << 16];
        size_t size = 0;
        bool is_whole = false;
        while (fd >= 0 && !is_whole) {
            ssize_t got = recv(fd, text + size, sizeof text - 1 - size, 0);
            if (got <= 0) break;
            size += (size_t)got;
            text[size] = '\0';
            const char *end = strstr(text, "\r\n\r\n"), *length = strstr(text, "Content-Length: ");
            is_whole = end != NULL && length != NULL &&
                       size >= (size_t)(end + 4 - text) + strtoul(length + 16, NULL, 10);
        }
        if (is_whole) (void)send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
        close(fd);
    }
    return NULL;
}

static void
start_listening(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
    snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(at.sin_port));
}

/* --- what threads do -------------------------------------------------------------------------- */

static void *
run_steps(void *context)
{
    (void)context;
    while (!is_over) {
        notifier_step(notifier, 100);
    }
    return NULL;
}

static void *
run_sends(void *context)
{
    const char *name = context;
    struct buf labels;
    buf_init(&labels, NULL, 1 << 16);
    for (int i = 0; i < ROUNDS; i++) {
        char number[16];
        int64_t now_ms = env_realtime_ms(env_real());
        struct alert_notice notice = {.starts_ns = i * NS_PER_MS,
                                      .ends_ns = now_ms * NS_PER_MS + 60 * NS_PER_S};
        snprintf(number, sizeof number, "%d", i % 50);
        buf_clear(&labels);
        put_alert_labels(&labels, name, (const char *[]){"n", number, NULL});
        notice.labels = buf_bytes(&labels);
        notifier_send(notifier, &notice, 1);
    }
    buf_fini(&labels);
    return NULL;
}

static void *
run_shows(void *context)
{
    struct metric_collector collector = {.collect = notifier_collect, .context = notifier};
    (void)context;
    metric_register_collector(&collector);
    while (!is_over) {
        struct buf text;
        struct json json;
        buf_init(&text, NULL, 16 << 20);
        json_init(&json, &text);
        json_object_open(&json);
        notifier_print(notifier, &json);
        json_object_close(&json);
        buf_clear(&text);
        metric_collect(&text);
        (void)notifier_is_idle(notifier);
        notifier_wake(notifier);
        buf_fini(&text);
    }
    metric_unregister(&collector.link);
    return NULL;
}

static void
reload(int number)
{
    const struct notifier_limits limits = {100, 20};
    struct notifier_change *change;
    struct arena *arena = mem_new(NULL, sizeof *arena);
    arena_init(arena, NULL, 0, 0);
    struct alertmanager_settings *a = arena_new(arena, sizeof *a);
    struct static_members *members = arena_new(arena, sizeof *members);
    const char **targets = arena_new(arena, 2 * sizeof *targets);
    targets[0] = address;
    targets[1] = "127.0.0.1:1"; /* nobody listens there */
    members->targets = (struct text_list){targets, number % 3 == 0 ? 1 : 2};
    *a = (struct alertmanager_settings){
        .timeout_ms = 10000,
        .http.proxy_url = "",
        .static_configs = members,
        .static_count = 1,
        .hash = (uint64_t)number / 2,
    };
    struct alerting alerting = {.arena = arena, .items = a, .count = 1};
    assert_int_equal(notifier_prepare(notifier, &alerting, NULL, &limits, &change, NULL), OK);
    if (number % 7 == 6)
        notifier_abandon(change);
    else
        notifier_commit(change);
}

static void
test_threads_send_show_and_reload_while_another_steps(void **state)
{
    (void)state;
    const struct notifier_options options = {env_real(), &budget, "http://us/", NULL};
    static char names[SENDERS][8] = {"One", "Two"};
    pthread_t server, stepper, shower, senders[SENDERS];
    budget_init(&budget, "test", 0, NULL);
    start_listening();
    assert_int_equal(notifier_new(&options, &notifier, NULL), OK);
    reload(0);
    assert_int_equal(pthread_create(&server, NULL, serve, NULL), 0);
    assert_int_equal(pthread_create(&stepper, NULL, run_steps, NULL), 0);
    assert_int_equal(pthread_create(&shower, NULL, run_shows, NULL), 0);
    for (int i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_create(&senders[i], NULL, run_sends, names[i]), 0);
    }
    for (int i = 1; i < RELOADS; i++) {
        reload(i);
        poll(NULL, 0, 2); /* the others have a turn */
    }
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(senders[i], NULL);
    }
    reload(3); /* only the one that listens */
    while (!notifier_is_idle(notifier)) {
        poll(NULL, 0, 1);
    }
    is_over = true;
    pthread_join(stepper, NULL);
    pthread_join(shower, NULL);
    pthread_join(server, NULL);
    assert_int_equal(notifier->plan->items[0]->members.count, 1);
    notifier_free(notifier);
    close(listener);
    assert_int_equal(budget_used(&budget), 0);
}

int
main(void)
{
    log_to_fd(-1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_send_show_and_reload_while_another_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
