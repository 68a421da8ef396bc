#!/usr/bin/python3
"""fault_proxy.py - is between Firekeep and services of AWS, or programs that simulate them, and makes calls fail.

    fault_proxy.py --port 9000 --route stream=kinesis:9001:4567 --route archive=s3:9002:4568 [--tls archive
                   --tls-cert cert.pem --tls-key key.pem [--tls-client-ca ca.pem] [--tls-least 1.3]]

A route is NAME=SERVICE:PORT:UPSTREAM: requests to 127.0.0.1:PORT are forwarded to
127.0.0.1:UPSTREAM unchanged, with Host, so that signatures stay right, and answers are returned
unchanged. SERVICE (kinesis, firehose, s3, sts, timestream, clickhouse, influxdb, opentsdb,
remote_write, alertmanager) decides the form of errors. Routes named by --tls speak HTTPS with that
certificate, with --tls-client-ca only to clients that one of its authorities knows. With
--record NAME=FILE the bodies of those calls that the other side answered with 2xx are appended to
FILE, in that order, each after its length in four bytes, the lowest first.

--port is for control:

    POST /fault  {"route": NAME, "kind": KIND, "every": N} or {..., "times": N}: each Nth call, or the next N calls,
                 fail; several faults of a route take turns. {..., "share": P, "seed": N}: each call with probability P,
                 in an order that the seed fixes, before any other fault. KIND is one of
                 throttle    the service's own answer for too many requests
                 error       its own answer for internal errors, 500 or 503
                 slow        passed on, answered after "seconds"
                 cut_before  the connection is reset half way through the request; nothing is passed on
                 cut         passed on, then the connection is closed within the answer's first lines
                 half_closed passed on, then this side of the connection is closed without an answer, and nothing else
                 late        clickhouse: nothing is passed on, and the error is sent after the status 200
                 partial     kinesis, firehose, opentsdb: each third record ("third": 3) is refused in the way of
                             the service, the others are passed on; signatures are broken by that
                 expired     calls signed by "access_key", or with the session "token", are answered as if the session were
                             over
                 region      s3: calls not signed for "region" get an error that names it; with "status" 301 in the way
                             of redirections, else as 400 AuthorizationHeaderMalformed
                 status      nothing is passed on, and "status" is answered after "seconds" (0), with Retry-After if there
                             is "retry_after", and so many "bytes" of blanks
                 denied      access is denied
                 containing  calls whose body has "text" in it are answered as by status, and the others passed on
                 expired, region, denied and containing stay until they are cleared and need no count.
    POST /clear  {"route": NAME}: forgets its faults; {}: those of all
    GET /stats   {NAME: {"calls", "passed", "faults": {KIND: N}, "keys": [...], "regions": [...], "targets": {...}, "most"}}:
                 most: the highest number of simultaneous calls since the last /clear

It prints "listening" when it is ready. Python's standard library is all it needs.
"""

import argparse
import http.client
import json
import random
import re
import socket
import ssl
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LASTING = ("expired", "region", "denied", "containing")
PASSING = ("throttle", "error", "late", "slow", "cut_before", "cut", "half_closed", "partial", "status")
HOP_BY_HOP = ("connection", "keep-alive", "expect", "transfer-encoding", "content-length")
JSON_KINDS = {"kinesis": "application/x-amz-json-1.1", "firehose": "application/x-amz-json-1.1", "timestream": "application/x-amz-json-1.0"}
# ClickHouse 18.16 has these messages.
CLICKHOUSE = "Code: %d, e.displayText() = DB::Exception: %s, e.what() = DB::Exception\n"
ERRORS = {
    ("kinesis", "throttle"): (400, "ProvisionedThroughputExceededException", "Rate exceeded for shard shardId-000000000000."),
    ("firehose", "throttle"): (400, "ThrottlingException", "Rate exceeded"),
    ("timestream", "throttle"): (429, "ThrottlingException", "Your request was throttled."),
    ("s3", "throttle"): (503, "SlowDown", "Please reduce your request rate."),
    ("sts", "throttle"): (400, "Throttling", "Rate exceeded"),
    ("kinesis", "error"): (500, "InternalFailure", ""),
    ("firehose", "error"): (503, "ServiceUnavailableException", "Slow down."),
    ("timestream", "error"): (500, "InternalServerException", "The service was unable to process this request."),
    ("s3", "error"): (500, "InternalError", "We encountered an internal error. Please try again."),
    ("sts", "error"): (500, "InternalFailure", ""),
    ("clickhouse", "throttle"): (500, None, CLICKHOUSE % (252, "Too many parts (300). Merges are processing significantly slower than inserts.")),
    ("influxdb", "throttle"): (429, None, '{"error":"too many requests"}\n'),
    ("opentsdb", "throttle"): (429, None, "Please throttle writes"),
    ("remote_write", "throttle"): (429, None, "ingestion rate limit exceeded\n"),
    ("alertmanager", "throttle"): (429, None, "too many requests\n"),
    ("clickhouse", "error"): (500, None, CLICKHOUSE % (242, "Table is in readonly mode")),
    ("clickhouse", "late"): (200, None, CLICKHOUSE % (210, "Connection refused")),
    ("influxdb", "error"): (500, None, '{"error":"timeout"}\n'),
    ("opentsdb", "error"): (500, None, '{"error":{"code":500,"message":"Storage is not there"}}'),
    ("remote_write", "error"): (502, None, "upstream is not there\n"),
    ("alertmanager", "error"): (500, None, '"cannot insert alerts"\n'),
    ("s3", "expired"): (400, "ExpiredToken", "The provided token has expired."),
    ("timestream", "expired"): (403, "ExpiredTokenException", "The security token included in the request is expired"),
    ("sts", "expired"): (403, "ExpiredToken", "The security token included in the request is expired"),
    ("s3", "denied"): (403, "AccessDenied", "Access Denied"),
}
EXPIRED = (400, "ExpiredTokenException", "The security token included in the request is expired")
DENIED = (400, "AccessDeniedException", "User is not authorized to perform this on that resource.")
# One refused record among others.
REFUSED = {
    "kinesis": {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded for shard."},
    "firehose": {"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down."},
}
ANSWERS = {"kinesis": ("Records", "FailedRecordCount"), "firehose": ("RequestResponses", "FailedPutCount")}


class Route:
    def __init__(self, name, service, port, upstream):
        self.record = None
        self.name, self.service, self.port, self.upstream = name, service, port, upstream
        self.lock = threading.Lock()
        self.faults = []
        self.calls = 0
        self.passed = 0
        self.done = {}
        self.keys = []
        self.regions = []
        self.targets = {}
        self.under_way = self.most = 0

    def stats(self):
        with self.lock:
            return {
                "calls": self.calls,
                "passed": self.passed,
                "faults": dict(self.done),
                "keys": list(self.keys),
                "regions": list(self.regions),
                "targets": dict(self.targets),
                "most": self.most,
            }

    def next_fault(self, key, region, target, token):
        """Counts a call, and returns the fault that applies to it."""
        with self.lock:
            self.calls += 1
            self.targets[target] = self.targets.get(target, 0) + 1
            for seen, what in ((self.keys, key), (self.regions, region)):
                if what and what not in seen:
                    seen.append(what)
            fault = self._choose(key, region, token)
            if fault:
                self.done[fault["kind"]] = self.done.get(fault["kind"], 0) + 1
            return fault

    def _choose(self, key, region, token):
        for fault in self.faults:
            kind = fault["kind"]
            over = kind == "expired" and (key == fault.get("access_key", "") or token == fault.get("token", ""))
            if kind == "denied" or over or (kind == "region" and region != fault["region"]):
                return fault
        for fault in self.faults:
            if "share" in fault and fault.setdefault("random", random.Random(fault["seed"])).random() < fault["share"]:
                return fault
        due = [fault for fault in self.faults if fault.get("times", 0) > 0]
        due += [fault for fault in self.faults if "every" in fault and self.calls % fault["every"] == 0]
        if not due:
            return None
        fault = due[0]
        # It goes to the end of the queue, so that other faults with the same number have their
        # turn, too.
        self.faults.remove(fault)
        if "times" in fault:
            fault["times"] -= 1
        if fault.get("times", 1) > 0:
            self.faults.append(fault)
        return fault

    def fault_containing(self, body):
        with self.lock:
            for fault in self.faults:
                if fault["kind"] == "containing" and fault["text"].encode() in body:
                    self.done["containing"] = self.done.get("containing", 0) + 1
                    return fault
        return None

    def take_passed(self, status, body):
        with self.lock:
            self.passed += 1
            if self.record and status // 100 == 2:
                with open(self.record, "ab") as to:
                    to.write(struct.pack("<I", len(body)) + body)


class Proxy(BaseHTTPRequestHandler):
    """A connection of a client, with its own connection to the service."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    route = None

    def setup(self):
        super().setup()
        self.upstream = http.client.HTTPConnection("127.0.0.1", self.route.upstream, timeout=60)

    def finish(self):
        self.upstream.close()
        try:
            super().finish()
        except OSError:
            pass

    def log_message(self, *_arguments):
        pass

    def handle_call(self):
        with self.route.lock:
            self.route.under_way += 1
            self.route.most = max(self.route.most, self.route.under_way)
        try:
            self.handle_one()
        finally:
            with self.route.lock:
                self.route.under_way -= 1

    def handle_one(self):
        size = int(self.headers.get("Content-Length", "0"))
        fault = self.route.next_fault(*self.who())
        kind = fault["kind"] if fault else None
        if kind == "cut_before":
            self.rfile.read(size // 2)
            self.reset()
            return
        body = self.rfile.read(size)
        if len(body) < size:
            self.close_connection = True
            return
        if not fault or "share" not in fault:
            fault = self.route.fault_containing(body) or fault
        kind = fault["kind"] if fault else None
        if kind == "region":
            self.tell_region(fault)
        elif kind in ("status", "containing"):
            self.answer_status(fault)
        elif kind in ("throttle", "error", "late", "expired", "denied"):
            self.refuse(kind)
        elif kind == "partial":
            self.pass_on_some(body, fault.get("third", 3))
        else:
            self.pass_on(body, fault or {})

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_call

    def who(self):
        """Key, region and operation of a call, from its signature and headers."""
        found = re.search(r"Credential=([^/,]*)/[^/]*/([^/]*)/", self.headers.get("Authorization", ""))
        target = self.headers.get("X-Amz-Target", "").rpartition(".")[2] or self.command
        token = self.headers.get("X-Amz-Security-Token")
        return (found.group(1), found.group(2), target, token) if found else (None, "", target, token)

    # --- forwarded calls ----------------------------------------------------------------------

    def ask(self, body):
        """Returns the service's answer; None, with the connection reset, if there is none."""
        for attempt in (1, 2):  # a connection that was idle may have been closed
            try:
                self.upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in HOP_BY_HOP:
                        self.upstream.putheader(name, value)
                self.upstream.putheader("Content-Length", str(len(body)))
                self.upstream.endheaders(body)
                answer = self.upstream.getresponse()
                text = answer.read()
                self.route.take_passed(answer.status, body)
                return answer, text
            except http.client.RemoteDisconnected:
                self.upstream.close()
                if attempt == 2:
                    break
            except (OSError, http.client.HTTPException):
                break
        self.upstream.close()
        self.reset()
        return None, None

    def pass_on(self, body, fault):
        answer, text = self.ask(body)
        if answer is None:
            return
        if fault.get("kind") == "slow":
            time.sleep(float(fault.get("seconds", 1)))
        if fault.get("kind") == "cut":
            # After an empty answer, clients send again by themselves on a connection that was used
            # before.
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-")
            self.close_connection = True
            return
        if fault.get("kind") == "half_closed":
            self.half_close()
            return
        size = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self.answer(answer.status, [h for h in answer.getheaders() if h[0].lower() not in HOP_BY_HOP], text, size)

    def pass_on_some(self, body, third):
        """Every `third` record is refused."""
        if self.route.service == "opentsdb" and body.startswith(b"["):
            self.pass_on_some_points(json.loads(body), third)
            return
        if self.route.service not in REFUSED or b'"Records"' not in body:
            self.pass_on(body, {})
            return
        request = json.loads(body)
        records = request["Records"]
        request["Records"] = [record for at, record in enumerate(records) if at % third != third - 1]
        member, count = ANSWERS[self.route.service]
        told, status, given = [], 200, iter(())
        if request["Records"]:
            answer, text = self.ask(json.dumps(request).encode())
            if answer is None:
                return
            if answer.status != 200:
                self.answer(answer.status, [("Content-Type", JSON_KINDS[self.route.service])], text)
                return
            given = iter(json.loads(text)[member])
        for at in range(len(records)):
            told.append(REFUSED[self.route.service] if at % third == third - 1 else next(given))
        failed = sum("ErrorCode" in entry for entry in told)
        text = json.dumps({count: failed, member: told}).encode()
        self.answer(status, [("Content-Type", JSON_KINDS[self.route.service])], text)

    def pass_on_some_points(self, points, third):
        refused = points[third - 1 :: third]
        others = [point for at, point in enumerate(points) if at % third != third - 1]
        if others:
            answer, text = self.ask(json.dumps(others).encode())
            if answer is None:
                return
            if answer.status // 100 != 2:
                self.answer(answer.status, [("Content-Type", "application/json")], text)
                return
        if not refused:
            self.answer(204, [], b"")
            return
        errors = [{"datapoint": point, "error": "Please throttle writes: too many RPCs waiting"} for point in refused]
        text = json.dumps({"success": len(others), "failed": len(refused), "errors": errors}).encode()
        self.answer(400, [("Content-Type", "application/json")], text)

    # --- failed calls ---------------------------------------------------------------------------

    def answer(self, status, headers, body, size=None):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)) if size is None else size)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, kind):
        otherwise = DENIED if kind == "denied" else EXPIRED
        status, code, message = ERRORS.get((self.route.service, kind), otherwise)
        if self.route.service in JSON_KINDS:
            body = json.dumps({"__type": code, "message": message}).encode()
            self.answer(status, [("Content-Type", JSON_KINDS[self.route.service])], body)
            return
        if code is None:
            self.answer(status, [("Content-Type", "text/plain")], message.encode())
            return
        inner = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        if self.route.service == "sts":
            inner = f'<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">{inner}<RequestId>r</RequestId></ErrorResponse>'
        self.answer(status, [("Content-Type", "application/xml")], b'<?xml version="1.0" encoding="UTF-8"?>\n' + inner.encode())

    def answer_status(self, fault):
        time.sleep(float(fault.get("seconds", 0)))
        headers = [("Content-Type", "text/plain")]
        if "retry_after" in fault:
            headers.append(("Retry-After", str(fault["retry_after"])))
        try:
            self.answer(fault["status"], headers, b" " * fault.get("bytes", 0))
        except OSError:  # the client has enough
            self.close_connection = True

    def tell_region(self, fault):
        region, status = fault["region"], fault.get("status", 400)
        code, more = "AuthorizationHeaderMalformed", f"<Region>{region}</Region>"
        if status == 301:
            code, more = "PermanentRedirect", f"<Bucket>b</Bucket><Endpoint>{self.headers.get('Host')}</Endpoint>"
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>wrong region</Message>{more}</Error>'
        self.answer(status, [("Content-Type", "application/xml"), ("x-amz-bucket-region", region)], body.encode())

    def half_close(self):
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(60)
        while self.connection.recv(65536):
            pass
        self.close_connection = True

    def reset(self):
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Control(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    routes = {}

    def log_message(self, *_arguments):
        pass

    def answer(self, status, what):
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, {name: route.stats() for name, route in self.routes.items()})

    def do_POST(self):
        what = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))) or b"{}")
        if self.path == "/clear":
            for name in [what["route"]] if "route" in what else self.routes:
                with self.routes[name].lock:
                    self.routes[name].faults = []
                    self.routes[name].most = self.routes[name].under_way
            self.answer(200, {})
        elif self.path == "/fault" and what.get("route") in self.routes and self.is_fault(what):
            with self.routes[what["route"]].lock:
                self.routes[what["route"]].faults.append(what)
            self.answer(200, {})
        else:
            self.answer(400, {"error": "no such route or fault"})

    @staticmethod
    def is_fault(what):
        return what.get("kind") in LASTING or (what.get("kind") in PASSING and any(how in what for how in ("every", "times", "share")))


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # killed clients and refused handshakes are normal here


def cut_torn(path):
    """Removes a record that was being written when this program was killed."""
    with open(path, "a+b") as file:
        file.seek(0)
        whole = 0
        while len(head := file.read(4)) == 4:
            size = struct.unpack("<I", head)[0]
            if len(file.read(size)) < size:
                break
            whole = file.tell()
        file.truncate(whole)


def route_of(text):
    name, _, rest = text.partition("=")
    service, port, upstream = rest.split(":")
    return Route(name, service, int(port), int(upstream))


def serve(route, tls):
    server = Server(("127.0.0.1", route.port), type("RouteProxy", (Proxy,), {"route": route}))
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--route", action="append", type=route_of, required=True, metavar="NAME=SERVICE:PORT:UPSTREAM")
    parser.add_argument("--record", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--tls", action="append", default=[], metavar="NAME")
    parser.add_argument("--tls-cert")
    parser.add_argument("--tls-key")
    parser.add_argument("--tls-client-ca")
    parser.add_argument("--tls-least", choices=("1.2", "1.3"), default="1.2")
    args = parser.parse_args()
    tls = None
    if args.tls:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(args.tls_cert, args.tls_key)
        tls.minimum_version = ssl.TLSVersion.TLSv1_3 if args.tls_least == "1.3" else ssl.TLSVersion.TLSv1_2
        if args.tls_client_ca:
            tls.verify_mode = ssl.CERT_REQUIRED
            tls.load_verify_locations(args.tls_client_ca)
    records = dict(each.split("=", 1) for each in args.record)
    for path in records.values():
        cut_torn(path)
    for route in args.route:
        route.record = records.get(route.name)
        Control.routes[route.name] = route
        serve(route, tls if route.name in args.tls else None)
    control = Server(("127.0.0.1", args.port), Control)
    print("listening", flush=True)
    try:
        control.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
