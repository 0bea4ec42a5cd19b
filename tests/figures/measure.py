#!/usr/bin/env python3
"""Measures what a running farpane costs, and prints the tables of the README's figures.

    tests/figures/measure.py [--farpane target/release/farpane] [--only idle] [--only typing] ...

Everything is private: X servers of its own under /tmp, ports that the system picks. The viewer is rfb.py, which frames and
counts and decodes no pixel; the typed letters are drawn by letters.py. Viewer, X server and farpane share the machine's
cores. Idle looks at a still 3840x2160 screen, typing at one key after another, clients at 21 viewers of one desktop, demo at
the built-in moving scene.
"""
import argparse
import os
import platform
import random
import statistics
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(TOP, "tests", "desktops"), os.path.join(TOP, "tests", "viewers")]

import letters  # noqa: E402
import rfb  # noqa: E402
from desktop import Children, Missing, XServer, until  # noqa: E402
from servers import Farpane  # noqa: E402

ALWAYS = [rfb.CURSOR, rfb.DESKTOP_SIZE, rfb.LAST_RECT, rfb.FENCE, rfb.CONTINUOUS_UPDATES]
TIGHT = [rfb.TIGHT, rfb.COPY_RECT, rfb.QUALITY_8, *ALWAYS]
ZRLE = [rfb.ZRLE, rfb.COPY_RECT, *ALWAYS]
TICKS = os.sysconf("SC_CLK_TCK")
SMALL, LARGE = "1920x1080", "3840x2160"
SCREENS = (("xvfb", "Xvfb"), ("xorg", "Xorg, dummy driver"))


class Cost:
    """What a process used since this was made: seconds of CPU, and how often its threads went to sleep by themselves."""

    def __init__(self, pid):
        self.pid, self.began = pid, time.monotonic()
        self.cpu0, self.sleeps0 = self.cpu(), self.sleeps()

    def cpu(self):
        with open("/proc/%d/stat" % self.pid) as stat:
            user, system = stat.read().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / TICKS

    def sleeps(self):
        """Per thread: a thread that ended meanwhile takes its count along."""
        counts = {}
        for task in os.listdir("/proc/%d/task" % self.pid):
            with open("/proc/%d/task/%s/status" % (self.pid, task)) as status:
                counts[task] = sum(int(line.split()[1]) for line in status if line.startswith("voluntary_ctxt_switches"))
        return counts

    def read(self):
        """Seconds, CPU seconds, sleeps."""
        sleeps = sum(count - self.sleeps0.get(task, 0) for task, count in self.sleeps().items())
        return time.monotonic() - self.began, self.cpu() - self.cpu0, sleeps


def resident_mb(pid):
    with open("/proc/%d/status" % pid) as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def table(head, rows):
    rows = [head, ["---" if i == 0 else "--:" for i in range(len(head))]] + [[str(c) for c in row] for row in rows]
    print("\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n", flush=True)


class Desk:
    """An X server with the letters' window, and a farpane that shares it."""

    def __init__(self, children, args, size, kind="xvfb"):
        self.x = XServer(children, kind, [size])
        self.letters = self.x.start("letters", os.path.join(HERE, "letters.py"), self.x.name)
        until("the letters' window", lambda: "ready" in self.letters.log(), alive=(self.letters,))
        self.farpane = Farpane(children, args.farpane, "x11:" + self.x.name)
        self.pid = self.farpane.child.pid

    def drawn(self):
        return self.letters.log().split()[1:]


def idle(args):
    rows = []
    for kind, words in SCREENS:
        with Children() as children:
            desk = Desk(children, args, LARGE, kind)
            without = Cost(desk.pid)
            time.sleep(args.seconds)
            _, cpu, sleeps = without.read()
            rows.append([words, "none", "%.2f" % cpu, sleeps, 0, 0])
            for name, encodings in (("Tight, quality 8", TIGHT), ("ZRLE", ZRLE)):
                client = rfb.Client(desk.farpane.port, encodings)
                # longer than the exact pixels that follow JPEG may take
                client.quiet(3)
                before, cost = client.total, Cost(desk.pid)
                updates = client.quiet(args.seconds)
                _, cpu, sleeps = cost.read()
                rows.append([words, name, "%.2f" % cpu, sleeps, client.total - before, len(updates)])
                client.close()
    print("Still 3840x2160 X desktop, %d s:\n" % args.seconds)
    table(["screen", "viewer", "CPU s", "times a thread slept and woke", "bytes sent", "updates"], rows)


def type_keys(desk, client, keys):
    """Types; per key: seconds to the update, seconds to the drawing, bytes until all is quiet."""
    client.quiet(2)
    out, seed = [], random.Random(1)
    for number in range(keys):
        x, y = letters.place(number)
        before, began = client.total, time.monotonic()
        client.key(0x61 + number % 26, 1)
        arrived = None
        while arrived is None:
            update = client.next_update(20)
            if update is None:
                sys.exit("letter %d did not arrive" % number)
            if update.covers(x + 5, y + 10):
                arrived = update.at - began
        client.key(0x61 + number % 26, 0)
        # a person's pause, and never in step with a clock
        client.quiet(0.05 + seed.random() * 0.02)
        drawn = until("letter %d" % number, lambda: desk.drawn()[number:number + 1])
        out.append((arrived, float(drawn[0]) - began, client.total - before))
    return out


def typing(args):
    rows = []
    for kind, words in SCREENS:
        for name, encodings in (("Tight, quality 8", TIGHT), ("ZRLE", ZRLE)):
            for size in (SMALL, LARGE):
                with Children() as children:
                    desk = Desk(children, args, size, kind)
                    client = rfb.Client(desk.farpane.port, encodings)
                    got = type_keys(desk, client, args.keys)
                    times = sorted(t for t, _, _ in got)
                    drawn = statistics.median(d for _, d, _ in got)
                    sizes = [b for _, _, b in got]
                    rows.append([words, name, size, "%.2f" % (statistics.median(times) * 1e3),
                                 "%.2f" % (times[int(len(times) * 0.95)] * 1e3), "%.2f" % (drawn * 1e3),
                                 "%.0f" % statistics.median(sizes), max(sizes)])
    print("One letter, %d times: milliseconds from the key event leaving the viewer to the last byte of the update with the letter;"
          "\nof these, until the X server has drawn it.\n" % args.keys)
    table(["screen", "viewer", "size", "median ms", "p95 ms", "drawn after ms", "bytes", "most bytes"], rows)


def clients(args):
    codecs = [("Tight q8", [rfb.TIGHT, rfb.QUALITY_8]), ("Tight", [rfb.TIGHT]), ("ZRLE", [rfb.ZRLE]), ("Zlib", [rfb.ZLIB]),
              ("Hextile", [rfb.HEXTILE]), ("Raw", [rfb.RAW])]
    rows = []
    for size in (SMALL, LARGE):
        with Children() as children:
            desk = Desk(children, args, size)
            before = resident_mb(desk.pid)
            first = rfb.Client(desk.farpane.port, ZRLE)
            first.quiet(2)
            one = resident_mb(desk.pid)
            # it asks for everything, over and over, and reads nothing
            deaf = rfb.Client(desk.farpane.port, [rfb.RAW])
            for _ in range(200):
                deaf.request(False)
            seen, stop, threads = [set() for _ in range(20)], threading.Event(), []

            def watch(number):
                _, encodings = codecs[number % len(codecs)]
                viewer = rfb.Client(desk.farpane.port, encodings + ALWAYS, (32, 16, 8)[number % 3])
                while not stop.is_set():
                    update = viewer.next_update(0.2)
                    for at in range(args.keys) if update else ():
                        x, y = letters.place(at)
                        if update.covers(x + 5, y + 10):
                            seen[number].add(at)
                viewer.close()
            for number in range(20):
                threads.append(threading.Thread(target=watch, args=(number,), daemon=True))
                threads[-1].start()
            until("all pictures", lambda: all(len(s) == args.keys for s in seen), limit=120)
            full = resident_mb(desk.pid)
            # now only what is drawn anew counts
            for s in seen:
                s.clear()
            times = sorted(t for t, _, _ in type_keys(desk, first, args.keys))
            until("every letter at every viewer", lambda: all(len(s) == args.keys for s in seen), limit=60)
            after = resident_mb(desk.pid)
            stop.set()
            for thread in threads:
                thread.join(60)
            deaf.close()
            rows.append([size, "%.0f" % before, "%.0f" % one, "%.0f" % full, "%.0f" % after,
                         "%.1f" % (statistics.median(times) * 1e3), "%d of %d" % (sum(len(s) for s in seen), 20 * args.keys)])
    print("One viewer in ZRLE that types %d letters, 20 more in six encodings and three formats, and one that asks and never reads"
          " (resident MB of the server):\n" % args.keys)
    table(["size", "no viewer", "one", "all 22", "after typing", "median ms of a letter", "letters at the 20"], rows)


def demo(args):
    rows = []
    for name, encodings in (("Tight, quality 8", TIGHT), ("ZRLE", ZRLE)):
        with Children() as children:
            farpane = Farpane(children, args.farpane, "synthetic:3840x2160@30")
            client = rfb.Client(farpane.port, encodings)
            end = time.monotonic() + 3
            while time.monotonic() < end:
                client.next_update(1)
            before, cost, px, count = client.total, Cost(farpane.child.pid), 0, 0
            end = time.monotonic() + args.seconds
            while time.monotonic() < end:
                update = client.next_update(1)
                if update:
                    px, count = px + update.pixels(), count + 1
            took, cpu, _ = cost.read()
            rows.append([name, "%.2f" % (cpu / took), "%.1f" % (count / took), "%.1f" % (px / took / 1e6),
                         "%.2f" % ((client.total - before) / took / 1e6), "%.0f" % resident_mb(farpane.child.pid)])
            client.close()
    print("The demo's scene, 3840x2160 at 30 frames a second, one viewer, %d s; painting the scene is part of the CPU:\n" % args.seconds)
    table(["viewer", "CPU s per s", "updates/s", "Mpx/s", "MB/s", "resident MB"], rows)


PARTS = {"idle": idle, "typing": typing, "clients": clients, "demo": demo}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--farpane", default=os.path.join(TOP, "target", "release", "farpane"), help="the binary to measure")
    ap.add_argument("--only", action="append", choices=list(PARTS), help="only this part (repeatable)")
    ap.add_argument("--keys", type=int, default=50, help="letters typed (default 50)")
    ap.add_argument("--seconds", type=int, default=10, help="how long to look where time passes (default 10)")
    args = ap.parse_args()
    args.farpane = os.path.abspath(args.farpane)
    if not os.access(args.farpane, os.X_OK):
        sys.exit("%s is not there: make build" % args.farpane)
    with open("/proc/cpuinfo") as info:
        cpu = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), platform.machine())
    print("$ tests/figures/measure.py %s" % " ".join(sys.argv[1:]))
    print("%s, %d cores, load %.1f before\n" % (cpu, os.cpu_count(), os.getloadavg()[0]), flush=True)
    for name in args.only or PARTS:
        try:
            PARTS[name](args)
        except Missing as missing:
            print("%s: left out, %s\n" % (name, missing))


if __name__ == "__main__":
    main()
