#!/usr/bin/env python3
"""address_proxy.py - relays connections from the address 127.0.0.N, of which N is the user who asks for it with CONNECT.

usage: address_proxy.py PORT
"""
import base64
import socket
import sys
import threading


def relay(source, to):
    """The other direction goes on: a server that refuses a certificate says so before it closes."""
    try:
        while data := source.recv(1 << 16):
            to.sendall(data)
        to.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(client):
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(1 << 16) or sys.exit()
    number = base64.b64decode(head.split(b"Proxy-Authorization: Basic ")[1].split()[0]).split(b":")[0].decode()
    port = int(head.split()[1].rsplit(b":", 1)[1])
    server = socket.create_connection(("127.0.0.1", port), source_address=(f"127.0.0.{number}", 0))
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    threading.Thread(target=relay, args=(server, client), daemon=True).start()
    relay(client, server)


with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=100) as listener:
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
