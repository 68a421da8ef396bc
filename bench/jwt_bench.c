/*
 * jwt_bench.c - the cost of a JSON Web Token: reading it, verifying it with a key of each kind, and
 * matching it. CPU time of this thread, the median of several rounds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "auth/tokens/jwt.h"
#include "lib/auth/token_signer.h"

enum { ROUNDS = 9, TOKENS = 200 };
static const int64_t NOW_S = 1700000000;

static const char payload[] =
    "{\"exp\":1700000300,\"iat\":1700000000,\"jti\":\"5f0c1b9e-7c1f-4f0a-9a52-3d1f3f9f7a10\","
    "\"iss\":\"https://login.example.org/realms/main\",\"aud\":[\"firekeep\",\"account\"],"
    "\"sub\":\"0b7f2c52-6f5d-4c5e-8a77-7f2f1b6b8f0e\",\"typ\":\"Bearer\",\"azp\":\"prometheus\","
    "\"realm_access\":{\"roles\":[\"offline_access\",\"metrics-writer\",\"uma_authorization\"]},"
    "\"scope\":\"profile email\",\"preferred_username\":\"service-account-prometheus\"}";

static void
must(bool right)
{
    if (right) return;
    fprintf(stderr, "jwt_bench: a token was refused\n");
    exit(1);
}

static double
cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int
by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double
median(double *times)
{
    qsort(times, ROUNDS, sizeof *times, by_size);
    return times[ROUNDS / 2];
}

static void
use_token(struct bytes token, const struct jwks *keys)
{
    const char *audience[] = {"firekeep"};
    struct named_text claims[] = {{"realm_access.roles", "metrics-writer"}};
    const struct jwt_settings settings = {.issuer = "https://login.example.org/realms/main",
                                          .audience = {audience, 1},
                                          .claims = {claims, 1}};
    struct jwt *jwt = NULL;
    struct why why;
    must(jwt_read(NULL, token, &jwt, &why) == JWT_ACCEPTED);
    if (keys != NULL) {
        must(jwt_verify(jwt, keys, NOW_S, &why) == JWT_ACCEPTED);
        must(jwt_match(jwt, keys, &settings, &why) == JWT_ACCEPTED);
    }
    jwt_free(jwt);
}

/* Without keys, tokens are only read. */
static double
measure(struct bytes token, const struct jwks *keys)
{
    double times[ROUNDS];
    for (unsigned round = 0; round < ROUNDS; round++) {
        double start = cpu_us();
        for (unsigned i = 0; i < TOKENS; i++)
            use_token(token, keys);
        times[round] = (cpu_us() - start) / TOKENS;
    }
    return median(times);
}

static void
measure_key(enum token_key key, const char *const *algorithms)
{
    struct token_signer *signer = token_signer_new(key);
    struct jwks *keys = NULL;
    struct buf text;
    buf_init(&text, NULL, 20000);
    buf_put_text(&text, "{\"keys\":[");
    token_signer_jwk(signer, "\"kid\":\"one\",", &text);
    buf_put_text(&text, "]}");
    must(jwks_read(NULL, buf_bytes(&text), &keys, NULL) == OK);
    for (; *algorithms != NULL; algorithms++) {
        char header[100];
        snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"one\",\"typ\":\"JWT\"}",
                 *algorithms);
        buf_clear(&text);
        token_signer_token(signer, *algorithms, header, bytes_of_text(payload), &text);
        double read_us = measure(buf_bytes(&text), NULL), all_us = measure(buf_bytes(&text), keys);
        printf("%-8s %6zu bytes, read %6.1f us, read, verified and matched %7.1f us, %7.0f/s\n",
               *algorithms, text.size, read_us, all_us, 1e6 / all_us);
    }
    buf_fini(&text);
    jwks_free(keys);
    token_signer_free(signer);
}

int
main(void)
{
    measure_key(TOKEN_KEY_RSA, (const char *const[]){"RS256", "PS256", NULL});
    measure_key(TOKEN_KEY_P256, (const char *const[]){"ES256", NULL});
    measure_key(TOKEN_KEY_P384, (const char *const[]){"ES384", NULL});
    measure_key(TOKEN_KEY_P521, (const char *const[]){"ES512", NULL});
    measure_key(TOKEN_KEY_ED25519, (const char *const[]){"Ed25519", NULL});
    measure_key(TOKEN_KEY_ED448, (const char *const[]){"Ed448", NULL});
    return 0;
}
