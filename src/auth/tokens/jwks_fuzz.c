/*
 * jwks_fuzz.c - reads any bytes as a key set, and verifies signatures with it. All memory is given
 * back, and no key accepts a signature that it did not make.
 */
#include <assert.h>

#include "auth/tokens/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_verifying(const struct jwks *keys)
{
    static const char *const names[] = {"RS256", "PS256", "ES256", "ES384",
                                        "ES512", "EdDSA", "none"};
    static const uint16_t sizes[] = {0, 64, 96, 114, 132, 256};
    static uint8_t signature[256];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
            struct why why = {.text = ""};
            const struct jwks_signature s = {
                .algorithm = bytes_of_text(names[i]),
                .key_id = bytes_of_text("a"),
                .input = bytes_of_text("text"),
                .signature = bytes_of(signature, sizes[n]),
            };
            signature[0] = signature[32] = signature[48] = signature[66] = 1;
            assert(jwks_verify(keys, &s, &why) != JWT_ACCEPTED);
            assert(why.text[0] != '\0');
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jwks *keys = NULL;
    struct why why = {.text = ""};
    struct budget budget;
    budget_init(&budget, "fuzz", 16 << 20, NULL);
    enum err e = jwks_read(&budget, bytes_of(data, size), &keys, &why);
    if (e == OK) {
        struct jwks_counts counts = jwks_counts(keys);
        assert(counts.used + counts.left_out <= JWKS_KEYS_MAX);
        assert((counts.left_out > 0) == (jwks_left_out(keys)[0] != '\0'));
        check_verifying(keys);
        jwks_free(keys);
    } else {
        assert(e == ERR_INPUT || e == ERR_LIMIT);
        assert(why.text[0] != '\0');
    }
    assert(budget_used(&budget) == 0);
    return 0;
}
