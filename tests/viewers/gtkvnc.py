#!/usr/bin/env python3
"""A viewer on gtk-vnc that says a user's name and password by itself: gtkvnc.py HOST PORT USER; the password is a line of stdin.

gtk-vnc looks for the certificate to trust in ~/.pki/CA/cacert.pem.
"""
import sys

import gi

gi.require_version("Gtk", "3.0")
gi.require_version("GtkVnc", "2.0")
from gi.repository import Gtk, GtkVnc  # noqa: E402


def main():
    host, port, user = sys.argv[1:]
    password = sys.stdin.readline().rstrip("\n")
    said = {GtkVnc.DisplayCredential.USERNAME: user, GtkVnc.DisplayCredential.PASSWORD: password,
            GtkVnc.DisplayCredential.CLIENTNAME: "farpane"}
    window, display = Gtk.Window(), GtkVnc.Display()
    window.add(display)
    display.set_shared_flag(True)
    display.set_read_only(True)

    def asked(_, wanted):
        for n in range(wanted.n_values):
            kind = GtkVnc.DisplayCredential(wanted.get_nth(n))
            print("asked for", kind.value_nick, flush=True)
            display.set_credential(kind, said[kind])

    def failed(_, why):
        print("authentication failed:", why, flush=True)

    display.connect("vnc-auth-credential", asked)
    display.connect("vnc-auth-failure", failed)
    display.connect("vnc-disconnected", Gtk.main_quit)
    window.connect("destroy", Gtk.main_quit)
    display.open_host(host, port)
    window.show_all()
    Gtk.main()


if __name__ == "__main__":
    main()
