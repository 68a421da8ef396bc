#!/usr/bin/python3
"""s3.py - a double of the object store Amazon S3, for tests of colliding names.

    s3.py --port 8087 [--conditional enforce|ignore|refuse] [--deny GetObject ...] [--opaque-etags] [--latency SECONDS]

Buckets in the path, made by the first object in them; everything is kept in memory. It takes
PutObject, GetObject, HeadObject, DeleteObject, ListObjectsV2, CreateMultipartUpload, UploadPart,
CompleteMultipartUpload, AbortMultipartUpload and ListMultipartUploads as the service does, with its
rules:

- Content-MD5 (400 BadDigest, 400 InvalidDigest) and X-Amz-Content-Sha256 (400 XAmzContentSHA256Mismatch).
- `If-None-Match: *` and `If-Match: ETAG` of PutObject and CompleteMultipartUpload, as --conditional says: enforce
  (412 PreconditionFailed; 404 NoSuchKey for If-Match), ignore (as stores did before 2024), refuse (501 NotImplemented).
- ETags are the MD5 of the content, of uploads in parts that of the parts' MD5s and "-N"; with --opaque-etags they are
  not a checksum, as with encryption by a key of KMS. x-amz-meta-* comes back with HEAD and GET.
- Parts are named by number and ETag when an upload is completed (400 InvalidPart, InvalidPartOrder), and all but the last
  are at least 5 MiB (400 EntityTooSmall). The object's x-amz-checksum-sha256 is that of the parts' SHA-256 and "-N", if
  the upload began with that x-amz-checksum-algorithm.
- Operations named by --deny get 403 AccessDenied. Without s3:ListBucket (--deny ListObjectsV2) missing objects are 403,
  too.

- GetObject takes a Range of one first and last byte (206, 416 InvalidRange). With --latency each call that succeeds is
  answered so much later.

Signatures are not checked: s3rver and moto do that.

In addition, for tests:

    GET /-/stats    {"calls": {OPERATION: N}, "answers": {"OPERATION STATUS": N},
                     "overwritten": [keys that had other content before], "headers": [...]};
                    headers: of each PutObject and CompleteMultipartUpload, its key and conditions
    POST /-/clear   forgets counts and faults; objects stay
    POST /-/mode    {"conditional": "ignore", "deny": ["GetObject"], "latency": 0.02}: from now on
    POST /-/fault   {"operation": "PutObject", "kind": KIND, "times": N, "index": false}: the next N calls (default 1) of
                    the operation; "index" true: only of keys whose name begins with "_", false: only of others.
                    conflict   409 ConditionalRequestConflict, and nothing is stored
                    error      500 InternalError, and nothing is stored
                    cut        it is done, and the connection ends without an answer
                    damage     a bit of the body is flipped before anything is checked

It prints "listening on PORT" when it is ready. Python's standard library is all it needs.
"""

import argparse
import base64
import hashlib
import html
import json
import re
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

PART_BYTES_MIN = 5 << 20
BODY_BYTES_MAX = 64 << 20


class Refusal(Exception):
    """An answer with an error."""

    def __init__(self, status, code, message=""):
        super().__init__(message or code)
        self.status, self.code = status, code


class Cut(Exception):
    """Ends the connection."""


class Store:
    def __init__(self, options):
        self.lock = threading.Lock()
        self.objects = {}  # (bucket, key) -> (content, etag, headers)
        self.uploads = {}  # id -> (bucket, key, headers, {number: (content, etag)})
        self.conditional = options.conditional
        self.deny = set(options.deny)
        self.opaque = options.opaque_etags
        self.latency = options.latency
        self.clear()

    def clear(self):
        self.calls, self.answers, self.overwritten, self.headers, self.faults = {}, {}, [], [], []

    def fault_of(self, operation, key):
        is_index = key.rsplit("/", 1)[-1].startswith("_")
        for fault in self.faults:
            if fault["operation"] != operation or fault["times"] == 0:
                continue
            if fault.get("index") is not None and fault["index"] != is_index:
                continue
            fault["times"] -= 1
            return fault["kind"]
        return None

    def check(self, bucket, key, headers):
        none_match, match = headers.get("If-None-Match"), headers.get("If-Match")
        self.headers.append({"key": key, "if_none_match": none_match, "if_match": match})
        if none_match is None and match is None or self.conditional == "ignore":
            return
        if self.conditional == "refuse":
            raise Refusal(501, "NotImplemented", "A header you provided implies functionality that is not implemented")
        there = self.objects.get((bucket, key))
        if none_match is not None and none_match != "*":
            raise Refusal(501, "NotImplemented", "If-None-Match takes nothing but *")
        if none_match == "*" and there is not None:
            raise Refusal(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
        if match is not None and there is None:
            raise Refusal(404, "NoSuchKey", "The specified key does not exist.")
        if match is not None and match.strip('"') != there[1]:
            raise Refusal(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")

    def put(self, bucket, key, content, etag, headers):
        there = self.objects.get((bucket, key))
        if there is not None and there[0] != content:
            self.overwritten.append(key)
        if self.opaque:
            etag = uuid.uuid4().hex
        self.objects[bucket, key] = (content, etag, headers)
        return etag


def kept_headers(headers):
    kept = {k.lower(): v for k, v in headers.items() if k.lower().startswith(("x-amz-meta-", "x-amz-checksum-"))}
    kept["content-type"] = headers.get("Content-Type", "binary/octet-stream")
    return kept


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    disable_nagle_algorithm = True
    store = None

    def log_message(self, *arguments):
        pass

    # --- requests -----------------------------------------------------------------------------

    def read_body(self):
        size = int(self.headers.get("Content-Length", 0))
        if size > BODY_BYTES_MAX:
            raise Refusal(400, "EntityTooLarge")
        return self.rfile.read(size)

    def check_body(self, body):
        md5, sha256 = self.headers.get("Content-MD5"), self.headers.get("X-Amz-Content-Sha256")
        if md5 is not None:
            try:
                wanted = base64.b64decode(md5, validate=True)
            except ValueError:
                raise Refusal(400, "InvalidDigest", "The Content-MD5 you specified is not valid.") from None
            if wanted != hashlib.md5(body).digest():
                raise Refusal(400, "BadDigest", "The Content-MD5 you specified did not match what we received.")
        if sha256 is not None and re.fullmatch("[0-9a-f]{64}", sha256) and sha256 != hashlib.sha256(body).hexdigest():
            raise Refusal(400, "XAmzContentSHA256Mismatch")

    def operation_of(self, method, key, query):
        if not key:
            if "uploads" in query:
                return "ListMultipartUploads"
            return "HeadBucket" if method == "HEAD" else "ListObjectsV2" if method == "GET" else "CreateBucket"
        if method == "POST":
            return "CreateMultipartUpload" if "uploads" in query else "CompleteMultipartUpload"
        if "uploadId" in query:
            return {"PUT": "UploadPart", "DELETE": "AbortMultipartUpload"}[method]
        return {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}[method]

    def answer(self, status, body=b"", headers=None, is_head=False, size=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if size is None else size))
        self.end_headers()
        if not is_head:
            self.wfile.write(body)

    def answer_xml(self, root, inner):
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inner}</{root}>'
        self.answer(200, text.encode(), {"Content-Type": "application/xml"})

    def handle_call(self, method):
        url = urlsplit(self.path)
        if url.path.startswith("/-/"):
            self.control(method, url.path[3:])
            return
        query = {k: v[0] for k, v in parse_qs(url.query, keep_blank_values=True).items()}
        bucket, _, key = unquote(url.path)[1:].partition("/")
        operation = self.operation_of(method, key, query)
        store, status = self.store, 200
        try:
            body = self.read_body()
            with store.lock:
                store.calls[operation] = store.calls.get(operation, 0) + 1
                kind = store.fault_of(operation, key)
                denied = operation in store.deny or (operation == "HeadObject" and "GetObject" in store.deny)
                if kind == "conflict":
                    raise Refusal(409, "ConditionalRequestConflict", "The conditional request cannot succeed due to a conflicting operation.")
                if kind == "error":
                    raise Refusal(500, "InternalError", "We encountered an internal error.")
                if denied:
                    raise Refusal(403, "AccessDenied", "Access Denied")
                if kind == "damage" and body:
                    body = bytes([body[0] ^ 1]) + body[1:]
                self.check_body(body)
                done = getattr(self, "do_" + operation)(bucket, key, query, body)
            if kind == "cut":
                raise Cut()
            time.sleep(store.latency)
            done()
        except Cut:
            status = 0
            self.close_connection = True
        except Refusal as refusal:
            status = refusal.status
            text = f"<Error><Code>{refusal.code}</Code><Message>{escape(str(refusal))}</Message></Error>"
            self.answer(status, text.encode(), {"Content-Type": "application/xml"}, method == "HEAD")
        with store.lock:
            name = f"{operation} {status}"
            store.answers[name] = store.answers.get(name, 0) + 1

    def do_GET(self):
        self.handle_call("GET")

    def do_HEAD(self):
        self.handle_call("HEAD")

    def do_PUT(self):
        self.handle_call("PUT")

    def do_POST(self):
        self.handle_call("POST")

    def do_DELETE(self):
        self.handle_call("DELETE")

    # --- operations, under the lock; each returns the action that answers ----------------------------

    def do_HeadBucket(self, bucket, key, query, body):
        return lambda: self.answer(200, b"", {"x-amz-bucket-region": "eu-west-1"}, True)

    def do_CreateBucket(self, bucket, key, query, body):
        return lambda: self.answer(200)

    def do_PutObject(self, bucket, key, query, body):
        self.store.check(bucket, key, self.headers)
        etag = self.store.put(bucket, key, body, hashlib.md5(body).hexdigest(), kept_headers(self.headers))
        return lambda: self.answer(200, b"", {"ETag": f'"{etag}"'})

    def find(self, bucket, key):
        there = self.store.objects.get((bucket, key))
        if there is None:
            if "ListObjectsV2" in self.store.deny:
                raise Refusal(403, "AccessDenied", "Access Denied")
            raise Refusal(404, "NoSuchKey", "The specified key does not exist.")
        content, etag, headers = there
        return content, {"ETag": f'"{etag}"', **headers}

    def do_GetObject(self, bucket, key, query, body):
        content, headers = self.find(bucket, key)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if wanted is None:
            return lambda: self.answer(200, content, headers)
        first, last = int(wanted[1]), min(int(wanted[2]), len(content) - 1)
        if first > last:
            raise Refusal(416, "InvalidRange", "The requested range is not satisfiable")
        headers = {**headers, "Content-Range": f"bytes {first}-{last}/{len(content)}"}
        return lambda: self.answer(206, content[first:last + 1], headers)

    def do_HeadObject(self, bucket, key, query, body):
        content, headers = self.find(bucket, key)
        return lambda: self.answer(200, b"", headers, True, len(content))

    def do_DeleteObject(self, bucket, key, query, body):
        self.store.objects.pop((bucket, key), None)
        return lambda: self.answer(204)

    def do_ListObjectsV2(self, bucket, key, query, body):
        prefix = query.get("prefix", "")
        found = sorted(k for b, k in self.store.objects if b == bucket and k.startswith(prefix))
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        inner = f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(found)}</KeyCount><IsTruncated>false</IsTruncated>"
        for k in found:
            content, etag, _ = self.store.objects[bucket, k]
            inner += (f"<Contents><Key>{escape(k)}</Key><LastModified>{now}</LastModified><ETag>&quot;{etag}&quot;</ETag>"
                      f"<Size>{len(content)}</Size><StorageClass>STANDARD</StorageClass></Contents>")
        return lambda: self.answer_xml("ListBucketResult", inner)

    def do_CreateMultipartUpload(self, bucket, key, query, body):
        name = uuid.uuid4().hex
        self.store.uploads[name] = (bucket, key, kept_headers(self.headers), {})
        inner = f"<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key><UploadId>{name}</UploadId>"
        return lambda: self.answer_xml("InitiateMultipartUploadResult", inner)

    def upload(self, bucket, key, query):
        there = self.store.uploads.get(query["uploadId"])
        if there is None or there[:2] != (bucket, key):
            raise Refusal(404, "NoSuchUpload", "The specified upload does not exist.")
        return there

    def do_UploadPart(self, bucket, key, query, body):
        etag = hashlib.md5(body).hexdigest()
        self.upload(bucket, key, query)[3][int(query["partNumber"])] = (body, etag)
        return lambda: self.answer(200, b"", {"ETag": f'"{etag}"'})

    def do_CompleteMultipartUpload(self, bucket, key, query, body):
        _, _, headers, parts = self.upload(bucket, key, query)
        named = re.findall(r'<PartNumber>(\d+)</PartNumber>\s*<ETag>"?([^<"]+)', html.unescape(body.decode()))
        numbers = [int(number) for number, _ in named]
        if not named or numbers != sorted(numbers):
            raise Refusal(400, "InvalidPartOrder")
        for at, (number, etag) in enumerate(named):
            if int(number) not in parts or parts[int(number)][1] != etag:
                raise Refusal(400, "InvalidPart")
            if at + 1 < len(named) and len(parts[int(number)][0]) < PART_BYTES_MIN:
                raise Refusal(400, "EntityTooSmall")
        self.store.check(bucket, key, self.headers)
        content = b"".join(parts[n][0] for n in numbers)
        etag = hashlib.md5(b"".join(bytes.fromhex(parts[n][1]) for n in numbers)).hexdigest() + f"-{len(numbers)}"
        if headers.pop("x-amz-checksum-algorithm", "") == "SHA256":
            digest = hashlib.sha256(b"".join(hashlib.sha256(parts[n][0]).digest() for n in numbers)).digest()
            headers["x-amz-checksum-sha256"] = base64.b64encode(digest).decode() + f"-{len(numbers)}"
        etag = self.store.put(bucket, key, content, etag, headers)
        del self.store.uploads[query["uploadId"]]
        inner = f"<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key><ETag>&quot;{etag}&quot;</ETag>"
        return lambda: self.answer_xml("CompleteMultipartUploadResult", inner)

    def do_AbortMultipartUpload(self, bucket, key, query, body):
        self.upload(bucket, key, query)
        del self.store.uploads[query["uploadId"]]
        return lambda: self.answer(204)

    def do_ListMultipartUploads(self, bucket, key, query, body):
        prefix = query.get("prefix", "")
        inner = f"<Bucket>{bucket}</Bucket><IsTruncated>false</IsTruncated>"
        for name, (b, k, _, _) in self.store.uploads.items():
            if b == bucket and k.startswith(prefix):
                inner += f"<Upload><Key>{escape(k)}</Key><UploadId>{name}</UploadId></Upload>"
        return lambda: self.answer_xml("ListMultipartUploadsResult", inner)

    # --- for tests -------------------------------------------------------------------------------

    def control(self, method, what):
        store, body = self.store, self.read_body()
        told = json.loads(body) if body else {}
        with store.lock:
            if method == "GET" and what == "stats":
                said = {"calls": store.calls, "answers": store.answers, "overwritten": store.overwritten, "headers": store.headers,
                        "uploads": sorted(u[1] for u in store.uploads.values())}
            elif method == "POST" and what == "clear":
                store.clear()
                said = {}
            elif method == "POST" and what == "mode":
                store.conditional = told.get("conditional", store.conditional)
                store.deny = set(told.get("deny", store.deny))
                store.latency = told.get("latency", store.latency)
                said = {}
            elif method == "POST" and what == "fault":
                store.faults.append({"times": 1, **told})
                said = {}
            else:
                self.answer(404)
                return
        self.answer(200, json.dumps(said).encode() + b"\n", {"Content-Type": "application/json"})


def main():
    parser = argparse.ArgumentParser(description="A double of Amazon S3, for tests.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--conditional", choices=("enforce", "ignore", "refuse"), default="enforce")
    parser.add_argument("--deny", action="append", default=[])
    parser.add_argument("--opaque-etags", action="store_true")
    parser.add_argument("--latency", type=float, default=0)
    options = parser.parse_args()
    Handler.store = Store(options)
    ThreadingHTTPServer.request_queue_size = 128
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    server.daemon_threads = True
    print(f"listening on {options.port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
