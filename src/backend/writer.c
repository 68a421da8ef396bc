/* writer.c - the types of destinations, and functions for all writers. */
#include "backend/writer.h"

#include <stdio.h>

#include "base/text/utf8.h"
#include "model/labels.h"

const struct writer_class *
writer_class_of(enum destination_type type)
{
    static const struct writer_class *const classes[DESTINATION_TYPE_COUNT] = {
        [DESTINATION_CLICKHOUSE] = &clickhouse_writer,
        [DESTINATION_FILE] = &file_writer,
        [DESTINATION_FIREHOSE] = &firehose_writer,
        [DESTINATION_INFLUXDB] = &influxdb_writer,
        [DESTINATION_KINESIS] = &kinesis_writer,
        [DESTINATION_OPENTSDB] = &opentsdb_writer,
        [DESTINATION_REMOTE_WRITE] = &remote_write_writer,
        [DESTINATION_S3] = &s3_writer,
        [DESTINATION_TIMESTREAM] = &timestream_writer,
    };
    return type < DESTINATION_TYPE_COUNT ? classes[type] : NULL;
}

enum err
writer_new(const struct writer_class *class, const struct writer_options *options,
           struct writer **ret_writer, struct why *why)
{
    struct writer_base *w = mem_new(options->memory, class->writer_bytes);
    enum err e = ERR_NOMEM;
    if (w != NULL) {
        w->options = *options;
        e = class->init((struct writer *)w, why);
    }
    if (e == ERR_NOMEM) why_set(why, e, "not enough memory for a destination");
    if (e)
        writer_free(class, (struct writer *)w);
    else
        *ret_writer = (struct writer *)w;
    return e;
}

void
writer_free(const struct writer_class *class, struct writer *writer)
{
    if (writer == NULL) return;
    struct budget *memory = ((struct writer_base *)writer)->options.memory;
    class->fini(writer);
    mem_free(memory, writer, class->writer_bytes);
}

enum err
writer_call_new(const struct writer_class *class, struct writer *writer,
                struct writer_call **ret_call)
{
    struct budget *memory = ((struct writer_base *)writer)->options.memory;
    struct writer_call *call = mem_new(memory, class->call_bytes);
    enum err e = call == NULL ? ERR_NOMEM : class->call_init(writer, call);
    if (e)
        writer_call_free(class, writer, call);
    else
        *ret_call = call;
    return e;
}

void
writer_call_free(const struct writer_class *class, struct writer *writer, struct writer_call *call)
{
    if (call == NULL) return;
    class->call_fini(writer, call);
    mem_free(((struct writer_base *)writer)->options.memory, call, class->call_bytes);
}

enum writer_add
writer_unfit(struct why *why, const char *format, ...)
{
    char text[sizeof why->text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    why_set(why, ERR_INPUT, "%s", text);
    return WRITER_UNFIT;
}

void
step_done(struct writer_step *step, enum writer_verdict verdict, const char *reason,
          const char *answer)
{
    step->next = WRITER_DONE;
    step->verdict = verdict;
    snprintf(step->reason, sizeof step->reason, "%s", reason);
    snprintf(step->answer, sizeof step->answer, "%s", answer);
}

void
step_unproven(struct writer_step *step)
{
    char said[WRITER_ANSWER_BYTES];
    memcpy(said, step->answer, sizeof said);
    step->verdict = VERDICT_DELIVERED;
    step->is_unproven = true;
    snprintf(step->answer, sizeof step->answer,
             "answered 400, so only a sample shows whether writes are accepted: %.*s",
             WRITER_ANSWER_BYTES - 80, said);
}

void
step_no_memory(struct writer_step *step, const char *what)
{
    step_done(step, VERDICT_RETRY, "no_memory", "");
    snprintf(step->answer, sizeof step->answer, "not enough memory for %s", what);
}

void
step_answer(struct writer_step *step, struct bytes text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.size && n < sizeof step->answer - 1; i++) {
        bool blank = text.at[i] <= 0x20 || text.at[i] == 0x7f;
        if (blank && (n == 0 || step->answer[n - 1] == ' ')) continue;
        step->answer[n++] = blank ? ' ' : (char)text.at[i];
    }
    if (n > 0 && step->answer[n - 1] == ' ') n--;
    size_t whole = n;
    while (whole + 4 > n && whole > 0 && !utf8_valid(bytes_of(step->answer, whole)))
        whole--; /* an incomplete character at the end */
    bool valid = utf8_valid(bytes_of(step->answer, whole));
    for (size_t i = 0; i < n && !valid; i++)
        if ((uint8_t)step->answer[i] >= 0x80) step->answer[i] = '?';
    step->answer[valid ? whole : n] = 0;
}

void
step_mask(struct writer_step *step, const struct http_calls *calls)
{
    if (step->next != WRITER_DONE) return;
    http_calls_mask(calls, step->reason);
    http_calls_mask(calls, step->answer);
}

unsigned
writer_mapped_parts(const struct writer_class *class, struct writer *writer,
                    const struct item *item)
{
    unsigned mapped = 0, forms = writer_limits_of(writer)->mapped;
    struct label label;
    struct cursor c = cursor_of(item->labels);
    while (class->maps != NULL && labels_next(&c, &label)) {
        bool is_metric = bytes_equal_text(label.name, "__name__");
        enum writer_mapped role = is_metric ? WRITER_MAPPED_METRIC : WRITER_MAPPED_LABEL_VALUE;
        if (class->maps(writer, role, label.value)) mapped |= role;
        if (is_metric || !class->maps(writer, WRITER_MAPPED_LABEL_NAME, label.name)) continue;
        mapped |= WRITER_MAPPED_LABEL_NAME;
    }
    bool is_special = (item->bits >> 52 & 0x7ff) == 0x7ff; /* NaN or infinite */
    if (item->kind == ITEM_HISTOGRAM) mapped |= forms & WRITER_MAPPED_HISTOGRAM;
    if (item->kind == ITEM_FLOAT && is_special) mapped |= forms & WRITER_MAPPED_FLOAT;
    return mapped;
}
