/*
 * issuer_document_fuzz.c - reads any bytes as an issuer's document. All memory is given back, and a
 * URL that is accepted is one of https without blanks and controls.
 */
#include <assert.h>
#include <string.h>
#include <strings.h>

#include "auth/tokens/tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct why why = {.text = ""};
    struct budget budget;
    char url[ISSUER_URL_BYTES];
    budget_init(&budget, "fuzz", 4 << 20, NULL);
    enum err e =
        issuer_document_read(&budget, bytes_of(data, size), "https://i.example", url, &why);
    if (e == OK) {
        assert(strncasecmp(url, "https://", 8) == 0);
        assert(strlen(url) < sizeof url);
        for (const char *at = url; *at != '\0'; at++)
            assert(*at > ' ' && *at <= '~');
    } else {
        assert(e == ERR_INPUT || e == ERR_LIMIT);
        assert(why.text[0] != '\0');
    }
    assert(budget_used(&budget) == 0);
    return 0;
}
