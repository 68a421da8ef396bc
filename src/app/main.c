#include "app/cli.h"
#include "app/commands.h"
#include "app/config.h"

static const struct command commands[] = {
    {"check", "FILE", "tells whether a configuration file is right", command_check, NULL},
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
    {"verify", "DIR", "walks every checksum of a storage directory and recounts its ledger",
     command_verify, NULL},
    {"version", NULL, "prints the version, and those of the libraries in use", command_version,
     NULL},
    {0},
};

int
main(int argc, char **argv)
{
    return cli_run(commands, argc, argv);
}
