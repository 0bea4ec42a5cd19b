"""A private sway without a GPU or a screen: wlr-screencopy, virtual keyboard and pointer, data-control, output management.

Part of desktop.py, which says how it is used: `desktop.py sway --monitor 1920x1080 --monitor 1280x720 -- COMMAND...`.
The command finds WAYLAND_DISPLAY, XDG_RUNTIME_DIR and SWAYSOCK (for swaymsg); outputs are HEADLESS-1 and so on.
"""
import os

from desktop import until

NAME = "wayland-1"


class Sway:
    """A running sway: started in the folder of `children`, which is its clients' XDG_RUNTIME_DIR."""

    def __init__(self, children, monitors=("1024x768",), largest=None):
        self.children = children
        os.chmod(children.dir, 0o700)
        lines, x = ["default_border none", "xwayland disable", "focus_follows_mouse no"], 0
        for number, monitor in enumerate(monitors, 1):
            lines.append("output HEADLESS-%d resolution %s position %d,0" % (number, monitor, x))
            x += int(monitor.split("x")[0])
        with open(children.path("sway.conf"), "w") as conf:
            conf.write("\n".join(lines) + "\n")
        # noscanout: sway 1.7 takes one output's scanned-out window for another's and draws both again and again
        argv = ["sway", "-D", "noscanout", "-c", children.path("sway.conf")]
        if os.geteuid() == 0:
            # it will not run where it could become root again: a user namespace without uid 0 is enough
            argv = ["unshare", "-U", "--map-user=1000", "--map-group=1000"] + argv
        socket = children.path("sway.sock")
        self.server = children.start("sway", argv, {
            "WLR_BACKENDS": "headless", "WLR_RENDERER": "pixman", "WLR_HEADLESS_OUTPUTS": str(len(monitors)),
            "WLR_LIBINPUT_NO_DEVICES": "1", "SWAYSOCK": socket})
        self.env = {"WAYLAND_DISPLAY": NAME, "XDG_RUNTIME_DIR": children.dir, "SWAYSOCK": socket}
        for path in (socket, children.path(NAME)):
            until("socket " + path, lambda path=path: os.path.exists(path), alive=(self.server,))
