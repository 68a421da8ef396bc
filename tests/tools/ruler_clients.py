#!/usr/bin/env python3
"""ruler_clients.py - sends the requests with which mimirtool, cortextool and Grafana read and change rules, in
their order, with their paths, escapes and headers, and reads the answers as strictly as they do.

    ruler_clients.py [--tenant NAME] URL CLIENT COMMAND [ARGUMENT...]

    mimirtool, cortextool    load FILE...    sync FILE...    diff FILE...    list    print
                             get NAMESPACE GROUP    delete NAMESPACE GROUP    delete-namespace NAMESPACE
    grafana                  discover        rules           alerts          group NAMESPACE GROUP
                             set NAMESPACE FILE   move NAMESPACE GROUP NAMESPACE GROUP
                             delete NAMESPACE GROUP    delete-namespace NAMESPACE

mimirtool asks below /prometheus/config/v1/rules, cortextool (with --use-legacy-routes) below
/api/prom/rules. Grafana's URL is that of a data source, http://HOST:PORT/prometheus. A FILE is one
of rules; its namespace is its key `namespace`, else its name without the ending. `set` takes one
group.

Prints the output of the client; exits with 1 and a reason if the client fails.
"""

import argparse
import concurrent.futures
import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

import yaml

UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
GROUP_KEYS = {"name", "interval", "query_offset", "limit", "rules", "labels"}
RULE_KEYS = {"record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"}


class Failure(Exception):
    pass


class Loader(yaml.SafeLoader):
    """Reads scalars as Go does where its structs have texts: all but null are texts."""


Loader.yaml_implicit_resolvers = {
    first: [pair for pair in resolvers if pair[0] == "tag:yaml.org,2002:null"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(stream):
    return yaml.load(stream, Loader)


def read_group(group):
    """The only number there is."""
    return {key: int(value) if key == "limit" else value for key, value in group.items()}


class NotFound(Failure):
    pass


def path_escape(text):
    """url.PathEscape of Go."""
    return urllib.parse.quote(text, safe="$&+=:@-._~")


class Untyped(urllib.request.BaseHandler):
    """Sends no Content-Type of its own, as Go does not."""

    handler_order = 600

    def http_request(self, request):
        request.unredirected_hdrs.pop("Content-type", None)
        return request


OPENER = urllib.request.build_opener(Untyped)


class Connection:
    def __init__(self, url, tenant, agent):
        self.url = url.rstrip("/")
        self.headers = {"User-Agent": agent}
        if tenant:
            self.headers["X-Scope-OrgID"] = tenant

    def ask(self, method, path, body=None, headers=None):
        data = body if body is None else body.encode()
        request = urllib.request.Request(self.url + path, data, {**self.headers, **(headers or {})}, method=method)
        try:
            with OPENER.open(request, timeout=60) as answer:
                return answer.status, answer.headers.get("Content-Type", ""), answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers.get("Content-Type", ""), error.read().decode()


def milliseconds(text):
    """A duration as a number, so that 60s is 1m."""
    if text is None:
        return 0
    assert re.fullmatch(r"0|(\d+(ms|[smhdwy]))+", str(text)), f"{text!r} is no duration"
    return sum(int(n) * UNITS[unit] for n, unit in re.findall(r"(\d+)(ms|[smhdwy])", str(text)))


def as_struct(group):
    """A group as Go's structs have it: no key that they have not, texts that are texts, and what is not given zero."""
    assert set(group) <= GROUP_KEYS, f"unknown keys {set(group) - GROUP_KEYS}"
    rules = []
    for rule in group.get("rules") or []:
        assert set(rule) <= RULE_KEYS, f"unknown keys {set(rule) - RULE_KEYS}"
        texts = [rule.get(key) or "" for key in ("record", "alert", "expr")]
        maps = [{k: v or "" for k, v in (rule.get(key) or {}).items()} for key in ("labels", "annotations")]
        assert all(isinstance(text, str) for text in texts), f"no texts: {texts}"
        rules.append((*texts, milliseconds(rule.get("for")), milliseconds(rule.get("keep_firing_for")), *maps))
    assert isinstance(group["name"], str), f"no text: {group['name']!r}"
    return (group["name"], milliseconds(group.get("interval")), milliseconds(group.get("query_offset")),
            int(group.get("limit") or 0), group.get("labels") or {}, rules)


def read_files(paths):
    namespaces = {}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            content = read_yaml(file)
        name = content.get("namespace") or os.path.splitext(os.path.basename(path))[0]
        namespaces[name] = [read_group(group) for group in content["groups"]]
    return namespaces


class Tool:
    """mimirtool, or cortextool."""

    def __init__(self, connection, api_path):
        self.connection = connection
        self.api_path = api_path

    def request(self, method, path, body=None):
        status, _, text = self.connection.ask(method, path, body)
        if 200 <= status <= 299:
            return text
        if status == 404:
            raise NotFound("requested resource not found")
        raise Failure(f"server returned HTTP status: {status}, body: {text!r}")

    def get(self, namespace, name):
        path = f"{self.api_path}/{path_escape(namespace)}/{path_escape(name)}"
        return read_yaml(self.request("GET", path))

    def list(self):
        return read_yaml(self.request("GET", self.api_path)) or {}

    def create(self, namespace, group):
        body = yaml.safe_dump(group, sort_keys=False, allow_unicode=True)
        self.request("POST", f"{self.api_path}/{path_escape(namespace)}", body)

    def delete(self, namespace, name):
        self.request("DELETE", f"{self.api_path}/{path_escape(namespace)}/{path_escape(name)}")

    def delete_namespace(self, namespace):
        self.request("DELETE", f"{self.api_path}/{path_escape(namespace)}")


def load(tool, paths):
    for namespace, groups in read_files(paths).items():
        for group in groups:
            print(f"group: '{group['name']}', ns: '{namespace}'")
            try:
                current = tool.get(namespace, group["name"])
            except NotFound:
                current = None
            if current is not None and as_struct(current) == as_struct(group):
                print("group already exists")
                continue
            if current is not None:
                print("updating group")
            tool.create(namespace, group)


def changes_of(tool, paths):
    wanted = read_files(paths)
    try:
        current = tool.list()
    except NotFound:
        current = {}
    created, updated, deleted = [], [], []
    for namespace in {**wanted, **current}:
        before = {group["name"]: group for group in current.get(namespace, [])}
        after = {group["name"]: group for group in wanted.get(namespace, [])}
        created += [(namespace, group) for name, group in after.items() if name not in before]
        updated += [(namespace, group) for name, group in after.items()
                    if name in before and as_struct(before[name]) != as_struct(group)]
        deleted += [(namespace, group) for name, group in before.items() if name not in after]
    return created, updated, deleted


def summary(what, changes):
    created, updated, deleted = (len(part) for part in changes)
    print(f"{what} Summary: {created} Groups Created, {updated} Groups Updated, {deleted} Groups Deleted")


def sync(tool, paths):
    changes = created, updated, deleted = changes_of(tool, paths)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(tool.create, namespace, group) for namespace, group in created + updated]
        jobs += [pool.submit(tool.delete, namespace, group["name"]) for namespace, group in deleted]
        for job in jobs:
            job.result()
    summary("Sync", changes)


def run_tool(tool, command, arguments):
    if command == "load":
        load(tool, arguments)
    elif command == "sync":
        sync(tool, arguments)
    elif command == "diff":
        summary("Diff", changes_of(tool, arguments))
    elif command == "list":
        for namespace, groups in tool.list().items():
            for group in groups:
                as_struct(group)
                print(f"{namespace} | {group['name']}")
    elif command == "print":
        print(yaml.safe_dump(tool.list(), sort_keys=False, allow_unicode=True), end="")
    elif command == "get":
        try:
            print(yaml.safe_dump(tool.get(*arguments), sort_keys=False, allow_unicode=True), end="")
        except NotFound:
            print("this rule group does not currently exist")
    elif command == "delete":
        try:
            tool.delete(*arguments)
        except NotFound:
            print("requested resource not found")
    elif command == "delete-namespace":
        try:
            tool.delete_namespace(*arguments)
        except NotFound:
            print("requested resource not found")
    else:
        raise Failure(f"no command {command!r}")


class Grafana:
    """The server of Grafana, between its pages and a data source."""

    def __init__(self, connection):
        self.connection = connection

    def request(self, method, path, body, kind):
        status, content_type, text = self.connection.ask(method, path, body)
        if status == 404:
            raise NotFound(text.strip())
        if status >= 400:
            raise Failure(f"{status}: {text.strip()}")
        if kind not in content_type:
            raise Failure(f"unexpected content type from upstream. expected {kind.upper()}, got {content_type}")
        return text

    def json(self, path):
        return json.loads(self.request("GET", path, None, "json"))

    def discover(self):
        """The kind of data source that its pages detect, and whether rules can be edited there."""
        info = self.json("/api/v1/status/buildinfo")["data"]
        features = info.get("features")
        if features is None:
            return "Prometheus", False
        return "Mimir", features.get("ruler_config_api") == "true"

    def discover_cortex(self):
        """Its requests without build information."""
        try:
            self.request("GET", "/rules/test/test", None, "yaml")
        except NotFound as error:
            if "group does not exist" in str(error) or "no rule groups found" in str(error):
                return True
            if "page not found" in str(error):
                return False
            raise
        return True

    def config(self, names, method="GET", body=None, kind="yaml"):
        path = "/config/v1/rules" + "".join("/" + path_escape(name) for name in names)
        return self.request(method, path + "?subtype=mimir", body, kind)

    def configured(self):
        namespaces = read_yaml(self.config([]))
        for groups in namespaces.values():
            for group in groups:
                as_struct(group)
        return namespaces

    def group(self, namespace, name):
        group = read_group(read_yaml(self.config([namespace, name])))
        as_struct(group)
        return group

    def set(self, namespace, group):
        body = yaml.safe_dump(group, sort_keys=False, allow_unicode=True)
        answer = json.loads(self.config([namespace], "POST", body, "json"))
        assert isinstance(answer, dict)


def run_grafana(grafana, command, arguments):
    if command == "discover":
        print(*grafana.discover())
    elif command == "discover-cortex":
        print("ruler" if grafana.discover_cortex() else "no ruler")
    elif command == "rules":
        # Joins configured and evaluated rules by namespace, group and rule, as its pages do.
        states = {(g["file"], g["name"]): g["rules"] for g in grafana.json("/api/v1/rules")["data"]["groups"]}
        for namespace, groups in grafana.configured().items():
            for group in groups:
                rules = states.pop((namespace, group["name"]))
                for rule, state in zip(group["rules"], rules, strict=True):
                    assert state["name"] == (rule.get("record") or rule.get("alert"))
                    assert "".join(state["query"].split()) == "".join(rule["expr"].split())
                    print(f"{namespace} | {group['name']} | {state['name']} | {state['type']}")
        for file, name in states:
            print(f"{file} | {name} | not editable")
    elif command == "alerts":
        for alert in grafana.json("/api/v1/alerts")["data"]["alerts"]:
            print(f"{alert['labels']['alertname']} | {alert['state']}")
    elif command == "group":
        try:
            print(json.dumps(grafana.group(*arguments), ensure_ascii=False))
        except NotFound as error:
            print(error)
    elif command == "set":
        with open(arguments[1], encoding="utf-8") as file:
            grafana.set(arguments[0], read_group(read_yaml(file)))
    elif command == "move":
        from_namespace, from_name, namespace, name = arguments
        grafana.set(namespace, {**grafana.group(from_namespace, from_name), "name": name})
        grafana.config([from_namespace, from_name], "DELETE", None, "")
    elif command in ("delete", "delete-namespace"):
        grafana.config(arguments, "DELETE", None, "")
    else:
        raise Failure(f"no command {command!r}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tenant", default="")
    parser.add_argument("url")
    parser.add_argument("client", choices=("mimirtool", "cortextool", "grafana"))
    parser.add_argument("command")
    parser.add_argument("arguments", nargs="*")
    args = parser.parse_args()
    connection = Connection(args.url, args.tenant, args.client)
    try:
        if args.client == "grafana":
            run_grafana(Grafana(connection), args.command, args.arguments)
        else:
            api_path = "/prometheus/config/v1/rules" if args.client == "mimirtool" else "/api/prom/rules"
            run_tool(Tool(connection, api_path), args.command, args.arguments)
    except (Failure, OSError, AssertionError, yaml.YAMLError) as error:
        print(f"{args.client}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
