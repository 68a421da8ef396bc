/* otlp_fuzz.c - decodes any bytes as a message of OTLP, in protobuf and in JSON. */
#include <assert.h>

#include "inputs/otlp/otlp.h"
#include "lib/wire/remote_write_validate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
decode_any(struct rw_request *request, struct bytes message, struct otlp_settings settings)
{
    struct input_outcome outcome;
    struct why why = {""};
    enum err e = otlp_decode(&settings, message, 1, request, &outcome, &why);
    assert(e == OK || e == ERR_INPUT || e == ERR_LIMIT);
    assert(outcome.refused <= outcome.points);
    assert(outcome.refused == 0 || outcome.first.text[0] != '\0');
    if (e == OK)
        rw_request_validate(request);
    else
        assert(request->series_count == 0 && why.text[0] != '\0');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct budget budget;
    struct rw_request request;
    struct buf message;
    struct why why = {""};
    struct otlp_settings settings = {.translation = size % 4,
                                     .promotes_all = size % 3 == 0,
                                     .promotes_scope = size % 5 == 0,
                                     .histograms_to_nhcb = size % 2 == 0,
                                     .keeps_underscores = size % 7 == 0};
    budget_init(&budget, "fuzz", 0, NULL);
    enum err e = rw_request_init(&request, &budget);
    assert(e == OK);
    decode_any(&request, bytes_of(data, size), settings);
    buf_init(&message, &budget, 1 << 20);
    e = otlp_from_json(bytes_of(data, size), &message, &budget, &why);
    assert(e == OK || e == ERR_INPUT || e == ERR_LIMIT || e == ERR_NOMEM);
    if (e == OK) decode_any(&request, buf_bytes(&message), settings);
    buf_fini(&message);
    rw_request_fini(&request);
    assert(budget_used(&budget) == 0);
    return 0;
}
