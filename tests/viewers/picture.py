"""Pictures as tests see them: 24-bit RGB, read from XWD and PPM, made, found in one another and compared."""
import struct


class Picture:
    """`width` x `height` pixels, three bytes each (red, green, blue), rows from the top without padding."""

    def __init__(self, width, height, rgb):
        if len(rgb) != width * height * 3:
            raise ValueError("%d bytes for %dx%d pixels" % (len(rgb), width, height))
        self.width, self.height, self.rgb = width, height, bytes(rgb)

    def row(self, y):
        return self.rgb[y * self.width * 3:(y + 1) * self.width * 3]

    def pixel(self, x, y):
        at = (y * self.width + x) * 3
        return tuple(self.rgb[at:at + 3])

    def cut(self, x, y, width, height):
        rows = [self.row(y + i)[x * 3:(x + width) * 3] for i in range(height)]
        return Picture(width, height, b"".join(rows))

    def with_wrong_pixel(self, x=None, y=None, by=1):
        """The same picture with the red of one pixel off by `by`: the fault that a comparer must see.

        Without a place it is the first pixel from the middle on that can be off by so much.
        """
        rgb = bytearray(self.rgb)
        at = ((self.height // 2 if y is None else y) * self.width + (self.width // 2 if x is None else x)) * 3
        while x is None and rgb[at] < by and rgb[at] + by > 255:
            at = (at + 3) % len(rgb)
        rgb[at] = rgb[at] - by if rgb[at] >= by else rgb[at] + by
        return Picture(self.width, self.height, rgb)

    def colours(self):
        """The number of different colours."""
        return len(set(zip(self.rgb[0::3], self.rgb[1::3], self.rgb[2::3])))

    def ppm(self):
        return b"P6\n%d %d\n255\n" % (self.width, self.height) + self.rgb


def from_bgrx(width, height, data):
    rgb = bytearray(width * height * 3)
    rgb[0::3], rgb[1::3], rgb[2::3] = data[2::4], data[1::4], data[0::4]
    return Picture(width, height, rgb)


def from_rgbx(width, height, data):
    rgb = bytearray(width * height * 3)
    rgb[0::3], rgb[1::3], rgb[2::3] = data[0::4], data[1::4], data[2::4]
    return Picture(width, height, rgb)


def from_xwd(data):
    """Reads an X window dump of a 24-bit TrueColor visual, as xwd writes it."""
    head = struct.unpack(">25I", data[:100])
    width, height, order, bits, stride, colours = head[4], head[5], head[7], head[11], head[12], head[19]
    if bits != 32 or order != 0 or head[14:17] != (0xFF0000, 0xFF00, 0xFF):
        raise ValueError("a dump of %d bits a pixel, order %d, masks %x %x %x" % ((bits, order) + head[14:17]))
    at = head[0] + 12 * colours
    rows = [data[at + y * stride:at + y * stride + width * 4] for y in range(height)]
    return from_bgrx(width, height, b"".join(rows))


def from_ppm(data):
    """Reads a binary PPM with 8 bits a channel and no comments."""
    magic, width, height, most, pixels = data.split(maxsplit=4) if data[:2] == b"P6" else (b"", 0, 0, 0, b"")
    if magic != b"P6" or int(most) != 255:
        raise ValueError("not a binary PPM of 8 bits a channel")
    # exactly one blank stands before the pixels, which may start with bytes that look blank themselves
    return Picture(int(width), int(height), data[len(data) - int(width) * int(height) * 3:])


def difference(want, got, tolerance=0):
    """None when no channel differs by more than `tolerance`; else a sentence that says where and how much."""
    if (want.width, want.height) != (got.width, got.height):
        return "%dx%d pixels instead of %dx%d" % (got.width, got.height, want.width, want.height)
    if want.rgb == got.rgb:
        return None
    wrong, first, most = 0, None, 0
    for y in range(want.height):
        a, b = want.row(y), got.row(y)
        if a == b:
            continue
        for at in range(0, len(a), 3):
            if a[at:at + 3] != b[at:at + 3]:
                off = max(abs(p - q) for p, q in zip(a[at:at + 3], b[at:at + 3]))
                if off > tolerance:
                    wrong += 1
                    most = max(most, off)
                    first = first or (at // 3, y, tuple(a[at:at + 3]), tuple(b[at:at + 3]))
    if not wrong:
        return None
    return "%d of %d pixels differ, the first at %d,%d: %s instead of %s; by %d at most" % (
        wrong, want.width * want.height, first[0], first[1], first[3], first[2], most)


def place(want, screen):
    """Where `want` lies in `screen`, by a row of its own that is found there; None when no such row shows."""
    for y in (0, want.height // 3, want.height // 2, want.height - 1):
        row = want.row(y)
        for sy in range(y, screen.height - (want.height - 1 - y)):
            at = screen.row(sy).find(row)
            while at >= 0 and at % 3:
                at = screen.row(sy).find(row, at + 1)
            if at >= 0:
                return at // 3, sy - y
    return None


def shown(want, screen):
    """None when `want` lies somewhere in `screen`, pixel for pixel; else a sentence."""
    where = place(want, screen)
    if where is None:
        return "no row of the picture shows on the screen (%d colours there)" % screen.colours()
    return difference(want, screen.cut(where[0], where[1], want.width, want.height))


def painted(picture, x, y, part):
    """`picture` with `part` painted over it, its top left corner at `x`, `y`."""
    rows = []
    for line in range(picture.height):
        row = picture.row(line)
        if y <= line < y + part.height:
            row = row[:x * 3] + part.row(line - y) + row[(x + part.width) * 3:]
        rows.append(row)
    return Picture(picture.width, picture.height, b"".join(rows))


def luma(picture):
    """The brightness of each pixel by BT.709, 0 to 255."""
    rgb = picture.rgb
    return [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in zip(rgb[0::3], rgb[1::3], rgb[2::3])]


def similarity(a, b, width, height):
    """The structural similarity (SSIM) of two lumas: the mean over squares of 8x8 pixels that do not overlap."""
    total = count = 0
    for top in range(0, height - 7, 8):
        for left in range(0, width - 7, 8):
            p, q = [], []
            for at in range(top * width + left, (top + 8) * width + left, width):
                p += a[at:at + 8]
                q += b[at:at + 8]
            ma, mb = sum(p) / 64, sum(q) / 64
            va = sum(v * v for v in p) / 64 - ma * ma
            vb = sum(v * v for v in q) / 64 - mb * mb
            both = sum(v * w for v, w in zip(p, q)) / 64 - ma * mb
            total += ((2 * ma * mb + 6.5025) * (2 * both + 58.5225)) / ((ma * ma + mb * mb + 6.5025) * (va + vb + 58.5225))
            count += 1
    return total / count


def colours_off(a, b, side=16):
    """How far the mean colours of squares differ, on average, in the channel that differs most. Fine detail does not count, another matrix does."""
    total = count = 0
    for top in range(0, a.height - side + 1, side):
        for left in range(0, a.width - side + 1, side):
            p, q = ([sum(square[c::3]) for c in range(3)] for square in (x.cut(left, top, side, side).rgb for x in (a, b)))
            total += max(abs(v - w) for v, w in zip(p, q)) / (side * side)
            count += 1
    return total / count


def still(width, height):
    """A desktop-like picture, the same every time: gradient, smooth and noisy photo, flat areas, few-colour text, fine lines."""
    rgb = bytearray(width * height * 3)
    seed = 12345
    for y in range(height):
        for x in range(width):
            column, line = x * 4 // width, y * 3 // height
            if (column, line) in ((0, 0), (2, 1)):  # gradient
                p = (x * 255 // width, y * 255 // height, (x + y) & 255)
            elif (column, line) in ((1, 0), (3, 2)):  # smooth photo
                p = ((x * x // 97 + y * 3) & 255, (x * y // 61) & 255, (y * y // 53 + x) & 255)
            elif (column, line) in ((2, 0), (0, 2)):  # noise
                seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
                p = (seed >> 16 & 255, seed >> 12 & 255, seed >> 8 & 255)
            elif (column, line) in ((3, 0), (1, 1)):  # letters in three colours on white
                ink = (x // 2 * 7 + y // 3 * 13 + (x // 8) * (y // 12)) % 11
                p = ((0, 0, 0), (40, 40, 160), (255, 255, 255))[min(ink, 2)]
            elif (column, line) == (0, 1):  # fine lines in two colours
                p = (30, 200, 90) if (x + y) & 1 else (200, 30, 90)
            else:
                p = (58, 110, 165) if line == 1 else (236, 233, 216)
            at = (y * width + x) * 3
            rgb[at:at + 3] = bytes(p)
    return Picture(width, height, rgb)
