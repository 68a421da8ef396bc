/* remote_read_test.c - the request. remote_read_answer_test.c tests answers. */
#include "lib/test.h"

#include <stdlib.h>

#include "lib/random.h"
#include "lib/wire/proto_text.h"
#include "remote_read.pb-c.h"
#include "wire/remote/remote_read.h"

struct fixture {
    struct budget budget;
    struct arena arena;
    struct buf message;
    struct rr_request request;
    struct why why;
};

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    budget_init(&f->budget, "test", 0, NULL);
    arena_init(&f->arena, &f->budget, 64 << 20, 0);
    buf_init(&f->message, &f->budget, 64 << 20);
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;
    buf_fini(&f->message);
    arena_fini(&f->arena);
    int leaked = budget_used(&f->budget) != 0;
    free(f);
    return leaked;
}

static enum err
decode_text(struct fixture *f, const char *text)
{
    buf_clear(&f->message);
    arena_reset(&f->arena);
    assert_int_equal(*proto_text(&f->message, text), '\0');
    f->why.text[0] = '\0';
    f->request = (struct rr_request){0};
    return rr_decode(buf_bytes(&f->message), &f->arena, &f->request, &f->why);
}

/* Checks that it is refused, with a sentence. */
static void
check_refused(struct fixture *f, enum err e, const char *text)
{
    assert_int_equal(decode_text(f, text), e);
    assert_true(f->why.text[0] != '\0');
    assert_null(f->request.queries);
}

static void
test_request_of_prometheus_is_read(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        decode_text(f,
                    "0a{ 08 =1000 10 =2000"
                    "    1a{ 12{'__name__'} 1a{'up'} }"
                    "    1a{ 08 =3 12{'job'} 1a{'a|b'} }"
                    "    22{ 08 =15000 12{'rate'} 18 =900 20 =1900 2a{'instance'} 30 =1 38 =300 }"
                    "}"
                    "0a{ 08 =-5 10 =-1 1a{} }"
                    "12{ =1 =0 }"),
        OK);
    const struct rr_request *r = &f->request;
    assert_int_equal(r->query_count, 2);
    assert_int_equal(r->answer, RR_STREAMED_XOR_CHUNKS);
    const struct rr_query *q = &r->queries[0];
    assert_int_equal(q->min_ms, 1000);
    assert_int_equal(q->max_ms, 2000);
    assert_int_equal(q->matcher_count, 2);
    assert_int_equal(q->matchers[0].type, 0);
    assert_true(bytes_equal_text(q->matchers[0].name, "__name__"));
    assert_true(bytes_equal_text(q->matchers[0].value, "up"));
    assert_int_equal(q->matchers[1].type, 3);
    assert_true(bytes_equal_text(q->matchers[1].value, "a|b"));
    assert_int_equal(q->hints.step_ms, 15000);
    assert_true(bytes_equal_text(q->hints.func, "rate"));
    assert_int_equal(q->hints.min_ms, 900);
    assert_int_equal(q->hints.max_ms, 1900);
    assert_int_equal(q->hints.range_ms, 300);
    assert_int_equal(r->queries[1].min_ms, -5);
    assert_int_equal(r->queries[1].max_ms, -1);
    assert_int_equal(r->queries[1].matcher_count, 1);
    assert_int_equal(r->queries[1].matchers[0].name.size, 0);
    assert_int_equal(r->queries[1].hints.func.size, 0);
}

static void
test_groups_are_skipped_in_every_message(void **state)
{
    struct fixture *f = *state;
/* a group of field 30, with another one in it */
#define GROUP "f3 01 08 =1 fb 01 1a{'x'} fc 01 f4 01 "
    assert_int_equal(decode_text(f, GROUP "0a{ " GROUP "08 =1000 " GROUP "10 =2000 "
                                          "1a{ " GROUP "12{'__name__'} " GROUP "1a{'up'} " GROUP "}"
                                          "22{ 08 =15000 " GROUP "12{'rate'} }"
                                          "1a{ 12{'job'} 1a{'a'} }" GROUP "}" GROUP "12{ =1 }"),
                     OK);
    const struct rr_request *r = &f->request;
    assert_int_equal(r->query_count, 1);
    assert_int_equal(r->answer, RR_STREAMED_XOR_CHUNKS);
    const struct rr_query *q = &r->queries[0];
    assert_int_equal(q->min_ms, 1000);
    assert_int_equal(q->max_ms, 2000);
    assert_int_equal(q->matcher_count, 2);
    assert_true(bytes_equal_text(q->matchers[0].name, "__name__"));
    assert_true(bytes_equal_text(q->matchers[0].value, "up"));
    assert_true(bytes_equal_text(q->matchers[1].name, "job"));
    assert_int_equal(q->hints.step_ms, 15000);
    assert_true(bytes_equal_text(q->hints.func, "rate"));
#undef GROUP
    check_refused(f, ERR_INPUT, "f3 01"); /* a group without an end */
    check_refused(f, ERR_INPUT,
                  "0a{ f3 01 } f4 01"); /* the end of the group is outside of its message */
    check_refused(f, ERR_INPUT,
                  "0a{ 1a{ f3 01 fc 01 } }"); /* the group ends with the number of another field */
    check_refused(f, ERR_INPUT, "0b 0c");     /* a known field, sent as a group */
}

static void
test_empty_request_asks_nothing_and_takes_samples(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(decode_text(f, ""), OK);
    assert_int_equal(f->request.query_count, 0);
    assert_int_equal(f->request.answer, RR_SAMPLES);
}

static void
test_first_known_answer_of_the_list_wins(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text;
        enum rr_answer answer;
    } cases[] = {
        {"12{ =0 =1 }", RR_SAMPLES},
        {"12{ =1 =0 }", RR_STREAMED_XOR_CHUNKS},
        {"12{ =7 =1 }", RR_STREAMED_XOR_CHUNKS},
        {"10 =1", RR_STREAMED_XOR_CHUNKS},
        {"10 =9 10 =0 10 =1", RR_SAMPLES},
        {"12{}", RR_SAMPLES},
        {"12{ =-1 =0 }", RR_SAMPLES},
        {"12{ =5 } 10 =1", RR_STREAMED_XOR_CHUNKS},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(decode_text(f, cases[i].text), OK);
        assert_int_equal(f->request.answer, cases[i].answer);
    }
    check_refused(f, ERR_INPUT, "12{ =2 }");
    check_refused(f, ERR_INPUT, "10 =2 10 =4294967296");
}

static void
test_unknown_fields_are_skipped_and_wrong_types_refused(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(decode_text(f, "7a{'later'} 0a{ 28 =1 1a{ 22{'x'} 08 =1 } 3d 00000000 }"), OK);
    assert_int_equal(f->request.queries[0].matchers[0].type, 1);
    /* An unused hint may have any value; the used ones may not. */
    assert_int_equal(decode_text(f, "0a{ 22{ 28 =1 32{'x'} } }"), OK);
    check_refused(f, ERR_INPUT, "0a{ 22{ 0a{'x'} } }");
    check_refused(f, ERR_INPUT, "08 =1");
    check_refused(f, ERR_INPUT, "0a{ 0a{'x'} }");
    check_refused(f, ERR_INPUT, "0a{ 18 =1 }");
    check_refused(f, ERR_INPUT, "0a{ 1a{ 10 =1 } }");
    check_refused(f, ERR_INPUT, "0a{ 1a{ 08 =4 } }");
    check_refused(f, ERR_INPUT, "0a{ 1a{ 08 =-1 } }");
    check_refused(f, ERR_INPUT, "12{ 80 }");
    check_refused(f, ERR_INPUT, "0a ff");
    check_refused(f, ERR_INPUT, "00");
}

static void
repeat(struct buf *to, const char *text, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(*proto_text(to, text), '\0');
}

static void
test_too_many_queries_or_matchers_are_refused_before_memory_is_taken(void **state)
{
    struct fixture *f = *state;
    for (unsigned over = 0; over <= 1; over++) {
        enum err expected = over == 0 ? OK : ERR_LIMIT;
        buf_clear(&f->message);
        repeat(&f->message, "0a{}", RR_QUERIES_MAX + over);
        assert_int_equal(rr_decode(buf_bytes(&f->message), &f->arena, &f->request, NULL), expected);

        struct buf query;
        buf_init(&query, NULL, 1 << 20);
        repeat(&query, "1a{}", RR_MATCHERS_MAX + over);
        buf_clear(&f->message);
        buf_put_u8(&f->message, 0x0a);
        buf_put_counted(&f->message, buf_bytes(&query));
        buf_fini(&query);
        assert_int_equal(rr_decode(buf_bytes(&f->message), &f->arena, &f->request, NULL), expected);
    }
    struct arena small;
    arena_init(&small, NULL, 64, 0);
    assert_int_equal(decode_text(f, "0a{} 0a{}"), OK);
    assert_int_equal(rr_decode(buf_bytes(&f->message), &small, &f->request, NULL), ERR_NOMEM);
    arena_fini(&small);
}

/* --- against protobuf-c ----------------------------------------------------------------------- */

static ProtobufCBinaryData
random_text(struct rng *r, struct arena *arena)
{
    size_t size = rng_below(r, 20);
    uint8_t *at = arena_new(arena, size + 1);
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)rng_next(r);
    return (ProtobufCBinaryData){size, at};
}

static Rrtest__Query *
random_query(struct rng *r, struct arena *arena)
{
    Rrtest__Query *q = arena_new(arena, sizeof *q);
    rrtest__query__init(q);
    q->start_timestamp_ms = (int64_t)(rng_next(r) >> rng_below(r, 64));
    q->end_timestamp_ms = (int64_t)rng_next(r);
    q->n_matchers = rng_below(r, 6);
    q->matchers = arena_new(arena, (q->n_matchers + 1) * sizeof *q->matchers);
    for (size_t i = 0; i < q->n_matchers; i++) {
        Rrtest__LabelMatcher *m = arena_new(arena, sizeof *m);
        rrtest__label_matcher__init(m);
        m->type = (Rrtest__LabelMatcher__Type)rng_below(r, 4);
        m->name = random_text(r, arena);
        m->value = random_text(r, arena);
        q->matchers[i] = m;
    }
    if (rng_below(r, 2) == 0) return q;
    q->hints = arena_new(arena, sizeof *q->hints);
    rrtest__read_hints__init(q->hints);
    q->hints->step_ms = (int64_t)rng_next(r);
    q->hints->func = random_text(r, arena);
    q->hints->start_ms = (int64_t)rng_next(r);
    q->hints->end_ms = -(int64_t)rng_below(r, 1000);
    q->hints->range_ms = (int64_t)rng_below(r, 100000);
    q->hints->by = 1;
    return q;
}

static bool
same_text(ProtobufCBinaryData a, struct bytes b)
{
    return bytes_equal(bytes_of(a.data, a.len), b);
}

static void
check_query(const Rrtest__Query *in, const struct rr_query *out)
{
    assert_int_equal(in->start_timestamp_ms, out->min_ms);
    assert_int_equal(in->end_timestamp_ms, out->max_ms);
    assert_int_equal(in->n_matchers, out->matcher_count);
    for (size_t i = 0; i < in->n_matchers; i++) {
        assert_int_equal(in->matchers[i]->type, out->matchers[i].type);
        assert_true(same_text(in->matchers[i]->name, out->matchers[i].name));
        assert_true(same_text(in->matchers[i]->value, out->matchers[i].value));
    }
    Rrtest__ReadHints none;
    rrtest__read_hints__init(&none);
    const Rrtest__ReadHints *hints = in->hints == NULL ? &none : in->hints;
    assert_int_equal(hints->step_ms, out->hints.step_ms);
    assert_int_equal(hints->start_ms, out->hints.min_ms);
    assert_int_equal(hints->end_ms, out->hints.max_ms);
    assert_int_equal(hints->range_ms, out->hints.range_ms);
    assert_true(same_text(hints->func, out->hints.func));
}

static void
test_a_request_of_protobuf_is_decoded_and_truncation_is_safe(void **state)
{
    struct fixture *f = *state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rng r = {seed};
        Rrtest__ReadRequest in;
        rrtest__read_request__init(&in);
        arena_reset(&f->arena);
        in.n_queries = rng_below(&r, 5);
        in.queries = arena_new(&f->arena, (in.n_queries + 1) * sizeof *in.queries);
        for (size_t i = 0; i < in.n_queries; i++)
            in.queries[i] = random_query(&r, &f->arena);
        Rrtest__ReadRequest__ResponseType types[] = {seed % 2};
        in.accepted_response_types = types;
        in.n_accepted_response_types = 1;
        buf_clear(&f->message);
        size_t size = rrtest__read_request__get_packed_size(&in);
        assert_true(buf_reserve(&f->message, size + 1));
        f->message.size = rrtest__read_request__pack(&in, f->message.at);

        struct rr_request out;
        assert_int_equal(rr_decode(buf_bytes(&f->message), &f->arena, &out, NULL), OK);
        assert_int_equal(out.query_count, in.n_queries);
        assert_int_equal(out.answer, seed % 2);
        for (size_t i = 0; i < in.n_queries; i++)
            check_query(in.queries[i], &out.queries[i]);
        for (size_t cut = 0; cut < size; cut++) {
            uint8_t *copy = malloc(cut + 1);
            assert_non_null(copy);
            memcpy(copy, f->message.at, cut);
            enum err e = rr_decode(bytes_of(copy, cut), &f->arena, &out, NULL);
            assert_true(e == OK || e == ERR_INPUT); /* it may end between two fields */
            free(copy);
        }
    }
}

static void
test_any_failed_allocation_of_the_decoder_is_an_error(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(decode_text(f, "0a{ 1a{} } 0a{ 1a{} 1a{} }"), OK);
    for (unsigned nth = 1;; nth++) {
        struct arena arena;
        arena_init(&arena, &f->budget, 0, 32);
        mem_fail_nth(nth, false);
        enum err e = rr_decode(buf_bytes(&f->message), &arena, &f->request, NULL);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        arena_fini(&arena);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        if (!fired) break;
    }
}

int
main(void)
{
#define REQUEST_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        REQUEST_TEST(test_request_of_prometheus_is_read),
        REQUEST_TEST(test_groups_are_skipped_in_every_message),
        REQUEST_TEST(test_empty_request_asks_nothing_and_takes_samples),
        REQUEST_TEST(test_first_known_answer_of_the_list_wins),
        REQUEST_TEST(test_unknown_fields_are_skipped_and_wrong_types_refused),
        REQUEST_TEST(test_too_many_queries_or_matchers_are_refused_before_memory_is_taken),
        REQUEST_TEST(test_a_request_of_protobuf_is_decoded_and_truncation_is_safe),
        REQUEST_TEST(test_any_failed_allocation_of_the_decoder_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
