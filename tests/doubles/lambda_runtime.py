#!/usr/bin/python3
"""lambda_runtime.py - AWS Lambda: the runtime API that a function calls, the gateways in front of it,
and the process of the function.

    lambda_runtime.py --listen PORT [--environment NAME=VALUE]... [--concurrency N]
                      [--timeout SECONDS] [--init-timeout SECONDS] [--freeze] [--iam KEY:SECRET]
                      [--root KIND]
                      -- BOOTSTRAP [WORD...]

It starts the program as Lambda does, with nothing in its environment but what Lambda and
--environment put there. 127.0.0.1:PORT has three kinds of paths:

  /2018-06-01/...            the runtime API, for the function
  /KIND/PATH?QUERY           a request that a gateway packs into an event, and whose answer it unpacks:
                             KIND is http (HTTP API, payload 2.0, stage "dev"), default (the same, stage
                             $default), http1 (HTTP API, payload 1.0), rest (REST API, payload 1.0), url
                             (function URL), stream (function URL with RESPONSE_STREAM)
  /invoke                    POST: the body is an event; answers with what the function answers
  /stats                     JSON: what happened, see below
  /restart                   POST: the process is killed, as Lambda does, and started again

With --iam, gateways let in only requests that are signed with this key (Signature Version 4): for the
service execute-api, function URLs for lambda. The event then has the ARN of the caller. Others get 403.
Without it no gateway verifies anything. With --root, all other paths are of that kind.

What it enforces, as Lambda does (AWS Lambda Developer Guide, "Using the Lambda runtime API",
"Building a custom runtime", "Response streaming", "Lambda quotas"; API Gateway Developer Guide,
"Lambda integrations"; and for sizes and states aws-lambda-runtime-interface-emulator):

  - an event and an answer have at most 6 MiB; a larger answer gets 413, and the invocation fails
  - the answer belongs to the invocation that is running, and comes once: 400 and 403 otherwise
  - an invocation that is not answered within --timeout fails, and the process is killed
  - a stream has the header Lambda-Runtime-Function-Response-Mode: streaming, chunks, and for gateways
    the content type application/vnd.awslambda.http-integration-response and a prelude of JSON that
    eight NUL bytes end; errors are in trailers
  - `next` must follow within 10 s of the start
  - the answer of a gateway has a status, headers of valid names, and a body that is base64 if it says
    so; otherwise the gateway answers 502, as after each failure

With --freeze, the process is stopped (SIGSTOP) while it waits for an invocation.

/stats: starts, init_ms (from exec to the first `next`, of each start), init_errors, invocations,
failures (with reasons), streams, answer_bytes_max. Python's standard library is all it needs.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LIMIT_BYTES = 6 * 1024 * 1024
STREAM_TYPE = "application/vnd.awslambda.http-integration-response"
PRELUDE_END = b"\0" * 8
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
ACCOUNT = "123456789012"


class Invocation:
    def __init__(self, event, seconds):
        self.id = str(uuid.uuid4())
        self.event = event
        self.deadline = time.time() + seconds
        self.state = "queued"
        self.pieces = queue.Queue()  # (kind, bytes): answer, begin, piece, end, fail

    def fail(self, reason):
        self.state = "done"
        self.pieces.put(("fail", reason.encode()))


class Function:
    """The process, and what the runtime API knows about it."""

    def __init__(self, options):
        self.options = options
        self.lock = threading.Lock()
        self.waiting = queue.Queue()
        self.running = {}
        self.process = None
        self.idle = 0
        self.started = 0.0
        self.ready = threading.Event()
        self.stats = {"starts": 0, "init_ms": [], "init_errors": [], "invocations": 0, "failures": [], "streams": 0,
                      "answer_bytes_max": 0}

    def start(self):
        environment = {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.options.listen}",
            "LAMBDA_TASK_ROOT": os.path.dirname(os.path.abspath(self.options.bootstrap[0])),
            "_HANDLER": "bootstrap",
            "AWS_REGION": "us-east-1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_FUNCTION_NAME": "firekeep",
            "AWS_ACCESS_KEY_ID": "ASIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_SESSION_TOKEN": "session",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "TZ": ":UTC",
        }
        if self.options.concurrency > 1:
            environment["AWS_LAMBDA_MAX_CONCURRENCY"] = str(self.options.concurrency)
        environment.update(pair.split("=", 1) for pair in self.options.environment)
        self.ready.clear()
        self.idle = 0
        self.stats["starts"] += 1
        self.started = time.monotonic()
        self.process = subprocess.Popen(self.options.bootstrap, env=environment, cwd="/", stdin=subprocess.DEVNULL)
        threading.Thread(target=self.watch, args=(self.process,), daemon=True).start()

    def watch(self, process):
        if not self.ready.wait(self.options.init_timeout) and process.poll() is None:
            self.stats["failures"].append(f"Sandbox.Timedout: no `next` within {self.options.init_timeout} s")
            process.kill()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()  # Lambda sends SIGTERM only to functions with extensions
            self.process.wait()

    def freeze(self, is_frozen):
        if self.options.freeze and self.process.poll() is None:
            self.process.send_signal(signal.SIGSTOP if is_frozen else signal.SIGCONT)

    def ensure(self):
        """A process is there, as for each invocation."""
        with self.lock:
            if self.process is None or self.process.poll() is not None:
                self.start()

    def begin(self, event):
        if len(event) > LIMIT_BYTES:
            return None
        invocation = Invocation(event, self.options.timeout)
        self.ensure()
        self.stats["invocations"] += 1
        self.waiting.put(invocation)
        with self.lock:
            if self.idle > 0:
                self.freeze(False)
        threading.Thread(target=self.expire, args=(invocation,), daemon=True).start()
        return invocation

    def expire(self, invocation):
        time.sleep(max(0.0, invocation.deadline - time.time()))
        if invocation.state != "done":
            self.failed(invocation, f"Task timed out after {self.options.timeout} seconds")
            self.stop()

    def failed(self, invocation, reason):
        self.stats["failures"].append(reason)
        self.running.pop(invocation.id, None)
        invocation.fail(reason)

    def next(self):
        with self.lock:
            if not self.ready.is_set():
                self.stats["init_ms"].append(round((time.monotonic() - self.started) * 1000, 1))
                self.ready.set()
            self.idle += 1
            process = self.process
            if self.idle == self.options.concurrency and self.waiting.empty():
                self.freeze(True)
        while True:
            try:
                invocation = self.waiting.get(timeout=0.2)
            except queue.Empty:
                invocation = None
            if process is not self.process or process.poll() is not None:
                if invocation is not None:
                    self.waiting.put(invocation)
                return None
            if invocation is not None:
                break
        with self.lock:
            self.idle -= 1
            self.freeze(False)
        invocation.state = "running"
        self.running[invocation.id] = invocation
        return invocation


def is_signed(handler, body, service, key, secret):
    """Verifies a signature as of "Signature Version 4 signing process", of headers and body."""
    given = handler.headers.get("Authorization", "")
    match = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/,]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
                         r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})", given)
    if match is None or match[1] != key or match[4] != service:
        return False
    day, region, names, signature = match[2], match[3], match[5], match[6]
    path, _, query = handler.path.partition("?")
    lines = [handler.command, urllib.parse.quote(path, safe="/-_.~"), "&".join(sorted(query.split("&")))]
    lines += [f"{name}:{' '.join(handler.headers.get(name, '').split())}" for name in names.split(";")]
    digest = handler.headers.get("X-Amz-Content-Sha256") or hashlib.sha256(body).hexdigest()
    canonical = "\n".join([*lines, "", names, digest])
    text = "\n".join(["AWS4-HMAC-SHA256", handler.headers.get("X-Amz-Date", ""), f"{day}/{region}/{service}/aws4_request",
                      hashlib.sha256(canonical.encode()).hexdigest()])
    derived = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request", text):
        derived = hmac.new(derived, part.encode(), "sha256").digest()
    return hmac.compare_digest(derived.hex(), signature)


class Gateway:
    """Packs requests into events, and unpacks answers."""

    TEXT = ("text/", "application/json", "application/xml", "application/javascript")

    def __init__(self, kind, handler, target, body, caller):
        self.kind = kind
        self.handler = handler
        self.body = body
        self.path, _, self.query = target.partition("?")
        self.caller = caller
        self.headers = [(n, v) for n, v in handler.headers.items() if n.lower() != "connection"]

    def encoded_body(self, as_base64):
        if not self.body:
            return None, False
        if as_base64:
            return base64.b64encode(self.body).decode(), True
        return self.body.decode("utf-8", "replace"), False

    def context(self, stage, domain):
        return {"accountId": ACCOUNT, "apiId": "abc123", "stage": stage, "domainName": domain, "requestId": "r-1"}

    def event_2(self, stage, domain):
        joined = {}
        for name, value in self.headers:
            if name.lower() != "cookie":
                joined[name.lower()] = f"{joined[name.lower()]},{value}" if name.lower() in joined else value
        content_type = joined.get("content-type", "")
        body, is_base64 = self.encoded_body(not content_type.startswith(self.TEXT))
        path = self.path if stage == "$default" else f"/{stage}{self.path}"
        event = {"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": self.query,
                 "headers": joined, "requestContext": self.context(stage, domain), "isBase64Encoded": is_base64}
        cookies = [c.strip() for n, v in self.headers if n.lower() == "cookie" for c in v.split(";")]
        if cookies:
            event["cookies"] = cookies
        if body is not None:
            event["body"] = body
        event["requestContext"]["http"] = {"method": self.handler.command, "path": path, "protocol": "HTTP/1.1",
                                           "sourceIp": "192.0.2.1", "userAgent": joined.get("user-agent", "")}
        if self.caller:
            event["requestContext"]["authorizer"] = {"iam": {
                "accessKey": "AKIA", "accountId": ACCOUNT, "callerId": "AIDA", "userArn": self.caller, "userId": "AIDA"}}
        return event

    def event_1(self, has_stage):
        single, many = {}, {}
        for name, value in self.headers:
            single[name] = value
            many.setdefault(name, []).append(value)
        arguments = urllib.parse.parse_qs(self.query, keep_blank_values=True)
        stage_path = f"/dev{self.path}"
        path = stage_path if has_stage else self.path
        content_type = single.get("Content-Type", "")
        body, is_base64 = self.encoded_body(not content_type.startswith(self.TEXT))
        context = self.context("dev", "abc123.execute-api.us-east-1.amazonaws.com")
        context.update({"path": stage_path, "httpMethod": self.handler.command, "protocol": "HTTP/1.1",
                        "identity": {"sourceIp": "192.0.2.1", "userArn": self.caller, "caller": None}})
        event = {"resource": "/{proxy+}", "path": path, "httpMethod": self.handler.command, "headers": single,
                 "multiValueHeaders": many, "requestContext": context, "body": body, "isBase64Encoded": is_base64,
                 "queryStringParameters": {n: v[-1] for n, v in arguments.items()} or None,
                 "multiValueQueryStringParameters": arguments or None, "pathParameters": None, "stageVariables": None}
        if has_stage:
            event["version"] = "1.0"
        return event

    def event(self):
        api = "abc123.execute-api.us-east-1.amazonaws.com"
        url = "abc123.lambda-url.us-east-1.on.aws"
        return {"http": lambda: self.event_2("dev", api), "default": lambda: self.event_2("$default", api),
                "http1": lambda: self.event_1(True), "rest": lambda: self.event_1(False),
                "url": lambda: self.event_2("$default", url), "stream": lambda: self.event_2("$default", url)}[self.kind]()

    @staticmethod
    def unpack(answer):
        """Returns status, headers and body; ValueError: the gateway answers 502."""
        document = json.loads(answer)
        if not isinstance(document, dict) or not isinstance(document.get("statusCode"), int):
            raise ValueError("the answer has no statusCode")
        body = document.get("body") or ""
        if not isinstance(body, str):
            raise ValueError("the body is not a string")
        raw = base64.b64decode(body, validate=True) if document.get("isBase64Encoded") else body.encode()
        return document["statusCode"], Gateway.check_headers(document), raw

    @staticmethod
    def check_headers(document):
        headers = []
        for name, value in (document.get("headers") or {}).items():
            if not TOKEN.match(name) or not isinstance(value, (str, int, float, bool)):
                raise ValueError(f"invalid header {name}")
            headers.append((name, str(value)))
        return headers + [("Set-Cookie", cookie) for cookie in document.get("cookies") or []]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    function = None

    def log_message(self, *_arguments):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def chunks(self):
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            if size == 0:
                break
            yield self.rfile.read(size)
            self.rfile.readline()
        trailers = {}
        while line := self.rfile.readline().strip():
            name, _, value = line.decode().partition(":")
            trailers[name.lower()] = value.strip()
        self.trailers = trailers

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(self.chunks())
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    # --- the runtime API

    def runtime(self, path):
        if path == "invocation/next" and self.command == "GET":
            return self.next()
        if path == "init/error" and self.command == "POST":
            self.function.stats["init_errors"].append(json.loads(self.body()))
            return self.answer(202, b'{"status":"OK"}')
        match = re.fullmatch(r"invocation/([^/]+)/(response|error)", path)
        if match is None or self.command != "POST":
            self.body()
            return self.answer(404)
        invocation = self.function.running.pop(match.group(1), None)
        if invocation is None:
            self.body()
            return self.answer(400, b'{"errorType":"InvalidRequestID"}')
        if match.group(2) == "error":
            self.function.failed(invocation, self.body().decode())
            return self.answer(202)
        if self.headers.get("Lambda-Runtime-Function-Response-Mode") == "streaming":
            return self.take_stream(invocation)
        body = self.body()
        self.function.stats["answer_bytes_max"] = max(self.function.stats["answer_bytes_max"], len(body))
        if len(body) > LIMIT_BYTES:
            self.function.failed(invocation, "Function.ResponseSizeTooLarge")
            return self.answer(413, b'{"errorType":"RequestEntityTooLarge"}')
        invocation.state = "done"
        invocation.pieces.put(("answer", body))
        return self.answer(202)

    def next(self):
        invocation = self.function.next()
        if invocation is None:
            self.close_connection = True
            return
        self.answer(200, invocation.event, [
            ("Content-Type", "application/json"), ("Lambda-Runtime-Aws-Request-Id", invocation.id),
            ("Lambda-Runtime-Deadline-Ms", str(int(invocation.deadline * 1000))),
            ("Lambda-Runtime-Invoked-Function-Arn", f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:firekeep"),
            ("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1")])

    def take_stream(self, invocation):
        self.function.stats["streams"] += 1
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            self.body()
            self.function.failed(invocation, "Runtime.InvalidResponseStream")
            return self.answer(400)
        invocation.pieces.put(("begin", self.headers.get("Content-Type", "").encode()))
        for piece in self.chunks():
            invocation.pieces.put(("piece", piece))
        invocation.state = "done"
        error = self.trailers.get("lambda-runtime-function-error-type")
        if error:
            json.loads(base64.b64decode(self.trailers["lambda-runtime-function-error-body"], validate=True))
            self.function.failed(invocation, error)
        else:
            invocation.pieces.put(("end", b""))
        return self.answer(202)

    # --- gateways

    def bad_gateway(self, reason):
        self.function.stats["failures"].append(reason)
        self.answer(502, json.dumps({"message": "Internal Server Error", "reason": reason}).encode())

    def gateway(self, kind, target):
        body, caller = self.body(), None
        if self.function.options.iam:
            key, secret = self.function.options.iam.split(":")
            if not is_signed(self, body, "lambda" if kind in ("url", "stream") else "execute-api", key, secret):
                return self.answer(403, b'{"message":"Forbidden"}')
            caller = f"arn:aws:iam::{ACCOUNT}:user/{key}"
        gateway = Gateway(kind, self, target, body, caller)
        invocation = self.function.begin(json.dumps(gateway.event()).encode())
        if invocation is None:
            return self.answer(413, b'{"message":"Request Entity Too Large"}')
        what, piece = invocation.pieces.get()
        if what == "fail":
            return self.answer(502, b'{"message":"Internal Server Error"}')
        if what == "begin":
            return self.pass_stream(kind, invocation, piece.decode())
        try:
            status, headers, body = Gateway.unpack(piece)
        except ValueError as error:
            return self.bad_gateway(str(error))
        return self.answer(status, body, headers)

    def pass_stream(self, kind, invocation, content_type):
        """A stream for a gateway that buffers is not unpacked: it is the body."""
        head = b""
        while PRELUDE_END not in head:
            what, piece = invocation.pieces.get()
            if what != "piece":
                return self.bad_gateway("a stream without a prelude")
            head += piece
        prelude, _, rest = head.partition(PRELUDE_END)
        if kind != "stream" or content_type != STREAM_TYPE:
            return self.bad_gateway(f"a stream of {content_type} for {kind}")
        document = json.loads(prelude)
        self.send_response(document["statusCode"])
        for name, value in Gateway.check_headers(document):
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            if rest:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(rest), rest))
            what, rest = invocation.pieces.get()
            if what == "end":
                self.wfile.write(b"0\r\n\r\n")
                return None
            if what == "fail":
                self.close_connection = True
                return None

    def invoke(self):
        invocation = self.function.begin(self.body())
        if invocation is None:
            return self.answer(413)
        what, piece = invocation.pieces.get()
        return self.answer(200 if what == "answer" else 502, piece)

    def dispatch(self):
        first, _, rest = self.path[1:].partition("/")
        if first == "2018-06-01":
            return self.runtime(rest.removeprefix("runtime/"))
        if first in ("http", "default", "http1", "rest", "url", "stream"):
            return self.gateway(first, f"/{rest}")
        if self.path == "/invoke":
            return self.invoke()
        if self.path == "/restart":
            self.body()
            self.function.stop()
            self.function.ensure()
            is_ready = self.function.ready.wait(10)
            return self.answer(204 if is_ready else 504)
        if self.path == "/stats":
            return self.answer(200, json.dumps(self.function.stats).encode(), [("Content-Type", "application/json")])
        if self.function.options.root:
            return self.gateway(self.function.options.root, self.path)
        return self.answer(404)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = dispatch


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", type=int, required=True)
    parser.add_argument("--environment", action="append", default=[])
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=30)
    parser.add_argument("--init-timeout", type=float, default=10)
    parser.add_argument("--freeze", action="store_true")
    parser.add_argument("--iam")
    parser.add_argument("--root")
    parser.add_argument("bootstrap", nargs="+")
    options = parser.parse_args()
    Handler.function = Function(options)
    server = ThreadingHTTPServer(("127.0.0.1", options.listen), Handler)
    server.daemon_threads = True
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        print("listening", flush=True)
        Handler.function.ensure()
        server.serve_forever()
    finally:
        Handler.function.stop()


if __name__ == "__main__":
    main()
