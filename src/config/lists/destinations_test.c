/* destinations_test.c - lists of destinations: keys, errors, secrets, comparisons. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/config/config_destinations.h"

/* --- small helpers ---------------------------------------------------------------------------- */

/* Returns the list as YAML; the caller frees it. */
static char *
printed(const struct destinations *list)
{
    struct buf to;
    buf_init(&to, NULL, 1 << 20);
    destinations_print_yaml(list, &to);
    buf_put_u8(&to, 0);
    assert_int_equal(buf_error(&to), OK);
    char *text = strdup((const char *)to.at);
    assert_non_null(text);
    buf_fini(&to);
    return text;
}

/* --- every key -------------------------------------------------------------------------------- */

/* These texts have every key of each type, keys that exclude others in a second entry;
 * secrets are hushN. */
static const char s3_text[] =
    "destinations:\n"
    "- name: cold.store-1_A\n"
    "  type: s3\n"
    "  select: ['up', '{job=~\"a|b\"}']\n"
    "  relabel:\n"
    "  - source_labels: [a, __name__]\n"
    "    separator: \"\\n\"\n"
    "    regex: '(.*)x'\n"
    "    target_label: t\n"
    "    replacement: ''\n"
    "    action: Replace\n"
    "  - {action: hashmod, source_labels: [a], modulus: 7, target_label: h}\n"
    "  external_labels: {dc: one, \"r\\u00e9gion\": \"a\\nb\"}\n"
    "  start: 2024-02-29T12:00:00.25+01:00\n"
    "  batch: {max_samples: 100, max_bytes: 1MiB, max_age: 1s}\n"
    "  concurrency: 3\n"
    "  timeout: 5s\n"
    "  retry: {min_backoff: 1s, max_backoff: 1m, give_up_after: 1d}\n"
    "  dead_letters: {max_bytes: 2GiB, max_age: 1w}\n"
    "  log_budget: 3GiB\n"
    "  on_full: drop_oldest\n"
    "  unrepresentable: drop\n"
    "  max_rate: {samples: 10k, bytes: 1MB}\n"
    "  fill_rate: 1M\n"
    "  paused: true\n"
    "  dry_run: true\n"
    "  tenants: [one, two]\n"
    "  tenant_label: tenant\n"
    "  tls_config: {ca_file: /ca, cert_file: /cert, key_file: /key, server_name: n,\n"
    "    min_version: TLS12, max_version: TLS13, insecure_skip_verify: true}\n"
    "  proxy_url: http://proxy:3128\n"
    "  no_proxy: a,b\n"
    "  headers: {X-One: hush1, X-Two: '${TWO} hush2'}\n"
    "  region: eu-west-1\n"
    "  access_key: hush3\n"
    "  secret_key: hush4\n"
    "  session_token: hush5\n"
    "  profile: p\n"
    "  role_arn: arn\n"
    "  external_id: e\n"
    "  bucket: bucket\n"
    "  prefix: metrics/\n"
    "  endpoint: http://127.0.0.1:9000\n"
    "  path_style: true\n"
    "  compression: gzip\n"
    "  roll_bytes: 1GiB\n"
    "  roll_age: 1h\n"
    "  sse: aws:kms\n"
    "  kms_key_id: key\n"
    "  storage_class: STANDARD_IA\n"
    "- name: b\n"
    "  type: s3\n"
    "  region: us-east-1\n"
    "  bucket: bbb\n"
    "  prefix: ${tenant}/\n"
    "  tenants: all\n"
    "  access_key_file: /ak\n"
    "  secret_key_file: /sk\n"
    "  session_token_file: /st\n";

static void
check_common(const struct destination_settings *d)
{
    assert_string_equal(d->name, "cold.store-1_A");
    assert_int_equal(d->line, 2);
    assert_int_equal(d->select.count, 2);
    assert_string_equal(d->select.items[1], "{job=~\"a|b\"}");
    assert_int_equal(d->external_labels.count, 2);
    assert_string_equal(d->external_labels.items[0].name, "dc");
    assert_string_equal(d->external_labels.items[0].value, "one");
    assert_string_equal(d->external_labels.items[1].name, "r\xc3\xa9gion");
    assert_string_equal(d->external_labels.items[1].value, "a\nb");
    assert_int_equal(d->start, START_TIME);
    assert_true(d->start_ms == 1709204400250);
    assert_int_equal(d->batch.max_samples, 100);
    assert_int_equal(d->batch.max_bytes, 1 << 20);
    assert_int_equal(d->batch.max_age_ms, 1000);
    assert_int_equal(d->concurrency, 3);
    assert_int_equal(d->timeout_ms, 5000);
    assert_int_equal(d->retry.min_backoff_ms, 1000);
    assert_int_equal(d->retry.max_backoff_ms, 60000);
    assert_int_equal(d->retry.give_up_after_ms, 86400000);
    assert_true(d->dead_letters_max_bytes == 2ull << 30);
    assert_int_equal(d->dead_letters_max_age_ms, 7 * 86400000);
    assert_true(d->log_budget_bytes == 3ull << 30);
    assert_int_equal(d->on_full, ON_FULL_DROP_OLDEST);
    assert_int_equal(d->unrepresentable, UNREPRESENTABLE_DROP);
    assert_int_equal(d->max_rate_samples, 10000);
    assert_int_equal(d->max_rate_bytes, 1000000);
    assert_int_equal(d->fill_rate_samples, 1000000);
    assert_true(d->paused);
    assert_true(d->dry_run);
    assert_int_equal(d->tenants.count, 2);
    assert_string_equal(d->tenants.items[0], "one");
    assert_string_equal(d->tenants.items[1], "two");
    assert_string_equal(d->tenant_label, "tenant");
}

static void
check_relabel(const struct destination_settings *d)
{
    assert_int_equal(d->relabel_count, 2);
    const struct relabel_spec *r = &d->relabel[0];
    assert_int_equal(r->action, RELABEL_REPLACE);
    assert_int_equal(r->source_label_count, 2);
    assert_true(bytes_equal_text(r->source_labels[0], "a"));
    assert_true(bytes_equal_text(r->source_labels[1], "__name__"));
    assert_true(bytes_equal_text(r->separator, "\n"));
    assert_true(bytes_equal_text(r->regex, "(.*)x"));
    assert_true(bytes_equal_text(r->target_label, "t"));
    assert_true(bytes_equal_text(r->replacement, ""));
    assert_non_null(r->replacement.at);
    r = &d->relabel[1];
    assert_int_equal(r->action, RELABEL_HASHMOD);
    assert_int_equal(r->modulus, 7);
    assert_null(r->separator.at);
    assert_null(r->regex.at);
    assert_null(r->replacement.at);
}

static void
check_http(const struct http_settings *http)
{
    assert_string_equal(http->tls.ca_file, "/ca");
    assert_string_equal(http->tls.cert_file, "/cert");
    assert_string_equal(http->tls.key_file, "/key");
    assert_string_equal(http->tls.server_name, "n");
    assert_string_equal(http->tls.min_version, "TLS12");
    assert_string_equal(http->tls.max_version, "TLS13");
    assert_true(http->tls.insecure_skip_verify);
    assert_string_equal(http->proxy_url, "http://proxy:3128");
    assert_string_equal(http->no_proxy, "a,b");
}

static void
check_aws(const struct aws_settings *aws, const struct aws_settings *files)
{
    assert_string_equal(aws->region, "eu-west-1");
    assert_string_equal(aws->access_key.text, "hush3");
    assert_string_equal(aws->secret_key.text, "hush4");
    assert_string_equal(aws->session_token.text, "hush5");
    assert_string_equal(aws->profile, "p");
    assert_string_equal(aws->role_arn, "arn");
    assert_string_equal(aws->external_id, "e");
    assert_null(aws->secret_key.file);
    assert_string_equal(files->access_key.file, "/ak");
    assert_string_equal(files->secret_key.file, "/sk");
    assert_string_equal(files->session_token.file, "/st");
    assert_null(files->secret_key.text);
}

UNIT_TEST(test_keys_of_all_types_and_of_s3_are_read)
{
    struct destinations list = read_list(s3_text, true);
    assert_int_equal(list.count, 2);
    const struct destination_settings *d = &list.items[0];
    check_common(d);
    check_relabel(d);
    check_http(&d->http);
    check_aws(&d->aws, &list.items[1].aws);
    assert_int_equal(d->http.headers.count, 2);
    assert_string_equal(d->http.headers.items[0].name, "X-One");
    assert_string_equal(d->http.headers.items[0].value.text, "hush1");
    assert_string_equal(d->http.headers.items[1].value.text, "${TWO} hush2");
    assert_int_equal(d->type, DESTINATION_S3);
    assert_string_equal(d->u.s3.bucket, "bucket");
    assert_string_equal(d->u.s3.prefix, "metrics/");
    assert_string_equal(d->u.s3.endpoint, "http://127.0.0.1:9000");
    assert_true(d->u.s3.path_style);
    assert_int_equal(d->u.s3.compression, COMPRESSION_GZIP);
    assert_int_equal(d->u.s3.roll_bytes, 1 << 30);
    assert_int_equal(d->u.s3.roll_age_ms, 3600000);
    assert_int_equal(d->u.s3.sse, S3_SSE_KMS);
    assert_string_equal(d->u.s3.kms_key_id, "key");
    assert_string_equal(d->u.s3.storage_class, "STANDARD_IA");
    assert_int_equal(list.items[1].line, 51);
    assert_int_equal(list.items[1].tenants.count, 1);
    assert_string_equal(list.items[1].tenants.items[0], "all");
    destinations_free(&list);
}

static const char aws_text[] = "destinations:\n"
                               "- name: k\n"
                               "  type: kinesis\n"
                               "  region: eu-west-1\n"
                               "  stream: s\n"
                               "  endpoint: https://h/\n"
                               "  format: kpl\n"
                               "- name: f\n"
                               "  type: firehose\n"
                               "  region: eu-west-1\n"
                               "  delivery_stream: s\n"
                               "  endpoint: https://h\n"
                               "  compression: gzip\n"
                               "- name: t\n"
                               "  type: timestream\n"
                               "  region: eu-west-1\n"
                               "  database: d\n"
                               "  table: t_${env}\n"
                               "  write_endpoint: https://h\n"
                               "  overwrite: true\n"
                               "  measure_name_colon: keep\n";

UNIT_TEST(test_keys_of_kinesis_firehose_and_timestream_are_read)
{
    struct destinations list = read_list(aws_text, false);
    assert_int_equal(list.count, 3);
    const struct destination_settings *d = list.items;
    assert_int_equal(d[0].type, DESTINATION_KINESIS);
    assert_string_equal(d[0].u.kinesis.stream, "s");
    assert_string_equal(d[0].u.kinesis.endpoint, "https://h/");
    assert_int_equal(d[0].u.kinesis.format, KINESIS_KPL);
    assert_int_equal(d[1].type, DESTINATION_FIREHOSE);
    assert_string_equal(d[1].u.firehose.delivery_stream, "s");
    assert_string_equal(d[1].u.firehose.endpoint, "https://h");
    assert_int_equal(d[1].u.firehose.compression, COMPRESSION_GZIP);
    assert_int_equal(d[2].type, DESTINATION_TIMESTREAM);
    assert_string_equal(d[2].u.timestream.database, "d");
    assert_string_equal(d[2].u.timestream.table, "t_${env}");
    assert_string_equal(d[2].u.timestream.write_endpoint, "https://h");
    assert_true(d[2].u.timestream.overwrite);
    assert_int_equal(d[2].u.timestream.measure_name_colon, TIMESTREAM_COLON_KEEP);
    destinations_free(&list);
}

static const char http_text[] = "destinations:\n"
                                "- name: o\n"
                                "  type: opentsdb\n"
                                "  url: http://h:4242\n"
                                "  max_tags: 16\n"
                                "  max_body: 64KiB\n"
                                "  basic_auth: {username: u, password: hush1}\n"
                                "- name: o2\n"
                                "  type: opentsdb\n"
                                "  url: http://h:4242\n"
                                "  authorization: {type: Token, credentials: hush2}\n"
                                "- name: i1\n"
                                "  type: influxdb\n"
                                "  url: http://h:8086\n"
                                "  version: 1\n"
                                "  database: d\n"
                                "  retention_policy: rp\n"
                                "  basic_auth: {username_file: /u, password_file: /p}\n"
                                "- name: i2\n"
                                "  type: influxdb\n"
                                "  url: http://h:8086\n"
                                "  version: 2\n"
                                "  org: o\n"
                                "  bucket: bbb\n"
                                "  token: hush3\n"
                                "- name: i3\n"
                                "  type: influxdb\n"
                                "  url: http://h:8086\n"
                                "  version: 3\n"
                                "  database: d\n"
                                "  token_file: /t\n"
                                "- name: c1\n"
                                "  type: clickhouse\n"
                                "  url: http://h:8123\n"
                                "  table: t\n"
                                "  basic_auth: {username: u, password_file: /p}\n"
                                "- name: c2\n"
                                "  type: clickhouse\n"
                                "  url: http://h:8123\n"
                                "  database: d\n"
                                "  table: t\n"
                                "  create: false\n"
                                "  cluster: c\n"
                                "  authorization: {credentials: hush4}\n"
                                "- name: f\n"
                                "  type: file\n"
                                "  path: /var/${tenant}/metrics\n"
                                "  format: openmetrics\n"
                                "  roll_bytes: 1KiB\n"
                                "  roll_age: 1s\n"
                                "  compression: zstd\n";

UNIT_TEST(test_keys_of_opentsdb_influxdb_clickhouse_and_file_are_read)
{
    struct destinations list = read_list(http_text, false);
    assert_int_equal(list.count, 8);
    const struct destination_settings *d = list.items;
    assert_int_equal(d[0].type, DESTINATION_OPENTSDB);
    assert_string_equal(d[0].u.opentsdb.url, "http://h:4242");
    assert_int_equal(d[0].u.opentsdb.max_tags, 16);
    assert_int_equal(d[0].u.opentsdb.max_body, 65536);
    assert_string_equal(d[0].u.opentsdb.basic_auth.username, "u");
    assert_string_equal(d[0].u.opentsdb.basic_auth.password.text, "hush1");
    assert_string_equal(d[1].u.opentsdb.authorization.type, "Token");
    assert_string_equal(d[1].u.opentsdb.authorization.credentials.text, "hush2");
    assert_int_equal(d[2].type, DESTINATION_INFLUXDB);
    assert_string_equal(d[2].u.influxdb.url, "http://h:8086");
    assert_int_equal(d[2].u.influxdb.version, INFLUXDB_1);
    assert_string_equal(d[2].u.influxdb.database, "d");
    assert_string_equal(d[2].u.influxdb.retention_policy, "rp");
    assert_string_equal(d[2].u.influxdb.basic_auth.username_file, "/u");
    assert_string_equal(d[2].u.influxdb.basic_auth.password.file, "/p");
    assert_int_equal(d[3].u.influxdb.version, INFLUXDB_2);
    assert_string_equal(d[3].u.influxdb.org, "o");
    assert_string_equal(d[3].u.influxdb.bucket, "bbb");
    assert_string_equal(d[3].u.influxdb.token.text, "hush3");
    assert_int_equal(d[4].u.influxdb.version, INFLUXDB_3);
    assert_string_equal(d[4].u.influxdb.token.file, "/t");
    assert_int_equal(d[5].type, DESTINATION_CLICKHOUSE);
    assert_string_equal(d[5].u.clickhouse.url, "http://h:8123");
    assert_string_equal(d[5].u.clickhouse.database, "default");
    assert_string_equal(d[5].u.clickhouse.table, "t");
    assert_true(d[5].u.clickhouse.create);
    assert_null(d[5].u.clickhouse.cluster);
    assert_string_equal(d[5].u.clickhouse.basic_auth.username, "u");
    assert_string_equal(d[5].u.clickhouse.basic_auth.password.file, "/p");
    assert_string_equal(d[6].u.clickhouse.database, "d");
    assert_false(d[6].u.clickhouse.create);
    assert_string_equal(d[6].u.clickhouse.cluster, "c");
    assert_string_equal(d[6].u.clickhouse.authorization.credentials.text, "hush4");
    assert_int_equal(d[7].type, DESTINATION_FILE);
    assert_string_equal(d[7].u.file.path, "/var/${tenant}/metrics");
    assert_int_equal(d[7].u.file.format, FILE_OPENMETRICS);
    assert_int_equal(d[7].u.file.roll_bytes, 1024);
    assert_int_equal(d[7].u.file.roll_age_ms, 1000);
    assert_int_equal(d[7].u.file.compression, COMPRESSION_ZSTD);
    destinations_free(&list);
}

static const char remote_write_text[] =
    "destinations:\n"
    "- name: a\n"
    "  tenants: all\n"
    "  url: https://h/api/v1/write?x=1\n"
    "  type: remote_write\n"
    "  protobuf_message: io.prometheus.write.v2.Request\n"
    "  isolate: false\n"
    "  tenant_header: X-Scope-OrgID\n"
    "  oauth2:\n"
    "    client_id: c\n"
    "    client_secret: hush1\n"
    "    token_url: https://issuer/token\n"
    "    scopes: [one, two]\n"
    "    endpoint_params: {audience: hush2}\n"
    "    tls_config: {ca_file: /ca, cert_file: /cert, key_file: /key, server_name: n,\n"
    "      min_version: TLS12, max_version: TLS13, insecure_skip_verify: true}\n"
    "    proxy_url: http://proxy:3128\n"
    "    no_proxy: a,b\n"
    "- name: b\n"
    "  tenants: [one]\n"
    "  type: remote_write\n"
    "  url: http://h\n"
    "  sigv4: {region: eu-west-1, access_key: hush3, secret_key: hush4, session_token: hush5,\n"
    "    profile: p, role_arn: arn, external_id: e, service_name: s}\n"
    "- name: c\n"
    "  tenants: [one]\n"
    "  type: remote_write\n"
    "  url: http://h\n"
    "  sigv4: {access_key_file: /ak, secret_key_file: /sk, session_token_file: /st}\n"
    "- name: d\n"
    "  tenants: [one]\n"
    "  type: remote_write\n"
    "  url: http://h\n"
    "  authorization: {credentials_file: /c}\n"
    "- name: e\n"
    "  tenants: [one]\n"
    "  type: remote_write\n"
    "  url: http://h\n"
    "  basic_auth: {username: u}\n"
    "- name: f\n"
    "  tenants: [one]\n"
    "  type: remote_write\n"
    "  url: http://h\n"
    "  oauth2: {client_id: c, client_secret_file: /c, token_url: 'http://h'}\n"
    "- name: g\n"
    "  tenants: [one]\n"
    "  type: remote_write\n"
    "  url: http://h\n"
    "  sigv4: {}\n";

UNIT_TEST(test_keys_of_remote_write_are_read)
{
    struct destinations list = read_list(remote_write_text, true);
    assert_int_equal(list.count, 7);
    const struct destination_settings *d = list.items;
    const struct remote_write_settings *r = &d[0].u.remote_write;
    assert_int_equal(d[0].type, DESTINATION_REMOTE_WRITE);
    assert_string_equal(d[0].tenant_header, "X-Scope-OrgID");
    assert_string_equal(r->url, "https://h/api/v1/write?x=1");
    assert_int_equal(r->protobuf_message, REMOTE_WRITE_V2);
    assert_false(r->isolate);
    assert_string_equal(r->oauth2.client_id, "c");
    assert_string_equal(r->oauth2.client_secret.text, "hush1");
    assert_string_equal(r->oauth2.token_url, "https://issuer/token");
    assert_int_equal(r->oauth2.scopes.count, 2);
    assert_string_equal(r->oauth2.scopes.items[1], "two");
    assert_int_equal(r->oauth2.endpoint_params.count, 1);
    assert_string_equal(r->oauth2.endpoint_params.items[0].name, "audience");
    assert_string_equal(r->oauth2.endpoint_params.items[0].value.text, "hush2");
    check_http(&r->oauth2.http);
    assert_false(r->sigv4.given);
    r = &d[1].u.remote_write;
    assert_int_equal(r->protobuf_message, REMOTE_WRITE_AUTO);
    assert_true(r->isolate);
    assert_true(r->sigv4.given);
    assert_string_equal(r->sigv4.service, "s");
    check_aws(&r->sigv4.aws, &d[2].u.remote_write.sigv4.aws);
    assert_string_equal(d[2].u.remote_write.sigv4.service, "aps");
    assert_string_equal(d[3].u.remote_write.authorization.type, "Bearer");
    assert_string_equal(d[3].u.remote_write.authorization.credentials.file, "/c");
    assert_string_equal(d[4].u.remote_write.basic_auth.username, "u");
    assert_false(secret_given(&d[4].u.remote_write.basic_auth.password));
    assert_string_equal(d[5].u.remote_write.oauth2.client_secret.file, "/c");
    assert_true(d[6].u.remote_write.sigv4.given);
    destinations_free(&list);
}

static const struct list_text whole[] = {
    {s3_text, true}, {aws_text, false}, {http_text, false}, {remote_write_text, true}};

UNIT_TEST(test_tables_are_well_formed_and_all_their_keys_are_tested)
{
    check_rows(&destination_schema, DESTINATION_TYPE_COUNT, whole, sizeof whole / sizeof *whole);
    for (unsigned t = 0; t < DESTINATION_TYPE_COUNT; t++) {
        /* The words and the enum have the same order. */
        const struct schema_key *key = schema_find(&destination_schema, bytes_of_text("type"), t);
        struct setting shape = schema_number(key);
        char word[48];
        setting_number_text(&shape, t, word, sizeof word);
        assert_string_equal(word, destination_type_word((enum destination_type)t));
    }
}

UNIT_TEST(test_defaults_are_those_that_are_promised)
{
    struct destinations list = read_list(S3_6 "- {name: k, type: kinesis, region: r, stream: s}\n"
                                              "- {name: f, type: file, path: /x}\n"
                                              "- {name: o, type: opentsdb, url: 'http://h'}\n",
                                         false);
    const struct destination_settings *d = list.items;
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(d[i].select.count, 0);
        assert_int_equal(d[i].relabel_count, 0);
        assert_int_equal(d[i].external_labels.count, 0);
        assert_int_equal(d[i].start, START_NOW);
        assert_int_equal(d[i].batch.max_samples, 0);
        assert_int_equal(d[i].batch.max_bytes, 0);
        assert_int_equal(d[i].batch.max_age_ms, 5000);
        assert_int_equal(d[i].concurrency, 0);
        assert_int_equal(d[i].timeout_ms, 30000);
        assert_int_equal(d[i].retry.min_backoff_ms, 100);
        assert_int_equal(d[i].retry.max_backoff_ms, 10000);
        assert_int_equal(d[i].retry.give_up_after_ms, 0);
        assert_int_equal(d[i].dead_letters_max_bytes, 1 << 30);
        assert_int_equal(d[i].dead_letters_max_age_ms, 0);
        assert_int_equal(d[i].log_budget_bytes, 1 << 30);
        assert_int_equal(d[i].on_full, ON_FULL_BLOCK);
        assert_int_equal(d[i].unrepresentable, UNREPRESENTABLE_DEAD_LETTER);
        assert_int_equal(d[i].max_rate_samples, 0);
        assert_int_equal(d[i].max_rate_bytes, 0);
        assert_int_equal(d[i].fill_rate_samples, 0);
        assert_false(d[i].paused);
        assert_false(d[i].dry_run);
        assert_int_equal(d[i].tenants.count, 0);
        assert_null(d[i].tenant_label);
        assert_null(d[i].tenant_header);
        assert_null(d[i].http.proxy_url);
        assert_false(d[i].http.tls.insecure_skip_verify);
        assert_false(secret_given(&d[i].aws.access_key));
    }
    assert_int_equal(d[0].u.s3.compression, COMPRESSION_ZSTD);
    assert_int_equal(d[0].u.s3.roll_bytes, 64 << 20);
    assert_int_equal(d[0].u.s3.roll_age_ms, 300000);
    assert_int_equal(d[0].u.s3.sse, S3_SSE_NONE);
    assert_false(d[0].u.s3.path_style);
    assert_null(d[0].u.s3.prefix);
    assert_int_equal(d[1].u.kinesis.format, KINESIS_PACKED);
    assert_int_equal(d[2].u.file.format, FILE_NDJSON);
    assert_int_equal(d[2].u.file.compression, COMPRESSION_NONE);
    assert_int_equal(d[2].u.file.roll_bytes, 64 << 20);
    assert_int_equal(d[2].u.file.roll_age_ms, 3600000);
    assert_int_equal(d[3].u.opentsdb.max_tags, 8);
    assert_int_equal(d[3].u.opentsdb.max_body, 8000);
    destinations_free(&list);
}

static void
check_start(const char *text, enum destination_start start, int64_t ms)
{
    char yaml[200];
    snprintf(yaml, sizeof yaml, FILE_5 "  start: %s\n", text);
    struct destinations list = read_list(yaml, false);
    assert_int_equal(list.items[0].start, start);
    assert_true(list.items[0].start_ms == ms);
    destinations_free(&list);
}

UNIT_TEST(test_start_is_a_word_or_a_time)
{
    check_start("now", START_NOW, 0);
    check_start("beginning", START_BEGINNING, 0);
    check_start("1709208000", START_TIME, 1709208000000);
    check_start("1709208000.5", START_TIME, 1709208000500);
    check_start("'2024-02-29T12:00:00Z'", START_TIME, 1709208000000);
    check_start("2024-02-29", START_TIME, 1709164800000);
    check_start("0", START_TIME, 0);
    check_start("9999-12-31T23:59:59.999Z", START_TIME, 253402300799999);
}

UNIT_TEST(test_a_text_without_destinations_has_none)
{
    static const char *const texts[] = {
        "",    "log: {level: info}\n",     "destinations: []\n",
        "5\n", "[a, {destinations: 5}]\n", "a: {destinations: 5}\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct destinations list = read_list(texts[i], false);
        assert_int_equal(list.count, 0);
        assert_null(list.arena);
        char *text = printed(&list);
        assert_string_equal(text, "destinations: []\n");
        free(text);
    }
}

/* --- errors and limits ------------------------------------------------------------------------ */

#define TYPES \
    "one of clickhouse, file, firehose, influxdb, kinesis, opentsdb, remote_write, s3, timestream"

UNIT_TEST(test_an_invalid_list_of_destinations_is_refused)
{
    check_error("destinations: 5\n", "f.yml:1:15: destinations: expected a list, got '5'");
    check_error("destinations: ~\n", "f.yml:1:15: destinations: expected a list, got nothing");
    check_error("destinations: {a: b}\n",
                "f.yml:1:15: destinations: expected a list, got a mapping");
    check_error("destinations: [5]\n",
                "f.yml:1:16: expected a destination with keys such as 'name:', got '5'");
    check_error("destinations: [[5]]\n",
                "f.yml:1:16: expected a destination with keys such as 'name:', got a list");
    check_error("destinations: [{[a]: b}]\n", "f.yml:1:17: expected a key, got a list");
    check_error("destinations:\n- name: a\n", "f.yml:2:3: a destination requires 'type', " TYPES);
    check_error("destinations: [{type: s4}]\n",
                "f.yml:1:23: type: expected " TYPES ", got 's4'; did you mean 's3'?");
    check_error("destinations: [{type: [s3]}]\n",
                "f.yml:1:23: type: expected " TYPES ", got a list");
    check_error("destinations: []\nlog: {}\ndestinations: []\n",
                "f.yml:3:1: duplicate key 'destinations', first given on line 1");
    check_error("destinations: [&a {type: s3}]\n",
                "f.yml:1:16: anchors (&name) are not supported here");
    check_error("destinations: [}\n",
                "f.yml:1:16: while parsing a flow node did not find expected node content");
    check_error("destinations:\n- {name: a, type: file, path: /a}\n---\n",
                "f.yml:3:1: a second document begins here; only one is allowed");
}

UNIT_TEST(test_one_byte_over_the_limit_is_refused)
{
    char *text = malloc(CONFIG_BYTES_MAX + 1);
    assert_non_null(text);
    memset(text, '\n', CONFIG_BYTES_MAX + 1);
    struct settings s = settings_with_tenancy(false);
    struct destinations list;
    struct why why = {""};
    assert_int_equal(destinations_yaml("f.yml", bytes_of(text, CONFIG_BYTES_MAX), &s, &list, &why),
                     OK);
    assert_int_equal(
        destinations_yaml("f.yml", bytes_of(text, CONFIG_BYTES_MAX + 1), &s, &list, &why),
        ERR_LIMIT);
    assert_string_equal(why.text, "f.yml: must be at most 1024 KiB");
    free(text);
}

/* They are refused long before their end, except one long word: nesting and length cost neither
 * stack nor time. */
UNIT_TEST(test_hostile_texts_are_refused_where_they_begin)
{
    static const struct {
        const char *fill, *place;
    } cases[] = {
        {"[", "f.yml:2:1026:"},    {"{", "f.yml:2:1026:"},    {"- ", "f.yml:2:3:"},
        {"? ", "f.yml:1:14:"},     {"a: ", "f.yml:1:14:"},    {"- {type: s3}\n", "f.yml:66:3:"},
        {"{a: ", "f.yml:2:1026:"}, {"[a,", "f.yml:2:1026:"},  {"- - \n", "f.yml:2:3:"},
        {"-\n", "f.yml:2:2:"},     {"'", "f.yml:2:1048563:"}, {"a", "f.yml:2:1048563:"},
    };
    char *text = malloc(CONFIG_BYTES_MAX);
    assert_non_null(text);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        size_t head = (size_t)sprintf(text, "destinations:\n"), size = strlen(cases[c].fill);
        for (size_t i = head; i < CONFIG_BYTES_MAX; i++)
            text[i] = cases[c].fill[(i - head) % size];
        struct settings s = settings_with_tenancy(false);
        struct destinations list;
        struct why why = {""};
        assert_int_equal(
            destinations_yaml("f.yml", bytes_of(text, CONFIG_BYTES_MAX), &s, &list, &why),
            ERR_INPUT);
        assert_memory_equal(why.text, cases[c].place, strlen(cases[c].place));
    }
    free(text);
}

UNIT_TEST(test_each_refused_allocation_is_reported)
{
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        struct settings s = settings_with_tenancy(whole[i].tenancy);
        unsigned nth = 1;
        for (;; nth++) {
            struct destinations list = {.count = 7};
            struct why why = {""};
            mem_fail_nth(nth, false);
            enum err e = destinations_yaml("f.yml", bytes_of_text(whole[i].text), &s, &list, &why);
            bool fired = mem_fail_fired();
            mem_fail_nth(0, false);
            if (!fired) {
                assert_int_equal(e, OK);
                destinations_free(&list);
                break;
            }
            assert_int_equal(e, ERR_NOMEM);
            assert_string_not_equal(why.text, "");
            assert_int_equal(list.count, 7);
        }
        assert_true(nth > 2);
    }
}

/* --- printing, comparing ---------------------------------------------------------------------- */

UNIT_TEST(test_printed_settings_read_back_equal_except_for_secrets)
{
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        struct destinations list = read_list(whole[i].text, whole[i].tenancy);
        char *first = printed(&list);
        struct destinations again = read_list(first, whole[i].tenancy);
        char *second = printed(&again);
        assert_string_equal(first, second);
        assert_null(strstr(first, "hush"));
        assert_int_equal(list.count, again.count);
        /* Entries without a secret are equal, the others are not. */
        for (uint32_t j = 0; j < list.count; j++) {
            char mark[100];
            snprintf(mark, sizeof mark, "- name: \"%s\"\n", list.items[j].name);
            const char *from = strstr(first, mark);
            assert_non_null(from);
            const char *to = strstr(from + 1, "- name: ");
            const char *secret = strstr(from, "<secret>");
            bool hidden = secret != NULL && (to == NULL || secret < to);
            assert_int_equal(destination_settings_equal(&list.items[j], &again.items[j]), !hidden);
            assert_true(destination_place_hash(&list.items[j]) ==
                        destination_place_hash(&again.items[j]));
        }
        free(first);
        free(second);
        destinations_free(&list);
        destinations_free(&again);
    }
}

UNIT_TEST(test_defaults_are_printed_too)
{
    struct destinations list =
        read_list(S3_6 "  relabel: [{action: drop, source_labels: [a]}]\n"
                       "  secret_key: hush\n"
                       "  access_key_file: /a\n"
                       "- {name: \"b\", type: remote_write, url: 'http://h', sigv4: {}}\n",
                  false);
    char *text = printed(&list);
    assert_string_equal(text, "destinations:\n"
                              "    - name: \"a\"\n"
                              "      type: s3\n"
                              "      relabel:\n"
                              "          - source_labels:\n"
                              "                - \"a\"\n"
                              "            action: drop\n"
                              "      start: now\n"
                              "      batch:\n"
                              "          max_samples: 0\n"
                              "          max_bytes: 0\n"
                              "          max_age: 5s\n"
                              "      concurrency: 0\n"
                              "      timeout: 30s\n"
                              "      retry:\n"
                              "          min_backoff: 100ms\n"
                              "          max_backoff: 10s\n"
                              "          give_up_after: never\n"
                              "      dead_letters:\n"
                              "          max_bytes: 1GiB\n"
                              "          max_age: 0s\n"
                              "      log_budget: 1GiB\n"
                              "      on_full: block\n"
                              "      unrepresentable: dead_letter\n"
                              "      max_rate:\n"
                              "          samples: 0\n"
                              "          bytes: 0\n"
                              "      fill_rate: 0\n"
                              "      paused: false\n"
                              "      dry_run: false\n"
                              "      region: \"r\"\n"
                              "      access_key_file: \"/a\"\n"
                              "      secret_key: <secret>\n"
                              "      bucket: \"bbb\"\n"
                              "      path_style: false\n"
                              "      compression: zstd\n"
                              "      roll_bytes: 64MiB\n"
                              "      roll_age: 5m\n"
                              "      sse: none\n"
                              "    - name: \"b\"\n"
                              "      type: remote_write\n"
                              "      start: now\n"
                              "      batch:\n"
                              "          max_samples: 0\n"
                              "          max_bytes: 0\n"
                              "          max_age: 5s\n"
                              "      concurrency: 0\n"
                              "      timeout: 30s\n"
                              "      retry:\n"
                              "          min_backoff: 100ms\n"
                              "          max_backoff: 10s\n"
                              "          give_up_after: never\n"
                              "      dead_letters:\n"
                              "          max_bytes: 1GiB\n"
                              "          max_age: 0s\n"
                              "      log_budget: 1GiB\n"
                              "      on_full: block\n"
                              "      unrepresentable: dead_letter\n"
                              "      max_rate:\n"
                              "          samples: 0\n"
                              "          bytes: 0\n"
                              "      fill_rate: 0\n"
                              "      paused: false\n"
                              "      dry_run: false\n"
                              "      url: \"http://h\"\n"
                              "      protobuf_message: auto\n"
                              "      isolate: true\n"
                              "      sigv4:\n"
                              "          service_name: \"aps\"\n");
    free(text);
    destinations_free(&list);
}

UNIT_TEST(test_destinations_with_equal_settings_are_equal_at_any_line)
{
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        struct destinations a = read_list(whole[i].text, whole[i].tenancy);
        char *moved = repeated("# moved\n", whole[i].text, 1, "");
        struct destinations b = read_list(moved, whole[i].tenancy);
        for (uint32_t j = 0; j < a.count; j++) {
            assert_true(destination_settings_equal(&a.items[j], &b.items[j]));
            assert_int_equal(a.items[j].line + 1, b.items[j].line);
            for (uint32_t k = 0; k < j; k++)
                assert_false(destination_settings_equal(&a.items[j], &a.items[k]));
        }
        free(moved);
        destinations_free(&a);
        destinations_free(&b);
    }
}

/* Checks that a change of one value in a text makes the destination another one. */
static void
check_change(const char *text, bool tenancy, const char *from, const char *to)
{
    char changed[4096];
    const char *at = strstr(text, from);
    if (at == NULL) fail_msg("%s is not there", from);
    snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    struct destinations a = read_list(text, tenancy), b = read_list(changed, tenancy);
    assert_int_equal(a.count, b.count);
    unsigned differ = 0;
    for (uint32_t i = 0; i < a.count; i++)
        differ += !destination_settings_equal(&a.items[i], &b.items[i]);
    if (differ != 1) fail_msg("%s to %s changes %u", from, to, differ);
    destinations_free(&a);
    destinations_free(&b);
}

UNIT_TEST(test_each_difference_counts)
{
    static const char *const s3[][2] = {
        {"cold.store", "cold-store"},
        {"'up'", "'down'"},
        {"'up', ", ""},
        {"[a, __name__]", "[b, __name__]"},
        {"    separator: \"\\n\"\n", ""},
        {"'(.*)x'", "'(.*)y'"},
        {"    replacement: ''\n", ""},
        {"modulus: 7", "modulus: 8"},
        {"hashmod", "drop"},
        {"dc: one", "dc: two"},
        {"dc: one", "db: one"},
        {"12:00:00.25", "12:00:00.26"},
        {"start: 2024-02-29T12:00:00.25+01:00", "start: now"},
        {"max_age: 1s", "max_age: 2s"},
        {"give_up_after: 1d", "give_up_after: never"},
        {"max_age: 1w", "max_age: 2w"},
        {"paused: true", "paused: false"},
        {"[one, two]", "[one, too]"},
        {"  tenant_label: tenant\n", "  tenant_label: other\n"},
        {"TLS12", "TLS11"},
        {"proxy:3128", "proxy:3129"},
        {"http://proxy:3128", "http://u:hush@proxy:3128"},
        {"hush1", "hush"},
        {"X-One", "X-Three"},
        {"hush4", "hush"},
        {"/sk", "/ks"},
        {"secret_key_file: /sk", "secret_key: /sk"},
        {"metrics/", "metrics"},
        {"compression: gzip", "compression: zstd"},
    };
    for (size_t i = 0; i < sizeof s3 / sizeof *s3; i++)
        check_change(s3_text, true, s3[i][0], s3[i][1]);
    check_change(remote_write_text, true, "url: http://h\n  sigv4: {}\n", "url: http://h\n");
    check_change(remote_write_text, true, "hush2", "hush");
    check_change(remote_write_text, true, "[one, two]", "[one]");
    check_change(remote_write_text, true, "service_name: s", "service_name: t");
    check_change(http_text, false, "version: 3", "version: 1");
    check_change(http_text, false, "type: opentsdb", "type: opentsdb\n  dry_run: true");
}

static uint64_t
place_of(const char *text)
{
    struct destinations list = read_list(text, false);
    uint64_t place = destination_place_hash(&list.items[0]);
    destinations_free(&list);
    return place;
}

UNIT_TEST(test_the_place_is_of_type_and_address_alone)
{
    static const char *const others[] = {
        FILE_5,
        "destinations:\n- {name: a, type: file, path: /y}\n",
        S3_6,
        S3_6 "  prefix: p/\n",
        S3_6 "  endpoint: http://h\n",
        "destinations:\n- {name: a, type: s3, region: q, bucket: bbb}\n",
        "destinations:\n- {name: a, type: s3, region: r, bucket: ccc}\n",
        INFLUXDB_5 "  version: 1\n  database: c\n",
        INFLUXDB_5 "  version: 1\n  database: d\n",
        CLICKHOUSE_6,
        "destinations:\n- {name: a, type: clickhouse, url: 'http://h', table: u}\n",
        CLICKHOUSE_6 "  database: d\n",
        OPENTSDB_5,
        REMOTE_WRITE_5,
        "destinations:\n- {name: a, type: remote_write, url: 'http://i'}\n",
        TIMESTREAM_7,
        "destinations:\n- {name: a, type: timestream, region: r, database: d, table: u}\n",
        "destinations:\n- {name: a, type: kinesis, region: r, stream: s}\n",
        "destinations:\n- {name: a, type: kinesis, region: r, stream: t}\n",
        "destinations:\n- {name: a, type: firehose, region: r, delivery_stream: s}\n",
    };
    size_t count = sizeof others / sizeof *others;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < i; k++)
            assert_true(place_of(others[i]) != place_of(others[k]));
    assert_true(place_of(FILE_5) == place_of("destinations:\n- {name: b, type: file, path: /x, "
                                             "paused: true, format: csv, start: beginning}\n"));
}

UNIT_TEST(test_example_file_shows_a_destination_of_each_type)
{
    char *text = example_list("destinations");
    struct destinations list = read_list(text, false);
    uint32_t types = 0;
    for (uint32_t i = 0; i < list.count; i++)
        types |= 1u << list.items[i].type;
    assert_int_equal(types, (1u << DESTINATION_TYPE_COUNT) - 1);
    destinations_free(&list);
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example_file_shows_a_destination_of_each_type),
        cmocka_unit_test(test_keys_of_all_types_and_of_s3_are_read),
        cmocka_unit_test(test_keys_of_kinesis_firehose_and_timestream_are_read),
        cmocka_unit_test(test_keys_of_opentsdb_influxdb_clickhouse_and_file_are_read),
        cmocka_unit_test(test_keys_of_remote_write_are_read),
        cmocka_unit_test(test_tables_are_well_formed_and_all_their_keys_are_tested),
        cmocka_unit_test(test_defaults_are_those_that_are_promised),
        cmocka_unit_test(test_start_is_a_word_or_a_time),
        cmocka_unit_test(test_a_text_without_destinations_has_none),
        cmocka_unit_test(test_an_invalid_list_of_destinations_is_refused),
        cmocka_unit_test(test_one_byte_over_the_limit_is_refused),
        cmocka_unit_test(test_hostile_texts_are_refused_where_they_begin),
        cmocka_unit_test(test_each_refused_allocation_is_reported),
        cmocka_unit_test(test_printed_settings_read_back_equal_except_for_secrets),
        cmocka_unit_test(test_defaults_are_printed_too),
        cmocka_unit_test(test_destinations_with_equal_settings_are_equal_at_any_line),
        cmocka_unit_test(test_each_difference_counts),
        cmocka_unit_test(test_the_place_is_of_type_and_address_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
