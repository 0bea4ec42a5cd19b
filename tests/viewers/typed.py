"""Keys and clicks through a real viewer, read in a real X client on the source desktop."""
import re

import servers
import viewers
from desktop import Failed, XServer, until

# one line each: what a keyboard has, then what it may lack and a server must map for the moment
LINES = ["Hello, farpane: The quick brown fox 0123456789", "~!@#$%^&*()_+[]{};'\\:\"|,./<>?", "äöü ÄÖÜ ß é ñ", "10 € £ µ",
         "Привет, Мир", "face \U0001F600 end"]


def desktop(children, args):
    if args.stand_in:
        server = servers.Xvnc(children)
        return server.x, server
    x = XServer(children, "xvfb", ["%dx%d" % servers.SIZE])
    return x, None


def serve(x, server, children, args):
    return server or servers.Farpane(children, args.farpane, "x11:" + x.name, env=x.env)


def watched(children, server):
    """A TigerVNC viewer whose window is found and has the keyboard."""
    viewer = viewers.TigerVnc(children, server)

    def window():
        tree = viewer.x.run("xwininfo", "-root", "-tree")
        found = re.findall(r"^\s+(0x[0-9a-f]+) .*\b%dx%d\+" % servers.SIZE, tree, re.M)
        return found and found[0]
    ident = until("viewer window", window, alive=(viewer.child,))
    place = viewer.x.run("xwininfo", "-id", ident)
    left, top = (int(re.search(r"Absolute upper-left %s:\s+(-?\d+)" % axis, place).group(1)) for axis in "XY")
    # the pointer inside and the focus on it: without a window manager nobody else gives either
    viewer.x.run("xdotool", "mousemove", left + 320, top + 240)
    viewer.x.run("xdotool", "windowfocus", ident)
    return viewer, (left, top)


def free_keys(x):
    """The key codes of a display that have no meaning yet; of two digits at least, for xdotool takes `8` for the digit."""
    return [line.split()[1] for line in x.run("xmodmap", "-pke").splitlines() if re.match(r"keycode +\d\d+ =\s*$", line)]


def keys_for(x, free, characters):
    """Gives each character a key of its own on the viewer's display and returns their key codes.

    Both levels of the key get the same keysym: xdotool would fill the first alone, and X makes of a lone capital letter a
    small one that wants Shift.
    """
    codes = dict(zip(sorted(set(characters)), free))
    missing = set(characters) - set(codes)
    if missing:
        raise Failed("no free key for %s" % "".join(sorted(missing)))
    if codes:
        x.run("xmodmap", "-", data="".join("keycode %s = U%04X U%04X\n" % (code, ord(c), ord(c)) for c, code in codes.items()))
    return codes


def typing(x, line, codes):
    """Types one line and Return on a display."""
    plain = ""
    for c in line + "\n":
        if c not in codes:
            plain += c
            continue
        if plain:
            x.run("xdotool", "type", "--delay", "30", plain)
            plain = ""
        x.run("xdotool", "key", codes[c])
    x.run("xdotool", "type", "--delay", "30", plain)


def text(layout=None):
    def case(children, args):
        arrives(children, args, layout)
    return case


def arrives(children, args, layout):
    """Each line is typed on the viewer's display, and read from a file that a terminal on the source writes."""
    x, server = desktop(children, args)
    if layout:
        x.run("setxkbmap", layout)
    out = children.path("typed.txt")
    open(out, "w").close()
    x.start("xterm", "xterm", "-u8", "-geometry", "80x24+0+0", "-e", "sh", "-c", "cat >" + out, env={"LC_ALL": "C.UTF-8"})
    ident = until("terminal", lambda: x.run("xdotool", "search", "--onlyvisible", "--class", "xterm", check=False).split())[0]
    x.run("xdotool", "windowfocus", "--sync", ident)
    server = serve(x, server, children, args)
    viewer, _ = watched(children, server)
    free = free_keys(viewer.x)

    def arrived():
        with open(out, encoding="utf-8", errors="replace") as file:
            return file.read()
    # the first line may meet a viewer or a terminal that is not ready: it is typed until something arrives
    def ready():
        viewer.x.run("xdotool", "key", "Return")
        return arrived()
    until("first key at the source", ready, alive=(viewer.child,))
    for line in LINES:
        before = len(arrived().splitlines())
        typing(viewer.x, line, keys_for(viewer.x, free, [c for c in line if ord(c) > 126]))
        try:
            until("typed line", lambda: line in arrived(), limit=15, alive=(viewer.child,))
        except Failed:
            raise Failed("typed %r, arrived %r" % (line, arrived().splitlines()[before:]))
    if "a line that nobody typed" in arrived():
        raise Failed("the reader finds what is not there")
    server.stop()


def click(children, args):
    """Each button, at a known place, is reported by xev on the source at that place."""
    x, server = desktop(children, args)
    xev = x.start("xev", "stdbuf", "-oL", "xev", "-geometry", "400x300+100+50", "-event", "button")
    until("xev window", lambda: "Event Tester" in x.run("xwininfo", "-root", "-tree"), alive=(xev,))
    server = serve(x, server, children, args)
    viewer, (left, top) = watched(children, server)

    def presses():
        return re.findall(r"ButtonPress event.*?root:\((\d+),(\d+)\).*?button (\d+)", xev.log(), re.S)
    for button, at in ((1, (150, 100)), (2, (333, 211)), (3, (480, 340)), (4, (200, 200)), (5, (201, 200))):
        want = (str(at[0]), str(at[1]), str(button))
        viewer.x.run("xdotool", "mousemove", left + at[0], top + at[1], "click", button)
        try:
            until("click", lambda: want in presses(), limit=15, alive=(viewer.child,))
        except Failed:
            raise Failed("button %d at %d,%d did not arrive; seen: %s" % ((button,) + at + (presses(),)))
    if ("1", "1", "1") in presses():
        raise Failed("the reader finds a click that nobody made")
    server.stop()
