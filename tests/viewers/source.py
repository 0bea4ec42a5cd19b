"""The desktop that is shown: one known picture."""
import picture
import servers
import viewers
from desktop import Missing, XServer, until

BLANK = b"#define blank_width 1\n#define blank_height 1\n#define blank_x_hot 0\n#define blank_y_hot 0\nstatic unsigned char blank_bits[] = {\n 0x00 };\n"


def put(x, children, what, look=viewers.screenshot):
    """Makes `what` the picture of an X desktop: root window, no pointer to be seen; and reads it back by `look`."""
    file = children.path("still.ppm")
    with open(file, "wb") as out:
        out.write(what.ppm())
    blank = children.path("blank.xbm")
    with open(blank, "wb") as out:
        out.write(BLANK)
    x.run("xsetroot", "-cursor", blank, blank)
    # its exit status says nothing: what the screen shows counts
    x.run("display", "-window", "root", file, check=False)
    until("picture on the source desktop", lambda: not picture.difference(what, look(x)))


class Still:
    """A farpane on a private X desktop that shows one known picture. `security` None: what a server offers by itself."""

    def __init__(self, children, args, kind="xvfb", security="none", extra=()):
        if args.stand_in and not security:
            raise Missing("the stand-in has no certificate of this run")
        if args.stand_in:
            self.server = servers.Xvnc(children, security)
            self.x = self.server.x
        else:
            self.x = XServer(children, kind, ["%dx%d" % servers.SIZE])
        self.want = args.still
        put(self.x, children, self.want)
        if not args.stand_in:
            self.server = servers.Farpane(children, args.farpane, "x11:" + self.x.name, security, extra, self.x.env)
