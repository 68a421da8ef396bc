/* credentials.c - `firekeep hash` makes the hash of a password, `firekeep token` a random token or
 * the SHA-256 of one, for the configuration of a server. */
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "auth/password.h"
#include "base/text/base64.h"
#include "base/text/hex.h"
#include "cli/cli.h"
#include "cli/lib/terminal.h"
#include "sys/env.h"

/* `firekeep hash`: makes the hash of a password, for the configuration of a server. */

static const char *const kind_words[] = {"yescrypt", "bcrypt", NULL};
static const enum password_kind kinds[] = {PASSWORD_YESCRYPT, PASSWORD_BCRYPT};

struct hash_flags {
    int kind;
};

static const struct flag hash_flags[] = {
    {"kind", 0, FLAG_CHOICE, offsetof(struct hash_flags, kind), "KIND",
     "yescrypt, or bcrypt, which Prometheus' basic_auth_users requires (default yescrypt)",
     kind_words},
    {0},
};

static const char hash_notes[] =
    "\nAsks for the password twice on the terminal, which does not show it. If standard input is\n"
    "not a terminal, reads the password from there, one line. Prints the hash, which changes each\n"
    "time; it goes into the list users of the configuration, as password, or into\n"
    "basic_auth_users of a web configuration file.\n"
    "\nA password has 1 to 511 bytes; of bcrypt, at most 72.\n"
    "\nExit status: 0 the hash was printed; 1 the passwords differ, or cannot be read or hashed;\n"
    "2 wrong usage.\n";

/* Asks twice: the terminal does not show a typing error, which would lock the user out. */
static enum err
ask_twice(struct buf *to, struct why *why)
{
    struct buf again;
    buf_init_secret(&again, NULL, SECRET_LINE_BYTES_MAX + 2);
    enum err e = ask_secret("Password: ", to, why);
    if (e == OK) e = ask_secret("Password again: ", &again, why);
    if (e == OK && !bytes_equal(buf_bytes(to), buf_bytes(&again)))
        e = why_set(why, ERR_INPUT, "the passwords differ");
    buf_fini(&again);
    return e;
}

static int
run_hash(int argc, char **argv)
{
    struct hash_flags h = {.kind = 0};
    struct why why = {""};
    struct buf password;
    uint8_t salt[PASSWORD_SALT_BYTES];
    char hash[PASSWORD_HASH_BYTES];
    int count = 0;
    enum err e = flags_parse(hash_flags, &h, argc - 1, argv + 1, &count, &why);
    /* The argument is not shown: it may be the password. */
    if (e == OK && count > 0) {
        e = why_set(&why, ERR_INPUT,
                    "expected no arguments; the password is read from the terminal");
    }
    if (e) return cli_usage_error("hash", "%s", why.text);
    buf_init_secret(&password, NULL, SECRET_LINE_BYTES_MAX + 512);
    e = isatty(STDIN_FILENO) ? ask_twice(&password, &why) : secret_from_stdin(&password, &why);
    if (e == OK) {
        e = env_random(env_real(), salt, sizeof salt);
        if (e) why_set(&why, e, "cannot get random bytes: %s", err_word(e));
    }
    if (e == OK)
        e = password_hash_make(NULL, kinds[h.kind], buf_bytes(&password), salt, hash, &why);
    buf_fini(&password);
    if (e) return cli_failed("hash", e, &why);
    printf("%s\n", hash);
    return EXIT_DONE;
}

const struct command command_hash = {
    "hash",   "[flags]",  "make the hash of a password for the configuration",
    run_hash, hash_flags, hash_notes};

enum { TOKEN_BYTES = 32, TOKEN_BYTES_MIN = 16, DIGEST_BYTES = 32 };

struct token_flags {
    bool hash;
};

static const struct flag token_flags[] = {
    {"hash", 0, FLAG_SWITCH, offsetof(struct token_flags, hash), NULL,
     "read an existing token of at least 16 bytes from standard input, or the terminal, and print "
     "only its SHA-256"},
    {0},
};

static const char token_notes[] =
    "\nPrints a new token of 256 random bits, and its SHA-256. The token goes to the client, "
    "which\n"
    "sends it as \"Authorization: Bearer TOKEN\"; the SHA-256 goes into the list users of the\n"
    "configuration, as an item of tokens. The server does not know the token, so it cannot be\n"
    "printed again.\n"
    "\n  token: TOKEN\n"
    "  sha256: 64 hexadecimal digits\n"
    "\nExit status: 0 done; 1 the token cannot be read or made; 2 wrong usage.\n";

/* Appends the token: base64 with the alphabet for URLs, so that it differs from the digest in
 * form, and needs no quotes. */
static enum err
token_make(struct buf *to, struct why *why)
{
    uint8_t random[TOKEN_BYTES];
    enum err e = env_random(env_real(), random, sizeof random);
    if (e) return why_set(why, e, "cannot get random bytes: %s", err_word(e));
    base64_put(to, bytes_of(random, sizeof random));
    explicit_bzero(random, sizeof random);
    if (buf_error(to)) return why_set(why, buf_error(to), "not enough memory for a token");
    for (size_t i = 0; i < to->size; i++) {
        if (to->at[i] == '+') to->at[i] = '-';
        if (to->at[i] == '/') to->at[i] = '_';
    }
    while (to->size > 0 && to->at[to->size - 1] == '=')
        to->size--;
    return OK;
}

static enum err
token_read(struct buf *to, struct why *why)
{
    enum err e = isatty(STDIN_FILENO) ? ask_secret("Token: ", to, why) : secret_from_stdin(to, why);
    if (e == OK && to->size < TOKEN_BYTES_MIN) {
        e = why_set(
            why, ERR_INPUT,
            "the token has %zu bytes, expected at least %d: servers do not slow down clients "
            "that try tokens; 'firekeep token' makes one that cannot be guessed",
            to->size, TOKEN_BYTES_MIN);
    }
    return e;
}

static int
run_token(int argc, char **argv)
{
    struct token_flags m = {.hash = false};
    struct why why = {""};
    struct buf token;
    uint8_t digest[DIGEST_BYTES];
    char text[2 * DIGEST_BYTES + 1];
    int count = 0;
    enum err e = flags_parse(token_flags, &m, argc - 1, argv + 1, &count, &why);
    /* The argument is not shown: it may be a token. */
    if (e == OK && count > 0) {
        e = why_set(&why, ERR_INPUT,
                    "expected no arguments; --hash reads a token from standard input");
    }
    if (e) return cli_usage_error("token", "%s", why.text);
    buf_init_secret(&token, NULL, SECRET_LINE_BYTES_MAX + 512);
    e = m.hash ? token_read(&token, &why) : token_make(&token, &why);
    if (e == OK && gnutls_hash_fast(GNUTLS_DIG_SHA256, token.at, token.size, digest) != 0)
        e = why_set(&why, ERR_UNSUPPORTED, "GnuTLS cannot compute SHA-256");
    if (e == OK) {
        hex_print(bytes_of(digest, sizeof digest), text);
        if (!m.hash) printf("token: %.*s\nsha256: ", (int)token.size, (const char *)token.at);
        printf("%s\n", text);
    }
    buf_fini(&token);
    return e ? cli_failed("token", e, &why) : EXIT_DONE;
}

const struct command command_token = {
    "token",   "[flags]",   "make a random token, and its SHA-256 for the configuration",
    run_token, token_flags, token_notes};
