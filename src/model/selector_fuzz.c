/* selector_fuzz.c - reads any bytes as a selector: a refusal has a reason, an accepted selector can
 * be queried. */
#include <stdlib.h>

#include "model/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct selector selector;
    struct why why = {""};
    enum err e = selector_parse(bytes_of(data, size), &selector, &why);
    if (e) {
        if (e != ERR_INPUT && e != ERR_LIMIT) abort();
        if (why.text[0] == '\0') abort();
        return 0;
    }
    bool refuses = false;
    for (uint32_t i = 0; i < selector.count; i++)
        refuses |= !matcher_matches(selector.matchers[i], (struct bytes){NULL, 0});
    if (selector.count == 0 || !refuses) abort();
    selector_fini(&selector);
    return 0;
}
