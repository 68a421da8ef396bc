/* commands.h - the commands of firekeep, each in a file of its own; main.c lists them. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "cli/cli.h"

extern const struct command command_backup, command_check, command_copy, command_dead_letters,
    command_deletions, command_destinations, command_export, command_hash, command_health,
    command_import, command_inspect, command_kinesis_adapter, command_lambda, command_plan,
    command_query, command_remote_storage_adapter, command_restore, command_rules, command_serve,
    command_sources, command_test, command_timestream_connector, command_token, command_undelete,
    command_verify, command_version;

#endif
