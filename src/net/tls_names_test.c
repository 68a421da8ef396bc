/* tls_names_test.c - from Go's names to GnuTLS' priorities, which GnuTLS itself reads here. */
#include "lib/test.h"

#include <gnutls/gnutls.h>
#include <stdio.h>
#include <string.h>

#include "net/tls.h"

#define ALL_ECDHE "-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA"
#define ALL_AEAD  "-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305"
#define ALL_CURVES                                                                             \
    "-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:+GROUP-SECP521R1:%SERVER_PREC" \
    "EDENCE"
#define BOTH "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:"

static struct tls_server_settings
settings_of(const char **suites, uint32_t suite_count)
{
    return (struct tls_server_settings){
        .min_version = TLS_VERSION_12,
        .max_version = TLS_VERSION_13,
        .cipher_suites = {suites, suite_count},
        .prefer_server_cipher_suites = true,
    };
}

/* Returns true if GnuTLS offers a suite with these two bytes of the registry. */
static bool
has_suite(gnutls_priority_t priority, unsigned wanted)
{
    for (unsigned i = 0, index;; i++) {
        int r = gnutls_priority_get_cipher_suite_index(priority, i, &index);
        if (r == GNUTLS_E_UNKNOWN_CIPHER_SUITE) continue;
        if (r < 0) return false;
        unsigned char id[2];
        gnutls_cipher_suite_info(index, id, NULL, NULL, NULL, NULL);
        if ((unsigned)(id[0] << 8 | id[1]) == wanted) return true;
    }
}

/* Checks that GnuTLS accepts the text. The caller frees it. */
static gnutls_priority_t
read_priority(const char *text)
{
    gnutls_priority_t priority;
    const char *wrong = "";
    if (gnutls_priority_init(&priority, text, &wrong) < 0) fail_msg("GnuTLS refuses %s", wrong);
    return priority;
}

static void
check(const struct tls_server_settings *settings, const char *expected, const char *warnings)
{
    struct buf text, found;
    struct why why = {""};
    buf_init(&text, NULL, 4096);
    buf_init(&found, NULL, 8192);
    assert_int_equal(tls_priority(settings, &text, &found, &why), OK);
    assert_string_equal((const char *)text.at, expected);
    buf_put_u8(&found, '\0');
    assert_string_equal((const char *)found.at, warnings);
    gnutls_priority_deinit(read_priority((const char *)text.at));
    buf_fini(&text);
    buf_init(&text, NULL, 4096);
    assert_int_equal(tls_priority(settings, &text, NULL, NULL), OK);
    assert_string_equal((const char *)text.at, expected);
    buf_fini(&text);
    buf_fini(&found);
}

UNIT_TEST(test_defaults_are_new_versions_and_suites_with_forward_secrecy)
{
    struct tls_server_settings s = settings_of(NULL, 0);
    check(&s, BOTH ALL_ECDHE ":" ALL_AEAD ":-MAC-ALL:+AEAD:" ALL_CURVES, "");
    s.min_version = TLS_VERSION_13;
    check(&s, "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:" ALL_AEAD ":-MAC-ALL:+AEAD:" ALL_CURVES, "");
    s.min_version = s.max_version = TLS_VERSION_12;
    s.prefer_server_cipher_suites = false;
    check(&s,
          "NORMAL:-VERS-ALL:+VERS-TLS1.2:" ALL_ECDHE ":" ALL_AEAD
          ":-MAC-ALL:+AEAD:-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1"
          ":+GROUP-SECP521R1",
          "");
}

UNIT_TEST(test_old_versions_get_suites_that_they_have)
{
    struct tls_server_settings s = settings_of(NULL, 0);
    s.min_version = TLS_VERSION_10;
    check(&s,
          "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:+VERS-TLS1.1:+VERS-TLS1.0:" ALL_ECDHE
          ":" ALL_AEAD ":+AES-128-CBC:+AES-256-CBC:-MAC-ALL:+AEAD:+SHA1:" ALL_CURVES,
          "min_version: versions before TLS12 are insecure\n");
    s.min_version = s.max_version = TLS_VERSION_11;
    check(&s,
          "NORMAL:-VERS-ALL:+VERS-TLS1.1:" ALL_ECDHE
          ":-CIPHER-ALL:+AES-128-CBC:+AES-256-CBC:-MAC-ALL:+SHA1:" ALL_CURVES,
          "min_version: versions before TLS12 are insecure\n");
}

UNIT_TEST(test_suites_are_offered_in_the_order_of_their_names)
{
    const char *names[] = {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
                           "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"};
    struct tls_server_settings s = settings_of(names, 2);
    check(&s,
          BOTH "-KX-ALL:+ECDHE-RSA:-CIPHER-ALL:+CHACHA20-POLY1305:+AES-128-GCM:-MAC-ALL:+AEAD"
               ":" ALL_CURVES,
          "");
}

UNIT_TEST(test_suites_without_forward_secrecy_are_offered_with_a_warning)
{
    const char *names[] = {"TLS_RSA_WITH_AES_128_CBC_SHA"};
    struct tls_server_settings s = settings_of(names, 1);
    s.max_version = TLS_VERSION_12;
    check(&s,
          "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+RSA:-CIPHER-ALL:+AES-128-CBC:-MAC-ALL:+SHA1"
          ":" ALL_CURVES,
          "TLS_RSA_WITH_AES_128_CBC_SHA has no forward secrecy\n");
}

UNIT_TEST(test_warnings_list_suites_that_are_combined_from_others)
{
    const char *names[] = {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
                           "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"};
    struct tls_server_settings s = settings_of(names, 2);
    check(&s,
          BOTH ALL_ECDHE ":-CIPHER-ALL:+AES-256-GCM:+CHACHA20-POLY1305:-MAC-ALL:+AEAD:" ALL_CURVES,
          "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 is offered, too: it combines parts of the "
          "suites that are named\n"
          "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 is offered, too: it combines parts of the suites "
          "that are named\n");
}

UNIT_TEST(test_version_13_keeps_its_ciphers_beside_suites_that_have_none)
{
    const char *names[] = {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"};
    struct tls_server_settings s = settings_of(names, 1);
    check(&s,
          BOTH "-KX-ALL:+ECDHE-RSA:-CIPHER-ALL:+AES-128-CBC:+AES-128-GCM:+AES-256-GCM"
               ":+CHACHA20-POLY1305:-MAC-ALL:+SHA1:+AEAD:" ALL_CURVES,
          "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 is offered, too: it combines parts of the suites "
          "that are named\n"
          "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 is offered, too: it combines parts of the suites "
          "that are named\n"
          "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 is offered, too: it combines parts of the "
          "suites that are named\n");
    s.min_version = TLS_VERSION_13;
    check(&s, "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:" ALL_AEAD ":-MAC-ALL:+AEAD:" ALL_CURVES,
          "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA cannot be used with the allowed versions of TLS\n");
}

UNIT_TEST(test_names_that_gnutls_does_not_have_are_ignored_with_a_warning)
{
    const char *names[] = {"TLS_RSA_WITH_RC4_128_SHA", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
                           "TLS_FUTURE"};
    const char *curves[] = {"X25519MLKEM768", "CurveP384", "CurveP384", "CurveP256"};
    struct tls_server_settings s = settings_of(names, 3);
    s.curve_preferences = (struct text_list){curves, 4};
    check(&s,
          BOTH "-KX-ALL:+ECDHE-RSA:-CIPHER-ALL:+AES-128-GCM:-MAC-ALL:+AEAD:-GROUP-ALL"
               ":+GROUP-SECP384R1:+GROUP-SECP256R1:%SERVER_PRECEDENCE",
          "TLS_RSA_WITH_RC4_128_SHA is not supported and is ignored\n"
          "TLS_FUTURE is not supported and is ignored\n"
          "X25519MLKEM768 is not supported and is ignored\n");
    s.cipher_suites.count = s.curve_preferences.count = 1;
    check(&s, BOTH ALL_ECDHE ":" ALL_AEAD ":-MAC-ALL:+AEAD:" ALL_CURVES,
          "TLS_RSA_WITH_RC4_128_SHA is not supported and is ignored\n"
          "cipher_suites: no suite remains, the defaults are used\n"
          "X25519MLKEM768 is not supported and is ignored\n"
          "curve_preferences: no curve remains, the defaults are used\n");
}

UNIT_TEST(test_names_of_which_no_version_can_use_one_are_refused)
{
    const char *new_names[] = {"TLS_AES_128_GCM_SHA256"};
    const char *old_names[] = {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"};
    struct tls_server_settings s = settings_of(new_names, 1);
    struct buf text;
    struct why why = {""};
    s.max_version = TLS_VERSION_12;
    buf_init(&text, NULL, 4096);
    assert_int_equal(tls_priority(&s, &text, NULL, &why), ERR_INPUT);
    assert_string_equal(why.text, "no cipher suite can be used with the allowed versions");
    s = settings_of(old_names, 1);
    s.min_version = s.max_version = TLS_VERSION_11;
    assert_int_equal(tls_priority(&s, &text, NULL, &why), ERR_INPUT);
    assert_int_equal(text.size, 0);
    buf_fini(&text);
}

/* Checks each suite alone, with each pair of versions, against what GnuTLS makes of the text. */
UNIT_TEST(test_gnutls_accepts_each_suite_and_curve_and_offers_it)
{
    static const struct {
        const char *name;
        unsigned id;
    } ids[] = {
        {"TLS_AES_128_GCM_SHA256", 0x1301},
        {"TLS_AES_256_GCM_SHA384", 0x1302},
        {"TLS_CHACHA20_POLY1305_SHA256", 0x1303},
        {"TLS_RSA_WITH_AES_128_CBC_SHA", 0x002f},
        {"TLS_RSA_WITH_AES_256_CBC_SHA", 0x0035},
        {"TLS_RSA_WITH_AES_128_CBC_SHA256", 0x003c},
        {"TLS_RSA_WITH_AES_128_GCM_SHA256", 0x009c},
        {"TLS_RSA_WITH_AES_256_GCM_SHA384", 0x009d},
        {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", 0xc009},
        {"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", 0xc00a},
        {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", 0xc013},
        {"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", 0xc014},
        {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", 0xc023},
        {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", 0xc027},
        {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", 0xc02b},
        {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", 0xc02c},
        {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", 0xc02f},
        {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 0xc030},
        {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca8},
        {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", 0xcca8},
        {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca9},
        {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", 0xcca9},
    };
    unsigned offered = 0, ignored = 0;
    for (unsigned i = 0; tls_suite_name(i) != NULL; i++) {
        const char *names[] = {tls_suite_name(i)};
        struct tls_server_settings s = settings_of(names, 1);
        struct buf text, warnings;
        buf_init(&text, NULL, 4096);
        buf_init(&warnings, NULL, 4096);
        assert_int_equal(tls_priority(&s, &text, &warnings, NULL), OK);
        gnutls_priority_t priority = read_priority((const char *)text.at);
        size_t k = 0;
        while (k < sizeof ids / sizeof *ids && strcmp(ids[k].name, names[0]) != 0)
            k++;
        if (k < sizeof ids / sizeof *ids) {
            if (!has_suite(priority, ids[k].id)) fail_msg("%s is not offered", names[0]);
            offered++;
        } else {
            buf_put_u8(&warnings, '\0');
            assert_non_null(strstr((const char *)warnings.at, "is ignored"));
            ignored++;
        }
        gnutls_priority_deinit(priority);
        buf_fini(&text);
        buf_fini(&warnings);
    }
    assert_int_equal(offered, sizeof ids / sizeof *ids);
    assert_int_equal(ignored, 5);
    for (unsigned i = 0; tls_curve_name(i) != NULL; i++) {
        const char *names[] = {tls_curve_name(i)};
        struct tls_server_settings s = settings_of(NULL, 0);
        struct buf text;
        s.curve_preferences = (struct text_list){names, 1};
        buf_init(&text, NULL, 4096);
        assert_int_equal(tls_priority(&s, &text, NULL, NULL), OK);
        gnutls_priority_deinit(read_priority((const char *)text.at));
        buf_fini(&text);
    }
}

UNIT_TEST(test_a_text_without_memory_is_an_error)
{
    struct tls_server_settings s = settings_of(NULL, 0);
    struct buf text;
    buf_init(&text, NULL, 4096);
    mem_fail_nth(1, true);
    enum err e = tls_priority(&s, &text, NULL, NULL);
    mem_fail_nth(0, false);
    assert_int_equal(e, ERR_NOMEM);
    buf_fini(&text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_are_new_versions_and_suites_with_forward_secrecy),
        cmocka_unit_test(test_old_versions_get_suites_that_they_have),
        cmocka_unit_test(test_suites_are_offered_in_the_order_of_their_names),
        cmocka_unit_test(test_suites_without_forward_secrecy_are_offered_with_a_warning),
        cmocka_unit_test(test_warnings_list_suites_that_are_combined_from_others),
        cmocka_unit_test(test_version_13_keeps_its_ciphers_beside_suites_that_have_none),
        cmocka_unit_test(test_names_that_gnutls_does_not_have_are_ignored_with_a_warning),
        cmocka_unit_test(test_names_of_which_no_version_can_use_one_are_refused),
        cmocka_unit_test(test_gnutls_accepts_each_suite_and_curve_and_offers_it),
        cmocka_unit_test(test_a_text_without_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
