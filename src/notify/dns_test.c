/* Look-ups through c-ares, with a name server in the test: what it says becomes records, or
 * nothing, or a failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "notify/dns.h"

enum { MESSAGE_BYTES = 32768, ASKED_BYTES = 1024 };
enum { TYPE_A = 1, TYPE_NS = 2, TYPE_CNAME = 5, TYPE_MX = 15, TYPE_AAAA = 28, TYPE_SRV = 33 };
enum { NO_ERROR = 0, SERVER_FAILURE = 2, NO_NAME = 3 };

static struct budget budget;
static struct dns *dns;
static struct why why;

/* The name server. */
static struct {
    int udp, tcp;
    int connection; /* of TCP; -1: none */
    char address[32];
    bool truncates;            /* over UDP */
    char asked[ASKED_BYTES];   /* names, each with a blank */
    const char *fails, *knows; /* names: a failure of the server; one that has records */
    void (*records)(void);     /* puts them */
    uint8_t message[MESSAGE_BYTES];
    size_t size;
    uint16_t count;
} zone;

/* --- the name server -------------------------------------------------------------------------- */

static void
put_u16(unsigned v)
{
    zone.message[zone.size++] = (uint8_t)(v >> 8);
    zone.message[zone.size++] = (uint8_t)v;
}

static void
put_name(const char *name)
{
    while (*name != '\0') {
        size_t size = strcspn(name, ".");
        zone.message[zone.size++] = (uint8_t)size;
        memcpy(zone.message + zone.size, name, size);
        zone.size += size;
        name += size + (name[size] == '.');
    }
    zone.message[zone.size++] = 0;
}

/* A record of the name that was asked for, up to its data; returns where its length stands. */
static size_t
begin_record(unsigned type)
{
    put_u16(0xc00c);
    put_u16(type);
    put_u16(1);
    put_u16(0);
    put_u16(60);
    put_u16(0);
    zone.count++;
    return zone.size - 2;
}

static void
end_record(size_t at)
{
    size_t size = zone.size - at - 2;
    zone.message[at] = (uint8_t)(size >> 8);
    zone.message[at + 1] = (uint8_t)size;
}

static void
put_address(const char *text)
{
    bool is_v6 = strchr(text, ':') != NULL;
    size_t at = begin_record(is_v6 ? TYPE_AAAA : TYPE_A);
    inet_pton(is_v6 ? AF_INET6 : AF_INET, text, zone.message + zone.size);
    zone.size += is_v6 ? 16 : 4;
    end_record(at);
}

static void
put_target(unsigned type, const char *name, unsigned port)
{
    size_t at = begin_record(type);
    if (type == TYPE_MX || type == TYPE_SRV) put_u16(10);
    if (type == TYPE_SRV) put_u16(20);
    if (type == TYPE_SRV) put_u16(port);
    put_name(name);
    end_record(at);
}

/* The name of a question, as text; returns where it ends. */
static size_t
read_name(const uint8_t *question, char *to)
{
    size_t at = 12;
    for (; question[at] != 0; at += 1u + question[at]) {
        if (at > 12) *to++ = '.';
        memcpy(to, question + at + 1, question[at]);
        to += question[at];
    }
    *to = '\0';
    return at + 1;
}

static void
make_answer(const uint8_t *question, bool is_udp)
{
    char name[512];
    size_t end = read_name(question, name) + 4, at = strlen(zone.asked);
    if (is_udp) snprintf(zone.asked + at, sizeof zone.asked - at, "%s ", name);
    bool fails = zone.fails != NULL && strcmp(zone.fails, name) == 0;
    bool knows = zone.knows != NULL && strcmp(zone.knows, name) == 0;
    bool cuts = is_udp && zone.truncates;
    memcpy(zone.message, question, end);
    zone.size = end;
    zone.count = 0;
    if (knows && !cuts && zone.records != NULL) zone.records();
    zone.message[2] = cuts ? 0x83 : 0x81;
    zone.message[3] = 0x80 | (fails ? SERVER_FAILURE : knows ? NO_ERROR : NO_NAME);
    zone.message[6] = (uint8_t)(zone.count >> 8);
    zone.message[7] = (uint8_t)zone.count;
    memset(zone.message + 8, 0, 4); /* no other sections */
}

static void
serve_udp(void)
{
    uint8_t question[MESSAGE_BYTES];
    struct sockaddr_in from;
    socklen_t from_size = sizeof from;
    ssize_t got = recvfrom(zone.udp, question, sizeof question, MSG_DONTWAIT,
                           (struct sockaddr *)&from, &from_size);
    if (got <= 0) return;
    make_answer(question, true);
    assert_int_equal(
        sendto(zone.udp, zone.message, zone.size, 0, (struct sockaddr *)&from, from_size),
        zone.size);
}

/* One question for each connection; it comes in one piece. */
static void
serve_tcp(void)
{
    uint8_t question[MESSAGE_BYTES], size[2];
    ssize_t got = recv(zone.connection, question, sizeof question, 0);
    assert_true(got > 2);
    make_answer(question + 2, false);
    size[0] = (uint8_t)(zone.size >> 8);
    size[1] = (uint8_t)zone.size;
    assert_int_equal(send(zone.connection, size, 2, MSG_NOSIGNAL), 2);
    assert_int_equal(send(zone.connection, zone.message, zone.size, MSG_NOSIGNAL), zone.size);
    close(zone.connection);
    zone.connection = -1;
}

static void
start_server(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    memset(&zone, 0, sizeof zone);
    zone.connection = -1;
    zone.tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(zone.tcp, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(zone.tcp, 4), 0);
    assert_int_equal(getsockname(zone.tcp, (struct sockaddr *)&at, &size), 0);
    zone.udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(zone.udp, (struct sockaddr *)&at, size), 0);
    snprintf(zone.address, sizeof zone.address, "127.0.0.1:%u", ntohs(at.sin_port));
}

/* --- questions -------------------------------------------------------------------------------- */

static int
setup(void **state)
{
    (void)state;
    setenv("LOCALDOMAIN", "one.test two.test", 1);
    unsetenv("RES_OPTIONS");
    budget_init(&budget, "test", 0, NULL);
    start_server();
    assert_int_equal(dns_new(&budget, zone.address, &dns, &why), OK);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    dns_free(dns);
    dns = NULL;
    assert_int_equal(budget_used(&budget), 0);
    close(zone.udp);
    close(zone.tcp);
    return 0;
}

/* A turn of the loop that polls. */
static void
turn(int wait_ms)
{
    struct pollfd fds[DNS_FDS_MAX + 3];
    uint32_t count = dns_fds(dns, fds, &wait_ms);
    fds[count] = (struct pollfd){.fd = zone.udp, .events = POLLIN};
    fds[count + 1] = (struct pollfd){.fd = zone.tcp, .events = POLLIN};
    fds[count + 2] = (struct pollfd){.fd = zone.connection, .events = POLLIN};
    assert_true(poll(fds, count + 3, wait_ms) >= 0);
    if ((fds[count].revents & POLLIN) != 0) serve_udp();
    if ((fds[count + 1].revents & POLLIN) != 0) {
        zone.connection = accept4(zone.tcp, NULL, NULL, SOCK_CLOEXEC);
        assert_true(zone.connection >= 0);
    }
    if ((fds[count + 2].revents & POLLIN) != 0) serve_tcp();
    dns_go_on(dns, fds, count);
}

static void
start_question(const char *name, enum dns_record type, void *context)
{
    if (dns_ask(dns, name, type, context, &why)) fail_msg("%s", why.text);
}

static struct dns_answer
end_question(void)
{
    struct dns_answer answer;
    while (!dns_done(dns, &answer)) {
        turn(10000);
    }
    return answer;
}

/* The records of a name, TARGET:PORT, each with a blank. */
static void
expect_records(const char *name, enum dns_record type, const char *want)
{
    char got[2048] = "";
    start_question(name, type, &zone);
    struct dns_answer answer = end_question();
    assert_ptr_equal(answer.context, &zone);
    if (answer.e) fail_msg("%s", answer.error);
    for (uint32_t i = 0; i < answer.count; i++) {
        size_t at = strlen(got);
        snprintf(got + at, sizeof got - at, "%s:%u ", answer.records[i].target,
                 answer.records[i].port);
    }
    assert_string_equal(got, want);
}

static void
expect_asked(const char *want)
{
    assert_string_equal(zone.asked, want);
    zone.asked[0] = '\0';
}

static void
put_addresses(void)
{
    put_address("10.0.0.1");
    put_address("10.0.0.2");
}

static void
put_addresses_6(void)
{
    put_address("fd00::1");
}

static void
put_services(void)
{
    put_target(TYPE_SRV, "a.example", 9093);
    put_target(TYPE_SRV, "b.example", 9094);
}

static void
put_mails(void)
{
    put_target(TYPE_MX, "mail.example", 0);
}

static void
put_servers(void)
{
    put_target(TYPE_NS, "ns1.example", 0);
    put_target(TYPE_NS, "ns2.example", 0);
}

static void
put_alias(void)
{
    put_target(TYPE_CNAME, "other.example", 0);
}

static void
test_each_kind_of_record_is_read(void **state)
{
    (void)state;
    zone.knows = "am.example";
    zone.records = put_addresses;
    expect_records("am.example.", DNS_A, "10.0.0.1:0 10.0.0.2:0 ");
    zone.records = put_addresses_6;
    expect_records("am.example.", DNS_AAAA, "fd00::1:0 ");
    zone.records = put_services;
    expect_records("am.example.", DNS_SRV, "a.example:9093 b.example:9094 ");
    zone.records = put_mails;
    expect_records("am.example.", DNS_MX, "mail.example:0 ");
    zone.records = put_servers;
    expect_records("am.example.", DNS_NS, "ns1.example:0 ns2.example:0 ");
}

static void
test_a_name_without_such_records_has_none(void **state)
{
    (void)state;
    zone.knows = "am.example";
    expect_records("am.example.", DNS_A, "");
    zone.records = put_alias;
    expect_records("am.example.", DNS_A, "");
}

static void
test_domains_are_tried_in_the_order_of_the_resolver(void **state)
{
    (void)state;
    zone.records = put_addresses;
    zone.knows = "am.two.test";
    expect_records("am", DNS_A, "10.0.0.1:0 10.0.0.2:0 ");
    expect_asked("am.one.test am.two.test ");
    zone.knows = "am.x.one.test";
    expect_records("am.x", DNS_A, "10.0.0.1:0 10.0.0.2:0 ");
    expect_asked("am.x am.x.one.test ");
    expect_records("am.x.", DNS_A, "");
    expect_asked("am.x ");
    zone.knows = NULL;
    expect_records("am", DNS_A, "");
    expect_asked("am.one.test am.two.test am ");
}

static void
test_a_server_that_fails_leaves_open_whether_a_name_exists(void **state)
{
    (void)state;
    zone.fails = "am.one.test";
    start_question("am", DNS_A, NULL);
    struct dns_answer answer = end_question();
    assert_int_equal(answer.e, ERR_AGAIN);
    assert_int_equal(answer.count, 0);
    if (strstr(answer.error, "all answer that they failed") == NULL) fail_msg("%s", answer.error);
    zone.knows = "am.two.test"; /* then it does not matter */
    zone.records = put_addresses;
    expect_records("am", DNS_A, "10.0.0.1:0 10.0.0.2:0 ");
}

static void
test_without_a_server_a_look_up_fails(void **state)
{
    (void)state;
    close(zone.udp);
    zone.udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    start_question("am.example.", DNS_A, NULL);
    struct dns_answer answer = end_question();
    assert_int_equal(answer.e, ERR_AGAIN);
}

static void
test_what_does_not_fit_is_asked_for_once_more_over_tcp(void **state)
{
    (void)state;
    zone.truncates = true;
    zone.knows = "am.example";
    zone.records = put_addresses;
    expect_records("am.example.", DNS_A, "10.0.0.1:0 10.0.0.2:0 ");
}

static unsigned many;

static void
put_many(void)
{
    for (unsigned i = 0; i < many; i++) {
        put_address("10.0.0.1");
    }
}

static void
test_of_more_records_than_fit_the_first_are_given_and_that_there_are_more_is_said(void **state)
{
    (void)state;
    zone.truncates = true;
    zone.knows = "am.example";
    zone.records = put_many;
    for (many = DNS_RECORDS_MAX; many <= DNS_RECORDS_MAX + 1; many++) {
        start_question("am.example.", DNS_A, &zone);
        struct dns_answer answer = end_question();
        assert_int_equal(answer.e, OK);
        assert_int_equal(answer.count, DNS_RECORDS_MAX);
        assert_int_equal(answer.is_cut, many > DNS_RECORDS_MAX);
    }
}

static void
test_a_name_that_is_none_fails(void **state)
{
    (void)state;
    start_question("a..b.", DNS_A, NULL);
    assert_int_equal(end_question().e, ERR_AGAIN);
    char name[400];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    start_question(name, DNS_A, NULL);
    assert_int_equal(end_question().e, ERR_AGAIN);
}

static void
test_several_questions_are_under_way_at_a_time_and_one_may_be_given_up(void **state)
{
    (void)state;
    int a, b;
    struct dns_answer answer;
    zone.knows = "am.example";
    zone.records = put_addresses;
    start_question("am.example.", DNS_A, &a);
    start_question("am.example.", DNS_A, &b);
    dns_give_up(dns, &a);
    answer = end_question();
    assert_ptr_equal(answer.context, &b);
    assert_int_equal(answer.count, 2);
    expect_records("am.example.", DNS_A, "10.0.0.1:0 10.0.0.2:0 ");
    start_question("am.example.", DNS_A, &a); /* and is left under way */
}

static void
test_each_allocation_may_fail(void **state)
{
    (void)state;
    zone.knows = "am.example";
    zone.records = put_addresses;
    for (uint64_t nth = 1;; nth++) {
        struct dns_answer answer = {.e = OK};
        dns_free(dns);
        dns = NULL;
        mem_fail_nth(nth, false);
        enum err e = dns_new(&budget, zone.address, &dns, &why);
        if (e == OK) e = dns_ask(dns, "am.example.", DNS_A, NULL, &why);
        if (e == OK) {
            answer = end_question();
            e = answer.e;
        }
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e, fired ? answer.e != OK ? answer.e : ERR_NOMEM : OK);
        if (!fired) break;
    }
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_each_kind_of_record_is_read),
        TEST(test_a_name_without_such_records_has_none),
        TEST(test_domains_are_tried_in_the_order_of_the_resolver),
        TEST(test_a_server_that_fails_leaves_open_whether_a_name_exists),
        TEST(test_without_a_server_a_look_up_fails),
        TEST(test_what_does_not_fit_is_asked_for_once_more_over_tcp),
        TEST(test_of_more_records_than_fit_the_first_are_given_and_that_there_are_more_is_said),
        TEST(test_a_name_that_is_none_fails),
        TEST(test_several_questions_are_under_way_at_a_time_and_one_may_be_given_up),
        TEST(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
