"""What the viewers are pointed at: the farpane under test, or Xvnc standing in for it."""
import os
import re
import signal
import socket
import subprocess
import time

from desktop import Failed, XServer, until

SIZE = (640, 480)
PASSWORD = "w0rd-8ch"
# PASSWORD as VNC programs keep it in a file: one DES block under the key that they all share
PASSWORD_FILE = bytes.fromhex("e151461225d6a2a4")


def password_file(children):
    """PASSWORD in a file for TigerVNC's programs."""
    path = children.path("passwd")
    with open(path, "wb") as out:
        out.write(PASSWORD_FILE)
    return path


class Farpane:
    """A running `farpane serve` with a TCP and a WebSocket listener on loopback, on ports of its own choice.

    `security` None leaves it at what a server offers by itself, with a listener for browsers too (wss:).
    """

    def __init__(self, children, binary, source, security="none", extra=(), env=None):
        argv = [binary, "serve", "--source", source, "--listen", "127.0.0.1:0", "--listen",
                "ws:127.0.0.1:0" if security else "wss:127.0.0.1:0", *extra]
        if security:
            argv += ["--security", security]
        self.children, self.binary = children, binary
        self.state = children.path("state")
        env = dict(env or {}, STATE_DIRECTORY=self.state)
        if security == "vncauth":
            keep = children.path("farpane-password")
            made = subprocess.run([binary, "password", keep], input=PASSWORD + "\n", text=True, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=60)
            if made.returncode:
                raise Failed("farpane password ended with status %d: %s" % (made.returncode, made.stdout))
            argv += ["--password-file", keep]
        self.child = children.start("farpane", argv, env)
        self.port = self.listener("127.0.0.1")
        if security:
            self.web = "ws://127.0.0.1:%d/" % self.listener("ws:127.0.0.1")
        else:
            self.web = "wss://127.0.0.1:%d/" % self.listener("wss:127.0.0.1")
            self.password = self.told("password for this run, with any user name")
            self.certificate = os.path.join(self.state, "tls.crt")

    def listener(self, name):
        line = re.compile(r"^farpane: listening on %s:(\d+)$" % re.escape(name), re.M)
        return int(until("line 'farpane: listening on %s:PORT'" % name, lambda: line.search(self.child.log()),
                         alive=(self.child,)).group(1))

    def told(self, what):
        line = re.compile(r"^farpane: %s: (.*)$" % re.escape(what), re.M)
        return until("line 'farpane: %s: ...'" % what, lambda: line.search(self.child.log()), alive=(self.child,)).group(1)

    def control(self, *words):
        """What the command line says of the running server."""
        said = subprocess.run([self.binary, *words], env=dict(self.children.env, STATE_DIRECTORY=self.state), text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=60)
        if said.returncode:
            raise Failed("farpane %s ended with status %d: %s" % (" ".join(words), said.returncode, said.stdout))
        return said.stdout

    def stop(self):
        """Asks it to end as a service manager would; it owes status 0 within a second."""
        began = time.monotonic()
        os.kill(self.child.pid, signal.SIGTERM)
        try:
            status = self.child.wait(10)
        except subprocess.TimeoutExpired:
            raise Failed("farpane did not end within 10 s of SIGTERM\n" + self.child.tail())
        took = time.monotonic() - began
        if status != 0:
            raise Failed("farpane ended with status %d after SIGTERM\n%s" % (status, self.child.tail()))
        if took > 3:
            raise Failed("farpane took %.1f s to end after SIGTERM" % took)


class Xvnc:
    """TigerVNC's server: X server and VNC server in one. With it a failure tells whose fault it is, the viewer's or ours."""

    def __init__(self, children, security="none"):
        self.children = children
        security = ["None"] if security == "none" else ["VncAuth", "-PasswordFile", password_file(children)]
        self.x = XServer.__new__(XServer)
        self.x.children, self.x.env, self.x.options = children, {}, []
        # Xvnc wants its port beforehand: take one that the kernel has just given out and got back
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.x.display("xvnc", ["Xvnc", "-geometry", "%dx%d" % SIZE, "-depth", "24", "-rfbport", self.port, "-localhost",
                                "-interface", "127.0.0.1", "-SecurityTypes", *security, "-ac", "-noreset", "-AlwaysShared"])
        self.web = None

    def stop(self):
        self.children.end(self.x.server)
