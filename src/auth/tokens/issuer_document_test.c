/* issuer_document_test.c - documents of issuers: good ones, and each way in which one is refused.
 */
#include "auth/tokens/tokens.h"

#include <stdio.h>
#include <string.h>

#include "lib/failing_memory.h"
#include "lib/test.h"

static char url[ISSUER_URL_BYTES];

UNIT_TEST(test_the_document_of_an_issuer_has_the_well_known_path)
{
    static const struct {
        const char *issuer, *url;
    } cases[] = {
        {"https://i.example", "https://i.example/.well-known/openid-configuration"},
        {"https://i.example/", "https://i.example/.well-known/openid-configuration"},
        {"https://i.example/realms/a",
         "https://i.example/realms/a/.well-known/openid-configuration"},
        {"http://[::1]:1/a/", "http://[::1]:1/a/.well-known/openid-configuration"},
    };
    char issuer[ISSUER_URL_BYTES];
    struct why why;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(issuer_document_url(cases[i].issuer, url, &why), OK);
        assert_string_equal(url, cases[i].url);
    }
    assert_int_equal(issuer_document_url("https://i.example?a=b", url, &why), ERR_INPUT);
    memset(issuer, 'a', sizeof issuer);
    issuer[1067] = '\0';
    assert_int_equal(issuer_document_url(issuer, url, &why), ERR_LIMIT);
    issuer[1066] = '\0';
    assert_int_equal(issuer_document_url(issuer, url, &why), OK);
    assert_int_equal(strlen(url), ISSUER_URL_BYTES - 1);
}

UNIT_TEST(test_a_document_has_the_address_of_the_keys)
{
    static const struct {
        const char *issuer, *document, *url;
    } cases[] = {
        {"https://i", "{\"issuer\":\"https://i\",\"jwks_uri\":\"https://keys.other/k?v=1\"}",
         "https://keys.other/k?v=1"},
        {"https://i/", "{\"jwks_uri\":\"HTTPS://i/k\",\"issuer\":\"https:\\/\\/i\\/\"}",
         "HTTPS://i/k"},
        {"http://127.0.0.1:1", "{\"issuer\":\"http://127.0.0.1:1\",\"jwks_uri\":\"http://a/k\"}",
         "http://a/k"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct why why = {""};
        enum err e = issuer_document_read(NULL, bytes_of_text(cases[i].document), cases[i].issuer,
                                          url, &why);
        if (e) fail_msg("%s", why.text);
        assert_string_equal(url, cases[i].url);
    }
}

UNIT_TEST(test_other_documents_are_refused)
{
    static const struct {
        const char *document, *why;
    } cases[] = {
        {"", "invalid JSON at byte "},
        {"<html>", "invalid JSON at byte "},
        {"[]", "JSON is not an object"},
        {"{}", "its issuer is '', expected 'https://i'"},
        {"{\"issuer\":7,\"jwks_uri\":\"https://i/k\"}", "its issuer is '', expected 'https://i'"},
        {"{\"issuer\":\"https://i/\",\"jwks_uri\":\"https://i/k\"}",
         "its issuer is 'https://i/', expected 'https://i'"},
        {"{\"issuer\":\"https://I\",\"jwks_uri\":\"https://i/k\"}",
         "its issuer is 'https://I', expected 'https://i'"},
        {"{\"issuer\":\"https://i\",\"issuer\":\"https://i\",\"jwks_uri\":\"https://i/k\"}",
         "a name occurs twice in a JSON object"},
        {"{\"issuer\":\"https://i\"}", "it has no jwks_uri"},
        {"{\"issuer\":\"https://i\",\"jwks_uri\":null}", "it has no jwks_uri"},
        {"{\"issuer\":\"https://i\",\"jwks_uri\":\"http://i/k\"}",
         "its jwks_uri has http, which would let others replace the keys: 'http://i/k'"},
        {"{\"issuer\":\"https://i\",\"jwks_uri\":\"http://127.0.0.1/k\"}",
         "its jwks_uri has http, which would let others replace the keys: 'http://127.0.0.1/k'"},
        {"{\"issuer\":\"https://i\",\"jwks_uri\":\"file:///etc/passwd\"}",
         "its jwks_uri is not a URL of https: 'file:///etc/passwd'"},
        {"{\"issuer\":\"https://i\",\"jwks_uri\":\"/k\"}",
         "its jwks_uri is not a URL of https: '/k'"},
        {"{\"issuer\":\"https://i\",\"jwks_uri\":\"https:///k\"}",
         "its jwks_uri is not a URL of https: 'https:///k'"},
        {"{\"issuer\":\"https://i\",\"jwks_uri\":\"https://i/k\\r\\nA: b\"}",
         "its jwks_uri is not a URL of less than 1100 bytes: 'https://i/k\\x0d\\x0aA: b'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct why why = {""};
        enum err e =
            issuer_document_read(NULL, bytes_of_text(cases[i].document), "https://i", url, &why);
        assert_int_equal(e, ERR_INPUT);
        if (strncmp(why.text, cases[i].why, strlen(cases[i].why)) != 0)
            fail_msg("%s: %s", cases[i].document, why.text);
    }
}

UNIT_TEST(test_a_long_document_and_a_long_address_are_refused)
{
    static char document[ISSUER_DOCUMENT_BYTES_MAX + 1];
    struct why why;
    struct budget small;
    memset(document, ' ', sizeof document);
    budget_init(&small, "small", 1, NULL);
    assert_int_equal(issuer_document_read(NULL, bytes_of((uint8_t *)document, sizeof document),
                                          "https://i", url, &why),
                     ERR_LIMIT);
    assert_int_equal(issuer_document_read(&small, bytes_of_text("{}"), "https://i", url, &why),
                     ERR_NOMEM);
    int size = snprintf(document, sizeof document,
                        "{\"issuer\":\"https://i\",\"jwks_uri\":\"https://%01092d\"}", 0);
    assert_int_equal(issuer_document_read(NULL, bytes_of((uint8_t *)document, (size_t)size),
                                          "https://i", url, &why),
                     ERR_INPUT);
    size = snprintf(document, sizeof document,
                    "{\"issuer\":\"https://i\",\"jwks_uri\":\"https://%01091d\"}", 0);
    assert_int_equal(issuer_document_read(NULL, bytes_of((uint8_t *)document, (size_t)size),
                                          "https://i", url, &why),
                     OK);
    assert_int_equal(strlen(url), ISSUER_URL_BYTES - 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_document_of_an_issuer_has_the_well_known_path),
        cmocka_unit_test(test_a_document_has_the_address_of_the_keys),
        cmocka_unit_test(test_other_documents_are_refused),
        cmocka_unit_test(test_a_long_document_and_a_long_address_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
