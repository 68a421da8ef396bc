/* stream_rig.c - see stream_rig.h. */
#include "lib/backend/stream_rig.h"

enum { STREAM_TEXT_BYTES_MAX = 32 << 20 };

void
stream_rig_init(struct stream_rig *rig, enum destination_type type)
{
    *rig = (struct stream_rig){.class = writer_class_of(type)};
    budget_init(&rig->memory, "test", 0, NULL);
    assert_int_equal(sim_env_new(1, &rig->sim), OK);
    rig->settings.name = "test";
    rig->settings.type = type;
    rig->settings.timeout_ms = 1000;
    rig->settings.aws.region = "eu-west-1";
    rig->settings.aws.access_key.text = "AKID";
    rig->settings.aws.secret_key.text = "SECRET";
    buf_init(&rig->labels, NULL, STREAM_TEXT_BYTES_MAX);
    buf_init(&rig->saved, NULL, STREAM_TEXT_BYTES_MAX);
    buf_init(&rig->data, NULL, STREAM_TEXT_BYTES_MAX);
}

enum err
stream_rig_create(struct stream_rig *rig, struct why *why)
{
    const struct writer_options options = {.env = sim_env_env(rig->sim),
                                           .memory = &rig->memory,
                                           .settings = &rig->settings,
                                           .instance = "0123456789abcdef",
                                           .saved = buf_bytes(&rig->saved)};
    return writer_new(rig->class, &options, &rig->writer, why);
}

void
stream_rig_open(struct stream_rig *rig)
{
    struct why why = {""};
    if (stream_rig_create(rig, &why) != OK) fail_msg("%s", why.text);
    assert_int_equal(writer_call_new(rig->class, rig->writer, &rig->call), OK);
    rig->class->call_clear(rig->writer, rig->call);
}

void
stream_rig_close(struct stream_rig *rig)
{
    if (rig->writer == NULL) return;
    writer_call_free(rig->class, rig->writer, rig->call);
    writer_free(rig->class, rig->writer);
    rig->writer = NULL;
    assert_int_equal(budget_used(&rig->memory), 0);
}

void
stream_rig_fini(struct stream_rig *rig)
{
    stream_rig_close(rig);
    json_decref(rig->body);
    buf_fini(&rig->labels);
    buf_fini(&rig->saved);
    buf_fini(&rig->data);
    sim_env_free(rig->sim);
}

/* --- items ------------------------------------------------------------------------------------ */

struct item
stream_rig_item(struct stream_rig *rig, uint64_t hash, int64_t t_ms, size_t label_bytes)
{
    char *value = malloc(label_bytes + 1);
    assert_non_null(value);
    memset(value, 'x', label_bytes);
    buf_clear(&rig->labels);
    labels_put(&rig->labels, (struct label){bytes_of_text("__name__"), bytes_of_text("up")});
    if (label_bytes > 0)
        labels_put(&rig->labels, (struct label){bytes_of_text("l"), bytes_of(value, label_bytes)});
    free(value);
    assert_int_equal(buf_error(&rig->labels), OK);
    return (struct item){.kind = ITEM_FLOAT,
                         .tenant = bytes_of_text("anonymous"),
                         .labels = buf_bytes(&rig->labels),
                         .series_hash = hash,
                         .t_ms = t_ms,
                         .bits = double_bits(1)};
}

size_t
stream_rig_line_bytes(struct stream_rig *rig, int64_t t_ms, size_t label_bytes)
{
    struct item item = stream_rig_item(rig, 0, t_ms, label_bytes);
    struct buf line;
    buf_init(&line, NULL, STREAM_TEXT_BYTES_MAX);
    item_ndjson_put(&line, &item);
    size_t size = line.size;
    buf_fini(&line);
    return size;
}

enum writer_add
stream_rig_add(struct stream_rig *rig, uint64_t hash, int64_t t_ms, size_t label_bytes,
               uint32_t *ret_entry)
{
    struct item item = stream_rig_item(rig, hash, t_ms, label_bytes);
    struct why why = {""};
    enum writer_add added = rig->class->add(rig->writer, rig->call, &item, ret_entry, &why);
    if (added == WRITER_UNFIT)
        snprintf(rig->step.answer, sizeof rig->step.answer, "%.500s", why.text);
    return added;
}

/* --- steps ------------------------------------------------------------------------------------ */

static void
stream_rig_keep_body(struct stream_rig *rig)
{
    struct bytes body = rig->step.http.body;
    json_error_t error;
    json_decref(rig->body);
    rig->body = json_loadb((const char *)body.at, body.size, JSON_REJECT_DUPLICATES, &error);
    if (rig->body == NULL) fail_msg("%.*s: %s", (int)body.size, (const char *)body.at, error.text);
}

void
stream_rig_begin(struct stream_rig *rig)
{
    rig->step = (struct writer_step){.next = WRITER_DONE};
    rig->class->begin(rig->writer, rig->call, &rig->step);
    if (rig->step.next == WRITER_SEND) stream_rig_keep_body(rig);
}

struct http_call_answer
stream_rig_answer_of(unsigned status, const char *body)
{
    return (struct http_call_answer){.status = status, .body = bytes_of_text(body)};
}

void
stream_rig_answer(struct stream_rig *rig, unsigned status, const char *body)
{
    struct http_call_answer answer = stream_rig_answer_of(status, body);
    rig->step = (struct writer_step){.next = WRITER_DONE};
    rig->class->judge(rig->writer, rig->call, &answer, &rig->step);
    assert_int_equal(rig->step.next, WRITER_DONE);
}

void
stream_rig_prepare(struct stream_rig *rig, const char *body)
{
    struct http_call_answer answer = stream_rig_answer_of(200, body == NULL ? "" : body);
    rig->step = (struct writer_step){.next = WRITER_DONE};
    rig->class->prepare(rig->writer, body == NULL ? NULL : &answer, &rig->step);
    if (rig->step.next == WRITER_SEND) stream_rig_keep_body(rig);
}

const char *
stream_rig_header(const struct stream_rig *rig, const char *name)
{
    size_t size = strlen(name);
    for (const char *const *h = rig->step.http.headers; *h != NULL; h++)
        if (strncmp(*h, name, size) == 0 && (*h)[size] == ':') return *h + size + 2;
    return "";
}

void
stream_rig_expect(const struct stream_rig *rig, enum writer_verdict verdict,
                  const char *answer_part)
{
    assert_int_equal(rig->step.next, WRITER_DONE);
    if (rig->step.verdict != verdict)
        fail_msg("verdict %d, not %d: %s", rig->step.verdict, verdict, rig->step.answer);
    if (strstr(rig->step.answer, answer_part) == NULL)
        fail_msg("'%s' has no '%s'", rig->step.answer, answer_part);
}

/* --- requests --------------------------------------------------------------------------------- */

uint32_t
stream_rig_record_count(const struct stream_rig *rig)
{
    return (uint32_t)json_array_size(json_object_get(rig->body, "Records"));
}

struct bytes
stream_rig_record(struct stream_rig *rig, uint32_t i)
{
    json_t *record = json_array_get(json_object_get(rig->body, "Records"), i);
    const char *data = json_string_value(json_object_get(record, "Data"));
    assert_non_null(data);
    buf_clear(&rig->data);
    assert_int_equal(base64_get(bytes_of_text(data), &rig->data), OK);
    return buf_bytes(&rig->data);
}

const char *
stream_rig_record_key(const struct stream_rig *rig, uint32_t i)
{
    json_t *record = json_array_get(json_object_get(rig->body, "Records"), i);
    return json_string_value(json_object_get(record, "PartitionKey"));
}

int64_t
stream_rig_line_time(struct bytes *lines)
{
    const uint8_t *end = memchr(lines->at, '\n', lines->size);
    assert_non_null(end);
    const char *time = memmem(lines->at, (size_t)(end - lines->at), "\"time\":", 7);
    assert_non_null(time);
    char digits[24] = "";
    size_t size = (size_t)((const char *)end - (time + 7));
    memcpy(digits, time + 7, size < sizeof digits ? size : sizeof digits - 1);
    lines->size -= (size_t)(end + 1 - lines->at);
    lines->at = end + 1;
    return strtoll(digits, NULL, 10);
}
