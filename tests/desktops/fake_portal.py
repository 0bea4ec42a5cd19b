#!/usr/bin/python3
"""A desktop portal of the tests' own, in place of the real one: newer than Debian's, with restore tokens, and able to lie.

    fake_portal.py SETTINGS ASKED

SETTINGS is a JSON file, read at each call:
  "node": n            the PipeWire node that a session shows; "nodes": [n, ...] those of the first session, the second ...
  "position": [x, y], "kind": n, "size": [w, h], "mapping": WORD
  "more": [{...}]      more streams, each with its node, position, kind, size, mapping
  "eis": FILE          ConnectToEIS connects to that socket of the runtime folder; without it there is no such method
  "remote": 2          version of RemoteDesktop; 0 for none
  "clipboard": 0       version of Clipboard; 0 for none
  "clipboard_enabled": true    what Start says of a clipboard that was asked for
  "deny": true         a dialog is cancelled; a good restore token needs none
  "lie": WORD          handle, streams, none, twice, types, descriptor, version, vanish, refuse: see `lie` below
A line is added to the file ASKED for each Start: `asked`, or `restored TOKEN`; and for each input: its name and values; `fake_clipboard.py` says
what is noted of the clipboard.
"""
import json
import os
import socket
import sys

import dbus
import dbus.service
from dbus.mainloop.glib import DBusGMainLoop
from gi.repository import GLib

import fake_clipboard

SC = "org.freedesktop.portal.ScreenCast"
RD = "org.freedesktop.portal.RemoteDesktop"
REQUEST = "org.freedesktop.portal.Request"
SESSION = "org.freedesktop.portal.Session"
PROPS = "org.freedesktop.DBus.Properties"
TOP = "/org/freedesktop/portal/desktop"

DBusGMainLoop(set_as_default=True)
bus = dbus.SessionBus()
tokens = set()
counted = [0]


def said(key, otherwise=None):
    with open(sys.argv[1]) as settings:
        return json.load(settings).get(key, otherwise)


def lie(word):
    return said("lie") == word


def note(line):
    with open(sys.argv[2], "a") as asked:
        asked.write(line + "\n")


class Request(dbus.service.Object):
    @dbus.service.signal(REQUEST, signature="ua{sv}")
    def Response(self, code, results):
        pass


class Session(dbus.service.Object):
    def __init__(self, path):
        super().__init__(bus, path)
        self.token = None
        self.eis = False

    @dbus.service.method(SESSION)
    def Close(self):
        self.remove_from_connection()

    @dbus.service.signal(SESSION)
    def Closed(self):
        pass


def answer(sender, options, code, results):
    path = "%s/request/%s/%s" % (TOP, sender[1:].replace(".", "_"), options["handle_token"])
    request = Request(bus, path)

    def go():
        request.Response(dbus.UInt32(code), dbus.Dictionary(results, signature="sv"))
        request.remove_from_connection()
        return False
    GLib.idle_add(go)
    return dbus.ObjectPath(path)


def create(sender, options):
    path = "%s/session/%s/%s" % (TOP, sender[1:].replace(".", "_"), options["session_handle_token"])
    sessions[path] = Session(path)
    handle = "/somewhere/else" if lie("handle") else path
    return answer(sender, options, 0, {"session_handle": dbus.UInt32(7) if lie("types") else dbus.String(handle)})


def one_stream(told, node):
    info = {"source_type": dbus.UInt32(told("kind", 1)), "position": dbus.Struct(told("position", [0, 0]), signature="ii")}
    if told("size"):
        info["size"] = dbus.Struct(told("size"), signature="ii")
    if told("mapping"):
        info["mapping_id"] = told("mapping")
    return dbus.Struct((dbus.UInt32(node), dbus.Dictionary(info, signature="sv")), signature="ua{sv}")


def told_of(session, line):
    if sessions[session].eis:
        raise dbus.DBusException("its input goes by EIS", name="org.freedesktop.portal.Error.NotAllowed")
    note(line)


def start(sender, session, options):
    if lie("vanish"):
        sys.exit(0)
    token = sessions[session].token
    good = token in tokens
    note("restored %s" % token if good else "asked")
    if lie("refuse"):
        return answer(sender, options, 2, {})
    if said("deny") and not good:
        return answer(sender, options, 1, {})
    tokens.discard(token)
    counted[0] += 1
    fresh = "token-%d" % counted[0]
    tokens.add(fresh)
    nodes = said("nodes", [])
    stream = one_stream(said, nodes[min(counted[0], len(nodes)) - 1] if nodes else said("node", 1))
    more = [one_stream(other.get, other["node"]) for other in said("more", [])]
    streams = dbus.Array([] if lie("none") else [stream] * (2 if lie("twice") else 1) + more, signature="(ua{sv})")
    clipboard = {"clipboard_enabled": said("clipboard_enabled", True)} if both.is_asked(session) else {}
    results = {"streams": dbus.String("many") if lie("streams") else streams, "devices": dbus.UInt32(3), "restore_token": fresh}
    results.update(clipboard)
    return answer(sender, options, 0, results)


class Portal(dbus.service.Object):
    @dbus.service.method(SC, in_signature="a{sv}", out_signature="o", sender_keyword="sender")
    def CreateSession(self, options, sender):
        return create(sender, options)

    @dbus.service.method(SC, in_signature="oa{sv}", out_signature="o", sender_keyword="sender")
    def SelectSources(self, session, options, sender):
        if "restore_token" in options:
            sessions[session].token = str(options["restore_token"])
        return answer(sender, options, 0, {})

    @dbus.service.method(SC, in_signature="osa{sv}", out_signature="o", sender_keyword="sender")
    def Start(self, session, parent, options, sender):
        return start(sender, session, options)

    @dbus.service.method(SC, in_signature="oa{sv}", out_signature="h")
    def OpenPipeWireRemote(self, session, options):
        if lie("descriptor"):
            return dbus.types.UnixFd(os.open("/dev/null", os.O_RDWR))
        remote = socket.socket(socket.AF_UNIX)
        remote.connect(os.path.join(os.environ["XDG_RUNTIME_DIR"], "pipewire-0"))
        return dbus.types.UnixFd(remote.detach())

    @dbus.service.method(PROPS, in_signature="ss", out_signature="v")
    def Get(self, interface, name):
        if lie("version"):
            return "the newest"
        numbers = {(SC, "version"): 5, (SC, "AvailableSourceTypes"): 7, (SC, "AvailableCursorModes"): 7,
                   (RD, "AvailableDeviceTypes"): 7, (RD, "version"): said("remote", 2), (fake_clipboard.CB, "version"): said("clipboard", 0)}
        lacking = {RD: not said("remote", 2), fake_clipboard.CB: not said("clipboard", 0)}
        if (interface, name) not in numbers or lacking.get(interface):
            raise dbus.DBusException("no such interface " + interface, name="org.freedesktop.DBus.Error.InvalidArgs")
        return dbus.UInt32(numbers[interface, name])


class Remote(dbus.service.Object):
    """RemoteDesktop's half: dbus-python takes one class per interface for methods of the same name."""

    @dbus.service.method(RD, in_signature="a{sv}", out_signature="o", sender_keyword="sender")
    def CreateSession(self, options, sender):
        return create(sender, options)

    @dbus.service.method(RD, in_signature="oa{sv}", out_signature="o", sender_keyword="sender")
    def SelectDevices(self, session, options, sender):
        if "restore_token" in options:
            sessions[session].token = str(options["restore_token"])
        return answer(sender, options, 0, {})

    @dbus.service.method(RD, in_signature="osa{sv}", out_signature="o", sender_keyword="sender")
    def Start(self, session, parent, options, sender):
        return start(sender, session, options)

    @dbus.service.method(RD, in_signature="oa{sv}", out_signature="h")
    def ConnectToEIS(self, session, options):
        if not said("eis"):
            raise dbus.DBusException("no such method", name="org.freedesktop.DBus.Error.UnknownMethod")
        sessions[session].eis = True
        eis = socket.socket(socket.AF_UNIX)
        eis.connect(os.path.join(os.environ["XDG_RUNTIME_DIR"], said("eis")))
        given = dbus.types.UnixFd(eis)
        # which has a copy of its own: the caller's is to be the last
        eis.close()
        return given

    @dbus.service.method(RD, in_signature="oa{sv}iu")
    def NotifyKeyboardKeycode(self, session, options, code, state):
        told_of(session, "keycode %d %d" % (code, state))

    @dbus.service.method(RD, in_signature="oa{sv}iu")
    def NotifyKeyboardKeysym(self, session, options, keysym, state):
        told_of(session, "keysym %d %d" % (keysym, state))

    @dbus.service.method(RD, in_signature="oa{sv}udd")
    def NotifyPointerMotionAbsolute(self, session, options, stream, x, y):
        told_of(session, "at %d %g %g" % (stream, x, y))

    @dbus.service.method(RD, in_signature="oa{sv}iu")
    def NotifyPointerButton(self, session, options, button, state):
        told_of(session, "button %d %d" % (button, state))

    @dbus.service.method(RD, in_signature="oa{sv}ui")
    def NotifyPointerAxisDiscrete(self, session, options, axis, steps):
        told_of(session, "wheel %d %d" % (axis, steps))

    @dbus.service.method(RD, in_signature="oa{sv}dd")
    def NotifyPointerMotion(self, session, options, dx, dy):
        pass


class Both(Portal, Remote, fake_clipboard.Clipboard):
    """The portal's one object."""

    note = staticmethod(note)

    @dbus.service.method("org.farpane.Test")
    def CloseAll(self):
        for session in sessions.values():
            session.Closed()


sessions = {}
both = Both(bus, TOP)
name = dbus.service.BusName("org.freedesktop.portal.Desktop", bus)
GLib.MainLoop().run()
