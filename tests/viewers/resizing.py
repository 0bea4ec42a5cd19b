"""Viewers that give the desktop their own size, when they come and when their window changes."""
import re

import picture
import source
import viewers
from desktop import Failed, Missing, until

SIZES = [(560, 420), (500, 300)]


def dump(x):
    """What an X desktop shows: Xvfb's file keeps the size that it began with."""
    return picture.from_xwd(x.run("xwd", "-root", "-silent", text=False))


def follows(children, desktop, viewer, converges, size):
    """Waits until the desktop has that size, and the viewer shows what is painted there then."""
    has = lambda: "current %d x %d," % size in desktop.x.run("xrandr")
    try:
        until("desktop of %dx%d" % size, has, alive=(viewer.child,))
    except Failed as failure:
        raise Failed("%s\n%s" % (failure, desktop.x.run("xrandr").splitlines()[0]))
    want = picture.still(*size)
    source.put(desktop.x, children, want, dump)
    converges(viewer, want)


def by_tiger(converges):
    def case(children, args):
        if args.stand_in:
            raise Missing("the stand-in's picture is read in another way")
        desktop = source.Still(children, args)
        viewer = viewers.TigerVnc(children, desktop.server, ["-RemoteResize=1", "-DesktopSize=%dx%d" % SIZES[0], "-AutoSelect=0", "-FullColor=1",
                                                             "-PreferredEncoding=ZRLE", "-NoJPEG=1"])
        follows(children, desktop, viewer, converges, SIZES[0])
        tree = viewer.x.run("xwininfo", "-root", "-tree")
        window = re.search(r"^\s+(0x[0-9a-f]+) .*\b%dx%d\+" % SIZES[0], tree, re.M)
        if not window:
            raise Failed("no window of the desktop's size\n" + tree)
        viewer.x.run("xdotool", "windowsize", window.group(1), *SIZES[1])
        follows(children, desktop, viewer, converges, SIZES[1])
        desktop.server.stop()
    return case


def by_novnc(converges):
    def case(children, args):
        if args.stand_in:
            raise Missing("the stand-in has no WebSocket listener")
        desktop = source.Still(children, args)
        viewer = viewers.NoVnc(children, desktop.server, size=SIZES[0])
        try:
            for size in SIZES:
                viewer.size = size
                follows(children, desktop, viewer, converges, size)
        finally:
            viewer.close()
        desktop.server.stop()
    return case
