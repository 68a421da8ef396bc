/* input_test.c - files with every compression give the lines that were written; sample_sink.c makes
 * some of them. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/lib/sample_files.h"
#include "lib/test_dir.h"

static void
write_file(const void *at, size_t size)
{
    FILE *f = fopen(test_path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(at, 1, size, f), size);
    fclose(f);
}

static void
append_packed(enum compression packing, const char *text, uint64_t resume_bytes,
              uint64_t *ret_bytes)
{
    struct output *o;
    struct why why = {""};
    enum err e = output_open(test_path, packing, resume_bytes, &o, &why);
    if (e) fail_msg("%s", why.text);
    assert_int_equal(output_write(o, bytes_of_text(text), &why), OK);
    assert_int_equal(output_position(o, ret_bytes, &why), OK);
    output_free(o);
}

static struct input *
open_input(void)
{
    struct input *in;
    struct why why = {""};
    enum err e = input_open(test_path, NULL, &in, &why);
    if (e) fail_msg("%s", why.text);
    return in;
}

static void
expect_line(struct input *in, const char *wanted)
{
    struct bytes line;
    struct why why = {""};
    enum err e = input_line(in, 100, &line, &why);
    if (e) fail_msg("%s", why.text);
    if (wanted == NULL) {
        assert_null(line.at);
        return;
    }
    assert_non_null(line.at);
    assert_true(bytes_equal_text(line, wanted));
}

UNIT_TEST(test_lines_are_given_one_by_one)
{
    write_file("a\n\nb c\r\nlast", 12);
    struct input *in = open_input();
    expect_line(in, "a");
    assert_int_equal(input_position(in)->line_begin, 1);
    expect_line(in, "");
    expect_line(in, "b c\r");
    assert_false(input_position(in)->line_is_last);
    expect_line(in, "last");
    assert_true(input_position(in)->line_is_last);
    assert_int_equal(input_position(in)->lines, 4);
    expect_line(in, NULL);
    expect_line(in, NULL);
    input_free(in);
    write_file("", 0);
    in = open_input();
    expect_line(in, NULL);
    input_free(in);
}

UNIT_TEST(test_packed_files_may_have_several_pieces)
{
    for (int packing = COMPRESSION_NONE; packing <= COMPRESSION_ZSTD; packing++) {
        uint64_t bytes;
        append_packed((enum compression)packing, "one\ntw", 0, &bytes);
        append_packed((enum compression)packing, "o\nthree\n", bytes, &bytes);
        struct input *in = open_input();
        struct bytes head;
        struct why why;
        assert_int_equal(input_head(in, &head, &why), OK);
        assert_true(bytes_equal_text(head, "one\ntwo\nthree\n"));
        expect_line(in, "one");
        expect_line(in, "two");
        expect_line(in, "three");
        expect_line(in, NULL);
        assert_int_equal(input_position(in)->read_bytes, bytes);
        assert_int_equal(input_position(in)->file_bytes, bytes);
        input_free(in);
    }
}

UNIT_TEST(test_output_can_be_truncated_to_an_earlier_position)
{
    for (int packing = COMPRESSION_NONE; packing <= COMPRESSION_ZSTD; packing++) {
        struct output *o;
        struct why why = {""};
        uint64_t place, end;
        assert_int_equal(output_open(test_path, (enum compression)packing, 0, &o, &why), OK);
        assert_int_equal(output_write(o, bytes_of_text("kept\n"), &why), OK);
        assert_int_equal(output_position(o, &place, &why), OK);
        for (int i = 0; i < 100000; i++) {
            char text[32];
            snprintf(text, sizeof text, "lost %d\n", i * 7919);
            assert_int_equal(output_write(o, bytes_of_text(text), &why), OK);
        }
        assert_int_equal(output_back(o, place, &why), OK);
        assert_int_equal(output_write(o, bytes_of_text("new\n"), &why), OK);
        assert_int_equal(output_position(o, &end, &why), OK);
        output_free(o);
        struct input *in = open_input();
        expect_line(in, "kept");
        expect_line(in, "new");
        expect_line(in, NULL);
        input_free(in);
        assert_int_equal(output_open(test_path, COMPRESSION_NONE, end + 1, &o, &why), ERR_INPUT);
    }
}

/* Makes some hundred KiB of lines that do not compress well. */
static size_t
make_text(char *text, size_t size)
{
    uint64_t state = 88172645463325252u;
    size_t n = 0;
    while (n + 24 < size) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        n += (size_t)snprintf(text + n, size - n, "%llx\n", (unsigned long long)state);
    }
    return n;
}

UNIT_TEST(test_a_truncated_packed_file_is_an_error_without_a_partial_line)
{
    enum { SIZE = 900000 };
    static char text[SIZE];
    make_text(text, SIZE);
    for (int packing = COMPRESSION_GZIP; packing <= COMPRESSION_ZSTD; packing++) {
        uint64_t bytes;
        append_packed((enum compression)packing, text, 0, &bytes);
        uint64_t cuts[] = {1, 7, 1000, 200000, bytes - 60};
        for (unsigned i = 0; i < sizeof cuts / sizeof *cuts; i++) {
            append_packed((enum compression)packing, text, 0, &bytes);
            assert_int_equal(truncate(test_path, (off_t)(bytes - cuts[i])), 0);
            struct input *in = open_input();
            struct bytes line;
            struct why why = {""};
            enum err e;
            const char *at = text;
            if (i % 2 == 0 && i < 4) {
                struct bytes head;
                assert_int_equal(input_head(in, &head, &why), OK);
            }
            while ((e = input_line(in, 100, &line, &why)) == OK && line.at != NULL) {
                assert_memory_equal(line.at, at, line.size);
                assert_true(at[line.size] == '\n');
                at += line.size + 1;
            }
            assert_int_equal(e, ERR_CORRUPT);
            assert_non_null(strstr(why.text, "cut short"));
            assert_int_equal(input_line(in, 100, &line, &why), ERR_CORRUPT); /* the error stays */
            input_free(in);
        }
    }
}

/* Exceptions are cuts at the end of a member, and those that leave too little to recognize the
 * compression. */
UNIT_TEST(test_a_packed_file_cut_short_at_any_byte_is_damaged)
{
    enum { HEAD_BYTES = 4 };
    for (int packing = COMPRESSION_GZIP; packing <= COMPRESSION_ZSTD; packing++) {
        char whole[1000];
        uint64_t first, bytes;
        append_packed((enum compression)packing, "one\ntw", 0, &first);
        append_packed((enum compression)packing, "o\nthree\n", first, &bytes);
        FILE *f = fopen(test_path, "rb");
        assert_non_null(f);
        assert_int_equal(fread(whole, 1, sizeof whole, f), bytes);
        fclose(f);
        for (size_t cut = HEAD_BYTES; cut <= bytes; cut++) {
            write_file(whole, cut);
            struct input *in = open_input();
            struct bytes line = bytes_of("", 0);
            struct why why = {""};
            enum err e = OK;
            while (e == OK && line.at != NULL)
                e = input_line(in, 100, &line, &why);
            bool is_whole = cut == first || cut == bytes;
            if (e != (is_whole ? OK : ERR_CORRUPT))
                fail_msg("%zu of %zu bytes: %s %s", cut, (size_t)bytes, err_word(e), why.text);
            input_free(in);
        }
    }
}

UNIT_TEST(test_damaged_packed_files_are_reported)
{
    enum { SIZE = 100000 };
    static char text[SIZE];
    static uint8_t packed[2 * SIZE];
    make_text(text, SIZE);
    for (int packing = COMPRESSION_GZIP; packing <= COMPRESSION_ZSTD; packing++) {
        uint64_t bytes;
        append_packed((enum compression)packing, text, 0, &bytes);
        FILE *f = fopen(test_path, "rb");
        assert_non_null(f);
        assert_int_equal(fread(packed, 1, sizeof packed, f), bytes);
        fclose(f);
        packed[bytes / 2] ^= 0x55;
        write_file(packed, bytes);
        struct input *in = open_input();
        struct bytes line;
        struct why why = {""};
        enum err e;
        while ((e = input_line(in, SIZE, &line, &why)) == OK && line.at != NULL) {
        }
        assert_int_equal(e, ERR_CORRUPT);
        input_free(in);
    }
    uint64_t bytes;
    append_packed(COMPRESSION_GZIP, "a\n", 0, &bytes);
    FILE *f = fopen(test_path, "ab");
    fputs("garbage", f);
    fclose(f);
    struct input *in = open_input();
    struct bytes line;
    struct why why = {""};
    expect_line(in, "a");
    assert_int_equal(input_line(in, 100, &line, &why), ERR_CORRUPT);
    input_free(in);
}

UNIT_TEST(test_a_line_that_is_too_long_costs_only_itself)
{
    enum { LONG = 700000 };
    char *text = malloc(LONG + 100);
    assert_non_null(text);
    memcpy(text, "first\n", 6);
    memset(text + 6, 'x', LONG);
    memcpy(text + 6 + LONG, "\nlast\n", 6);
    write_file(text, 6 + LONG + 6);
    struct input *in = open_input();
    struct bytes line;
    struct why why = {""};
    expect_line(in, "first");
    assert_int_equal(input_line(in, 100, &line, &why), ERR_LIMIT);
    assert_int_equal(input_position(in)->line_begin, 2);
    assert_non_null(strstr(why.text, "100"));
    expect_line(in, "last");
    assert_int_equal(input_position(in)->line_begin, 3);
    expect_line(in, NULL);
    input_free(in);
    in = open_input();
    expect_line(in, "first");
    assert_int_equal(input_line(in, LONG, &line, &why), OK);
    assert_int_equal(line.size, LONG);
    input_free(in);
    write_file(text, 6 + LONG); /* without a line feed at the end */
    in = open_input();
    expect_line(in, "first");
    assert_false(input_position(in)->line_is_last);
    assert_int_equal(input_line(in, 100, &line, &why), ERR_LIMIT);
    assert_true(input_position(in)->line_is_last);
    expect_line(in, NULL);
    input_free(in);
    free(text);
}

UNIT_TEST(test_a_line_that_finds_no_memory_is_an_error)
{
    enum { LONG = 700000 };
    char *text = malloc(LONG);
    assert_non_null(text);
    memset(text, 'x', LONG);
    write_file(text, LONG);
    free(text);
    unsigned failed = 0;
    for (uint64_t nth = 1;; nth++) {
        struct input *in = open_input();
        struct bytes line;
        struct why why = {""};
        mem_fail_nth(nth, false);
        enum err e = input_line(in, LONG, &line, &why);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        input_free(in);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        if (!fired) break;
        assert_non_null(strstr(why.text, ": not enough memory for a line"));
        failed++;
    }
    assert_true(failed > 2);
}

static void
expect_object(struct input *in, const char *wanted, uint64_t begin, bool is_last)
{
    struct bytes line;
    struct why why = {""};
    enum err e = input_object(in, 100, &line, &why);
    if (e) fail_msg("%s", why.text);
    assert_non_null(line.at);
    assert_true(bytes_equal_text(line, wanted));
    assert_int_equal(input_position(in)->line_begin, begin);
    assert_int_equal(input_position(in)->line_is_last, is_last);
}

UNIT_TEST(test_objects_without_line_feeds_are_lines)
{
    static const char text[] = "{\"a\":\"}{\"}{} \n\n{}\r\n{} {\"b\"";
    write_file(text, sizeof text - 1);
    struct input *in = open_input();
    expect_object(in, "{\"a\":\"}{\"}", 1, false);
    expect_object(in, "{} ", 2, false);
    expect_object(in, "", 3, false);
    expect_object(in, "{}\r", 4, false);
    expect_object(in, "{} ", 5, false);
    expect_object(in, "{\"b\"", 6, true);
    assert_int_equal(input_position(in)->lines, 6);
    expect_line(in, NULL);
    input_free(in);
}

UNIT_TEST(test_an_object_that_is_too_long_costs_only_itself)
{
    enum { LONG = 700000 };
    char *text = malloc(LONG + 100);
    struct bytes line;
    struct why why = {""};
    assert_non_null(text);
    memset(text, ' ', LONG);
    memcpy(text, "{}{", 3);
    memcpy(text + LONG, "}{\"c\":1}{", 9);
    for (unsigned spaces = 0; spaces < 2; spaces++) { /* in an object, then after it */
        write_file(text, LONG + 9);
        struct input *in = open_input();
        expect_object(in, "{}", 1, false);
        assert_int_equal(input_object(in, 100, &line, &why), ERR_LIMIT);
        assert_int_equal(input_position(in)->line_begin, 2);
        expect_object(in, "{\"c\":1}", 3, false);
        expect_object(in, "{", 4, true);
        input_free(in);
        text[3] = '}';
        text[LONG] = ' ';
    }
    free(text);
}

static void
expect_record(struct input *in, const char *wanted, uint64_t begin)
{
    struct bytes record;
    struct why why = {""};
    enum err e = input_record(in, 100, &record, &why);
    if (e) fail_msg("%s", why.text);
    if (wanted == NULL) {
        assert_null(record.at);
        return;
    }
    assert_true(bytes_equal_text(record, wanted));
    assert_int_equal(input_position(in)->line_begin, begin);
}

UNIT_TEST(test_quoted_fields_may_hold_line_feeds)
{
    static const char text[] = "a,\"b\nc\",d\ne,\"f \"\"\n\"\" g\"\nh";
    write_file(text, sizeof text - 1);
    struct input *in = open_input();
    expect_record(in, "a,\"b\nc\",d", 1);
    expect_record(in, "e,\"f \"\"\n\"\" g\"", 3);
    assert_false(input_position(in)->line_is_last);
    expect_record(in, "h", 5);
    assert_true(input_position(in)->line_is_last);
    assert_int_equal(input_position(in)->lines, 5);
    expect_record(in, NULL, 0);
    input_free(in);
}

UNIT_TEST(test_a_lost_quote_costs_one_line)
{
    char text[2048] = "a,b\nc,\"d\n";
    for (int i = 0; i < 50; i++)
        strcat(text, "more,rows\n");
    write_file(text, strlen(text));
    struct input *in = open_input();
    struct bytes record;
    struct why why = {""};
    expect_record(in, "a,b", 1);
    assert_int_equal(input_record(in, 100, &record, &why), ERR_LIMIT);
    assert_int_equal(input_position(in)->line_begin, 2);
    for (int i = 0; i < 50; i++)
        expect_record(in, "more,rows", (uint64_t)i + 3);
    expect_record(in, NULL, 0);
    input_free(in);
    write_file("a\n\"b\nc\n", 7); /* also close to the end */
    in = open_input();
    expect_record(in, "a", 1);
    assert_int_equal(input_record(in, 100, &record, &why), ERR_LIMIT);
    expect_record(in, "c", 3);
    expect_record(in, NULL, 0);
    input_free(in);
}

UNIT_TEST(test_a_partial_piece_is_an_error)
{
    write_file("abcdefg", 7);
    struct input *in = open_input();
    struct bytes piece;
    struct why why = {""};
    assert_int_equal(input_piece(in, 4, &piece, &why), OK);
    assert_true(bytes_equal_text(piece, "abcd"));
    assert_int_equal(input_piece(in, 4, &piece, &why), ERR_CORRUPT);
    assert_int_equal(input_piece(in, 3, &piece, &why), OK);
    assert_int_equal(input_piece(in, 1, &piece, &why), OK);
    assert_null(piece.at);
    input_free(in);
}

UNIT_TEST(test_a_directory_or_missing_file_is_refused)
{
    struct input *in;
    struct why why = {""};
    assert_int_equal(input_open(test_dir, NULL, &in, &why), ERR_INPUT);
    unlink(test_path);
    assert_int_equal(input_open(test_path, NULL, &in, &why), ERR_MISSING);
    assert_non_null(strstr(why.text, test_path));
}

UNIT_TEST(test_waiting_for_a_pipe_can_be_stopped)
{
    struct input *in;
    struct bytes line;
    struct why why = {""};
    atomic_bool stop = false;
    int ends[2];
    char name[64];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "first\n", 6), 6);
    snprintf(name, sizeof name, "/dev/fd/%d", ends[0]);
    assert_int_equal(input_open(name, &stop, &in, &why), OK);
    assert_int_equal(input_line(in, 100, &line, &why), OK);
    assert_true(bytes_equal_text(line, "first"));
    atomic_store(&stop, true);
    assert_int_equal(input_line(in, 100, &line, &why), ERR_CANCELED);
    input_free(in);
    close(ends[0]);
    close(ends[1]);
}

#define INPUT_TEST(name) cmocka_unit_test_setup_teardown(name, test_dir_make, test_dir_remove)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        INPUT_TEST(test_lines_are_given_one_by_one),
        INPUT_TEST(test_packed_files_may_have_several_pieces),
        INPUT_TEST(test_output_can_be_truncated_to_an_earlier_position),
        INPUT_TEST(test_a_truncated_packed_file_is_an_error_without_a_partial_line),
        INPUT_TEST(test_a_packed_file_cut_short_at_any_byte_is_damaged),
        INPUT_TEST(test_damaged_packed_files_are_reported),
        INPUT_TEST(test_a_line_that_is_too_long_costs_only_itself),
        INPUT_TEST(test_a_line_that_finds_no_memory_is_an_error),
        INPUT_TEST(test_objects_without_line_feeds_are_lines),
        INPUT_TEST(test_an_object_that_is_too_long_costs_only_itself),
        INPUT_TEST(test_quoted_fields_may_hold_line_feeds),
        INPUT_TEST(test_a_lost_quote_costs_one_line),
        INPUT_TEST(test_a_partial_piece_is_an_error),
        INPUT_TEST(test_a_directory_or_missing_file_is_refused),
        INPUT_TEST(test_waiting_for_a_pipe_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
