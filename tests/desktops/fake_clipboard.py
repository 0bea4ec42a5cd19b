"""The Clipboard half of the tests' portal: one selection in memory, which a program has or the session.

The programs are methods of org.farpane.Test; texts go through files beside the file that is noted in:
  Copy TYPES HOW       a program copies what the file `copied` has. HOW it gives that: whole; silent: neither a byte nor an end;
                       endless: without an end
  Paste TYPE HOW       a program asks for what the session has. HOW it reads: whole, into the file `pasted-SERIAL`; never
  Nonsense             signals that nobody should believe
Noted are `clipboard requested`, `selection TYPES`, `read TYPE`, `refused` (a read beside another one, as mutter does), `left` (nobody
reads a program's text any more), `write SERIAL`, and `done SERIAL 0` or 1.
"""
import os
import select
import sys
import threading

import dbus
import dbus.lowlevel
import dbus.service

CB = "org.freedesktop.portal.Clipboard"
TEST = "org.farpane.Test"
TOP = "/org/freedesktop/portal/desktop"
OTHER = TOP + "/session/1_1/other"


def folder(name):
    return os.path.join(os.path.dirname(sys.argv[2]), name)


class Clipboard(dbus.service.Object):
    asked = set()
    session = None
    owner = None
    text = b""
    how = "whole"
    reader = None
    serial = 0
    unread = {}

    def is_asked(self, session):
        return str(session) in self.asked

    @dbus.service.method(CB, in_signature="oa{sv}")
    def RequestClipboard(self, session, options):
        self.note("clipboard requested")
        self.asked.add(str(session))
        self.session = session

    @dbus.service.signal(CB, signature="oa{sv}")
    def SelectionOwnerChanged(self, session, options):
        pass

    @dbus.service.signal(CB, signature="osu")
    def SelectionTransfer(self, session, mime, serial):
        pass

    def own(self, owner, types):
        self.owner = owner
        types = dbus.Array(types, signature="s")
        self.SelectionOwnerChanged(self.session, {"mime_types": types, "session_is_owner": dbus.Boolean(owner == "session")})

    @dbus.service.method(CB, in_signature="oa{sv}")
    def SetSelection(self, session, options):
        self.note("selection " + ",".join(options["mime_types"]))
        self.own("session", options["mime_types"])

    @dbus.service.method(CB, in_signature="os", out_signature="h")
    def SelectionRead(self, session, mime):
        if self.owner == "session":
            raise dbus.DBusException("Tried to read own selection", name="org.freedesktop.DBus.Error.Failed")
        if self.reader is not None and self.reader.is_alive():
            self.note("refused")
            raise dbus.DBusException("Tried to read in parallel", name="org.freedesktop.DBus.Error.LimitsExceeded")
        self.note("read " + mime)
        out, into = os.pipe()
        self.reader = threading.Thread(target=self.give, args=(into, self.text, self.how), daemon=True)
        self.reader.start()
        end = dbus.types.UnixFd(out)
        os.close(out)
        return end

    def give(self, into, text, how):
        try:
            if how == "silent":
                watch = select.poll()
                watch.register(into, 0)
                watch.poll()
                raise BrokenPipeError
            while text:
                sent = os.write(into, text)
                text = text if how == "endless" else text[sent:]
        except BrokenPipeError:
            self.note("left")
        os.close(into)

    @dbus.service.method(CB, in_signature="ou", out_signature="h")
    def SelectionWrite(self, session, serial):
        self.note("write %d" % serial)
        out, into = os.pipe()
        if self.unread.pop(serial, None):
            # stays open, and unread
            self.unread[serial] = out
        else:
            threading.Thread(target=self.take, args=(out, folder("pasted-%d" % serial)), daemon=True).start()
        end = dbus.types.UnixFd(into)
        os.close(into)
        return end

    def take(self, out, name):
        with os.fdopen(out, "rb") as pipe, open(name + ".part", "wb") as file:
            file.write(pipe.read())
        os.rename(name + ".part", name)

    @dbus.service.method(CB, in_signature="oub")
    def SelectionWriteDone(self, session, serial, success):
        self.note("done %d %d" % (serial, success))

    @dbus.service.method(TEST, in_signature="ass")
    def Copy(self, types, how):
        with open(folder("copied"), "rb") as file:
            self.text = file.read()
        self.how = how
        self.own("program", types)

    @dbus.service.method(TEST, in_signature="ss", out_signature="u")
    def Paste(self, mime, how):
        self.serial += 1
        if how == "never":
            self.unread[self.serial] = True
        self.SelectionTransfer(self.session, mime, self.serial)
        return self.serial

    @dbus.service.method(TEST)
    def Nonsense(self):
        text, strange = {"mime_types": ["text/plain"]}, {"mime_types": [dbus.UInt32(1)], "session_is_owner": "yes"}
        for member, signature, values in [
                ("SelectionOwnerChanged", "", []),
                ("SelectionOwnerChanged", "s", ["text/plain"]),
                ("SelectionOwnerChanged", "oas", [self.session, ["text/plain"]]),
                ("SelectionOwnerChanged", "oa{sv}", [OTHER, text]),
                ("SelectionOwnerChanged", "oa{sv}", [self.session, strange]),
                ("SelectionOwnerChanged", "oa{sv}", [self.session, {"mime_types": "text/plain"}]),
                ("SelectionOwnerChanged", "oa{sv}", [self.session, {}]),
                ("SelectionTransfer", "", []),
                ("SelectionTransfer", "oss", [self.session, "text/plain", "99"]),
                ("SelectionTransfer", "osu", [OTHER, "text/plain", 99])]:
            message = dbus.lowlevel.SignalMessage(TOP, CB, member)
            message.append(*values, signature=signature or None)
            self.connection.send_message(message)
