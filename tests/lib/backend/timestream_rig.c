/* timestream_rig.c - see timestream_rig.h. */
#include "lib/backend/timestream_rig.h"

void
timestream_rig_init(struct timestream_rig *rig)
{
    memset(rig, 0, sizeof *rig);
    unsetenv("AWS_ENDPOINT_URL");
    unsetenv("AWS_ENDPOINT_URL_TIMESTREAM_WRITE");
    assert_int_equal(sim_env_new(1, &rig->sim), OK);
    budget_init(&rig->memory, "test", 0, NULL);
    struct destination_settings *s = &rig->settings;
    s->name = "ts";
    s->type = DESTINATION_TIMESTREAM;
    s->timeout_ms = 30000;
    s->aws.region = "eu-west-1";
    s->aws.access_key.text = "AKID";
    s->aws.secret_key.text = "SECRETkey";
    s->aws.session_token.text = "SECRETtoken";
    s->u.timestream.database = "metrics";
    s->u.timestream.table = "prom";
    rig->options = (struct writer_options){
        .env = sim_env_env(rig->sim), .memory = &rig->memory, .settings = s, .instance = "0"};
}

void
timestream_rig_fini(struct timestream_rig *rig)
{
    assert_int_equal(budget_used(&rig->memory), 0);
    sim_env_free(rig->sim);
}

void
timestream_rig_advance(struct timestream_rig *rig, int64_t seconds)
{
    sim_env_advance_ns(rig->sim, seconds * NS_PER_S);
}

const char *
timestream_rig_header(const struct timestream_rig *rig, const char *name)
{
    size_t size = strlen(name);
    for (const char *const *h = rig->step.http.headers; *h != NULL; h++)
        if (strncmp(*h, name, size) == 0 && (*h)[size] == ':') return *h + size + 2;
    return "";
}

void
timestream_rig_expect_call(const struct timestream_rig *rig, const char *url, const char *operation,
                           const char *body)
{
    const struct http_call *call = &rig->step.http;
    char target[80];
    if (rig->step.next != WRITER_SEND) fail_msg("%s", rig->step.answer);
    assert_string_equal(call->method, "POST");
    assert_string_equal(call->url, url);
    snprintf(target, sizeof target, "Timestream_20181101.%s", operation);
    assert_string_equal(timestream_rig_header(rig, "X-Amz-Target"), target);
    assert_string_equal(timestream_rig_header(rig, "Content-Type"), "application/x-amz-json-1.0");
    expect_in(timestream_rig_header(rig, "Authorization"), "/eu-west-1/timestream/aws4_request");
    assert_string_equal(timestream_rig_header(rig, "X-Amz-Security-Token"), "SECRETtoken");
    if (!bytes_equal_text(call->body, body))
        fail_msg("'%.*s' instead of '%s'", (int)call->body.size, (const char *)call->body.at, body);
}

void
timestream_rig_expect_done(const struct timestream_rig *rig, enum writer_verdict verdict,
                           const char *reason, const char *says)
{
    const struct writer_step *step = &rig->step;
    assert_int_equal(step->next, WRITER_DONE);
    if (step->verdict != verdict) fail_msg("verdict %d: %s", step->verdict, step->answer);
    assert_string_equal(step->reason, reason);
    expect_in(step->answer, says);
    expect_no_secret(step->answer);
}
