/* main.c - the list of commands, and symbols that libraries and the loader look up. */
#include "app/process.h"
#include "cli/cli.h"

__attribute__((section(".preinit_array"),
               used)) static void (*const begin)(int, char **, char **) = process_begin;

#ifdef HAVE_JEMALLOC
/* Read by jemalloc before main(). Memory that a thread frees is soon available to others, and
 * returned to the system within a second: a query takes 100 MiB for a moment, and an idle arena
 * would keep them for ever, where no budget sees them. Little is allocated often enough for threads
 * to get in each other's way. */
extern const char *malloc_conf;
const char *malloc_conf = "narenas:2,background_thread:true,dirty_decay_ms:500,muzzy_decay_ms:0";
#endif

static const struct command *const commands[] = {
    &command_backup,
    &command_bucket,
    &command_check,
    &command_copy,
    &command_dead_letters,
    &command_deletions,
    &command_destinations,
    &command_sources,
    &command_export,
    &command_hash,
    &command_health,
    &command_import,
    &command_inspect,
    &command_plan,
    &command_query,
    &command_restore,
    &command_rules,
    &command_serve,
    &command_test,
    &command_token,
    &command_undelete,
    &command_verify,
    &command_version,
    &command_kinesis_adapter,
    &command_lambda,
    &command_remote_storage_adapter,
    &command_timestream_connector,
    NULL,
};

int
main(int argc, char **argv)
{
    return cli_run(commands, argc, argv);
}
