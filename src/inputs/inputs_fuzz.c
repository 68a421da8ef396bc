/* inputs_fuzz.c - decodes any bytes as texts, CSV, families, points of OpenTSDB and lines of
 * Graphite. The first byte says as which. */
#include <assert.h>

#include "inputs/graphite/graphite.h"
#include "inputs/opentsdb/opentsdb.h"
#include "inputs/text/text.h"
#include "lib/wire/remote_write_validate.h"
#include "wire/remote/remote_write_fill.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err
fill_lines(struct bytes text, struct budget *budget, struct rw_request *to, struct why *why)
{
    static const char *const texts[] = {"*.b.* x.measurement.y.field* k=v", "measurement*"};
    struct graphite_templates *templates;
    enum err e = graphite_templates_new(texts, 2, "_", budget, &templates, why);
    assert(e == OK);
    rw_fill_begin(to, 1, text.size);
    while (text.size > 0 && (e == OK || e == ERR_INPUT)) {
        const uint8_t *feed = memchr(text.at, '\n', text.size);
        size_t line = feed == NULL ? text.size : (size_t)(feed - text.at), step = feed != NULL;
        e = graphite_line_fill(line % 2 == 0 ? templates : NULL, 5, to, bytes_of(text.at, line),
                               why);
        if (e == OK || e == ERR_INPUT) e = opentsdb_line_fill(to, bytes_of(text.at, line), why);
        text = bytes_of(text.at + line + step, text.size - line - step);
    }
    if (e == OK || e == ERR_INPUT)
        rw_fill_end(to);
    else
        rw_request_clear(to);
    graphite_templates_free(templates);
    return e;
}

static enum err
put_families(struct bytes data, struct budget *budget, struct rw_request *to,
             struct input_outcome *outcome, struct why *why)
{
    const struct text_input input = {TEXT_PROMETHEUS, 5, false, budget};
    struct buf text;
    buf_init(&text, budget, 1 << 20);
    enum err e = families_put_text(data, &text, why);
    if (e == OK) e = text_decode(&input, buf_bytes(&text), 1, to, outcome, why);
    buf_fini(&text);
    return e;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct budget budget;
    struct rw_request request;
    struct input_outcome outcome = {0};
    struct why why = {""};
    if (size == 0) return 0;
    struct bytes text = bytes_of(data + 1, size - 1);
    budget_init(&budget, "fuzz", 0, NULL);
    enum err e = rw_request_init(&request, &budget);
    assert(e == OK);
    if (data[0] < 3) {
        const struct text_input input = {(enum text_format)data[0], 5, size % 2 == 0, &budget};
        e = text_decode(&input, text, 1, &request, &outcome, &why);
    } else if (data[0] == 3) {
        e = csv_decode("1:metric:a,2:label:b,3:time:unix_ns,4:metric:c", 5, text, 1, &request,
                       &outcome, &why);
    } else if (data[0] == 4) {
        e = opentsdb_decode(text, &budget, 1, &request, NULL, &outcome, &why);
    } else if (data[0] == 5) {
        e = put_families(text, &budget, &request, &outcome, &why);
    } else {
        e = fill_lines(text, &budget, &request, &why);
    }
    assert(e == OK || e == ERR_LIMIT || e == ERR_INPUT);
    assert(outcome.refused <= outcome.points);
    if (e == OK) rw_request_validate(&request);
    rw_request_fini(&request);
    assert(budget_used(&budget) == 0);
    return 0;
}
