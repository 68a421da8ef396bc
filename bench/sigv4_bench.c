/*
 * sigv4_bench.c - the cost of verifying a request that is signed with AWS Signature Version 4: a
 * query, and a write whose body is hashed, as Prometheus signs it. CPU time of this thread, the
 * median of several rounds.
 */
#include <stdio.h>
#include <stdlib.h>

#include "auth/signed.h"
#include "lib/auth/sent_head.h"
#include "lib/tool.h"

enum { ROUNDS = 9, REQUESTS = 1000, BODY_BYTES_MAX = 256 * 1024 };
static const int64_t NOW_S = 1700000000;
static const char SECRET[] = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

static uint8_t body[BODY_BYTES_MAX];

static int
by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Appends a request as lines, signed by our own signer. */
static void
put_signed(const char *method, const char *path, const char *query, size_t body_size,
           struct buf *to)
{
    const struct sigv4_header headers[] = {
        {bytes_of_text("Host"), bytes_of_text("aps.example.org")},
        {bytes_of_text("X-Scope-OrgID"), bytes_of_text("shop")},
    };
    struct sigv4_credentials keys = {.access_key = bytes_of_text("AKIDEXAMPLE"),
                                     .secret_key = bytes_of_text(SECRET)};
    struct sigv4_request request = {.method = bytes_of_text(method),
                                    .path = bytes_of_text(path),
                                    .query = bytes_of_text(query),
                                    .headers = headers,
                                    .header_count = 2,
                                    .service = bytes_of_text("aps"),
                                    .region = bytes_of_text("eu-west-1"),
                                    .time_s = NOW_S};
    sigv4_hash(bytes_of(body, body_size), request.payload_hash);
    buf_printf(to, "%s %s%s%s\nHost: aps.example.org\nX-Scope-OrgID: shop\nUser-Agent: x\n", method,
               path, query[0] == '\0' ? "" : "?", query);
    if (sigv4_sign(&request, &keys, to)) die("a request cannot be signed");
}

static void
verify(struct bytes text, size_t body_size)
{
    struct sent_head head;
    struct sigv4_claim claim;
    char hash[SIGV4_HASH_BYTES];
    const struct sigv4_terms terms = {.secret_key = bytes_of_text(SECRET)};
    struct why why;
    sent_head_read(&head, text);
    if (sigv4_claim_read(&head.arrival, NULL, &claim, &why) != SIGV4_CLAIMED) die("%s", why.text);
    if (sigv4_judge(&claim, &terms, NOW_S, NULL, &why) != SIGV4_NEEDS_BODY) die("%s", why.text);
    sigv4_hash(bytes_of(body, body_size), hash);
    if (sigv4_judge(&claim, &terms, NOW_S, hash, &why) != SIGV4_GOOD) die("%s", why.text);
    sigv4_claim_fini(&claim);
}

static void
measure(const char *method, const char *path, const char *query, size_t body_size)
{
    double times_s[ROUNDS];
    struct buf text;
    buf_init(&text, NULL, 20000);
    put_signed(method, path, query, body_size, &text);
    for (unsigned round = 0; round < ROUNDS; round++) {
        double began_s = now_s(CLOCK_THREAD_CPUTIME_ID);
        for (unsigned i = 0; i < REQUESTS; i++)
            verify(buf_bytes(&text), body_size);
        times_s[round] = (now_s(CLOCK_THREAD_CPUTIME_ID) - began_s) / REQUESTS;
    }
    qsort(times_s, ROUNDS, sizeof *times_s, by_size);
    double median_s = times_s[ROUNDS / 2];
    printf("%-4s %-20s body %6zu bytes  %8.1f us, %8.0f/s\n", method, path, body_size,
           median_s * 1e6, 1 / median_s);
    buf_fini(&text);
}

int
main(void)
{
    measure("GET", "/api/v1/query", "query=up&time=1700000000", 0);
    measure("POST", "/api/v1/write", "", 0);
    measure("POST", "/api/v1/write", "", 20 * 1024);
    measure("POST", "/api/v1/write", "", BODY_BYTES_MAX);
    return 0;
}
