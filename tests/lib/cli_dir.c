/* cli_dir.c - see cli_dir.h. */
#include "lib/cli_dir.h"

#include <glob.h>

#include "lib/cli_run.h"
#include "sys/env.h"

char cli_dir[TEST_DIR_BYTES], cli_store[96], cli_file[96];

int
cli_dir_make(void **state)
{
    (void)state;
    if (!make_test_dir(cli_dir)) return -1;
    snprintf(cli_store, sizeof cli_store, "%s/store", cli_dir);
    snprintf(cli_file, sizeof cli_file, "%s/file", cli_dir);
    return 0;
}

int
cli_dir_remove(void **state)
{
    (void)state;
    return env_remove_tree(env_real(), cli_dir, NULL) == OK ? 0 : -1;
}

void
cli_expect(int got, int expected, const char *words)
{
    if (got != expected) fail_msg("status %d, expected %d: %s", got, expected, cli_err);
    if (strstr(cli_err, words) == NULL && strstr(cli_out, words) == NULL)
        fail_msg("'%s' is not in: %s%s", words, cli_out, cli_err);
}

void
cli_damage_part(long offset)
{
    char pattern[128];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/parts/*/part", cli_store);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    FILE *f = fopen(found.gl_pathv[0], "r+");
    assert_non_null(f);
    assert_int_equal(fseek(f, offset, SEEK_SET), 0);
    int byte = fgetc(f);
    assert_true(byte != EOF);
    assert_int_equal(fseek(f, offset, SEEK_SET), 0);
    fputc(byte ^ 0x55, f);
    fclose(f);
    globfree(&found);
}
