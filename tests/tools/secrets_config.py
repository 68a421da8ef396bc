#!/usr/bin/env python3
"""secrets_config.py - prints the configuration of e2e/secrets.sh: all kinds of secrets, for each behaviour of other servers.

usage: secrets_config.py TURN HARD WORK TLS_PORT CLOSED_PORT BEHAVIOUR=PORT...

TURN is part of some secrets, so that a reload changes them; HARD is the end of each. HASH and DIGEST in the
environment are those of a password and of a token.
"""
import json
import os
import sys
import urllib.parse

turn, hard, work, tls_port, closed, *servers = sys.argv[1:]
servers = dict(server.split("=") for server in servers)


def secret(name):
    return json.dumps(f"hush-{name}-{turn}{hard}", ensure_ascii=False)


def proxied(name, port):
    quoted = urllib.parse.quote(f"hush-{name}-{turn}{hard}", safe="")
    return json.dumps(f"http://keeper:{quoted}@127.0.0.1:{port}")


def pem(path, indent):
    with open(path, encoding="ascii") as file:
        return "".join(" " * indent + line for line in file)


def basic(name):
    return f"basic_auth: {{username: u, password: {secret(name)}}}"


def bearer(name):
    return f"authorization: {{credentials: {secret(name)}}}"


def oauth2(name, at, port):
    return (f"oauth2: {{client_id: c, client_secret: {secret(name + '-client')}, token_url: '{at}/token', "
            f"endpoint_params: {{audience: {secret(name + '-param')}}}, proxy_url: {proxied(name + '-proxy', port)}}}")

# What AWS' signatures cover is printable ASCII.
def signed_header(name):
    return f"headers: {{X-Extra: 'hush-{name}-{turn}/+%41=='}}"


def keys(name):
    parts = [f"hush-{name}-{part}-{turn}/+%41==" for part in ("key", "session")]
    return "access_key: AKEXAMPLE, secret_key: '%s', session_token: '%s'" % tuple(parts)


print(f"log: {{level: debug}}\nrules: {{resend_delay: 2s}}\nrule_files: ['{work}/rules.yml']")
print("users:")
print(f"- {{name: ann, password: '{os.environ['HASH']}', permissions: [read, write, rules, admin, metrics]}}")
print(f"- {{name: bob, tokens: [{os.environ['DIGEST']}], permissions: [read, metrics]}}")
print("- {name: cam, client_certificate: CN=client, permissions: [metrics]}")
print(f"- {{name: eve, access_keys: [{{id: AKIDEVE, secret_file: '{work}/kept/eve'}}], permissions: [read]}}")
print(f"- {{name: jay, jwt: {{jwks_file: '{work}/jwks.json', audience: [a]}}, permissions: [read]}}")
print("listeners:")
print(f"- address: '127.0.0.1:{tls_port}'\n  tls_server_config:\n    cert: |\n{pem(work + '/inline.pem', 6)}    key: |\n{pem(work + '/kept/inline.key', 6)}")
print("destinations:")
# A few series: when a server refuses a batch, it is split until single samples are refused.
common = "select: ['{__name__=~\"up|sums|ALERTS\"}'], batch: {max_age: 100ms}, timeout: 3s, retry: {min_backoff: 500ms, max_backoff: 5s}"
for kind, port in servers.items():
    at = f"http://127.0.0.1:{port}"
    header = f"headers: {{X-Extra: {secret('header')}}}"
    aws = "region: eu-west-1"
    entries = {
        "basic": f"type: remote_write, url: '{at}', {basic('basic')}, {header}",
        "bearer": f"type: remote_write, url: '{at}', {bearer('bearer')}, proxy_url: {proxied('proxy', port)}",
        "oauth": f"type: remote_write, url: '{at}', {oauth2('oauth', at, port)}",
        "sigv4": f"type: remote_write, url: '{at}', sigv4: {{region: eu-west-1, {keys('sigv4')}}}",
        "influx": f"type: influxdb, version: 2, org: o, bucket: bbb, url: '{at}', token: {secret('influx')}",
        "click": f"type: clickhouse, table: t, url: '{at}', {basic('click')}, {header}",
        "tsdb": f"type: opentsdb, url: '{at}', {basic('tsdb')}",
        "stream": f"type: kinesis, {aws}, stream: s, {keys('stream')}, endpoint: '{at}', {signed_header('signed-header')}",
        "hose": f"type: firehose, {aws}, delivery_stream: s, {keys('hose')}, endpoint: '{at}'",
        "bucket": f"type: s3, {aws}, bucket: metrics, {keys('bucket')}, endpoint: '{at}', path_style: true, roll_age: 1s",
        "table": f"type: timestream, {aws}, database: d, table: t, {keys('table')}, write_endpoint: '{at}'",
    }
    for name, rest in entries.items():
        print(f"- {{name: {name}-{kind}, {rest}, {common}}}")
at = f"http://127.0.0.1:{servers['refused']}"
print(f"- {{name: file, type: remote_write, url: '{at}', {common}, basic_auth: {{username: u, password_file: '{work}/kept/file'}}}}")
print(f"- {{name: environment, type: remote_write, url: '{at}', {common}, authorization: {{credentials: '${{HUSH_ENVIRONMENT}}'}}}}")
print(f"- {{name: closed, type: remote_write, url: 'http://127.0.0.1:{closed}', {common}, {bearer('closed')}}}")
print(f"- {{name: behind, type: remote_write, url: 'https://localhost:{closed}', {common}, proxy_url: {proxied('behind', servers['refused'])}}}")
print(f"- {{name: tls, type: remote_write, url: 'https://localhost:{tls_port}/', {common}, {basic('tls')}, "
      f"tls_config: {{ca_file: '{work}/inline.pem', cert_file: '{work}/client.pem', key_file: '{work}/kept/client.key'}}}}")
print("sources:")
for kind, port in servers.items():
    at = f"http://127.0.0.1:{port}"
    common = f"on_error: warn, timeout: 3s, {signed_header('source-header')}"
    entries = {
        "remote": f"type: remote_read, url: '{at}', {basic('source-basic')}",
        "bearer": f"type: remote_read, url: '{at}', {bearer('source-bearer')}, proxy_url: {proxied('source-proxy', port)}",
        "oauth": f"type: remote_read, url: '{at}', {oauth2('source-oauth', at, port)}",
        "sigv4": f"type: remote_read, url: '{at}', sigv4: {{region: eu-west-1, {keys('source-sigv4')}}}",
        "influx": f"type: influxdb, version: 2, org: o, bucket: bbb, url: '{at}', token: {secret('source-influx')}",
        "click": f"type: clickhouse, table: t, url: '{at}', {basic('source-click')}",
        "tsdb": f"type: opentsdb, url: '{at}', {basic('source-tsdb')}",
        "table": f"type: timestream, region: eu-west-1, database: d, table: t, {keys('source-table')}, query_endpoint: '{at}'",
        "archive": f"type: archive, bucket: bbb, region: eu-west-1, {keys('source-archive')}, endpoint: '{at}', path_style: true",
    }
    for name, rest in entries.items():
        print(f"- {{name: {name}-{kind}, {rest}, {common}}}")
print("alerting:\n  alertmanagers:")
for kind, port in servers.items():
    at = f"http://127.0.0.1:{port}"
    target = f"static_configs: [{{targets: ['127.0.0.1:{port}']}}]"
    for i, rest in enumerate((
            f"{basic('alerts-basic')}, http_headers: {{X-Extra: {{secrets: [{secret('alerts-header')}]}}}}",
            f"{bearer('alerts-bearer')}, proxy_url: {proxied('alerts-proxy', port)}",
            oauth2("alerts-oauth", at, port),
            f"sigv4: {{region: eu-west-1, {keys('alerts-sigv4')}}}")):
        print(f"  - {{path_prefix: /{i}, {target}, {rest}}}")
    print(f"  - http_sd_configs: [{{url: '{at}', refresh_interval: 500ms, {bearer('alerts-discovery')}}}]")
