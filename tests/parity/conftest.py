"""Runs the real program once, end to end, on the lab's choice_hard task; every test compares a piece of what it left."""

import json
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
sys.path.insert(0, os.path.dirname(__file__))

import h5py
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
LAB = Path("tests/lab")
TASK = LAB / "tasks/choice_hard"
ITEMS = 40
NEW_TOKENS = 64

figures = []


@pytest.fixture(scope="session")
def measure():
    """measure(what, value, bound): asserts value <= bound and puts it into the table at the end."""

    def check(what, value, bound):
        figures.append((what, value, bound))
        assert value <= bound, f"{what}: {value:g}, allowed {bound:g}"

    return check


def pytest_terminal_summary(terminalreporter):
    if not figures:
        return
    terminalreporter.section("measured against the oracles")
    width = max(len(what) for what, _, _ in figures)
    for what, value, bound in figures:
        terminalreporter.write_line(f"{what:{width}}  {value:10.3g}   allowed {bound:g}")


@pytest.fixture(scope="session", autouse=True)
def in_root():
    os.chdir(ROOT)


class Program:
    def __init__(self, path):
        self.path = str(Path(path).resolve())

    def __call__(self, *arguments, stdin=None):
        done = subprocess.run([self.path, *map(str, arguments)], cwd=ROOT, input=stdin, capture_output=True, text=True)
        assert done.returncode == 0, f"rocket {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stderr}"
        return done.stdout

    def table(self, run, name):
        return json.loads(self("inspect", run, name, "--format", "json"))


@pytest.fixture(scope="session")
def rocket():
    path = os.environ.get("ROCKET")
    if not path or not Path(ROOT, path).exists():
        pytest.fail("ROCKET must name the program, e.g. ROCKET=build/rocket")
    return Program(Path(ROOT, path))


@pytest.fixture(scope="session")
def config(tmp_path_factory, in_root):
    """The task with K = 50, one short epoch and the first items of the evaluation set."""
    folder = tmp_path_factory.mktemp("parity")
    items = folder / "items.jsonl"
    items.write_text("".join(open(TASK / "test.jsonl", encoding="utf-8").readlines()[:ITEMS]))
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({
        "run": str(folder / "run"),
        "device": "cpu",
        "base": {"path": str(LAB / "base")},
        "bank": {"adapters": str(LAB / "bank")},
        "task": {"name": "choice_hard", "shots": str(TASK / "shots.jsonl"), "evaluation": str(items), "answer": "choice"},
        "corpus": {"records": [str(LAB / "corpus.jsonl")]},
        "encoder": {"path": str(LAB / "encoder")},
        "scoring": {"max_new_tokens": NEW_TOKENS},
        "training": {"learning_rate": 3.0e-3, "epochs": 1},
    }))
    return path


@pytest.fixture(scope="session")
def run(rocket, config):
    """The run directory of a finished run with all exports."""
    rocket("run", config, "--quiet")
    for form in "experts", "merged_lora", "merged_model":
        rocket("export", config, "--as", form, "--quiet")
    return config.parent / "run"


def read_h5(path):
    with h5py.File(path, "r") as file:
        def value(data):
            return data.asstr()[()] if h5py.check_string_dtype(data.dtype) else data[()]
        return {name: value(data) for name, data in file.items() if isinstance(data, h5py.Dataset)}


@pytest.fixture(scope="session")
def score(run):
    return read_h5(run / "score.h5")


@pytest.fixture(scope="session")
def embed(run):
    return read_h5(run / "embed.h5")


@pytest.fixture(scope="session")
def select(run):
    return read_h5(run / "select.h5")


@pytest.fixture(scope="session")
def evaluate(run):
    return read_h5(run / "evaluate.h5")
