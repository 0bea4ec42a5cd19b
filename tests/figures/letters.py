#!/usr/bin/env python3
"""An X client that fills the screen with a white window and draws one smooth 10x20 letter for each key that goes down.

    letters.py DISPLAY

It speaks the X protocol by itself, so that nothing but the letter is drawn: no cursor, no toolkit. It prints `ready` when
its window is shown, and for each letter the clock's seconds after the X server has drawn it.
"""
import socket
import struct
import sys
import time

WIDTH, HEIGHT = 10, 20
# five bits a row, the top row first
SHAPES = [[0x0e, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11], [0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x1f],
          [0x11, 0x12, 0x14, 0x18, 0x14, 0x12, 0x11], [0x0e, 0x11, 0x10, 0x0e, 0x01, 0x11, 0x0e],
          [0x11, 0x1b, 0x15, 0x15, 0x11, 0x11, 0x11], [0x1e, 0x11, 0x11, 0x1e, 0x14, 0x12, 0x11]]


def place(number):
    """Where the letter of that number is."""
    return 43 + 14 * (number % 60), 61 + 30 * (number // 60)


def letter(number):
    """Its pixels: a shape twice as large, its edges smoothed to greys as fonts are."""
    shape = SHAPES[number % len(SHAPES)]

    def ink(x, y):
        column, row = x // 2, (y - 3) // 2
        return 0 <= column < 5 and 0 <= row < 7 and shape[row] >> (4 - column) & 1
    out = bytearray()
    for y in range(HEIGHT):
        for x in range(WIDTH):
            near = sum(ink(x + dx, y + dy) for dx, dy in ((0, 0), (0, 0), (1, 0), (0, 1)))
            out += bytes([255 - near * 63] * 3 + [0])
    return bytes(out)


class Display:
    """A connection to the X server of a display such as `:7`, little endian."""

    def __init__(self, name):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/tmp/.X11-unix/X%d" % int(name.lstrip(":")))
        self.sock.sendall(struct.pack("<BxHHHHxx", ord("l"), 11, 0, 0, 0))
        ok, words = struct.unpack("<BxHHH", self.take(8))[::3]
        setup = self.take(words * 4)
        if ok != 1:
            sys.exit("letters: the X server refuses")
        self.base = struct.unpack_from("<I", setup, 4)[0]
        vendor, = struct.unpack_from("<H", setup, 16)
        screen = 32 + (vendor + 3) // 4 * 4 + 8 * setup[21]
        self.root, _, self.white = struct.unpack_from("<III", setup, screen)
        self.width, self.height = struct.unpack_from("<HH", setup, screen + 20)
        self.depth = setup[screen + 38]

    def take(self, count):
        out = b""
        while len(out) < count:
            got = self.sock.recv(count - len(out))
            if not got:
                sys.exit(0)
            out += got
        return out

    def request(self, code, small, body):
        self.sock.sendall(struct.pack("<BBH", code, small, 1 + len(body) // 4) + body)

    def event(self):
        """The next event or reply: 32 bytes, errors end the program."""
        got = self.take(32)
        if got[0] == 0:
            sys.exit("letters: the X server refuses a request: error %d of request %d" % (got[1], got[10]))
        return got


def main():
    display = Display(sys.argv[1])
    window, pen = display.base, display.base + 1
    # background pixel, override-redirect, and the events of keys going down and of exposure
    values = struct.pack("<III", display.white, 1, 1 | 1 << 15)
    display.request(1, 0, struct.pack("<IIhhHHHHII", window, display.root, 0, 0, display.width, display.height, 0, 1, 0,
                                      1 << 1 | 1 << 9 | 1 << 11) + values)
    display.request(55, 0, struct.pack("<III", pen, window, 0))
    display.request(8, 0, struct.pack("<I", window))
    number, shown = 0, False
    while True:
        kind = display.event()[0] & 0x7f
        if kind == 12 and not shown:
            shown = True
            # the keyboard's focus; its answer comes after the window is painted
            display.request(42, 1, struct.pack("<II", window, 0))
            display.request(43, 0, b"")
        elif kind == 1:
            print("ready" if number == 0 else "%.6f" % time.monotonic(), flush=True)
        elif kind == 2:
            x, y = place(number)
            display.request(72, 2, struct.pack("<IIHHhhBBxx", window, pen, WIDTH, HEIGHT, x, y, 0, display.depth) + letter(number))
            # answered when it is drawn
            display.request(43, 0, b"")
            number += 1


if __name__ == "__main__":
    main()
