#!/usr/bin/python3
"""sigv4_client.py - requests that botocore signs for AWS, for e2e/sigv4_in.sh.

usage: sigv4_client.py COMMAND WORK [ARGUMENT...]
  send              signs and sends the requests of standard input, one per line: a status and arguments
  load STOP MINE URL...  writes and reads until the file STOP exists, each time with the first secret of the file MINE;
                    each round becomes a line of WORK/rounds: the thread and the secret
  early KEY PORT    sends a head with a long body that does not come, and prints the answer
  flood PORT        sends the beginnings of long bodies with a known key and no good signature, while others write

WORK has the secrets and the certificate of the server. Lines of `send`:

    STATUS [-X METHOD] [-d BODY] [-w NAME] [-H NAME:VALUE] [-k KEY] [-s SECRET] [-t TOKEN] [-r REGION]
           [-S SERVICE] [-a SECONDS] [-p SECONDS] [-c HASH] [-T TARGET] [-D BODY] [-A NAME:VALUE] [-G TEXT] URL

-w: the body is a remote write of one sample. -a: signed so long ago. -p: presigned, for so long. -c: the
header X-Amz-Content-Sha256; "hash": that of the body. -T, -D, -A: the target, body and a header that are sent
instead of, or besides, those that were signed. -G: a text that the answer has. Prints what differs.
"""
import argparse
import collections
import datetime
import hashlib
import http.client
import os
import shlex
import socket
import ssl
import struct
import sys
import threading
import time
import types
import urllib.parse

from remote_read import field, snappy_pack

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

WORK = sys.argv[2]
late = datetime.timedelta(0)


class Clock(datetime.datetime):
    @classmethod
    def utcnow(cls):
        return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) - late


botocore.auth.datetime = types.SimpleNamespace(datetime=Clock)
if hasattr(botocore.auth, "get_current_datetime"):
    botocore.auth.get_current_datetime = Clock.utcnow


def write_body(name):
    label = lambda k, v: field(1, field(1, k.encode()) + field(2, v.encode()))
    sample = b"\x09" + struct.pack("<d", 1.5) + field(2, int(time.time() * 1000))
    return snappy_pack(field(1, label("__name__", name) + field(2, sample)))


parser = argparse.ArgumentParser()
for flag, default in (("X", None), ("d", ""), ("w", None), ("k", "AKIASHOP"), ("s", None), ("t", None), ("r", "eu-west-1"),
                      ("S", "aps"), ("c", None), ("T", None), ("D", None), ("G", "")):
    parser.add_argument("-" + flag, default=default)
for flag in "ap":
    parser.add_argument("-" + flag, type=int, default=0)
for flag in "HA":
    parser.add_argument("-" + flag, action="append", default=[])
parser.add_argument("url")


def secret_of(key):
    with open(f"{WORK}/secrets/{key.removeprefix('AKIA').lower()}") as file:
        return file.readline().strip()


def connect(netloc, scheme):
    if scheme == "https":
        return http.client.HTTPSConnection(netloc, timeout=60, context=ssl.create_default_context(cafile=f"{WORK}/server.pem"))
    return http.client.HTTPConnection(netloc, timeout=60)


def ask(a):
    global late
    body = write_body(a.w) if a.w else a.d.encode()
    method = a.X or ("POST" if body else "GET")
    headers = dict(item.split(":", 1) for item in a.H)
    if a.w:
        headers.update({"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf",
                        "X-Prometheus-Remote-Write-Version": "0.1.0"})
    if a.c:
        headers["X-Amz-Content-SHA256"] = hashlib.sha256(body).hexdigest() if a.c == "hash" else a.c
    request = AWSRequest(method=method, url=a.url, data=body, headers=headers)
    credentials = Credentials(a.k, a.s or secret_of(a.k), a.t)
    late = datetime.timedelta(seconds=a.a)
    if a.p:
        botocore.auth.SigV4QueryAuth(credentials, a.S, a.r, expires=a.p).add_auth(request)
    else:
        botocore.auth.SigV4Auth(credentials, a.S, a.r).add_auth(request)
    prepared = request.prepare()
    parts = urllib.parse.urlsplit(prepared.url)
    target = a.T or parts.path + ("?" + parts.query if parts.query else "")
    if a.D is not None:
        body = a.D.encode()
    connection = connect(parts.netloc, parts.scheme)
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", parts.netloc)
    for name, value in prepared.headers.items():
        if name.lower() not in ("host", "content-length"):
            connection.putheader(name, value)
    for item in a.A:
        connection.putheader(*item.split(":", 1))
    connection.putheader("Content-Length", str(len(body)))
    try:
        connection.endheaders(body)
    except OSError:
        pass  # refused before all of it was sent
    response = connection.getresponse()
    return response.status, response.read().decode("utf-8", "replace")


def send():
    failed = 0
    for line in sys.stdin:
        words = shlex.split(line)
        if not words:
            continue
        a = parser.parse_args(words[1:])
        status, answer = ask(a)
        if status != int(words[0]) or a.G not in answer:
            print(f"{status}: {answer[:200]!r}: {line.strip()}")
            failed += 1
    return failed == 0


def load(stop, mine, *urls):
    failures, used = [], collections.Counter()
    rounds = open(os.path.join(WORK, "rounds"), "w", buffering=1)

    def run(number, url):
        while not os.path.exists(stop):
            with open(mine) as file:
                secret = file.readline().strip()
            for words in (["-w", "load", url + "/api/v1/write"], ["-c", "hash", "-w", "load", url + "/api/v1/write"],
                          [url + "/api/v1/query?query=load"], ["-p", "300", url + "/api/v1/labels"]):
                try:
                    status, answer = ask(parser.parse_args(["-s", secret] + words))
                    if status not in (200, 204):
                        failures.append((status, answer[:100]))
                except OSError as error:
                    failures.append(repr(error))
                used[secret] += 1
            rounds.write(f"{number} {secret}\n")

    threads = [threading.Thread(target=run, args=each) for each in enumerate(urls * 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{dict(used)} requests, failures {failures[:5]}")
    return not failures and len(used) > 1 and min(used.values()) >= 20


def unsigned_head(key, port, size):
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return (f"POST /api/v1/write HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {size}\r\nX-Amz-Date: {now}\r\n"
            f"Authorization: AWS4-HMAC-SHA256 Credential={key}/{now[:8]}/eu-west-1/aps/aws4_request, "
            f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}\r\n\r\n").encode()


def early(key, port):
    s = socket.create_connection(("127.0.0.1", int(port)))
    s.sendall(unsigned_head(key, port, 1000000))
    s.settimeout(60 if key == "AKIANONE" else 1)
    try:
        print(s.recv(4096).decode())
    except TimeoutError:
        print("no answer")
    return True


def write_with_token(port, token):
    c = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
    c.request("POST", "/api/v1/write", body=write_body("flood"), headers={
        "Authorization": "Bearer " + token, "Content-Encoding": "snappy", "Content-Type": "application/x-protobuf",
        "X-Prometheus-Remote-Write-Version": "0.1.0", "X-Scope-OrgID": "shop"})
    return c.getresponse().status


def flood(port):
    size, count = 3 << 20, 8
    url = f"http://127.0.0.1:{port}/api/v1/write"
    sockets = []
    for _ in range(count):
        s = socket.create_connection(("127.0.0.1", int(port)))
        s.settimeout(60)
        try:
            s.sendall(unsigned_head("AKIASHOP", port, size + 1) + b"x" * size)
        except OSError:
            pass
        sockets.append(s)
    other = write_with_token(port, "abc")
    refused = 0
    for s in sockets:
        s.settimeout(2)
        try:
            answer = s.recv(4096).decode()
            assert answer.startswith("HTTP/1.1 503 ") and "\r\nRetry-After: 5\r\n" in answer, answer
            refused += 1
        except TimeoutError:
            pass
        except ConnectionError:
            refused += 1
    for s in sockets:
        s.close()
    status = 503
    while status == 503:  # until their memory is given back
        status, _ = ask(parser.parse_args(["-w", "flood", url]))
    large, text = ask(parser.parse_args(["-d", "x" * (8 << 20), url]))
    print(f"refused {refused} of {count}, another user {other}, afterwards {status}, too large {large} {text!r}")
    return 0 < refused < count and other == 204 and status == 204 and large == 413


if __name__ == "__main__":
    sys.exit(not {"send": send, "load": load, "early": early, "flood": flood}[sys.argv[1]](*sys.argv[3:]))
