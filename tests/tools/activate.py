#!/usr/bin/env python3
"""activate.py - starts a program with listening sockets as its descriptors from 3 on, as systemd does.

usage: activate.py ADDRESS PORT NAME[:NAME...] PROGRAM [ARGUMENT...]

The first socket has the address and the port, the others any; the names are those of systemd.
"""
import fcntl
import os
import socket
import sys

address, port, names = sys.argv[1:4]
sockets = [socket.socket() for _ in names.split(":")]
for i, sock in enumerate(sockets):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, int(port) if i == 0 else 0))
    sock.listen()
above = [fcntl.fcntl(sock, fcntl.F_DUPFD, 100) for sock in sockets]
for i, descriptor in enumerate(above):
    os.dup2(descriptor, 3 + i)
os.environ.update(LISTEN_FDS=str(len(above)), LISTEN_FDNAMES=names, LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[4], sys.argv[4:])
