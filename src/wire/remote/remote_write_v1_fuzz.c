/* remote_write_v1_fuzz.c - decodes any bytes as remote write 1.0, and as the snappy
 * block around it. */
#include <assert.h>

#include "lib/wire/remote_write_validate.h"
#include "wire/remote/remote_write.h"
#include "wire/snappy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Checks that a request valid without checks is the same with them. */
static void
decode_unchecked(struct rw_request *request, struct bytes message, bool accepted, uint32_t floats)
{
    enum err e = rw_decode_unchecked(request, RW_V1, message, 1, NULL);
    assert(e == OK || !accepted);
    bool right = e == OK;
    for (uint32_t i = 0; i < request->series_count; i++)
        right &= rw_series_check(&request->series[i]);
    if (!right) return;
    assert(accepted && request->float_count == floats);
    rw_request_validate(request);
}

static void
decode_any(struct rw_request *request, struct bytes message)
{
    struct why why;
    enum err e = rw_decode(request, RW_V1, message, 1, &why);
    assert(e == OK || e == ERR_INPUT || e == ERR_LIMIT);
    if (e == OK)
        rw_request_validate(request);
    else
        assert(request->series_count == 0);
    uint32_t floats = request->float_count;
    if (e == OK) rw_request_validate_overwritten(request);
    if (e != ERR_LIMIT) decode_unchecked(request, message, e == OK, floats);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct budget budget;
    budget_init(&budget, "fuzz", 0, NULL);
    struct rw_request request;
    enum err e = rw_request_init(&request, &budget);
    assert(e == OK);
    static struct fingerprint_keys keys;
    request.keys = size % 2 == 0 ? &keys : NULL;
    decode_any(&request, bytes_of(data, size));

    struct buf raw;
    buf_init(&raw, &budget, 1 << 20);
    e = snappy_unpack(bytes_of(data, size), &raw, NULL);
    assert(e == OK || e == ERR_INPUT || e == ERR_LIMIT);
    if (e == OK) decode_any(&request, buf_bytes(&raw));

    buf_fini(&raw);
    rw_request_fini(&request);
    assert(budget_used(&budget) == 0);
    return 0;
}
