#!/usr/bin/env python3
"""One connection of the box carried to a port of this machine; QEMU starts it for each connection to an address of its network.

    relay.py PORT
"""

import os
import socket
import sys
import threading


def pump(read, write, end):
    while piece := read():
        write(piece)
    end()


def main(port):
    with socket.create_connection(("127.0.0.1", int(port))) as line:
        up = threading.Thread(target=pump, args=(lambda: os.read(0, 65536), line.sendall, lambda: line.shutdown(socket.SHUT_WR)), daemon=True)
        up.start()

        def write(piece):
            while piece:
                piece = piece[os.write(1, piece):]

        pump(lambda: line.recv(65536), write, lambda: None)


if __name__ == "__main__":
    main(*sys.argv[1:])
