/* timestream_answer_fuzz.c - reads any bytes as each answer of Timestream: the results are bounded.
 */
#include <stdlib.h>

#include "backend/timestream/timestream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_rejections(struct bytes body, uint32_t count)
{
    struct timestream_rejections r;
    timestream_rejections_init(&r, NULL);
    if (timestream_rejections_read(&r, body, count) == OK) {
        uint32_t rejected = 0;
        for (uint32_t i = 0; i < TIMESTREAM_RECORDS_MAX; i++) {
            if (r.of[i].reason == NULL) continue;
            rejected++;
            if (i >= count || r.of[i].size == 0 || r.of[i].size >= WRITER_ANSWER_BYTES) abort();
            if (r.of[i].from + r.of[i].size > r.texts.size) abort();
        }
        if (rejected == 0) abort();
    }
    timestream_rejections_fini(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes body = bytes_of(data, size);
    char endpoint[AWS_ENDPOINT_BYTES];
    int64_t keep_ms;
    struct why why;
    struct aws_url url;
    struct timestream_table table;
    check_rejections(body, 1);
    check_rejections(body, TIMESTREAM_RECORDS_MAX);
    if (timestream_address_read(body, endpoint, &keep_ms, &why) == OK) {
        if (keep_ms <= 0 || !aws_url_split(endpoint, &url)) abort();
        if (!url.tls || url.path.size > 0) abort();
    }
    if (timestream_table_read(body, &table) == OK) {
        if (table.text[0] == '\0' || table.takes_ms <= 0) abort();
    }
    return 0;
}
