/* cli.c - finds the command, prints help; the exit code also reports output that could not be
 * written. */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>

#include "base/text/suggest.h"

enum { HELP_BYTES_MAX = 256 * 1024 };

static bool
is_help_flag(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-help") == 0 || strcmp(word, "-h") == 0;
}

static void
print_overview(const struct command *const *commands, FILE *to)
{
    int width = (int)strlen("help [CMD]");
    for (const struct command *const *c = commands; *c != NULL; c++) {
        int size = (int)strlen((*c)->name);
        if (size > width) width = size;
    }
    fprintf(to, "usage: firekeep CMD [flags]\n\nLong-term storage for Prometheus.\n\n");
    for (const struct command *const *c = commands; *c != NULL; c++)
        fprintf(to, "  %-*s  %s\n", width, (*c)->name, (*c)->help);
    fprintf(to, "  %-*s  %s\n", width, "help [CMD]", "show the help of a command");
}

static int
print_help(const struct command *c)
{
    struct buf details;
    buf_init(&details, NULL, HELP_BYTES_MAX);
    if (c->details != NULL) c->details(&details);
    if (c->flags != NULL) flags_help(c->flags, &details);
    if (c->notes != NULL) buf_put_text(&details, c->notes);
    enum err e = buf_error(&details);
    if (e) {
        fprintf(stderr, "firekeep: cannot print help: %s\n", err_word(e));
    } else {
        printf("usage: firekeep %s%s%s\n\n%s\n", c->name, c->arguments == NULL ? "" : " ",
               c->arguments == NULL ? "" : c->arguments, c->help);
        if (details.size > 0) {
            printf("\n");
            fwrite(details.at, 1, details.size, stdout);
        }
    }
    buf_fini(&details);
    return e ? EXIT_FAILED : EXIT_DONE;
}

/* Commands of earlier versions, and what replaces them. */
static const struct {
    const char *name, *advice;
} removed[] = {
    {"size", "docs/sizing.md has a formula and measured figures"},
    {"retention", "'firekeep plan FILE' shows what its rules would remove and replace"},
    {"downsampling", "'firekeep plan FILE' shows what its rules would remove and replace"},
    {"migrate", "docs/migrate.md has a table of what the keys of Prometheus are in Firekeep, and "
                "'firekeep check FILE' names those that it does not have"},
};

static int
unknown_command(const struct command *const *commands, const char *name)
{
    for (size_t i = 0; i < sizeof removed / sizeof *removed; i++) {
        if (strcmp(removed[i].name, name) != 0) continue;
        fprintf(stderr, "firekeep: the command '%s' was removed: %s.\n", name, removed[i].advice);
        return EXIT_USAGE;
    }
    struct suggestion near;
    suggest_begin(&near, bytes_of_text(name));
    for (; *commands != NULL; commands++)
        suggest_try(&near, (*commands)->name);
    suggest_try(&near, "help");
    fprintf(stderr, "firekeep: unknown command '%.64s'%s\nTry 'firekeep help'.\n", name,
            suggest_hint(&near, "").text);
    return EXIT_USAGE;
}

int
cli_usage_error(const char *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "firekeep %s: ", command);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nTry 'firekeep help %s'.\n", command);
    return EXIT_USAGE;
}

int
cli_failed(const char *command, enum err e, const struct why *why)
{
    fflush(stdout);
    fprintf(stderr, "firekeep %s: %s\n", command, why_text(why, e));
    return EXIT_FAILED;
}

static int
dispatch(const struct command *const *commands, int argc, char **argv)
{
    if (argc < 2) {
        print_overview(commands, stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    bool help = strcmp(name, "help") == 0 || is_help_flag(name);
    if (help && argc > 3) return cli_usage_error("help", "unexpected argument '%.64s'", argv[3]);
    if (help && (argc < 3 || is_help_flag(argv[2]) || strcmp(argv[2], "help") == 0)) {
        print_overview(commands, stdout);
        return EXIT_DONE;
    }
    if (help) name = argv[2];
    if (strcmp(name, "--version") == 0) name = "version"; /* scripts often use this form */
    const struct command *const *found = commands;
    while (*found != NULL && strcmp((*found)->name, name) != 0)
        found++;
    const struct command *c = *found;
    if (c == NULL) return unknown_command(commands, name);
    for (int i = 2; i < argc; i++)
        help |= is_help_flag(argv[i]);
    return help ? print_help(c) : c->run(argc - 1, argv + 1);
}

int
cli_run(const struct command *const *commands, int argc, char **argv)
{
    int code = dispatch(commands, argc, argv);
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    const char *reason = errno == 0 ? "an earlier write failed" : strerror(errno);
    fprintf(stderr, "firekeep: cannot write to standard output: %s\n", reason);
    return code == EXIT_DONE ? EXIT_FAILED : code;
}
