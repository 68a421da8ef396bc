/* opentsdb_fuzz.c - judges any bytes as the answer to a request: there is a verdict, and an allowed
 * one for each point. */
#include <stdlib.h>

#include "backend/writer.h"
#include "lib/wire/random_labels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { POINTS_MAX = 3 };

static void
check_text(const char *text, size_t text_bytes)
{
    if (memchr(text, 0, text_bytes) == NULL) abort();
    for (; *text != '\0'; text++)
        if ((uint8_t)*text < ' ') abort();
}

static void
check_entries(struct writer *w, const struct writer_call *call, uint32_t count)
{
    uint32_t refused = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct writer_entry entry;
        opentsdb_writer.entry(w, call, i, &entry);
        if (entry.verdict > VERDICT_DEAD) abort();
        if (entry.verdict != VERDICT_DELIVERED && entry.answer[0] == '\0') abort();
        check_text(entry.reason, sizeof entry.reason);
        check_text(entry.answer, sizeof entry.answer);
        refused += entry.verdict != VERDICT_DELIVERED;
    }
    if (refused == 0) abort();
}

static void
add_points(struct writer *w, struct writer_call *call, uint32_t count)
{
    struct buf labels;
    buf_init(&labels, NULL, 1000);
    for (uint32_t i = 0; i < count; i++) {
        char name[2] = {(char)('a' + i), 0};
        uint32_t entry;
        buf_clear(&labels);
        test_put_texts(&labels, "__name__", name);
        test_put_texts(&labels, "job", "x");
        struct item item = {.labels = buf_bytes(&labels), .t_ms = 1700000000000};
        if (opentsdb_writer.add(w, call, &item, &entry, NULL) != WRITER_ADDED) abort();
    }
    buf_fini(&labels);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned statuses[] = {200, 400, 503};
    struct destination_settings settings = {
        .type = DESTINATION_OPENTSDB,
        .u.opentsdb = {.url = "http://h", .max_tags = 8, .max_body = 8000}};
    struct writer_options options = {.env = env_real(), .settings = &settings};
    struct http_call_answer answer = {.body = bytes_of(data, size)};
    struct writer *w;
    struct writer_call *call;
    if (writer_new(&opentsdb_writer, &options, &w, NULL) != OK) abort();
    if (writer_call_new(&opentsdb_writer, w, &call) != OK) abort();
    for (uint32_t count = 1; count <= POINTS_MAX; count++) {
        opentsdb_writer.call_clear(w, call);
        add_points(w, call, count);
        for (unsigned i = 0; i < sizeof statuses / sizeof *statuses; i++) {
            struct writer_step step = {.next = WRITER_SEND};
            answer.status = statuses[i];
            opentsdb_writer.judge(w, call, &answer, &step);
            if (step.next != WRITER_DONE || step.verdict > VERDICT_BLOCKED) abort();
            check_text(step.reason, sizeof step.reason);
            check_text(step.answer, sizeof step.answer);
            if (step.verdict == VERDICT_MIXED) check_entries(w, call, count);
        }
    }
    writer_call_free(&opentsdb_writer, w, call);
    writer_free(&opentsdb_writer, w);
    return 0;
}
