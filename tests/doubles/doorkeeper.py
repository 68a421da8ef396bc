#!/usr/bin/python3
"""doorkeeper.py - a proxy that requires credentials, in front of a server that has no users.

    doorkeeper.py --to PORT --listen PORT|unix:PATH [--users FILE] [--echo]
                  [--cert FILE --key FILE [--client-ca FILE]]

It listens on 127.0.0.1 or a socket, with TLS if it has a certificate, and passes requests on to
127.0.0.1:PORT. Each line of the file is a value of the header Authorization that it accepts; the
file is read for each request. Without --users all requests pass. With --client-ca, a client needs
a certificate that this CA has signed.

Others get 401 with WWW-Authenticate before their body is looked at (RFC 9110, section 15.5.2). With
--echo the refusal repeats the header, as some proxies do.

It prints "listening" when it is ready, and a line for each request: method, path without the query,
status. Python's standard library is all it needs.
"""

import argparse
import http.client
import os
import socketserver
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE_BYTES = 65536
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "authorization"}


class Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is sent in few pieces
    options = None

    def address_string(self):
        return "client"

    def log_message(self, *_arguments):
        pass

    def log_request(self, code="-", size="-"):
        print(self.command, self.path.split("?")[0], int(code), flush=True)

    def is_known(self):
        if self.options.users is None:
            return True
        with open(self.options.users, encoding="utf-8") as users:
            return self.headers.get("Authorization") in users.read().splitlines()

    def refuse(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("WWW-Authenticate", 'Basic realm="double"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if not self.is_known():
            echo = f": {self.headers.get('Authorization')}" if self.options.echo else ""
            self.refuse(401, f"unknown credentials{echo}")
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        server = http.client.HTTPConnection("127.0.0.1", self.options.to, timeout=60)
        server.request(self.command, self.path, body or None, headers)
        answer = server.getresponse()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while piece := answer.read1(PIECE_BYTES):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if answer.status != 204:
            self.wfile.write(b"0\r\n\r\n")
        server.close()

    do_GET = do_POST = do_PUT = do_DELETE = pass_on


class SocketServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--to", type=int, required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--users")
    parser.add_argument("--echo", action="store_true")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--client-ca")
    Door.options = options = parser.parse_args()
    if options.listen.startswith("unix:"):
        server = SocketServer(options.listen[len("unix:") :], Door)
        os.chmod(options.listen[len("unix:") :], 0o660)
    else:
        server = ThreadingHTTPServer(("127.0.0.1", int(options.listen)), Door)
    if options.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert, options.key)
        if options.client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(options.client_ca)
        # The handshake is done by the thread of the connection.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.handle_error = lambda request, address: print("broken connection", flush=True)
    print("listening", flush=True)
    server.serve_forever()


main()
