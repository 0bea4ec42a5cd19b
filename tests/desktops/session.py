"""A private login session without a compositor: D-Bus, PipeWire, its session manager, and the portal where one is wanted."""
import os
import subprocess

from desktop import program, until

BUS_CONF = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={run}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
  <!-- as session buses have it: 128 answers that are awaited, the bus' own limit, are fewer than a line that is typed at once -->
  <limit name="max_replies_per_connection">50000</limit>
</busconfig>
"""


class Session:
    """D-Bus, PipeWire and WirePlumber in the children's folder. `parts` are programs that can be stopped and started again."""

    def __init__(self, children, monitors=(), largest=None):
        self.children = children
        self.parts = {}
        self.env = {"XDG_RUNTIME_DIR": children.dir}
        with open(children.path("session.conf"), "w") as conf:
            conf.write(BUS_CONF.format(run=children.dir))
        bus = children.start("dbus", ["dbus-daemon", "--config-file=" + children.path("session.conf"), "--nofork", "--nopidfile"])
        self.socket("bus", bus)
        self.env["DBUS_SESSION_BUS_ADDRESS"] = "unix:path=" + children.path("bus")
        self.part("pipewire", ["pipewire"], self.piped)
        self.part("wireplumber", ["wireplumber"], self.managed)

    def part(self, name, argv, ready, env=None):
        """Starts a program that can be stopped and started again; `ready(child)` waits until it can be used."""
        child = self.children.start(name, argv, dict(self.env, **(env or {})))
        self.parts[name] = (child, argv, ready, env)
        ready(child)

    def stop(self, name):
        """Ends a part, as a crash would."""
        child = self.parts[name][0]
        child.kill()
        child.wait(120)

    def again(self, name):
        """Starts a part that was stopped."""
        _, argv, ready, env = self.parts[name]
        self.part(name, argv, ready, env)

    def socket(self, name, child):
        until("socket " + name, lambda: os.path.exists(self.children.path(name)), alive=(child,))

    def piped(self, child):
        self.socket("pipewire-0", child)
        until("answer of PipeWire", lambda: self.run("pw-cli", "info", "0").returncode == 0, alive=(child,))

    def managed(self, child):
        until("client of PipeWire", lambda: '"WirePlumber"' in self.run("pw-cli", "ls", "Client").stdout, alive=(child,))

    def run(self, *argv):
        """Runs a short program in the session."""
        return subprocess.run([program(argv[0])] + list(argv[1:]), env=dict(self.children.env, **self.env), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)

    def name(self, name, child):
        """Waits until somebody owns a name on the bus."""
        def owned():
            asked = self.run("gdbus", "call", "--session", "-d", "org.freedesktop.DBus", "-o", "/org/freedesktop/DBus",
                             "-m", "org.freedesktop.DBus.NameHasOwner", name)
            return "true" in asked.stdout
        until("bus name " + name, owned, alive=(child,))

    def portal(self, backend, argv, interfaces, env=None):
        """The real xdg-desktop-portal in front of a backend of the given bus name."""
        where = self.children.path("portals")
        os.makedirs(where)
        with open(os.path.join(where, "test.portal"), "w") as conf:
            conf.write("[portal]\nDBusName=%s\nInterfaces=%s;\nUseIn=testdesk\n" % (backend, ";".join(interfaces)))
        libexec = "/usr/libexec/"
        # all of them are started here and not by the bus, so that they end with the desktop
        self.part("store", [libexec + "xdg-permission-store"],
                  lambda child: self.name("org.freedesktop.impl.portal.PermissionStore", child))
        self.part("backend", argv, lambda child: self.name(backend, child), env)
        self.env["XDG_CURRENT_DESKTOP"] = "testdesk"
        self.part("portal", [libexec + "xdg-desktop-portal", "-v"],
                  lambda child: self.name("org.freedesktop.portal.Desktop", child), {"XDG_DESKTOP_PORTAL_DIR": where})



class Fake(Session):
    """A session whose portal is the tests' own: `fake_portal.py` reads `portal.json` and writes `asked`."""

    def __init__(self, children, monitors=(), largest=None):
        super().__init__(children)
        with open(children.path("portal.json"), "w") as settings:
            settings.write("{}")
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fake_portal.py")
        # not a python3 of somebody's own, which has no python3-dbus
        self.part("portal", ["/usr/bin/python3", script, children.path("portal.json"), children.path("asked")],
                  lambda child: self.name("org.freedesktop.portal.Desktop", child))


__all__ = ["Fake", "Session"]
