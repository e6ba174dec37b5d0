"""The two programs that are compared, as processes that answer commands; tables of what they took."""

import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("ROCKET_BUILD", ROOT / "build"))


def environment(threads):
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false", "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONWARNINGS": "ignore"}


class Half:
    """One line of JSON in, one out; the process waits in between, so that two halves can take turns."""

    def __init__(self, command, threads):
        self.process = subprocess.Popen([str(part) for part in command], env=environment(threads), text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, **command):
        print(json.dumps(command), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.process.args[0]} ended with {self.process.wait()} at {command}")
        return json.loads(answer)

    def resident(self, what="VmRSS"):
        """Bytes; VmHWM is the most since the process began or forget_peak()."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(re.search(rf"{what}:\s*(\d+)", status)[1])

    def forget_peak(self):
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def rocket_half(world, threads):
    return Half([BUILD / "tests/bench/bench_score_bank", world], threads)


def peer_half(world, threads):
    return Half([sys.executable, Path(__file__).with_name("peer.py"), world], threads)


def run(command, threads=1, **changes):
    """Standard output of a program that must end well."""
    done = subprocess.run([str(part) for part in command], env={**environment(threads), **changes}, cwd=ROOT, text=True,
                          stdout=subprocess.PIPE)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: exit {done.returncode}")
    return done.stdout


def timed(command, threads):
    """(seconds from the start of the process to its end, its standard output)"""
    start = time.perf_counter()
    out = run(command, threads)
    return time.perf_counter() - start, out


def lines(source, count, target):
    """Writes the first lines of a file into another; its path."""
    target.write_text("".join(source.read_text(encoding="utf-8").splitlines(keepends=True)[:count]), encoding="utf-8")
    return str(target)


def machine():
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {"cpu": cpu[1] if cpu else "?", "cores": os.cpu_count(), "load": os.getloadavg(),
            "commit": run(["git", "rev-parse", "--short", "HEAD"]).strip(),
            "changed": bool(run(["git", "status", "--porcelain", "src", "jobs"]).strip())}


def table(head, rows):
    cells = [head] + [[value if isinstance(value, str) else f"{value:.3g}" for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    for row in cells:
        print("  " + "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths)))
    print(flush=True)


def samples_table(samples, unit="s"):
    """{what: [sample, ...]}"""
    table(["", "median", "samples"], [[what, f"{statistics.median(values):.4g} {unit}",
                                       " ".join(f"{value:.4g}" for value in values)] for what, values in samples.items()])
