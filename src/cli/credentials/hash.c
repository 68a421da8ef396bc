/* hash.c - `firekeep hash`: makes the hash of a password, for the configuration of a server. */
#include <stdio.h>
#include <unistd.h>

#include "auth/password.h"
#include "cli/commands.h"
#include "cli/lib/ask_secret.h"
#include "sys/env.h"

static const char *const kind_words[] = {"yescrypt", "bcrypt", NULL};
static const enum password_kind kinds[] = {PASSWORD_YESCRYPT, PASSWORD_BCRYPT};

struct hash_flags {
    int kind;
};

static const struct flag flags[] = {
    {"kind", 0, FLAG_CHOICE, offsetof(struct hash_flags, kind), "KIND",
     "yescrypt, or bcrypt, which Prometheus' basic_auth_users requires (default yescrypt)",
     kind_words},
    {0},
};

static const char notes[] =
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
    if (e == OK && !bytes_equal(buf_bytes(to), buf_bytes(&again))) {
        e = why_set(why, ERR_INPUT, "the passwords differ");
    }
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
    enum err e = flags_parse(flags, &h, argc - 1, argv + 1, &count, &why);
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
    if (e == OK) {
        e = password_hash_make(NULL, kinds[h.kind], buf_bytes(&password), salt, hash, &why);
    }
    buf_fini(&password);
    if (e) return cli_failed("hash", e, &why);
    printf("%s\n", hash);
    return EXIT_DONE;
}

const struct command command_hash = {
    "hash", "[flags]", "make the hash of a password for the configuration", run_hash, flags, notes};
