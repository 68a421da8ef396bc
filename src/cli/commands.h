/*
 * commands.h - the commands of firekeep, each in a file of its own; main.c lists them. argv[0] is
 * the command's name; the result is an exit code of cli.h.
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "base/buf.h"

/* serve.c: takes in, keeps and answers until it is told to stop. */
int command_serve(int argc, char **argv);
/* verify.c: recounts what is on disk. */
int command_verify(int argc, char **argv);
void verify_help(struct buf *to);
/* check.c: tells whether a configuration file is right. */
int command_check(int argc, char **argv);
void check_help(struct buf *to);
/* dead_letters.c: what destinations refused for good, and what is to become of it. */
int command_dead_letters(int argc, char **argv);
void dead_letters_help(struct buf *to);
/* destinations.c: whether a destination would work, and what it would cost. */
int command_destinations(int argc, char **argv);
void destinations_help(struct buf *to);
/* import.c: files of many forms into a server or a directory. */
int command_import(int argc, char **argv);
void import_help(struct buf *to);
/* export.c: the other way. */
int command_export(int argc, char **argv);
void export_help(struct buf *to);
/* query.c: samples for people. */
int command_query(int argc, char **argv);
void query_help(struct buf *to);
/* inspect.c: explains what is on disk. */
int command_inspect(int argc, char **argv);
void inspect_help(struct buf *to);
/* version.c: this program's version and those of what it is built from. */
int command_version(int argc, char **argv);

#endif
