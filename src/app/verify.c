/* verify.c - `firekeep verify DIR`: walks every checksum, recounts the ledger, says what is wrong.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "app/cli.h"
#include "app/commands.h"
#include "sys/env.h"
#include "tsdb/tsdb.h"

static void
print_line(void *context, const char *line)
{
    (void)context;
    printf("%s\n", line);
}

int
command_verify(int argc, char **argv)
{
    if (argc != 2) return cli_usage_error("verify", "one directory is wanted");
    struct tsdb_report report;
    struct why why = {""};
    enum err e = tsdb_verify(env_real(), argv[1], print_line, NULL, &report, &why);
    if (e) {
        fflush(stdout);
        fprintf(stderr, "firekeep verify: %s: %s\n", argv[1], why.text);
        return EXIT_FAILED;
    }
    printf("%s: ok (%" PRIu64 " parts, %" PRIu64 " log records)\n", argv[1], report.parts,
           report.log_records);
    return EXIT_DONE;
}
