/* Look-ups through c-ares, with a name server in the test: what it says becomes records, or
 * nothing, or a failure. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "notify/dns.h"
#include "notify/notify_testing.h"

enum { MESSAGE_BYTES = 32768, ASKED_BYTES = 1024 };
enum { MX_NUMBER = 15, SRV_NUMBER = 33 };
#define A     "1="
#define NS    "2="
#define CNAME "5="
#define MX    "15="
#define AAAA  "28="
#define SRV   "33="
enum { NO_ERROR = 0, SERVER_FAILURE = 2, NO_NAME = 3 };

static struct budget budget;
static struct dns *dns;
static struct why why;

/* The name server. */
static struct {
    int udp, tcp;
    int connection; /* of TCP; -1: none */
    char address[32];
    char asked[ASKED_BYTES]; /* names, each with a blank */
    /* What it answers: NUMBER_OF_TYPE=TARGET, or SRV TARGET=PORT, with blanks between. */
    const char *knows, *records; /* of this name */
    const char *fails;           /* for this name */
    bool truncates;              /* over UDP */
    uint8_t message[MESSAGE_BYTES];
    size_t size;
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

/* Records of the name that was asked for. Returns how many. */
static unsigned
put_records(const char *at)
{
    unsigned count = 0, type, port = 0;
    char target[64];
    for (int size; sscanf(at, " %u=%63[^= ]%n", &type, target, &size) == 2; count++) {
        at += size;
        if (sscanf(at, "=%u%n", &port, &size) == 1) at += size;
        const unsigned head[] = {0xc00c, type, 1, 0, 60, 0, 10, 20, port};
        unsigned head_count = type == SRV_NUMBER ? 9 : type == MX_NUMBER ? 7 : 6;
        size_t begin = zone.size + 12;
        for (unsigned i = 0; i < head_count; i++) {
            put_u16(head[i]);
        }
        if (inet_pton(AF_INET, target, zone.message + zone.size) == 1)
            zone.size += 4;
        else if (inet_pton(AF_INET6, target, zone.message + zone.size) == 1)
            zone.size += 16;
        else
            put_name(target);
        zone.message[begin - 1] = (uint8_t)(zone.size - begin);
    }
    return count;
}

static void
make_answer(const uint8_t *question, bool is_udp)
{
    char name[512] = "";
    size_t end = 12;
    for (; question[end] != 0; end += 1u + question[end]) {
        sprintf(name + strlen(name), "%s%.*s", end > 12 ? "." : "", question[end],
                (const char *)question + end + 1);
    }
    end += 5;
    if (is_udp) strcat(strcat(zone.asked, name), " ");
    bool fails = zone.fails != NULL && strcmp(zone.fails, name) == 0;
    bool knows = zone.knows != NULL && strcmp(zone.knows, name) == 0;
    bool cuts = is_udp && zone.truncates;
    memcpy(zone.message, question, end);
    zone.size = end;
    unsigned count = knows && !cuts ? put_records(zone.records) : 0;
    zone.message[2] = cuts ? 0x83 : 0x81;
    zone.message[3] = 0x80 | (fails ? SERVER_FAILURE : knows ? NO_ERROR : NO_NAME);
    zone.message[6] = (uint8_t)(count >> 8);
    zone.message[7] = (uint8_t)count;
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

/* --- tests ------------------------------------------------------------------------------------ */

#define TWO A "10.0.0.1 " A "10.0.0.2"

static void
test_names_are_looked_up(void **state)
{
    static const struct {
        const char *claim;
        const char *knows, *records, *fails;
        const char *name;
        enum dns_record type;
        const char *want, *asked; /* records, or the failure; names, NULL: any */
    } cases[] = {
        {"A", "am.example", TWO, "", "am.example.", DNS_A, "10.0.0.1:0 10.0.0.2:0 ", NULL},
        {"AAAA", "am.example", AAAA "fd00::1", "", "am.example.", DNS_AAAA, "fd00::1:0 ", NULL},
        {"services", "am.example", SRV "a.example=9093 " SRV "b.example=9094", "", "am.example.",
         DNS_SRV, "a.example:9093 b.example:9094 ", NULL},
        {"MX", "am.example", MX "mail.example", "", "am.example.", DNS_MX, "mail.example:0 ", NULL},
        {"NS", "am.example", NS "a.example " NS "b.example", "", "am.example.", DNS_NS,
         "a.example:0 b.example:0 ", NULL},
        {"a name without records has none", "am.example", "", "", "am.example.", DNS_A, "", NULL},
        {"an alias is no address", "am.example", CNAME "b.example", "", "am.example.", DNS_A, "",
         NULL},
        {"domains are tried in the order of the resolver", "am.two.test", TWO, "", "am", DNS_A,
         "10.0.0.1:0 10.0.0.2:0 ", "am.one.test am.two.test "},
        {"a name with a dot is tried first without a domain", "am.x.one.test", TWO, "", "am.x",
         DNS_A, "10.0.0.1:0 10.0.0.2:0 ", "am.x am.x.one.test "},
        {"a name with a dot at its end is tried as it is", "am.x.one.test", TWO, "", "am.x.", DNS_A,
         "", "am.x "},
        {"a name may exist nowhere", "", TWO, "", "am", DNS_A, "", "am.one.test am.two.test am "},
        {"a server that fails leaves open whether a name exists", "", "", "am.one.test", "am",
         DNS_A, "no name server can be reached, or all answer that they failed", NULL},
        {"which does not matter if another name does", "am.two.test", TWO, "am.one.test", "am",
         DNS_A, "10.0.0.1:0 10.0.0.2:0 ", NULL},
        {"an invalid name fails", "", "", "", "a..b.", DNS_A, "Misformatted domain name", NULL},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        char got[512] = "";
        zone.knows = cases[i].knows;
        zone.records = cases[i].records;
        zone.fails = cases[i].fails;
        zone.asked[0] = '\0';
        start_question(cases[i].name, cases[i].type, &zone);
        struct dns_answer answer = end_question();
        assert_ptr_equal(answer.context, &zone);
        if (answer.e) {
            assert_int_equal(answer.e, ERR_AGAIN);
            assert_int_equal(answer.count, 0);
            strcpy(got, answer.error);
        }
        for (uint32_t k = 0; k < answer.count; k++) {
            sprintf(got + strlen(got), "%s:%u ", answer.records[k].target, answer.records[k].port);
        }
        if (strcmp(got, cases[i].want) != 0) fail_msg("%s: %s", cases[i].claim, got);
        if (cases[i].asked == NULL || strcmp(zone.asked, cases[i].asked) == 0) continue;
        fail_msg("%s: asked for %s", cases[i].claim, zone.asked);
    }
}

static void
test_without_a_server_a_look_up_fails(void **state)
{
    (void)state;
    close(zone.udp);
    zone.udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    start_question("am.example.", DNS_A, NULL);
    assert_int_equal(end_question().e, ERR_AGAIN);
}

static void
test_a_name_that_is_too_long_fails(void **state)
{
    char name[400];
    (void)state;
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    start_question(name, DNS_A, NULL);
    assert_int_equal(end_question().e, ERR_AGAIN);
}

/* Which are asked for over TCP, as they do not fit elsewhere. */
static void
test_of_too_many_records_the_first_are_given_and_that_there_are_more_is_said(void **state)
{
    static char text[(DNS_RECORDS_MAX + 1) * 11 + 1];
    (void)state;
    zone.truncates = true;
    zone.knows = "am.example";
    zone.records = text;
    for (unsigned i = 1; i <= DNS_RECORDS_MAX + 1; i++) {
        strcat(text, A "10.0.0.1 ");
        if (i > 1 && i < DNS_RECORDS_MAX) continue;
        start_question("am.example.", DNS_A, &zone);
        struct dns_answer answer = end_question();
        assert_int_equal(answer.e, OK);
        assert_int_equal(answer.count, i > DNS_RECORDS_MAX ? DNS_RECORDS_MAX : i);
        assert_int_equal(answer.is_cut, i > DNS_RECORDS_MAX);
    }
}

static void
test_several_questions_are_under_way_at_a_time_and_one_may_be_given_up(void **state)
{
    (void)state;
    int a, b;
    zone.knows = "am.example";
    zone.records = TWO;
    for (unsigned i = 0; i < 2; i++) {
        start_question("am.example.", DNS_A, &a);
        start_question("am.example.", DNS_A, &b);
        dns_give_up(dns, &a);
        struct dns_answer answer = end_question();
        assert_ptr_equal(answer.context, &b);
        assert_int_equal(answer.count, 2);
    }
    start_question("am.example.", DNS_A, &a); /* and is left under way */
}

static enum err
make_and_ask(void)
{
    dns_free(dns);
    dns = NULL;
    enum err e = dns_new(&budget, zone.address, &dns, &why);
    if (e == OK) e = dns_ask(dns, "am.example.", DNS_A, NULL, &why);
    if (e) return e;
    e = end_question().e;
    return e == ERR_AGAIN && mem_fail_fired() ? ERR_NOMEM : e;
}

static void
test_each_allocation_may_fail(void **state)
{
    (void)state;
    zone.knows = "am.example";
    zone.records = TWO;
    fail_each_allocation(make_and_ask);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_names_are_looked_up),
        TEST(test_without_a_server_a_look_up_fails),
        TEST(test_a_name_that_is_too_long_fails),
        TEST(test_of_too_many_records_the_first_are_given_and_that_there_are_more_is_said),
        TEST(test_several_questions_are_under_way_at_a_time_and_one_may_be_given_up),
        TEST(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
