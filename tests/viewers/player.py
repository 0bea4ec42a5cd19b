#!/usr/bin/env python3
"""Plays a film in a window of its own on an X display: `player.py FRAMES WIDTH HEIGHT X Y PER_SECOND`.

FRAMES is a file of pictures, WIDTH x HEIGHT pixels of four bytes each (blue, green, red, none), shown to and fro without end.
"""
import ctypes
import sys
import time

Z_PIXMAP = 2
TRUE_COLOUR_DEPTH = 24


def main():
    path, (width, height, x, y, rate) = sys.argv[1], map(int, sys.argv[2:])
    with open(path, "rb") as file:
        frames = file.read()
    size = width * height * 4
    count = len(frames) // size
    lib = ctypes.CDLL("libX11.so.6")
    pointer, number = ctypes.c_void_p, ctypes.c_int
    for name in ("XOpenDisplay", "XDefaultVisual", "XCreateGC", "XCreateImage"):
        getattr(lib, name).restype = pointer
    for name in ("XDefaultRootWindow", "XCreateSimpleWindow"):
        getattr(lib, name).restype = ctypes.c_ulong
    lib.XOpenDisplay.argtypes = [ctypes.c_char_p]
    display = pointer(lib.XOpenDisplay(None))
    if not display:
        sys.exit("no display")
    root = ctypes.c_ulong(lib.XDefaultRootWindow(display))
    window = ctypes.c_ulong(lib.XCreateSimpleWindow(display, root, x, y, width, height, 0, ctypes.c_ulong(0), ctypes.c_ulong(0)))
    lib.XMapWindow(display, window)
    visual = pointer(lib.XDefaultVisual(display, 0))
    gc = pointer(lib.XCreateGC(display, window, ctypes.c_ulong(0), None))
    pictures = [ctypes.create_string_buffer(frames[i * size:(i + 1) * size], size) for i in range(count)]
    images = [pointer(lib.XCreateImage(display, visual, TRUE_COLOUR_DEPTH, Z_PIXMAP, number(0), p, width, height, 32, number(width * 4)))
              for p in pictures]
    there_and_back = list(range(count)) + list(range(count - 2, 0, -1))
    due = time.monotonic()
    while True:
        for i in there_and_back:
            lib.XPutImage(display, window, gc, images[i], 0, 0, 0, 0, width, height)
            lib.XSync(display, 0)
            due = max(due + 1 / rate, time.monotonic())
            time.sleep(max(0, due - time.monotonic()))


main()
