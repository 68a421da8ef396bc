/* stream.c - see stream.h. */
#include "backend/kinesis/stream.h"

#include <stdio.h>

#include "base/text/json.h"

enum { REQUEST_BYTES_MAX = 128 << 10 };

enum err
stream_init(struct stream_writer *w, const char *endpoint, struct why *why)
{
    struct budget *memory = w->base.options.memory;
    const struct aws_record_limits *limits = &w->record_limits;
    buf_init(&w->head, memory, limits->head_bytes);
    buf_init(&w->request, memory, REQUEST_BYTES_MAX);
    buf_init(&w->scratch, memory, limits->record_bytes_max);
    aws_records_body_init(&w->body, memory, limits);
    buf_put_u8(&w->head, '{');
    stream_put_name(w, &w->head);
    buf_put_text(&w->head, ",\"Records\":[");
    enum err e = buf_error(&w->head);
    if (e) return e;
    const struct aws_caller_options caller = {&w->base.options, &w->type->service, endpoint,
                                              w->type->operations, "application/x-amz-json-1.1"};
    return aws_caller_new(&caller, &w->caller, why);
}

void
stream_fini(struct stream_writer *w)
{
    aws_caller_free(w->caller);
    buf_fini(&w->head);
    buf_fini(&w->request);
    buf_fini(&w->scratch);
    buf_fini(&w->body);
}

void
stream_put_name(const struct stream_writer *w, struct buf *to)
{
    buf_printf(to, "\"%s\":", w->name_key);
    (void)json_print_string(to, bytes_of_text(w->name));
}

/* --- calls ------------------------------------------------------------------------------------ */

enum err
stream_call_init(struct writer *writer, struct writer_call *call)
{
    const struct stream_writer *w = (const struct stream_writer *)writer;
    return aws_call_init((struct aws_call *)call, w->base.options.memory, &w->record_limits);
}

static enum err
stream_make_body(struct stream_writer *w, struct aws_call *c)
{
    return c->records.made ? OK : w->type->make_body(w, &c->records);
}

void
stream_begin(struct writer *writer, struct writer_call *call, struct writer_step *step)
{
    struct stream_writer *w = (struct stream_writer *)writer;
    struct aws_call *c = (struct aws_call *)call;
    enum err e = stream_make_body(w, c);
    if (e) {
        step_done(step, VERDICT_RETRY, "no_memory",
                  e == ERR_NOMEM ? "not enough memory for a request" : "cannot build the request");
        return;
    }
    aws_caller_call(w->caller, w->type->put, aws_records_body(&c->records), &c->keys, step);
    step->http.answer_bytes_max = AWS_RECORDS_ANSWER_BYTES_MAX;
}

bool
stream_take(struct stream_writer *w, struct aws_call *c, const struct http_call_answer *answer,
            struct writer_step *step)
{
    aws_caller_judge(w->caller, c->keys, answer, step);
    if (step->verdict == VERDICT_DEAD) step->verdict = VERDICT_SOME_DEAD;
    if (step->verdict != VERDICT_DELIVERED) return false;
    if (aws_records_read(&c->records, w->type->list, answer) == OK) return true;
    step_done(step, VERDICT_RETRY, "answer", "the response does not say which records were stored");
    return false;
}

/* --- requests outside of calls ---------------------------------------------------------------- */

void
stream_ask(struct stream_writer *w, const char *operation, struct writer_step *step)
{
    if (buf_error(&w->request)) {
        step_no_memory(step, "a request");
        return;
    }
    aws_caller_call(w->caller, operation, buf_bytes(&w->request), &w->request_keys, step);
}

void
stream_judge(struct stream_writer *w, const struct http_call_answer *answer,
             struct writer_step *step)
{
    aws_caller_judge(w->caller, w->request_keys, answer, step);
}

/* --- preparing and checks --------------------------------------------------------------------- */

bool
stream_need_prepare(struct writer *writer)
{
    return aws_caller_is_due(((const struct stream_writer *)writer)->caller);
}

void
stream_prepare(struct writer *writer, const struct http_call_answer *answer,
               struct writer_step *step)
{
    aws_caller_prepare(((struct stream_writer *)writer)->caller, answer, step);
}

static void
check_is_there(struct stream_writer *w, const struct http_call_answer *answer,
               struct writer_step *step)
{
    if (answer != NULL) {
        stream_judge(w, answer, step);
        if (step->verdict == VERDICT_DELIVERED) w->type->judge_description(answer->body, step);
        return;
    }
    buf_clear(&w->request);
    buf_put_u8(&w->request, '{');
    stream_put_name(w, &w->request);
    buf_put_u8(&w->request, '}');
    stream_ask(w, w->type->describe, step);
}

/* Judges an empty put: a missing permission is reported before the invalid request. */
static void
check_may_put(struct stream_writer *w, const struct http_call_answer *answer,
              struct writer_step *step)
{
    if (answer != NULL) {
        stream_judge(w, answer, step);
        aws_judge_empty(step);
        return;
    }
    buf_clear(&w->request);
    buf_put_bytes(&w->request, buf_bytes(&w->head));
    buf_put_text(&w->request, "]}");
    stream_ask(w, w->type->put, step);
}

bool
stream_check(struct writer *writer, uint32_t number, const struct http_call_answer *answer,
             struct writer_step *step, char what[WRITER_ANSWER_BYTES])
{
    struct stream_writer *w = (struct stream_writer *)writer;
    const struct stream_type *type = w->type;
    if (number == 0) {
        snprintf(what, WRITER_ANSWER_BYTES, "credentials");
        stream_prepare(writer, answer, step);
    } else if (number == 1) {
        snprintf(what, WRITER_ANSWER_BYTES, "%s %.128s (%s:%s)", type->what, w->name,
                 type->service.name, type->describe);
        check_is_there(w, answer, step);
    } else if (number == 2) {
        snprintf(what, WRITER_ANSWER_BYTES,
                 "permission to write, checked with an empty request (%s:%s)", type->service.name,
                 type->put);
        check_may_put(w, answer, step);
    }
    return number <= 2;
}
