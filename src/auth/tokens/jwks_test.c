/* jwks_test.c - published signatures (RFC 7515, 7520, 8037), signatures of OpenSSL and GnuTLS, and
 * key sets of all kinds. */
#include "lib/test.h"

#include <pthread.h>
#include <stdio.h>

#include "auth/tokens/jwt.h"
#include "lib/auth/token_signer.h"
#include "lib/failing_memory.h"

static struct token_signer *signers[TOKEN_KEY_COUNT];

static int
make_signers(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TOKEN_KEY_COUNT; i++)
        signers[i] = token_signer_new(i);
    return 0;
}

static int
free_signers(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TOKEN_KEY_COUNT; i++)
        token_signer_free(signers[i]);
    return 0;
}

static struct jwks *
read_keys(const char *document)
{
    struct jwks *keys = NULL;
    struct why why;
    assert_int_equal(jwks_read(NULL, bytes_of_text(document), &keys, &why), OK);
    return keys;
}

/* --- signatures of others --------------------------------------------------------------------- */

#define RFC7515_RSA                                                                            \
    "{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQ" \
    "p-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wG" \
    "zjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4u" \
    "DZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9" \
    "gb54h4FRWyuXpoQ\",\"e\":\"AQAB\"}"
#define RFC7515_P256                                                                           \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"," \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"
#define RFC7515_P521                                                                           \
    "{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcB" \
    "pXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk\",\"y\":\"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBX" \
    "MoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2\"}"
#define RFC7520_RSA                                                                             \
    "{\"kty\":\"RSA\",\"kid\":\"bilbo.baggins@hobbiton.example\",\"use\":\"sig\",\"n\":\"n4EPt" \
    "AOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSC"  \
    "pMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe"  \
    "-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_v"  \
    "niUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw\",\"e\":\"AQAB"  \
    "\"}"
#define RFC7520_P521                                                                            \
    "{\"kty\":\"EC\",\"kid\":\"bilbo.baggins@hobbiton.example\",\"use\":\"sig\",\"crv\":\"P-52" \
    "1\",\"x\":\"AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDy"  \
    "RXYgCF5cj0Kt\",\"y\":\"AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDP"  \
    "rwQrJmbnX9cwlGfP-HqHZR1\"}"
#define RFC8037_ED25519 \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"
#define RFC7515_CLAIMS                                                                         \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0" \
    "cnVlfQ"
#define RFC7520_TEXT                                                                           \
    "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAg" \
    "b250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dp" \
    "bmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4"

#define OPENSSL_RSA                                                                          \
    "{\"kty\":\"RSA\",\"n\":\"xoF8h-VhcYgrRqsyCwu_-14U0dCTdM0GpLb57AoZ7uOiFVWwsJ04gLdae5wZ-" \
    "W9cbNsNEX39dymD_-rOzrh8h37N9zEQ34BVUMlvEf2uSan8Uq4CAQVVBBnfzALjnS3Vp_DlC6EPaEPSM1y6kb6" \
    "aNkCtDQLngpuzGenJzkrX_NZ9xlHQkkcpIsnyx1HULLB7yCnGxajPj3QEzHOkmHu4_1Qw89Vl5EjJpYpjuj0V4" \
    "28avVVMs6BbCef4qZW-e5KuymgKlYouvMceu1zllrpRBA5ighYQ4UqJNn8ixVSkQ4xUOiHMJXLrvZYrC3ZUuBc" \
    "j2_5gg_SHNtZDXK_wlr0XxQ\",\"e\":\"AQAB\"}"
#define OPENSSL_P384                                                                         \
    "{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"N_yTtTPVzHnoMa_mWionou5D5naJu2awt_VZV_EjXF5Q" \
    "4TRSAV_1IUoFvxX7kW3k\",\"y\":\"sFDcYYHwU-o2MiTR4OA82Dw20i3PZHnHAFCpop--97fHeVrHPWhLOAJ" \
    "JDFCYBGR_\"}"
#define OPENSSL_ED448                                                                        \
    "{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"eutr0-ieRnjFuTDxNw53H97iPc_DYsJ4waRn8npDPh1" \
    "3H0RfNkYjqWq9O7XgcqOlPbVr9sLSWh8A\"}"
#define OPENSSL_CLAIMS "eyJleHAiOjE3MDAwMDAwMDB9"

static const struct vector {
    const char *key;
    const char *algorithm;
    const char *input;
    const char *signature;
} vectors[] = {
    /* RFC 7515, A.2 to A.4 */
    {RFC7515_RSA, "RS256", "eyJhbGciOiJSUzI1NiJ9." RFC7515_CLAIMS,
     "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2"
     "Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjt"
     "QBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6"
     "IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"},
    {RFC7515_P256, "ES256", "eyJhbGciOiJFUzI1NiJ9." RFC7515_CLAIMS,
     "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"},
    {RFC7515_P521, "ES512", "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA",
     "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtA"
     "G8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"},
    /* RFC 7520, 4.1 to 4.3; the last has a leading zero in both numbers */
    {RFC7520_RSA, "RS256",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9." RFC7520_TEXT,
     "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83x"
     "uglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt"
     "5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12pod"
     "GU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg"},
    {RFC7520_RSA, "PS384",
     "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9." RFC7520_TEXT,
     "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O"
     "8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJ"
     "RmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLA"
     "eQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw"},
    {RFC7520_P521, "ES512",
     "eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9." RFC7520_TEXT,
     "AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJA"
     "Qy3mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2"},
    /* RFC 8037, A.4 and A.5, also with the name of RFC 9864 */
    {RFC8037_ED25519, "EdDSA", "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
     "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"},
    {RFC8037_ED25519, "Ed25519", "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
     "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"},
    /* Made with OpenSSL 3.0 */
    {OPENSSL_RSA, "RS384", "eyJhbGciOiJSUzM4NCJ9." OPENSSL_CLAIMS,
     "g7yMQXNq64Wk7f71CPwySVeeg4GMS-zwtB7S6Qd01msKPMzpWijiK5LtWNnlxmkDyOix4RWdIr9ffaf7j-wJRN-I"
     "Yr_APNUewOgUkdI0XKjn4ErdaygCKNUpZfvaTKW-ZKIUGhnov00YhrsUn2exdnsWFbBSqi0aCG-BDkMaOUfz9UQf"
     "BLnbowNIm_VqZqhy1ME9lBwqLdcm38-AeHYs1Fx-iW3-MOdO5Y-hYZSWyETtHBEILRQRBnuYu8exbmEbrdRV73V4"
     "WOg6lzWrSeevjgNu3OQPVlOe8ypgITLtYLHtEOkLhHGgYL0TFf5Xoe5Z-JK9Gvi-wp230thus7RHRA"},
    {OPENSSL_RSA, "RS512", "eyJhbGciOiJSUzUxMiJ9." OPENSSL_CLAIMS,
     "JmRQYtBsiDRduraQEeesw9FeigPQhlAIHef5Y-jPdk4p4YILWZLWBFp405bIcEg1yEzuAs61aj3YgZqEPB82Ijnp"
     "kVEPRILgUHn3ZKRDha4IDH_-PrKSYZuGdaG2WTvEsQIluq4N-AGeEPHgsLMNYlyornr5rCQXv5LDgiPtDnrmCB7-"
     "PAR29xOFGbz_KtbuY7JWwJj8iWIoCitWFW1rM_hD_grX6rg5waPqk0XbL1_TmNc5HoNxsqMK_r7_OTFdIXH5XuPw"
     "Kbmam52IV_FV30weIi9J5sH-pqWGP0duBw6bQM4idUZggqNmo1z435YuNMUbTejXEZlZr77lhiVakg"},
    {OPENSSL_RSA, "PS256", "eyJhbGciOiJQUzI1NiJ9." OPENSSL_CLAIMS,
     "jm3izhZMGSenKfxnepJhN_2ogfg-aqoMhCOw4albnU4cjK-e0WyE_VNfKGQ9F3zRl1zSihDCXz-gnm9dG7h32F2K"
     "eLi2r4Fr8chn57YPC4kWbV9gxnE1dSV7Po67xkzX91Jr6HdZUzTMuMDjeR0VxSDYdxBV9CxLNRAar1hLBdPxN_EK"
     "mSZPHFHdWEojqsk7OX2UQ0M28E5ThVzFUKE1nMDvJ9BJbPE6LnVScjI1KA8by5R6R1JgOOryme1DpTeqIpfuvBb9"
     "56HJoASvX5-L9uFvq17n259ll7CwvGm79m0j6Jl2ytp7JGxKXB8bZP65ogFTg9hgJsdZUMNsRNIcYg"},
    {OPENSSL_RSA, "PS512", "eyJhbGciOiJQUzUxMiJ9." OPENSSL_CLAIMS,
     "bj7JHGeQMyjbqCrrTjc2em6z0jfMlprIUa33lD-QmnsAEIq4yubZZ8XTHwI75oNpZKBX5QazCI2sd-bCrg39Qy6O"
     "rhO5V7jxPWWlb212HXoK3rh52zwtSEyozktKM3g9z-m1OyGpbQqIr2fru5Lv-vKMvgq1s0-_k8CF71-YOww3dpgj"
     "WwW15FX1euSU_RRArLDiO61BWpapXyjegUG8G0RJaHkfmZeH4Ep6CXiVw8MLHfpRUo-PZdLC-LP3U-IWt452n-nv"
     "KdCv3T1viZypN5cni5-nUDDnyKQvWEd0GXBu8yQQXdM6SIVs0yoxChN0nY53j6OUbtFXpFHVBjlidw"},
    {OPENSSL_P384, "ES384", "eyJhbGciOiJFUzM4NCJ9." OPENSSL_CLAIMS,
     "b8wVsLauOZRBluRLjRj8yxphRqifVE30bdNlGiPRmr4MlHH6BeiVkGs3heQqf87BsQ8T6MlMmotEbTGvSZCeOY4g"
     "GduRRVUR-ygL2mREu_hr7XR9TUXrq4vIPvuq8XLT"},
    {OPENSSL_ED448, "EdDSA", "eyJhbGciOiJFZERTQSJ9." OPENSSL_CLAIMS,
     "swXtHZkq0NY3l3EXK2o51D5FL1EPUz-_DrmWmNl5TRFveKA8lj9mDjB69GVmURWmQW-t7ubJuiQAgHSjeDvXklN4"
     "UF5iGq_0HRnV6KxLEp610ydRpkG8mgVn6r9OxGs5AmWjcI8YAlyRLy9i0edetxIA"},
};
enum { VECTOR_COUNT = sizeof vectors / sizeof *vectors };

static struct jwks *
read_vector(const struct vector *v, struct jwks_signature *ret, struct buf *signature)
{
    char document[2048];
    snprintf(document, sizeof document, "{\"keys\":[%s]}", v->key);
    buf_clear(signature);
    assert_int_equal(base64url_get(bytes_of_text(v->signature), signature), OK);
    *ret = (struct jwks_signature){.algorithm = bytes_of_text(v->algorithm),
                                   .input = bytes_of_text(v->input),
                                   .signature = buf_bytes(signature)};
    return read_keys(document);
}

UNIT_TEST(test_signatures_of_others_are_accepted)
{
    struct buf decoded;
    buf_init(&decoded, NULL, 1000);
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        struct jwks_signature s;
        struct jwks *keys = read_vector(&vectors[i], &s, &decoded);
        assert_int_equal(jwks_counts(keys).used, 1);
        assert_int_equal(jwks_verify(keys, &s, NULL), JWT_ACCEPTED);
        jwks_free(keys);
    }
    buf_fini(&decoded);
}

UNIT_TEST(test_a_signature_with_a_changed_bit_is_refused)
{
    struct buf decoded;
    buf_init(&decoded, NULL, 1000);
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        struct jwks_signature s;
        struct jwks *keys = read_vector(&vectors[i], &s, &decoded);
        for (size_t at = 0; at < decoded.size; at += 3) {
            decoded.at[at] ^= (uint8_t)(1 << at % 8);
            assert_int_not_equal(jwks_verify(keys, &s, NULL), JWT_ACCEPTED);
            decoded.at[at] ^= (uint8_t)(1 << at % 8);
        }
        s.input.size--;
        assert_int_not_equal(jwks_verify(keys, &s, NULL), JWT_ACCEPTED);
        s.input.size++;
        assert_int_equal(jwks_verify(keys, &s, NULL), JWT_ACCEPTED);
        jwks_free(keys);
    }
    buf_fini(&decoded);
}

UNIT_TEST(test_a_signature_that_is_cut_longer_or_zero_is_refused)
{
    static const uint8_t zeros[600] = {0};
    struct buf decoded;
    buf_init(&decoded, NULL, 1000);
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        struct jwks_signature s;
        struct jwks *keys = read_vector(&vectors[i], &s, &decoded);
        size_t size = decoded.size;
        buf_put_u8(&decoded, 0);
        for (size_t wrong = 0; wrong <= size + 1; wrong++) {
            if (wrong == size) continue;
            s.signature = bytes_of(decoded.at, wrong);
            assert_int_not_equal(jwks_verify(keys, &s, NULL), JWT_ACCEPTED);
        }
        s.signature = bytes_of(zeros, size);
        assert_int_not_equal(jwks_verify(keys, &s, NULL), JWT_ACCEPTED);
        jwks_free(keys);
    }
    buf_fini(&decoded);
}

/* RFC 7518, 3.5: the salt has the size of the hash. */
UNIT_TEST(test_a_pss_signature_with_a_short_salt_is_refused)
{
    static const struct vector short_salt = {
        OPENSSL_RSA, "PS256", "eyJhbGciOiJQUzI1NiJ9." OPENSSL_CLAIMS,
        "PLsvAWqgxxtcmLtJBov-7aK6q1EXRbVdr6boTI1FyakmH_1EOZcP_oXyDKAix5NKAoqdkQE0N1QIV9tECSQK5gCr"
        "NiSKqCJJChQhgj7VGK22_Xfc26xz_rcHkFMzw8UK6qeL03ZOefk_LoZVD6unjLHKGgWDO1egZzZSmFKfjetS5hz2"
        "uPP9DkxTb4k-It-8-S5Iuua1p_gRo8IuvZm5gwzSycN6s3YE7VCDrbeVcHBeFLB_opAB3Xig7Bl5euJISxW4fpPo"
        "uTrMUJtpOkREyK6JXtN9JyRj7JL2aODFmEEzpTZCkDaRMxY0J9vmKAaG4XO4nAc0SjBgFZJtJB0YDA"};
    struct buf decoded;
    struct jwks_signature s;
    buf_init(&decoded, NULL, 1000);
    struct jwks *keys = read_vector(&short_salt, &s, &decoded);
    assert_int_not_equal(jwks_verify(keys, &s, NULL), JWT_ACCEPTED);
    jwks_free(keys);
    buf_fini(&decoded);
}

/* --- the algorithm and the key ---------------------------------------------------------------- */

static const struct {
    const char *name;
    const char *sign; /* for token_signer_sign() */
    enum token_key key;
} names[] = {
    {"RS256", "RS256", TOKEN_KEY_RSA},   {"RS384", "RS384", TOKEN_KEY_RSA},
    {"RS512", "RS512", TOKEN_KEY_RSA},   {"PS256", "PS256", TOKEN_KEY_RSA},
    {"PS384", "PS384", TOKEN_KEY_RSA},   {"PS512", "PS512", TOKEN_KEY_RSA},
    {"ES256", "ES256", TOKEN_KEY_P256},  {"ES384", "ES384", TOKEN_KEY_P384},
    {"ES512", "ES512", TOKEN_KEY_P521},  {"EdDSA", "Ed25519", TOKEN_KEY_ED25519},
    {"EdDSA", "Ed448", TOKEN_KEY_ED448}, {"Ed25519", "Ed25519", TOKEN_KEY_ED25519},
    {"Ed448", "Ed448", TOKEN_KEY_ED448},
};
enum { NAME_COUNT = sizeof names / sizeof *names };

/* Returns a set of one key, with these members before its own. */
static struct jwks *
keys_of(enum token_key key, const char *members)
{
    struct buf document;
    buf_init(&document, NULL, 10000);
    buf_put_text(&document, "{\"keys\":[");
    token_signer_jwk(signers[key], members, &document);
    buf_put_text(&document, "]}");
    struct jwks *keys = NULL;
    assert_int_equal(jwks_read(NULL, buf_bytes(&document), &keys, NULL), OK);
    buf_fini(&document);
    return keys;
}

static enum jwt_verdict
verify(const struct jwks *keys, const char *algorithm, const char *id, struct bytes signature,
       struct why *why)
{
    const struct jwks_signature s = {
        .algorithm = bytes_of_text(algorithm),
        .key_id = id == NULL ? bytes_of(NULL, 0) : bytes_of_text(id),
        .input = bytes_of_text("text"),
        .signature = signature,
    };
    return jwks_verify(keys, &s, why);
}

/* Each algorithm signs; the signature is then given each name, and meets a key that has each name
 * or none. */
UNIT_TEST(test_a_key_verifies_only_its_algorithm_whatever_a_token_says)
{
    struct buf signature;
    buf_init(&signature, NULL, 1000);
    for (size_t by = 0; by < NAME_COUNT; by++) {
        buf_clear(&signature);
        token_signer_sign(signers[names[by].key], names[by].sign, bytes_of_text("text"),
                          &signature);
        for (size_t bound = 0; bound <= NAME_COUNT; bound++) {
            char members[100] = "\"kid\":\"a\",";
            if (bound < NAME_COUNT) {
                snprintf(members, sizeof members, "\"kid\":\"a\",\"alg\":\"%s\",",
                         names[bound].name);
            }
            struct jwks *keys = keys_of(names[by].key, members);
            for (size_t said = 0; said < NAME_COUNT; said++) {
                bool right =
                    strcmp(names[said].name, names[by].sign) == 0 ||
                    (strcmp(names[said].name, "EdDSA") == 0 && names[by].key >= TOKEN_KEY_ED25519);
                bool of_key =
                    bound == NAME_COUNT || strcmp(names[said].name, names[bound].name) == 0;
                enum jwt_verdict verdict =
                    verify(keys, names[said].name, "a", buf_bytes(&signature), NULL);
                assert_int_equal(verdict == JWT_ACCEPTED, right && of_key);
            }
            jwks_free(keys);
        }
    }
    buf_fini(&signature);
}

UNIT_TEST(test_none_and_symmetric_algorithms_are_refused)
{
    static const char *const refused[] = {"none",  "None",   "NONE",  "",       "HS256",
                                          "HS384", "HS512",  "rs256", "RS1",    "ES256K",
                                          "RS25",  "RS2566", "dir",   "A256KW", "RSA-OAEP"};
    struct why why;
    for (unsigned key = 0; key < TOKEN_KEY_COUNT; key++) {
        struct jwks *keys = keys_of(key, "");
        for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
            assert_int_equal(verify(keys, refused[i], NULL, bytes_of("", 0), &why), JWT_REFUSED);
            assert_non_null(strstr(why.text, "is not accepted"));
        }
        jwks_free(keys);
    }
}

/* --- choosing a key --------------------------------------------------------------------------- */

/* Appends a set of keys: "a" of the first signer, two without an id of others, and so on, as `plan`
 * says: a letter is the id, "-" none; a digit is the signer. */
static struct jwks *
planned_keys(const char *plan, struct token_signer *const *by_digit)
{
    struct buf document;
    struct jwks *keys = NULL;
    buf_init(&document, NULL, 100000);
    buf_put_text(&document, "{\"keys\":[");
    for (const char *at = plan; *at != '\0'; at += 2) {
        char members[20] = "";
        if (*at != '-') snprintf(members, sizeof members, "\"kid\":\"%c\",", *at);
        if (at > plan) buf_put_u8(&document, ',');
        token_signer_jwk(by_digit[at[1] - '0'], members, &document);
    }
    buf_put_text(&document, "]}");
    assert_int_equal(jwks_read(NULL, buf_bytes(&document), &keys, NULL), OK);
    buf_fini(&document);
    return keys;
}

UNIT_TEST(test_a_token_is_verified_with_the_key_that_it_names)
{
    static const struct {
        const char *plan; /* signer 0 signs */
        const char *id;
        enum jwt_verdict verdict;
        const char *why;
    } cases[] = {
        {"a0", "a", JWT_ACCEPTED, ""},
        {"b1a0", "a", JWT_ACCEPTED, ""},
        {"a1a0", "a", JWT_ACCEPTED, ""},
        {"a1", "a", JWT_REFUSED, "signature is not that of key 'a'"},
        {"a0b1", "b", JWT_REFUSED, "signature is not that of key 'b'"},
        {"a1-0", "a", JWT_REFUSED, "signature is not that of key 'a'"},
        {"a2", "a", JWT_REFUSED, "algorithm 'EdDSA' is not that of key 'a'"},
        {"a0", "b", JWT_UNKNOWN_KEY, "key 'b' is not in the key set"},
        {"a0", "", JWT_UNKNOWN_KEY, "key '' is not in the key set"},
        {"a0", "aa", JWT_UNKNOWN_KEY, "key 'aa' is not in the key set"},
        {"", "a", JWT_UNKNOWN_KEY, "key 'a' is not in the key set"},
        {"a1-0", "b", JWT_ACCEPTED, ""},
        {"-2-1-0", "b", JWT_ACCEPTED, ""},
        {"-1", "b", JWT_UNKNOWN_KEY, "key 'b' is not in the key set"},
        {"a0", NULL, JWT_ACCEPTED, ""},
        {"a2b1c0", NULL, JWT_ACCEPTED, ""},
        {"a2b1", NULL, JWT_UNKNOWN_KEY,
         "token names no key, and none of the 1 keys tried for 'EdDSA' signed it"},
        {"", NULL, JWT_UNKNOWN_KEY,
         "token names no key, and none of the 0 keys tried for 'EdDSA' signed it"},
        /* Four keys that fit are tried, others do not count. */
        {"a1b1c1-0", NULL, JWT_ACCEPTED, ""},
        {"a2b2c2d2e2f0", NULL, JWT_ACCEPTED, ""},
        {"a1b1c1d1-0", NULL, JWT_UNKNOWN_KEY,
         "token names no key, and none of the 4 keys tried for 'EdDSA' signed it"},
        {"-1-1-1-1a0", "a", JWT_ACCEPTED, ""},
    };
    struct token_signer *other = token_signer_new(TOKEN_KEY_ED25519);
    struct token_signer *const by_digit[] = {signers[TOKEN_KEY_ED25519], other,
                                             signers[TOKEN_KEY_P256]};
    struct buf signature;
    buf_init(&signature, NULL, 1000);
    token_signer_sign(by_digit[0], "Ed25519", bytes_of_text("text"), &signature);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct why why = {.text = ""};
        struct jwks *keys = planned_keys(cases[i].plan, by_digit);
        assert_int_equal(verify(keys, "EdDSA", cases[i].id, buf_bytes(&signature), &why),
                         cases[i].verdict);
        if (cases[i].why[0] != '\0') assert_string_equal(why.text, cases[i].why);
        jwks_free(keys);
    }
    buf_fini(&signature);
    token_signer_free(other);
}

/* --- keys that are not used ------------------------------------------------------------------- */

#define P256_X "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
#define P256_Y "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\""
#define P256   "\"kty\":\"EC\",\"crv\":\"P-256\"," P256_X P256_Y

UNIT_TEST(test_keys_that_are_unfit_are_left_out_with_a_reason)
{
    static const struct {
        const char *key;
        const char *why; /* NULL: it is used */
    } cases[] = {
        {"{" P256 "}", NULL},
        {"{" P256 ",\"use\":\"sig\",\"key_ops\":[\"sign\",\"verify\"],\"alg\":\"ES256\"}", NULL},
        {"{" P256 ",\"x5c\":[\"AAAA\"],\"x5u\":\"https://example.com\",\"other\":{}}", NULL},
        {"{" P256 ",\"use\":\"enc\"}", "its use is 'enc', not sig"},
        {"{" P256 ",\"use\":\"\"}", "its use is '', not sig"},
        {"{" P256 ",\"use\":1}", "use is not a string"},
        {"{" P256 ",\"key_ops\":[\"sign\"]}", "its key_ops lack verify"},
        {"{" P256 ",\"key_ops\":[]}", "its key_ops lack verify"},
        {"{" P256 ",\"key_ops\":\"verify\"}", "its key_ops lack verify"},
        {"{" P256 ",\"alg\":\"ES384\"}", "alg 'ES384' is not supported for its kty and crv"},
        {"{" P256 ",\"alg\":\"HS256\"}", "alg 'HS256' is not supported for its kty and crv"},
        {"{" P256 ",\"alg\":\"none\"}", "alg 'none' is not supported for its kty and crv"},
        {"{" P256 ",\"alg\":\"ECDH-ES\"}", "alg 'ECDH-ES' is not supported for its kty and crv"},
        {"{" P256 ",\"alg\":null}", "alg is not a string"},
        {"{" P256 ",\"kid\":7}", "kid is not a string"},
        {"{" P256 ",\"d\":\"AAAA\"}", "it has a private part, and others may sign with it"},
        {"{\"kty\":\"oct\",\"k\":\"AAAA\",\"alg\":\"HS256\"}",
         "kty 'oct' with crv '' is not supported"},
        {"{\"kty\":\"oct\",\"k\":\"AAAA\",\"alg\":\"RS256\"}",
         "kty 'oct' with crv '' is not supported"},
        {"{\"kty\":\"EC\",\"crv\":\"secp256k1\"}",
         "kty 'EC' with crv 'secp256k1' is not supported"},
        {"{\"kty\":\"EC\"}", "kty 'EC' with crv '' is not supported"},
        {"{\"kty\":\"OKP\",\"crv\":\"X25519\"}", "kty 'OKP' with crv 'X25519' is not supported"},
        {"{}", "kty '' with crv '' is not supported"},
        {"7", "it is not an object"},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\"," P256_Y "}", "x is missing"},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\"," P256_X "\"y\":7}", "y is missing"},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\"," P256_X "\"y\":\"AA==\"}", "y is not base64url"},
        {"{\"kty\":\"EC\",\"crv\":\"P-384\"," P256_X P256_Y "}",
         "a coordinate does not have the 48 bytes of the curve"},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\"," P256_X "\"y\":\"AAAA\"}",
         "a coordinate does not have the 32 bytes of the curve"},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\"," P256_X
         "\"y\":\"AAFEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
         "its point is not on the curve"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}",
         "a coordinate does not have the 32 bytes of the curve"},
        {"{\"kty\":\"RSA\",\"n\":\"AAAA\",\"e\":\"AQAB\"}",
         "its RSA modulus has 0 bits, expected 2048 to 8192"},
        {"{\"kty\":\"RSA\",\"n\":\"AQ\",\"e\":\"AQAB\"}",
         "its RSA modulus has 1 bits, expected 2048 to 8192"},
        {"{\"kty\":\"RSA\",\"n\":\"gA\",\"e\":\"AQAB\"}",
         "its RSA modulus has 8 bits, expected 2048 to 8192"},
        {"{\"kty\":\"RSA\",\"e\":\"AQAB\"}", "n is missing"},
        {"{\"kty\":\"RSA\",\"n\":\"gA\"}", "e is missing"},
        {"{\"kty\":\"RSA\",\"n\":\"gA\",\"e\":\"A\"}", "e is not base64url"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char document[1000], expected[300];
        snprintf(document, sizeof document, "{\"keys\":[%s]}", cases[i].key);
        struct jwks *keys = read_keys(document);
        assert_int_equal(jwks_counts(keys).used, cases[i].why == NULL);
        assert_int_equal(jwks_counts(keys).left_out, cases[i].why != NULL);
        snprintf(expected, sizeof expected, "key 1 (kid '') is not used: %s", cases[i].why);
        assert_string_equal(jwks_left_out(keys), cases[i].why == NULL ? "" : expected);
        jwks_free(keys);
    }
}

/* Returns the set of a key whose modulus has `bits` bits, all of them set, after `zeros` zeros. */
static struct jwks *
rsa_keys(unsigned bits, unsigned zeros, const char *exponent)
{
    static const uint8_t zero[8] = {0};
    struct buf document, modulus;
    struct jwks *keys = NULL;
    buf_init(&document, NULL, 10000);
    buf_init(&modulus, NULL, 10000);
    buf_put(&modulus, zero, zeros);
    if (bits % 8 != 0) buf_put_u8(&modulus, (uint8_t)((1 << bits % 8) - 1));
    for (unsigned i = 0; i < bits / 8; i++)
        buf_put_u8(&modulus, 0xff);
    buf_put_text(&document, "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"");
    base64url_put(&document, buf_bytes(&modulus));
    buf_printf(&document, "\",\"e\":\"%s\"}]}", exponent);
    assert_int_equal(jwks_read(NULL, buf_bytes(&document), &keys, NULL), OK);
    buf_fini(&modulus);
    buf_fini(&document);
    return keys;
}

UNIT_TEST(test_rsa_keys_are_long_enough_and_have_a_sound_exponent)
{
    static const struct {
        unsigned bits;
        unsigned zeros;
        const char *exponent;
        bool used;
    } cases[] = {
        {2047, 0, "AQAB", false}, {2047, 1, "AQAB", false},         {2048, 0, "AQAB", true},
        {2048, 3, "AQAB", true},  {2049, 0, "AQAB", true},          {8192, 0, "AQAB", true},
        {8193, 0, "AQAB", false}, {1024, 0, "AQAB", false},         {2048, 0, "Aw", true},
        {2048, 0, "AQ", false},   {2048, 0, "AAE", false},          {2048, 0, "AA", false},
        {2048, 0, "Ag", false},   {2048, 0, "AQAAAAAAAAAB", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct jwks *keys = rsa_keys(cases[i].bits, cases[i].zeros, cases[i].exponent);
        assert_int_equal(jwks_counts(keys).used, cases[i].used);
        jwks_free(keys);
    }
}

UNIT_TEST(test_keys_beside_unfit_ones_are_used)
{
    struct jwks *keys = read_keys("{\"keys\":[7,{\"kty\":\"oct\",\"kid\":\"secret\\n\"},{" P256
                                  ",\"kid\":\"a\"},{" P256 ",\"use\":\"enc\"}],\"other\":1}");
    assert_int_equal(jwks_counts(keys).used, 1);
    assert_int_equal(jwks_counts(keys).left_out, 3);
    assert_string_equal(jwks_left_out(keys), "key 1 (kid '') is not used: it is not an object");
    jwks_free(keys);
}

/* --- limits ----------------------------------------------------------------------------------- */

UNIT_TEST(test_documents_that_are_not_key_sets_are_refused)
{
    static const struct {
        const char *document;
        enum err e;
        const char *why;
    } cases[] = {
        {"{\"keys\":[]}", OK, ""},
        {"{}", ERR_INPUT, "the key set has no array \"keys\""},
        {"{\"keys\":{}}", ERR_INPUT, "the key set has no array \"keys\""},
        {"{" P256 "}", ERR_INPUT, "the key set has no array \"keys\""},
        {"[]", ERR_INPUT, "JSON is not an object"},
        {"<html>", ERR_INPUT, "invalid JSON at byte 1"},
        {"{\"keys\":[{\"kty\":\"EC\",\"kty\":\"RSA\"}]}", ERR_INPUT,
         "a name occurs twice in a JSON object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct why why = {.text = ""};
        struct jwks *keys = NULL;
        assert_int_equal(jwks_read(NULL, bytes_of_text(cases[i].document), &keys, &why),
                         cases[i].e);
        assert_string_equal(why.text, cases[i].why);
        jwks_free(keys);
    }
}

UNIT_TEST(test_a_key_set_has_limits_of_bytes_and_keys)
{
    for (unsigned count = JWKS_KEYS_MAX; count <= JWKS_KEYS_MAX + 1; count++) {
        struct jwks *keys = NULL;
        struct buf document;
        struct why why = {.text = ""};
        buf_init(&document, NULL, 2 * JWKS_BYTES_MAX);
        buf_put_text(&document, "{\"keys\":[");
        for (unsigned i = 0; i < count; i++)
            buf_printf(&document, "%s{\"kid\":\"%u\"," P256 "}", i == 0 ? "" : ",", i);
        buf_put_text(&document, "]}");
        bool fits = count == JWKS_KEYS_MAX;
        assert_int_equal(jwks_read(NULL, buf_bytes(&document), &keys, &why), fits ? OK : ERR_LIMIT);
        if (!fits) assert_string_equal(why.text, "the key set has more than 100 keys");
        jwks_free(keys);
        if (fits) {
            while (document.size <= JWKS_BYTES_MAX) {
                assert_int_equal(jwks_read(NULL, buf_bytes(&document), &keys, NULL), OK);
                jwks_free(keys);
                size_t more = JWKS_BYTES_MAX - document.size;
                for (size_t i = 0; i < (more == 0 ? 1 : more); i++)
                    buf_put_u8(&document, ' ');
            }
            assert_int_equal(jwks_read(NULL, buf_bytes(&document), &keys, &why), ERR_LIMIT);
            assert_string_equal(why.text, "the key set is longer than 262144 bytes");
        }
        buf_fini(&document);
    }
}

static enum err
read_under_budget(void)
{
    struct budget budget;
    struct jwks *keys = NULL;
    budget_init(&budget, "test", 0, NULL);
    enum err e = jwks_read(
        &budget, bytes_of_text("{\"keys\":[{\"kid\":\"a\"," P256 "},{\"kid\":\"b\"," P256 "},7]}"),
        &keys, NULL);
    if (e == OK) assert_int_equal(jwks_counts(keys).used, 2);
    if (e == OK) assert_true(budget_used(&budget) > 0);
    if (e == OK) jwks_free(keys);
    assert_int_equal(budget_used(&budget), 0);
    return e;
}

UNIT_TEST(test_reading_a_key_set_survives_each_failing_allocation)
{
    fail_each_allocation(read_under_budget);
}

/* --- threads ---------------------------------------------------------------------------------- */

struct shared {
    const struct jwks *keys;
    struct bytes signature;
    const char *algorithm;
};

static void *
verify_often(void *arg)
{
    const struct shared *shared = arg;
    uintptr_t wrong = 0;
    for (unsigned i = 0; i < 50; i++) {
        const struct jwks_signature s = {
            .algorithm = bytes_of_text(shared->algorithm),
            .input = i % 2 == 0 ? bytes_of_text("text") : bytes_of_text("other"),
            .signature = shared->signature,
        };
        bool accepted = jwks_verify(shared->keys, &s, NULL) == JWT_ACCEPTED;
        wrong += accepted != (i % 2 == 0);
    }
    return (void *)wrong;
}

UNIT_TEST(test_threads_verify_with_one_key_set_at_once)
{
    struct buf signature;
    buf_init(&signature, NULL, 1000);
    for (size_t by = 0; by < NAME_COUNT; by++) {
        pthread_t threads[4];
        struct jwks *keys = keys_of(names[by].key, "");
        buf_clear(&signature);
        token_signer_sign(signers[names[by].key], names[by].sign, bytes_of_text("text"),
                          &signature);
        struct shared shared = {keys, buf_bytes(&signature), names[by].name};
        for (unsigned i = 0; i < 4; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, verify_often, &shared), 0);
        for (unsigned i = 0; i < 4; i++) {
            void *wrong = NULL;
            assert_int_equal(pthread_join(threads[i], &wrong), 0);
            assert_null(wrong);
        }
        jwks_free(keys);
    }
    buf_fini(&signature);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signatures_of_others_are_accepted),
        cmocka_unit_test(test_a_signature_with_a_changed_bit_is_refused),
        cmocka_unit_test(test_a_signature_that_is_cut_longer_or_zero_is_refused),
        cmocka_unit_test(test_a_pss_signature_with_a_short_salt_is_refused),
        cmocka_unit_test(test_a_key_verifies_only_its_algorithm_whatever_a_token_says),
        cmocka_unit_test(test_none_and_symmetric_algorithms_are_refused),
        cmocka_unit_test(test_a_token_is_verified_with_the_key_that_it_names),
        cmocka_unit_test(test_keys_that_are_unfit_are_left_out_with_a_reason),
        cmocka_unit_test(test_rsa_keys_are_long_enough_and_have_a_sound_exponent),
        cmocka_unit_test(test_keys_beside_unfit_ones_are_used),
        cmocka_unit_test(test_documents_that_are_not_key_sets_are_refused),
        cmocka_unit_test(test_a_key_set_has_limits_of_bytes_and_keys),
        cmocka_unit_test(test_reading_a_key_set_survives_each_failing_allocation),
        cmocka_unit_test(test_threads_verify_with_one_key_set_at_once),
    };
    return cmocka_run_group_tests(tests, make_signers, free_signers);
}
