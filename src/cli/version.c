/* version.c - `firekeep version`. */
#include "base/version.h"

#include <curl/curl.h>
#include <gnutls/gnutls.h>
#include <jansson.h>
#include <stdio.h>
#include <yaml.h>
#include <zlib.h>
#include <zstd.h>

#include "cli/cli.h"
#include "cli/inspect/inspect.h"

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

#if defined(__x86_64__)
#define ARCHITECTURE "amd64"
#elif defined(__aarch64__)
#define ARCHITECTURE "arm64"
#else
#define ARCHITECTURE "unknown architecture"
#endif

struct versioning {
    const char *storage; /* NULL: not given */
};

static const struct flag version_flags[] = {
    {"check-storage", 0, FLAG_TEXT, offsetof(struct versioning, storage), "DIRECTORY",
     "instead: say whether this version can open the storage directory of a stopped server"},
    {0},
};

static const char version_notes[] =
    "\n--check-storage changes nothing. It does not look for damage: use `firekeep verify`. A\n"
    "directory that a newer version wrote may be unreadable for this one.\n"
    "\nExit status: 0 done, or this version can open it, 1 it cannot, 2 wrong usage.\n";

static int
run_version(int argc, char **argv)
{
    struct versioning v = {NULL};
    struct why why = {""};
    int count = 0;
    enum err e = flags_parse(version_flags, &v, argc - 1, argv + 1, &count, &why);
    if (e == OK && count > 0) e = why_set(&why, ERR_INPUT, "unexpected argument '%.64s'", argv[1]);
    if (e) return cli_usage_error("version", "%s", why.text);
    if (v.storage == NULL) {
        /* The version of a library found at run time is printed: it may not be the one compiled
         * against. */
        printf("firekeep %s (%s, %s, gnutls %s, zstd %s, zlib %s, libyaml %s, "
               "jansson %s, libcurl %s)\n",
               FIREKEEP_VERSION, COMPILER, ARCHITECTURE, gnutls_check_version(NULL),
               ZSTD_versionString(), zlibVersion(), yaml_get_version_string(),
               jansson_version_str(), curl_version_info(CURLVERSION_NOW)->version);
        return EXIT_DONE;
    }
    e = check_storage(v.storage, &why);
    if (e) return cli_failed("version", e, &why);
    printf("%s: firekeep %s can open it\n", v.storage, FIREKEEP_VERSION);
    return EXIT_DONE;
}

const struct command command_version = {
    "version",
    "[flags]",
    "print the versions of Firekeep and of its libraries, or check a storage directory",
    run_version,
    version_flags,
    version_notes};
