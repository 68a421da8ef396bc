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
     "check a configuration file, and what it would change about a server's destinations",
     command_check, check_help},
    {"dead-letters", "list|show|replay|drop [flags]",
     "list, show, replay or drop samples that destinations refused for good", command_dead_letters,
     dead_letters_help},
    {"destinations", "test|plan|reset [flags] NAME",
     "test a destination, estimate its volume and cost, or reset its position",
     command_destinations, destinations_help},
    {"export", "[flags]", "write samples from a server or a storage directory to a file",
     command_export, export_help},
    {"import", "[flags] FILE...", "load samples from files into a server or a storage directory",
     command_import, import_help},
    {"inspect", "[flags] PATH [SELECTOR]",
     "show what a storage directory, a part or a log segment contains, and its size",
     command_inspect, inspect_help},
    {"query", "[flags] SELECTOR", "print the samples that a selector matches", command_query,
     query_help},
    {"serve", "[flags]",
     "run the server: receive, store and return samples until stopped by a signal", command_serve,
     settings_help},
    {"verify", "[flags] DIR", "verify all checksums of a storage directory and recount its ledgers",
     command_verify, verify_help},
    {"version", NULL, "print the versions of Firekeep and of its libraries", command_version, NULL},
    {0},
};

int
main(int argc, char **argv)
{
    return cli_run(commands, argc, argv);
}
