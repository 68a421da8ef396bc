/*
 * sigv4_test.c - the vectors that AWS published for Signature Version 4, and its examples for S3.
 */
#include "lib/test.h"

#include <stdio.h>

#include "lib/net/sigv4_vectors.h"
#include "net/sigv4.h"

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
    char tail[100], scope[200];
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
    snprintf(scope, sizeof scope, "Credential=%.*s/%s/us-east-1/%.*s/aws4_request, SignedHeaders=",
             (int)c->access_key.size, (const char *)c->access_key.at,
             r->is_s3 ? "20130524" : "20150830", (int)r->service.size, (const char *)r->service.at);
    assert_non_null(strstr((const char *)to.at, scope));
    buf_fini(&to);
}

UNIT_TEST(test_the_published_vectors_get_their_signatures)
{
    for (size_t i = 0; i < sigv4_vector_count; i++) {
        const struct sigv4_vector *v = &sigv4_vectors[i];
        struct sigv4_header headers[8];
        struct sigv4_credentials c = {bytes_of_text("AKIDEXAMPLE"),
                                      bytes_of_text(SIGV4_VECTOR_SECRET), bytes_of_text(v->token)};
        struct sigv4_request r = {.method = bytes_of_text(v->method),
                                  .path = bytes_of_text(v->path),
                                  .query = bytes_of_text(v->query),
                                  .headers = headers,
                                  .region = bytes_of_text("us-east-1"),
                                  .service = bytes_of_text("service"),
                                  .time_s = SIGV4_VECTOR_TIME_S};
        r.header_count = read_headers(v->headers, "example.amazonaws.com", headers);
        sigv4_hash(bytes_of_text(v->body), r.payload_hash);
        expect_signature(&r, &c, v->name, v->signature);
    }
}

static const struct sigv4_vector s3_examples[] = {
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
        const struct sigv4_vector *v = &s3_examples[i];
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

UNIT_TEST(test_a_path_is_signed_as_the_server_routes_it)
{
    static const struct {
        const char *path, *canonical;
    } cases[] = {
        {"", "/"},
        {"/", "/"},
        {"/x", "/x"},
        {"//x/./y/../z/", "/x/z/"},
        {"/x/y/..", "/x"},
        {"/../x/.", "/x"},
        {"/x%2Fy", "/x%252Fy"},
        {"/x%2fy", "/x%252fy"},
        {"/%25%C3%A9", "/%2525%25C3%25A9"},
        {"/\xc3\xa9 x", "/%C3%A9%20x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static const struct sigv4_credentials none;
        struct sigv4_request r = {.method = bytes_of_text("GET"),
                                  .path = bytes_of_text(cases[i].path)};
        struct buf to;
        char line[100];
        buf_init(&to, NULL, 1 << 20);
        assert_int_equal(sigv4_canonical(&r, &none, &to), OK);
        buf_put_u8(&to, 0);
        snprintf(line, sizeof line, "GET\n%s\n\n", cases[i].canonical);
        assert_memory_equal(to.at, line, strlen(line));
        buf_fini(&to);
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
    for (size_t i = 0; i < sizeof many; i += 2)
        many[i] = 'a';
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
        cmocka_unit_test(test_a_path_is_signed_as_the_server_routes_it),
        cmocka_unit_test(test_an_invalid_request_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
