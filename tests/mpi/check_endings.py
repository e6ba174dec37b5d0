#!/usr/bin/env python3
"""However a job ends under mpirun, mpirun itself returns the job's code, soon, and the error is printed once."""
import os
import signal
import socket
import subprocess
import sys
import time

PROGRAM = sys.argv[1]
MPIRUN = os.environ.get("MPIEXEC", "mpirun")
failures = []


def start(ranks, way, code):
    command = [MPIRUN, "-n", str(ranks), PROGRAM, "--end", way, str(code)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for(process, text):
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return lines
    return lines


def check(name, process, expected, said=None, also=()):
    began = time.monotonic()
    try:
        error = process.communicate(timeout=60)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        failures.append(f"{name}: still running after 60 s")
        return
    seconds = time.monotonic() - began
    print(f"{name}: mpirun returned {process.returncode} after {seconds:.1f} s")
    if process.returncode != expected:
        failures.append(f"{name}: expected {expected}, got {process.returncode}: {error}")
    failures.extend(f"{name}: expected '{text}' in: {error}" for text in also if text not in error)
    if said is not None and error.count(said) != 1:
        failures.append(f"{name}: expected '{said}' once in: {error}")


check("done", start(3, "done", 0), 0)
for code in (65, 74, 78):
    check(f"agreed {code}", start(3, "agreed", code), code, "error: rank 2: the last rank fails")
check("alone 65", start(3, "alone", 65), 65, "error: the last rank fails")
check("units 65", start(3, "units", 65), 65, "unit 1 fails")
check("one rank 78", start(1, "agreed", 78), 78, "error: the last rank fails")

check("met", start(3, "met", 0), 0)
check("killed", start(3, "killed", 0), 137)
check("stopped", start(3, "stopped", 0), 70, "rocket: rank 2 on ")
check("stuck", start(3, "stuck", 0), 70, "the others wait for rank 2 on ")
check("root stopped", start(3, "root stopped", 0), 70, "rocket: rank 0 on ")
check("root stuck", start(3, "root stuck", 0), 70, "the others wait for rank 0 on ")

# In units: who lives commits what it has begun, and whoever takes long but gets further is left alone.
check("long unit", start(3, "work long", 0), 0)
for way, ranks, rank in (("stopped", 3, 2), ("root stopped", 2, 0), ("stuck", 3, 2)):
    check(f"unit {way} of {ranks}", start(ranks, f"work {way}", 0), 70, f"rank {rank} on {socket.gethostname()}", [f"rank {r} has committed" for r in range(ranks) if r != rank])
process = start(3, "work stuck patient", 0)
wait_for(process, "has committed")
process.send_signal(signal.SIGUSR1)
check("USR1 while a rank is stuck", process, 70, "the others wait for rank 2 on ")

for ranks in (1, 3):
    process = start(ranks, "stop", 0)
    wait_for(process, "working")
    process.send_signal(signal.SIGUSR1)
    check(f"SIGUSR1 to {ranks}", process, 75, "error: stopped")

sys.exit("\n".join(failures) or 0)
