/* schema_test.c - tables of keys: required, unknown, repeated and related keys. */
#include "lib/test.h"

#include "config/schema/schema.h"
#include "lib/config/config_destinations.h"

UNIT_TEST(test_required_keys_are_named_with_the_type)
{
    static const struct {
        const char *keys, *expected;
    } cases[] = {
        {"type: s3", "type s3 requires 'name', unique name, used in metrics, commands and on disk"},
        {"name: a, type: file",
         "type file requires 'path', directory of the files; `${tenant}` stands for the tenant"},
        {"name: a, type: kinesis",
         "type kinesis requires 'stream', name or ARN of the data stream"},
        {"name: a, type: firehose, region: r",
         "type firehose requires 'delivery_stream', name of the delivery stream"},
        {"name: a, type: s3, region: r", "type s3 requires 'bucket', name of the bucket"},
        {"name: a, type: timestream, region: r",
         "type timestream requires 'database', name of the database; `${tenant}` and `${label}` "
         "stand for values"},
        {"name: a, type: timestream, region: r, database: d",
         "type timestream requires 'table', name of the table; `${tenant}` and `${label}` stand "
         "for values"},
        {"name: a, type: opentsdb", "type opentsdb requires 'url', URL of the server"},
        {"name: a, type: clickhouse", "type clickhouse requires 'url', URL of the server's HTTP "
                                      "interface"},
        {"name: a, type: clickhouse, url: 'http://h'",
         "type clickhouse requires 'table', name of the table"},
        {"name: a, type: influxdb", "type influxdb requires 'url', URL of the server"},
        {"name: a, type: influxdb, url: 'http://h'",
         "type influxdb requires 'version', major version of the server: 1, 2 or 3"},
        {"name: a, type: influxdb, url: 'http://h', version: 1",
         "type influxdb with version 1 requires 'database'"},
        {"name: a, type: influxdb, url: 'http://h', version: 2, bucket: bbb",
         "type influxdb with version 2 requires 'org'"},
        {"name: a, type: influxdb, url: 'http://h', version: 2, org: o",
         "type influxdb with version 2 requires 'bucket'"},
        {"name: a, type: influxdb, url: 'http://h', version: 3",
         "type influxdb with version 3 requires 'database'"},
        {"name: a, type: remote_write",
         "type remote_write requires 'url', URL of the remote write endpoint"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200], expected[300];
        snprintf(text, sizeof text, "destinations:\n- {%s}\n", cases[i].keys);
        snprintf(expected, sizeof expected, "f.yml:2:3: %s", cases[i].expected);
        check_error(text, expected);
    }
    check_error(REMOTE_WRITE_5 "  basic_auth: {password: hush}\n",
                "f.yml:5:15: basic_auth requires 'username', user name");
    check_error(REMOTE_WRITE_5 "  authorization: {type: Bearer}\n",
                "f.yml:5:18: authorization requires 'credentials', credentials in the "
                "Authorization header");
    check_error(REMOTE_WRITE_5 "  oauth2: {}\n",
                "f.yml:5:11: oauth2 requires 'client_id', OAuth 2.0 client ID");
    check_error(REMOTE_WRITE_5 "  oauth2: {client_id: c, token_url: 'http://h'}\n",
                "f.yml:5:11: oauth2 requires 'client_secret', OAuth 2.0 client secret");
    check_error(REMOTE_WRITE_5 "  oauth2: {client_id: c, client_secret: s}\n",
                "f.yml:5:11: oauth2 requires 'token_url', URL that issues tokens");
}

UNIT_TEST(test_unknown_keys_are_explained)
{
    check_error(S3_6 "  timout: 5s\n",
                "f.yml:6:3: unknown key 'timout' in 'destinations'; did you mean 'timeout'?");
    check_error(S3_6 "  colour: red\n", "f.yml:6:3: unknown key 'colour' in 'destinations'");
    check_error(S3_6 "  stream: x\n", "f.yml:6:3: 'stream' belongs to type kinesis, not s3");
    check_error(
        S3_6 "  url: x\n",
        "f.yml:6:3: 'url' belongs to types clickhouse, influxdb, opentsdb and remote_write, "
        "not s3");
    check_error(REMOTE_WRITE_5 "  bucket: x\n",
                "f.yml:5:3: 'bucket' belongs to types influxdb and s3, not remote_write");
    check_error(FILE_5 "  proxy_url: x\n",
                "f.yml:5:3: 'proxy_url' belongs to types clickhouse, firehose, influxdb, kinesis, "
                "opentsdb, remote_write, s3 and timestream, not file");
    check_error(FILE_5 "  tenant_header: x\n",
                "f.yml:5:3: 'tenant_header' belongs to type remote_write, not file");
    check_error(FILE_5 "  max_samples: 5\n",
                "f.yml:5:3: unknown key 'max_samples' in 'destinations'; did you mean "
                "'max_samples' below 'batch:'?");
    check_error(FILE_5 "  batch: {max_sample: 5}\n",
                "f.yml:5:11: unknown key 'max_sample' in 'batch'; did you mean 'max_samples'?");
    check_error(FILE_5 "  relabel: [{x: 5}]\n", "f.yml:5:14: unknown key 'x' in 'relabel'");
    check_error(REMOTE_WRITE_5 "  oauth2: {tls_config: {cafile: x}}\n",
                "f.yml:5:25: unknown key 'cafile' in 'oauth2.tls_config'; did you mean 'ca_file'?");
    check_error(FILE_5 "  ? [a]\n  : b\n", "f.yml:5:5: expected a key, got a list");
}

UNIT_TEST(test_keys_given_twice_name_the_first_line)
{
    check_error(FILE_5 "  path: /y\n", "f.yml:5:3: duplicate key 'path', first given on line 4");
    check_error(FILE_5 "  type: file\n", "f.yml:5:3: duplicate key 'type', first given on line 3");
    check_error(FILE_5 "  batch:\n    max_age: 1s\n    max_age: 1s\n",
                "f.yml:7:5: duplicate key 'max_age', first given on line 6");
    check_error(FILE_5 "  external_labels:\n    a: b\n    a: c\n",
                "f.yml:7:5: external_labels: duplicate key 'a', first given on line 6");
    check_error(FILE_5 "  tenants: [a, b, a]\n", "f.yml:5:19: tenants: duplicate entry 'a'");
    check_error(FILE_5 "- {name: b, type: file, path: /x}\n- {path: /y, type: file, name: a}\n",
                "f.yml:6:32: name: the destination on line 2 already has the name 'a'");
    check_error(REMOTE_WRITE_5 "  basic_auth:\n    username: u\n    password: p\n"
                               "    password_file: /p\n",
                "f.yml:8:5: 'password_file' and 'password' cannot be used together; 'password' is "
                "on line 7");
    check_error(REMOTE_WRITE_5 "  basic_auth: {username_file: u, username: u}\n",
                "f.yml:5:34: 'username' and 'username_file' cannot be used together; "
                "'username_file' is on line 5");
    check_error(REMOTE_WRITE_5 "  authorization: {credentials: a, credentials_file: b}\n",
                "f.yml:5:35: 'credentials_file' and 'credentials' cannot be used together; "
                "'credentials' is on line 5");
    check_error(REMOTE_WRITE_5 "  oauth2: {client_secret: a, client_secret_file: b}\n",
                "f.yml:5:30: 'client_secret_file' and 'client_secret' cannot be used together; "
                "'client_secret' is on line 5");
    check_error(S3_6 "  secret_key: a\n  secret_key_file: b\n",
                "f.yml:7:3: 'secret_key_file' and 'secret_key' cannot be used together; "
                "'secret_key' is on line 6");
    check_error(S3_6 "  access_key: a\n  access_key_file: b\n",
                "f.yml:7:3: 'access_key_file' and 'access_key' cannot be used together; "
                "'access_key' is on line 6");
    check_error(S3_6 "  session_token: a\n  session_token_file: b\n",
                "f.yml:7:3: 'session_token_file' and 'session_token' cannot be used together; "
                "'session_token' is on line 6");
    check_error(
        INFLUXDB_5 "  token: a\n  token_file: b\n",
        "f.yml:6:3: 'token_file' and 'token' cannot be used together; 'token' is on line 5");
}

UNIT_TEST(test_one_way_to_log_in_is_enough)
{
    check_error(REMOTE_WRITE_5 "  authorization: {credentials: c}\n  sigv4: {}\n",
                "f.yml:6:3: 'sigv4' and 'authorization' cannot be used together; 'authorization' "
                "is on line 5");
    check_error(
        REMOTE_WRITE_5 "  sigv4: {}\n  basic_auth: {username: u}\n",
        "f.yml:6:3: 'basic_auth' and 'sigv4' cannot be used together; 'sigv4' is on line 5");
    check_error(OPENTSDB_5 "  basic_auth: {username: u}\n  authorization: {credentials: c}\n",
                "f.yml:6:3: 'authorization' and 'basic_auth' cannot be used together; 'basic_auth' "
                "is on line 5");
    check_error(
        INFLUXDB_5 "  version: 1\n  database: d\n  token: t\n"
                   "  basic_auth: {username: u}\n",
        "f.yml:8:3: 'basic_auth' and 'token' cannot be used together; 'token' is on line 7");
    check_error(REMOTE_WRITE_5 "  authorization: {type: basic, credentials: c}\n",
                "f.yml:5:25: authorization.type: use basic_auth for the scheme Basic");
}

UNIT_TEST(test_some_keys_say_nothing_without_another)
{
    check_error(S3_6 "  access_key: a\n", "f.yml:6:3: 'access_key' requires 'secret_key'");
    check_error(S3_6 "  secret_key_file: a\n",
                "f.yml:6:3: 'secret_key_file' requires 'access_key'");
    check_error(S3_6 "  session_token: a\n", "f.yml:6:3: 'session_token' requires 'access_key'");
    check_error(S3_6 "  external_id: a\n", "f.yml:6:3: 'external_id' requires 'role_arn'");
    check_error(S3_6 "  no_proxy: a\n", "f.yml:6:3: 'no_proxy' requires 'proxy_url'");
    check_error(S3_6 "  tls_config: {cert_file: a}\n",
                "f.yml:6:16: 'cert_file' requires 'key_file'");
    check_error(S3_6 "  tls_config: {key_file: a}\n",
                "f.yml:6:16: 'key_file' requires 'cert_file'");
    check_error(S3_6 "  kms_key_id: a\n  sse: AES256\n",
                "f.yml:6:15: kms_key_id: is only valid with sse: aws:kms");
    check_fine(S3_6 "  access_key: a\n  secret_key_file: b\n", false);
}

UNIT_TEST(test_values_of_the_wrong_kind_name_what_is_expected)
{
    check_error(FILE_5 "  timeout: soon\n",
                "f.yml:5:12: timeout: expected a duration such as 90s or 1h30m, got 'soon'");
    check_error(FILE_5 "  timeout: [1s]\n",
                "f.yml:5:12: timeout: expected a duration such as 90s or 1h30m, got a list");
    check_error(FILE_5 "  timeout: ~\n",
                "f.yml:5:12: timeout: expected a duration such as 90s or 1h30m, got nothing");
    check_error(FILE_5 "  paused: yes\n", "f.yml:5:11: paused: expected true or false, got 'yes'");
    check_error(FILE_5 "  concurrency: two\n",
                "f.yml:5:16: concurrency: expected a whole number, got 'two'");
    check_error(FILE_5 "  log_budget: 5X\n",
                "f.yml:5:15: log_budget: expected a size such as 512MiB or 500GB, got '5X'");
    check_error(
        FILE_5 "  fill_rate: -1\n",
        "f.yml:5:14: fill_rate: expected a whole number, optionally with k, M or G, got '-1'");
    check_error(FILE_5 "  format: cvs\n", "f.yml:5:11: format: expected one of ndjson, csv, "
                                          "openmetrics, got 'cvs'; did you mean 'csv'?");
    check_error(FILE_5 "  batch: 5\n",
                "f.yml:5:10: 'batch' expects keys below it such as 'max_samples:', got a value");
    check_error(FILE_5 "  batch: {max_age: old}\n",
                "f.yml:5:20: batch.max_age: expected a duration such as 90s or 1h30m, got 'old'");
    check_error(FILE_5 "  select: up\n", "f.yml:5:11: select: expected a list, got 'up'");
    check_error(FILE_5 "  select: [{a: b}]\n",
                "f.yml:5:12: select: expected a series selector, got a mapping");
    check_error(FILE_5 "  tenants: one\n",
                "f.yml:5:12: tenants: expected a list or the word all, got 'one'");
    check_error(FILE_5 "  external_labels: [a]\n",
                "f.yml:5:20: external_labels: expected a mapping, got a list");
    check_error(FILE_5 "  external_labels: {a: [b]}\n",
                "f.yml:5:24: external_labels: expected text, got a list");
    check_error(FILE_5 "  external_labels: {[a]: b}\n", "f.yml:5:21: expected a key, got a list");
    check_error(FILE_5 "  relabel: {action: drop}\n",
                "f.yml:5:12: relabel: expected a list, got a mapping");
    check_error(
        FILE_5 "  relabel: [drop]\n",
        "f.yml:5:13: 'relabel' expects keys below it such as 'source_labels:', got a value");
    check_error(FILE_5 "  tenant_label: [a]\n",
                "f.yml:5:17: tenant_label: expected text, got a list");
    check_error(FILE_5 "  tenant_label: ''\n", "f.yml:5:17: tenant_label: must not be empty");
    check_error(FILE_5 "  tenant_label: \"a\\nb\"\n",
                "f.yml:5:17: tenant_label: must not contain control characters");
    check_error(FILE_5 "  select: [\"a\\0b\"]\n", "f.yml:5:12: select: must not contain NUL");
    check_error(REMOTE_WRITE_5 "  basic_auth: {username: u, password: [hush]}\n",
                "f.yml:5:39: basic_auth.password: expected text, got a list");
    check_error(REMOTE_WRITE_5 "  basic_auth: {username: u, password: \"hush\\n\"}\n",
                "f.yml:5:39: basic_auth.password: must not contain control characters");
    check_error(FILE_5 "  start: soon\n", "f.yml:5:10: start: expected now, beginning, or a time "
                                          "such as 2024-02-29T12:00:00Z or 1709208000, got 'soon'");
    check_error(FILE_5 "  start: -5\n", "f.yml:5:10: start: expected now, beginning, or a time "
                                        "such as 2024-02-29T12:00:00Z or 1709208000, got '-5'");
    check_error(FILE_5 "  start: 253402300800\n",
                "f.yml:5:10: start: expected now, beginning, or a time such as "
                "2024-02-29T12:00:00Z or 1709208000, got '253402300800'");
}

UNIT_TEST(test_values_out_of_range_name_the_range)
{
    check_error(FILE_5 "  timeout: 2h\n",
                "f.yml:5:12: timeout: must be between 1ms and 1h, got 2h");
    check_error(FILE_5 "  log_budget: 1\n",
                "f.yml:5:15: log_budget: must be between 1MiB and 1PiB, got 1");
    check_error(INFLUXDB_5 "  version: 4\n", "f.yml:5:12: version: must be between 1 and 3, got 4");
    check_error(FILE_5 "  retry: {max_backoff: 2d}\n",
                "f.yml:5:24: retry.max_backoff: must be between 1ms and 1d, got 2d");
    check_error(FILE_5 "  retry: {min_backoff: 11s}\n",
                "f.yml:5:24: retry.min_backoff: max_backoff must be at least min_backoff");
    check_error(FILE_5 "  retry: {min_backoff: 2s, max_backoff: 1s}\n",
                "f.yml:5:41: retry.max_backoff: max_backoff must be at least min_backoff");
    check_error(S3_6 "  tls_config: {min_version: TLS13, max_version: TLS12}\n",
                "f.yml:6:49: tls_config.max_version: TLS12 is older than min_version TLS13");
    check_error(S3_6 "  tls_config: {min_version: '1.2'}\n",
                "f.yml:6:29: tls_config.min_version: expected one of TLS10, TLS11, TLS12, TLS13, "
                "got '1.2'");
}

static void
check_limit(const char *head, const char *item, unsigned max, const char *tail,
            const char *sentence)
{
    char *text = repeated(head, item, max, tail);
    check_fine(text, true);
    free(text);
    text = repeated(head, item, max + 1, tail);
    struct settings s = settings_with_tenancy(true);
    struct destinations list;
    struct why why = {""};
    assert_int_equal(destinations_yaml("f.yml", bytes_of_text(text), &s, &list, &why), ERR_INPUT);
    if (strstr(why.text, sentence) == NULL) fail_msg("%s, not %s", why.text, sentence);
    free(text);
}

#define LISTED(key) REMOTE_WRITE_5 "  tenants: [one]\n  " key ":"

UNIT_TEST(test_lists_and_texts_are_bounded)
{
    check_limit("destinations:\n", "- {name: a#, type: file, path: /x, tenants: [a]}\n", 64, "\n",
                ": at most 64 destinations are allowed");
    check_limit(LISTED("select"), "\n  - a#", 256, "\n",
                ": select: at most 256 entries are allowed");
    check_limit(LISTED("relabel"), "\n  - {action: drop}", 256, "\n",
                ": relabel: at most 256 entries are allowed");
    check_limit(LISTED("relabel") "\n  - action: drop\n    source_labels:", "\n    - a#", 64, "\n",
                ": relabel.source_labels: at most 64 entries are allowed");
    check_limit(LISTED("external_labels"), "\n    a#: b", 64, "\n",
                ": external_labels: at most 64 entries are allowed");
    check_limit(LISTED("headers"), "\n    a#: b", 16, "\n",
                ": headers: at most 16 entries are allowed");
    check_limit(REMOTE_WRITE_5 "  tenant_label: t\n  tenants:", "\n  - a#", 1000, "\n",
                ": tenants: at most 1000 entries are allowed");
    check_limit(LISTED("tenant_label") " ", "a", 16384, "\n",
                ": tenant_label: must be at most 16384 bytes, got 16385");
    check_limit(LISTED("external_labels") "\n    ? ", "a", 150, "\n    : v\n",
                ": external_labels: a name must be at most 150 bytes, got 151");
}

/* --- sets and secrets ------------------------------------------------------------------------- */

struct plate {
    unsigned colours;
    struct text_list tokens;
    struct named_texts hashes;
    const char *key;
};
struct plates {
    struct plate *items;
    uint32_t count;
};

#define TEST_AT(s, f)       .offset = offsetof(struct s, f), .size = sizeof((struct s *)0)->f
#define TEST_ITEMS(s, f, n) .offset = offsetof(struct s, f), .count_offset = offsetof(struct s, n)

static const struct schema_key plate_keys[] = {
    {"colours", SCHEMA_SET, TEST_AT(plate, colours), .choices = "red|green|blue", .quiet = true},
    {"tokens", SCHEMA_TEXTS, TEST_ITEMS(plate, tokens.items, tokens.count), .max = 4,
     .is_secret = true},
    {"hashes", SCHEMA_NAMED_TEXTS, TEST_ITEMS(plate, hashes.items, hashes.count), .max = 4,
     .is_secret = true},
    {"key", SCHEMA_TEXT, TEST_AT(plate, key), .is_secret = true},
    {NULL},
};
static const struct schema plate_schema = {plate_keys, sizeof(struct plate)};
static const struct schema_key plates_keys[] = {
    {"plates", SCHEMA_MAPPINGS, TEST_ITEMS(plates, items, count), .max = 4, .inner = &plate_schema},
    {NULL},
};
static const struct schema plates_schema = {plates_keys, sizeof(struct plates)};

static enum err
read_plates(const char *text, struct plates *ret_plates, struct arena **ret_arena, struct why *why)
{
    struct settings s = settings_with_tenancy(false);
    const struct root_context root = {&s, "f.yml", NULL};
    *ret_plates = (struct plates){NULL};
    *ret_arena = NULL;
    return root_keys_yaml(&plates_schema, &root, bytes_of_text(text), ret_plates, ret_arena, why);
}

static void
check_plates_error(const char *text, const char *expected)
{
    struct plates plates;
    struct arena *arena;
    struct why why = {""};
    assert_int_equal(read_plates(text, &plates, &arena, &why), ERR_INPUT);
    assert_string_equal(why.text, expected);
}

UNIT_TEST(test_a_set_has_a_bit_for_each_word_and_is_printed_as_a_list)
{
    struct plates plates;
    struct arena *arena;
    struct why why = {""};
    struct buf printed;
    enum err e = read_plates("plates: [{colours: [blue, red]}, {colours: 'green,blue'}, "
                             "{colours: []}, {}]\n",
                             &plates, &arena, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, OK);
    assert_int_equal(plates.items[0].colours, 5);
    assert_int_equal(plates.items[1].colours, 6);
    assert_int_equal(plates.items[2].colours, 0);
    assert_false(schema_equal(&plate_schema, 0, &plates.items[0], &plates.items[1]));
    assert_true(schema_equal(&plate_schema, 0, &plates.items[2], &plates.items[3]));
    buf_init(&printed, NULL, 4096);
    schema_print(&printed, &plate_schema, 0, &plates.items[0], 0, false);
    buf_put_u8(&printed, '\0');
    assert_string_equal((const char *)printed.at, "colours: [red,blue]\n");
    buf_fini(&printed);
    arena_fini(arena);
    mem_free(NULL, arena, sizeof *arena);
    check_plates_error("plates: [{colours: [red, pink]}]\n",
                       "f.yml:1:26: plates.colours: expected any of red, green, blue, got 'pink'");
    check_plates_error("plates: [{colours: [red, red]}]\n",
                       "f.yml:1:26: plates.colours: 'red' is there twice");
    check_plates_error("plates: [{colours: {red: 1}}]\n",
                       "f.yml:1:20: plates.colours: expected any of red, green, blue, got a "
                       "mapping");
}

UNIT_TEST(test_secret_texts_are_neither_printed_nor_shown_in_errors)
{
    struct plates plates;
    struct arena *arena;
    struct why why = {""};
    struct buf printed;
    enum err e = read_plates("plates: [{tokens: [hush, hush2], hashes: {a: hush}, key: hush}]\n",
                             &plates, &arena, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, OK);
    buf_init(&printed, NULL, 4096);
    schema_print(&printed, &plate_schema, 0, &plates.items[0], 0, false);
    buf_put_u8(&printed, '\0');
    assert_string_equal((const char *)printed.at, "tokens:\n"
                                                  "    - <secret>\n"
                                                  "    - <secret>\n"
                                                  "hashes:\n"
                                                  "    \"a\": <secret>\n"
                                                  "key: <secret>\n");
    buf_fini(&printed);
    arena_fini(arena);
    mem_free(NULL, arena, sizeof *arena);
    check_plates_error("plates: [{tokens: hush}]\n",
                       "f.yml:1:19: plates.tokens: expected a list, got a value");
    check_plates_error("plates: [{hashes: hush}]\n",
                       "f.yml:1:19: plates.hashes: expected a mapping, got a value");
    check_plates_error("plates: [{key: [hush]}]\n",
                       "f.yml:1:16: plates.key: expected text, got a list");
    check_plates_error("plates: [{key: }]\n", "f.yml:1:16: plates.key: expected text, got nothing");
}

UNIT_TEST(test_the_keys_of_a_whole_file_have_no_mapping_around_them)
{
    check_plates_error("plats: []\n", "f.yml:1:1: unknown key 'plats'; did you mean 'plates'?");
    check_plates_error("key: x\n",
                       "f.yml:1:1: unknown key 'key'; did you mean 'key' below 'plates:'?");
    check_plates_error("- plates\n", "f.yml:1:1: expected keys such as 'plates:', got a list");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_required_keys_are_named_with_the_type),
        cmocka_unit_test(test_unknown_keys_are_explained),
        cmocka_unit_test(test_keys_given_twice_name_the_first_line),
        cmocka_unit_test(test_one_way_to_log_in_is_enough),
        cmocka_unit_test(test_some_keys_say_nothing_without_another),
        cmocka_unit_test(test_values_of_the_wrong_kind_name_what_is_expected),
        cmocka_unit_test(test_values_out_of_range_name_the_range),
        cmocka_unit_test(test_lists_and_texts_are_bounded),
        cmocka_unit_test(test_a_set_has_a_bit_for_each_word_and_is_printed_as_a_list),
        cmocka_unit_test(test_secret_texts_are_neither_printed_nor_shown_in_errors),
        cmocka_unit_test(test_the_keys_of_a_whole_file_have_no_mapping_around_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
