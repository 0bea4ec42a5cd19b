#!/usr/bin/env python3
"""Runs all tests, group by group, and counts them: what `make test` calls.

    tests/run.py [--profile ci] [--group NAME]... [--list]

Everything is compiled once, by one `cargo test --no-run` over the whole workspace; then each test program is run by itself.
Groups, in this order: engine, rfb, channel, server, benches and perf-tests (unit, property, golden, protocol; in parallel threads), desktop (test
programs whose names start with `desktop` or `x11`; one test at a time, each on private X servers), guest (those whose names start
with `guest`; in a guest with a DRM card, dma-bufs and fences: tests/guest/README.md), examples in the docs, tools (the harness's
own tests) and viewers (tests/viewers/run.py).

The table at the end says how long each group took and how many tests passed, failed and were ignored or skipped. With
FARPANE_REQUIRE_ALL=1 a test that is ignored or skipped is a failure. The last line is `N passed, M failed`.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GROUPS = ["engine", "rfb", "channel", "server", "benches", "perf-tests", "desktop", "guest", "docs", "tools", "viewers"]
PACKAGE_GROUPS = {"farpane-engine": "engine", "farpane-shaders": "engine", "farpane-rfb": "rfb", "farpane-channel": "channel", "farpane-server": "server",
                  "farpane-benches": "benches", "farpane-perf-tests": "perf-tests"}
GUEST = os.path.join(TOP, "tests", "guest", "run-in-guest")
RUST_RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", re.M)
# the name of a test that failed, or the line that says where and with which words one panicked
FAILED = re.compile(r"^(?:test (?P<test>.*) \.\.\. FAILED|FAILED +(?P<case>.*)|(?P<panic>thread '.*panicked at .*))$")
OWN_RESULT = re.compile(r"^\w+: (\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.M)


def group_of(package, target):
    if target.startswith(("desktop", "x11")):
        return "desktop"
    if target.startswith("guest"):
        return "guest"
    return PACKAGE_GROUPS.get(package, "server")


def command_of(group, program, limit):
    """How a test program of a group is run. One test at a time where they share screens or devices."""
    if group == "guest":
        # the guest ends by itself, so that its last words are not lost
        return [GUEST, "--vulkan", "--screens", "3", "--timeout", str(limit - 60), "--", program, "--test-threads=1"]
    return [program] + (["--test-threads=1"] if group == "desktop" else [])


def guest_lacks():
    """Why there is no guest on this machine; nothing when there is one."""
    done = subprocess.run([GUEST, "--check"], capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else None


def compile_all(profile):
    """Builds every test and the farpane binary; returns [(group, name, program, folder)] and the binary's path."""
    command = ["cargo", "test", "--workspace", "--no-run", "--profile", profile, "--message-format", "json-render-diagnostics"]
    print("$ " + " ".join(command), flush=True)
    build = subprocess.Popen(command, cwd=TOP, stdout=subprocess.PIPE, text=True)
    programs, farpane = [], None
    for line in build.stdout:
        said = json.loads(line)
        if said.get("reason") != "compiler-artifact" or not said.get("executable"):
            continue
        folder = os.path.dirname(said["manifest_path"])
        # a package id ends in `#NAME@VERSION`, or in `/NAME#VERSION` where the folder has the name
        package = re.search(r"([\w-]+)(?:@|#)[\d.]+$", said["package_id"]).group(1)
        with open(said["manifest_path"]) as manifest:
            package = re.search(r'^name = "(.*)"', manifest.read(), re.M).group(1) or package
        target = said["target"]["name"]
        if said["profile"]["test"]:
            programs.append((group_of(package, target), "%s %s" % (package, target), said["executable"], folder))
        elif target == "farpane":
            farpane = said["executable"]
    if build.wait():
        sys.exit("the tests do not compile")
    if farpane is None:
        subprocess.run(["cargo", "build", "--workspace", "--bins", "--profile", profile], cwd=TOP, check=True)
        farpane = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(TOP, "target")), profile, "farpane")
    return sorted(programs, key=lambda p: (GROUPS.index(p[0]), p[1])), farpane


class Tally:
    """Counts of one group, and what is said of its failures."""

    def __init__(self):
        self.passed = self.failed = self.left_out = 0
        self.seconds = 0.0
        self.blame = []

    def leave_out(self, name, why):
        """Counts a program that cannot be run here as one skipped test."""
        print("\n%s skipped: %s" % (name, why), flush=True)
        self.left_out += 1

    def add(self, name, command, folder, env, result, limit):
        """Runs one program and adds up its result lines; a program that ends badly without one is one failure."""
        print("\n$ %s  # %s" % (" ".join(os.path.relpath(c, TOP) if c.startswith(TOP) else c for c in command), name), flush=True)
        began = time.monotonic()
        child = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                 errors="replace")
        counted = failed = 0
        blame, panicked = [], False
        try:
            for line in child.stdout:
                sys.stdout.write(line)
                sys.stdout.flush()
                named = FAILED.match(line.rstrip("\n"))
                if named or panicked:
                    blame.append("%s: %s" % (name, named[named.lastgroup] if named else line.rstrip("\n")))
                panicked = bool(named and named["panic"])
                for passed, bad, out in result.findall(line.rstrip("\n")):
                    counted, failed = counted + 1, failed + int(bad)
                    self.passed, self.left_out = self.passed + int(passed), self.left_out + int(out or 0)
                if time.monotonic() - began > limit:
                    child.kill()
            status = child.wait()
        finally:
            if child.poll() is None:
                child.kill()
        if status and not failed:
            blame.append("%s ended with status %d and no failed test" % (name, status))
            failed = 1
        elif not counted:
            blame.append("%s printed no result" % name)
            failed = 1
        self.failed += failed
        self.blame += blame if failed else []
        self.seconds += time.monotonic() - began


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--profile", default="ci")
    ap.add_argument("--group", action="append", choices=GROUPS, help="only this group (repeatable)")
    ap.add_argument("--list", action="store_true", help="name the test programs and end")
    args = ap.parse_args()
    chosen = args.group or GROUPS
    env = dict(os.environ, CARGO_TERM_COLOR="never")
    began = time.monotonic()
    programs, farpane = compile_all(args.profile)
    compiled = time.monotonic() - began
    if args.list:
        print("\n".join("%-8s %s" % p[:2] for p in programs))
        return 0
    tallies = {group: Tally() for group in GROUPS if group in chosen}
    lacks = guest_lacks() if "guest" in tallies else None
    for group, name, program, folder in programs:
        if group == "guest" and group in tallies and lacks:
            tallies[group].leave_out(name, lacks)
        elif group in tallies:
            # what cargo would set beside what it compiled in
            tallies[group].add(name, command_of(group, program, 1200), folder, dict(env, CARGO_MANIFEST_DIR=folder), RUST_RESULT, 1200)
    if "docs" in tallies:
        tallies["docs"].add("examples in the docs", ["cargo", "test", "--workspace", "--doc", "--profile", args.profile], TOP,
                            env, RUST_RESULT, 1200)
    if "tools" in tallies:
        tallies["tools"].add("the harness itself", [sys.executable, os.path.join(TOP, "tests", "tools.py")], TOP, env, OWN_RESULT, 300)
    if "viewers" in tallies:
        tallies["viewers"].add("foreign viewers", [sys.executable, os.path.join(TOP, "tests", "viewers", "run.py"),
                                                   "--farpane", farpane], TOP, env, OWN_RESULT, 1800)
    print("\n%-10s %8s %8s %8s %9s" % ("group", "passed", "failed", "left out", "seconds"))
    print("%-10s %8s %8s %8s %9.1f" % ("compile", "", "", "", compiled))
    for group, tally in tallies.items():
        print("%-10s %8d %8d %8d %9.1f" % (group, tally.passed, tally.failed, tally.left_out, tally.seconds))
    for blame in [blame for tally in tallies.values() for blame in tally.blame]:
        print("FAILED  " + blame)
    passed, failed = sum(t.passed for t in tallies.values()), sum(t.failed for t in tallies.values())
    left_out = sum(t.left_out for t in tallies.values())
    if left_out and os.environ.get("FARPANE_REQUIRE_ALL") == "1":
        print("%d tests were ignored or skipped, and FARPANE_REQUIRE_ALL=1" % left_out)
        failed += left_out
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
