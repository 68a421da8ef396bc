/*
 * dns_test.c - look-ups through c-ares, with a name server in the test: its answers become records,
 * an empty result, or a failure. Commands of scripts: zone NAME [NUMBER_OF_TYPE=TARGET[=PORT]...]:
 * sets the server's records; fails NAME: the server fails for it; truncates: over UDP; refuses: the
 * port is closed; ask A|AAAA|SRV|MX|NS NAME: prints TARGET:PORT of each record, or the reason of
 * failure; asked: prints the requested names.
 */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/failing_memory.h"
#include "lib/script.h"
#include "lib/test.h"
#include "notify/outside/outside.h"

enum { MESSAGE_BYTES = 32768, ASKED_BYTES = 1024 };
enum { MX_NUMBER = 15, SRV_NUMBER = 33 };
enum { NO_ERROR = 0, SERVER_FAILURE = 2, NO_NAME = 3 };

static struct budget budget;
static struct dns *dns;
static struct why why;

/* The name server. */
static struct {
    int udp, tcp;
    int connection; /* TCP connection; -1: none */
    char address[32];
    char asked[ASKED_BYTES];
    const char *knows, *records, *fails;
    bool truncates;
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

/* Appends records of the requested name. Returns how many. */
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
        for (unsigned i = 0; i < head_count; i++)
            put_u16(head[i]);
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
    if (is_udp) strcat(strcat(zone.asked, zone.asked[0] == '\0' ? "" : " "), name);
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

/* Answers one question for each connection; it arrives in one piece. */
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

/* A connected socket refuses what others send, and no other process can take its port. */
static void
refuse_questions(void)
{
    struct sockaddr_in other = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    other.sin_port = htons(1);
    assert_int_equal(connect(zone.udp, (struct sockaddr *)&other, sizeof other), 0);
}

/* --- questions -------------------------------------------------------------------------------- */

int
script_setup(void **state)
{
    (void)state;
    setenv("LOCALDOMAIN", "one.test two.test", 1);
    unsetenv("RES_OPTIONS");
    budget_init(&budget, "test", 0, NULL);
    start_server();
    assert_int_equal(dns_new(&budget, zone.address, &dns, &why), OK);
    return 0;
}

int
script_teardown(void **state)
{
    (void)state;
    dns_free(dns);
    dns = NULL;
    assert_int_equal(budget_used(&budget), 0);
    script_forget();
    close(zone.udp);
    close(zone.tcp);
    return 0;
}

/* Runs one turn of the loop that polls. */
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
    while (!dns_done(dns, &answer))
        turn(10000);
    return answer;
}

static void
look_up(char *rest)
{
    static const char *const types[] = {"SRV", "A", "AAAA", "MX", "NS"};
    static char text[1 << 16];
    unsigned type = 0;
    const char *wanted = script_word(&rest);
    while (strcmp(types[type], wanted) != 0)
        type++;
    start_question(rest, (enum dns_record)type, &zone);
    struct dns_answer answer = end_question();
    assert_ptr_equal(answer.context, &zone);
    assert_true(answer.e == OK || (answer.e == ERR_AGAIN && answer.count == 0));
    char *at = stpcpy(text, answer.e ? answer.error : "");
    for (uint32_t i = 0; i < answer.count; i++) {
        at += sprintf(at, "%s%s:%u", i > 0 ? " " : "", answer.records[i].target,
                      answer.records[i].port);
    }
    script_print(text);
}

void
script_command(const char *name, char *rest)
{
    if (script_is(name, "zone")) zone.knows = script_word(&rest);
    if (script_is(name, "zone")) zone.records = rest;
    if (script_is(name, "fails")) zone.fails = rest;
    if (script_is(name, "truncates")) zone.truncates = true;
    if (script_is(name, "refuses")) refuse_questions();
    if (script_is(name, "ask")) look_up(rest);
    if (script_is(name, "asked")) script_print(zone.asked);
    if (script_is(name, "asked")) zone.asked[0] = '\0';
}

/* --- tests ------------------------------------------------------------------------------------ */

/* Answers that do not fit into a datagram are requested over TCP. */
UNIT_TEST(test_only_the_first_of_too_many_records_are_used_and_this_is_said)
{
    static char text[(DNS_RECORDS_MAX + 1) * 11 + 1];
    zone.truncates = true;
    zone.knows = "am.example";
    zone.records = text;
    for (unsigned i = 1; i <= DNS_RECORDS_MAX + 1; i++) {
        strcat(text, "1=10.0.0.1 ");
        if (i > 1 && i < DNS_RECORDS_MAX) continue;
        start_question("am.example.", DNS_A, &zone);
        struct dns_answer answer = end_question();
        assert_int_equal(answer.e, OK);
        assert_int_equal(answer.count, i > DNS_RECORDS_MAX ? DNS_RECORDS_MAX : i);
        assert_int_equal(answer.is_cut, i > DNS_RECORDS_MAX);
    }
}

UNIT_TEST(test_several_questions_are_under_way_at_a_time_and_one_may_be_given_up)
{
    int a, b;
    zone.knows = "am.example";
    zone.records = "1=10.0.0.1 1=10.0.0.2";
    for (unsigned i = 0; i < 2; i++) {
        start_question("am.example.", DNS_A, &a);
        start_question("am.example.", DNS_A, &b);
        dns_give_up(dns, &a);
        struct dns_answer answer = end_question();
        assert_ptr_equal(answer.context, &b);
        assert_int_equal(answer.count, 2);
    }
    start_question("am.example.", DNS_A, &a); /* and stays pending */
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

UNIT_TEST(test_each_allocation_may_fail)
{
    zone.knows = "am.example";
    zone.records = "1=10.0.0.1 1=10.0.0.2";
    fail_each_allocation(make_and_ask);
}

#define TWO     "1=10.0.0.1 1=10.0.0.2"
#define BOTH    "10.0.0.1:0 10.0.0.2:0"
#define FAILURE "no name server can be reached, or all answer that they failed"
#define X64     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct CMUnitTest tests[] = {
    SCRIPT("each kind of record is read",
           "zone am.example " TWO " | ask A am.example. => " BOTH "\n"
           "zone am.example 28=fd00::1 | ask AAAA am.example. => fd00::1:0\n"
           "zone am.example 33=a.example=9093 33=b.example=9094 | ask SRV am.example."
           " => a.example:9093 b.example:9094\n"
           "zone am.example 15=mail.example | ask MX am.example. => mail.example:0\n"
           "zone am.example 2=a.example 2=b.example | ask NS am.example."
           " => a.example:0 b.example:0"),
    SCRIPT("a name without such records has no addresses",
           "zone am.example | ask A am.example.\n"
           "zone am.example 5=b.example | ask A am.example."),
    SCRIPT("domains are tried in the order of the resolver",
           "zone am.two.test " TWO " | ask A am | asked => " BOTH "; am.one.test am.two.test\n"
           "zone am.x.one.test " TWO " | ask A am.x | asked => " BOTH "; am.x am.x.one.test\n"
           "ask A am.x. | asked => am.x\n"
           "zone none | ask A am | asked => am.one.test am.two.test am"),
    SCRIPT("a name is missing only if a server that works says so",
           "fails am.one.test | ask A am => " FAILURE "\n"
           "zone am.two.test " TWO " | ask A am => " BOTH),
    SCRIPT("without a server a look-up fails", "refuses | ask A am.example. => " FAILURE),
    SCRIPT("a truncated answer is requested again over TCP",
           "truncates | zone am.example " TWO " | ask A am.example. => " BOTH),
    SCRIPT("an invalid name fails", "ask A a..b. => Misformatted domain name\n"
                                    "ask A " X64 X64 X64 X64 " => Misformatted domain name"),
    TEST(test_only_the_first_of_too_many_records_are_used_and_this_is_said),
    TEST(test_several_questions_are_under_way_at_a_time_and_one_may_be_given_up),
    TEST(test_each_allocation_may_fail),
};

int
main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
