#!/usr/bin/env python3
"""One connection of an HTTP server that gives ranges of one file, on standard input and output; QEMU starts it for each connection of
the box to 10.0.2.100. Each answer is a line of the log: bytes of content given.

    serve.py FILE LOG
"""

import http.server
import os
import re
import sys


class Piece(http.server.BaseHTTPRequestHandler):
    """Without a socket: what `http.server` needs of one is two streams."""

    protocol_version = "HTTP/1.1"

    def __init__(self, file, log):
        self.rfile, self.wfile = sys.stdin.buffer, sys.stdout.buffer
        self.file, self.log, self.client_address = file, log, ("box", 0)
        self.close_connection = False
        while not self.close_connection:
            self.handle_one_request()

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, with_body):
        size = os.path.getsize(self.file)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = (int(asked[1]), min(int(asked[2] or size - 1), size - 1)) if asked else (0, size - 1)
        with open(self.file, "rb") as file:
            file.seek(first)
            body = file.read(last - first + 1) if with_body else b""
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        with open(self.log, "a", encoding="utf-8") as log:
            log.write(f"{len(body)}\n")


if __name__ == "__main__":
    Piece(*sys.argv[1:])
