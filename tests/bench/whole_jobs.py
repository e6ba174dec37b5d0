"""Whole jobs as a user types them, from the start of the process to its end, beside peers that do the same from files to files."""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from embed import minilm
from halves import BUILD, ROOT, lines, machine, run, table, timed

LAB = ROOT / "tests/lab"
JOBS = ("score", "embed", "select", "finetune", "evaluate", "dedup")


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/whole_jobs")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--records", type=int, default=1000, help="of the lab's corpus that all-MiniLM-L6-v2 embeds in embed and dedup")
    parser.add_argument("--items", type=int, default=300, help="of evaluate")
    parser.add_argument("--json", help="write all that was measured here")
    return parser.parse_args()


def write_config(folder, name, **changes):
    """The lab's choice_hard; JSON is YAML."""
    task = LAB / "tasks/choice_hard"
    config = {"run": str(folder / name), "device": "cpu", "base": {"path": str(LAB / "base")}, "bank": {"adapters": str(LAB / "bank")},
              "task": {"name": "choice_hard", "shots": str(task / "shots.jsonl"), "evaluation": str(folder / "items.jsonl"), "answer": "choice"},
              "corpus": {"records": [str(LAB / "corpus.jsonl")]}, "encoder": {"path": str(LAB / "encoder")},
              "scoring": {"max_new_tokens": 64}, "training": {"learning_rate": 1.2e-3, "epochs": 3, "micro_batch_tokens": 4096}, **changes}
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(config))
    return path


def wide_encoder(folder):
    """384 dimensions from one random layer: `select` gets vectors of MiniLM's width without MiniLM's time."""
    import shutil

    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    shutil.copytree(LAB / "encoder", folder)
    (folder / "model.safetensors").unlink()
    model = BertModel(BertConfig(vocab_size=718, hidden_size=384, num_hidden_layers=1, num_attention_heads=12, intermediate_size=384,
                                 max_position_embeddings=160), add_pooling_layer=False)
    model.save_pretrained(folder)
    pooling = json.loads((folder / "1_Pooling/config.json").read_text())
    (folder / "1_Pooling/config.json").write_text(json.dumps({k: 384 if "dimension" in k else v for k, v in pooling.items()}))
    return str(folder)


def half_dropped(run):
    """A threshold that drops about half of the records: the median over some of their cosine to the nearest other one."""
    import h5py
    import numpy as np

    with h5py.File(run / "embed.h5") as file:
        vectors = file["embedding"][()]
    some = np.arange(0, len(vectors), 40)
    cosines = vectors[some] @ vectors.T
    cosines[np.arange(len(some)), some] = -1
    return round(float(np.median(cosines.max(1))), 6)


def prepare(folder, given):
    """Everything that the jobs stand on, computed once; {job: (command of rocket, what the peer is told)}."""
    rocket = BUILD / "rocket"
    lines(LAB / "tasks/choice_hard/test.jsonl", given.items, folder / "items.jsonl")
    corpus = lines(LAB / "corpus.jsonl", given.records, folder / "corpus.jsonl")
    chain = write_config(folder, "chain")
    small = write_config(folder, "small", encoder={"path": minilm()}, corpus={"records": [corpus]})
    wide = write_config(folder, "wide", encoder={"path": wide_encoder(folder / "encoder")}, selection={"retrieve": 20000})
    if {"score", "finetune", "evaluate"} & set(given.jobs):
        run([rocket, "run", chain, "--quiet"], given.threads)
    threshold = None
    if "select" in given.jobs:
        run([rocket, "embed", wide, "--quiet"], given.threads)
        threshold = half_dropped(folder / "wide")
    told = {"run": str(folder / "chain"), "items": str(folder / "items.jsonl"), "corpus": corpus, "encoder": minilm(),
            "wide": str(folder / "wide"), "all": str(LAB / "corpus.jsonl"), "threads": given.threads, "threshold": threshold}
    told |= {job: str(folder / f"peer-{job}") for job in JOBS}
    commands = {job: [rocket, job, chain, "--fresh", "--quiet"] for job in ("score", "finetune", "evaluate")}
    commands |= {"embed": [rocket, "embed", small, "--fresh", "--quiet"],
                 "select": [rocket, "select", wide, "--fresh", "--quiet", "--set", f"selection.threshold={threshold}"],
                 "dedup": [rocket, "dedup", corpus, "--encoder", minilm(), "--output", folder / "kept.jsonl", "--quiet"]}
    (folder / "told.json").write_text(json.dumps(told))
    return commands


def measure(folder, commands, given):
    """{job: {"rocket": [...], "peer": [...], "peer without imports": [...], "agrees": ...}}, by turns."""
    results = {job: {"rocket": [], "peer": [], "peer without imports": []} for job in given.jobs}
    for _ in range(given.repeats):
        for job in given.jobs:
            seconds, _ = timed(commands[job], given.threads)
            results[job]["rocket"].append(seconds)
            seconds, out = timed([sys.executable, "-W", "ignore", Path(__file__).with_name("whole_jobs_peer.py"), job, folder / "told.json"],
                                 given.threads)
            answer = json.loads(out.splitlines()[-1])
            results[job]["peer"].append(seconds)
            results[job]["peer without imports"].append(answer["seconds"])
            results[job]["agrees"] = answer["agrees"]
    return results


def main():
    given = arguments()
    about = machine()
    print(f"{about}\n{given.threads} thread(s)\n", flush=True)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])  # tokenisers have threads of their own
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        results = measure(folder, prepare(folder, given), given)
    rows = []
    for job, result in results.items():
        ours, whole, inside = (statistics.median(result[name]) for name in ("rocket", "peer", "peer without imports"))
        rows.append([job, f"{ours:.3g} s", f"{whole:.3g} s", f"{inside:.3g} s", f"{whole / ours:.2f}", f"{inside / ours:.2f}", result["agrees"]])
    table(["job", "rocket", "peer", "peer without imports", "ratio", "without imports", "answers"], rows)
    if given.json:
        Path(given.json).write_text(json.dumps({"machine": about, "arguments": vars(given), "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
