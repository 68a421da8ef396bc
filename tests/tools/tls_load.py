#!/usr/bin/env python3
"""tls_load.py - asks a server over TLS until a file exists, on connections that are kept and new ones.

usage: tls_load.py PORT CA STOP

Prints failures. The status is 0 if there was none, and the server had several certificates.
"""
import http.client
import os
import ssl
import sys
import threading

port, ca, stop = int(sys.argv[1]), sys.argv[2], sys.argv[3]
context = ssl.create_default_context(cafile=ca)
failures, asked, serials = [], [0], set()


def ask(kept):
    connection = None
    while not os.path.exists(stop):
        try:
            if connection is None or not kept:
                connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=20)
                connection.connect()
                serials.add(connection.sock.getpeercert()["serialNumber"])
            connection.request("GET", "/metrics", headers={"Authorization": "Basic YW5uOnNlY3JldA=="})
            response = connection.getresponse()
            response.read()
            asked[0] += 1
            if response.status != 200:
                failures.append(response.status)
        except OSError as error:
            failures.append(repr(error))
            connection = None


threads = [threading.Thread(target=ask, args=(i % 2 == 0,)) for i in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(f"{asked[0]} requests, {len(serials)} certificates, failures {failures[:5]}")
sys.exit(1 if failures or len(serials) < 2 or asked[0] < 50 else 0)
