"""The foreign viewers: how each is started, and how the picture that it shows is read."""
import http.server
import os
import shutil
import subprocess
import threading
import urllib.parse

import picture
from desktop import Failed, Missing, XServer, program, until

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
CHROMIUM = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--no-first-run", "--disable-quic", "--disable-dev-shm-usage", "--disable-extensions",
            "--window-size=1600,1200", "--force-device-scale-factor=1"]


def screenshot(x):
    """The whole screen of an X server: what Xvfb holds in its file, or what xwd reads elsewhere.

    xwd would join windows of different visuals into a picture of another layout, and GTK uses more than one visual.
    """
    if "XVFB_FB" in x.env:
        with open(x.env["XVFB_FB"], "rb") as live:
            return picture.from_xwd(live.read())
    return picture.from_xwd(x.run("xwd", "-root", "-silent", text=False))


class Window:
    """A viewer with a window on an X server of its own; its picture is looked for on that whole screen."""

    tolerance = 0

    def __init__(self, children, argv, env=None, stdin=None):
        # -nocursor: Xvfb paints its pointer into the very pixels that are compared
        self.x = XServer(children, "xvfb", ["1280x960"], options=["-nocursor"])
        self.child = self.x.start("viewer", *argv, env=env, stdin=stdin)

    def compare(self, want):
        return picture.shown(want, screenshot(self.x))

    def picture(self, like):
        """What the window shows, as large as `like` and found by rows of it; none while no such row is shown."""
        screen = screenshot(self.x)
        where = picture.place(like, screen)
        return where and screen.cut(*where, like.width, like.height)


class TigerVnc(Window):
    """xtigervncviewer with the encoding that the test names, or with its own choice."""

    def __init__(self, children, server, options=(), security="None,VncAuth", env=None, viewer="xtigervncviewer"):
        argv = [viewer, "-SecurityTypes=" + security, "-RemoteResize=0", "-Shared=1", "-AlertOnFatalError=0",
                "-ReconnectOnError=0", *options, "127.0.0.1::%d" % server.port]
        super().__init__(children, argv, env)


class NewerTigerVnc(TigerVnc):
    """TigerVNC of a later Debian, which packaging/install-viewers has unpacked beside the system: it knows H.264."""

    def __init__(self, children, server):
        cache = os.environ.get("FARPANE_VIEWERS_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
                                                                       "farpane-viewers")
        viewer = os.path.join(cache, "tigervnc-trixie", "run")
        if not os.access(viewer, os.X_OK):
            raise Missing("TigerVNC of Debian 13 is not unpacked (make deps)")
        super().__init__(children, server, ["-MenuKey="], viewer=viewer)


def tiger_by_certificate(children, server, password=None):
    """TigerVNC through TLS: it trusts the server's own certificate, and says a name and a password."""
    env = {"VNC_USERNAME": "ann", "VNC_PASSWORD": password or server.password}
    return TigerVnc(children, server, ["-X509CA=" + server.certificate, "-NoJPEG=1"], "X509Plain", env)


class GtkVncByCertificate(Window):
    """A small program on gtk-vnc, through TLS with a name and a password."""

    # gtk-vnc trusts what lies in the home folder of the system's list of users, whatever HOME says: it gets one of its own
    AT_HOME = """set -e
home=$(getent passwd "$(id -u)" | cut -d: -f6)
mount -t tmpfs none "$home"
mkdir -p "$home/.pki/CA"
cp "$1" "$home/.pki/CA/cacert.pem"
shift
exec "$@"
"""

    def __init__(self, children, server):
        with open(children.path("gtk-vnc-password"), "w") as out:
            out.write(server.password + "\n")
        # what is read after the home folder is covered must not lie in it
        script = shutil.copy(os.path.join(HERE, "gtkvnc.py"), children.path("gtkvnc.py"))
        with open(children.path("gtk-vnc-password")) as password:
            super().__init__(children, ["unshare", "-rm", "sh", "-c", self.AT_HOME, "sh", server.certificate,
                                        "/usr/bin/python3", "-W", "ignore", script, "127.0.0.1", server.port, "ann"],
                             stdin=password)


class GtkVnc(Window):
    """gvncviewer, on gtk-vnc. It takes a display number, not a port."""

    def __init__(self, children, server):
        super().__init__(children, ["gvncviewer", "127.0.0.1:%d" % (server.port - 5900)])


class LibVncClient:
    """A small program on LibVNCClient, compiled here, that writes what it holds as a PPM file after each update."""

    def __init__(self, children, server, encodings, bytes_per_pixel=4, jpeg=False, cursor=False):
        # fewer bits a channel: at most one step of the coarsest channel away, whichever way the server rounds
        self.tolerance = {4: 0, 2: 8, 1: 85}[bytes_per_pixel]
        binary = children.path("libvncclient")
        if not os.path.exists(binary):
            flags = subprocess.run([program("pkg-config"), "--cflags", "--libs", "libvncclient"], stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, text=True)
            if flags.returncode:
                raise Missing("libvncserver-dev is not installed (make deps)")
            built = subprocess.run([program("cc"), "-O1", "-Wall", "-o", binary, os.path.join(HERE, "libvncclient.c")]
                                   + flags.stdout.split(), stderr=subprocess.PIPE, text=True)
            if built.returncode:
                raise Failed("libvncclient.c does not compile\n" + built.stderr)
        self.out = children.path("libvncclient-%d.ppm" % len(children.all))
        self.child = children.start("viewer", [binary, "127.0.0.1", server.port, self.out, encodings, bytes_per_pixel, int(jpeg),
                                               int(cursor)])

    def picture(self):
        with open(self.out, "rb") as out:
            return picture.from_ppm(out.read())

    def compare(self, want):
        if not os.path.exists(self.out):
            return "no update has been written"
        return picture.difference(want, self.picture(), self.tolerance)


class VncDoTool:
    """vncdotool's `capture`: for each comparison one connection and one whole picture."""

    tolerance = 0
    child = None

    def __init__(self, children, server, password=None):
        self.options = ["-p", password] if password else []
        self.vncdo = os.path.join(TOP, ".venv", "bin", "vncdo")
        if not os.path.exists(self.vncdo):
            raise Missing("vncdotool is not installed (make deps)")
        self.children, self.port = children, server.port
        self.out = children.path("vncdotool.png")

    def compare(self, want):
        child = self.children.start("viewer", [self.vncdo, "-s", "127.0.0.1::%d" % self.port, *self.options, "capture", self.out])
        until("end of vncdotool", lambda: child.poll() is not None)
        if child.returncode:
            raise Failed("vncdotool ended with status %d\n%s" % (child.returncode, child.tail()))
        got = subprocess.run([program("convert"), self.out, "-depth", "8", "ppm:-"], stdout=subprocess.PIPE, check=True).stdout
        return picture.difference(want, picture.from_ppm(got))


class NoVnc:
    """noVNC in headless Chromium: a page of ours loads it, connects by WebSocket and posts its canvas back."""

    tolerance = 0

    def __init__(self, children, server, password="", user="", size=None):
        """`size`: the page is so large, and the desktop is to become so too."""
        root = os.path.join(HERE, "node_modules", "@novnc", "novnc")
        if not os.path.isdir(root):
            raise Missing("noVNC is not installed (make deps)")
        if not server.web:
            raise Missing("the stand-in has no WebSocket listener")
        self.latest, self.said, self.enough, self.size = None, [], False, size
        viewer = self

        class Page(http.server.SimpleHTTPRequestHandler):
            def translate_path(self, path):
                path = urllib.parse.urlsplit(path).path
                parts = [p for p in path.split("/") if p not in ("", ".", "..")]
                if parts[:1] == ["novnc"]:
                    return os.path.join(root, *parts[1:])
                return os.path.join(HERE, "novnc.html") if not parts else os.path.join(HERE, "nothing")

            def do_POST(self):
                url = urllib.parse.urlsplit(self.path)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if url.path == "/picture":
                    size = urllib.parse.parse_qs(url.query)
                    viewer.latest = picture.from_rgbx(int(size["width"][0]), int(size["height"][0]), body)
                else:
                    viewer.said.append(body.decode(errors="replace"))
                answer = b"enough" if viewer.enough else b"%dx%d" % viewer.size if viewer.size else b"more"
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.web.daemon_threads = True
        threading.Thread(target=self.web.serve_forever, daemon=True).start()
        page = "http://127.0.0.1:%d/?%s" % (self.web.server_address[1],
                                            urllib.parse.urlencode({"server": server.web, "password": password, "user": user,
                                                                    "size": "%dx%d" % size if size else ""}))
        # a certificate that nobody signed is what is tested here
        self.child = children.start("chromium", ["chromium", *CHROMIUM, "--ignore-certificate-errors", "--user-data-dir=" + children.path("chromium"), page])

    def compare(self, want):
        if self.latest is None:
            return "no canvas yet; the page said: %s" % ("; ".join(self.said) or "nothing")
        wrong = picture.difference(want, self.latest)
        return wrong and "%s; the page said: %s" % (wrong, "; ".join(self.said))

    def picture(self, _like):
        return self.latest

    def close(self):
        self.enough = True
        self.web.shutdown()
        self.web.server_close()
