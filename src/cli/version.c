/* version.c - `firekeep version`. */
#include "base/version.h"

#include <curl/curl.h>
#include <gnutls/gnutls.h>
#include <jansson.h>
#include <stdio.h>
#include <yaml.h>
#include <zlib.h>
#include <zstd.h>

#include "cli/commands.h"

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

/* The version of a library found at run time is printed: it may not be the one compiled against. */
static int
run_version(int argc, char **argv)
{
    if (argc > 1) return cli_usage_error("version", "unexpected argument '%.64s'", argv[1]);
    printf("firekeep %s (%s, %s, gnutls %s, zstd %s, zlib %s, libyaml %s, "
           "jansson %s, libcurl %s)\n",
           FIREKEEP_VERSION, COMPILER, ARCHITECTURE, gnutls_check_version(NULL),
           ZSTD_versionString(), zlibVersion(), yaml_get_version_string(), jansson_version_str(),
           curl_version_info(CURLVERSION_NOW)->version);
    return EXIT_DONE;
}

const struct command command_version = {
    "version", NULL, "print the versions of Firekeep and of its libraries", run_version};
