#!/usr/bin/env python3
"""Tests of what runs the tests: each gate is shown a fault and must refuse it."""
import contextlib
import io
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
sys.path[:0] = [HERE, os.path.join(HERE, "desktops"), os.path.join(HERE, "figures")]

import desktop  # noqa: E402
import rfb  # noqa: E402
import run  # noqa: E402


def tally(script, result=run.RUST_RESULT):
    got = run.Tally()
    # its words are not for the reader, nor for the tally of this very program
    with contextlib.redirect_stdout(io.StringIO()):
        got.add("planted", ["sh", "-c", script], TOP, os.environ, result, 20)
    assert bool(got.blame) == bool(got.failed), "failures are named at the end, and nothing else"
    return got.passed, got.failed, got.left_out


def a_result_line_is_counted():
    assert tally("echo 'test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s'") == (3, 0, 1)
    assert tally("echo 'viewers: 4 passed, 0 failed, 2 skipped'", run.OWN_RESULT) == (4, 0, 2)


def a_failed_test_is_a_failure():
    rust = """test it ... FAILED
thread 'it' (7) panicked at src/it.rs:1:2:
too few
test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured"""
    assert tally("echo \"%s\"; exit 101" % rust) == (3, 2, 0)
    assert tally("echo 'FAILED   a film: black'; echo 'viewers: 4 passed, 1 failed'; exit 1", run.OWN_RESULT) == (4, 1, 0)


def a_panic_that_is_meant_is_no_failure():
    meant = "thread 'it' panicked at src/it.rs:1:2:\nmeant\ntest result: ok. 3 passed; 0 failed; 0 ignored; 0 measured"
    assert tally("echo \"%s\"" % meant) == (3, 0, 0)


def a_program_that_crashes_is_a_failure():
    assert tally("kill -SEGV $$") == (0, 1, 0)
    assert tally("echo 'test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured'; exit 1") == (3, 1, 0)


def a_program_without_a_result_is_a_failure():
    assert tally("true") == (0, 1, 0)


def desktop_programs_run_by_themselves():
    assert run.group_of("farpane-server", "desktop_x11") == "desktop" == run.group_of("farpane-server", "x11_input")
    assert run.group_of("farpane-server", "protocol") == "server" and run.group_of("farpane-engine", "farpane_engine") == "engine"
    assert run.group_of("farpane-channel", "farpane_channel") == "channel"


def guest_programs_run_in_the_guest_alone():
    assert run.group_of("farpane-engine", "guest_devices") == "guest" == run.group_of("farpane-server", "guest_kms")
    inside = run.command_of("guest", "/some/guest_devices", 1200)
    assert inside[0] == run.GUEST and os.access(run.GUEST, os.X_OK) and inside[inside.index("--") + 1] == "/some/guest_devices", inside
    assert int(inside[inside.index("--timeout") + 1]) < 1200, "the guest ends before it is killed"
    assert run.GUEST not in run.command_of("engine", "/some/golden", 1200) + run.command_of("desktop", "/some/x11", 1200)


def a_missing_guest_is_one_clear_line():
    with tempfile.TemporaryDirectory(prefix="farpane-test-") as folder:
        env = {name: value for name, value in os.environ.items() if name != "FARPANE_GUEST_KERNEL"}
        done = subprocess.run([run.GUEST, "--", "true"], env=dict(env, FARPANE_GUEST_CACHE=folder), capture_output=True, text=True)
        assert done.returncode == 125 and "packaging/install-guest" in done.stderr, done
        assert len(done.stderr.splitlines()) == 1, done.stderr
    done = subprocess.run([run.GUEST, "--nonsense", "true"], capture_output=True, text=True)
    assert done.returncode == 125 and "--nonsense" in done.stderr, done
    got = run.Tally()
    with contextlib.redirect_stdout(io.StringIO()):
        got.leave_out("planted", "no guest")
    assert (got.passed, got.failed, got.left_out) == (0, 0, 1)


def waiting_ends_at_the_deadline():
    began = time.monotonic()
    try:
        desktop.until("pigs that fly", lambda: False, limit=0.2)
    except desktop.Failed as failure:
        assert "pigs that fly" in str(failure) and time.monotonic() - began < 5
    else:
        raise AssertionError("the wait ended without its state")


def waiting_ends_when_the_program_does():
    with desktop.Children() as children:
        child = children.start("short", ["sh", "-c", "echo last words; exit 3"])
        try:
            desktop.until("never", lambda: False, limit=20, alive=(child,))
        except desktop.Failed as failure:
            assert "status 3" in str(failure) and "last words" in str(failure), failure
        else:
            raise AssertionError("the wait ended without its state")


def children_end_with_their_folder():
    with desktop.Children() as children:
        child, folder = children.start("long", ["sleep", "600"]), children.dir
    assert child.poll() is not None and not os.path.exists(folder)


def a_program_that_is_not_there_is_named():
    try:
        desktop.program("no-such-viewer")
    except desktop.Missing as missing:
        assert "no-such-viewer" in str(missing)
    else:
        raise AssertionError("it was found")


def framed(transcript, bits):
    """The sizes of the updates that the measuring viewer finds in a recorded session, and those of the session's index."""
    folder = os.path.join(TOP, "engine", "tests", "golden", transcript)
    with open(os.path.join(folder, "s2c.bin"), "rb") as sent, open(os.path.join(folder, "index.tsv")) as index:
        sent, rows = sent.read(), [line.rstrip("\n").split("\t") for line in index]
    near, far = socket.socketpair()
    with near, far:
        threading.Thread(target=lambda: (far.sendall(sent), far.shutdown(socket.SHUT_WR)), daemon=True).start()
        near.settimeout(20)
        viewer, sizes = rfb.Client(near, [rfb.CONTINUOUS_UPDATES], bits), []
        try:
            while True:
                sizes.append(viewer.next_update(20).size)
        except rfb.Broken as broken:
            sizes += [] if "closed" in str(broken) and len(viewer.buffer) == viewer.start else [str(broken)]
    return sizes, [int(row[1]) for row in rows if len(row) == 3 and row[2].startswith("FramebufferUpdate")]


def the_measuring_viewer_frames_recorded_sessions():
    for transcript, bits in (("seq-raw", 32), ("seq-hextile", 32), ("seq-tight", 32), ("seq-tight-jpeg-q5", 32), ("seq-zrle", 32),
                             ("fmt-332-raw", 8), ("fmt-332-tight", 8), ("fmt-332-zrle", 8), ("fmt-565le-tight", 16)):
        found, recorded = framed(transcript, bits)
        assert recorded and found == recorded, (transcript, found, recorded)
    found, recorded = framed("seq-raw", 16)
    assert found != recorded, "a wrong pixel size goes unseen"


def every_package_line_is_well_formed():
    with open(os.path.join(TOP, "packaging", "debian-packages.txt")) as listing:
        lines = [line.split() for line in listing if line.strip() and not line.startswith("#")]
    assert lines and all(len(line) in (2, 3) and line[0] in ("build", "test", "aarch64", "peers") for line in lines), lines
    assert len({tuple(line[:2]) for line in lines}) == len(lines), "a package stands twice in a group"


def missing_packages_without_rights_are_one_clear_line():
    with tempfile.TemporaryDirectory(prefix="farpane-test-") as folder:
        copy = os.path.join(folder, "install-packages")
        with open(os.path.join(TOP, "packaging", "install-packages")) as original, open(copy, "w") as out:
            out.write(original.read())
        with open(os.path.join(folder, "debian-packages.txt"), "w") as out:
            out.write("build surely-no-such-package\n")
        for name, body in (("id", "echo 1000"), ("apt-get", "exit 1")):
            with open(os.path.join(folder, name), "w") as out:
                out.write("#!/bin/sh\n%s\n" % body)
            os.chmod(os.path.join(folder, name), 0o755)
        for name in ("bash", "dirname", "grep", "dpkg-query", "awk"):
            os.symlink(desktop.program(name), os.path.join(folder, name))
        done = subprocess.run([desktop.program("bash"), copy, "build"], env={"PATH": folder}, capture_output=True, text=True)
        assert done.returncode == 1 and "surely-no-such-package" in done.stderr and "neither root nor sudo" in done.stderr, done
        assert len(done.stderr.splitlines()) == 1, done.stderr
        named = subprocess.run([desktop.program("bash"), copy, "nonsense"], env={"PATH": folder}, capture_output=True, text=True)
        assert named.returncode == 2 and "unknown group nonsense" in named.stderr, named


def main():
    tests = [value for value in list(globals().values()) if callable(value) and getattr(value, "__module__", "") == __name__
             and value not in (main, tally, framed)]
    failed = 0
    for test in tests:
        try:
            test()
            print("ok       %s" % test.__name__.replace("_", " "))
        except Exception as failure:
            failed += 1
            print("FAILED   %s: %s: %s" % (test.__name__.replace("_", " "), type(failure).__name__, failure))
    print("tools: %d passed, %d failed" % (len(tests) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
