/* prices_fuzz.c - any text as a file of prices: it is refused with a reason, or has a date and
 * prices that are amounts. */
#include "cli/size/prices.h"

#include <assert.h>
#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct prices p;
    struct why why = {""};
    if (prices_read(bytes_of(data, size), &p, &why)) {
        assert(why.text[0] != '\0');
        return 0;
    }
    assert(strlen(p.date) == 10);
    assert(isfinite(p.disk) && p.disk >= 0);
    const struct machine_price *m = prices_machine(&p, 0, 0);
    assert((m == NULL) == (p.machine_count == 0));
    for (uint32_t i = 0; i < p.machine_count; i++) {
        assert(m->price <= p.machines[i].price);
    }
    return 0;
}
