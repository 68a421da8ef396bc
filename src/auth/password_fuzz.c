/*
 * password_fuzz.c - reads any text as a configured hash. libcrypt computes a hash that is accepted
 * and cheap, and the digest that it makes is one that password_check() finds good.
 */
#include <assert.h>
#include <crypt.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth/password.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TIME_US_MAX = 5000 };

static void
check_computed(const char *text, const struct password_hash *hash)
{
    struct crypt_data *crypt = calloc(1, sizeof *crypt);
    bool good = false;
    assert(crypt != NULL);
    const char *made = crypt_rn("secret", text, crypt, sizeof *crypt);
    assert(made != NULL);
    assert(strlen(made) == strlen(text));
    assert(memcmp(made + 3, text + 3, hash->kind == PASSWORD_BCRYPT ? 25 : hash->digest_at - 3) ==
           0);
    enum err e = password_check(NULL, made, bytes_of_text("secret"), &good);
    assert(e == OK && good);
    e = password_check(NULL, made, bytes_of("secret", 7), &good);
    assert(e == OK && !good);
    free(crypt);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct password_hash hash;
    char *text = malloc(size + 1);
    assert(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    struct why why = {""};
    enum err e = password_hash_parse(text, &hash, &why);
    if (e == OK) {
        assert(strlen(text) < PASSWORD_HASH_BYTES && hash.digest_at < strlen(text));
        assert(hash.time_us > 0 && hash.time_us <= PASSWORD_TIME_US_MAX);
        assert(hash.memory_bytes < 2 * (uint64_t)PASSWORD_MEMORY_BYTES_MAX);
        if (hash.time_us <= TIME_US_MAX) check_computed(text, &hash);
    } else {
        assert(why.text[0] != '\0');
    }
    free(text);
    return 0;
}
