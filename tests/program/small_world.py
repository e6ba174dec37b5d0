"""A small run on the lab for tests of the whole program: few adapters, shots, records and items."""
import json
import os
import pathlib
import struct
import subprocess

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
LAB = REPOSITORY / "tests" / "lab"
ROCKET = pathlib.Path(os.environ.get("ROCKET", REPOSITORY / "build" / "rocket")).resolve()

MPI_ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_hwloc_base_binding_policy": "none",
    "OMPI_MCA_mpi_yield_when_idle": "1", "OMPI_MCA_pml": "ob1", "OMPI_MCA_btl": "self,vader,tcp",
    "OMPI_MCA_btl_tcp_if_include": "lo", "OMPI_MCA_oob_tcp_if_include": "lo", "OMPI_MCA_orte_base_help_aggregate": "0",
}


def environment(**more):
    return {**os.environ, **MPI_ENVIRONMENT, **more}


def make_world(folder, adapters=("home", "sells", "color", "tool", "color-weak", "x-star"), shots=6, records=600, items=8,
               task="choice_hard", retrieve=60, training=None):
    """Writes a corpus, shots, items and config.yaml into `folder`; returns the path of the configuration."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, source, count in (("corpus.jsonl", LAB / "corpus.jsonl", records), ("shots.jsonl", LAB / "tasks" / task / "shots.jsonl", shots),
                                ("items.jsonl", LAB / "tasks" / task / "test.jsonl", items)):
        lines = source.read_text(encoding="utf-8").splitlines(keepends=True)[:count]
        (folder / name).write_text("".join(lines), encoding="utf-8")
    config = {
        "run": str(folder / "run"),
        "base": {"path": str(LAB / "base")},
        "bank": {"adapters": [str(LAB / "bank" / name) for name in adapters]},
        "task": {"name": task, "shots": str(folder / "shots.jsonl"), "evaluation": str(folder / "items.jsonl"), "k": shots,
                 "answer": "choice"},
        "corpus": {"records": [str(folder / "corpus.jsonl")]},
        "encoder": {"path": str(LAB / "encoder")},
        "scoring": {"max_new_tokens": 40},
        "experts": {"candidates": 4, "count": 2},
        "selection": {"retrieve": retrieve},
        "training": {"learning_rate": 1.0e-3, "epochs": 2, "global_batch": 8, "checkpoint_every": 2, **(training or {})},
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(config, indent=1), encoding="utf-8")  # JSON is YAML
    return path


def read_tensors(file):
    """{name: (dtype, shape, bytes)} of a safetensors file."""
    raw = pathlib.Path(file).read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = {name: about for name, about in json.loads(raw[8:8 + length]).items() if name != "__metadata__"}
    data = raw[8 + length:]
    return {name: (a["dtype"], a["shape"], data[slice(*a["data_offsets"])]) for name, a in header.items()}


def write_tensors(file, tensors):
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    pathlib.Path(file).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


def rocket(*arguments, ranks=0, timeout=300, check=True, cwd=REPOSITORY, **popen):
    """Runs the program; ranks = 0 means without mpirun. Returns the finished process, output as text."""
    launcher = ["mpirun", "-np", str(ranks)] if ranks else []
    done = subprocess.run(launcher + [str(ROCKET)] + [str(a) for a in arguments], cwd=cwd, env=environment(), timeout=timeout,
                          capture_output=True, text=True, **popen)
    if check and done.returncode != 0:
        raise AssertionError(f"rocket {arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def differences(run_a, run_b, files=("score.h5", "experts.json", "embed.h5", "select.h5", "selected.jsonl",
                                      "training.h5", "evaluate.h5")):
    """What differs between two run directories; times are exempt."""
    found = []
    for name in files:
        if not name.endswith(".h5"):
            if (pathlib.Path(run_a) / name).read_bytes() != (pathlib.Path(run_b) / name).read_bytes():
                found.append(f"{name} differs")
            continue
        a, b = pathlib.Path(run_a) / name, pathlib.Path(run_b) / name
        exclude = ["--exclude-path", "/seconds"] if name == "training.h5" else []
        done = subprocess.run(["h5diff", *exclude, str(a), str(b)], capture_output=True, text=True)
        if done.returncode != 0:
            found.append(f"{name}: {done.stdout}{done.stderr}")
    return found


def without_sandbox(**popen):
    """None, or why this machine cannot run code tasks: what rocket says. For tests that are then skipped."""
    done = rocket("check", REPOSITORY / "configs/lab-code.yaml", check=False, **popen)
    return done.stderr.strip() if done.returncode == 78 and "code tasks run Python programs" in done.stderr else None
