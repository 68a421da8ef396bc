#!/usr/bin/python3
"""oidc.py - an issuer of tokens: OpenID Connect discovery, a key set, and OAuth 2.0 client credentials.

    oidc.py --port PORT --dir DIR [--cert FILE --key FILE]

It listens on 127.0.0.1, with TLS if it has a certificate; its issuer is http(s)://localhost:PORT.
Keys are kept in DIR, so that a second run has those of the first.

    GET  /.well-known/openid-configuration   OpenID Connect Discovery 1.0, section 4
    GET  /keys                               RFC 7517: keys of RSA, P-256, P-384, P-521, Ed25519 and Ed448
    POST /token                              RFC 6749, section 4.4: a token for client "prometheus" with the
                                             secret "hush"; the parameter `claims` has its claims as JSON

For the tests, from the same address:

    POST /sign      the body {"alg": A, "claims": {...}, "header": {...}, "key": ID} gives a token. The
                    header has the key's ID unless it says otherwise (null leaves a field out); `key` names
                    another key to sign with: "stranger" is a key that no set has. alg "none" has an empty
                    signature, "HS256" is keyed with the public key of RSA, as PEM (RFC 8725, section 2.1).
                    Claims that are missing are `iss`, `aud` ("firekeep"), `sub`, `iat`, and `exp`, in an hour;
                    null leaves a claim out. A number of `exp`, `nbf` and `iat` is in seconds from now.
    POST /rotate    replaces all keys
    POST /mode      the body is how GET requests are answered from now on. An issuer whose path is a mode,
                    such as https://localhost:PORT/hang, always has that one.
                      good
                      hang       never
                      drip       one byte per second
                      garbage    a page of HTML with status 200
                      huge       a document of 40 MB
                      redirect   302 to /moved/..., which is good
                      error      500
                      liar       a document of another issuer
                      downgrade  a document whose jwks_uri has http
                      symmetric  a key set whose only key is the symmetric one of RFC 7517, appendix A.3
                      empty      a key set without keys

It prints "listening" when it is ready, and a line for each GET: its path.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
CURVES = {"ES256": ("P-256", ec.SECP256R1, 32), "ES384": ("P-384", ec.SECP384R1, 48), "ES512": ("P-521", ec.SECP521R1, 66)}
KINDS = ["RS", "ES256", "ES384", "ES512", "Ed25519", "Ed448", "stranger"]
MODES = ("good", "hang", "drip", "garbage", "huge", "redirect", "error", "liar", "downgrade", "symmetric", "empty")
DOCUMENT_BYTES = 40_000_000
SYMMETRIC = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"


def encode(data):
    """base64url without padding: RFC 7515, section 2."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, size=None):
    return encode(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def new_key(kind):
    if kind in ("RS", "stranger"):
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if kind == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "Ed448":
        return ed448.Ed448PrivateKey.generate()
    return ec.generate_private_key(CURVES[kind][1]())


def jwk_of(kind, kid, private):
    """The public key as RFC 7518, section 6, and RFC 8037, section 2, have it."""
    public = private.public_key()
    jwk = {"kid": kid, "use": "sig"}
    if kind in CURVES:
        name, _, size = CURVES[kind]
        point = public.public_numbers()
        return {**jwk, "kty": "EC", "crv": name, "alg": kind, "x": number(point.x, size), "y": number(point.y, size)}
    if kind.startswith("Ed"):
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {**jwk, "kty": "OKP", "crv": kind, "x": encode(raw)}
    numbers = public.public_numbers()
    return {**jwk, "kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}


def sign(alg, private, data):
    """A signature as RFC 7518, section 3, and RFC 8037, section 3.1, have it."""
    if alg == "none":
        return b""
    if alg == "HS256":
        pem = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return hmac.new(pem, data, hashlib.sha256).digest()
    if alg == "EdDSA":
        return private.sign(data)
    digest = HASHES[alg[2:]]()
    if alg.startswith("RS"):
        return private.sign(data, padding.PKCS1v15(), digest)
    if alg.startswith("PS"):
        return private.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    size = CURVES[alg][2]
    r, s = decode_dss_signature(private.sign(data, ec.ECDSA(digest)))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


class Issuer:
    def __init__(self, options):
        self.path = os.path.join(options.dir, "issuer.json")
        scheme = "https" if options.cert else "http"
        self.name = f"{scheme}://localhost:{options.port}"
        self.mode = "good"
        self.generation = 0
        self.keys = {}
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as file:
                kept = json.load(file)
            self.generation = kept["generation"]
            self.keys = {kind: serialization.load_pem_private_key(pem.encode(), None) for kind, pem in kept["keys"].items()}
        else:
            self.rotate()

    def rotate(self):
        self.generation += 1
        self.keys = {kind: new_key(kind) for kind in KINDS}
        pems = {
            kind: key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ).decode()
            for kind, key in self.keys.items()
        }
        with open(self.path, "w", encoding="utf-8") as file:
            json.dump({"generation": self.generation, "keys": pems}, file)

    def kid(self, kind):
        return f"{kind}-{self.generation}"

    def key_set(self, mode):
        if mode == "empty":
            return {"keys": []}
        if mode == "symmetric":
            return {"keys": [{"kty": "oct", "kid": self.kid("RS"), "k": SYMMETRIC}]}
        return {"keys": [jwk_of(kind, self.kid(kind), key) for kind, key in self.keys.items() if kind != "stranger"]}

    def document(self, mode, realm):
        issuer = "https://localhost:1" if mode == "liar" else self.name + realm
        keys = f"{self.name}{realm}/keys"
        if mode == "downgrade":
            keys = keys.replace("https", "http")
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{self.name}/authorize",
            "token_endpoint": f"{self.name}/token",
            "jwks_uri": keys,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def token(self, asked):
        alg = asked.get("alg", "RS256")
        kind = "Ed25519" if alg == "EdDSA" else "RS" if alg in ("none", "HS256") or alg[:2] in ("RS", "PS") else alg
        kind = asked.get("key", kind)
        now = int(time.time())
        header = {"alg": alg, "typ": "JWT", "kid": self.kid(kind), **asked.get("header", {})}
        claims = {"iss": self.name, "aud": "firekeep", "sub": "jo", "iat": 0, "exp": 3600, **asked.get("claims", {})}
        for name in ("exp", "nbf", "iat"):
            if isinstance(claims.get(name), int):
                claims[name] += now
        parts = [{name: value for name, value in part.items() if value is not None} for part in (header, claims)]
        data = ".".join(encode(json.dumps(part).encode()) for part in parts)
        return f"{data}.{encode(sign(alg, self.keys[kind], data.encode()))}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    issuer = None

    def log_message(self, *_arguments):
        pass

    def answer(self, status, body, content_type="application/json", headers=()):
        data = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        print(self.path, flush=True)
        mode, realm, path = self.issuer.mode, "", self.path.removeprefix("/moved")
        first = path.split("/")[1]
        if first in MODES:
            mode, realm, path = first, f"/{first}", path.removeprefix(f"/{first}")
        if mode == "hang":
            time.sleep(600)
        elif mode == "drip":
            self.send_response(200)
            self.send_header("Content-Length", "600")
            self.end_headers()
            for _ in range(600):
                self.wfile.write(b" ")
                time.sleep(1)
        elif mode == "garbage":
            self.answer(200, "<html><body>Please sign in</body></html>", "text/html")
        elif mode == "huge":
            self.answer(200, b'{"keys":[], "x":"' + b"x" * DOCUMENT_BYTES + b'"}')
        elif mode == "redirect" and not self.path.startswith("/moved"):
            self.answer(302, "", headers=[("Location", f"{self.issuer.name}/moved{self.path}")])
        elif mode == "error":
            self.answer(500, "{}")
        elif path == "/.well-known/openid-configuration":
            self.answer(200, json.dumps(self.issuer.document(mode, realm)))
        elif path == "/keys":
            self.answer(200, json.dumps(self.issuer.key_set(mode)))
        else:
            self.answer(404, "{}")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        if self.path == "/sign":
            self.answer(200, self.issuer.token(json.loads(body)), "text/plain")
        elif self.path == "/rotate":
            self.issuer.rotate()
            self.answer(200, "")
        elif self.path == "/mode":
            self.issuer.mode = body
            self.answer(200, "")
        elif self.path == "/token":
            self.give_token({name: values[0] for name, values in parse_qs(body).items()})
        else:
            self.answer(404, "{}")

    def give_token(self, asked):
        """The client signs in by HTTP basic authentication, or with parameters (section 2.3.1)."""
        words = self.headers.get("Authorization", "").split()
        client = f"{asked.get('client_id')}:{asked.get('client_secret')}"
        if len(words) == 2 and words[0] == "Basic":
            client = base64.b64decode(words[1]).decode()
        if client != "prometheus:hush" or asked.get("grant_type") != "client_credentials":
            self.answer(401, '{"error": "invalid_client"}')
            return
        token = self.issuer.token({"claims": json.loads(asked.get("claims", "{}"))})
        self.answer(200, json.dumps({"access_token": token, "token_type": "Bearer", "expires_in": 60}))


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        """A client that goes away, or does not trust the certificate, is no error of the issuer."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    options = parser.parse_args()
    Handler.issuer = Issuer(options)
    server = Server(("127.0.0.1", options.port), Handler)
    if options.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert, options.key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print("listening", flush=True)
    server.serve_forever()


main()
