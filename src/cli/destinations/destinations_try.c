/* destinations_try.c - `firekeep destinations test`: see destinations.c. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text/hex.h"
#include "base/version.h"
#include "cli/destinations/destinations_private.h"
#include "cli/lib/progress.h"
#include "relay/operate/trial.h"
#include "sys/env.h"

enum { DIR_BYTES = 128 };

static void
print_finding(void *context, const struct trial_finding *f)
{
    struct destinations_command *a = context;
    if (a->form == REPORT_TEXT) {
        printf("%-6s  %s%s%s%s%s\n", f->ok ? "ok" : "FAILED", f->what,
               f->reason[0] == '\0' ? "" : ": ", f->reason, f->said[0] == '\0' ? "" : ": ",
               f->said);
        if (f->advice[0] != '\0') printf("        %s\n", f->advice);
        fflush(stdout); /* the next test may take long */
        return;
    }
    report_row(a->report, value_text(f->what), value_bool(f->ok), value_text(f->reason),
               value_text(f->said), value_text(f->advice));
}

/* Makes a directory for a writer during its test. */
static enum err
make_writer_dir(char dir[DIR_BYTES], struct why *why)
{
    const char *place = getenv("TMPDIR");
    if (place == NULL || place[0] == '\0') place = "/tmp";
    int size = snprintf(dir, DIR_BYTES, "%s/firekeep-test-XXXXXX", place);
    if (size < 0 || size >= DIR_BYTES) return why_set(why, ERR_LIMIT, "TMPDIR is too long");
    if (mkdtemp(dir) != NULL) return OK;
    return why_set(why, ERR_IO, "cannot create a directory in %s", place);
}

enum err
destinations_try(struct destinations_command *a, bool *ret_well, struct why *why)
{
    struct destination_settings settings = *a->destination;
    char dir[DIR_BYTES],
        instance[33] = ""; /* random, so that objects written there collide with no others */
    uint8_t random[16];
    uint32_t failed = 0;
    settings.dry_run = false;
    enum err e = env_random(env_real(), random, sizeof random);
    if (e) return why_set(why, e, "cannot get random numbers");
    hex_print(bytes_of(random, sizeof random), instance);
    e = make_writer_dir(dir, why);
    if (e) return e;
    struct trial_options options = {
        .env = env_real(),
        .memory = &a->memory,
        .settings = &settings,
        .writer = writer_class_of(settings.type),
        .dir = dir,
        .instance = instance,
        .user_agent = "Firekeep/" FIREKEEP_VERSION,
        .write = a->write,
        .stop = interrupt_watch(),
        .each = print_finding,
        .context = a,
    };
    if (a->form == REPORT_JSON) { /* one object that contains the findings */
        report_field(a->report, "name", "name", value_text(settings.name));
        report_field(a->report, "type", "type", value_text(destination_type_word(settings.type)));
        report_table(a->report, "findings", "Findings", "what|ok|reason|said|advice");
    }
    e = trial_run(&options, &failed, why);
    if (e == OK && a->form == REPORT_JSON) {
        report_table_end(a->report, 0);
        report_field(a->report, "ok", "ok", value_bool(failed == 0));
    } else if (e == OK && failed > 0) {
        printf("%s: %" PRIu32 " failed; checks that depend on them were skipped\n", settings.name,
               failed);
    } else if (e == OK) {
        printf("%s: ok%s\n", settings.name,
               a->write ? "" : "; nothing was written (use --write to send a sample)");
    }
    err_ignore(env_remove_tree(env_real(), dir, NULL), "it is a temporary one");
    *ret_well = failed == 0;
    return e;
}
