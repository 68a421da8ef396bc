/* http_head_test.c - heads of requests, their paths and arguments, and bodies in chunks. */
#include "lib/test.h"

#include <stdio.h>

#include "net/http_head.h"

static unsigned
parse(struct http_head *head, const char *text, const char **ret_why)
{
    http_head_init(head, NULL, 1 << 20);
    buf_put_text(&head->text, text);
    return http_head_parse(head, ret_why);
}

UNIT_TEST(test_the_end_of_a_head_is_found_however_it_is_cut)
{
    static const struct {
        const char *text;
        size_t end;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\nrest", 18},
        {"GET / HTTP/1.1\n\nrest", 16},
        {"GET / HTTP/1.1\r\na: b\r\n\r\n", 24},
        {"GET / HTTP/1.1\r\na: b\n\r\nx", 23},
        {"GET / HTTP/1.1\r\n\r", 0},
        {"GET / HTTP/1.1\r\n\rx\n", 0},
        {"GET / HTTP/1.1\r", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bytes text = bytes_of_text(cases[i].text);
        size_t whole = 0;
        assert_int_equal(http_head_end(text, &whole), cases[i].end);
        for (size_t step = 1; step <= 3; step++) {
            size_t scanned = 0, end = 0, size = 0;
            while (end == 0 && size < text.size) {
                size = size + step < text.size ? size + step : text.size;
                end = http_head_end(bytes_of(text.at, size), &scanned);
            }
            assert_int_equal(end, cases[i].end);
        }
    }
}

UNIT_TEST(test_a_malformed_head_is_refused)
{
    static const struct {
        const char *text;
        unsigned status;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 0},
        {"M-SEARCH * HTTP/1.1\nHost:\n\n", 0},
        {"GET /\xc3\xbc?\xff HTTP/1.1\r\nHost: x\r\n\r\n", 0},
        {"GET / HTTP/1.0\r\nA:\r\n\r\n", 0},
        {"GET /\r\n\r\n", 400},
        {"GET\r\n\r\n", 400},
        {"GET  / HTTP/1.1\r\n\r\n", 400},
        {"GET / x HTTP/1.1\r\n\r\n", 400},
        {" GET / HTTP/1.1\r\n\r\n", 400},
        {"G(T / HTTP/1.1\r\n\r\n", 400},
        {"GET / http/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1x\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\n\r\n", 505},
        {"PRI * HTTP/2.0\r\n\r\n", 505},
        {"GET /a%zz HTTP/1.1\r\n\r\n", 400},
        {"GET /a%00 HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n: x\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA : x\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA: x\r\n folded\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA: x\ry\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA: x\x01\r\n\r\n", 400},
        {"GET /\x7f HTTP/1.1\r\n\r\n", 400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_head head;
        const char *why = NULL;
        unsigned status = parse(&head, cases[i].text, &why);
        if (status != cases[i].status) fail_msg("%s gave %u", cases[i].text, status);
        if (status != 0) assert_non_null(why);
        http_head_fini(&head);
    }
    struct http_head head;
    const char *why = NULL;
    http_head_init(&head, NULL, 1 << 20);
    buf_put(&head.text, "GET /a\0b HTTP/1.1\r\n\r\n", 22);
    assert_int_equal(http_head_parse(&head, &why), 400);
    http_head_fini(&head);
}

/* RFC 9112, 3.2: a proxy and a server that use different hosts would serve different things. */
UNIT_TEST(test_http_1_1_has_exactly_one_valid_host)
{
    static const struct {
        const char *text, *why; /* NULL: accepted */
    } cases[] = {
        {"GET / HTTP/1.1\r\nA: b\r\n\r\n", "missing required Host header"},
        {"GET http://x/ HTTP/1.1\r\n\r\n", "missing required Host header"},
        {"GET / HTTP/1.0\r\n\r\n", NULL},
        {"GET / HTTP/1.1\r\nHost:\r\n\r\n", NULL},
        {"GET / HTTP/1.1\r\nhOST: a-b.c_d:9090\r\n\r\n", NULL},
        {"GET / HTTP/1.1\r\nHost: [::1%25eth0]:80\r\n\r\n", NULL},
        {"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", "more than one Host header"},
        {"GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n", "more than one Host header"},
        {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "malformed Host header"},
        {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "malformed Host header"},
        {"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "malformed Host header"},
        {"GET / HTTP/1.1\r\nHost: \xc3\xbc\r\n\r\n", "malformed Host header"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_head head;
        const char *why = NULL;
        unsigned status = parse(&head, cases[i].text, &why);
        if (status != (cases[i].why == NULL ? 0 : 400)) fail_msg("%s: %u", cases[i].text, status);
        if (status != 0) assert_string_equal(why, cases[i].why);
        http_head_fini(&head);
    }
}

UNIT_TEST(test_more_headers_than_the_limit_are_refused)
{
    for (unsigned count = HTTP_HEADERS_MAX; count <= HTTP_HEADERS_MAX + 1; count++) {
        struct http_head head;
        const char *why = NULL;
        http_head_init(&head, NULL, 1 << 20);
        buf_put_text(&head.text, "GET / HTTP/1.1\r\nHost: x\r\n");
        for (unsigned i = 1; i < count; i++)
            buf_printf(&head.text, "a: %u\r\n", i);
        buf_put_text(&head.text, "\r\n");
        assert_int_equal(http_head_parse(&head, &why), count <= HTTP_HEADERS_MAX ? 0 : 431);
        assert_string_equal(http_head_header(&head, "A"), "1");
        assert_int_equal(http_head_header_count(&head, "A"), HTTP_HEADERS_MAX - 1);
        assert_int_equal(http_head_header_count(&head, "B"), 0);
        assert_null(http_head_header(&head, "B"));
        http_head_fini(&head);
    }
}

UNIT_TEST(test_a_head_that_finds_no_memory_is_refused_with_that_reason)
{
    unsigned refused = 0;
    for (uint64_t nth = 1;; nth++) {
        struct http_head head;
        const char *why = "not set";
        http_head_init(&head, NULL, 1 << 20);
        buf_put_text(&head.text, "GET /a//b%2fc?d=e&f=g HTTP/1.1\r\nHost: x\r\n");
        for (unsigned i = 0; i < 40; i++)
            buf_put_text(&head.text, "a: b\r\n");
        buf_put_text(&head.text, "long: ");
        while (head.text.size + 4 < head.text.capacity) /* no room for a NUL at the end */
            buf_put_u8(&head.text, 'x');
        buf_put_text(&head.text, "\r\n\r\n");
        assert_int_equal(head.text.size, head.text.capacity);
        mem_fail_nth(nth, false);
        unsigned status = http_head_parse(&head, &why);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(status, fired ? 503 : 0);
        if (fired) assert_string_equal(why, "not enough memory");
        refused += fired;
        http_head_fini(&head);
        if (!fired) break;
    }
    assert_true(refused > 3);
}

UNIT_TEST(test_the_framing_of_a_body_is_read)
{
    static const struct {
        const char *headers;
        bool bad, chunked, coded, keeps;
        uint64_t length;
    } cases[] = {
        {"Content-Length: 3\r\n", .keeps = true, .length = 3},
        {"content-length:\t3 \r\nContent-Length: 3\r\n", .keeps = true, .length = 3},
        {"Content-Length: 3\r\nContent-Length: 4\r\n", .bad = true, .keeps = true, .length = 4},
        {"Content-Length: 18446744073709551615\r\n", .keeps = true, .length = UINT64_MAX},
        {"Content-Length: 99999999999999999999999\r\n", .keeps = true, .length = UINT64_MAX},
        {"Content-Length: +3\r\n", .bad = true, .keeps = true},
        {"Content-Length: -3\r\n", .bad = true, .keeps = true},
        {"Content-Length: 3,3\r\n", .bad = true, .keeps = true},
        {"Content-Length:\r\n", .bad = true, .keeps = true},
        {"Transfer-Encoding: Chunked\r\n", .chunked = true, .keeps = true},
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", .bad = true,
         .chunked = true, .keeps = true},
        {"Transfer-Encoding: gzip, chunked\r\n", .coded = true, .keeps = true},
        {"Transfer-Encoding: \x0b chunked\r\n", .bad = true},
        {"Connection: x, Close\r\n", .keeps = false},
        {"Connection: keep-alive\r\n", .keeps = true},
        {"Connection: close\r\nConnection: keep-alive\r\n", .keeps = false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_head head;
        const char *why = NULL;
        char text[400];
        snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: x\r\n%s\r\n", cases[i].headers);
        if (parse(&head, text, &why) != 0) {
            assert_true(cases[i].bad);
        } else {
            assert_int_equal(head.bad, cases[i].bad);
            assert_int_equal(head.chunked, cases[i].chunked);
            assert_int_equal(head.coded, cases[i].coded);
            assert_int_equal(head.keeps, cases[i].keeps);
            if (!head.bad) assert_true(head.length == cases[i].length);
        }
        http_head_fini(&head);
    }
    struct http_head head;
    const char *why = NULL;
    assert_int_equal(parse(&head, "GET / HTTP/1.0\r\n\r\n", &why), 0);
    assert_true(head.old && !head.keeps);
    http_head_fini(&head);
    assert_int_equal(parse(&head, "GET / HTTP/1.0\nConnection: Keep-Alive\n\n", &why), 0);
    assert_true(head.old && head.keeps);
    http_head_fini(&head);
    assert_int_equal(
        parse(&head, "GET / HTTP/1.0\nConnection: close\nConnection: keep-alive\n\n", &why), 0);
    assert_false(head.keeps);
    http_head_fini(&head);
    /* Old proxies do not know chunks, and forward the rest as another request. */
    assert_int_equal(parse(&head, "POST / HTTP/1.0\nTransfer-Encoding: chunked\n\n", &why), 0);
    assert_true(head.bad);
    http_head_fini(&head);
}

UNIT_TEST(test_paths_become_clean)
{
    static const struct {
        const char *path, *clean; /* NULL: the path is clean */
    } cases[] = {
        {"/", NULL},
        {"/a/b", NULL},
        {"/a/b/", NULL},
        {"/a/.b/..c/d./...", NULL},
        {"/a%2F%2Fb", NULL},
        {"*", NULL},
        {"a//b", NULL},
        {"", NULL},
        {"//", "/"},
        {"///a", "/a"},
        {"/a//b//", "/a/b/"},
        {"/.", "/"},
        {"/..", "/"},
        {"/./a", "/a"},
        {"/a/.", "/a"},
        {"/a/./", "/a/"},
        {"/a/..", "/"},
        {"/a/../", "/"},
        {"/a/b/../../../c", "/c"},
        {"/a/%2e/b/%2E%2e/c", "/a/c"},
        {"/a/.%2e/b", "/b"},
        {"//evil.example/..", "/"},
        {"//evil.example/%2e%2e/..", "/"},
        {"/x/..//evil.example", "/evil.example"},
        {"//\\evil.example", "/%5Cevil.example"},
        {"//a%20b\"<\xff", "/a%20b%22%3C%FF"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf to;
        buf_init(&to, NULL, 1000);
        bool cleaned = http_path_clean(bytes_of_text(cases[i].path), &to);
        buf_put_u8(&to, '\0');
        assert_int_equal(cleaned, cases[i].clean != NULL);
        assert_string_equal((const char *)to.at, cleaned ? cases[i].clean : "");
        buf_fini(&to);
    }
}

UNIT_TEST(test_names_of_dropped_arguments_are_known)
{
    static const struct {
        const char *query;
        bool drops;
    } cases[] = {
        {"extra_a=1", false},          {"extra_a=%zz", true}, {"b&extra_%61=1;2&c", true},
        {"extra%5fa=%2", true},        {"extra;", false},     {"x=%zz&extra_a=1", false},
        {"x=extra_;&y=extra_", false}, {"extra_%zz", true},   {"%65xtra_a;b", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_head head;
        const char *why = NULL;
        char text[200];
        snprintf(text, sizeof text, "GET /?%s HTTP/1.1\r\nHost: x\r\n\r\n", cases[i].query);
        assert_int_equal(parse(&head, text, &why), 0);
        if (http_head_drops(&head, "extra_") != cases[i].drops) fail_msg("%s", cases[i].query);
        http_head_fini(&head);
    }
}

UNIT_TEST(test_targets_have_a_path_and_arguments)
{
    static const struct {
        const char *target, *path, *sent, *location, *a;
    } cases[] = {
        {"/x?a=1", "/x", NULL, NULL, "1"},
        {"/x?b&a", "/x", NULL, NULL, ""},
        {"/x?a=%zz&a=+%26", "/x", NULL, NULL, " &"},
        {"/x?a=1;b&a=2", "/x", NULL, NULL, "2"},
        {"/x%2fy%20?", "/x/y ", "/x%2fy%20", NULL, NULL},
        {"//x?a=/../", "//x", NULL, "/x?a=/../", "/../"},
        {"http://h/x", "/x", NULL, NULL, NULL},
        {"HTTP://h:1//x?a=1", "//x", NULL, "/x?a=1", "1"},
        {"http://h", "/", NULL, NULL, NULL},
        {"http://h?a=1", "/", NULL, NULL, "1"},
        {"https://h/x?a=1", "/x", NULL, NULL, "1"},
        {"https://h", "/", NULL, NULL, NULL},
        {"https://?a=1", "/", NULL, NULL, "1"},
        {"*", "*", NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_head head;
        const char *why = NULL;
        char text[200];
        uint32_t at = 0;
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", cases[i].target);
        assert_int_equal(parse(&head, text, &why), 0);
        assert_string_equal(head.target, cases[i].target);
        assert_string_equal(head.path, cases[i].path);
        assert_int_equal(head.sent_path == NULL, cases[i].sent == NULL);
        if (cases[i].sent != NULL) assert_string_equal(head.sent_path, cases[i].sent);
        assert_int_equal(head.location.size == 0, cases[i].location == NULL);
        if (cases[i].location != NULL)
            assert_string_equal((const char *)head.location.at, cases[i].location);
        const char *a = http_head_argument(&head, "a", &at);
        assert_int_equal(a == NULL, cases[i].a == NULL);
        if (a != NULL) assert_string_equal(a, cases[i].a);
        http_head_fini(&head);
    }
}

UNIT_TEST(test_header_lines_have_their_order)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: x\r\nb:  2 \r\nB: 1\r\n\r\n";
    static const char *const lines[][2] = {{"Host", "x"}, {"b", "2"}, {"B", "1"}};
    struct http_head head;
    const char *why, *name, *value;
    assert_int_equal(parse(&head, text, &why), 0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(http_head_header_at(&head, i, &name, &value));
        assert_string_equal(name, lines[i][0]);
        assert_string_equal(value, lines[i][1]);
    }
    assert_false(http_head_header_at(&head, 3, &name, &value));
    assert_false(http_head_header_at(&head, UINT32_MAX, &name, &value));
    http_head_fini(&head);
}

/* Returns a whole body, fed in steps of `step` bytes; NULL if these are not chunks, or
 * do not end. */
static const char *
body_of(const char *text, size_t step, size_t *ret_left)
{
    static char body[200];
    struct http_chunks chunks = {.at = HTTP_CHUNK_SIZE};
    size_t used = 0;
    struct bytes all = bytes_of_text(text);
    while (all.size > 0 && chunks.at != HTTP_CHUNK_DONE) {
        struct bytes from = bytes_of(all.at, step < all.size ? step : all.size), piece;
        size_t given = from.size;
        while (from.size > 0 && chunks.at != HTTP_CHUNK_DONE) {
            if (http_chunks_take(&chunks, &from, &piece) != OK) return NULL;
            memcpy(body + used, piece.at, piece.size);
            used += piece.size;
        }
        all = bytes_of(all.at + given - from.size, all.size - given + from.size);
    }
    body[used] = '\0';
    *ret_left = all.size;
    return chunks.at == HTTP_CHUNK_DONE ? body : NULL;
}

UNIT_TEST(test_chunks_are_read_and_nothing_after_them)
{
    static const struct {
        const char *text, *body;
        size_t left;
    } cases[] = {
        {"3\r\nabc\r\n0\r\n\r\n", "abc", 0},
        {"3\r\nabc\r\n0\r\n\r\nGET", "abc", 3},
        {"0000a;x=\"y\"\r\n0123456789\r\n1 \r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\nrest", "0123456789x",
         4},
        {"0\r\n\r\n", "", 0},
        {"3\nabc\n0\n\n", NULL, 0},
        {"3\r\nabc0\r\n\r\n", NULL, 0},
        {"3\r\nabcd\r\n0\r\n\r\n", NULL, 0},
        {"-3\r\nabc", NULL, 0},
        {"0x3\r\nabc", NULL, 0},
        {"\r\nabc", NULL, 0},
        {"00000000000000003\r\nabc\r\n0\r\n\r\n", NULL, 0},
        {"ffffffffffffffff\r\nabc", NULL, 0},
        {"3;a\nb\r\nabc\r\n0\r\n\r\n", NULL, 0},
        {"1 \t;x\r\na\r\n0 \r\n\r\n", "a", 0},
        {"1 2\r\nabc\r\n0\r\n\r\n", NULL, 0},
        {"1;\x7f\r\na\r\n0\r\n\r\n", NULL, 0},
        {"0\r\nA: b\t\r\nC:\r\n\r\nx", "", 1},
        {"0\r\nA: b\n\r\n", NULL, 0},
        {"0\r\nA: b\rC: d\r\n\r\n", NULL, 0},
        {"0\r\nGET / HTTP/1.1\r\n\r\n", NULL, 0},
        {"0\r\n folded\r\n\r\n", NULL, 0},
        {"0\r\n:\r\n\r\n", NULL, 0},
        {"0\r\nA: b\x01\r\n\r\n", NULL, 0},
        {"0\r\nA\x01\r\n\r\n", NULL, 0},
        {"0\r\n\rx", NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t step = 1; step < 100; step += 3) {
            size_t left = 0;
            const char *body = body_of(cases[i].text, step, &left);
            assert_int_equal(body == NULL, cases[i].body == NULL);
            if (body == NULL) continue;
            assert_string_equal(body, cases[i].body);
            assert_int_equal(left, cases[i].left);
        }
    }
}

UNIT_TEST(test_endless_extensions_and_trailers_are_refused)
{
    static const char *const begins[] = {"3;", "0\r\nA: "};
    for (size_t i = 0; i < 2; i++) {
        struct http_chunks chunks = {.at = HTTP_CHUNK_SIZE};
        struct bytes from = bytes_of_text(begins[i]), piece;
        assert_int_equal(http_chunks_take(&chunks, &from, &piece), OK);
        enum err e = OK;
        for (size_t n = 0; e == OK; n++) {
            assert_true(n <= HTTP_TRAILERS_BYTES_MAX);
            from = bytes_of("x", 1);
            e = http_chunks_take(&chunks, &from, &piece);
        }
        assert_int_equal(e, ERR_INPUT);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_end_of_a_head_is_found_however_it_is_cut),
        cmocka_unit_test(test_a_malformed_head_is_refused),
        cmocka_unit_test(test_http_1_1_has_exactly_one_valid_host),
        cmocka_unit_test(test_more_headers_than_the_limit_are_refused),
        cmocka_unit_test(test_a_head_that_finds_no_memory_is_refused_with_that_reason),
        cmocka_unit_test(test_the_framing_of_a_body_is_read),
        cmocka_unit_test(test_paths_become_clean),
        cmocka_unit_test(test_names_of_dropped_arguments_are_known),
        cmocka_unit_test(test_targets_have_a_path_and_arguments),
        cmocka_unit_test(test_chunks_are_read_and_nothing_after_them),
        cmocka_unit_test(test_endless_extensions_and_trailers_are_refused),
        cmocka_unit_test(test_header_lines_have_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
