"""A viewer that measures: it frames what the server sends, rectangle by rectangle, and decodes no pixel.

It answers fences, so that the server may pace itself by them, and knows Raw, CopyRect, Hextile, Zlib, ZRLE, Tight, H.264 and the
pseudo-encodings it lists. Pictures of H.264 are kept for whoever asks for them.
"""
import select
import socket
import struct
import time

RAW, COPY_RECT, HEXTILE, ZLIB, TIGHT, ZRLE, H264 = 0, 1, 5, 6, 7, 16, 50
CURSOR, DESKTOP_SIZE, LAST_RECT = -239, -223, -224
FENCE, CONTINUOUS_UPDATES = -312, -313
QUALITY_8 = -24
# bits a pixel -> the rest of a PixelFormat
FORMATS = {32: (24, 0, 1, 255, 255, 255, 16, 8, 0), 16: (16, 0, 1, 31, 63, 31, 11, 5, 0), 8: (8, 0, 1, 7, 7, 3, 0, 3, 6)}


class Broken(Exception):
    """The server closed the connection or said something that cannot be framed."""


class Update:
    """One FramebufferUpdate: when its last byte was here, its size, and its rectangles (x, y, w, h, encoding)."""

    def __init__(self, at, size, rects):
        self.at, self.size, self.rects = at, size, rects

    def pixels(self):
        return sum(w * h for _, _, w, h, encoding in self.rects if encoding >= 0)

    def covers(self, x, y):
        return any(rx <= x < rx + w and ry <= y < ry + h for rx, ry, w, h, encoding in self.rects if encoding >= 0)


class Client:
    """A viewer on a loopback port, or on a socket that is connected already; without security."""

    def __init__(self, port, encodings, bits=32):
        if isinstance(port, socket.socket):
            self.sock = port
        else:
            self.sock = socket.create_connection(("127.0.0.1", port), timeout=60)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.start, self.total = bytearray(), 0, 0
        self.bytes_per_pixel, self.closed = bits // 8, False
        self.pictures = []
        # a pixel of Tight leaves out the byte that nothing is in
        self.tpixel = 3 if bits == 32 else bits // 8
        self.take(12)
        self.sock.sendall(b"RFB 003.008\n")
        if 1 not in self.take(self.take(1)[0]):
            raise Broken("the server asks for a password")
        self.sock.sendall(b"\x01")
        if self.take(4) != bytes(4):
            raise Broken("refused")
        self.sock.sendall(b"\x01")
        self.size = struct.unpack(">HH", self.take(4))
        self.take(16)
        self.take(struct.unpack(">I", self.take(4))[0])
        depth, big, true, *rest = FORMATS[bits]
        self.sock.sendall(struct.pack(">B3xBBBBHHHBBB3x", 0, bits, depth, big, true, *rest))
        self.sock.sendall(struct.pack(">BxH", 2, len(encodings)) + b"".join(struct.pack(">i", e) for e in encodings))
        self.continuous = CONTINUOUS_UPDATES in encodings
        self.sock.sendall(struct.pack(">BBHHHH", 150, 1, 0, 0, *self.size) if self.continuous else b"")
        self.request(False)

    def request(self, incremental=True):
        self.sock.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, *self.size))

    def key(self, keysym, down):
        self.sock.sendall(struct.pack(">BBxxI", 4, down, keysym))

    def close(self):
        self.closed = True
        self.sock.close()

    def take(self, count):
        """The next bytes, waited for."""
        while len(self.buffer) - self.start < count:
            if self.start > 1 << 16:
                del self.buffer[:self.start]
                self.start = 0
            got = self.sock.recv(1 << 20)
            if not got:
                raise Broken("the server closed the connection")
            self.buffer += got
        out = bytes(self.buffer[self.start:self.start + count])
        self.start += count
        self.total += count
        return out

    def unpack(self, form):
        return struct.unpack(">" + form, self.take(struct.calcsize(">" + form)))

    def ready(self, timeout):
        return len(self.buffer) > self.start or bool(select.select([self.sock], [], [], max(0, timeout))[0])

    def next_update(self, timeout):
        """The next update, or none when none began to come in that time."""
        end = time.monotonic() + timeout
        while self.ready(end - time.monotonic()):
            before = self.total
            kind = self.take(1)[0]
            if kind == 0:
                rects = self.rectangles(self.unpack("xH")[0])
                update = Update(time.monotonic(), self.total - before, rects)
                if not self.continuous:
                    self.request()
                return update
            if kind == 1:
                self.take(6 * self.unpack("xHH")[1])
            elif kind == 3:
                self.take(abs(self.unpack("xxxi")[0]))
            elif kind == 248:
                flags, size = self.unpack("xxxIB")
                payload = self.take(size)
                if flags & 1 << 31:
                    self.sock.sendall(struct.pack(">BxxxIB", 248, flags & 7, size) + payload)
            elif kind not in (2, 150):
                raise Broken("message type %d" % kind)
        return None

    def films(self):
        """The pictures of H.264 since it was last asked: place, flags, payload."""
        pictures, self.pictures = self.pictures, []
        return pictures

    def quiet(self, seconds):
        """Reads until nothing has come for so long; returns the updates."""
        updates = []
        while True:
            update = self.next_update(seconds)
            if update is None:
                return updates
            updates.append(update)

    def rectangles(self, count):
        rects = []
        for _ in range(count):
            x, y, w, h, encoding = self.unpack("HHHHi")
            if encoding == LAST_RECT:
                break
            if encoding == H264:
                size, flags = self.unpack("II")
                self.pictures.append(((x, y, w, h), flags, self.take(size)))
            else:
                self.body(w, h, encoding)
            rects.append((x, y, w, h, encoding))
        return rects

    def body(self, w, h, encoding):
        if encoding == RAW:
            self.take(w * h * self.bytes_per_pixel)
        elif encoding == COPY_RECT:
            self.take(4)
        elif encoding in (ZLIB, ZRLE):
            self.take(self.unpack("I")[0])
        elif encoding == TIGHT:
            self.tight(w, h)
        elif encoding == HEXTILE:
            for top in range(0, h, 16):
                for left in range(0, w, 16):
                    self.hextile(min(16, w - left), min(16, h - top))
        elif encoding == CURSOR:
            self.take(w * h * self.bytes_per_pixel + (w + 7) // 8 * h)
        elif encoding == DESKTOP_SIZE:
            self.size = (w, h)
        else:
            raise Broken("encoding %d" % encoding)

    def hextile(self, w, h):
        mask = self.take(1)[0]
        if mask & 1:
            self.take(w * h * self.bytes_per_pixel)
            return
        self.take(self.bytes_per_pixel * (bool(mask & 2) + bool(mask & 4)))
        if mask & 8:
            self.take(self.take(1)[0] * (2 + (self.bytes_per_pixel if mask & 16 else 0)))

    def compact(self):
        """Tight's length: seven bits a byte, three bytes at most."""
        value = 0
        for shift in (0, 7, 14):
            byte = self.take(1)[0]
            value |= (byte if shift == 14 else byte & 0x7f) << shift
            if byte < 0x80:
                break
        return value

    def tight(self, w, h):
        control = self.take(1)[0] >> 4
        if control == 8:
            self.take(self.tpixel)
        elif control == 9:
            self.take(self.compact())
        elif control < 8:
            size = w * h * self.tpixel
            if control & 4:
                kind = self.take(1)[0]
                if kind == 1:
                    colours = self.take(1)[0] + 1
                    self.take(colours * self.tpixel)
                    size = (w + 7) // 8 * h if colours == 2 else w * h
            self.take(size if size < 12 else self.compact())
        else:
            raise Broken("Tight control %d" % control)
