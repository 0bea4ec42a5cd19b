"""A headless mutter, GNOME's compositor, in a private session, with the real desktop portal in front of `mutter_portal.py`."""
import os

from session import Session

HERE = os.path.dirname(os.path.abspath(__file__))
PORTAL = "org.freedesktop.impl.portal."


class Mutter(Session):
    """Monitors are made left to right; `none` makes none. Tests write `portal.json` into the folder to say how the portal answers."""

    def __init__(self, children, monitors=("1920x1080",), largest=None):
        super().__init__(children)
        # a machine that stands still between a key's two ends would have every program repeat the key
        settings = children.path("home/.config/glib-2.0/settings")
        os.makedirs(settings)
        with open(os.path.join(settings, "keyfile"), "w") as keyfile:
            keyfile.write("[org/gnome/desktop/peripherals/keyboard]\nrepeat=false\n")
        argv = ["mutter", "--headless", "--no-x11", "--wayland-display", "wayland-0"]
        for size in monitors:
            if size != "none":
                argv += ["--virtual-monitor", size]
        self.part("mutter", argv, self.shown, {"GSETTINGS_BACKEND": "keyfile"})
        self.env["WAYLAND_DISPLAY"] = "wayland-0"
        # not a python3 of somebody's own, which has no python3-dbus
        self.portal(PORTAL + "desktop.test", ["/usr/bin/python3", os.path.join(HERE, "mutter_portal.py"), children.path("portal.json")],
                    [PORTAL + "ScreenCast", PORTAL + "RemoteDesktop", PORTAL + "Clipboard"])

    def shown(self, child):
        self.socket("wayland-0", child)
        for name in ("ScreenCast", "RemoteDesktop", "DisplayConfig"):
            self.name("org.gnome.Mutter." + name, child)

    def stop(self, name):
        super().stop(name)
        if name == "mutter":
            for left in ("wayland-0", "wayland-0.lock"):
                if os.path.exists(self.children.path(left)):
                    os.remove(self.children.path(left))
