#!/usr/bin/python3
"""A portal backend for tests: answers the ScreenCast and RemoteDesktop portals without asking anybody, with real streams and
real input from a headless mutter.

The real xdg-desktop-portal stands in front of it, so a client sees the real portal: requests, sessions, restore tokens, and
OpenPipeWireRemote with its restricted PipeWire remote. libei and the clipboard are handed on where mutter has them (45 and later).

    mutter_portal.py SETTINGS

SETTINGS is a JSON file that is read at each Start and may be missing:
  "deny": true       every dialog is cancelled; what was consented to before (a restore token) needs no dialog
  "delay_ms": n      a dialog takes n milliseconds
  "monitors": [...]  connectors to hand out (all of them otherwise)
  "fail": true       Start fails
  "silent": true     Start never answers
"""
import json
import os
import subprocess
import sys

import dbus
import dbus.service
from dbus.mainloop.glib import DBusGMainLoop
from gi.repository import GLib

SC = "org.freedesktop.impl.portal.ScreenCast"
RD = "org.freedesktop.impl.portal.RemoteDesktop"
CB = "org.freedesktop.impl.portal.Clipboard"
SESSION = "org.freedesktop.impl.portal.Session"
MSC = "org.gnome.Mutter.ScreenCast"
MRD = "org.gnome.Mutter.RemoteDesktop"
PROPS = "org.freedesktop.DBus.Properties"
MONITOR, VIRTUAL = 1, 4

SETTINGS = sys.argv[1]
DBusGMainLoop(set_as_default=True)
bus = dbus.SessionBus()


def iface(name, path, interface):
    return dbus.Interface(bus.get_object(name, path, introspect=False), interface)


def log(*a):
    print("portal:", *a, file=sys.stderr, flush=True)


def has_eis():
    """Whether this mutter takes input by libei. A session made only to look would stay: mutter stops none that was not started."""
    said = subprocess.run(["mutter", "--version"], stdout=subprocess.PIPE, text=True).stdout
    return int(said.split()[-1].split(".")[0]) >= 45


def settings():
    if not os.path.exists(SETTINGS):
        return {}
    with open(SETTINGS) as said:
        return json.load(said)


class Session(dbus.service.Object):
    def __init__(self, path):
        super().__init__(bus, path)
        self.path = path
        self.devices = 0
        self.sources = None          # options of SelectSources
        self.remote = None           # Mutter remote-desktop session
        self.cast = None             # Mutter screen-cast session
        self.nodes = {}              # node id -> Mutter stream path, as the plain string its calls take
        self.closed = False
        self.clipboard = False       # asked for, and given

    def stop(self):
        if self.closed:
            return
        self.closed = True
        for s in (self.remote, None if self.remote else self.cast):
            if s is not None:
                try:
                    s.Stop()
                except dbus.DBusException as e:
                    log("stop:", e)
        sessions.pop(self.path, None)
        self.remove_from_connection()

    def lost(self):
        if not self.closed:
            log("mutter closed", self.path)
            self.Closed()
            self.stop()

    @dbus.service.method(SESSION)
    def Close(self):
        log("close", self.path)
        self.stop()

    @dbus.service.signal(SESSION)
    def Closed(self):
        pass

    @dbus.service.method(PROPS, in_signature="ss", out_signature="v")
    def Get(self, interface, prop):
        return dbus.UInt32(1)

    @dbus.service.method(PROPS, in_signature="s", out_signature="a{sv}")
    def GetAll(self, interface):
        return {"version": dbus.UInt32(1)}


sessions = {}


def connectors():
    state = iface("org.gnome.Mutter.DisplayConfig", "/org/gnome/Mutter/DisplayConfig",
                  "org.gnome.Mutter.DisplayConfig").GetCurrentState()
    out = []
    for x, y, scale, transform, primary, monitors, props in state[2]:
        for m in monitors:
            out.append((str(m[0]), int(x), int(y), bool(primary)))
    out.sort(key=lambda c: (not c[3], c[1], c[2], c[0]))
    want = settings().get("monitors")
    if want is not None:
        out = [c for c in out if c[0] in want]
    return out


# Both portals have methods CreateSession and Start; dbus-python finds the right one by
# walking the base classes for a method of that name *and* interface.
class ScreenCastPart(dbus.service.Object):
    @dbus.service.method(SC, in_signature="oosa{sv}", out_signature="ua{sv}")
    def CreateSession(self, handle, session_handle, app_id, options):
        return self.create(session_handle)

    @dbus.service.method(SC, in_signature="oosa{sv}", out_signature="ua{sv}")
    def SelectSources(self, handle, session_handle, app_id, options):
        s = sessions[str(session_handle)]
        s.sources = dict(options)
        log("sources", {str(k): str(v) for k, v in options.items()})
        return dbus.UInt32(0), dbus.Dictionary({}, signature="sv")

    @dbus.service.method(SC, in_signature="oossa{sv}", out_signature="ua{sv}",
                         async_callbacks=("ok", "err"))
    def Start(self, handle, session_handle, app_id, parent, options, ok, err):
        self.start(session_handle, False, ok, err)


class RemoteDesktopPart(dbus.service.Object):
    @dbus.service.method(RD, in_signature="oosa{sv}", out_signature="ua{sv}")
    def CreateSession(self, handle, session_handle, app_id, options):
        return self.create(session_handle)

    @dbus.service.method(RD, in_signature="oosa{sv}", out_signature="ua{sv}")
    def SelectDevices(self, handle, session_handle, app_id, options):
        sessions[str(session_handle)].devices = int(options.get("types", 7))
        return dbus.UInt32(0), dbus.Dictionary({}, signature="sv")

    @dbus.service.method(RD, in_signature="oossa{sv}", out_signature="ua{sv}",
                         async_callbacks=("ok", "err"))
    def Start(self, handle, session_handle, app_id, parent, options, ok, err):
        self.start(session_handle, True, ok, err)

    def mutter(self, session_handle):
        s = sessions[str(session_handle)]
        return s, s.remote

    @dbus.service.method(RD, in_signature="oa{sv}dd")
    def NotifyPointerMotion(self, sh, options, dx, dy):
        self.mutter(sh)[1].NotifyPointerMotionRelative(dx, dy, ignore_reply=True)

    @dbus.service.method(RD, in_signature="oa{sv}udd")
    def NotifyPointerMotionAbsolute(self, sh, options, stream, x, y):
        s, m = self.mutter(sh)
        m.NotifyPointerMotionAbsolute(s.nodes[int(stream)], x, y, ignore_reply=True)

    @dbus.service.method(RD, in_signature="oa{sv}iu")
    def NotifyPointerButton(self, sh, options, button, state):
        self.mutter(sh)[1].NotifyPointerButton(button, dbus.Boolean(state), ignore_reply=True)

    @dbus.service.method(RD, in_signature="oa{sv}dd")
    def NotifyPointerAxis(self, sh, options, dx, dy):
        flags = 1 if options.get("finish", False) else 0
        self.mutter(sh)[1].NotifyPointerAxis(dx, dy, dbus.UInt32(flags), ignore_reply=True)

    @dbus.service.method(RD, in_signature="oa{sv}ui")
    def NotifyPointerAxisDiscrete(self, sh, options, axis, steps):
        self.mutter(sh)[1].NotifyPointerAxisDiscrete(axis, steps, ignore_reply=True)

    @dbus.service.method(RD, in_signature="oa{sv}iu")
    def NotifyKeyboardKeycode(self, sh, options, keycode, state):
        self.mutter(sh)[1].NotifyKeyboardKeycode(dbus.UInt32(keycode), dbus.Boolean(state),
                                                 ignore_reply=True)

    @dbus.service.method(RD, in_signature="oa{sv}iu")
    def NotifyKeyboardKeysym(self, sh, options, keysym, state):
        self.mutter(sh)[1].NotifyKeyboardKeysym(dbus.UInt32(keysym), dbus.Boolean(state),
                                                ignore_reply=True)

    @dbus.service.method(RD, in_signature="oa{sv}uudd")
    def NotifyTouchDown(self, sh, options, stream, slot, x, y):
        s, m = self.mutter(sh)
        m.NotifyTouchDown(s.nodes[int(stream)], slot, x, y, ignore_reply=True)

    @dbus.service.method(RD, in_signature="oa{sv}uudd")
    def NotifyTouchMotion(self, sh, options, stream, slot, x, y):
        s, m = self.mutter(sh)
        m.NotifyTouchMotion(s.nodes[int(stream)], slot, x, y, ignore_reply=True)

    @dbus.service.method(RD, in_signature="oa{sv}u")
    def NotifyTouchUp(self, sh, options, slot):
        self.mutter(sh)[1].NotifyTouchUp(slot, ignore_reply=True)


    @dbus.service.method(RD, in_signature="osa{sv}", out_signature="h")
    def ConnectToEIS(self, sh, app_id, options):
        log("libei", sh)
        return self.mutter(sh)[1].ConnectToEIS(dbus.Dictionary({}, signature="sv"))


class ClipboardPart(dbus.service.Object):
    @dbus.service.method(CB, in_signature="oa{sv}")
    def RequestClipboard(self, sh, options):
        sessions[str(sh)].clipboard = True

    @dbus.service.method(CB, in_signature="oa{sv}")
    def SetSelection(self, sh, options):
        self.mutter(sh)[1].SetSelection(mimes(options.get("mime_types", [])))

    @dbus.service.method(CB, in_signature="ou", out_signature="h")
    def SelectionWrite(self, sh, serial):
        return self.mutter(sh)[1].SelectionWrite(serial)

    @dbus.service.method(CB, in_signature="oub")
    def SelectionWriteDone(self, sh, serial, good):
        self.mutter(sh)[1].SelectionWriteDone(serial, good)

    @dbus.service.method(CB, in_signature="os", out_signature="h")
    def SelectionRead(self, sh, mime):
        return self.mutter(sh)[1].SelectionRead(mime)

    @dbus.service.signal(CB, signature="oa{sv}")
    def SelectionOwnerChanged(self, sh, options):
        pass

    @dbus.service.signal(CB, signature="osu")
    def SelectionTransfer(self, sh, mime, serial):
        pass

    def hand_on(self, s):
        """Has a session's clipboard told by mutter and tells it on."""
        sh = dbus.ObjectPath(s.path)

        def changed(options):
            log("selection", options)
            told = {"session_is_owner": dbus.Boolean(options.get("session-is-owner", False))}
            if "mime-types" in options:
                told["mime_types"] = dbus.Struct(([str(m) for m in options["mime-types"][0]],), signature="as")
            self.SelectionOwnerChanged(sh, dbus.Dictionary(told, signature="sv"))
        s.remote.connect_to_signal("SelectionOwnerChanged", changed)
        s.remote.connect_to_signal("SelectionTransfer", lambda mime, serial: self.SelectionTransfer(sh, mime, serial))
        s.remote.EnableClipboard(dbus.Dictionary({}, signature="sv"))


def mimes(types):
    return dbus.Dictionary({"mime-types": dbus.Array(types, signature="s")}, signature="sv")


class Backend(ScreenCastPart, RemoteDesktopPart, ClipboardPart):
    @dbus.service.method("org.farpane.Test")
    def CloseAll(self):
        """The person at the desktop stops the sharing."""
        for session in list(sessions.values()):
            session.lost()

    properties = {
        SC: {"AvailableSourceTypes": dbus.UInt32(MONITOR | VIRTUAL),
             "AvailableCursorModes": dbus.UInt32(1 | 2 | 4), "version": dbus.UInt32(4)},
        RD: {"AvailableDeviceTypes": dbus.UInt32(1 | 2 | 4), "version": dbus.UInt32(2 if has_eis() else 1)},
        CB: {"version": dbus.UInt32(1)},
    }

    @dbus.service.method(PROPS, in_signature="ss", out_signature="v")
    def Get(self, interface, prop):
        return self.properties[interface][prop]

    @dbus.service.method(PROPS, in_signature="s", out_signature="a{sv}")
    def GetAll(self, interface):
        return self.properties.get(interface, {})

    def create(self, session_handle):
        sessions[str(session_handle)] = Session(str(session_handle))
        return dbus.UInt32(0), dbus.Dictionary({"session_id": "test"}, signature="sv")

    def start(self, session_handle, with_devices, ok, err):
        s = sessions[str(session_handle)]

        def go():
            try:
                self.start_now(s, with_devices, ok)
            except Exception as e:  # a failed start is a portal answer, not a crash
                log("start failed:", repr(e))
                ok(dbus.UInt32(2), dbus.Dictionary({}, signature="sv"))
            return False

        said = settings()
        restored = "restore_data" in (s.sources or {})
        log("restored" if restored else "asked", session_handle)
        if said.get("silent"):
            return
        if said.get("fail"):
            ok(dbus.UInt32(2), dbus.Dictionary({}, signature="sv"))
        elif said.get("deny") and not restored:
            ok(dbus.UInt32(1), dbus.Dictionary({}, signature="sv"))
        else:
            GLib.timeout_add(0 if restored else int(said.get("delay_ms", 0)), go)

    def start_now(self, s, with_devices, ok):
        results = {}
        cast_props = {}
        if with_devices:
            path = iface(MRD, "/org/gnome/Mutter/RemoteDesktop", MRD).CreateSession()
            s.remote = iface(MRD, path, MRD + ".Session")
            s.remote.connect_to_signal("Closed", s.lost)
            sid = iface(MRD, path, PROPS).Get(MRD + ".Session", "SessionId")
            cast_props["remote-desktop-session-id"] = sid
            results["devices"] = dbus.UInt32(s.devices or 7)
            results["clipboard_enabled"] = dbus.Boolean(s.clipboard)
            if s.clipboard:
                self.hand_on(s)
        if s.sources is None:
            s.remote.Start()
            ok(dbus.UInt32(0), dbus.Dictionary(results, signature="sv"))
            return
        path = iface(MSC, "/org/gnome/Mutter/ScreenCast", MSC).CreateSession(
            dbus.Dictionary(cast_props, signature="sv"))
        s.cast = iface(MSC, path, MSC + ".Session")
        if not with_devices:
            s.cast.connect_to_signal("Closed", s.lost)
        mode = {1: 0, 2: 1, 4: 2}[int(s.sources.get("cursor_mode", 1))]
        rec = dbus.Dictionary({"cursor-mode": dbus.UInt32(mode)}, signature="sv")
        types = int(s.sources.get("types", MONITOR))
        wanted = []
        mons = connectors() if types & MONITOR else []
        if mons:
            if not s.sources.get("multiple", False):
                mons = mons[:1]
            wanted = [(MONITOR, c[0], s.cast.RecordMonitor(c[0], rec)) for c in mons]
        elif types & VIRTUAL:
            wanted = [(VIRTUAL, "virtual", s.cast.RecordVirtual(rec))]
        streams = []
        state = {"left": len(wanted)}

        def added(i, node):
            kind, name, spath = wanted[i]
            info = {"source_type": dbus.UInt32(kind), "id": name}
            try:
                p = iface(MSC, spath, PROPS).Get(MSC + ".Stream", "Parameters")
                if "position" in p:
                    info["position"] = dbus.Struct(p["position"], signature="ii")
                if "mapping-id" in p:
                    info["mapping_id"] = p["mapping-id"]
                if "size" in p:
                    info["size"] = dbus.Struct(p["size"], signature="ii")
            except dbus.DBusException as e:
                log("parameters:", e)
            s.nodes[int(node)] = dbus.String(spath)
            streams.append((i, dbus.Struct((dbus.UInt32(node), dbus.Dictionary(info, signature="sv")),
                                           signature="ua{sv}")))
            state["left"] -= 1
            if state["left"] == 0:
                streams.sort(key=lambda x: x[0])
                results["streams"] = dbus.Array([x[1] for x in streams], signature="(ua{sv})")
                persist = int(s.sources.get("persist_mode", 0))
                if persist:
                    results["persist_mode"] = dbus.UInt32(persist)
                    results["restore_data"] = dbus.Struct(
                        ("test", dbus.UInt32(1), dbus.String("all", variant_level=1)), signature="suv")
                log("started", s.path, [(w[1], int(x[1][0])) for w, x in zip(wanted, streams)])
                ok(dbus.UInt32(0), dbus.Dictionary(results, signature="sv"))

        for i, w in enumerate(wanted):
            iface(MSC, w[2], MSC + ".Stream").connect_to_signal(
                "PipeWireStreamAdded", lambda node, i=i: added(i, node))
        (s.remote or s.cast).Start()


def main():
    Backend(bus, "/org/freedesktop/portal/desktop")
    name = dbus.service.BusName("org.freedesktop.impl.portal.desktop.test", bus)
    log("ready", name.get_name())
    GLib.MainLoop().run()


main()
