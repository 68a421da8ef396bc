/*
 * sources_test.c - lists of sources: keys, errors, secrets, comparisons, and settings taken from
 * destinations.
 */
#include "lib/test.h"

#include "lib/config/config_sources.h"

/* Returns the list as YAML; the caller frees it. */
static char *
printed(const struct sources *list)
{
    struct buf to;
    buf_init(&to, NULL, 1 << 20);
    sources_print_yaml(list, &to);
    buf_put_u8(&to, 0);
    assert_int_equal(buf_error(&to), OK);
    char *text = strdup((const char *)to.at);
    assert_non_null(text);
    buf_fini(&to);
    return text;
}

/* --- every key -------------------------------------------------------------------------------- */

/* These texts have every key, keys that exclude others in further entries; secrets are hushN. */
static const char remote_read_text[] =
    "sources:\n"
    "- name: old.store-1_A\n"
    "  type: remote_read\n"
    "  select: ['up', '{job=~\"a|b\"}']\n"
    "  tenants: [one, two]\n"
    "  external_labels: {dc: one, \"r\\u00e9gion\": \"a\\nb\"}\n"
    "  time: {from: 2020-02-29T12:00:00.25+01:00, to: 30d}\n"
    "  on_error: warn\n"
    "  timeout: 5s\n"
    "  max_concurrent: 3\n"
    "  max_rate: {requests: 10}\n"
    "  max_samples: 10M\n"
    "  max_bytes: 1GiB\n"
    "  tls_config: {ca_file: /ca, cert_file: /cert, key_file: /key, server_name: n,\n"
    "    min_version: TLS12, max_version: TLS13, insecure_skip_verify: true}\n"
    "  proxy_url: http://proxy:3128\n"
    "  no_proxy: a,b\n"
    "  headers: {X-One: hush1, X-Two: '${TWO} hush2'}\n"
    "  url: https://h/api/v1/read?x=1\n"
    "  protobuf: samples\n"
    "  labels_url: https://h/prometheus\n"
    "  tenant_header: X-Scope-OrgID\n"
    "  oauth2:\n"
    "    client_id: c\n"
    "    client_secret: hush3\n"
    "    token_url: https://issuer/token\n"
    "    scopes: [one, two]\n"
    "    endpoint_params: {audience: hush4}\n"
    "    tls_config: {ca_file: /ca2}\n"
    "- name: b\n"
    "  tenants: [one]\n"
    "  type: remote_read\n"
    "  time: older_than_local\n"
    "  url: http://h\n"
    "  protobuf: streamed\n"
    "  sigv4: {region: eu-west-1, access_key: hush5, secret_key: hush6, session_token: hush7,\n"
    "    profile: p, role_arn: arn, external_id: e, service_name: s}\n"
    "- name: c\n"
    "  tenants: [one]\n"
    "  type: remote_read\n"
    "  time: {to: 2021-01-01}\n"
    "  url: http://h\n"
    "  sigv4: {access_key_file: /ak, secret_key_file: /sk, session_token_file: /st}\n"
    "- {name: d, tenants: [one], type: remote_read, url: 'http://h', time: {from: 1h30m},\n"
    "   authorization: {type: Token, credentials: hush8}}\n"
    "- {name: e, tenants: [one], type: remote_read, url: 'http://h', time: all,\n"
    "   authorization: {credentials_file: /c}}\n"
    "- {name: f, tenants: [one], type: remote_read, url: 'http://h',\n"
    "   basic_auth: {username: u, password: hush9}}\n"
    "- {name: g, tenants: [one], type: remote_read, url: 'http://h',\n"
    "   basic_auth: {username_file: /u, password_file: /p}}\n"
    "- name: h\n"
    "  tenants: all\n"
    "  tenant_header: T\n"
    "  type: remote_read\n"
    "  url: http://h\n"
    "  oauth2: {client_id: c, client_secret_file: /c, token_url: 'http://h'}\n"
    "- {name: i, tenants: [one], type: remote_read, url: 'http://h', sigv4: {}}\n";

static const char influxdb_text[] =
    "sources:\n"
    "- {name: one, tenants: [one], type: influxdb, url: 'http://h:8086', version: 1, database: d,\n"
    "   retention_policy: rp, mapping: telegraf, basic_auth: {username: u, password: hush1}}\n"
    "- {name: two, tenants: [one], type: influxdb, url: 'http://h:8086', version: 2,\n"
    "   bucket: bbb, token: hush2}\n"
    "- {name: three, tenants: [one], type: influxdb, url: 'http://h:8181', version: 3,\n"
    "   database: d, token_file: /t, mapping: prometheus}\n";

static const char opentsdb_text[] =
    "sources:\n"
    "- {name: one, type: opentsdb, url: 'http://h:4242', expansion_limit: 100,\n"
    "   escaping: prometheus, basic_auth: {username: u, password: hush1}}\n"
    "- {name: two, type: opentsdb, url: 'http://h:4242/?sync', escaping: auto,\n"
    "   cache: {path: /c, max_bytes: 1MiB, max_age: 1h}}\n";

static const char archive_text[] = "sources:\n"
                                   "- name: a\n"
                                   "  type: archive\n"
                                   "  region: eu-west-1\n"
                                   "  bucket: bbb-1\n"
                                   "  endpoint: https://h\n"
                                   "  path_style: true\n"
                                   "  prefix: p/\n"
                                   "  layout: flat\n"
                                   "  late: 1d\n"
                                   "  cache: {path: /c, max_bytes: 1GiB}\n"
                                   "  access_key: hush1\n"
                                   "  secret_key: hush2\n"
                                   "  session_token: hush3\n"
                                   "  profile: p\n"
                                   "  role_arn: arn\n"
                                   "  external_id: e\n"
                                   "- name: b\n"
                                   "  type: archive\n"
                                   "  bucket: bbb-1\n"
                                   "  access_key_file: /ak\n"
                                   "  secret_key_file: /sk\n"
                                   "  session_token_file: /st\n"
                                   "- {name: c, type: archive, path: /p}\n";

static const char bucket_text[] =
    "sources:\n"
    "- {name: one, type: bucket, region: eu-west-1, bucket: bbb-1, endpoint: 'https://h',\n"
    "   path_style: true, prefix: p/, access_key: hush1, secret_key: hush2, session_token: hush3,\n"
    "   profile: p, role_arn: arn, external_id: e, recent_from: ['http://a:9201', 'http://b'],\n"
    "   cache: {path: /c, bytes: 1GiB}, basic_auth: {username: u, password: hush4}}\n"
    "- {name: two, type: bucket, bucket: bbb-1, access_key_file: /ak, secret_key_file: /sk,\n"
    "   session_token_file: /st}\n"
    "- {name: three, type: bucket, path: /p}\n";

static const char clickhouse_text[] =
    "sources:\n"
    "- {name: one, type: clickhouse, url: 'http://h:8123', database: d, table: t,\n"
    "   basic_auth: {username: u, password: hush1},\n"
    "   columns: {metric: name, labels: tags, time: at, value: v, bits: b, histogram: h,\n"
    "             start_time: s}}\n"
    "- {name: two, type: clickhouse, url: 'http://h:8123', table: t,\n"
    "   cache: {path: /c, max_bytes: 1MiB, max_age: 1h}}\n";

static const char timestream_text[] =
    "sources:\n"
    "- {name: one, type: timestream, region: eu-west-1, database: d, table: t, schema: connector,\n"
    "   query_endpoint: 'https://h', access_key: hush1, secret_key: hush2, session_token: hush3,\n"
    "   profile: p, role_arn: arn, external_id: e}\n"
    "- {name: two, type: timestream, database: d, table: t, access_key_file: /ak,\n"
    "   secret_key_file: /sk, session_token_file: /st}\n";

/* Destinations, and sources that use their settings. */
#define SHARED                                                                                   \
    "destinations:\n"                                                                            \
    "- {name: ch, type: clickhouse, url: 'http://h:8123', table: t, timeout: 3s,\n"              \
    "   headers: {X-One: hush1}, basic_auth: {username: u, password: hush2}}\n"                  \
    "- {name: in, type: influxdb, url: 'http://h:8086', version: 2, org: o, bucket: bbb,\n"      \
    "   token: hush3, proxy_url: 'http://p', no_proxy: q}\n"                                     \
    "- {name: s, type: s3, bucket: bbb, region: r}\n"                                            \
    "- {name: ct, type: influxdb, url: 'http://h', version: 2, org: o, bucket: bbb, token: t,\n" \
    "   headers: {Accept-Encoding: x}}\n"                                                        \
    "sources:\n"
static const char used_text[] =
    SHARED "- use: ch\n"
           "- {use: in, name: other, token_file: /t, mapping: "
           "telegraf, proxy_url: 'http://own'}\n"
           "- {use: ch, type: clickhouse, name: third, basic_auth: {username: w}}\n"
           "- {use: in, name: fourth}\n";

static const struct list_text whole[] = {{remote_read_text, true}, {influxdb_text, true},
                                         {archive_text, false},    {clickhouse_text, false},
                                         {opentsdb_text, false},   {timestream_text, false},
                                         {bucket_text, false},     {used_text, false}};

UNIT_TEST(test_a_source_takes_from_the_destination_that_it_uses_what_it_lacks)
{
    struct sources list = read_sources(used_text, false);
    const struct source_settings *s = list.items;
    assert_int_equal(list.count, 4);
    assert_string_equal(s[0].name, "ch");
    assert_int_equal(s[0].type, SOURCE_CLICKHOUSE);
    assert_int_equal(s[0].line, 10);
    assert_string_equal(s[0].u.clickhouse.server.url, "http://h:8123");
    assert_string_equal(s[0].u.clickhouse.server.database, "default");
    assert_string_equal(s[0].u.clickhouse.server.table, "t");
    assert_string_equal(s[0].u.clickhouse.columns.metric, "metric");
    assert_string_equal(s[0].basic_auth.username, "u");
    assert_string_equal(s[0].basic_auth.password.text, "hush2");
    assert_int_equal(s[0].http.headers.count, 1);
    assert_string_equal(s[0].http.headers.items[0].name, "X-One");
    assert_int_equal(s[0].timeout_ms, 30000); /* the destination's timeout is not inherited */

    assert_string_equal(s[1].name, "other");
    assert_string_equal(s[1].u.influxdb.server.bucket, "bbb");
    assert_int_equal(s[1].u.influxdb.mapping, INFLUXDB_TELEGRAF);
    sources_free(&list);
}

UNIT_TEST(test_a_key_of_a_source_replaces_related_keys_of_its_destination)
{
    struct sources list = read_sources(used_text, false);
    const struct source_settings *s = list.items;
    assert_null(s[1].u.influxdb.server.token.text);
    assert_string_equal(s[1].u.influxdb.server.token.file, "/t");
    assert_string_equal(s[1].http.proxy_url, "http://own");
    assert_null(s[1].http.no_proxy);
    assert_string_equal(s[2].basic_auth.username, "w");
    assert_null(s[2].basic_auth.password.text);
    assert_string_equal(s[3].u.influxdb.server.token.text, "hush3");
    assert_string_equal(s[3].http.proxy_url, "http://p");
    assert_string_equal(s[3].http.no_proxy, "q");
    sources_free(&list);
}

UNIT_TEST(test_sources_differ_if_any_setting_differs)
{
    static const char *const texts[] = {
        "sources:\n- {name: a, type: clickhouse, url: 'http://h', table: t}\n",
        "sources:\n- {name: a, type: clickhouse, url: 'http://h', table: u}\n",
        "sources:\n- {name: a, type: clickhouse, url: 'http://h', table: t, timeout: 1s}\n",
        "sources:\n- {name: a, type: clickhouse, url: 'http://h', table: t,\n"
        "   basic_auth: {username: u, password: p}}\n",
        "sources:\n- {name: a, type: clickhouse, url: 'http://h', table: t,\n"
        "   basic_auth: {username: u, password: q}}\n",
        "sources:\n- {name: a, type: clickhouse, url: 'http://h', table: t,\n"
        "   external_labels: {x: y}}\n",
        "sources:\n- {name: a, type: clickhouse, url: 'http://h', table: t,\n"
        "   headers: {x: y}}\n",
        "sources:\n- {name: a, type: clickhouse, url: 'http://h', table: t,\n"
        "   columns: {metric: x}}\n",
    };
    enum { COUNT = sizeof texts / sizeof *texts };
    for (unsigned i = 0; i < COUNT; i++) {
        for (unsigned k = 0; k < COUNT; k++) {
            struct sources a = read_sources(texts[i], false), b = read_sources(texts[k], false);
            assert_int_equal(source_settings_equal(a.items, b.items), i == k);
            sources_free(&a);
            sources_free(&b);
        }
    }
}

UNIT_TEST(test_a_destination_unfit_for_a_source_is_refused_at_its_use)
{
    check_source_error(SHARED "- {name: a, use: nobody}\n",
                       "f.yml:10:18: use: the list 'destinations' has no destination 'nobody'");
    check_source_error(SHARED "- use: s\n",
                       "f.yml:10:8: use: destination 's' has type s3; a source of that type does "
                       "not exist");
    check_source_error(SHARED "- {type: clickhouse, use: in}\n",
                       "f.yml:10:27: use: destination 'in' has another type, influxdb");
    check_source_error(SHARED "- {use: in, type: clickhouse}\n",
                       "f.yml:10:19: type: the destination that 'use' names has another type, "
                       "influxdb");
    check_source_error(SHARED "- use: []\n",
                       "f.yml:10:8: use: expected the name of a destination, got a list");
    check_source_error(SHARED "- use: ch\n- use: ch\n",
                       "f.yml:11:8: name: the source on line 10 already has the name 'ch'");
    check_source_error(
        SHARED "- use: ct\n",
        "f.yml:10:8: headers: header 'Accept-Encoding' is set by Firekeep and cannot be changed");
    check_source_error(SHARED "- {use: in, version: 1, database: d}\n",
                       "f.yml:10:9: bucket: is only valid for version 2, not 1");
    check_source_error("destinations:\n- {name: x}\nsources:\n- use: x\n",
                       "f.yml:2:3: a destination requires 'type', one of clickhouse, "
                       "file, firehose, influxdb, kinesis, opentsdb, remote_write, s3, timestream");
}

UNIT_TEST(test_keys_of_clickhouse_are_read)
{
    struct sources list = read_sources(clickhouse_text, false);
    const struct clickhouse_read_settings *x = &list.items[0].u.clickhouse;
    assert_int_equal(list.count, 2);
    assert_int_equal(list.items[0].type, SOURCE_CLICKHOUSE);
    assert_string_equal(x->server.url, "http://h:8123");
    assert_string_equal(x->server.database, "d");
    assert_string_equal(x->server.table, "t");
    assert_string_equal(x->columns.metric, "name");
    assert_string_equal(x->columns.labels, "tags");
    assert_string_equal(x->columns.time, "at");
    assert_string_equal(x->columns.value, "v");
    assert_string_equal(x->columns.bits, "b");
    assert_string_equal(x->columns.histogram, "h");
    assert_string_equal(x->columns.start_time, "s");
    assert_string_equal(list.items[0].basic_auth.username, "u");
    x = &list.items[1].u.clickhouse;
    assert_string_equal(x->server.database, "default");
    assert_string_equal(x->columns.metric, "metric");
    assert_string_equal(x->columns.start_time, "start_time");
    sources_free(&list);
}

UNIT_TEST(test_keys_of_influxdb_are_read)
{
    struct sources list = read_sources(influxdb_text, true);
    const struct influxdb_read_settings *x = &list.items[0].u.influxdb;
    assert_int_equal(list.count, 3);
    assert_int_equal(list.items[0].type, SOURCE_INFLUXDB);
    assert_string_equal(x->server.url, "http://h:8086");
    assert_int_equal(x->server.version, INFLUXDB_1);
    assert_string_equal(x->server.database, "d");
    assert_string_equal(x->server.retention_policy, "rp");
    assert_int_equal(x->mapping, INFLUXDB_TELEGRAF);
    x = &list.items[1].u.influxdb;
    assert_int_equal(x->server.version, INFLUXDB_2);
    assert_string_equal(x->server.bucket, "bbb");
    assert_string_equal(x->server.token.text, "hush2");
    assert_int_equal(x->mapping, INFLUXDB_PROMETHEUS);
    assert_string_equal(list.items[2].u.influxdb.server.token.file, "/t");
    sources_free(&list);
}

UNIT_TEST(test_keys_of_timestream_are_read)
{
    struct sources list = read_sources(timestream_text, false);
    const struct timestream_read_settings *x = &list.items[0].u.timestream;
    assert_int_equal(list.count, 2);
    assert_int_equal(list.items[0].type, SOURCE_TIMESTREAM);
    assert_string_equal(x->database, "d");
    assert_string_equal(x->table, "t");
    assert_string_equal(x->query_endpoint, "https://h");
    assert_int_equal(x->schema, TIMESTREAM_CONNECTOR);
    assert_string_equal(x->aws.region, "eu-west-1");
    assert_string_equal(x->aws.access_key.text, "hush1");
    assert_string_equal(x->aws.secret_key.text, "hush2");
    assert_string_equal(x->aws.session_token.text, "hush3");
    assert_string_equal(x->aws.profile, "p");
    assert_string_equal(x->aws.role_arn, "arn");
    assert_string_equal(x->aws.external_id, "e");
    x = &list.items[1].u.timestream;
    assert_null(x->query_endpoint);
    assert_int_equal(x->schema, TIMESTREAM_AUTO);
    assert_string_equal(x->aws.access_key.file, "/ak");
    sources_free(&list);
}

UNIT_TEST(test_keys_of_opentsdb_are_read)
{
    struct sources list = read_sources(opentsdb_text, false);
    const struct opentsdb_read_settings *x = &list.items[0].u.opentsdb;
    assert_int_equal(list.count, 2);
    assert_int_equal(list.items[0].type, SOURCE_OPENTSDB);
    assert_string_equal(x->server.url, "http://h:4242");
    assert_int_equal(x->expansion_limit, 100);
    assert_int_equal(x->escaping, OPENTSDB_ESCAPING_PROMETHEUS);
    assert_string_equal(list.items[0].basic_auth.username, "u");
    x = &list.items[1].u.opentsdb;
    assert_int_equal(x->expansion_limit, 4096);
    assert_int_equal(x->escaping, OPENTSDB_ESCAPING_AUTO);
    sources_free(&list);
}

UNIT_TEST(test_a_source_of_timestream_reads_the_table_of_its_destination)
{
    static const char destination[] = "destinations:\n- {name: ts, type: timestream, region: r,\n"
                                      "   database: d, table: t, access_key: hush1,\n"
                                      "   secret_key: hush2}\nsources:\n- use: ts\n";
    struct sources list = read_sources(destination, false);
    const struct timestream_read_settings *x = &list.items[0].u.timestream;
    assert_string_equal(x->aws.region, "r");
    assert_string_equal(x->database, "d");
    assert_string_equal(x->table, "t");
    assert_string_equal(x->aws.secret_key.text, "hush2");
    sources_free(&list);
    check_source_error("destinations:\n- {name: ts, type: timestream, database: d,\n"
                       "   table: 't_${env}'}\nsources:\n- use: ts\n",
                       "f.yml:5:8: table: a source reads one table: templates cannot be used here");
}

UNIT_TEST(test_a_source_uses_a_destination_of_type_opentsdb)
{
    struct sources list =
        read_sources("destinations:\n"
                     "- {name: tsd, type: opentsdb, url: 'http://h:4242', max_tags: 16,\n"
                     "   basic_auth: {username: u, password: hush1}}\n"
                     "sources:\n"
                     "- {use: tsd, expansion_limit: 5}\n",
                     false);
    assert_string_equal(list.items[0].name, "tsd");
    assert_int_equal(list.items[0].type, SOURCE_OPENTSDB);
    assert_string_equal(list.items[0].u.opentsdb.server.url, "http://h:4242");
    assert_string_equal(list.items[0].basic_auth.username, "u");
    assert_int_equal(list.items[0].u.opentsdb.expansion_limit, 5);
    sources_free(&list);
}

static void
check_common(const struct source_settings *s)
{
    assert_string_equal(s->name, "old.store-1_A");
    assert_int_equal(s->type, SOURCE_REMOTE_READ);
    assert_int_equal(s->line, 2);
    assert_int_equal(s->select.count, 2);
    assert_string_equal(s->select.items[1], "{job=~\"a|b\"}");
    assert_int_equal(s->tenants.count, 2);
    assert_string_equal(s->tenants.items[1], "two");
    assert_int_equal(s->external_labels.count, 2);
    assert_string_equal(s->external_labels.items[1].name, "r\xc3\xa9gion");
    assert_string_equal(s->external_labels.items[1].value, "a\nb");
    assert_int_equal(s->times, TIMES_BETWEEN);
    assert_true(s->from.given && s->to.given);
    assert_false(s->from.before_now);
    assert_true(s->from.ms == 1582974000250);
    assert_true(s->to.before_now);
    assert_true(s->to.ms == 30ll * 86400000);
    assert_int_equal(s->on_error, ON_ERROR_WARN);
    assert_int_equal(s->timeout_ms, 5000);
    assert_int_equal(s->max_concurrent, 3);
    assert_int_equal(s->max_rate_requests, 10);
    assert_int_equal(s->max_samples, 10000000);
    assert_int_equal(s->max_bytes, 1 << 30);
}

static void
check_http(const struct source_settings *s)
{
    assert_string_equal(s->http.tls.ca_file, "/ca");
    assert_string_equal(s->http.tls.max_version, "TLS13");
    assert_true(s->http.tls.insecure_skip_verify);
    assert_string_equal(s->http.proxy_url, "http://proxy:3128");
    assert_string_equal(s->http.no_proxy, "a,b");
    assert_int_equal(s->http.headers.count, 2);
    assert_string_equal(s->http.headers.items[1].name, "X-Two");
    assert_string_equal(s->http.headers.items[1].value.text, "${TWO} hush2");
    assert_string_equal(s->oauth2.client_id, "c");
    assert_string_equal(s->oauth2.client_secret.text, "hush3");
    assert_string_equal(s->oauth2.token_url, "https://issuer/token");
    assert_string_equal(s->oauth2.scopes.items[1], "two");
    assert_string_equal(s->oauth2.endpoint_params.items[0].value.text, "hush4");
    assert_string_equal(s->oauth2.http.tls.ca_file, "/ca2");
}

UNIT_TEST(test_every_key_is_read)
{
    struct sources list = read_sources(remote_read_text, true);
    assert_int_equal(list.count, 9);
    const struct source_settings *s = list.items;
    check_common(&s[0]);
    check_http(&s[0]);
    assert_string_equal(s[0].u.remote_read.url, "https://h/api/v1/read?x=1");
    assert_int_equal(s[0].u.remote_read.protobuf, REMOTE_READ_SAMPLES);
    assert_string_equal(s[0].u.remote_read.labels_url, "https://h/prometheus");
    assert_string_equal(s[0].u.remote_read.tenant_header, "X-Scope-OrgID");
    assert_false(s[0].u.remote_read.sigv4.given);
    assert_int_equal(s[1].line, 30);
    assert_int_equal(s[1].times, TIMES_OLDER_THAN_LOCAL);
    assert_int_equal(s[1].u.remote_read.protobuf, REMOTE_READ_STREAMED);
    assert_true(s[1].u.remote_read.sigv4.given);
    assert_string_equal(s[1].u.remote_read.sigv4.aws.region, "eu-west-1");
    assert_string_equal(s[1].u.remote_read.sigv4.aws.secret_key.text, "hush6");
    assert_string_equal(s[1].u.remote_read.sigv4.service, "s");
    assert_string_equal(s[2].u.remote_read.sigv4.aws.session_token.file, "/st");
    assert_string_equal(s[3].authorization.type, "Token");
    assert_string_equal(s[3].authorization.credentials.text, "hush8");
    assert_string_equal(s[4].authorization.credentials.file, "/c");
    assert_string_equal(s[5].basic_auth.username, "u");
    assert_string_equal(s[5].basic_auth.password.text, "hush9");
    assert_string_equal(s[6].basic_auth.username_file, "/u");
    assert_string_equal(s[7].tenants.items[0], "all");
    assert_string_equal(s[7].oauth2.client_secret.file, "/c");
    assert_true(s[8].u.remote_read.sigv4.given);
    assert_ptr_equal(sources_find(&list, "f"), &s[5]);
    assert_null(sources_find(&list, "j"));
    sources_free(&list);
}

UNIT_TEST(test_tables_are_well_formed_and_all_their_keys_are_tested)
{
    check_rows(&source_schema, SOURCE_TYPE_COUNT, whole, sizeof whole / sizeof *whole);
    for (unsigned t = 0; t < SOURCE_TYPE_COUNT; t++) {
        /* The words and the enum have the same order. */
        struct setting shape = schema_number(schema_find(&source_schema, bytes_of_text("type"), t));
        char word[48];
        setting_number_text(&shape, t, word, sizeof word);
        assert_string_equal(word, source_type_word((enum source_type)t));
    }
}

UNIT_TEST(test_defaults_are_those_that_are_promised)
{
    struct sources list = read_sources(READ_5, false);
    const struct source_settings *s = list.items;
    assert_int_equal(s->select.count, 0);
    assert_int_equal(s->tenants.count, 0);
    assert_int_equal(s->external_labels.count, 0);
    assert_int_equal(s->times, TIMES_ALL);
    assert_false(s->from.given || s->to.given);
    assert_int_equal(s->on_error, ON_ERROR_FAIL);
    assert_int_equal(s->timeout_ms, 30000);
    assert_int_equal(s->max_concurrent, 4);
    assert_int_equal(s->max_rate_requests, 0);
    assert_int_equal(s->max_samples, 0);
    assert_int_equal(s->max_bytes, 0);
    assert_null(s->http.proxy_url);
    assert_null(s->basic_auth.username);
    assert_null(s->oauth2.client_id);
    assert_int_equal(s->u.remote_read.protobuf, REMOTE_READ_AUTO);
    assert_null(s->u.remote_read.labels_url);
    assert_null(s->u.remote_read.tenant_header);
    assert_false(s->u.remote_read.sigv4.given);
    sources_free(&list);
}

UNIT_TEST(test_a_text_without_sources_has_none)
{
    static const char *const texts[] = {
        "",
        "log: {level: info}\n",
        "sources: []\n",
        "5\n",
        "destinations: [{sources: [{name: a}]}]\n",
        "destinations: [{name: a, type: file, path: /a}]\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct sources list = read_sources(texts[i], false);
        assert_int_equal(list.count, 0);
        assert_null(list.arena);
        char *text = printed(&list);
        assert_string_equal(text, "sources: []\n");
        free(text);
    }
}

/* --- times ------------------------------------------------------------------------------------ */

static struct source_settings
times_of(const char *text)
{
    char yaml[200];
    snprintf(yaml, sizeof yaml, READ_5 "  time: %s\n", text);
    struct sources list = read_sources(yaml, false);
    struct source_settings s = list.items[0];
    sources_free(&list);
    return s;
}

UNIT_TEST(test_time_is_a_word_or_a_range)
{
    assert_int_equal(times_of("all").times, TIMES_ALL);
    assert_int_equal(times_of("'older_than_local'").times, TIMES_OLDER_THAN_LOCAL);
    struct source_settings s = times_of("{from: 2024-02-29}");
    assert_int_equal(s.times, TIMES_BETWEEN);
    assert_true(s.from.given && !s.from.before_now && s.from.ms == 1709164800000);
    assert_false(s.to.given);
    s = times_of("{to: 1970-01-01T00:00:00Z}");
    assert_true(s.to.given && !s.to.before_now && s.to.ms == 0);
    assert_false(s.from.given);
    s = times_of("{to: 1969-12-31T23:59:59.999Z}");
    assert_true(s.to.given && s.to.ms == -1);
    s = times_of("{from: 100y, to: 0}");
    assert_true(s.from.before_now && s.from.ms == 100 * 365 * 86400000ll);
    assert_true(s.to.given && s.to.before_now && s.to.ms == 0);
    s = times_of("{from: 1d, to: 1d}");
    assert_int_equal(s.from.ms, s.to.ms);
    /* One bound is absolute and one is relative: their order depends on the current time. */
    s = times_of("{from: 9999-12-31T23:59:59.999Z, to: 1d}");
    assert_true(s.from.ms == 253402300799999);
    assert_int_equal(times_of("{from: 1d, to: 0000-01-01T00:00:00Z}").times, TIMES_BETWEEN);
}

#define BOUND "expected a time such as 2024-02-29T12:00:00Z, or a duration before now such as 30d"

UNIT_TEST(test_invalid_times_are_refused)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"al", "9: time: expected all, older_than_local, or keys such as 'from:', got 'al'"},
        {"~", "9: time: expected all, older_than_local, or keys such as 'from:', got nothing"},
        {"[all]", "9: time: expected all, older_than_local, or keys such as 'from:', got a list"},
        {"{}", "9: time: requires 'from', 'to', or both"},
        {"{since: 1d}", "10: unknown key 'since' in 'time'"},
        {"{form: 1d}", "10: unknown key 'form' in 'time'; did you mean 'from'?"},
        {"{from: 1d, from: 2d}", "20: duplicate key 'from', first given on line 5"},
        {"{from: soon}", "16: time.from: " BOUND ", got 'soon'"},
        {"{from: [1d]}", "16: time.from: " BOUND ", got a list"},
        {"{from: -1d}", "16: time.from: " BOUND ", got '-1d'"},
        {"{from: 101y}", "16: time.from: " BOUND ", got '101y'"},
        {"{to: 1709208000}", "14: time.to: " BOUND ", got '1709208000'"},
        {"{to: 2024-02-30}", "14: time.to: " BOUND ", got '2024-02-30'"},
        {"{to: '9999-12-31T23:59:59-01:00'}",
         "14: time.to: " BOUND ", got '9999-12-31T23:59:59-01:00'"},
        {"{from: 2024-02-29, to: 2024-02-28}", "32: time.to: must not be before from"},
        {"{from: 1d, to: 2d}", "24: time.to: must not be before from"},
        {"{to: 2d, from: 1d}", "14: time.to: must not be before from"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200], expected[300];
        snprintf(text, sizeof text, READ_5 "  time: %s\n", cases[i].text);
        snprintf(expected, sizeof expected, "f.yml:5:%s", cases[i].expected);
        check_source_error(text, expected);
    }
    check_source_error(READ_5 "  from: 1d\n", "f.yml:5:3: unknown key 'from' in 'sources'; did you "
                                              "mean 'from' below 'time:'?");
}

/* --- errors and limits ------------------------------------------------------------------------ */

UNIT_TEST(test_an_invalid_list_of_sources_is_refused)
{
    check_source_error("sources: 5\n", "f.yml:1:10: sources: expected a list, got '5'");
    check_source_error("sources: [5]\n",
                       "f.yml:1:11: expected a source with keys such as 'name:', got '5'");
    check_source_error("sources:\n- name: a\n",
                       "f.yml:2:3: a source requires 'type', one of archive, bucket, clickhouse, influxdb, "
                       "opentsdb, remote_read, timestream");
    check_source_error("sources: [{type: remote_red}]\n",
                       "f.yml:1:18: type: expected one of archive, bucket, clickhouse, influxdb, "
                       "opentsdb, remote_read, timestream, got "
                       "'remote_red'; did you "
                       "mean 'remote_read'?");
    check_source_error("sources: [{type: s3}]\n",
                       "f.yml:1:18: type: expected one of archive, bucket, clickhouse, influxdb, "
                       "opentsdb, remote_read, timestream, got 's3'");
    check_source_error("sources: []\nlog: {}\nsources: []\n",
                       "f.yml:3:1: duplicate key 'sources', first given on line 1");
    check_source_error("sources: [&a {type: remote_read}]\n",
                       "f.yml:1:11: anchors (&name) are not supported here");
}

UNIT_TEST(test_mistakes_name_the_key)
{
    check_source_error("sources:\n- {name: a, type: remote_read}\n",
                       "f.yml:2:3: type remote_read requires 'url', URL of the remote read "
                       "endpoint");
    check_source_error("sources:\n- {type: remote_read, url: 'http://h'}\n",
                       "f.yml:2:3: type remote_read requires 'name', name, unique among sources, "
                       "used in metrics and commands");
    check_source_error(READ_5 "  timout: 5s\n",
                       "f.yml:5:3: unknown key 'timout' in 'sources'; did you mean 'timeout'?");
    check_source_error(READ_5 "  colour: red\n", "f.yml:5:3: unknown key 'colour' in 'sources'");
    check_source_error(READ_5 "  requests: 5\n",
                       "f.yml:5:3: unknown key 'requests' in 'sources'; did you mean 'requests' "
                       "below 'max_rate:'?");
    check_source_error(READ_5 "  max_concurrent: 0\n",
                       "f.yml:5:19: max_concurrent: must be between 1 and 1000, got 0");
    check_source_error(READ_5 "  on_error: worn\n",
                       "f.yml:5:13: on_error: expected one of fail, warn, got 'worn'; did you mean "
                       "'warn'?");
    check_source_error(READ_5 "  protobuf: v2\n",
                       "f.yml:5:13: protobuf: expected one of auto, streamed, samples, got 'v2'");
    check_source_error(READ_5 "- {name: b, type: remote_read, url: 'http://h'}\n"
                              "- {name: a, type: remote_read, url: 'http://i'}\n",
                       "f.yml:6:10: name: the source on line 2 already has the name 'a'");
}

UNIT_TEST(test_a_source_may_have_the_name_of_a_destination)
{
    check_source_fine("destinations: [{name: a, type: file, path: /x}]\n" READ_5, false);
}

UNIT_TEST(test_no_more_sources_are_read_than_allowed)
{
    static const char item[] = "- {name: a#, type: remote_read, url: 'http://h'}\n";
    char *text = repeated("sources:\n", item, SOURCES_MAX, "");
    check_source_fine(text, false);
    free(text);
    text = repeated("sources:\n", item, SOURCES_MAX + 1, "");
    check_source_error(text, "f.yml:66:3: at most 64 sources are allowed");
    free(text);
}

UNIT_TEST(test_each_refused_allocation_is_reported)
{
    struct settings s = settings_with_tenancy(true);
    unsigned nth = 1;
    for (;; nth++) {
        struct sources list = {.count = 7};
        struct why why = {""};
        mem_fail_nth(nth, false);
        enum err e = sources_yaml("f.yml", bytes_of_text(remote_read_text), &s, &list, &why);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (!fired) {
            assert_int_equal(e, OK);
            sources_free(&list);
            break;
        }
        assert_int_equal(e, ERR_NOMEM);
        assert_string_not_equal(why.text, "");
        assert_int_equal(list.count, 7);
    }
    assert_true(nth > 2);
}

/* --- printing, comparing ---------------------------------------------------------------------- */

UNIT_TEST(test_printed_settings_read_back_equal_except_for_secrets)
{
    struct sources list = read_sources(remote_read_text, true);
    char *first = printed(&list);
    struct sources again = read_sources(first, true);
    char *second = printed(&again);
    assert_string_equal(first, second);
    assert_null(strstr(first, "hush"));
    assert_int_equal(list.count, again.count);
    for (uint32_t i = 0; i < list.count; i++) {
        /* Entries without a secret are equal, the others are not. */
        bool hidden = strchr("olbdf", list.items[i].name[0]) != NULL;
        assert_int_equal(source_settings_equal(&list.items[i], &again.items[i]), !hidden);
    }
    free(first);
    free(second);
    sources_free(&list);
    sources_free(&again);
}

UNIT_TEST(test_defaults_are_printed_too)
{
    struct sources list =
        read_sources(READ_5 "- {name: b, type: remote_read, url: 'http://h', sigv4: {},\n"
                            "   time: {from: 2024-02-29T12:00:00+01:00, to: 36h}}\n"
                            "- {name: c, type: remote_read, url: 'http://h', time: {to: 0},\n"
                            "   basic_auth: {username: u, password: hush}}\n",
                     false);
    char *text = printed(&list);
    assert_string_equal(text, "sources:\n"
                              "    - name: \"a\"\n"
                              "      type: remote_read\n"
                              "      time: all\n"
                              "      on_error: fail\n"
                              "      timeout: 30s\n"
                              "      max_concurrent: 4\n"
                              "      max_rate:\n"
                              "          requests: 0\n"
                              "      max_samples: 0\n"
                              "      max_bytes: 0\n"
                              "      url: \"http://h\"\n"
                              "      protobuf: auto\n"
                              "    - name: \"b\"\n"
                              "      type: remote_read\n"
                              "      time:\n"
                              "          from: 2024-02-29T11:00:00.000Z\n"
                              "          to: 1d12h\n"
                              "      on_error: fail\n"
                              "      timeout: 30s\n"
                              "      max_concurrent: 4\n"
                              "      max_rate:\n"
                              "          requests: 0\n"
                              "      max_samples: 0\n"
                              "      max_bytes: 0\n"
                              "      url: \"http://h\"\n"
                              "      protobuf: auto\n"
                              "      sigv4:\n"
                              "          service_name: \"aps\"\n"
                              "    - name: \"c\"\n"
                              "      type: remote_read\n"
                              "      time:\n"
                              "          to: 0s\n"
                              "      on_error: fail\n"
                              "      timeout: 30s\n"
                              "      max_concurrent: 4\n"
                              "      max_rate:\n"
                              "          requests: 0\n"
                              "      max_samples: 0\n"
                              "      max_bytes: 0\n"
                              "      basic_auth:\n"
                              "          username: \"u\"\n"
                              "          password: <secret>\n"
                              "      url: \"http://h\"\n"
                              "      protobuf: auto\n");
    free(text);
    sources_free(&list);
}

UNIT_TEST(test_cache_of_another_source_than_an_archive_is_skipped)
{
    static const char text[] = "sources:\n"
                               "- {name: a, type: opentsdb, url: 'http://h:4242',\n"
                               "   cache: {path: /c, max_bytes: 1MiB, max_age: 1h}}\n";
    struct sources list = read_sources(text, false);
    assert_int_equal(list.count, 1);
    assert_null(list.items[0].cache.path);
    sources_free(&list);
}

UNIT_TEST(test_archives_are_in_a_bucket_or_a_directory)
{
    struct sources list = read_sources(archive_text, false);
    const struct archive_settings *x = &list.items[0].u.archive, *y = &list.items[2].u.archive;
    assert_string_equal(x->bucket, "bbb-1");
    assert_string_equal(x->aws.region, "eu-west-1");
    assert_string_equal(x->endpoint, "https://h");
    assert_true(x->path_style);
    assert_string_equal(x->prefix, "p/");
    assert_int_equal(x->layout, ARCHIVE_FLAT);
    assert_true(x->late_ms == 86400000);
    assert_string_equal(x->aws.secret_key.text, "hush2");
    assert_string_equal(list.items[0].cache.path, "/c");
    assert_true(list.items[0].cache.max_bytes == 1 << 30);
    assert_string_equal(y->path, "/p");
    assert_null(y->bucket);
    assert_int_equal(y->layout, ARCHIVE_HOURLY);
    assert_true(y->late_ms == 7200000);
    assert_null(list.items[2].cache.path);
    sources_free(&list);
    check_source_error("sources:\n- {name: a, type: archive}\n",
                       "f.yml:2:3: type archive requires 'path', directory that has the "
                       "objects, in place of a bucket");
}

UNIT_TEST(test_buckets_name_their_writers)
{
    struct sources list = read_sources(bucket_text, false);
    const struct bucket_read_settings *x = &list.items[0].u.bucket, *y = &list.items[2].u.bucket;
    assert_string_equal(x->store.bucket, "bbb-1");
    assert_string_equal(x->store.prefix, "p/");
    assert_int_equal(x->recent_from.count, 2);
    assert_string_equal(x->cache.path, "/c");
    assert_true(x->cache.bytes == 1 << 30);
    assert_string_equal(x->recent_from.items[1], "http://b");
    assert_string_equal(y->store.path, "/p");
    assert_int_equal(y->recent_from.count, 0);
    sources_free(&list);
    check_source_error("sources:\n- {name: a, type: bucket, bucket: bbb-1, prefix: p}\n",
                       "f.yml:2:50: prefix: must end with '/'");
    check_source_error(
        "sources:\n- {name: a, type: bucket, path: /p, external_labels: {a: b}}\n",
        "f.yml:2:37: 'external_labels' belongs to types archive, clickhouse, influxdb, opentsdb, "
        "remote_read and timestream, not bucket");
}

/* Checks that a change of one value in the text makes one source another. */
static void
check_change(const char *from, const char *to)
{
    char changed[4096];
    const char *at = strstr(remote_read_text, from);
    if (at == NULL) fail_msg("%s is not there", from);
    snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - remote_read_text), remote_read_text,
             to, at + strlen(from));
    struct sources a = read_sources(remote_read_text, true), b = read_sources(changed, true);
    assert_int_equal(a.count, b.count);
    unsigned differ = 0;
    for (uint32_t i = 0; i < a.count; i++)
        differ += !source_settings_equal(&a.items[i], &b.items[i]);
    if (differ != 1) fail_msg("%s to %s changes %u", from, to, differ);
    sources_free(&a);
    sources_free(&b);
}

UNIT_TEST(test_each_difference_counts)
{
    static const char *const changes[][2] = {
        {"old.store", "old-store"},
        {"'up', ", ""},
        {"[one, two]", "[one, too]"},
        {"dc: one", "dc: two"},
        {"12:00:00.25", "12:00:00.26"},
        {", to: 30d", ""},
        {"to: 30d", "to: 31d"},
        {"to: 30d", "to: 2024-02-29"},
        {"time: {from: 2020-02-29T12:00:00.25+01:00, to: 30d}", "time: older_than_local"},
        {"time: older_than_local", "time: all"},
        {"  time: older_than_local\n", ""},
        {"time: all", "time: {from: 1d}"},
        {"on_error: warn", "on_error: fail"},
        {"timeout: 5s", "timeout: 6s"},
        {"max_concurrent: 3", "max_concurrent: 4"},
        {"requests: 10", "requests: 11"},
        {"max_samples: 10M", "max_samples: 11M"},
        {"max_bytes: 1GiB", "max_bytes: 2GiB"},
        {"TLS12", "TLS11"},
        {"hush1", "hush"},
        {"read?x=1", "read?x=2"},
        {"protobuf: samples", "protobuf: auto"},
        {"https://h/prometheus", "https://h/thanos"},
        {"X-Scope-OrgID", "X-Tenant"},
        {"hush4", "hush"},
        {"hush6", "hush"},
        {", sigv4: {}", ""},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        check_change(changes[i][0], changes[i][1]);
    /* All errors are the same, one line lower. */
    char *moved = repeated("# moved\n", remote_read_text, 1, "");
    struct sources a = read_sources(remote_read_text, true), b = read_sources(moved, true);
    for (uint32_t i = 0; i < a.count; i++) {
        assert_true(source_settings_equal(&a.items[i], &b.items[i]));
        assert_int_equal(a.items[i].line + 1, b.items[i].line);
    }
    free(moved);
    sources_free(&a);
    sources_free(&b);
}

UNIT_TEST(test_example_file_shows_a_source_of_each_type)
{
    char *text = example_list("sources");
    struct sources list = read_sources(text, false);
    uint32_t types = 0;
    for (uint32_t i = 0; i < list.count; i++)
        types |= 1u << list.items[i].type;
    assert_int_equal(types, (1u << SOURCE_TYPE_COUNT) - 1);
    sources_free(&list);
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example_file_shows_a_source_of_each_type),
        cmocka_unit_test(test_keys_of_influxdb_are_read),
        cmocka_unit_test(test_keys_of_opentsdb_are_read),
        cmocka_unit_test(test_a_source_uses_a_destination_of_type_opentsdb),
        cmocka_unit_test(test_a_source_takes_from_the_destination_that_it_uses_what_it_lacks),
        cmocka_unit_test(test_a_key_of_a_source_replaces_related_keys_of_its_destination),
        cmocka_unit_test(test_sources_differ_if_any_setting_differs),
        cmocka_unit_test(test_a_destination_unfit_for_a_source_is_refused_at_its_use),
        cmocka_unit_test(test_keys_of_clickhouse_are_read),
        cmocka_unit_test(test_keys_of_timestream_are_read),
        cmocka_unit_test(test_a_source_of_timestream_reads_the_table_of_its_destination),
        cmocka_unit_test(test_every_key_is_read),
        cmocka_unit_test(test_tables_are_well_formed_and_all_their_keys_are_tested),
        cmocka_unit_test(test_defaults_are_those_that_are_promised),
        cmocka_unit_test(test_a_text_without_sources_has_none),
        cmocka_unit_test(test_time_is_a_word_or_a_range),
        cmocka_unit_test(test_invalid_times_are_refused),
        cmocka_unit_test(test_an_invalid_list_of_sources_is_refused),
        cmocka_unit_test(test_mistakes_name_the_key),
        cmocka_unit_test(test_a_source_may_have_the_name_of_a_destination),
        cmocka_unit_test(test_no_more_sources_are_read_than_allowed),
        cmocka_unit_test(test_each_refused_allocation_is_reported),
        cmocka_unit_test(test_printed_settings_read_back_equal_except_for_secrets),
        cmocka_unit_test(test_defaults_are_printed_too),
        cmocka_unit_test(test_cache_of_another_source_than_an_archive_is_skipped),
        cmocka_unit_test(test_archives_are_in_a_bucket_or_a_directory),
        cmocka_unit_test(test_buckets_name_their_writers),
        cmocka_unit_test(test_each_difference_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
