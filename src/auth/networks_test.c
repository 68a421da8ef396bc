/* networks_test.c - addresses, networks, and clients behind proxies. */
#include "auth/origin.h"

#include <arpa/inet.h>
#include <string.h>

#include "lib/test.h"

static void
address_of(const char *text, uint8_t *to)
{
    struct ip_network n;
    assert_true(network_parse(text, &n));
    memcpy(to, n.address, sizeof n.address);
}

UNIT_TEST(test_addresses_are_printed_as_they_are_written)
{
    static const char *const texts[] = {"192.0.2.1", "::1", "2001:db8::1", "0.0.0.0", "::"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        uint8_t address[NETWORK_ADDRESS_BYTES];
        char text[NETWORK_TEXT_BYTES];
        address_of(texts[i], address);
        network_print_address(address, text);
        assert_string_equal(text, texts[i]);
    }
}

UNIT_TEST(test_networks_hold_the_addresses_of_their_bits)
{
    static const struct {
        const char *network, *address;
        bool holds;
    } cases[] = {
        {"10.0.0.0/8", "10.255.1.2", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.0.0.0/8", "::a00:1", false},
        {"10.0.0.0/8", "::ffff:10.0.0.1", true},
        {"192.0.2.128/25", "192.0.2.129", true},
        {"192.0.2.128/25", "192.0.2.127", false},
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"192.0.2.1/32", "192.0.2.1", true},
        {"0.0.0.0/0", "255.1.2.3", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "2001:db8::1", true},
        {"::/0", "1.2.3.4", true},
        {"2001:db8::/33", "2001:db8:7fff::", true},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"::1", "::1", true},
        {"::1/128", "::2", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct networks list = {.count = 1};
        uint8_t address[NETWORK_ADDRESS_BYTES];
        assert_true(network_parse(cases[i].network, &list.items[0]));
        address_of(cases[i].address, address);
        if (networks_have(&list, address) != cases[i].holds)
            fail_msg("%s, %s", cases[i].network, cases[i].address);
    }
}

UNIT_TEST(test_other_texts_are_refused)
{
    static const char *const texts[] = {"",           "host",       "10.0.0.0/33", "::/129",
                                        "::1/",       "10.0.0.0/",  "1.2.3.4/8x",  "1.2.3.4/-1",
                                        "1.2.3",      "1.2.3.4/ 8", "1.2.3.4/+8",  "1.2.3.4/0008",
                                        "1.2.3.4:80", "[::1]",      "1.2.3.4/8/8", "/8"};
    struct ip_network n;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (network_parse(texts[i], &n)) fail_msg("%s", texts[i]);
}

UNIT_TEST(test_the_client_is_the_last_address_outside_trusted_networks)
{
    static const struct {
        const char *peer, *header, *client;
    } cases[] = {
        {"9.9.9.9", "1.1.1.1", "9.9.9.9"}, /* no proxy of ours: its header may lie */
        {"10.0.0.1", "1.1.1.1", "1.1.1.1"},
        {"10.0.0.1", "6.6.6.6, 1.1.1.1", "1.1.1.1"},
        {"10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", "1.1.1.1"},
        {"10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
        {"10.0.0.1", "", "10.0.0.1"},
        {"10.0.0.1", "unknown", "10.0.0.1"},
        {"10.0.0.1", "1.1.1.1, unknown, 10.0.0.2", "10.0.0.2"},
        {"10.0.0.1", "1.1.1.1:4711", "1.1.1.1"},
        {"10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"},
        {"10.0.0.1", "2001:db8::1,", "10.0.0.1"},
        {"10.0.0.1", " 2001:db8::1 ", "2001:db8::1"},
        {"::1", "1.1.1.1", "1.1.1.1"},
    };
    struct networks proxies = {.count = 2};
    assert_true(network_parse("10.0.0.0/8", &proxies.items[0]));
    assert_true(network_parse("::1", &proxies.items[1]));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t address[NETWORK_ADDRESS_BYTES], expected[NETWORK_ADDRESS_BYTES];
        address_of(cases[i].peer, address);
        address_of(cases[i].client, expected);
        (void)networks_find_client(&proxies, cases[i].header, address);
        if (memcmp(address, expected, sizeof expected) != 0)
            fail_msg("%s, %s", cases[i].peer, cases[i].header);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_are_printed_as_they_are_written),
        cmocka_unit_test(test_networks_hold_the_addresses_of_their_bits),
        cmocka_unit_test(test_other_texts_are_refused),
        cmocka_unit_test(test_the_client_is_the_last_address_outside_trusted_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
