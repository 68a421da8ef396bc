/* remote_write_v2_fuzz.c - decodes any bytes as remote write 2.0. */
#include <assert.h>

#include "lib/wire/remote_write_validate.h"
#include "wire/remote/remote_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
decode_any(struct rw_request *request, struct bytes message)
{
    struct why why;
    enum err e = rw_decode(request, RW_V2, message, 1, &why);
    assert(e == OK || e == ERR_INPUT || e == ERR_LIMIT);
    if (e == OK) {
        rw_request_validate(request);
        rw_request_validate_overwritten(request);
    } else {
        assert(request->series_count == 0);
    }
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
    rw_request_fini(&request);
    assert(budget_used(&budget) == 0);
    return 0;
}
