"""A headless sway with the portal of the wlroots family in front of it: the real xdg-desktop-portal and xdg-desktop-portal-wlr."""
import os
import subprocess

from desktop import program
from session import Session
from sway import Sway

HERE = os.path.dirname(os.path.abspath(__file__))
PORTAL = "org.freedesktop.impl.portal."


class SwayPortal(Session):
    """Shares the first output without asking anybody; tells PipeWire where a picture has changed; takes no input."""

    def __init__(self, children, monitors=("1024x768",), largest=None):
        super().__init__(children)
        self.env.update(Sway(children, monitors).env)
        shim = children.path("xdpw_shm.so")
        subprocess.run([program("cc"), "-shared", "-fPIC", "-O1", "-o", shim, os.path.join(HERE, "xdpw_shm.c"), "-ldl"], check=True)
        with open(children.path("xdpw.conf"), "w") as conf:
            conf.write("[screencast]\nmax_fps=60\nchooser_type=simple\nchooser_cmd=echo HEADLESS-1\n")
        self.portal(PORTAL + "desktop.wlr", ["/usr/libexec/xdg-desktop-portal-wlr", "-c", children.path("xdpw.conf")],
                    [PORTAL + "ScreenCast"], {"LD_PRELOAD": shim, "XDG_CURRENT_DESKTOP": "sway"})
