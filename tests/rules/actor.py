"""actor.py - shared by the actors of tests of rules: they write samples, answer in plain text, and serve many at once.
"""

import http.server
import os
import sys
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import remote_read as wire  # noqa: E402


def write(url, series):
    """Sends (labels, [(value of 8 bytes, t_ms), ...]) by remote write 1.0, labels as sorted pairs. False: not taken."""
    body = b""
    for labels, samples in series:
        one = b"".join(wire.field(1, wire.field(1, k.encode()) + wire.field(2, v.encode())) for k, v in labels)
        one += b"".join(wire.field(2, b"\x09" + value + wire.field(2, t_ms)) for value, t_ms in samples)
        body += wire.field(1, one)
    request = urllib.request.Request(url, wire.snappy_pack(body), {
        "Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "0.1.0"})
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5).close()
    except OSError:
        return False
    return True


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body, status=200, headers=(("Content-Type", "text/plain; version=0.0.4"),)):
        body = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """A client that is killed is no news."""
