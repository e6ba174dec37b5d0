"""References for Algorithm 2: brute force over small corpora. Writes tests/data/selection/corpus.json and hull.json.

Vectors are stored as integers, normalised by the reader. No pair of different vectors lies so near a threshold or a
tie that float32 could decide otherwise than float64, except in the lattice, where float32 is exact.
"""
import itertools
import json
import pathlib

import numpy as np
from scipy.optimize import nnls

from philox import uniform

OUT = pathlib.Path(__file__).resolve().parents[1] / "data" / "selection"
MARGIN = 1e-5


def unit(rows):
    rows = np.asarray(rows, np.float64)
    return (rows / np.sqrt((rows * rows).sum(axis=1, keepdims=True))).astype(np.float32).astype(np.float64)


def cosines(a, b):
    return np.minimum(np.round(np.einsum("id,jd->ij", a, b), 12), 1.0)


def hull_squared_distance(x, shots):
    """Exact for few shots: the least over all faces whose affine minimiser lies inside the face."""
    best = np.inf
    for size in range(1, len(shots) + 1):
        for face in itertools.combinations(range(len(shots)), size):
            p = shots[list(face)] - x
            system = np.block([[p @ p.T, np.ones((size, 1))], [np.ones((1, size)), np.zeros((1, 1))]])
            weights = np.linalg.lstsq(system, np.append(np.zeros(size), 1.0), rcond=1e-12)[0][:size]
            if abs(weights.sum() - 1) < 1e-9 and (weights > -1e-12).all():
                best = min(best, float(((weights @ p) ** 2).sum()))
    return best


def choose(data, options):
    rows, shots = unit(data["rows"]), unit(data["shots"])
    left = [r for r in range(len(rows)) if r not in data["excluded"]]
    to_shots = cosines(rows, shots)
    similarity = to_shots.max(axis=1) if options["similarity"] == "max" else np.round(to_shots.mean(axis=1), 11)
    count, tau, policy = options["retrieve"], options["threshold"], options["policy"]
    walk = sorted(left, key=lambda r: (-similarity[r], r))
    index = np.arange(len(rows))
    if policy == "random":
        u = uniform(options["seed"], "records.random", index)
        chosen = set(sorted(left, key=lambda r: u[r])[:count])
    elif policy == "kde":
        weight = np.exp(-options["gamma"] * (2 - 2 * to_shots)).mean(axis=1)
        # Efraimidis and Spirakis: the largest u^(1/w).
        key = np.log(uniform(options["seed"], "records.kde", index)) / weight
        ranked = sorted(left, key=lambda r: -key[r])
        if len(ranked) > count:
            assert abs(key[ranked[count - 1]] / key[ranked[count]] - 1) > MARGIN
        chosen = set(ranked[:count])
    elif policy == "convex":
        distance = {r: round(hull_squared_distance(rows[r], shots), 9) + 0.0 for r in left}
        ranked = sorted(left, key=lambda r: (distance[r], -similarity[r], r))
        chosen = set(ranked[:count])
    elif policy == "repr_filter":
        chosen = set(left)
    else:
        chosen = set(walk[:count])
    retrieved = [r for r in walk if r in chosen]
    near = cosines(rows, rows) > tau
    kept, dropped_by = [], []
    for position, r in enumerate(retrieved):
        earlier = retrieved[:position]
        if policy in ("greedy", "repr_filter"):
            earlier = [e for e, k in zip(earlier, kept) if k]
        elif policy != "released_code":
            earlier = []
        if policy == "repr_filter" and sum(kept) == count:
            retrieved = retrieved[:position]
            break
        by = next((e for e in earlier if near[e, r]), -1)
        kept.append(int(by < 0))
        dropped_by.append(by)
    return {"retrieved": retrieved, "kept": kept, "dropped_by": dropped_by,
            "similarity": [round(float(similarity[r]), 6) for r in retrieved]}


def crowded(rng, records, shots, dimension):
    """Clusters, rewordings, exact duplicates, a few rows equal to shots; rows that would be a close call left out."""
    centres = rng.integers(-60, 61, (12, dimension))
    rows = centres[rng.integers(0, 12, records)] + rng.integers(-22, 23, (records, dimension))
    rows[rng.random(records) < 0.2] = rows[0]
    again = rng.random(records) < 0.2
    rows[again] = rows[rng.integers(0, records, again.sum())]
    shot_rows = centres[rng.integers(0, 12, shots)] + rng.integers(-25, 26, (shots, dimension))
    rows[5] = shot_rows[0]
    good = []
    for row in rows:
        trial = unit(good + [row])
        pair = cosines(trial[-1:], trial[:-1])[0] if good else np.zeros(0)
        sims = cosines(trial, unit(shot_rows))
        both = [sims.max(axis=1), sims.mean(axis=1)]
        same = [bool((np.array(g) == row).all()) for g in good]
        close = any((np.abs(pair - tau) < MARGIN).any() for tau in (0.9, 0.8, 0.5))
        tied = any(abs(s[-1] - s[i]) < MARGIN for s in both for i in range(len(good)) if not same[i])
        if not close and not tied:
            good.append(row.tolist())
    excluded = sorted(rng.choice(len(good), 6, replace=False).tolist())
    return {"rows": good, "shots": shot_rows.tolist(), "excluded": excluded}


def lattice(rng, records, shots):
    """Four entries of +-1/2: all cosines are multiples of 1/4, exact in float32; ties everywhere."""
    def draw(n):
        rows = np.zeros((n, 7), int)
        for row in rows:
            row[rng.choice(7, 4, replace=False)] = rng.choice([-1, 1], 4)
        return rows.tolist()
    return {"rows": draw(records), "shots": draw(shots), "excluded": [0, 17]}


def alike():
    return {"rows": [[3, 4, 5]] * 20, "shots": [[3, 4, 5], [1, 2, 2]], "excluded": []}


def cases_of(data, thresholds):
    size = len(data["rows"])
    for similarity in ("max", "mean"):
        for policy in ("greedy", "released_code", "repr_filter"):
            for threshold in thresholds:
                for retrieve in (1, size // 4, size + 5):
                    yield {"policy": policy, "similarity": similarity, "threshold": threshold, "retrieve": retrieve}
        for policy in ("similarity_only", "random", "convex", "kde"):
            for retrieve in (3, size // 3, size):
                yield {"policy": policy, "similarity": similarity, "threshold": 0.9, "retrieve": retrieve}


def corpora():
    rng = np.random.default_rng(4)
    result = []
    sets = [(crowded(rng, 120, 5, 8), [1.0, 0.9, 0.8, 0.5]), (crowded(rng, 200, 3, 12), [0.9, 0.5]),
            (crowded(rng, 60, 1, 16), [0.9]), (lattice(rng, 100, 4), [0.75, 0.5, 0.0, -0.25]), (alike(), [1.0, 0.9])]
    for data, thresholds in sets:
        cases = []
        for options in cases_of(data, thresholds):
            options |= {"gamma": float(rng.choice([2.0, 10.0])), "seed": int(rng.integers(0, 2**40))}
            cases.append(options | {"expected": choose(data, options)})
        result.append(data | {"cases": cases})
    return result


def certified_squared_distance(x, shots):
    """Non-negative least squares finds the face; its affine minimiser is then proved optimal."""
    big = 1e3
    weights = nnls(np.vstack([shots.T, np.full((1, len(shots)), big)]), np.append(x, big), maxiter=10_000)[0]
    face = np.flatnonzero(weights > 1e-9)
    p = shots - x
    system = np.block([[p[face] @ p[face].T, np.ones((len(face), 1))], [np.ones((1, len(face))), np.zeros((1, 1))]])
    weights = np.linalg.solve(system, np.append(np.zeros(len(face)), 1.0))[:-1]
    nearest = weights @ p[face]
    assert weights.min() > -1e-12 and (p @ nearest).min() > nearest @ nearest - 1e-12
    return float(nearest @ nearest)


def hulls():
    rng = np.random.default_rng(5)
    result = []
    for shots, dimension, records in [(50, 16, 20), (50, 64, 10), (10, 4, 30), (1, 8, 3)]:
        shot_rows = rng.integers(-40, 60, (shots, dimension))
        rows = rng.integers(-30, 70, (records, dimension))
        squares = [certified_squared_distance(x, unit(shot_rows)) for x in unit(rows)]
        result.append({"rows": rows.tolist(), "shots": shot_rows.tolist(), "squared_distance": squares})
    return result


def write(name, items):
    text = "[\n" + ",\n".join(json.dumps(item, separators=(",", ":")) for item in items) + "\n]\n"
    (OUT / name).write_text(text)
    print(f"{name}: {len(text)} bytes")


if __name__ == "__main__":
    write("corpus.json", corpora())
    write("hull.json", hulls())
