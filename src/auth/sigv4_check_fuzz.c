/*
 * sigv4_check_fuzz.c - reads any bytes as the head of a signed request (lib/auth/sent_head.h): an
 * Authorization header, a presigned query. Seeds are requests that real signers signed; a request
 * that is good after a change still has the path of one of them.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "auth/signed.h"
#include "lib/auth/sent_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* False if the server does not let such a request pass: it has a control character, or a blank in
 * its target. */
static bool
is_request(struct bytes text)
{
    struct sent_head head;
    for (size_t i = 0; i < text.size; i++)
        if ((text.at[i] < ' ' && text.at[i] != '\n' && text.at[i] != '\t') || text.at[i] == 0x7f)
            return false;
    sent_head_read(&head, text);
    struct bytes target = head.arrival.target;
    return target.size > 0 && memchr(target.at, ' ', target.size) == NULL;
}

static void
check_path(const struct sent_head *head)
{
    static const char *const paths[] = {"/api/v1/write", "/api/v1/query", "/api/v1/write/",
                                        "/api/v1/rules/a%2Fb/%C3%A9%25"};
    struct buf path;
    bool known = false;
    buf_init(&path, NULL, 1 << 20);
    sent_head_route(head, &path);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        known |= bytes_equal_text(buf_bytes(&path), paths[i]);
    assert(known);
    buf_fini(&path);
}

static void
check_claim(struct sigv4_claim *claim, const struct sent_head *head)
{
    static const char *const hashes[] = {
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",  /* "" */
        "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5"}; /* "body" */
    struct sigv4_terms terms = {.secret_key = bytes_of_text("secretEXAMPLE")};
    struct why why = {.text = ""};
    assert(claim->key_id.size > 0);
    assert(memchr(claim->key_id.at, '/', claim->key_id.size) == NULL);
    assert(claim->is_presigned == (claim->date_name == NULL));
    if (claim->session_token.at != NULL) terms.session_token = bytes_of_text("token/with+chars==");
    bool is_post = bytes_equal_text(claim->request->method, "POST");
    enum sigv4_verdict verdict = sigv4_judge(claim, &terms, claim->time_s, NULL, &why);
    assert(verdict == SIGV4_NEEDS_BODY || verdict == SIGV4_REFUSED);
    if (verdict == SIGV4_NEEDS_BODY)
        verdict = sigv4_judge(claim, &terms, claim->time_s, hashes[is_post], &why);
    assert(verdict == SIGV4_GOOD || verdict == SIGV4_REFUSED);
    assert(verdict == SIGV4_GOOD || why.text[0] != '\0');
    if (verdict == SIGV4_GOOD) check_path(head);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sent_head head;
    struct sigv4_claim claim;
    struct why why = {.text = ""};
    if (!is_request(bytes_of(data, size))) return 0;
    sent_head_read(&head, bytes_of(data, size));
    enum sigv4_verdict verdict = sigv4_claim_read(&head.arrival, NULL, &claim, &why);
    assert(verdict == SIGV4_ABSENT || verdict == SIGV4_MALFORMED || verdict == SIGV4_CLAIMED);
    if (verdict == SIGV4_MALFORMED) assert(why.text[0] != '\0');
    if (verdict == SIGV4_CLAIMED) check_claim(&claim, &head);
    sigv4_claim_fini(&claim);
    return 0;
}
