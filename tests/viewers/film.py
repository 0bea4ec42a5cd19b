"""A film on the source desktop, seen as H.264 by foreign decoders: like its source inside, equal to it outside, and exact when it stops."""
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(os.path.dirname(HERE), "figures"))

import picture  # noqa: E402
import rfb  # noqa: E402
import viewers  # noqa: E402
from desktop import Failed, Missing, program, until  # noqa: E402
from source import Still  # noqa: E402

PLACE = (37, 61, 402, 301)
FRAMES, RATE = 40, 24
# what is shown is the frame that it says it is: at least so much structural similarity of luma, and colours so near, in squares' means
LIKE, NEAR = 0.9, 4.5
# a frame's number is painted on it in blocks of two greys: six bits, then the six turned round
BITS, BLOCK = 6, 16
GREYS = (70, 180)


class Film:
    """The frames, and the player that shows them on the X desktop."""

    def __init__(self, children):
        self.children = children
        _, _, self.width, self.height = PLACE
        self.file = children.path("film.bgrx")
        self.make()

    def make(self):
        """A zoom with a grain of its own in each frame, neither a still nor a part of it that moves; with the colours of a film, in 4:2:0."""
        source = "mandelbrot=size=%dx%d:rate=%d,boxblur=1,format=yuv420p,eq=saturation=0.6,noise=c0s=4:c0f=t,format=bgr0" % (self.width + 2, self.height + 1, RATE)
        run([program("ffmpeg"), "-v", "error", "-ss", "1", "-f", "lavfi", "-i", source, "-vf", "crop=%d:%d:1:0:exact=1" % (self.width, self.height),
             "-frames:v", FRAMES, "-f", "rawvideo", self.file])
        with open(self.file, "rb") as file:
            data = bytearray(file.read())
        size = self.width * self.height * 4
        if len(data) != FRAMES * size:
            raise Failed("ffmpeg made %d bytes for %d frames" % (len(data), FRAMES))
        for i in range(FRAMES):
            for block in range(2 * BITS):
                grey = GREYS[(i >> block if block < BITS else ~i >> (block - BITS)) & 1]
                left, top = block % BITS * BLOCK, block // BITS * BLOCK
                for y in range(top, top + BLOCK):
                    at = i * size + (y * self.width + left) * 4
                    data[at:at + BLOCK * 4] = bytes([grey, grey, grey, 0]) * BLOCK
        with open(self.file, "wb") as file:
            file.write(data)
        self.frames = [picture.from_bgrx(self.width, self.height, data[i * size:(i + 1) * size]) for i in range(FRAMES)]
        self.lumas = [picture.luma(f) for f in self.frames]

    def play(self, x):
        self.player = x.start("player", sys.executable, os.path.join(HERE, "player.py"), self.file, self.width, self.height, *PLACE[:2], RATE)

    def stop(self):
        """The frame that is shown stays."""
        os.kill(self.player.pid, signal.SIGSTOP)

    def number(self, luma):
        """Which frame says to be shown."""
        bits = 0
        for block in range(2 * BITS):
            x, y = block % BITS * BLOCK + BLOCK // 2, block // BITS * BLOCK + BLOCK // 2
            bits |= (luma[y * self.width + x] > sum(GREYS) / 2) << block
        low = bits & (1 << BITS) - 1
        if low != ~bits >> BITS & (1 << BITS) - 1 or low >= FRAMES:
            raise Unlike("it says no number: %x" % bits)
        return low


class Unlike(Exception):
    """What is shown is no frame of the film, or something else is wrong."""


def run(argv):
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    if done.returncode:
        raise Failed("%s ended with status %d: %s" % (os.path.basename(argv[0]), done.returncode, done.stderr.decode(errors="replace")))
    return done.stdout


def check(film, still, got, turned=0):
    """Which frame `got` shows, and how like it is; the frame `turned` further is what it is held against."""
    x, y, w, h = PLACE
    inside = got.cut(x, y, w, h)
    luma = picture.luma(inside)
    number = film.number(luma)
    against = (number + turned) % FRAMES
    like = picture.similarity(film.lumas[against], luma, w, h)
    off = picture.colours_off(film.frames[against], inside)
    if like < LIKE or off > NEAR:
        raise Unlike("frame %d: similarity %.3f, colours off by %.2f" % (number, like, off))
    wrong = picture.difference(picture.painted(still, x, y, inside), got)
    if wrong:
        raise Unlike("beside the film " + wrong)
    return number, (like, off)


def watched(still, film, viewer, x, server):
    """A viewer sees the film as H.264, then its last frame exactly."""
    rect = "h264 of %dx%d at %d,%d" % (PLACE[2], PLACE[3], PLACE[0], PLACE[1])

    def listed():
        return rect in server.control("session", "list")
    until("'%s' in the session list" % rect, listed, alive=(viewer.child, film.player))
    seen, last = {}, ["nothing"]

    def enough():
        try:
            number, like = check(film, still, viewer.picture(still))
            seen[number] = like
        except Unlike as unlike:
            last[0] = str(unlike)
        return len(seen) >= 6
    try:
        until("six frames of the film", enough, alive=(viewer.child, film.player))
    except Failed as failure:
        raise Failed("%s\n    seen: %s; last: %s" % (failure, seen, last[0]))
    if max(like for like, _ in seen.values()) > 0.9999:
        raise Failed("the frames are exact: no film was sent")
    film.stop()
    blind(film, still, viewer.picture(still))
    want = viewers.screenshot(x)
    began = time.monotonic()
    until("the last frame, exact", lambda: picture.difference(want, viewer.picture(still)) is None, alive=(viewer.child,))
    print("    %s; exact %.1f s after the last frame" % (summary(seen), time.monotonic() - began))


def summary(seen):
    return "similarity and colours off: " + ", ".join("%.3f %.2f" % v for v in seen.values())


def blind(film, still, got):
    """The comparer must see another frame, and a wrong pixel beside the film."""
    for fault in (lambda: check(film, still, got, turned=FRAMES // 2),
                  lambda: check(film, still, got.with_wrong_pixel(PLACE[0] - 1, PLACE[1] - 1))):
        try:
            fault()
        except Unlike:
            continue
        raise Failed("the comparer does not see a planted fault")


def source(children, args):
    if args.stand_in:
        raise Missing("the stand-in sends no H.264")
    return Still(children, args)


def case(make):
    def run_case(children, args):
        desktop = source(children, args)
        film = Film(children)
        film.play(desktop.x)
        viewer = make(children, desktop.server)
        try:
            watched(desktop.want, film, viewer, desktop.x, desktop.server)
        finally:
            if hasattr(viewer, "close"):
                viewer.close()
        desktop.server.stop()
    return run_case


def decoded(file, count, matrix="auto"):
    """The pictures of a stream as ffmpeg shows them, cut to the film's place; colours by the stream's matrix or another."""
    x, y, w, h = PLACE
    data = run([program("ffmpeg"), "-v", "error", "-xerror", "-i", file, "-vf", "crop=%d:%d:0:0:exact=1,scale=in_color_matrix=%s" % (w, h, matrix),
                "-f", "rawvideo", "-pix_fmt", "rgb24", "-fps_mode", "passthrough", "-"])
    size = w * h * 3
    if len(data) != size * count:
        raise Failed("ffmpeg made %d bytes of %d pictures of %dx%d" % (len(data), count, w, h))
    return [picture.Picture(w, h, data[i * size:(i + 1) * size]) for i in range(count)]


def by_ffmpeg(children, args):
    """The stream of one film as it comes over the wire, decoded by ffmpeg."""
    desktop = source(children, args)
    film = Film(children)
    film.play(desktop.x)
    client = rfb.Client(desktop.server.port, [rfb.H264, rfb.TIGHT, rfb.QUALITY_8, rfb.LAST_RECT])
    stream, started = [], False
    end = time.monotonic() + 60
    while len(stream) < 60:
        if time.monotonic() > end:
            raise Failed("%d pictures of the film in 60 s" % len(stream))
        client.next_update(1)
        for rect, flags, payload in client.films():
            if rect != PLACE:
                continue
            if flags & 3:
                started = True
                stream.clear()
            if started:
                stream.append(payload)
    client.close()
    file = children.path("film.h264")
    with open(file, "wb") as out:
        out.write(b"".join(stream))
    rgb = decoded(file, len(stream))
    seen = {}
    for i in range(0, len(stream), 6):
        try:
            got = picture.painted(desktop.want, PLACE[0], PLACE[1], rgb[i])
            number, seen_so = check(film, desktop.want, got)
        except Unlike as unlike:
            raise Failed("picture %d: %s" % (i, unlike))
        seen[number] = seen_so
    if len(seen) < 5:
        raise Failed("only frames %s were shown" % sorted(seen))
    blind(film, desktop.want, got)
    off = picture.colours_off(rgb[0], decoded(file, len(stream), "smpte170m")[0])
    if off < 1.5 * NEAR:
        raise Failed("another matrix of colours would change them by %.2f: that is not seen" % off)
    print("    %s; another matrix %.2f" % (summary(seen), off))
    desktop.server.stop()
