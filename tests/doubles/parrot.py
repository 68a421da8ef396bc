#!/usr/bin/python3
"""parrot.py - servers that fail and repeat the credentials that they got, as proxies and debug pages do.

    parrot.py --seen FILE BEHAVIOUR=PORT...

    refused   401, the headers and the form in plain text
    failing   500, the same as JSON
    moved     302 to a URL with them as its user, its path and its query
    typed     400, the header lines of the answer repeat them
    wrong     200, the same text as of refused, whatever was asked

Each request begins with another of its headers, since clients show the beginning of a text. The
password of Basic is also repeated decoded, and fields of forms decoded. A path that ends with
/token answers with an access token that begins with "hush-" at every third request.

FILE gets a line for each word that begins with "hush-" and was received, so that a test can check
which secrets were in use. It prints "listening" when it is ready, and a line for each request:
behaviour and method. Python's standard library is all it needs.
"""

import base64
import itertools
import json
import re
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORD = re.compile(rb"hush-[a-z0-9-]+")
NOT_REPEATED = {"host", "content-length", "content-type", "accept", "user-agent", "connection", "accept-encoding"}
counter = itertools.count()


class Parrot(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    behaviour = ""
    seen = None

    def log_message(self, *_arguments):
        pass

    def received(self, body):
        """Returns the texts to repeat."""
        texts = []
        for name, value in self.headers.items():
            if name.lower() in NOT_REPEATED:
                continue
            texts.append(value)
            if value.startswith("Basic "):
                try:
                    texts.append(base64.b64decode(value[6:]).decode("latin-1"))
                except ValueError:
                    pass
        if self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            texts.extend(value for _, value in urllib.parse.parse_qsl(body.decode("latin-1"), encoding="latin-1"))
        return texts

    def note(self, texts, body):
        words = set()
        for text in [body, self.path.encode("latin-1")] + [text.encode("latin-1") for text in texts]:
            words.update(WORD.findall(text))
        with open(self.seen, "ab") as seen:
            for word in words:
                seen.write(word + b"\n")

    def answer(self, status, body, headers=(), reason=None):
        body = body.encode("latin-1", "replace")
        self.send_response(status, reason)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def repeat(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        print(self.behaviour, self.command, flush=True)
        texts = self.received(body)
        self.note(texts, body)
        turn = next(counter)
        if self.path.endswith("/token") and turn % 3 == 0:
            token = json.dumps({"access_token": f"hush-issued-{turn}", "token_type": "Bearer", "expires_in": 1})
            self.answer(200, token, [("Content-Type", "application/json")])
            return
        if texts:
            texts = texts[turn % len(texts) :] + texts[: turn % len(texts)]
        plain = " ".join(texts)
        quoted = urllib.parse.quote(plain, safe="", encoding="latin-1")
        first = texts[0] if texts else ""
        if self.behaviour == "refused":
            self.answer(401, f"{plain}\n{quoted}", [("Content-Type", "text/plain")])
        elif self.behaviour == "failing":
            self.answer(500, json.dumps({"status": "error", "error": plain, "message": plain}), [("Content-Type", "application/json")])
        elif self.behaviour == "moved":
            place = f"http://u:{quoted}@127.0.0.1:1/{quoted if turn % 2 else first}?again={quoted}"
            self.answer(302, "", [("Location", place)])
        elif self.behaviour == "typed":
            lines = [(name, first) for name in ("Content-Type", "WWW-Authenticate", "Retry-After", "x-amzn-ErrorType", "X-Influxdb-Error")]
            self.answer(400, quoted if turn % 2 else plain, lines, first)
        else:
            self.answer(200, plain, [("Content-Type", "application/json")])

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = repeat


def main():
    Parrot.seen = sys.argv[sys.argv.index("--seen") + 1]
    servers = []
    for word in sys.argv[1:]:
        behaviour, _, port = word.partition("=")
        if port:
            kind = type(behaviour, (Parrot,), {"behaviour": behaviour})
            servers.append(ThreadingHTTPServer(("127.0.0.1", int(port)), kind))
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    print("listening", flush=True)
    for thread in threads:
        thread.join()


main()
