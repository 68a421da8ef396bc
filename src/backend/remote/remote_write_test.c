/* remote_write_test.c - requests for items, and the meaning of each answer of a store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/writer.h"
#include "lib/test.h"
#include "model/labels.h"
#include "sys/sim.h"
#include "wire/remote/remote_write.h"
#include "wire/snappy.h"

#define must(call) assert_int_equal((call), OK)

struct rig {
    struct sim_env *sim;
    struct budget memory; /* of the writer */
    struct destination_settings settings;
    struct writer *writer;
    struct writer_call *call;
    struct writer_step step;
    struct buf labels;
    struct buf message;
    struct rw_request request;
    struct why why;
};

static const struct writer_class *const class = &remote_write_writer;

static void
rig_init(struct rig *rig)
{
    memset(rig, 0, sizeof *rig);
    must(sim_env_new(1, &rig->sim));
    budget_init(&rig->memory, "test", 0, NULL);
    rig->settings = (struct destination_settings){
        .name = "x",
        .type = DESTINATION_REMOTE_WRITE,
        .timeout_ms = 1000,
        .u.remote_write = {.url = "http://there/api/v1/write",
                           .protobuf_message = REMOTE_WRITE_AUTO,
                           .isolate = true},
    };
    buf_init(&rig->labels, NULL, 1 << 20);
    buf_init(&rig->message, NULL, 1 << 24);
    must(rw_request_init(&rig->request, NULL));
}

static void
rig_open(struct rig *rig)
{
    struct writer_options options = {
        .env = sim_env_env(rig->sim),
        .memory = &rig->memory,
        .settings = &rig->settings,
        .instance = "00",
    };
    must(writer_new(class, &options, &rig->writer, &rig->why));
    must(writer_call_new(class, rig->writer, &rig->call));
    class->call_clear(rig->writer, rig->call);
}

static void
rig_close(struct rig *rig)
{
    writer_call_free(class, rig->writer, rig->call);
    writer_free(class, rig->writer);
    assert_int_equal(budget_used(&rig->memory), 0);
}

static void
rig_fini(struct rig *rig)
{
    rig_close(rig);
    buf_fini(&rig->labels);
    buf_fini(&rig->message);
    rw_request_fini(&rig->request);
    sim_env_free(rig->sim);
}

static struct bytes
labels_of(struct rig *rig, const char *name, const char *job)
{
    buf_clear(&rig->labels);
    labels_put(&rig->labels, (struct label){bytes_of_text("__name__"), bytes_of_text(name)});
    labels_put(&rig->labels, (struct label){bytes_of_text("job"), bytes_of_text(job)});
    return buf_bytes(&rig->labels);
}

static enum writer_add
add_float(struct rig *rig, const char *name, const char *job, int64_t t_ms, uint64_t bits)
{
    uint32_t entry = 7;
    struct item item = {
        .kind = ITEM_FLOAT,
        .tenant = bytes_of_text("team"),
        .labels = labels_of(rig, name, job),
        .t_ms = t_ms,
        .start_ms = 5,
        .bits = bits,
    };
    enum writer_add added = class->add(rig->writer, rig->call, &item, &entry, &rig->why);
    if (added == WRITER_ADDED) assert_int_equal(entry, 0);
    return added;
}

static void
add_family(struct rig *rig, const char *name, const char *help)
{
    uint32_t entry;
    struct item item = {
        .kind = ITEM_METADATA,
        .tenant = bytes_of_text("team"),
        .family = bytes_of_text(name),
        .family_type = METRIC_COUNTER,
        .help = bytes_of_text(help),
    };
    assert_int_equal(class->add(rig->writer, rig->call, &item, &entry, &rig->why), WRITER_ADDED);
}

/* Returns the request's body, decoded. */
static void
send(struct rig *rig, enum rw_version version)
{
    memset(&rig->step, 0, sizeof rig->step);
    class->begin(rig->writer, rig->call, &rig->step);
    assert_int_equal(rig->step.next, WRITER_SEND);
    buf_clear(&rig->message);
    must(snappy_unpack(rig->step.http.body, &rig->message, &rig->why));
    must(rw_decode(&rig->request, version, buf_bytes(&rig->message), 0, &rig->why));
}

static bool
sends_header(const struct rig *rig, const char *line)
{
    for (const char *const *h = rig->step.http.headers; *h != NULL; h++)
        if (strcmp(*h, line) == 0) return true;
    return false;
}

static enum writer_verdict
answered(struct rig *rig, unsigned status, const char *written, const char *body)
{
    struct http_call_answer answer = {
        .failure = HTTP_CALL_ANSWERED, .status = status, .body = bytes_of_text(body)};
    snprintf(answer.wanted[1], sizeof answer.wanted[1], "%s", written);
    memset(&rig->step, 0, sizeof rig->step);
    class->judge(rig->writer, rig->call, &answer, &rig->step);
    assert_int_equal(rig->step.next, WRITER_DONE);
    return rig->step.verdict;
}

UNIT_TEST(test_a_request_holds_what_was_added)
{
    struct rig rig;
    rig_init(&rig);
    rig_open(&rig);
    assert_int_equal(add_float(&rig, "up", "a", 1000, 1), WRITER_ADDED);
    assert_int_equal(add_float(&rig, "up", "a", 2000, STALE_NAN_BITS), WRITER_ADDED);
    assert_int_equal(add_float(&rig, "up", "b", 1500, 3), WRITER_ADDED);
    send(&rig, RW_V2);
    assert_string_equal(rig.step.http.url, "http://there/api/v1/write");
    assert_string_equal(rig.step.http.method, "POST");
    assert_true(sends_header(
        &rig, "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request"));
    assert_true(sends_header(&rig, "Content-Encoding: snappy"));
    assert_true(sends_header(&rig, "X-Prometheus-Remote-Write-Version: 2.0.0"));
    assert_int_equal(rig.request.series_count, 2);
    assert_int_equal(rig.request.float_count, 3);
    assert_int_equal(answered(&rig, 204, "3", ""), VERDICT_DELIVERED);
    rig_fini(&rig);
}

UNIT_TEST(test_metadata_goes_with_its_series_in_2_0_and_by_itself_in_1_0)
{
    struct rig rig;
    rig_init(&rig);
    rig_open(&rig);
    add_family(&rig, "requests", "how many");
    assert_int_equal(add_float(&rig, "requests_total", "a", 1000, 1), WRITER_ADDED);
    send(&rig, RW_V2);
    assert_int_equal(rig.request.series_count, 1);
    assert_true(rig.request.series[0].has_metadata);
    assert_int_equal(rig.request.series[0].type, METRIC_COUNTER);
    assert_true(bytes_equal_text(rig.request.series[0].help, "how many"));
    rig_close(&rig);

    rig.settings.u.remote_write.protobuf_message = REMOTE_WRITE_V1;
    rig_open(&rig);
    add_family(&rig, "requests", "how many");
    send(&rig, RW_V1);
    assert_int_equal(rig.request.series_count, 0);
    assert_int_equal(rig.request.metadata_count, 1);
    assert_true(sends_header(&rig, "Content-Type: application/x-protobuf"));
    assert_int_equal(answered(&rig, 204, "", ""), VERDICT_DELIVERED);
    rig_fini(&rig);
}

UNIT_TEST(test_a_call_weighs_the_same_before_and_after_it_is_packed)
{
    for (unsigned v1 = 0; v1 < 2; v1++) {
        struct rig rig;
        rig_init(&rig);
        if (v1) rig.settings.u.remote_write.protobuf_message = REMOTE_WRITE_V1;
        rig_open(&rig);
        add_family(&rig, "requests", "how many");
        for (int64_t i = 0; i < 1000; i++)
            assert_int_equal(add_float(&rig, "up", "a", 1000 * i, 1), WRITER_ADDED);
        uint64_t bytes = class->bytes(rig.writer, rig.call);
        send(&rig, v1 ? RW_V1 : RW_V2);
        assert_true(rig.step.http.body.size < bytes / 2);
        /* The relay halves this size, and compares it with those of calls being filled. */
        assert_int_equal(class->bytes(rig.writer, rig.call), bytes);
        rig_fini(&rig);
    }
}

static void
add_some(struct rig *rig)
{
    class->call_clear(rig->writer, rig->call);
    add_family(rig, "requests", "how many");
    assert_int_equal(add_float(rig, "up", "a", 1000, 1), WRITER_ADDED);
    assert_int_equal(add_float(rig, "up", "b", 1500, 3), WRITER_ADDED);
}

UNIT_TEST(test_a_request_is_rebuilt_after_a_failed_allocation)
{
    for (unsigned v1 = 0; v1 < 2; v1++) {
        unsigned refused = 0;
        for (uint64_t nth = 1; nth < 20; nth++) {
            struct rig rig;
            rig_init(&rig);
            if (v1) rig.settings.u.remote_write.protobuf_message = REMOTE_WRITE_V1;
            rig_open(&rig);
            add_some(&rig);
            mem_fail_nth(nth, true);
            memset(&rig.step, 0, sizeof rig.step);
            class->begin(rig.writer, rig.call, &rig.step);
            mem_fail_nth(0, false);
            refused += rig.step.next == WRITER_DONE;
            bool rebuild = rig.step.verdict == VERDICT_REBUILD;
            if (rig.step.next == WRITER_DONE)
                assert_true(rebuild || rig.step.verdict == VERDICT_RETRY);
            if (rig.step.next == WRITER_DONE && rebuild) add_some(&rig);
            send(&rig, v1 ? RW_V1 : RW_V2);
            assert_int_equal(rig.request.float_count, 2);
            assert_int_equal(rig.request.series_count, 2);
            rig_fini(&rig);
        }
        assert_true(refused > 2);
    }
}

UNIT_TEST(test_a_store_of_1_0_is_found_out)
{
    static const struct {
        unsigned status;
        const char *written;
    } answers[] = {{415, ""}, {204, ""}, {200, "0"}};
    for (unsigned i = 0; i < 3; i++) {
        struct rig rig;
        rig_init(&rig);
        rig_open(&rig);
        add_float(&rig, "up", "a", 1, 1);
        send(&rig, RW_V2);
        assert_int_equal(answered(&rig, answers[i].status, answers[i].written, "no"),
                         VERDICT_REBUILD);
        class->call_clear(rig.writer, rig.call);
        add_float(&rig, "up", "a", 1, 1);
        send(&rig, RW_V1);
        assert_int_equal(answered(&rig, 204, "", ""), VERDICT_DELIVERED);
        sim_env_advance_ns(rig.sim, 25 * 3600 * NS_PER_S); /* a day later it is tried again */
        class->call_clear(rig.writer, rig.call);
        add_float(&rig, "up", "a", 1, 1);
        send(&rig, RW_V2);
        rig_fini(&rig);
    }
}

UNIT_TEST(test_a_version_set_by_hand_blocks_instead)
{
    struct rig rig;
    rig_init(&rig);
    rig.settings.u.remote_write.protobuf_message = REMOTE_WRITE_V2;
    rig_open(&rig);
    add_float(&rig, "up", "a", 1, 1);
    send(&rig, RW_V2);
    assert_int_equal(answered(&rig, 415, "", "what?"), VERDICT_BLOCKED);
    assert_string_equal(rig.step.answer,
                        "the server does not support this version of remote write: what?");
    assert_int_equal(answered(&rig, 204, "", ""), VERDICT_BLOCKED);
    assert_string_equal(rig.step.answer,
                        "the server answered 2xx, but reports that nothing was written");
    assert_int_equal(answered(&rig, 204, "1", ""), VERDICT_DELIVERED);
    rig_fini(&rig);
}

UNIT_TEST(test_each_answer_means_what_it_says)
{
    static const struct {
        unsigned status;
        enum writer_verdict verdict;
    } answers[] = {
        {400, VERDICT_SOME_DEAD}, {401, VERDICT_BLOCKED},   {403, VERDICT_BLOCKED},
        {404, VERDICT_BLOCKED},   {409, VERDICT_SOME_DEAD}, {413, VERDICT_TOO_LARGE},
        {422, VERDICT_SOME_DEAD}, {429, VERDICT_THROTTLED}, {500, VERDICT_RETRY},
        {503, VERDICT_RETRY},     {302, VERDICT_BLOCKED},   {408, VERDICT_RETRY},
    };
    struct rig rig;
    rig_init(&rig);
    rig_open(&rig);
    add_float(&rig, "up", "a", 1, 1);
    send(&rig, RW_V2);
    for (unsigned i = 0; i < sizeof answers / sizeof *answers; i++) {
        assert_int_equal(answered(&rig, answers[i].status, "", "it said\nno"), answers[i].verdict);
        char reason[16];
        snprintf(reason, sizeof reason, "http_%u", answers[i].status);
        assert_string_equal(rig.step.reason, reason);
        assert_string_equal(rig.step.answer, "it said no");
    }
    struct http_call_answer none = {.failure = HTTP_CALL_TIMEOUT};
    memset(&rig.step, 0, sizeof rig.step);
    class->judge(rig.writer, rig.call, &none, &rig.step);
    assert_int_equal(rig.step.verdict, VERDICT_RETRY);
    assert_string_equal(rig.step.reason, "timeout");
    rig_fini(&rig);
}

UNIT_TEST(test_a_refused_call_is_dead_as_a_whole_if_nothing_is_to_be_sent_again)
{
    static const struct {
        unsigned status;
        enum writer_verdict verdict;
    } answers[] = {
        {400, VERDICT_DEAD_CALL}, {409, VERDICT_DEAD_CALL}, {422, VERDICT_DEAD_CALL},
        {401, VERDICT_BLOCKED},   {404, VERDICT_BLOCKED},   {413, VERDICT_TOO_LARGE},
        {429, VERDICT_THROTTLED}, {503, VERDICT_RETRY},
    };
    struct rig rig;
    rig_init(&rig);
    rig.settings.u.remote_write.isolate = false;
    rig_open(&rig);
    add_float(&rig, "up", "a", 1, 1);
    add_float(&rig, "up", "b", 1, 1);
    send(&rig, RW_V2);
    for (unsigned i = 0; i < sizeof answers / sizeof *answers; i++)
        assert_int_equal(answered(&rig, answers[i].status, "1", "no"), answers[i].verdict);
    rig_fini(&rig);
}

UNIT_TEST(test_a_refusal_may_say_how_many)
{
    struct rig rig;
    rig_init(&rig);
    rig_open(&rig);
    for (int64_t t_ms = 1; t_ms <= 3; t_ms++)
        add_float(&rig, "up", "a", t_ms, 1);
    send(&rig, RW_V2);
    answered(&rig, 400, "1", "out of order sample for series {__name__=\"up\", job=\"b\"}\n");
    assert_int_equal(rig.step.verdict, VERDICT_SOME_DEAD);
    assert_int_equal(rig.step.refused, 2);
    /* If none or all were written, the refused samples are unknown. */
    answered(&rig, 400, "0", "no");
    assert_int_equal(rig.step.refused, 0);
    answered(&rig, 400, "3", "");
    assert_int_equal(rig.step.refused, 0);
    answered(&rig, 400, "", "");
    assert_int_equal(rig.step.refused, 0);
    rig_fini(&rig);
}

/* Answers as Firekeep does to a request of 2.0, or of 1.0 (`written` NULL). */
static void
firekeep_refuses(struct rig *rig, const char *written, const char *body)
{
    struct http_call_answer answer = {
        .failure = HTTP_CALL_ANSWERED, .status = 400, .body = bytes_of_text(body)};
    for (unsigned i = 1; i < 4 && written != NULL; i++)
        snprintf(answer.wanted[i], sizeof answer.wanted[i], "%s", i == 1 ? written : "0");
    memset(&rig->step, 0, sizeof rig->step);
    class->judge(rig->writer, rig->call, &answer, &rig->step);
    assert_int_equal(rig->step.next, WRITER_DONE);
}

UNIT_TEST(test_a_count_of_as_many_as_there_are_says_that_all_are_refused)
{
    static const struct {
        const char *body;
        enum writer_verdict verdict;
        uint32_t refused;
    } answers[] = {
        {"refused: 3 value_too_long; value_too_long at 1: {job=\"a\"}\n", VERDICT_DEAD, 0},
        {"refused: 2 too_old, 1 conflict\n", VERDICT_DEAD, 0},
        {"refused: 2 too_old", VERDICT_SOME_DEAD, 2},
        {"refused: 1 too_old, 1 conflict; and so on", VERDICT_SOME_DEAD, 2},
        {"refused: 3 because", VERDICT_SOME_DEAD, 0},
        {"refused: 3 none", VERDICT_SOME_DEAD, 0},
        {"refused: 3 too_old of 4", VERDICT_SOME_DEAD, 0},
        {"refused: 3", VERDICT_SOME_DEAD, 0},
        {"refused: 3 ", VERDICT_SOME_DEAD, 0},
        {"refused: 2 too_old, 1", VERDICT_SOME_DEAD, 0},
        {"refused: 18446744073709551617 too_old", VERDICT_SOME_DEAD, 0},
        {"refused: 0 too_old", VERDICT_SOME_DEAD, 0},
        {"refused: ", VERDICT_SOME_DEAD, 0},
        {"", VERDICT_SOME_DEAD, 0},
    };
    for (unsigned v1 = 0; v1 < 2; v1++) {
        struct rig rig;
        rig_init(&rig);
        if (v1) rig.settings.u.remote_write.protobuf_message = REMOTE_WRITE_V1;
        rig_open(&rig);
        for (int64_t t_ms = 1; t_ms <= 3; t_ms++)
            add_float(&rig, "up", "a", t_ms, 1);
        send(&rig, v1 ? RW_V1 : RW_V2);
        for (unsigned i = 0; i < sizeof answers / sizeof *answers; i++) {
            char written[8];
            snprintf(written, sizeof written, "%u",
                     answers[i].verdict == VERDICT_DEAD ? 0 : 3 - answers[i].refused);
            firekeep_refuses(&rig, v1 ? NULL : written, answers[i].body);
            assert_int_equal(rig.step.verdict, answers[i].verdict);
            assert_int_equal(rig.step.refused, answers[i].refused);
        }
        rig_fini(&rig);
    }
}

UNIT_TEST(test_refused_metadata_is_not_counted_as_a_sample)
{
    struct rig rig;
    rig_init(&rig);
    rig_open(&rig);
    add_float(&rig, "up", "a", 1, 1);
    add_float(&rig, "up", "a", 2, 1);
    send(&rig, RW_V2);
    firekeep_refuses(&rig, "1", "refused: 1 too_old, 1 bad_utf8\n"); /* one of them is a family */
    assert_int_equal(rig.step.verdict, VERDICT_SOME_DEAD);
    assert_int_equal(rig.step.refused, 1);
    firekeep_refuses(&rig, "0", "refused: 2 too_old, 1 bad_utf8\n");
    assert_int_equal(rig.step.verdict, VERDICT_DEAD);
    firekeep_refuses(&rig, NULL, "refused: 2 too_old\n"); /* without the number written */
    assert_int_equal(rig.step.verdict, VERDICT_SOME_DEAD);
    for (unsigned v1 = 0; v1 < 2; v1++) { /* a family of the call itself, which was not refused */
        rig_close(&rig);
        if (v1) rig.settings.u.remote_write.protobuf_message = REMOTE_WRITE_V1;
        rig_open(&rig);
        add_family(&rig, "requests", "how many");
        add_float(&rig, "up", "a", 1, 1);
        send(&rig, v1 ? RW_V1 : RW_V2);
        firekeep_refuses(&rig, v1 ? NULL : "0", "refused: 1 too_old\n");
        assert_int_equal(rig.step.verdict, VERDICT_SOME_DEAD);
        firekeep_refuses(&rig, v1 ? NULL : "0", "refused: 1 too_old, 1 bad_utf8\n");
        assert_int_equal(rig.step.verdict, VERDICT_SOME_DEAD);
    }
    rig_fini(&rig);
}

UNIT_TEST(test_families_alone_do_not_make_a_request_of_2_0)
{
    struct rig rig;
    rig_init(&rig);
    rig_open(&rig);
    add_family(&rig, "requests", "how many");
    rig.step = (struct writer_step){.next = WRITER_SEND};
    class->begin(rig.writer, rig.call, &rig.step);
    assert_int_equal(rig.step.next, WRITER_DONE);
    assert_int_equal(rig.step.verdict, VERDICT_DELIVERED);
    assert_int_equal(class->bytes(rig.writer, rig.call), 0);
    class->call_clear(rig.writer, rig.call);
    add_float(&rig, "requests_total", "a", 1000, 1); /* it goes with the next items */
    send(&rig, RW_V2);
    assert_true(rig.request.series[0].has_metadata);
    rig_close(&rig);

    rig.settings.u.remote_write.protobuf_message = REMOTE_WRITE_V1;
    rig_open(&rig);
    add_family(&rig, "requests", "how many");
    send(&rig, RW_V1);
    assert_int_equal(rig.request.metadata_count, 1);
    rig_fini(&rig);
}

UNIT_TEST(test_secrets_become_headers)
{
    struct rig rig;
    struct named_secret extra[] = {{"X-Extra", {.text = "yes"}}};
    rig_init(&rig);
    rig.settings.http.headers = (struct named_secrets){extra, 1};
    rig.settings.u.remote_write.basic_auth =
        (struct basic_auth_settings){.username = "user", .password = {.text = "pass"}};
    rig_open(&rig);
    add_float(&rig, "up", "a", 1, 1);
    send(&rig, RW_V2);
    assert_true(sends_header(&rig, "Authorization: Basic dXNlcjpwYXNz"));
    assert_true(sends_header(&rig, "X-Extra: yes"));
    rig_close(&rig);

    rig.settings.u.remote_write.basic_auth = (struct basic_auth_settings){.username = NULL};
    rig.settings.u.remote_write.authorization =
        (struct authorization_settings){.credentials = {.text = "two\nlines"}};
    rig_open(&rig);
    add_float(&rig, "up", "a", 1, 1);
    memset(&rig.step, 0, sizeof rig.step);
    class->begin(rig.writer, rig.call, &rig.step); /* no header can contain it */
    assert_int_equal(rig.step.next, WRITER_DONE);
    assert_int_equal(rig.step.verdict, VERDICT_BLOCKED);
    rig_fini(&rig);
}

static void
take_token(struct rig *rig, const char *body)
{
    struct http_call_answer answer = {
        .failure = HTTP_CALL_ANSWERED, .status = 200, .body = bytes_of_text(body)};
    memset(&rig->step, 0, sizeof rig->step);
    class->prepare(rig->writer, NULL, &rig->step);
    assert_int_equal(rig->step.next, WRITER_SEND);
    memset(&rig->step, 0, sizeof rig->step);
    class->prepare(rig->writer, &answer, &rig->step);
    assert_int_equal(rig->step.next, WRITER_DONE);
    assert_int_equal(rig->step.verdict, VERDICT_DELIVERED);
}

UNIT_TEST(test_a_token_is_used_however_short_it_lives)
{
    static const struct {
        const char *answer;
        int64_t good_ms, due_ms;
    } tokens[] = {
        {"{\"access_token\":\"t\",\"expires_in\":3600}", 3589000, 3591000},
        {"{\"access_token\":\"t\",\"expires_in\":\"8\"}", 3900, 4100},
        {"{\"access_token\":\"t\"}", 86400000, 0},
    };
    for (unsigned i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        struct rig rig;
        rig_init(&rig);
        rig.settings.u.remote_write.oauth2 =
            (struct oauth2_settings){.client_id = "us", .token_url = "http://there/token"};
        rig_open(&rig);
        assert_true(class->need_prepare(rig.writer));
        take_token(&rig, tokens[i].answer);
        assert_false(class->need_prepare(rig.writer));
        add_float(&rig, "up", "a", 1, 1);
        send(&rig, RW_V2);
        assert_true(sends_header(&rig, "Authorization: Bearer t"));
        sim_env_advance_ns(rig.sim, tokens[i].good_ms * 1000000);
        assert_false(class->need_prepare(rig.writer));
        if (tokens[i].due_ms > 0) {
            sim_env_advance_ns(rig.sim, (tokens[i].due_ms - tokens[i].good_ms) * 1000000);
            assert_true(class->need_prepare(rig.writer));
        }
        rig_fini(&rig);
    }
}

UNIT_TEST(test_requests_are_signed_for_aws)
{
    struct rig rig;
    rig_init(&rig);
    rig.settings.u.remote_write.url = "https://aps.example/workspaces/w/api/v1/remote_write";
    rig.settings.u.remote_write.sigv4 = (struct sigv4_settings){
        .given = true,
        .aws = {.region = "eu-west-1",
                .access_key = {.text = "AKID"},
                .secret_key = {.text = "secret"}},
    };
    rig_open(&rig);
    assert_true(class->need_prepare(rig.writer));
    memset(&rig.step, 0, sizeof rig.step);
    class->prepare(rig.writer, NULL, &rig.step);
    assert_int_equal(rig.step.next, WRITER_DONE);
    assert_int_equal(rig.step.verdict, VERDICT_DELIVERED);
    assert_false(class->need_prepare(rig.writer));
    add_float(&rig, "up", "a", 1, 1);
    send(&rig, RW_V2);
    assert_string_equal(rig.step.http.url, "https://aps.example/workspaces/w/api/v1/remote_write");
    bool is_signed = false;
    for (const char *const *h = rig.step.http.headers; *h != NULL; h++) {
        is_signed |= strncmp(*h, "Authorization: AWS4-HMAC-SHA256 Credential=AKID/", 48) == 0 &&
                     strstr(*h, "/eu-west-1/aps/aws4_request") != NULL;
    }
    assert_true(is_signed);
    assert_true(sends_header(&rig, "Content-Encoding: snappy"));
    assert_int_equal(answered(&rig, 403, "", "{\"__type\":\"ExpiredTokenException\"}"),
                     VERDICT_UNPREPARED);
    assert_true(class->need_prepare(rig.writer));
    rig_fini(&rig);
}

UNIT_TEST(test_with_a_tenants_header_a_request_is_of_one_tenant)
{
    struct rig rig;
    uint32_t entry;
    rig_init(&rig);
    rig.settings.tenant_header = "X-Scope-OrgID";
    rig_open(&rig);
    add_float(&rig, "up", "a", 1, 1);
    struct item other = {
        .kind = ITEM_FLOAT,
        .tenant = bytes_of_text("others"),
        .labels = labels_of(&rig, "up", "a"),
    };
    assert_int_equal(class->add(rig.writer, rig.call, &other, &entry, &rig.why), WRITER_FULL);
    send(&rig, RW_V2);
    assert_true(sends_header(&rig, "X-Scope-OrgID: team"));
    rig_fini(&rig);
}

static enum writer_verdict
judge_check(struct rig *rig, unsigned status)
{
    char what[WRITER_ANSWER_BYTES];
    struct http_call_answer answer = {.status = status};
    rig->step = (struct writer_step){.next = WRITER_SEND};
    assert_true(class->check(rig->writer, 0, &answer, &rig->step, what));
    assert_int_equal(rig->step.next, WRITER_DONE);
    return rig->step.verdict;
}

UNIT_TEST(test_a_check_is_a_write_of_nothing)
{
    struct rig rig;
    char what[WRITER_ANSWER_BYTES];
    rig_init(&rig);
    rig_open(&rig);
    for (unsigned version = 2; version > 0; version--) {
        rig.step = (struct writer_step){.next = WRITER_DONE};
        assert_true(class->check(rig.writer, 0, NULL, &rig.step, what));
        assert_int_equal(rig.step.next, WRITER_SEND);
        assert_string_equal(rig.step.http.method, "POST");
        assert_string_equal(rig.step.http.url, "http://there/api/v1/write");
        buf_clear(&rig.message);
        must(snappy_unpack(rig.step.http.body, &rig.message, &rig.why));
        assert_true(rig.message.size <= 2); /* 2.0 has the empty text among its symbols */
        assert_int_equal(judge_check(&rig, 204), VERDICT_DELIVERED);
        assert_false(rig.step.is_unproven);
        assert_int_equal(judge_check(&rig, 400), VERDICT_DELIVERED); /* because it lacks series */
        assert_true(rig.step.is_unproven);
        assert_non_null(strstr(rig.step.answer, "answered 400, so only a sample shows"));
        assert_int_equal(judge_check(&rig, 401), VERDICT_BLOCKED);
        assert_int_equal(judge_check(&rig, 404), VERDICT_BLOCKED);
        assert_int_equal(judge_check(&rig, 503), VERDICT_RETRY);
        /* The second check is a request of 1.0. */
        enum writer_verdict verdict = judge_check(&rig, 415);
        assert_int_equal(verdict, version == 2 ? VERDICT_REBUILD : VERDICT_BLOCKED);
    }
    assert_false(class->check(rig.writer, 1, NULL, &rig.step, what));
    rig_fini(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_holds_what_was_added),
        cmocka_unit_test(test_metadata_goes_with_its_series_in_2_0_and_by_itself_in_1_0),
        cmocka_unit_test(test_a_call_weighs_the_same_before_and_after_it_is_packed),
        cmocka_unit_test(test_a_request_is_rebuilt_after_a_failed_allocation),
        cmocka_unit_test(test_a_store_of_1_0_is_found_out),
        cmocka_unit_test(test_a_version_set_by_hand_blocks_instead),
        cmocka_unit_test(test_each_answer_means_what_it_says),
        cmocka_unit_test(test_a_refused_call_is_dead_as_a_whole_if_nothing_is_to_be_sent_again),
        cmocka_unit_test(test_a_refusal_may_say_how_many),
        cmocka_unit_test(test_a_count_of_as_many_as_there_are_says_that_all_are_refused),
        cmocka_unit_test(test_refused_metadata_is_not_counted_as_a_sample),
        cmocka_unit_test(test_families_alone_do_not_make_a_request_of_2_0),
        cmocka_unit_test(test_secrets_become_headers),
        cmocka_unit_test(test_a_token_is_used_however_short_it_lives),
        cmocka_unit_test(test_requests_are_signed_for_aws),
        cmocka_unit_test(test_with_a_tenants_header_a_request_is_of_one_tenant),
        cmocka_unit_test(test_a_check_is_a_write_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
