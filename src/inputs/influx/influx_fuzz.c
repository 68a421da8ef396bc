/* influx_fuzz.c - decodes any bytes as lines of InfluxDB. */
#include <assert.h>

#include "inputs/influx/influx.h"
#include "lib/wire/remote_write_validate.h"
#include "model/labels.h"
#include "sys/env.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err
find_help(void *context, struct bytes metric, struct buf *to)
{
    (void)context;
    if (metric.size % 3 == 0) buf_put_text(to, "InfluxDB: float field \"v\" of \"m\" in \"d\"");
    return buf_error(to);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t units[] = {0, 1, 1000, NS_PER_MS, NS_PER_S, 3600 * NS_PER_S};
    struct influx_lines lines = {bytes_of_text("d"), units[size % 6], 5, find_help, NULL};
    struct budget budget;
    struct rw_request request;
    struct input_outcome outcome;
    struct influx_field field;
    struct buf texts;
    struct why why = {""};
    budget_init(&budget, "fuzz", 0, NULL);
    enum err e = rw_request_init(&request, &budget);
    assert(e == OK);
    e = influx_decode(&lines, bytes_of(data, size), 1, &request, &outcome, &why);
    assert(e == OK || e == ERR_LIMIT);
    assert(outcome.refused <= outcome.points);
    assert(outcome.refused == 0 || (outcome.first.text[0] != '\0' && outcome.line > 0));
    if (e == OK) {
        assert(request.series_count == outcome.points - outcome.refused);
        rw_request_validate(&request);
    }
    rw_request_fini(&request);
    buf_init(&texts, &budget, 1 << 20);
    if (influx_help_read(bytes_of(data, size), &texts, &field))
        assert(field.type <= INFLUX_BOOLEAN && field.name.size <= size);
    buf_fini(&texts);
    assert(budget_used(&budget) == 0);
    return 0;
}
