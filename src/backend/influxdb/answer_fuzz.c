/* answer_fuzz.c - reads any bytes as a refusal of InfluxDB: there is no refusal, or
 * one that fits. */
#include <stdlib.h>

#include "backend/influxdb/answer.h"
#include "model/labels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct influxdb_refusal refusal;
    struct buf labels;
    buf_init(&labels, NULL, 1 << 20);
    labels_put(&labels, (struct label){bytes_of_text("__name__"), bytes_of_text("up")});
    labels_put(&labels, (struct label){bytes_of_text("job"), bytes_of_text("x")});
    influxdb_answer_read(bytes_of(data, size), NULL, &refusal);
    if (refusal.name_count > INFLUXDB_NAMES_MAX) abort();
    bool named = influxdb_refusal_names(&refusal, buf_bytes(&labels));
    if (named && refusal.name_count == 0) abort();
    buf_fini(&labels);
    return 0;
}
