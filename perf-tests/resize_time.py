#!/usr/bin/env python3
"""How long a resize takes: `perf-tests/resize_time.py target/release/farpane [COUNT [WxH]]`.

Starts a private Xvfb of WxH (3840x2160) with a two-coloured pattern on it and shares it. A viewer of its own asks COUNT (20) times for another size,
half of them the largest, and takes Raw pixels, the most bytes that there can be. Counted is the time from the wish to the moment when all pixels of the new
size have come and are the pattern's. Prints median and worst in milliseconds; ends all it started.
"""
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time

RAW, CURSOR, EXTENDED_DESKTOP_SIZE, FENCE = 0, -239, -308, -312
SIDE = 16


class Viewer:
    """An RFB 3.8 viewer without security."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert self.take(12) == b"RFB 003.008\n"
        self.socket.sendall(b"RFB 003.008\n")
        assert 1 in self.take(self.take(1)[0])
        self.socket.sendall(b"\1")
        assert self.take(4) == b"\0\0\0\0"
        self.socket.sendall(b"\1")
        self.w, self.h = struct.unpack(">HH", self.take(4))
        self.take(16)
        self.take(struct.unpack(">I", self.take(4))[0])
        encodings = [RAW, CURSOR, EXTENDED_DESKTOP_SIZE, FENCE]
        self.socket.sendall(struct.pack(">BxH", 2, len(encodings)) + b"".join(struct.pack(">i", e) for e in encodings))
        self.answers = []
        self.blank()

    def blank(self):
        self.picture = bytearray(self.w * self.h * 4)

    def take(self, count):
        parts = bytearray(count)
        view, got = memoryview(parts), 0
        while got < count:
            n = self.socket.recv_into(view[got:])
            if n == 0:
                sys.exit("the server closed the connection")
            got += n
        return bytes(parts)

    def request(self, incremental):
        self.socket.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.w, self.h))

    def wish(self, w, h):
        self.socket.sendall(struct.pack(">BxHHBxIHHHHI", 251, w, h, 1, 0, 0, 0, w, h, 0))

    def message(self):
        """Takes one message, asks for more after an update; returns whether the size changed."""
        kind = self.take(1)[0]
        if kind == 248:
            flags, length = struct.unpack(">3xIB", self.take(8))
            payload = self.take(length)
            if flags >> 31:
                self.socket.sendall(struct.pack(">B3xIB", 248, flags & 7, length) + payload)
            return False
        if kind == 2:
            return False
        if kind == 3:
            self.take(3)
            self.take(struct.unpack(">I", self.take(4))[0])
            return False
        assert kind == 0, kind
        resized = False
        for _ in range(struct.unpack(">xH", self.take(3))[0]):
            x, y, w, h, encoding = struct.unpack(">HHHHi", self.take(12))
            if encoding == RAW:
                data = self.take(w * h * 4)
                for row in range(h):
                    at = ((y + row) * self.w + x) * 4
                    self.picture[at:at + w * 4] = data[row * w * 4:(row + 1) * w * 4]
            elif encoding == CURSOR:
                self.take(w * h * 4 + (w + 7) // 8 * h)
            else:
                assert encoding == EXTENDED_DESKTOP_SIZE, encoding
                self.take(16 * struct.unpack(">B3x", self.take(4))[0])
                if x == 1:
                    self.answers.append(y)
                if (w, h) != (self.w, self.h):
                    self.w, self.h = w, h
                    self.blank()
                    resized = True
        self.request(0 if resized else 1)
        return resized


def pattern(folder):
    """A bitmap file, and the colour of each of its pixels as bytes of the default pixel format."""
    bits = [[random.getrandbits(1) for _ in range(SIDE)] for _ in range(SIDE)]
    values = [sum(row[8 * byte + bit] << bit for bit in range(8)) for row in bits for byte in range(SIDE // 8)]
    path = os.path.join(folder, "pattern.xbm")
    with open(path, "w") as file:
        file.write("#define p_width %d\n#define p_height %d\nstatic unsigned char p_bits[] = {\n%s};\n" % (
            SIDE, SIDE, ", ".join("0x%02x" % v for v in values)))
    colours = [b"\x50\x30\x20\0", b"\x20\xc0\xf0\0"]
    return path, [[colours[bit] for bit in row] for row in bits]


def expected(colours, w, h):
    rows = [b"".join(row) * (w // SIDE + 1) for row in colours]
    return b"".join(rows[y % SIDE][:w * 4] for y in range(h))


def main():
    farpane = os.path.abspath(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    most = tuple(int(v) for v in (sys.argv[3] if len(sys.argv) > 3 else "3840x2160").split("x"))
    random.seed(9)
    started = []
    with tempfile.TemporaryDirectory(prefix="farpane-resize-") as folder:
        try:
            x = subprocess.Popen(["Xvfb", "-displayfd", "1", "-noreset", "-nolisten", "tcp", "-screen", "0", "%dx%dx24" % most],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            started.append(x)
            display = ":" + x.stdout.readline().strip()
            bitmap, colours = pattern(folder)
            subprocess.run(["xsetroot", "-display", display, "-bitmap", bitmap, "-fg", "#f0c020", "-bg", "#203050"], check=True)
            env = dict(os.environ, STATE_DIRECTORY=folder)
            server = subprocess.Popen([farpane, "serve", "--source", "x11:" + display, "--listen", "127.0.0.1:0", "--security", "none"],
                                      env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            started.append(server)
            line = server.stdout.readline()
            while "listening on" not in line:
                line = server.stdout.readline()
            viewer = Viewer(int(line.rsplit(":", 1)[1]))
            viewer.request(0)
            want = expected(colours, viewer.w, viewer.h)
            while viewer.picture != want:
                viewer.message()
            times = []
            for n in range(count):
                size = most if n % 2 else tuple(random.randrange(320, side) for side in most)
                want = expected(colours, *size)
                began = time.monotonic()
                viewer.wish(*size)
                while (viewer.w, viewer.h) != size or viewer.picture != want:
                    viewer.message()
                    refused = [a for a in viewer.answers if a]
                    if refused:
                        sys.exit("%dx%d was refused with status %d" % (*size, refused[0]))
                took = (time.monotonic() - began) * 1e3
                times.append(took)
                print("%5dx%-5d %6.1f ms" % (*size, took))
            times.sort()
            print("median %.1f ms, worst %.1f ms, of %d" % (times[len(times) // 2], times[-1], len(times)))
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait()


main()
