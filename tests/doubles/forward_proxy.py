#!/usr/bin/python3
"""forward_proxy.py - a proxy like those between a company and the internet, with a user and a password.

    forward_proxy.py --port 3128 --user keeper --password word

It passes on requests with a whole URL (http) and connections requested with CONNECT (https), for
clients with a right "Proxy-Authorization: Basic"; others get 407. It prints a line for each
request: the method and the target, and whether it was permitted; and "saw NAME" for each header
that a proxy should not get. It prints "listening" when it is ready. Python's standard library is
all it needs.
"""

import argparse
import base64
import http.client
import select
import socket
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHUNK_BYTES = 65536


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wanted = ""

    def log_message(self, *_arguments):
        pass

    def is_known(self):
        known = self.headers.get("Proxy-Authorization", "") == self.wanted
        print(self.command, self.path, "passed" if known else "407", flush=True)
        if not known:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.answer(407, b"who are you?", [("Proxy-Authenticate", 'Basic realm="double"')])
        return known

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def pass_on(self):
        if not self.is_known():
            return
        url = urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
        upstream = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=60)
        try:
            upstream.request(self.command, urllib.parse.urlunsplit(("", "", url.path, url.query, "")), body, headers)
            answer = upstream.getresponse()
            text = answer.read()
        except OSError as error:
            self.answer(502, str(error).encode())
            return
        finally:
            upstream.close()
        skipped = ("connection", "keep-alive", "content-length", "transfer-encoding")
        self.answer(answer.status, text, [header for header in answer.getheaders() if header[0].lower() not in skipped])

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = pass_on

    def do_CONNECT(self):
        for name in ("Authorization", "X-Extra", "X-Amz-Security-Token"):
            if name in self.headers:
                print("saw", name, flush=True)
        if not self.is_known():
            return
        host, _, port = self.path.rpartition(":")
        try:
            upstream = socket.create_connection((host, int(port)), timeout=60)
        except OSError:
            self.answer(502, b"nobody there")
            return
        self.send_response(200, "Connected")
        self.end_headers()
        self.tunnel(upstream)
        self.close_connection = True

    def tunnel(self, upstream):
        ends = {self.connection: upstream, upstream: self.connection}
        with upstream:
            while True:
                for end in select.select(list(ends), [], [])[0]:
                    try:
                        data = end.recv(CHUNK_BYTES)
                        if not data:
                            return
                        ends[end].sendall(data)
                    except OSError:
                        return


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    options = parser.parse_args()
    pair = f"{options.user}:{options.password}".encode()
    Proxy.wanted = "Basic " + base64.b64encode(pair).decode()
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Proxy)
    server.daemon_threads = True
    print("listening", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
