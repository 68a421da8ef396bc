/* influxdb_answer_fuzz.c - reads any bytes as a refusal of InfluxDB. */
#include <stdlib.h>

#include "backend/influxdb/influxdb_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct influxdb_refusal refusal;
    influxdb_answer_read(bytes_of(data, size), &refusal);
    if (refusal.dropped > 10ULL * UINT32_MAX + 10) abort();
    return 0;
}
