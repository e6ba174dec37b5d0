#!/usr/bin/env python3
"""Every command of README.md and of docs/guides runs as it is written there, on a small part of the lab.

An indented block holds commands, one a line. "```yaml NAME" holds a file that the commands after it read. The commands
share one folder, in which `$EDITOR my-task.yaml` writes the configuration of a small world.

test_guides.py, with ROCKET in the environment (tests/program/small_world.py)
"""
import gzip
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "program"))
from small_world import LAB, ROCKET, environment, make_world  # noqa: E402

BUILDS, CLUSTER, GPU, INSTALLS = "builds", "needs a cluster", "needs a GPU", "tests/project/test_install.py runs it"
NOT_RUN = {  # command: why
    "tools/quickstart": BUILDS,
    "tools/test": BUILDS,
    "tools/build": BUILDS,
    "cmake --install build --prefix $HOME/rocket": INSTALLS,
    "python3 -m pip install --no-deps --target .deps/python -r tools/lib/libtorch-cuda.txt": "downloads",
    "module load openmpi hdf5 yaml-cpp cmake": CLUSTER,
    'cmake -B build -G Ninja -DCMAKE_PREFIX_PATH="$YAML_CPP;$FMT" -DROCKET_TORCH=$PWD/.deps/python/torch': BUILDS,
    "cmake --build build": BUILDS,
    "$EDITOR slurm/site.conf": CLUSTER,
    "slurm/submit my-task.yaml": CLUSTER,
    "slurm/submit --sweep my-sweep.yaml": CLUSTER,
    "mpirun --bind-to none -np 2 rocket run my-task.yaml --set device=cuda --set base.dtype=bfloat16": GPU,
    "tools/gpu-bundle": "downloads",
    "tools/gpu-check": GPU,
}


def pages():
    """README.md, and the guides in the order in which it lists them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [ROOT / "README.md", *(ROOT / name for name in dict.fromkeys(re.findall(r"\((docs/guides/[\w-]+\.md)\)", text.split("## Guides")[1])))]


def steps(page):
    """[(number of the line, "command", text, comment) or (number, "file", name, contents)] of a page."""
    found, fence = [], None
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            if fence and fence[1]:
                found.append((fence[0], "file", fence[1], "".join(fence[2])))
            fence = None if fence else (number, line.removeprefix("```yaml").strip() if line.startswith("```yaml ") else "", [])
        elif fence:
            fence[2].append(line + "\n")
        elif line.startswith("    "):
            command, _, comment = line.strip().partition(" #")
            found.append((number, "command", command.strip(), comment.strip()))
    return found


class Guides(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory()
        cls.folder = folder = pathlib.Path(cls.holder.name)
        for name in ("configs", "docs", "slurm", "tests", "tools"):
            (folder / name).symlink_to(ROOT / name)
        for name in ("build", "models", "data", "bin"):
            (folder / name).mkdir()
        (folder / "build/rocket").symlink_to(ROCKET)
        (folder / "models/all-MiniLM-L6-v2").symlink_to(LAB / "encoder")
        if launcher := os.environ.get("MPIEXEC"):
            (folder / "bin/mpirun").symlink_to(launcher)
        records = "".join((LAB / "corpus.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:40])
        (folder / "data/train.jsonl").write_text(records, encoding="utf-8")
        (folder / "data/train.jsonl.gz").write_bytes(gzip.compress(records.encode()))
        cls.write_editor()

    @classmethod
    def write_editor(cls):
        """What a user does with `$EDITOR my-task.yaml`."""
        world = make_world(cls.folder / "world", shots=4, records=200, items=6, retrieve=20, training={"epochs": 1})
        settings = json.loads(world.read_text())
        settings["run"] = "runs/my-task"
        settings["evaluation"] = {"rivals": ["base", "best_single", "uniform_merge", "router_only"]}
        world.write_text(json.dumps(settings))
        editor = cls.folder / "bin/editor"
        editor.write_text(f'#!/bin/sh\ntest -f "$1" && cat {world} > "$1"\n')
        editor.chmod(0o755)

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()

    def run_command(self, command):
        path = f"{self.folder}/build:{self.folder}/bin:{os.environ['PATH']}"
        return subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], cwd=self.folder, capture_output=True, text=True,
                              env=environment(PATH=path, EDITOR="editor", HOME=str(self.folder)), timeout=120)

    def test_commands_run(self):
        seen = set()
        for page in pages():
            for number, kind, text, comment in steps(page):
                with self.subTest(page=page.name, line=number, text=text):
                    if kind == "file":
                        (self.folder / text).write_text(comment, encoding="utf-8")
                    elif text not in seen and text not in NOT_RUN:
                        seen.add(text)
                        done = self.run_command(text)
                        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                        for file in re.findall(r"\bruns/[\w./-]*\w", comment):
                            self.assertTrue((self.folder / file).exists(), f"{file} was not written")
        self.assertGreater(len(seen), 30)

    def test_commands_that_are_not_run_are_in_the_pages(self):
        written = {text for page in pages() for _, kind, text, _ in steps(page) if kind == "command"}
        self.assertEqual(sorted(set(NOT_RUN) - written), [])

    def test_all_guides_are_read(self):
        self.assertEqual({page.name for page in pages()}, {"README.md", *(p.name for p in (ROOT / "docs/guides").glob("*.md"))})


unittest.main()
