#!/usr/bin/env python3
"""Private desktops for tests: no GPU, no screen, no login, nothing outside one new folder under /tmp.

As a program it starts a desktop, runs a command in it and takes everything down again:

    desktop.py xvfb --monitor 1920x1080 --max 3840x2160 -- COMMAND...
    desktop.py xorg --monitor 1920x1080 --monitor 1280x720 -- COMMAND...
    desktop.py mutter --monitor 1920x1080 -- COMMAND...     (`--monitor none`: a desktop without any)
    desktop.py sway --monitor 1920x1080 -- COMMAND...
    desktop.py fakeportal -- COMMAND...                     (no compositor; a portal that does what portal.json says)
    desktop.py pipewire -- COMMAND...                       (only D-Bus, PipeWire and its session manager)

The command finds DESKTOP_DIR and what the desktop says of itself: DISPLAY and, with xvfb, XVFB_FB (the XWD file that holds the
live frame buffer); DBUS_SESSION_BUS_ADDRESS, XDG_RUNTIME_DIR and WAYLAND_DISPLAY. The exit status is the command's; 125 says
that the desktop did not start. As a module it gives `Children` and `XServer`.

With `--hold` in place of a command it prints these variables, one NAME=VALUE a line, then an empty line, and does what it reads:
`stop PART` and `start PART` (a part is a program of the desktop, such as `mutter`) are answered with `ok` or one line that says why
not. It ends when its input does.

Every process is a child of this one. It is ended when the work ends, and by the kernel when this process dies.
"""
import argparse
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
# what a test's child may know of the caller's surroundings
KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "RUST_BACKTRACE", "RUST_LOG")

XORG_CONF = """Section "ServerFlags"
  Option "DontVTSwitch" "true"
  Option "AutoAddDevices" "false"
  Option "AutoEnableDevices" "false"
EndSection
Section "Device"
  Identifier "dummy"
  Driver "dummy"
  VideoRam 1048576
EndSection
Section "Monitor"
  Identifier "monitor"
  HorizSync 5.0-1000.0
  VertRefresh 5.0-200.0
EndSection
Section "Screen"
  Identifier "screen"
  Device "dummy"
  Monitor "monitor"
  DefaultDepth 24
  SubSection "Display"
    Depth 24
    Virtual {w} {h}
  EndSubSection
EndSection
"""


class Failed(Exception):
    """A state was not reached, or a program ended that should not have; the text says which."""


class Missing(Exception):
    """A program that the test needs is not installed."""


def program(name):
    """The path of an installed program."""
    path = name if os.sep in name and os.access(name, os.X_OK) else shutil.which(name)
    if not path:
        raise Missing("%s is not installed (make deps)" % name)
    return path


def until(what, test, limit=60.0, alive=()):
    """Asks `test` again and again until it answers something true, and hands that out."""
    end = time.monotonic() + limit
    while True:
        got = test()
        if got:
            return got
        for child in alive:
            if child.poll() is not None:
                raise Failed("%s ended with status %s before %s\n%s" % (child.label, child.returncode, what, child.tail()))
        if time.monotonic() > end:
            raise Failed("no %s after %.0f s%s" % (what, limit, "".join("\n" + c.tail() for c in alive)))
        time.sleep(0.03)


class Child(subprocess.Popen):
    """A process with a name and a log file."""

    def tail(self, lines=15):
        with open(self.log_path, errors="replace") as log:
            return "".join("    %s: %s" % (self.label, line) for line in log.readlines()[-lines:])

    def log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()


class Children:
    """A folder under /tmp and the processes that live in it; as a context it ends them all and removes it."""

    def __init__(self, keep=False):
        self.dir = tempfile.mkdtemp(prefix="farpane-test-", dir="/tmp")
        self.keep = keep
        self.all = []
        self.env = {k: v for k, v in os.environ.items() if k in KEPT}
        self.env.update(HOME=self.path("home"), XDG_RUNTIME_DIR=self.dir, NO_AT_BRIDGE="1", GSETTINGS_BACKEND="memory",
                        GIO_USE_VFS="local", LIBGL_ALWAYS_SOFTWARE="1")
        os.mkdir(self.path("home"))

    def path(self, name):
        return os.path.join(self.dir, name)

    def start(self, label, argv, env=None, pass_fds=(), stdin=None):
        """Starts a program; its output goes to a log file that failures quote."""
        argv = [program(argv[0])] + [str(a) for a in argv[1:]]
        label = "%s-%d" % (label, len(self.all))
        log_path = self.path(label + ".log")
        with open(log_path, "wb") as log:
            child = Child(argv, env=dict(self.env, **(env or {})), stdin=stdin or subprocess.DEVNULL, stdout=log,
                          stderr=subprocess.STDOUT, start_new_session=True, pass_fds=pass_fds, cwd=self.dir,
                          preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM))
        child.label, child.log_path = label, log_path
        self.all.append(child)
        return child

    def end(self, child, limit=5.0):
        """Ends one child and its own process group; returns its exit status."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if child.poll() is None:
                try:
                    os.killpg(child.pid, sign)
                    child.wait(limit)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    pass
        return child.poll()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in reversed(self.all):
            self.end(child)
        if self.keep:
            sys.stderr.write("desktop: kept %s\n" % self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


class XServer:
    """A private X server: `xvfb` (with a mappable frame buffer) or `xorg` (dummy driver, 16 RandR outputs)."""

    def __init__(self, children, kind="xvfb", monitors=("1024x768",), largest=None, options=()):
        self.children = children
        self.options = list(options)
        self.env = {}
        sizes = [tuple(int(v) for v in m.split("x")) for m in monitors]
        getattr(self, kind)(sizes, tuple(int(v) for v in largest.split("x")) if largest else None)

    def display(self, name, argv):
        # -displayfd lets the server choose a free number and say when it is ready
        r, w = os.pipe()
        self.server = self.children.start(name, argv + self.options + ["-displayfd", w], pass_fds=(w,))
        os.close(w)
        os.set_blocking(r, False)
        said = [b""]

        def ready():
            try:
                said[0] += os.read(r, 64)
            except BlockingIOError:
                pass
            return said[0].endswith(b"\n")
        try:
            until("display of its own", ready, alive=(self.server,))
        finally:
            os.close(r)
        self.name = ":" + said[0].decode().strip()
        self.env["DISPLAY"] = self.name

    def run(self, *argv, data=None, check=True, text=True):
        """Runs a short program on this display and returns what it printed."""
        done = subprocess.run([program(argv[0])] + [str(a) for a in argv[1:]], env=dict(self.children.env, **self.env),
                              input=data, stdin=None if data else subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=text, timeout=60)
        if check and done.returncode:
            raise Failed("%s ended with status %d: %s" % (" ".join(map(str, argv)), done.returncode, done.stderr))
        return done.stdout

    def start(self, label, *argv, env=None, stdin=None):
        """Starts a program that stays on this display."""
        return self.children.start(label, list(argv), dict(self.env, **(env or {})), stdin=stdin)

    def mode(self, output, width, height):
        name = "m%dx%d" % (width, height)
        # any timing will do for a server without a screen
        clock = (width + 160) * (height + 40) * 60 / 1e6
        if name not in self.run("xrandr"):
            self.run("xrandr", "--newmode", name, "%.2f" % clock, width, width + 48, width + 80, width + 160,
                     height, height + 3, height + 8, height + 40)
        self.run("xrandr", "--addmode", output, name)
        return name

    def xvfb(self, sizes, largest):
        wide = (sum(w for w, _ in sizes), max(h for _, h in sizes))
        big = tuple(map(max, largest or wide, wide))
        buffer = self.children.path("fb-%d" % len(self.children.all))
        os.mkdir(buffer)
        # -noreset: without it the server forgets modes and monitors when its last client leaves
        self.display("xvfb", ["Xvfb", "-screen", "0", "%dx%dx24" % big, "-fbdir", buffer, "-nolisten", "tcp", "-ac",
                              "-noreset", "+extension", "RANDR"])
        self.env["XVFB_FB"] = os.path.join(buffer, "Xvfb_screen0")
        if big != wide:
            self.run("xrandr", "--output", "screen", "--mode", self.mode("screen", *wide))
        x = 0
        for i, (w, h) in enumerate(sizes if len(sizes) > 1 else ()):
            self.run("xrandr", "--setmonitor", "monitor%d" % i, "%d/300x%d/200+%d+0" % (w, h, x), "screen" if i == 0 else "none")
            x += w

    def xorg(self, sizes, largest):
        w, h = largest or (7680, 4320)
        with open(self.children.path("xorg.conf"), "w") as conf:
            conf.write(XORG_CONF.format(w=w, h=h))
        self.display("xorg", ["Xorg", "-config", self.children.path("xorg.conf"), "-logfile", self.children.path("xorg-server.log"),
                              "-noreset", "-nolisten", "tcp", "-ac", "vt99", "-sharevts", "-novtswitch"])
        x = 0
        for i, (w, h) in enumerate(sizes):
            output = "DUMMY%d" % i
            self.run("xrandr", "--output", output, "--mode", self.mode(output, w, h), "--pos", "%dx0" % x,
                     *(["--primary"] if i == 0 else []))
            x += w


def kinds():
    """What can be started, by name: (children, monitors, largest) -> something with `env`, and parts that can be stopped and started."""
    import mutter
    import session
    import sway
    import sway_portal
    x = {kind: lambda c, m, l, kind=kind: XServer(c, kind, m, l) for kind in ("xvfb", "xorg")}
    return dict(x, mutter=mutter.Mutter, pipewire=session.Session, fakeportal=session.Fake, sway=sway.Sway,
                swayportal=sway_portal.SwayPortal)


def hold(desktop, env):
    """Tells what the desktop says of itself and does what is asked, until nobody asks any more."""
    print("".join("%s=%s\n" % pair for pair in sorted(env.items())), flush=True)
    for line in sys.stdin:
        try:
            what, part = line.split()
            {"stop": desktop.stop, "start": desktop.again}[what](part)
            print("ok", flush=True)
        except (Failed, Missing, ValueError, KeyError, AttributeError) as failure:
            print(repr(failure).replace("\n", " "), flush=True)
    return 0


def main():
    argv = sys.argv[1:]
    split = argv.index("--") if "--" in argv else len(argv)
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("kind", choices=["xvfb", "xorg", "mutter", "pipewire", "fakeportal", "sway", "swayportal"])
    ap.add_argument("--monitor", action="append", help="WxH, once per monitor, left to right (default 1920x1080)")
    ap.add_argument("--max", help="the largest screen a later resize may ask for")
    ap.add_argument("--hold", action="store_true", help="no command: tell the variables and take orders on standard input")
    ap.add_argument("--keep", action="store_true", help="leave the folder with the logs")
    args = ap.parse_args(argv[:split])
    command = argv[split + 1:] or [os.environ.get("SHELL", "/bin/sh")]
    for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sign, lambda number, _: sys.exit(128 + number))
    with Children(args.keep) as children:
        try:
            desktop = kinds()[args.kind](children, args.monitor or ["1920x1080"], args.max)
        except (Failed, Missing) as failure:
            sys.stderr.write("desktop: %s\n" % failure)
            sys.exit(125)
        env = dict(desktop.env, DESKTOP_DIR=children.dir)
        if args.hold:
            sys.exit(hold(desktop, env))
        done = subprocess.Popen(command, env=dict(os.environ, **env))
        try:
            status = done.wait()
        finally:
            if done.poll() is None:
                done.terminate()
                done.wait(10)
    sys.exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    # the kinds' own files import this one by its name
    sys.modules["desktop"] = sys.modules["__main__"]
    main()
