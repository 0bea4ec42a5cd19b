#!/usr/bin/env python3
"""Foreign viewers against the real farpane: the picture that each shows must be the source's, pixel for pixel.

    tests/viewers/run.py --farpane target/ci/farpane [--only WORDS] [--list] [--keep] [--stand-in xvnc]

One case at a time, each with its own X servers, its own farpane and a deadline of 60 s on every state it waits for. Every
case ends by planting a wrong pixel in the expected picture: its comparer must see that, or the case fails. A viewer that is
not installed is skipped, or is a failure when FARPANE_REQUIRE_ALL=1. The last line counts: `viewers: N passed, M failed`.

`--stand-in xvnc` points the viewers at TigerVNC's server: it tells whether a failure is ours.
"""
import argparse
import os
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "desktops")]

import film  # noqa: E402
import picture  # noqa: E402
import resizing  # noqa: E402
import servers  # noqa: E402
import typed  # noqa: E402
import viewers  # noqa: E402
from desktop import Children, Failed, Missing, until  # noqa: E402
from source import Still  # noqa: E402

def converges(viewer, want):
    """Waits until the viewer shows `want` (a picture, or what tells the newest one), then plants a wrong pixel."""
    wrong = [None]
    newest = want if callable(want) else lambda: want

    def same():
        wrong[0] = viewer.compare(newest())
        return wrong[0] is None
    try:
        until("equal picture", same, alive=(viewer.child,) if viewer.child else ())
    except Failed as failure:
        raise Failed("%s\n    %s" % (failure, wrong[0]))
    # a viewer of few colours may itself be off by the tolerance, the other way
    fault = newest().with_wrong_pixel(by=2 * viewer.tolerance + 1)
    if viewer.compare(fault) is None:
        raise Failed("the comparer does not see a wrong pixel")


def still_case(make, refreshed=False, **still):
    """`refreshed` marks the cases that are exact only because lossy pixels are sent again when the screen is quiet."""
    def case(children, args):
        if refreshed and args.stand_in:
            raise Missing("the stand-in does not send lossy pixels again")
        desktop = Still(children, args, **still)
        viewer = make(children, desktop.server)
        try:
            converges(viewer, desktop.want)
        finally:
            if hasattr(viewer, "close"):
                viewer.close()
        desktop.server.stop()
    return case


def tiger(*options, refreshed=False):
    return still_case(lambda children, server: viewers.TigerVnc(children, server, options), refreshed)


def tiger_with(encoding, *options, refreshed=False):
    return tiger("-AutoSelect=0", "-FullColor=1", "-PreferredEncoding=" + encoding, *options, refreshed=refreshed)


def lib(encodings, refreshed=False, **settings):
    return still_case(lambda children, server: viewers.LibVncClient(children, server, encodings, **settings), refreshed)


def comparers_see_faults(_children, args):
    """Each way of comparing finds one wrong pixel, and only that."""
    want = args.still
    wrong = want.with_wrong_pixel(3, 5)
    if picture.difference(want, want) or not picture.difference(want, wrong):
        raise Failed("difference() is blind")
    if "1 of" not in picture.difference(want, wrong) or "at 3,5" not in picture.difference(want, wrong):
        raise Failed("difference() says the wrong thing: " + picture.difference(want, wrong))
    if picture.difference(want, want.with_wrong_pixel(by=8), tolerance=8) or not picture.difference(want, want.with_wrong_pixel(by=9), tolerance=8):
        raise Failed("the tolerance is not kept")
    width, height = want.width + 40, want.height + 30

    def framed(what):
        rows = bytes(width * 3) * 11 + b"".join(bytes(17 * 3) + what.row(y) + bytes(23 * 3) for y in range(what.height)) + bytes(width * 3) * 19
        return picture.Picture(width, height, rows)
    if picture.place(want, framed(want)) != (17, 11) or picture.shown(want, framed(want)):
        raise Failed("shown() does not find the picture")
    for y in (0, 5, want.height - 1):
        if not picture.shown(want, framed(want.with_wrong_pixel(3, y))):
            raise Failed("shown() is blind to a wrong pixel in row %d" % y)
    if not picture.shown(want, picture.Picture(width, height, bytes(width * height * 3))):
        raise Failed("shown() finds the picture on a black screen")
    if picture.from_ppm(want.ppm()).rgb != want.rgb:
        raise Failed("a PPM does not read back")


def synthetic(children, args):
    """On the built-in still scene, two viewers that share no code agree on every pixel."""
    if args.stand_in:
        raise Missing("the stand-in has no built-in scene")
    server = servers.Farpane(children, args.farpane, args.synthetic)
    # with the pointer beside the picture, and with it painted in: one pair of viewers for each
    first = viewers.LibVncClient(children, server, "raw", cursor=True)
    painted = viewers.LibVncClient(children, server, "raw")
    # the scene starts when somebody looks: what a viewer holds before its first picture is black
    until("the scene", lambda: all(os.path.exists(v.out) and v.picture().colours() >= 16 for v in (first, painted)),
          alive=(first.child, painted.child))
    if (first.picture().width, first.picture().height) != servers.SIZE:
        raise Failed("the scene is %dx%d" % (first.picture().width, first.picture().height))
    converges(viewers.TigerVnc(children, server, ("-AutoSelect=0", "-PreferredEncoding=ZRLE", "-NoJPEG=1")), first.picture)
    converges(viewers.VncDoTool(children, server), painted.picture)
    if picture.difference(first.picture(), painted.picture()) is None:
        raise Failed("the pointer is not painted for a viewer that cannot show its shape")
    server.stop()


def refuses_a_wrong_password(children, args):
    """A viewer with another password gets no picture, and the next one with the right one does."""
    desktop = Still(children, args, security="vncauth")
    try:
        shown = viewers.VncDoTool(children, desktop.server, "not-it").compare(desktop.want)
    except Failed:
        shown = "refused"
    if shown != "refused":
        raise Failed("a wrong password was let in")
    converges(viewers.VncDoTool(children, desktop.server, servers.PASSWORD), desktop.want)
    desktop.server.stop()


def refuses_a_wrong_user_password(children, args):
    """A viewer that says another password inside TLS is told so and gets no picture."""
    desktop = Still(children, args, security=None)
    viewer = viewers.tiger_by_certificate(children, desktop.server, "not-the-one")
    until("refusal in the log", lambda: "Authentication failed" in desktop.server.child.log(), alive=(desktop.server.child,))
    if viewer.compare(desktop.want) is None:
        raise Failed("a wrong password was let in")
    desktop.server.stop()


def novnc(**words):
    return lambda children, server: viewers.NoVnc(children, server, server.password, "ann", **words)


def with_password(children, server):
    return viewers.TigerVnc(children, server, ("-passwd", servers.password_file(children), "-AutoSelect=0", "-FullColor=1",
                                               "-PreferredEncoding=ZRLE", "-NoJPEG=1"))


CASES = [
    ("the comparers see a planted fault", comparers_see_faults),
    ("tigervnc, Raw", tiger_with("Raw", "-NoJPEG=1")),
    ("tigervnc, Hextile", tiger_with("Hextile", "-NoJPEG=1")),
    ("tigervnc, ZRLE", tiger_with("ZRLE", "-NoJPEG=1")),
    ("tigervnc, Tight lossless", tiger_with("Tight", "-NoJPEG=1", "-CustomCompressLevel=1", "-CompressLevel=6")),
    ("tigervnc, Tight with JPEG, exact when quiet", tiger_with("Tight", "-NoJPEG=0", "-QualityLevel=5", refreshed=True)),
    ("tigervnc, its own choice", tiger(refreshed=True)),
    ("tigervnc, Xorg source", still_case(lambda children, server: viewers.TigerVnc(children, server, ()), refreshed=True, kind="xorg")),
    ("gvncviewer, its own choice", still_case(viewers.GtkVnc, refreshed=True)),
    ("libvncclient, Raw", lib("raw")),
    ("libvncclient, CopyRect and RRE", lib("copyrect rre")),
    ("libvncclient, Hextile", lib("hextile")),
    ("libvncclient, Zlib", lib("zlib")),
    ("libvncclient, ZRLE", lib("zrle")),
    ("libvncclient, Tight lossless", lib("tight")),
    ("libvncclient, Tight with JPEG, exact when quiet", lib("tight", refreshed=True, jpeg=True)),
    ("libvncclient, Hextile in 16 bits", lib("hextile", bytes_per_pixel=2)),
    ("libvncclient, Zlib in 16 bits", lib("zlib", bytes_per_pixel=2)),
    ("libvncclient, Raw in 8 bits", lib("raw", bytes_per_pixel=1)),
    ("vncdotool, Raw", still_case(viewers.VncDoTool)),
    ("noVNC in Chromium", still_case(viewers.NoVnc)),
    ("the built-in scene, viewers agree, pointer beside and painted in", synthetic),
    ("password, tigervnc", still_case(with_password, security="vncauth")),
    ("password, vncdotool", still_case(lambda children, server: viewers.VncDoTool(children, server, servers.PASSWORD), security="vncauth")),
    ("password, noVNC", still_case(lambda children, server: viewers.NoVnc(children, server, servers.PASSWORD), security="vncauth")),
    ("password, a wrong one is refused", refuses_a_wrong_password),
    ("by default, tigervnc with X509Plain", still_case(viewers.tiger_by_certificate, security=None)),
    ("by default, gtk-vnc with X509Plain", still_case(viewers.GtkVncByCertificate, refreshed=True, security=None)),
    ("by default, noVNC with RA2ne inside wss", still_case(novnc(), security=None)),
    ("by default, a wrong password is refused", refuses_a_wrong_user_password),
    ("noVNC with VeNCrypt Plain inside wss", still_case(novnc(), security=None, extra=("--security", "plain"))),
    ("a film as H.264, decoded by ffmpeg", film.by_ffmpeg),
    ("a film as H.264 in tigervnc of a later Debian", film.case(viewers.NewerTigerVnc)),
    ("a film as H.264 in noVNC in Chromium", film.case(viewers.NoVnc)),
    ("the desktop takes tigervnc's size, and its window's", resizing.by_tiger(converges)),
    ("the desktop takes noVNC's size, and its page's", resizing.by_novnc(converges)),
    ("text typed into tigervnc arrives", typed.text()),
    ("text typed into tigervnc arrives on a German keyboard", typed.text("de")),
    ("a click in tigervnc arrives", typed.click),
]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--farpane", default=os.path.join(viewers.TOP, "target", "ci", "farpane"), help="the binary under test")
    ap.add_argument("--synthetic", default="synthetic:%dx%d:still" % servers.SIZE, help="the built-in scene that stays still")
    ap.add_argument("--only", default="", help="only the cases whose names hold these words")
    ap.add_argument("--stand-in", choices=["xvnc"], help="another server in farpane's place")
    ap.add_argument("--list", action="store_true", help="name the cases and end")
    ap.add_argument("--keep", action="store_true", help="leave each case's folder with its logs")
    args = ap.parse_args()
    args.farpane = os.path.abspath(args.farpane)
    args.still = picture.still(*servers.SIZE)
    chosen = [(name, case) for name, case in CASES if all(word in name.lower() for word in args.only.lower().split())]
    if args.list:
        print("\n".join(name for name, _ in chosen))
        return 0
    if not chosen:
        sys.exit("no case is named like '%s'" % args.only)
    if not args.stand_in and not os.access(args.farpane, os.X_OK):
        sys.exit("%s is not there: build it (cargo build --profile ci)" % args.farpane)
    strict = os.environ.get("FARPANE_REQUIRE_ALL") == "1" and not args.stand_in
    passed = failed = skipped = 0
    for name, case in chosen:
        began = time.monotonic()
        try:
            with Children(args.keep) as children:
                case(children, args)
            word, why = "ok", ""
            passed += 1
        except Missing as missing:
            word, why = ("FAILED", ": %s, and FARPANE_REQUIRE_ALL=1" % missing) if strict else ("skipped", ": %s" % missing)
            failed, skipped = failed + strict, skipped + (not strict)
        except Failed as failure:
            word, why = "FAILED", ": %s" % failure
            failed += 1
        except Exception:  # a case that breaks must not take the others with it
            word, why = "FAILED", ":\n" + traceback.format_exc()
            failed += 1
        print("%-8s %s (%.1f s)%s" % (word, name, time.monotonic() - began, why), flush=True)
    print("viewers: %d passed, %d failed%s" % (passed, failed, ", %d skipped" % skipped if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
