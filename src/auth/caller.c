/* caller.c - see caller.h. The secret is compared in a time that does not depend on its content. */
#include "auth/caller.h"

#include <assert.h>
#include <gnutls/gnutls.h>

#include "base/text/hex.h"

enum { WORDS = 2, SECRET_BYTES = WORDS * HEX_WORD_BYTES };

static char secret[SECRET_BYTES + 1]; /* "" before caller_begin() */

enum err
caller_begin(struct env *env)
{
    uint64_t random[WORDS];
    enum err e = env_random(env, random, sizeof random);
    if (e) return e;
    for (size_t i = 0; i < WORDS; i++) {
        hex_print_word(random[i], secret + i * HEX_WORD_BYTES);
    }
    return OK;
}

void
caller_put(struct buf *to, const char *caller)
{
    assert(secret[0] != '\0');
    buf_printf(to, "%s %s", secret, caller);
}

const char *
caller_of(const char *value)
{
    if (value == NULL || secret[0] == '\0' || strlen(value) <= SECRET_BYTES) return NULL;
    bool is_ours = gnutls_memcmp(value, secret, SECRET_BYTES) == 0 && value[SECRET_BYTES] == ' ';
    return is_ours ? value + SECRET_BYTES + 1 : NULL;
}
