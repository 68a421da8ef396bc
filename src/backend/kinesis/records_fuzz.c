/*
 * records_fuzz.c - reads any bytes as the answer to a call of three records: each record has a
 * verdict, so has the call, and messages can be printed. The description of a stream is read from
 * the same bytes.
 */
#include <stdlib.h>

#include "backend/aws/aws.h"
#include "backend/kinesis/kinesis.h"
#include "base/text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_text(const char *text, size_t bytes)
{
    size_t size = strnlen(text, bytes);
    if (size == bytes || !utf8_valid(bytes_of(text, size))) abort();
    for (size_t i = 0; i < size; i++)
        if ((uint8_t)text[i] < ' ' || text[i] == 0x7f) abort();
}

static void
check_verdicts(const struct writer_call *call)
{
    const struct aws_records *records = &((const struct aws_call *)call)->records;
    struct writer_step step = {.next = WRITER_SEND};
    uint32_t stored = 0;
    aws_records_judge(records, &step);
    for (uint32_t i = 0; i < records->count; i++) {
        struct writer_entry entry;
        aws_call_entry(NULL, call, i, &entry);
        if (entry.verdict > VERDICT_THROTTLED) abort();
        stored += entry.verdict == VERDICT_DELIVERED;
        check_text(entry.answer, sizeof entry.answer);
    }
    bool all = stored == records->count;
    if (step.next != WRITER_DONE || (step.verdict == VERDICT_DELIVERED) != all) abort();
    if ((step.verdict == VERDICT_MIXED) != (stored > 0 && !all)) abort();
    check_text(step.answer, sizeof step.answer);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct aws_record_limits limits = {.lines = 1,
                                                    .record_bytes_max = 1000,
                                                    .record_bytes = 1000,
                                                    .call_bytes_max = 10000,
                                                    .what = "a record"};
    static const char *const lists[] = {"Records", "RequestResponses"};
    const struct http_call_answer answer = {.status = 200, .body = bytes_of(data, size)};
    struct item item = {.kind = ITEM_FLOAT};
    struct aws_call of;
    struct writer_call *call = (struct writer_call *)&of;
    struct why why;
    uint32_t number;
    char text[16];
    if (aws_call_init(&of, NULL, &limits) != OK) abort();
    struct aws_records *records = &of.records;
    for (uint64_t i = 0; i < 3; i++)
        if (aws_records_add(records, i, &item, &number, &why) != WRITER_ADDED) abort();
    for (unsigned i = 0; i < 2; i++) {
        enum err e = aws_records_read(records, lists[i], &answer);
        if (e == OK)
            check_verdicts(call);
        else if (e != ERR_INPUT)
            abort();
    }
    aws_call_fini(NULL, call);
    aws_answer_find(answer.body, "StreamDescriptionSummary", "StreamStatus", text, sizeof text);
    if (strnlen(text, sizeof text) == sizeof text) abort();
    return 0;
}
