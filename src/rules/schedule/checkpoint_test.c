/* checkpoint_test.c - records come back as they were written, or not at all, with a power loss
 * at any time. */
#include "lib/test.h"

#include <stdio.h>

#include "base/fields.h"
#include "lib/checkpoint_copy.h"
#include "lib/simulated_dir.h"

#define COUNT(a) (uint32_t)(sizeof(a) / sizeof *(a))
#define ALERT_A  "\n\16\n\11alertname\22\1A"
#define CONTENT  "the file is damaged: its content is inconsistent"
#define CHECKSUM "the file is damaged: its header or its checksum is wrong"
#define NEWER(v) \
    "version " v \
    " of the file is newer than version 2, which this program reads; use a newer Firekeep"
#define TOO_LARGE \
    "the state of rules is too large: it has at most %zu bytes; reduce the number of alerts"

static const uint8_t magic[8] = {'F', 'K', 'R', 'S', 'T', 'A', 'T', 'E'};

/* --- the format ------------------------------------------------------------------------------- */

#define WAS(s, active, fired, resolved, kept, sent, valid)                                    \
    {                                                                                         \
        .state = s, .active_at_ns = active, .fired_at_ns = fired, .resolved_at_ns = resolved, \
        .keep_firing_since_ns = kept, .sent_at_ns = sent, .valid_until_ns = valid             \
    }

static const struct label kv = {VIEW("k"), VIEW("v")}, ok = {VIEW("s"), VIEW("ok")};
static const struct label odd[] = {{VIEW("nothing"), VIEW("")}, {VIEW("z"), VIEW("\xff")}};
static const struct checkpoint_head head = {"0123456789abcde", 1, 2};

/* Records of a checkpoint; every prefix of the list is a valid one. */
enum { DOCUMENTED = 7 };
static const struct checkpoint_record records[] = {
    {CHECKPOINT_TENANT, .tenant = {VIEW("t"), -3}},
    {CHECKPOINT_GROUP, .group = {VIEW("f"), VIEW("g"), 3, 64, 0, -2, -1}},
    {CHECKPOINT_RULE, .rule = {VIEW("A"), &kv, 1, 2}},
    {CHECKPOINT_ALERT,
     .alert = {WAS(ALERT_FIRING, 1, 2, 0, 0, 3, 4), {VIEW(ALERT_A), &ok, 1, 0x0807060504030201}}},
    {CHECKPOINT_ALERT, .alert = {WAS(ALERT_INACTIVE, 1, 0, 0, 0, 0, 0), {VIEW(ALERT_A)}}},
    {CHECKPOINT_ALERT, .alert = {WAS(ALERT_PENDING, 1, 2, 3, 4, 5, 6), {VIEW(ALERT_A)}}},
    {CHECKPOINT_TENANT, .tenant = {VIEW("u"), INT64_MIN}},
    {CHECKPOINT_GROUP, .group = {VIEW(""), VIEW(""), INT64_MAX, 1, 2, 3, 4}},
    {CHECKPOINT_GROUP, .group = {VIEW(""), VIEW("g "), 1, 0, INT64_MIN, 0, INT64_MIN}},
    {CHECKPOINT_RULE, .rule = {VIEW(""), odd, COUNT(odd), UINT32_MAX}},
    {CHECKPOINT_ALERT, .alert = {WAS(ALERT_PENDING, INT64_MIN, INT64_MAX, -1, 0, 0, 0),
                                 {VIEW(ALERT_A), odd, COUNT(odd), STALE_NAN_BITS}}},
    {CHECKPOINT_RULE, .rule = {VIEW(""), NULL, 0, 0}},
    {CHECKPOINT_GROUP, .group = {VIEW("/r.yml"), VIEW(""), 1, 0, 0, 0, 0}},
};
#define LOG_AND_TENANT                                       \
    "0123456789abcde\0\2\4"            /* written, latest */ \
    "\1\1t\5"                          /* tenant t, -3 */
#define GROUP_F "\2\1f\1g\6\x80\1\0\3" /* group, 3, 64, 0, -2 */
#define REST                                                                              \
    "\3\1A\1\1k\1v\2"                                            /* rule, a label, nth */ \
    "\4\x10" ALERT_A "\1\1s\2ok\1\2\3\4\5\6\7\x8\2\2\4\0\0\6\x8" /* alert, firing */      \
    "\4\x10" ALERT_A "\0\0\0\0\0\0\0\0\0\0\2\0\0\0\0\0"          /* alert, inactive */    \
    "\4\x10" ALERT_A "\0\0\0\0\0\0\0\0\0\1\2\4\6\x8\xa\xc"       /* alert, pending */     \
    "\1\1u\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"                /* tenant u, never */
static const char documented[] =
    "FKRSTATE\2\0\0\0\2\0\0\0\xa2\0\0\0\xba\x59\x82\xd2" LOG_AND_TENANT GROUP_F
    "\1" /* recorded, -1 */ REST;
static const char version_1[] =
    "FKRSTATE\1\0\0\0\1\0\0\0\xa1\0\0\0\xd0\x87\x35\1" LOG_AND_TENANT GROUP_F REST;

/* Encodes the first records. */
static void
encode(size_t count, struct buf *to)
{
    buf_init(to, NULL, CHECKPOINT_BYTES_MAX);
    must(checkpoint_of_records(&head, records, count, to, NULL));
}

/* Checks that the reader returns the first records, which are written again; returns
 * their number. */
static size_t
check_read(struct checkpoint_reader *reader)
{
    struct buf expected, again;
    size_t count = 0;
    for (unsigned kind = 0; kind < COUNT(reader->counts); kind++)
        count += reader->counts[kind];
    encode(count, &expected);
    buf_init(&again, NULL, CHECKPOINT_BYTES_MAX);
    must(checkpoint_copy(reader, &again));
    assert_int_equal(again.size, expected.size);
    assert_memory_equal(again.at, expected.at, expected.size);
    buf_fini(&expected);
    buf_fini(&again);
    return count;
}

static void
check_refused(struct bytes file, enum err expected, const char *sentence)
{
    struct checkpoint_reader reader;
    struct checkpoint_record record;
    struct why why = {""};
    assert_int_equal(checkpoint_open(&reader, file, &why), expected);
    assert_string_equal(why.text, sentence);
    assert_false(checkpoint_next(&reader, &record));
}

UNIT_TEST(test_all_that_was_put_comes_back)
{
    struct checkpoint_reader reader;
    for (size_t count = 0; count <= COUNT(records); count++) {
        struct buf file;
        encode(count, &file);
        must(checkpoint_open(&reader, buf_bytes(&file), NULL));
        assert_int_equal(check_read(&reader), count);
        buf_fini(&file);
    }
    const uint64_t counts[] = {0, 2, 4, 3, 4};
    assert_memory_equal(reader.counts, counts, sizeof counts);
}

UNIT_TEST(test_the_format_is_that_of_its_page)
{
    struct checkpoint_reader reader;
    struct buf file;
    encode(DOCUMENTED, &file);
    assert_int_equal(file.size, sizeof documented - 1);
    assert_memory_equal(file.at, documented, file.size);
    must(checkpoint_open(&reader, TEXT(documented), NULL));
    assert_int_equal(check_read(&reader), DOCUMENTED);
    buf_fini(&file);
}

UNIT_TEST(test_version_1_is_read_and_lacks_the_last_evaluation)
{
    struct checkpoint_reader reader;
    struct checkpoint_record record;
    must(checkpoint_open(&reader, TEXT(version_1), NULL));
    for (uint32_t i = 0; i < DOCUMENTED; i++) {
        assert_true(checkpoint_next(&reader, &record));
        assert_int_equal(record.kind, records[i].kind);
        if (record.kind == CHECKPOINT_GROUP) {
            assert_int_equal(record.group.evaluated_at_ns, -2);
            assert_int_equal(record.group.recorded_at_ns, 0);
        }
    }
    assert_false(checkpoint_next(&reader, &record));
}

UNIT_TEST(test_any_damaged_bit_and_any_missing_byte_is_noticed)
{
    struct buf file;
    encode(COUNT(records), &file);
    for (size_t i = 0; i < file.size; i++) {
        for (unsigned bit = 1; bit < 256; bit *= 2) {
            file.at[i] ^= (uint8_t)bit;
            check_refused(buf_bytes(&file), ERR_CORRUPT, CHECKSUM);
            file.at[i] ^= (uint8_t)bit;
        }
        check_refused(bytes_of(file.at, i), ERR_CORRUPT, CHECKSUM);
    }
    buf_fini(&file);
}

#define HEAD   "0123456789abcde\0\0\0"
#define TENANT "\1\1t\0"
#define GROUP  "\2\1f\1g\2\0\0\0"
#define RULE   "\3\1A\0\0"
#define ALERT  "\4\x10" ALERT_A "\0\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0"
#define LONG150                                                                   \
    "123456789012345678901234567890123456789012345678901234567890123456789012345" \
    "123456789012345678901234567890123456789012345678901234567890123456789012345"

/* Checks that a piece is valid, or not, with the right header. */
static void
check_piece(struct bytes piece, bool is_right)
{
    struct checkpoint_reader reader;
    struct buf file;
    buf_init(&file, NULL, CHECKPOINT_BYTES_MAX);
    framed_begin(&file);
    buf_put_bytes(&file, piece);
    framed_end(&file, magic, 1);
    if (is_right)
        must(checkpoint_open(&reader, buf_bytes(&file), NULL));
    else
        check_refused(buf_bytes(&file), ERR_CORRUPT, CONTENT);
    buf_fini(&file);
}

UNIT_TEST(test_a_malformed_file_is_refused)
{
    static const struct bytes wrong[] = {
        VIEW(""),
        VIEW("0123456789abcde\0\0"),
        VIEW(HEAD "\0"),
        VIEW(HEAD "\5"),
        VIEW(HEAD "\1"),
        /* a record without the one that it belongs to */
        VIEW(HEAD GROUP),
        VIEW(HEAD TENANT RULE),
        VIEW(HEAD TENANT GROUP ALERT),
        VIEW(HEAD TENANT GROUP RULE ALERT TENANT),
        VIEW(HEAD TENANT GROUP RULE ALERT "\1\1u\0" RULE),
        /* names that do not rise */
        VIEW(HEAD TENANT TENANT),
        VIEW(HEAD TENANT "\1\1s\0"),
        VIEW(HEAD TENANT GROUP GROUP),
        VIEW(HEAD TENANT GROUP "\2\1e\1h\2\0\0\0"),
        VIEW(HEAD TENANT GROUP RULE ALERT "\2\1f\1f\2\0\0\0"),
        /* values */
        VIEW(HEAD "\1\0\0"),
        VIEW(HEAD "\1\x97\1x" LONG150 "\0"),
        VIEW(HEAD TENANT "\2\1f\1g\0\0\0\0"), /* interval 0 */
        VIEW(HEAD TENANT "\2\1f\1g\1\0\0\0"), /* interval -1 */
        VIEW(HEAD TENANT GROUP RULE "\4\x10" ALERT_A "\0\0\0\0\0\0\0\0\0\3\0\0\0\0\0\0"),
        VIEW(HEAD TENANT GROUP RULE "\4\3abc\0\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0"), /* no labels */
        /* labels and annotations */
        VIEW(HEAD TENANT GROUP "\3\1A\1\0\0\0"),               /* without a name */
        VIEW(HEAD TENANT GROUP "\3\1A\2\1b\0\1b\0\0"),         /* twice */
        VIEW(HEAD TENANT GROUP "\3\1A\2\1b\0\1a\0\0"),         /* not sorted */
        VIEW(HEAD TENANT GROUP "\3\1A\2\1b\0"),                /* fewer than announced */
        VIEW(HEAD TENANT GROUP "\3\1A\xff\xff\xff\xff\xf\0"),  /* more than there can be */
        VIEW(HEAD TENANT GROUP "\3\1A\0\xff\xff\xff\xff\x10"), /* more than 32 bits */
        VIEW(HEAD TENANT GROUP RULE "\4\x10" ALERT_A "\2\1b\0\1a\0"),
    };
    check_piece(TEXT(HEAD TENANT GROUP RULE RULE ALERT ALERT "\2\1f\1h\2\0\0\0"
                                                             "\1\1u\0" GROUP),
                true);
    check_piece(TEXT(HEAD "\1\x96\1" LONG150 "\0"), true);
    for (uint32_t i = 0; i < COUNT(wrong); i++)
        check_piece(wrong[i], false);
}

UNIT_TEST(test_texts_and_numbers_of_labels_have_limits)
{
    struct buf piece;
    for (size_t more = 0; more < 2; more++) {
        size_t size = (16 << 20) + more;
        buf_init(&piece, NULL, CHECKPOINT_BYTES_MAX);
        buf_put_bytes(&piece, TEXT(HEAD TENANT "\2\0"));
        buf_put_varint(&piece, size);
        assert_true(buf_reserve(&piece, size));
        memset(piece.at + piece.size, 'x', size);
        piece.size += size;
        buf_put_bytes(&piece, TEXT("\2\0\0\0"));
        check_piece(buf_bytes(&piece), more == 0);
        buf_clear(&piece);
        buf_put_bytes(&piece, TEXT(HEAD TENANT GROUP "\3\1A"));
        buf_put_varint(&piece, 256 + more);
        for (size_t i = 0; i < 256 + more; i++) {
            const uint8_t label[] = {2, (uint8_t)(1 + i / 128), (uint8_t)(i % 128), 0};
            buf_put(&piece, label, sizeof label);
        }
        buf_put_u8(&piece, 0);
        must(buf_error(&piece));
        check_piece(buf_bytes(&piece), more == 0);
        buf_fini(&piece);
    }
}

UNIT_TEST(test_a_state_beyond_the_limit_or_memory_is_not_written)
{
    struct buf whole, file;
    encode(COUNT(records), &whole);
    for (size_t limit = 0; limit < whole.size; limit++) {
        struct why why = {""};
        char sentence[200] = "not enough memory for the state of rules";
        if (limit > 0) snprintf(sentence, sizeof sentence, TOO_LARGE, limit);
        buf_init(&file, NULL, limit > 0 ? limit : CHECKPOINT_BYTES_MAX);
        mem_fail_nth(limit == 0, false);
        assert_int_equal(checkpoint_of_records(&head, records, COUNT(records), &file, &why),
                         limit > 0 ? ERR_LIMIT : ERR_NOMEM);
        mem_fail_nth(0, false);
        assert_string_equal(why.text, sentence);
        buf_fini(&file);
    }
    buf_fini(&whole);
}

/* --- files ------------------------------------------------------------------------------------ */

static enum err
replace(struct simulated_dir *rig, size_t count, struct why *why)
{
    struct buf file;
    encode(count, &file);
    enum err e = checkpoint_replace(rig->env, "d", buf_bytes(&file), why);
    buf_fini(&file);
    return e;
}

/* Returns the number of records in the file; SIZE_MAX if it is missing. */
static size_t
count_of(struct simulated_dir *rig)
{
    struct checkpoint_reader reader;
    enum err e = checkpoint_read(rig->env, "d", NULL, &reader, NULL);
    if (e == ERR_MISSING) return SIZE_MAX;
    must(e);
    size_t count = check_read(&reader);
    checkpoint_fini(&reader);
    return count;
}

static void
check_unreadable(struct simulated_dir *rig, enum err expected, const char *sentence)
{
    struct checkpoint_reader reader;
    struct budget memory;
    struct why why = {""};
    budget_init(&memory, "test", 0, NULL);
    assert_int_equal(checkpoint_read(rig->env, "d", &memory, &reader, &why), expected);
    assert_int_equal(budget_used(&memory), 0);
    assert_non_null(strstr(why.text, "d/rules/state"));
    assert_non_null(strstr(why.text, sentence));
    checkpoint_fini(&reader);
}

/* Replaces the checkpoint with a fault. Returns false if the fault did not fire. */
static bool
replace_with_fault(struct fault fault, bool is_first, bool is_repeated)
{
    struct simulated_dir rig;
    struct why why = {""};
    simulated_dir_init(&rig, fault.nth);
    if (!is_first) must(replace(&rig, 1, NULL));
    fault_env_arm(rig.fe, fault);
    enum err e = replace(&rig, 2, &why);
    bool fired = fault_env_fired(rig.fe);
    fault_env_disarm(rig.fe);
    if (e) assert_string_not_equal(why.text, "");
    if (e && is_repeated) { /* the next one is durable */
        must(replace(&rig, 2, NULL));
        e = OK;
    }
    sim_env_power_loss(rig.sim);
    size_t count = count_of(&rig);
    assert_true(count == 2 || (e != OK && count == (is_first ? SIZE_MAX : 1)));
    must(replace(&rig, 3, NULL));
    sim_env_power_loss(rig.sim);
    assert_int_equal(count_of(&rig), 3);
    simulated_dir_fini(&rig);
    return fired;
}

UNIT_TEST(test_after_a_failed_call_and_power_loss_the_file_is_old_or_new)
{
    for (unsigned kind = 0; kind < FAULT_KIND_COUNT; kind++) {
        if (kind == FAULT_THREAD) continue;
        for (unsigned way = 0; way < 8; way++) {
            struct fault fault = {(enum fault_kind)kind, 1, way % 2 == 0};
            while (replace_with_fault(fault, way < 4, way % 4 < 2))
                assert_true(fault.nth++ < 100);
        }
    }
}

UNIT_TEST(test_a_full_disk_changes_nothing)
{
    struct simulated_dir rig;
    struct why why = {""};
    simulated_dir_init(&rig, 1);
    must(replace(&rig, 1, NULL));
    sim_env_set_capacity(rig.sim, sim_env_used_bytes(rig.sim));
    assert_int_equal(replace(&rig, 2, &why), ERR_FULL);
    assert_int_equal(count_of(&rig), 1);
    sim_env_power_loss(rig.sim);
    assert_int_equal(count_of(&rig), 1);
    sim_env_set_capacity(rig.sim, 1 << 20);
    must(replace(&rig, 2, &why));
    assert_int_equal(count_of(&rig), 2);
    simulated_dir_fini(&rig);
}

/* A newer version is not called damaged. */
UNIT_TEST(test_why_a_file_cannot_be_read_is_said_with_its_path)
{
    struct simulated_dir rig;
    struct buf newer;
    struct file file;
    simulated_dir_init(&rig, 1);
    check_unreadable(&rig, ERR_MISSING, "");
    must(replace(&rig, 1, NULL));
    must(sim_env_damage(rig.sim, "d/rules/state", 30));
    check_unreadable(&rig, ERR_CORRUPT, "d/rules/state: " CHECKSUM);
    encode(1, &newer);
    framed_end(&newer, magic, 3);
    must(checkpoint_replace(rig.env, "d", buf_bytes(&newer), NULL));
    buf_fini(&newer);
    check_unreadable(&rig, ERR_UNSUPPORTED, "d/rules/state: " NEWER("3"));
    must(file_open(rig.env, "d/rules/state", FILE_UPDATE, &file, NULL));
    must(file_truncate(&file, (uint64_t)CHECKPOINT_BYTES_MAX + 1, NULL));
    must(file_close(&file));
    check_unreadable(&rig, ERR_CORRUPT,
                     "d/rules/state: the file is damaged: it is larger than 1024 MiB");
    must(env_unlink(rig.env, "d/rules/state", NULL));
    must(env_mkdir(rig.env, "d/rules/state", NULL));
    check_unreadable(&rig, ERR_IO, "");
    assert_int_equal(replace(&rig, 1, NULL), ERR_IO);
    simulated_dir_fini(&rig);
}

UNIT_TEST(test_a_file_that_is_put_aside_is_kept)
{
    struct simulated_dir rig;
    struct buf file;
    simulated_dir_init(&rig, 1);
    must(checkpoint_put_aside(rig.env, "d", NULL)); /* the directory does not exist either */
    must(replace(&rig, 1, NULL));
    must(env_write_whole(rig.env, "d/rules", "state", TEXT("damaged"), NULL));
    must(checkpoint_put_aside(rig.env, "d", NULL));
    assert_int_equal(count_of(&rig), SIZE_MAX);
    must(checkpoint_put_aside(rig.env, "d", NULL));
    must(replace(&rig, 2, NULL));
    sim_env_power_loss(rig.sim);
    assert_int_equal(count_of(&rig), 2);
    buf_init(&file, NULL, 100);
    must(env_read_whole(rig.env, "d/rules/state.unreadable", &file, NULL));
    assert_true(bytes_equal_text(buf_bytes(&file), "damaged"));
    buf_fini(&file);
    simulated_dir_fini(&rig);
}

UNIT_TEST(test_a_directory_with_the_name_of_a_file_put_aside_is_named)
{
    struct simulated_dir rig;
    struct why why = {""};
    simulated_dir_init(&rig, 1);
    must(replace(&rig, 1, NULL));
    must(env_mkdir(rig.env, "d/rules/state.unreadable", NULL));
    assert_int_equal(checkpoint_put_aside(rig.env, "d", &why), ERR_IO);
    assert_string_equal(why.text, "cannot put d/rules/state aside: d/rules/state.unreadable is a "
                                  "directory, rename or remove it");
    assert_int_equal(count_of(&rig), 1);
    simulated_dir_fini(&rig);
}

UNIT_TEST(test_refused_memory_is_reported)
{
    struct simulated_dir rig;
    struct checkpoint_reader reader;
    simulated_dir_init(&rig, 1);
    must(replace(&rig, COUNT(records), NULL));
    mem_fail_nth(1, false);
    check_unreadable(&rig, ERR_NOMEM, "");
    mem_fail_nth(2, false); /* only the file needs memory */
    must(checkpoint_read(rig.env, "d", NULL, &reader, NULL));
    assert_false(mem_fail_fired());
    mem_fail_nth(0, false);
    checkpoint_fini(&reader);
    simulated_dir_fini(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_that_was_put_comes_back),
        cmocka_unit_test(test_the_format_is_that_of_its_page),
        cmocka_unit_test(test_version_1_is_read_and_lacks_the_last_evaluation),
        cmocka_unit_test(test_any_damaged_bit_and_any_missing_byte_is_noticed),
        cmocka_unit_test(test_a_malformed_file_is_refused),
        cmocka_unit_test(test_texts_and_numbers_of_labels_have_limits),
        cmocka_unit_test(test_a_state_beyond_the_limit_or_memory_is_not_written),
        cmocka_unit_test(test_after_a_failed_call_and_power_loss_the_file_is_old_or_new),
        cmocka_unit_test(test_a_full_disk_changes_nothing),
        cmocka_unit_test(test_why_a_file_cannot_be_read_is_said_with_its_path),
        cmocka_unit_test(test_a_file_that_is_put_aside_is_kept),
        cmocka_unit_test(test_a_directory_with_the_name_of_a_file_put_aside_is_named),
        cmocka_unit_test(test_refused_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
