/*
 * password.h - passwords and their hashes as of crypt(3): reads a configured hash, checks a
 * password against it, makes a hash. Pure: no I/O, no clock; libcrypt computes.
 *
 *     bcrypt     $2a$ $2b$ $2y$     cost 4 to 16
 *     scrypt     $7$                N of at least 2^10
 *     yescrypt   $y$                N of at least 2^10; p, t, g and ROM as libcrypt chooses them
 *
 * A hash is refused if a check takes longer than PASSWORD_TIME_US_MAX by the estimate in
 * password.c, or N blocks take more than PASSWORD_MEMORY_BYTES_MAX. Hashes of bcrypt behave as in
 * Prometheus: a password is as good as its first 72 bytes.
 */
#ifndef AUTH_PASSWORD_H
#define AUTH_PASSWORD_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"

enum {
    PASSWORD_HASH_BYTES = 160,  /* of the longest hash, with NUL */
    PASSWORD_BYTES_MAX = 511,   /* longer ones match no hash of scrypt and yescrypt */
    PASSWORD_BCRYPT_BYTES = 72, /* bcrypt ignores what follows */
    PASSWORD_SALT_BYTES = 16,   /* random bytes for a new hash */
    PASSWORD_BCRYPT_COST = 10,  /* of new hashes; the one in Prometheus' documents */
    PASSWORD_YESCRYPT_COST = 5, /* of new hashes: 16 MiB; libcrypt's default */
    PASSWORD_TIME_US_MAX = 4000000,
    PASSWORD_MEMORY_BYTES_MAX = 256 << 20,
};

enum password_kind { PASSWORD_BCRYPT, PASSWORD_SCRYPT, PASSWORD_YESCRYPT };

struct password_hash {
    enum password_kind kind;
    uint64_t time_us;      /* estimate for one check */
    uint64_t memory_bytes; /* that libcrypt takes during a check */
    size_t digest_at;      /* offset of the part that depends on the password */
};

/* Reads a configured hash. ERR_INPUT: it is not a hash of an accepted kind; ERR_LIMIT: a check
 * takes too long, or too much memory. `why` never contains a part of the hash. */
MUST_CHECK enum err password_hash_parse(const char *hash, struct password_hash *ret_hash,
                                        struct why *why);

/* Returns the hash of which a check takes longer; `a` may be NULL. Both have been parsed once
 * without an error. */
const char *password_dearer(const char *a, const char *b);

/*
 * Hashes the password, whatever it is, and says whether it is the one that `hash` was made from;
 * `hash` has been parsed once without an error. False for a password with a NUL, and for one that
 * is too long. The comparison takes the same time for all digests. Of a longer password only the
 * first PASSWORD_BYTES_MAX + 1 bytes are read.
 *
 * ERR_NOMEM: nothing was checked. ERR_UNSUPPORTED: libcrypt was built without this kind.
 */
MUST_CHECK enum err password_check(struct budget *budget, const char *hash, struct bytes password,
                                   bool *ret_good);

/*
 * Makes a hash of bcrypt or yescrypt, PASSWORD_HASH_BYTES, from a password and PASSWORD_SALT_BYTES
 * random bytes. ERR_INPUT: the password is empty or has a NUL; ERR_LIMIT: it is longer than
 * PASSWORD_BYTES_MAX, or for bcrypt PASSWORD_BCRYPT_BYTES; ERR_NOMEM; ERR_UNSUPPORTED.
 */
MUST_CHECK enum err password_hash_make(struct budget *budget, enum password_kind kind,
                                       struct bytes password, const uint8_t *salt, char *ret_hash,
                                       struct why *why);

#endif
