/*
 * sigv4_test.c - the test suite that AWS published for Signature Version 4, and its examples for
 * S3.
 */
#include "lib/test.h"

#include <stdio.h>

#include "net/sigv4.h"

struct vector {
    const char *name;
    const char *method;
    const char *path;
    const char *query;
    const char *headers[4]; /* "Name:value" */
    const char *body;
    const char *token;
    const char *signature;
};

#define TOKEN                                                                                    \
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfp" \
    "SPfIeoIYRqTflfKD8YUuwthAx7mSEI/"                                                            \
    "qkPpKPi/"                                                                                   \
    "kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8Y"  \
    "QcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+"                                        \
    "scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSI"                                              \
    "lTJabIQwj2ICCR/oLxBA=="

static const struct vector vectors[] = {
    {"get-vanilla",
     "GET",
     "/",
     "",
     {0},
     "",
     "",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-vanilla-empty-query-key",
     "GET",
     "/",
     "Param1=value1",
     {0},
     "",
     "",
     "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
    {"get-vanilla-query-order-key-case",
     "GET",
     "/",
     "Param2=value2&Param1=value1",
     {0},
     "",
     "",
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"get-vanilla-query-unreserved",
     "GET",
     "/",
     "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz="
     "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
     {0},
     "",
     "",
     "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
    {"get-vanilla-utf8-query",
     "GET",
     "/",
     "\xe1\x88\xb4=bar",
     {0},
     "",
     "",
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {"get-header-key-duplicate",
     "GET",
     "/",
     "",
     {"My-Header1:value2", "My-Header1:value2", "My-Header1:value1"},
     "",
     "",
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {"get-header-value-trim",
     "GET",
     "/",
     "",
     {"My-Header1: value1", "My-Header2: \"a   b   c\""},
     "",
     "",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"get-utf8",
     "GET",
     "/\xe1\x88\xb4",
     "",
     {0},
     "",
     "",
     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"get-unreserved",
     "GET",
     "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
     "",
     {0},
     "",
     "",
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
    {"get-relative",
     "GET",
     "/example/..",
     "",
     {0},
     "",
     "",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-relative-relative",
     "GET",
     "/example1/example2/../..",
     "",
     {0},
     "",
     "",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-slash",
     "GET",
     "//",
     "",
     {0},
     "",
     "",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-slash-dot-slash",
     "GET",
     "/./",
     "",
     {0},
     "",
     "",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-slash-pointless-dot",
     "GET",
     "/./example",
     "",
     {0},
     "",
     "",
     "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"},
    {"get-slashes",
     "GET",
     "//example//",
     "",
     {0},
     "",
     "",
     "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
    {"get-space",
     "GET",
     "/example space/",
     "",
     {0},
     "",
     "",
     "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
    {"post-vanilla",
     "POST",
     "/",
     "",
     {0},
     "",
     "",
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"post-vanilla-query",
     "POST",
     "/",
     "Param1=value1",
     {0},
     "",
     "",
     "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
    {"post-header-key-sort",
     "POST",
     "/",
     "",
     {"My-Header1:value1"},
     "",
     "",
     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
    {"post-header-value-case",
     "POST",
     "/",
     "",
     {"My-Header1:VALUE1"},
     "",
     "",
     "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
    {"post-sts-header-before",
     "POST",
     "/",
     "",
     {0},
     "",
     TOKEN,
     "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
    {"post-x-www-form-urlencoded",
     "POST",
     "/",
     "",
     {"Content-Type:application/x-www-form-urlencoded"},
     "Param1=value1",
     "",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
};

static uint32_t
read_headers(const char *const *from, const char *host, struct sigv4_header *ret)
{
    uint32_t count = 0;
    ret[count++] = (struct sigv4_header){bytes_of_text("Host"), bytes_of_text(host)};
    for (; *from != NULL; from++) {
        const char *colon = strchr(*from, ':');
        ret[count++] = (struct sigv4_header){bytes_of(*from, (size_t)(colon - *from)),
                                             bytes_of_text(colon + 1)};
    }
    return count;
}

static void
expect_signature(const struct sigv4_request *r, const struct sigv4_credentials *c, const char *name,
                 const char *want)
{
    struct buf to;
    char tail[100];
    buf_init(&to, NULL, 1 << 20);
    assert_int_equal(sigv4_sign(r, c, &to), OK);
    buf_put_u8(&to, 0);
    snprintf(tail, sizeof tail, "Signature=%s\n", want);
    if (strstr((const char *)to.at, tail) == NULL) {
        print_error("%s:\n%s", name, (const char *)to.at);
        buf_clear(&to);
        assert_int_equal(sigv4_canonical(r, c, &to), OK);
        print_error("%.*s\n", (int)to.size, (const char *)to.at);
        fail();
    }
    buf_fini(&to);
}

UNIT_TEST(test_the_published_vectors_get_their_signatures)
{
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        const struct vector *v = &vectors[i];
        struct sigv4_header headers[8];
        struct sigv4_credentials c = {bytes_of_text("AKIDEXAMPLE"),
                                      bytes_of_text("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
                                      bytes_of_text(v->token)};
        struct sigv4_request r = {.method = bytes_of_text(v->method),
                                  .path = bytes_of_text(v->path),
                                  .query = bytes_of_text(v->query),
                                  .headers = headers,
                                  .region = bytes_of_text("us-east-1"),
                                  .service = bytes_of_text("service"),
                                  .time_s = 1440938160};
        r.header_count = read_headers(v->headers, "example.amazonaws.com", headers);
        sigv4_hash(bytes_of_text(v->body), r.payload_hash);
        expect_signature(&r, &c, v->name, v->signature);
    }
}

static const struct vector s3_examples[] = {
    {"get object",
     "GET",
     "/test.txt",
     "",
     {"Range:bytes=0-9"},
     "",
     "",
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    {"put object",
     "PUT",
     "/test%24file.text",
     "",
     {"Date:Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class:REDUCED_REDUNDANCY"},
     "Welcome to Amazon S3.",
     "",
     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
    {"get bucket lifecycle",
     "GET",
     "/",
     "lifecycle",
     {0},
     "",
     "",
     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    {"list objects",
     "GET",
     "/",
     "max-keys=2&prefix=J",
     {0},
     "",
     "",
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
};

UNIT_TEST(test_the_examples_for_s3_get_their_signatures)
{
    for (size_t i = 0; i < sizeof s3_examples / sizeof *s3_examples; i++) {
        const struct vector *v = &s3_examples[i];
        struct sigv4_header headers[8];
        struct sigv4_credentials c = {bytes_of_text("AKIAIOSFODNN7EXAMPLE"),
                                      bytes_of_text("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
                                      bytes_of_text("")};
        struct sigv4_request r = {.method = bytes_of_text(v->method),
                                  .path = bytes_of_text(v->path),
                                  .query = bytes_of_text(v->query),
                                  .headers = headers,
                                  .region = bytes_of_text("us-east-1"),
                                  .service = bytes_of_text("s3"),
                                  .time_s = 1369353600,
                                  .is_s3 = true};
        r.header_count = read_headers(v->headers, "examplebucket.s3.amazonaws.com", headers);
        sigv4_hash(bytes_of_text(v->body), r.payload_hash);
        expect_signature(&r, &c, v->name, v->signature);
    }
}

UNIT_TEST(test_an_invalid_request_is_refused)
{
    static const struct sigv4_credentials none;
    static struct sigv4_header headers[SIGV4_HEADERS_MAX + 1];
    struct buf to;
    buf_init(&to, NULL, 1 << 20);
    struct sigv4_request r = {.header_count = SIGV4_HEADERS_MAX + 1, .headers = headers};
    assert_int_equal(sigv4_sign(&r, &none, &to), ERR_LIMIT);
    r.header_count = 0;
    for (int i = 0; i < 3; i++) {
        static const char *const bad[] = {"a=%", "%4", "a=%zz"};
        r.query = bytes_of_text(bad[i]);
        assert_int_equal(sigv4_sign(&r, &none, &to), ERR_INPUT);
    }
    char many[1000];
    memset(many, '&', sizeof many);
    for (size_t i = 0; i < sizeof many; i += 2) {
        many[i] = 'a';
    }
    r.query = bytes_of(many, sizeof many);
    assert_int_equal(sigv4_sign(&r, &none, &to), ERR_LIMIT);
    assert_int_equal(to.size, 0);
    buf_fini(&to);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_published_vectors_get_their_signatures),
        cmocka_unit_test(test_the_examples_for_s3_get_their_signatures),
        cmocka_unit_test(test_an_invalid_request_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
