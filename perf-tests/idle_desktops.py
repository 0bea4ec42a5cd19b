#!/usr/bin/env python3
"""What virtual desktops cost while nobody looks: `perf-tests/idle_desktops.py target/release/farpane [COUNT [SECONDS]]`.

Starts COUNT (50) desktops of one sleeping program each, waits SECONDS (60), and prints the CPU time that their processes took meanwhile, in
hundredths of one core, and the memory (PSS) of each kind of process for one desktop. Ends them all.
"""
import collections
import json
import os
import subprocess
import sys
import tempfile
import time


def processes():
    """Every process: its parent and its program's name."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % pid) as stat:
                parent = int(stat.read().rsplit(")", 1)[1].split()[1])
            found[int(pid)] = parent, os.path.basename(os.readlink("/proc/%s/exe" % pid))
        except OSError:
            continue
    return found


def below(roots):
    """The processes that these have started, and they themselves: pid to name."""
    known = processes()
    mine = {}
    todo = [pid for pid in roots if pid in known]
    while todo:
        pid = todo.pop()
        mine[pid] = known[pid][1]
        todo += [child for child, (parent, _) in known.items() if parent == pid and child not in mine]
    return mine


def cpu_ns(pid):
    """CPU time of a process's threads that still live."""
    total = 0
    try:
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/schedstat" % (pid, task)) as stat:
                total += int(stat.read().split()[0])
    except OSError:
        pass
    return total


def pss_kib(pid):
    with open("/proc/%d/smaps_rollup" % pid) as rollup:
        return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))


def main():
    farpane = os.path.abspath(sys.argv[1])
    count, seconds = ([int(v) for v in sys.argv[2:]] + [50, 60][len(sys.argv) - 2:])
    with tempfile.TemporaryDirectory(prefix="farpane-idle-") as folder:
        env = dict(os.environ, XDG_RUNTIME_DIR=folder, XDG_STATE_HOME=os.path.join(folder, "state"))

        def desktop(*words):
            return subprocess.run([farpane, "desktop", *words], env=env, stdout=subprocess.PIPE, text=True, check=True).stdout
        try:
            for i in range(count):
                desktop("start", "--name", "idle%d" % i, "--size", "1280x800", "--security", "none", "--listen", "127.0.0.1:0", "--", "sleep", "100000")
            time.sleep(5)
            mine = below([told["pid"] for told in json.loads(desktop("list", "--json"))])
            before, began = {pid: cpu_ns(pid) for pid in mine}, time.monotonic()
            time.sleep(seconds)
            took = time.monotonic() - began
            kinds = collections.defaultdict(lambda: [0, 0, 0])
            for pid, name in mine.items():
                kind = kinds[name]
                kind[0] += 1
                kind[1] += max(0, cpu_ns(pid) - before[pid])
                kind[2] += pss_kib(pid)
            print("%d desktops, %.0f s" % (count, took))
            for name, (number, ns, kib) in sorted(kinds.items()):
                print("%-10s %3d processes  %6.3f %% of a core in all  %6.1f MiB a desktop" % (name, number, ns / took / 1e7, kib / 1024 / count))
        finally:
            desktop("stop", "--all")


main()
