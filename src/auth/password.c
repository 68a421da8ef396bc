/*
 * password.c - see password.h.
 *
 * The forms of hashes are those of libxcrypt (crypt(5)). Each begins with its parameters and the
 * salt, which together are the setting, and ends with the digest:
 *
 *     $2b$ COST $ SALT(22) DIGEST(31)          two decimal digits: 2^COST rounds
 *     $7$ N R(5) P(5) SALT $ DIGEST(43)        N: log2, one digit; R, P: 30 bits, lowest digit
 * first $y$j N R $ SALT $ DIGEST(43)             N: log2 - 1, R: r - 1, one digit each
 *
 * A digit is one of DIGITS, 6 bits. yescrypt has numbers of several digits and further parameters;
 * no program that uses libcrypt makes hashes with them, and they are refused, because their cost
 * would have to be bounded as well. A hash that password_hash_parse() accepts is one that libcrypt
 * computes: password_fuzz.c checks it.
 *
 * libcrypt's own memory is taken by mmap, and only charged here. All that it is given and returns
 * is in a struct crypt_data, which is overwritten.
 */
#include "auth/password.h"

#include <assert.h>
#include <crypt.h>
#include <errno.h>
#include <gnutls/gnutls.h>

#define DIGITS "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

enum {
    BCRYPT_SALT_AT = 7,
    BCRYPT_DIGEST_AT = BCRYPT_SALT_AT + 22,
    BCRYPT_BYTES = BCRYPT_DIGEST_AT + 31,
    BCRYPT_COST_MIN = 4,
    BCRYPT_COST_MAX = 16,
    DIGEST_DIGITS = 43,   /* 32 bytes */
    SALT_DIGITS_MAX = 86, /* 64 bytes */
    SCRYPT_SALT_AT = 3 + 1 + 5 + 5,
    YESCRYPT_SALT_AT = 3 + 3 + 1,
    YESCRYPT_DIGIT_MAX = 47, /* greater ones begin a number of several digits */
    N_LOG2_MIN = 10,
    BLOCK_BYTES = 128, /* times r */
};

_Static_assert(SCRYPT_SALT_AT + SALT_DIGITS_MAX + 1 + DIGEST_DIGITS < PASSWORD_HASH_BYTES,
               "the longest hash fits");
_Static_assert(PASSWORD_HASH_BYTES <= CRYPT_OUTPUT_SIZE, "crypt.h: it also fits there");
_Static_assert(PASSWORD_BYTES_MAX + 1 == CRYPT_MAX_PASSPHRASE_SIZE, "crypt.h: it counts the NUL");

/* Measured with libxcrypt 4.4.33: bcrypt of cost 10 takes 50 ms, yescrypt 19 ms for 16 MiB, scrypt
 * 29 ms. */
enum { BCRYPT_ROUND_NS = 49000, YESCRYPT_KIB_NS = 1200, SCRYPT_KIB_NS = 1780 };

/* Returns the value of a digit, or -1. */
static int
digit_value(char c)
{
    const char *at = c == '\0' ? NULL : strchr(DIGITS, c);
    return at == NULL ? -1 : (int)(at - DIGITS);
}

static bool
is_digits(const char *text, size_t size)
{
    return strspn(text, DIGITS) >= size;
}

static enum err
parse_bcrypt(const char *text, struct password_hash *hash, struct why *why)
{
    static const char form[] = "invalid bcrypt hash: expected 60 characters, $2b$, the cost and $ "
                               "first";
    if (strlen(text) != BCRYPT_BYTES || text[3] != '$' || text[6] != '$' ||
        !is_digits(text + BCRYPT_SALT_AT, BCRYPT_BYTES - BCRYPT_SALT_AT) || text[4] < '0' ||
        text[4] > '9' || text[5] < '0' || text[5] > '9')
        return why_set(why, ERR_INPUT, "%s", form);
    int cost = (text[4] - '0') * 10 + text[5] - '0';
    if (cost < BCRYPT_COST_MIN || cost > BCRYPT_COST_MAX) {
        return why_set(why, cost < BCRYPT_COST_MIN ? ERR_INPUT : ERR_LIMIT,
                       "the bcrypt cost is %d, expected %d to %d", cost, BCRYPT_COST_MIN,
                       BCRYPT_COST_MAX);
    }
    hash->kind = PASSWORD_BCRYPT;
    hash->time_us = BCRYPT_ROUND_NS * (UINT64_C(1) << cost) / 1000;
    hash->memory_bytes = 0;
    hash->digest_at = BCRYPT_DIGEST_AT;
    return OK;
}

/* Reads a salt and the digest after it; returns the offset of the digest in `text`, or 0. */
static size_t
parse_salt(const char *text, size_t salt_at)
{
    size_t salt = strspn(text + salt_at, DIGITS), digest_at = salt_at + salt + 1;
    bool good = salt > 0 && salt <= SALT_DIGITS_MAX && text[salt_at + salt] == '$' &&
                strspn(text + digest_at, DIGITS) == DIGEST_DIGITS &&
                text[digest_at + DIGEST_DIGITS] == '\0';
    return good ? digest_at : 0;
}

/* Says whether digits are bytes: three for four digits, and one or two for the last two or three,
 * of which the highest bits are then 0. */
static bool
is_whole_bytes(const char *text, size_t size)
{
    int last = digit_value(text[size - 1]);
    return size % 4 == 0 || (size % 4 == 2 && last < 4) || (size % 4 == 3 && last < 16);
}

static enum err
set_cost(struct password_hash *hash, int n_log2, uint64_t r, uint64_t p, struct why *why)
{
    const uint64_t kib_ns = hash->kind == PASSWORD_SCRYPT ? SCRYPT_KIB_NS : YESCRYPT_KIB_NS;
    if (n_log2 < N_LOG2_MIN || r == 0 || p == 0) {
        return why_set(why, ERR_INPUT, "the hash is too cheap: expected N of at least %u",
                       1u << N_LOG2_MIN);
    }
    /* r and p have 30 bits: each bound keeps the next computation within 64 bits. */
    if (n_log2 > 30 || r << n_log2 > PASSWORD_MEMORY_BYTES_MAX / BLOCK_BYTES) {
        return why_set(why, ERR_LIMIT, "a check of the hash takes too much memory: at most %d MiB",
                       PASSWORD_MEMORY_BYTES_MAX >> 20);
    }
    hash->memory_bytes = ((r << n_log2) + r * p) * BLOCK_BYTES;
    hash->time_us = (((r << n_log2) * p * BLOCK_BYTES) >> 10) * kib_ns / 1000;
    if (hash->time_us > PASSWORD_TIME_US_MAX) {
        return why_set(why, ERR_LIMIT, "a check of the hash takes too long: at most %d s",
                       PASSWORD_TIME_US_MAX / 1000000);
    }
    return OK;
}

/* Reads a number of 30 bits. */
static uint64_t
read_30_bits(const char *digits)
{
    uint64_t number = 0;
    for (int i = 4; i >= 0; i--)
        number = number << 6 | (uint64_t)digit_value(digits[i]);
    return number;
}

static enum err
parse_scrypt(const char *text, struct password_hash *hash, struct why *why)
{
    size_t digest_at =
        is_digits(text + 3, SCRYPT_SALT_AT - 3) ? parse_salt(text, SCRYPT_SALT_AT) : 0;
    if (digest_at == 0) {
        return why_set(why, ERR_INPUT,
                       "invalid scrypt hash: expected $7$, parameters, a salt, $, 43 characters");
    }
    hash->kind = PASSWORD_SCRYPT;
    hash->digest_at = digest_at;
    return set_cost(hash, digit_value(text[3]), read_30_bits(text + 4), read_30_bits(text + 9),
                    why);
}

static enum err
parse_yescrypt(const char *text, struct password_hash *hash, struct why *why)
{
    bool has_form = text[3] == 'j' && is_digits(text + 4, 2) && text[6] == '$' &&
                    digit_value(text[4]) <= YESCRYPT_DIGIT_MAX &&
                    digit_value(text[5]) <= YESCRYPT_DIGIT_MAX;
    size_t digest_at = has_form ? parse_salt(text, YESCRYPT_SALT_AT) : 0;
    if (digest_at == 0 ||
        !is_whole_bytes(text + YESCRYPT_SALT_AT, digest_at - 1 - YESCRYPT_SALT_AT)) {
        return why_set(why, ERR_INPUT,
                       "invalid yescrypt hash: expected $y$j, two characters for N and r, $, a "
                       "salt, $, 43 characters");
    }
    hash->kind = PASSWORD_YESCRYPT;
    hash->digest_at = digest_at;
    return set_cost(hash, digit_value(text[4]) + 1, (uint64_t)digit_value(text[5]) + 1, 1, why);
}

enum err
password_hash_parse(const char *hash, struct password_hash *ret_hash, struct why *why)
{
    struct password_hash parsed = {0};
    enum err e;
    if (strncmp(hash, "$7$", 3) == 0) {
        e = parse_scrypt(hash, &parsed, why);
    } else if (strncmp(hash, "$y$", 3) == 0) {
        e = parse_yescrypt(hash, &parsed, why);
    } else if (hash[0] == '$' && hash[1] == '2' && hash[2] != '\0' && strchr("aby", hash[2])) {
        e = parse_bcrypt(hash, &parsed, why);
    } else {
        e = why_set(why, ERR_INPUT,
                    "unknown kind of password hash: expected bcrypt ($2a$, $2b$, $2y$), scrypt "
                    "($7$) or yescrypt ($y$)");
    }
    if (e == OK) *ret_hash = parsed;
    return e;
}

/* Parses a hash that was parsed before. */
static struct password_hash
parse_again(const char *hash)
{
    struct password_hash parsed;
    enum err e = password_hash_parse(hash, &parsed, NULL);
    assert(e == OK);
    return parsed;
}

const char *
password_dearer(const char *a, const char *b)
{
    uint64_t time_us = parse_again(b).time_us;
    return a == NULL || time_us > parse_again(a).time_us ? b : a;
}

/* Computes a hash from data->input and data->setting. */
static enum err
compute(struct budget *budget, uint64_t memory_bytes, struct crypt_data *data)
{
    enum err e = budget == NULL ? OK : budget_take(budget, memory_bytes);
    if (e) return e;
    errno = 0;
    if (crypt_rn(data->input, data->setting, data, sizeof *data) == NULL)
        e = errno == ENOMEM ? ERR_NOMEM : ERR_UNSUPPORTED;
    if (budget != NULL) budget_give(budget, memory_bytes);
    return e;
}

/* Copies at most `bytes_max` bytes, and a NUL. */
static void
set_input(struct crypt_data *data, struct bytes password, size_t bytes_max)
{
    size_t size = password.size < bytes_max ? password.size : bytes_max;
    assert(size < sizeof data->input);
    if (size > 0) memcpy(data->input, password.at, size);
    data->input[size] = '\0';
}

enum err
password_check(struct budget *budget, const char *hash, struct bytes password, bool *ret_good)
{
    const struct password_hash parsed = parse_again(hash);
    const size_t digest_at = parsed.digest_at, digest_size = strlen(hash) - digest_at;
    const bool is_bcrypt = parsed.kind == PASSWORD_BCRYPT;
    if (password.size > PASSWORD_BYTES_MAX + 1) password.size = PASSWORD_BYTES_MAX + 1;
    bool good = (is_bcrypt || password.size <= PASSWORD_BYTES_MAX) &&
                (password.size == 0 || memchr(password.at, '\0', password.size) == NULL);
    struct crypt_data *data = mem_new(budget, sizeof *data);
    if (data == NULL) return ERR_NOMEM;
    set_input(data, password, is_bcrypt ? PASSWORD_BCRYPT_BYTES : PASSWORD_BYTES_MAX);
    strcpy(data->setting, hash);
    /* libcrypt computes $2a$ differently for a few passwords with the byte 0xff; in Prometheus all
     * three letters mean what $2b$ means. */
    if (is_bcrypt) data->setting[2] = 'b';
    enum err e = compute(budget, parsed.memory_bytes, data);
    if (e == OK) {
        /* The setting is not compared: the last digit of a salt can be written in several ways. */
        assert(strlen(data->output) == digest_at + digest_size);
        *ret_good =
            gnutls_memcmp(data->output + digest_at, hash + digest_at, digest_size) == 0 && good;
    }
    mem_free_secret(budget, data, sizeof *data);
    return e;
}

enum err
password_hash_make(struct budget *budget, enum password_kind kind, struct bytes password,
                   const uint8_t *salt, char *ret_hash, struct why *why)
{
    const bool is_bcrypt = kind == PASSWORD_BCRYPT;
    const size_t bytes_max = is_bcrypt ? PASSWORD_BCRYPT_BYTES : PASSWORD_BYTES_MAX;
    assert(kind != PASSWORD_SCRYPT);
    if (password.size == 0) return why_set(why, ERR_INPUT, "the password is empty");
    if (memchr(password.at, '\0', password.size) != NULL)
        return why_set(why, ERR_INPUT, "the password contains a NUL byte");
    if (password.size > bytes_max) {
        return why_set(why, ERR_LIMIT, "the password has %zu bytes, expected at most %zu",
                       password.size, bytes_max);
    }
    struct crypt_data *data = mem_new(budget, sizeof *data);
    if (data == NULL) return why_set(why, ERR_NOMEM, "not enough memory to hash a password");
    struct password_hash made;
    enum err e = ERR_UNSUPPORTED;
    set_input(data, password, bytes_max);
    if (crypt_gensalt_rn(
            is_bcrypt ? "$2b$" : "$y$", is_bcrypt ? PASSWORD_BCRYPT_COST : PASSWORD_YESCRYPT_COST,
            (const char *)salt, PASSWORD_SALT_BYTES, data->setting, sizeof data->setting) != NULL) {
        /* 4 KiB for each of the blocks: N is 2^(cost + 7). */
        e = compute(budget, is_bcrypt ? 0 : UINT64_C(4096) << (PASSWORD_YESCRYPT_COST + 7), data);
    }
    if (e) why_set(why, e, "libcrypt cannot hash a password: %s", err_word(e));
    if (e == OK) e = password_hash_parse(data->output, &made, why);
    if (e == OK) strcpy(ret_hash, data->output);
    mem_free_secret(budget, data, sizeof *data);
    return e;
}
