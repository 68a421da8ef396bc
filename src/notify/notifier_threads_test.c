/*
 * notifier_threads_test.c - a notifier as in a server: one thread steps, others send, show and
 * reload meanwhile. Members are real: one that accepts everything, and one where nothing listens.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/notify/notify_rig.h"

enum { ROUNDS = 300, RELOADS = 60 };

static struct notify_rig rig;
static atomic_bool is_over;
static int listener;

/* Answers one request for each connection, and looks only for the request's end. */
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

static void *
run_steps(void *context)
{
    (void)context;
    while (!is_over)
        notifier_step(rig.notifier, 100);
    return NULL;
}

static void *
run_sends(void *context)
{
    for (int i = 0; i < ROUNDS; i++) {
        char name[16];
        snprintf(name, sizeof name, "%s%d", (const char *)context, i % 50);
        notify_rig_fire(&rig, name, i, 0);
    }
    return NULL;
}

static void *
run_shows(void *context)
{
    struct metric_collector collector = {.collect = notifier_collect, .context = rig.notifier};
    (void)context;
    metric_register_collector(&collector);
    while (!is_over) {
        struct buf text;
        struct json json;
        buf_init(&text, NULL, 16 << 20);
        json_init(&json, &text);
        json_object_open(&json);
        notifier_print(rig.notifier, &json);
        json_object_close(&json);
        metric_collect(&text);
        (void)notifier_is_idle(rig.notifier);
        notifier_wake(rig.notifier);
        buf_fini(&text);
    }
    metric_unregister(&collector.link);
    return NULL;
}

static void
reload(int number)
{
    static char address[32];
    struct sockaddr_in at;
    socklen_t size = sizeof at;
    struct notifier_change *change;
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
    snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(at.sin_port));
    struct alertmanager_settings *a = notify_rig_add(&rig);
    notify_rig_target(&rig, address);
    if (number % 3 > 0) notify_rig_target(&rig, "127.0.0.1:1"); /* a port without a listener */
    a->http.proxy_url = "";
    a->hash = (uint64_t)number / 2;
    assert_int_equal(notify_rig_prepare(&rig, &change), OK);
    if (number % 7 == 6)
        notifier_abandon(change);
    else
        notifier_commit(change);
}

UNIT_TEST(test_threads_send_show_and_reload_while_another_steps)
{
    static char names[][8] = {"One", "Two"};
    void *(*const threads[])(void *context) = {run_sends, run_sends, serve, run_steps, run_shows};
    pthread_t started[5];
    budget_init(&rig.memory, "test", 0, NULL);
    rig.env = env_real();
    rig.limits = (struct notifier_limits){100, 20, 0};
    const struct notifier_options options = {rig.env, &rig.memory, "http://us/", NULL};
    assert_int_equal(notifier_new(&options, &rig.notifier, NULL), OK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 16), 0);
    notify_rig_begin_settings(&rig);
    reload(0);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(pthread_create(&started[i], NULL, threads[i], names[i % 2]), 0);
    for (int i = 1; i < RELOADS; i++) {
        reload(i);
        poll(NULL, 0, 2); /* lets the others run */
    }
    pthread_join(started[0], NULL);
    pthread_join(started[1], NULL);
    reload(3); /* only the one that listens */
    while (!notifier_is_idle(rig.notifier))
        poll(NULL, 0, 1);
    is_over = true;
    for (unsigned i = 2; i < 5; i++)
        pthread_join(started[i], NULL);
    assert_int_equal(rig.notifier->config->items[0]->members.count, 1);
    notify_rig_fini(&rig);
    close(listener);
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
