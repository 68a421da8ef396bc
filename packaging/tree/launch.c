/*
 * launch.c - bin/firekeep of the relocatable tree: starts the program in lib/ with the loader and
 * the libraries beside it, wherever the tree is. Linked statically: it needs nothing of the system.
 *
 * With COMMAND it is what runs in a function of AWS Lambda: `bootstrap` in the root of the tree,
 * which passes that command.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#ifdef COMMAND
enum { LEVELS = 1 }; /* bootstrap */
static char *const command[] = {COMMAND};
enum { COMMANDS = 1 };
#else
enum { LEVELS = 2 }; /* bin/firekeep */
static char *const command[1];
enum { COMMANDS = 0 };
#endif

static int
fail(const char *what)
{
    dprintf(STDERR_FILENO, "firekeep: %s: %s\n", what, strerror(errno));
    return 1;
}

/* Names CA certificates for a system that has them where the tree's libraries do not look. */
static void
trust_system(const char *dir)
{
    static const char *const bundles[] = {
        "/etc/ssl/certs/ca-certificates.crt", /* Debian, Alpine, Arch: where they look */
        "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora, Red Hat, Amazon Linux */
        "/etc/ssl/ca-bundle.pem",             /* SUSE */
        "/etc/ssl/cert.pem",
    };
    char own[PATH_MAX + 64];
    const char *found = NULL;
    for (size_t i = 0; found == NULL && i < sizeof bundles / sizeof *bundles; i++) {
        if (access(bundles[i], R_OK) == 0) found = bundles[i];
    }
    snprintf(own, sizeof own, "%s/../share/firekeep/ca-certificates.crt", dir);
    setenv("SSL_CERT_FILE", found != NULL ? found : own, 0);
}

int
main(int argc, char **argv)
{
    char dir[PATH_MAX], loader[PATH_MAX + 16], program[PATH_MAX + 16];
    ssize_t size = readlink("/proc/self/exe", dir, sizeof dir - 1);
    if (size < 0) { /* a root without /proc */
        const char *path = (const char *)getauxval(AT_EXECFN);
        size = snprintf(dir, sizeof dir, "%s", path == NULL ? "" : path);
        if (size >= (ssize_t)sizeof dir) return fail("path of the program");
    }
    dir[size] = '\0';
    for (int up = 0; up < LEVELS; up++) {
        char *slash = strrchr(dir, '/');
        if (slash != NULL) *slash = '\0';
    }
    if (strlen(dir) + sizeof "/lib" > sizeof dir) return fail("path of the program");
    strcat(dir, "/lib");
    trust_system(dir);
    snprintf(loader, sizeof loader, "%s/ld.so", dir);
    snprintf(program, sizeof program, "%s/firekeep", dir);
    char **words = calloc((size_t)argc + 9, sizeof *words);
    if (words == NULL) return fail("memory");
    char *first[] = {loader, "--inhibit-cache", "--library-path",
                     dir,    "--argv0",         argc > 0 ? argv[0] : "firekeep",
                     program};
    memcpy(words, first, sizeof first);
    memcpy(words + 7, command, COMMANDS * sizeof *words);
    if (argc > 1) memcpy(words + 7 + COMMANDS, argv + 1, ((size_t)argc - 1) * sizeof *words);
    execv(loader, words);
    return fail(loader);
}
