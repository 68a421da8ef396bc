#include "cli/cli.h"
#include "cli/commands.h"
#include "config/config.h"

#ifdef HAVE_JEMALLOC
/*
 * Read by jemalloc before main(). What one thread gave back is another's soon, and the machine's
 * within a second: a query takes 100 MiB for a moment, and an idle arena would keep them for ever,
 * where no budget sees them. Little is allocated often enough for threads to get in each other's
 * way.
 */
extern const char *malloc_conf;
const char *malloc_conf = "narenas:2,background_thread:true,dirty_decay_ms:500,muzzy_decay_ms:0";
#endif

static const struct command commands[] = {
    {"check", "[flags] FILE",
     "tells whether a configuration file is right, and what it would leave behind", command_check,
     check_help},
    {"dead-letters", "list|show|replay|drop [flags]",
     "shows, replays or drops what destinations refused for good", command_dead_letters,
     dead_letters_help},
    {"destinations", "test|plan|reset [flags] NAME",
     "tries a destination, estimates what it would be given and cost, or resets its position",
     command_destinations, destinations_help},
    {"export", "[flags]", "writes samples of a server or a storage directory to a file",
     command_export, export_help},
    {"import", "[flags] FILE...", "brings files of many forms into a server or a storage directory",
     command_import, import_help},
    {"inspect", "[flags] PATH [SELECTOR]", "explains what is on disk, and where the bytes go",
     command_inspect, inspect_help},
    {"query", "[flags] SELECTOR", "prints the samples that a selector selects", command_query,
     query_help},
    {"serve", "[flags]", "takes samples in, keeps them and answers, until it is told to stop",
     command_serve, settings_help},
    {"verify", "[flags] DIR",
     "walks every checksum of a storage directory, recounts its ledger and its destinations'",
     command_verify, verify_help},
    {"version", NULL, "prints the version, and those of the libraries in use", command_version,
     NULL},
    {0},
};

int
main(int argc, char **argv)
{
    return cli_run(commands, argc, argv);
}
