/*
 * import_export_test.c - the commands import, into a storage directory, and export, out of it:
 * their output, their continuation after they were killed, and their exit status.
 *
 * A killed run leaves its progress file and the samples that it wrote: tests make both as it would
 * have left them.
 */
#include "lib/test.h"

#include <glob.h>

#include "base/buf.h"
#include "cli/cli.h"
#include "cli/lib/target/target.h"
#include "lib/cli_dir.h"
#include "lib/cli_run.h"
#include "lib/texts.h"
#include "model/select.h"
#include "sys/env.h"

static char other[96], progress[96];

static int
make_dir(void **state)
{
    if (cli_dir_make(state) != 0) return -1;
    snprintf(other, sizeof other, "%s/other", cli_dir);
    snprintf(progress, sizeof progress, "%s/progress", cli_dir);
    return 0;
}

static void
read_text(const char *path, char *text, size_t size)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text[fread(text, 1, size - 1, f)] = '\0';
    fclose(f);
}

static const struct command *const commands[] = {&command_import, &command_export, NULL};

#define RUN(...) \
    cli_run_child(commands, (const char *const[]){__VA_ARGS__, "--storage.path", cli_store, NULL})

static void
expect_status(int got, int expected)
{
    if (got != expected) fail_msg("status %d, expected %d: %s", got, expected, cli_err);
}

static void
expect_output(const char *words)
{
    if (strstr(cli_err, words) == NULL) fail_msg("'%s' is not in: %s", words, cli_err);
}

/* Expects the samples of the directory in CSV. */
static void
expect_stored(const char *csv)
{
    expect_status(RUN("export", "--format=csv"), EXIT_DONE);
    assert_string_equal(cli_out, csv);
}

#define HEAD "name,labels,time,value\n"

/* --- import: exit status ---------------------------------------------------------------------- */

#define GOOD "up{a=\"b\"} 1 1700000000000\n"

UNIT_TEST(test_an_import_of_all_samples_ends_with_0)
{
    write_text_file(cli_file, GOOD);
    expect_status(RUN("import", "--format=prometheus", cli_file), EXIT_DONE);
    expect_output("imported 1 sample, 0 histograms");
    expect_stored(HEAD "up,\"{a=\"\"b\"\"}\",1700000000000,1\n");
}

UNIT_TEST(test_an_import_that_leaves_out_a_line_ends_with_1)
{
    write_text_file(cli_file, "up{a=\"b\" 1\n" GOOD);
    expect_status(RUN("import", "--format=prometheus", cli_file), EXIT_FAILED);
    expect_output("imported 1 sample, 0 histograms");
    expect_output("; 1 bad line");
}

UNIT_TEST(test_an_import_of_refused_samples_ends_with_1)
{
    write_text_file(cli_file, "up{a=\"b\"} 1 4102444800000\n" GOOD);
    expect_status(RUN("import", "--format=prometheus", cli_file), EXIT_FAILED);
    expect_output("imported 1 sample, 0 histograms");
    expect_output("; 1 refused");
}

UNIT_TEST(test_an_import_of_a_file_cut_short_ends_with_1)
{
    write_text_file(cli_file, "# TYPE up gauge\nup{a=\"b\"} 1 1700000000\n");
    for (unsigned again = 0; again < 2; again++) {
        expect_status(RUN("import", "--format=openmetrics", "--resume", progress, cli_file),
                      EXIT_FAILED);
        expect_output("missing # EOF");
    }
    expect_status(RUN("import", "--format=prometheus", other), EXIT_FAILED);
    expect_status(RUN("import", "--format=x", cli_file), EXIT_USAGE);
}

UNIT_TEST(test_imported_samples_are_written_into_a_part)
{
    char pattern[128];
    glob_t found;
    write_text_file(cli_file, GOOD);
    expect_status(RUN("import", "--format=prometheus", cli_file), EXIT_DONE);
    snprintf(pattern, sizeof pattern, "%s/parts/*/part", cli_store);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    globfree(&found);
}

/* --- import: continuing ----------------------------------------------------------------------- */

UNIT_TEST(test_an_import_that_is_done_has_nothing_left_to_do)
{
    write_text_file(cli_file, GOOD);
    expect_status(RUN("import", "--format=prometheus", "--resume", progress, cli_file), EXIT_DONE);
    expect_status(RUN("import", "--format=prometheus", "--resume", progress, cli_file), EXIT_DONE);
    expect_output("imported 0 samples");
    write_text_file(cli_file, GOOD "up{a=\"b\"} 2 1700000001000\n");
    expect_status(RUN("import", "--format=prometheus", "--resume", progress, cli_file), EXIT_DONE);
    expect_output("imported 1 sample,");
    expect_output(": continuing after line 1");
}

static enum err
keep_metadata(void *context, const struct metadata *m)
{
    buf_printf(context, "%.*s: %d: %.*s: %.*s\n", (int)m->family.size, (const char *)m->family.at,
               m->type, (int)m->help.size, (const char *)m->help.at, (int)m->unit.size,
               (const char *)m->unit.at);
    return OK;
}

static void
expect_metadata(const char *expected)
{
    struct target_options options = {.storage = cli_store};
    struct target *target;
    struct view *view;
    struct buf text;
    struct why why = {""};
    struct query_request r = {.min_ms = INT64_MIN, .max_ms = INT64_MAX};
    buf_init(&text, NULL, 1000);
    assert_int_equal(target_open(&options, &target, &why), OK);
    r.tenant = target_tenant(target);
    assert_int_equal(view_open(target->answerer, NULL, &view, &why), OK);
    assert_int_equal(view_metadata(view, &r, bytes_of("", 0), keep_metadata, &text, &why), OK);
    buf_put_u8(&text, 0);
    assert_string_equal((const char *)text.at, expected);
    view_free(view);
    target_free(target);
    buf_fini(&text);
}

/* A growing file is cut after each of its lines. */
UNIT_TEST(test_an_import_continues_with_the_metadata_of_lines_read_before)
{
    static const char *const lines[] = {"# HELP a_bytes Some help.\n", "# TYPE a_bytes gauge\n",
                                        "# UNIT a_bytes bytes\n", "a_bytes 1 1700000000\n",
                                        "# EOF\n"};
    char whole[300] = "", cut[300] = "";
    for (unsigned i = 0; i < 5; i++)
        strcat(whole, lines[i]);
    for (unsigned i = 0; i < 4; i++) {
        strcat(cut, lines[i]);
        write_text_file(cli_file, cut);
        expect_status(RUN("import", "--format=openmetrics", "--resume", progress, cli_file),
                      EXIT_FAILED);
        expect_output("missing # EOF");
        write_text_file(cli_file, whole);
        expect_status(RUN("import", "--format=openmetrics", "--resume", progress, cli_file),
                      EXIT_DONE);
        expect_output(": continuing after line ");
        char expected[100];
        snprintf(expected, sizeof expected, "a_bytes: %d: Some help.: bytes\n", METRIC_GAUGE);
        expect_metadata(expected);
        assert_int_equal(env_remove_tree(env_real(), cli_store, NULL), OK);
        assert_int_equal(unlink(progress), 0);
    }
}

/* Stores the first lines and leaves a progress file with fewer. */
static void
leave_import_killed(const char *const *lines, unsigned stored, unsigned saved)
{
    char text[1000] = "";
    for (unsigned i = 0; i < stored; i++)
        strcat(text, lines[i]);
    write_text_file(cli_file, text);
    if (stored > 0) expect_status(RUN("import", "--format=prometheus", cli_file), EXIT_DONE);
    for (unsigned i = stored; i < 3; i++)
        strcat(text, lines[i]);
    write_text_file(cli_file, text);
    snprintf(text, sizeof text,
             "firekeep import 2\nto %s\ntenant \nfile %u 0 part 0 0000000000000000 %s\n", cli_store,
             saved, cli_file);
    write_text_file(progress, text);
}

UNIT_TEST(test_an_import_killed_after_any_line_stores_each_sample_once)
{
    static const char *const lines[] = {"up{a=\"b\"} 1 1700000000000\n",
                                        "up{a=\"b\"} 2 1700000001000\n",
                                        "up{a=\"b\"} 3 1700000002000\n"};
    for (unsigned stored = 0; stored <= 3; stored++) {
        for (unsigned saved = 0; saved <= stored; saved++) {
            char imported[64];
            leave_import_killed(lines, stored, saved);
            expect_status(RUN("import", "--format=prometheus", "--resume", progress, cli_file),
                          EXIT_DONE);
            snprintf(imported, sizeof imported, "imported %u sample", 3 - saved);
            expect_output(imported);
            expect_stored(HEAD "up,\"{a=\"\"b\"\"}\",1700000000000,1\n"
                               "up,\"{a=\"\"b\"\"}\",1700000001000,2\n"
                               "up,\"{a=\"\"b\"\"}\",1700000002000,3\n");
            assert_int_equal(env_remove_tree(env_real(), cli_store, NULL), OK);
        }
    }
}

/* --- export ----------------------------------------------------------------------------------- */

/* Four slices of one hour each; the second is empty. Samples are at the first and the last
 * millisecond. */
#define SAMPLES                                                                        \
    "up 1 1699999200000\nup 2 1700002799999\nup 3 1700006400000\nup 4 1700009999999\n" \
    "up 5 1700010000000\nup 6 1700013599999\n"

#define EXPORT "export", "--format=csv", "--slice=1h", "--start=1699999200", "--end=1700013599.999"

static void
import_samples(void)
{
    write_text_file(cli_file, SAMPLES);
    expect_status(RUN("import", "--format=prometheus", cli_file), EXIT_DONE);
}

static const char six[] =
    HEAD "up,\"{}\",1699999200000,1\nup,\"{}\",1700002799999,2\nup,\"{}\",1700006400000,3\n"
         "up,\"{}\",1700009999999,4\nup,\"{}\",1700010000000,5\nup,\"{}\",1700013599999,6\n";

UNIT_TEST(test_samples_on_the_borders_of_slices_are_exported_once)
{
    import_samples();
    expect_status(RUN(EXPORT), EXIT_DONE);
    assert_string_equal(cli_out, six);
    expect_output("exported 6 samples");
    expect_status(RUN("export", "--format=csv", "--start=1700002799.999", "--end=1700006400"),
                  EXIT_DONE);
    assert_string_equal(cli_out, HEAD "up,\"{}\",1700002799999,2\nup,\"{}\",1700006400000,3\n");
    expect_status(RUN("export", "--format=csv", "--start=1700002800", "--end=1700006399.999"),
                  EXIT_DONE);
    expect_output("exported 0 samples");
}

/* Writes the progress file as a run that was killed before the slice `next` leaves it, and more
 * output than the progress file says. */
static void
leave_killed(const char *last_progress, unsigned next, size_t bytes)
{
    char text[2000];
    const char *at = strstr(last_progress, "\nnext ");
    const char *counts = strstr(last_progress, "\ncounts ");
    assert_non_null(at);
    assert_non_null(counts);
    snprintf(text, sizeof text, "%.*s\nnext %lld bytes %zu%s", (int)(at - last_progress),
             last_progress, 1699999200000 + next * 3600000LL, bytes, counts);
    write_text_file(progress, text);
    snprintf(text, sizeof text, "%.*sup,\"{}\",170000", (int)bytes, six);
    write_text_file(other, text);
}

UNIT_TEST(test_an_export_killed_after_any_slice_continues_to_the_same_file)
{
    static const unsigned lines_before[] = {1, 3, 3, 5, 7}; /* with the head, per slice */
    char last_progress[2000], text[2000];
    import_samples();
    expect_status(RUN(EXPORT, "--resume", progress, "-o", other), EXIT_DONE);
    read_text(other, text, sizeof text);
    assert_string_equal(text, six);
    read_text(progress, last_progress, sizeof last_progress);
    for (unsigned next = 1; next <= 4; next++) {
        size_t bytes = 0;
        for (unsigned i = 0; i < lines_before[next]; i++)
            bytes += strcspn(six + bytes, "\n") + 1;
        leave_killed(last_progress, next, bytes);
        expect_status(RUN(EXPORT, "--resume", progress, "-o", other), EXIT_DONE);
        read_text(other, text, sizeof text);
        assert_string_equal(text, six);
    }
}

UNIT_TEST(test_an_export_does_not_continue_another_one)
{
    import_samples();
    expect_status(RUN(EXPORT, "--resume", progress, "-o", other), EXIT_DONE);
    expect_status(RUN(EXPORT, "--resume", progress, "-o", other, "--match=up"), EXIT_USAGE);
    expect_output("belongs to another export");
    expect_status(RUN("export", "--format=jsonl", "--slice=1h", "--start=1699999200",
                      "--end=1700013599.999", "--resume", progress, "-o", other),
                  EXIT_USAGE);
    expect_status(RUN("export", "--format=csv", "--slice=2h", "--start=1699999200",
                      "--end=1700013599.999", "--resume", progress, "-o", other),
                  EXIT_USAGE);
    expect_status(RUN("export", "--format=csv", "--slice=1h", "--start=1699999200",
                      "--end=1700013599", "--resume", progress, "-o", other),
                  EXIT_USAGE);
    expect_status(RUN(EXPORT, "--resume", progress, "-o", other, "--tenant=b"), EXIT_USAGE);
}

/* The first page of a part has samples. */
UNIT_TEST(test_an_export_that_leaves_out_damage_ends_with_1)
{
    import_samples();
    cli_damage_part(64 + 16);
    expect_status(RUN("export", "--format=csv"), EXIT_FAILED);
    expect_output("damaged");
    expect_status(RUN("export", "--format=csv", "--partial"), EXIT_FAILED);
    expect_output("left out: ");
    expect_output("0 slices are missing, and 1 times pages");
    expect_status(RUN(EXPORT), EXIT_FAILED);
    expect_output("slices are missing");
    expect_status(RUN(EXPORT, "--partial", "--resume", progress, "-o", other), EXIT_FAILED);
    expect_status(RUN(EXPORT, "--partial", "--resume", progress, "-o", other), EXIT_FAILED);
}

int
main(void)
{
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, cli_dir_remove)
    const struct CMUnitTest tests[] = {
        IN_DIR(test_an_import_of_all_samples_ends_with_0),
        IN_DIR(test_an_import_that_leaves_out_a_line_ends_with_1),
        IN_DIR(test_an_import_of_refused_samples_ends_with_1),
        IN_DIR(test_an_import_of_a_file_cut_short_ends_with_1),
        IN_DIR(test_imported_samples_are_written_into_a_part),
        IN_DIR(test_an_import_that_is_done_has_nothing_left_to_do),
        IN_DIR(test_an_import_continues_with_the_metadata_of_lines_read_before),
        IN_DIR(test_an_import_killed_after_any_line_stores_each_sample_once),
        IN_DIR(test_samples_on_the_borders_of_slices_are_exported_once),
        IN_DIR(test_an_export_killed_after_any_slice_continues_to_the_same_file),
        IN_DIR(test_an_export_does_not_continue_another_one),
        IN_DIR(test_an_export_that_leaves_out_damage_ends_with_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
