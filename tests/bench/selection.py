"""Top-C and exact greedy dedup of random vectors: rocket against blocked NumPy, FAISS flat and the published loops."""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

if "OMP_NUM_THREADS" not in os.environ or "--threads" in sys.argv:  # libraries read it when they are loaded
    threads = sys.argv[sys.argv.index("--threads") + 1] if "--threads" in sys.argv else "1"
    os.environ |= {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}

import faiss
import numpy as np
from halves import BUILD, machine, run, samples_table, table
from scipy.spatial.distance import cdist

BLOCK = 2048


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/selection")
    parser.add_argument("--records", type=int, nargs="+", default=[100_000], help="one table for each")
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--shots", type=int, default=50)
    parser.add_argument("--retrieve", type=int, help="C (default: all records)")
    parser.add_argument("--threshold", type=float, default=0.9)
    parser.add_argument("--kept", type=float, default=0.5, help="share of the records that no earlier one is near, about")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--published", type=int, default=3000, help="records of the published loops, which are quadratic in Python")
    parser.add_argument("--ranks", type=int, nargs="+", default=[0], help="0: without mpirun")
    parser.add_argument("--json", help="write all that was measured here")
    return parser.parse_args()


def make_vectors(records, dimension, shots, kept):
    """Groups of near vectors (cosines about 0.96), far from all others; copies among them. Shots near some groups."""
    rng = np.random.default_rng(0)
    groups = max(1, int(records * kept))
    centres = rng.standard_normal((groups, dimension), dtype=np.float32)
    which = np.concatenate([np.arange(groups), rng.integers(0, groups, records - groups)])
    rng.shuffle(which)

    def around(index):
        x = centres[index] + 0.2 * rng.standard_normal((len(index), dimension), dtype=np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    vectors = np.concatenate([around(which[first:first + 10_000]) for first in range(0, records, 10_000)])
    copies = rng.integers(1, records, records // 50)
    vectors[copies], which[copies] = vectors[copies - 1], which[copies - 1]
    return vectors, which, around(rng.integers(0, groups, shots))


def walk_order(vectors, shots, retrieve):
    similarity = np.minimum(vectors @ shots.T, 1).max(1)
    return np.lexsort((np.arange(len(vectors)), -similarity))[:retrieve]


def settle(near, references=None):
    """The walk within a block: near[i, j] for j < i; True in `references` are those of before."""
    kept = np.ones(len(near), bool) if references is None else ~references
    for i in np.flatnonzero(kept & np.tril(near, -1).any(1)):
        kept[i] = not (near[i, :i] & kept[:i]).any()
    return kept


def numpy_blocked(vectors, shots, retrieve, threshold):
    """A block at a time against what was kept, then within itself: the least work that matrix products can do."""
    order = walk_order(vectors, shots, retrieve)
    references, count, result = np.empty((len(order), vectors.shape[1]), np.float32), 0, []
    cosines = np.empty((BLOCK, BLOCK), np.float32)
    for first in range(0, len(order), BLOCK):
        rows = vectors[order[first:first + BLOCK]]
        near = np.zeros(len(rows), bool)
        for begin in range(0, count, BLOCK):
            end = min(begin + BLOCK, count)
            out = np.matmul(rows, references[begin:end].T, out=cosines[:len(rows), :end - begin] if end - begin == BLOCK else None)
            near |= out.max(1) > threshold
        kept = settle(rows @ rows.T > threshold, near)
        result.append(order[first:first + BLOCK][kept])
        references[count:count + kept.sum()] = rows[kept]
        count += int(kept.sum())
    return np.concatenate(result)


def faiss_flat(vectors, shots, retrieve, threshold):
    """All neighbours by range search, then the walk over their lists."""
    order = walk_order(vectors, shots, retrieve)
    rows = vectors[order]
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    kept = np.zeros(len(rows), bool)
    for first in range(0, len(rows), 10 * BLOCK):
        limits, _, neighbours = index.range_search(rows[first:first + 10 * BLOCK], threshold)
        for i in range(len(limits) - 1):
            earlier = neighbours[limits[i]:limits[i + 1]]
            kept[first + i] = not kept[earlier[earlier < first + i]].any()
    return order[kept]


def published(vectors, shots, retrieve, threshold):
    """SciPy's cdist a row at a time, and loops."""
    order = walk_order(vectors, shots, retrieve)
    kept = []
    for i in order:
        for j in kept:
            if 1 - cdist(vectors[i:i + 1], vectors[j:j + 1], "cosine")[0, 0] > threshold:
                break
        else:
            kept.append(i)
    return np.array(kept)


def published_rows(vectors, shots, retrieve, threshold):
    """The same with one cdist a row against all that was kept."""
    order = walk_order(vectors, shots, retrieve)
    kept = []
    for i in order:
        distances = cdist(vectors[i:i + 1], vectors[kept], "cosine")[0] if kept else []
        if all(1 - distance <= threshold for distance in distances):
            kept.append(i)
    return np.array(kept)


PEERS = {"numpy": numpy_blocked, "faiss": faiss_flat, "published": published, "published_rows": published_rows}


def rocket(folder, dimension, retrieve, given, ranks):
    launcher = ["mpirun", "--oversubscribe", "--bind-to", "none", "-np", ranks] if ranks else []
    answer = json.loads(run([*launcher, BUILD / "tests/bench/bench_selection", folder / "vectors", folder / "shots", dimension, retrieve,
                             given.threshold, 1, folder / "kept"], given.threads, OMPI_ALLOW_RUN_AS_ROOT="1",
                            OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1"))
    return answer, np.fromfile(folder / "kept", np.int64)


def measure(folder, records, peers, given):
    """By turns: rocket on each number of ranks, then each peer."""
    vectors, groups, shots = make_vectors(records, given.dimension, given.shots, given.kept)
    vectors.tofile(folder / "vectors")
    shots.tofile(folder / "shots")
    retrieve = min(given.retrieve or records, records)
    seconds, peaks, answers = {}, {}, {}
    for _ in range(given.repeats):
        for ranks in given.ranks:
            name = f"rocket, {ranks} ranks" if ranks else "rocket"
            answer, answers[name] = rocket(folder, given.dimension, retrieve, given, ranks)
            seconds.setdefault(name, []).extend(answer["seconds"])
            peaks[name] = max(answer["peak_bytes"])
        for name in peers:
            start = time.perf_counter()
            answers[name] = PEERS[name](vectors, shots, retrieve, given.threshold)
            seconds.setdefault(name, []).append(time.perf_counter() - start)
    first, *others = answers.items()
    for name, kept in others:
        # Copies have equal similarity to the shots, but not in a matrix library's last bit: which of them stands may differ.
        if not np.array_equal(np.sort(groups[kept]), np.sort(groups[first[1]])) or (name.startswith("rocket") and any(kept != first[1])):
            raise SystemExit(f"{name} keeps others than {first[0]}: seconds of a wrong answer mean nothing")
    return seconds, peaks, len(first[1]), retrieve


def report(records, seconds, peaks, kept, retrieve, given):
    print(f"{records} x {given.dimension}, C = {retrieve}, {kept} kept")
    samples_table(seconds)
    ours = statistics.median(next(iter(seconds.values())))
    table(["", "rocket is faster by", "peak memory of a rank"],
          [[name, f"{statistics.median(values) / ours:.3g} x", f"{peaks[name] / 1e6:.0f} MB" if name in peaks else ""]
           for name, values in seconds.items()])
    return {"records": records, "retrieve": retrieve, "kept": kept, "seconds": seconds, "peak_bytes": peaks}


def main():
    given = arguments()
    about = machine()
    print(f"{about}\n{given.threads} thread(s), threshold {given.threshold}, {given.shots} shots\n", flush=True)
    fast = [name for name in given.peers if not name.startswith("published")]
    slow = [name for name in given.peers if name.startswith("published")]
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        for records in given.records:
            results.append(report(records, *measure(Path(temporary), records, fast, given), given))
        if slow:
            results.append(report(given.published, *measure(Path(temporary), given.published, slow, given), given))
    if given.json:
        Path(given.json).write_text(json.dumps({"machine": about, "arguments": vars(given), "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
