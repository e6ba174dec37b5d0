"""References for Algorithm 1: brute force over random banks, heavy with ties. Writes tests/data/selection/experts.json.

Independent of the program: ranks by scipy.stats.rankdata, tuples by itertools, exact sums by fractions.
"""
import itertools
import json
import pathlib
from fractions import Fraction

import numpy as np
from scipy.stats import rankdata

from philox import uniform

OUT = pathlib.Path(__file__).resolve().parents[1] / "data" / "selection" / "experts.json"
SIGNALS = ["perplexity", "accuracy", "diversity"]
NAMES = ["Home", "home", "home-b", "home_b", "x10", "x2", "sells", "prix-\u00e9", "a", "b", "zeta", "0", "tool.v2", "tool"]


def choose(case):
    names, n, m = case["adapters"], case["count"], case["candidates"]
    signals = case["signals"]
    with np.errstate(over="ignore"):
        nll = np.array(case["nll"], np.float64)
        ppl = [float(f"{x:.11e}") for x in np.exp(nll).mean(axis=1)]
    acc = np.array(case["correct"]).sum(axis=1)
    bank = len(names)
    r_p = rankdata(ppl) if "perplexity" in signals else np.zeros(bank)
    r_a = rankdata(-acc) if "accuracy" in signals else np.zeros(bank)
    place = r_p + r_a
    order = sorted(range(bank), key=lambda i: (place[i], ppl[i], names[i].encode()))
    similarity = np.eye(bank)
    similarity[np.triu_indices(bank, 1)] = case["similarity"]
    similarity = np.triu(similarity) + np.triu(similarity, 1).T

    def mean(members):
        return float(np.round(np.mean([similarity[i, j] for i, j in itertools.combinations(members, 2)]), 9))

    def total(members):
        return sum((Fraction(ppl[i]) for i in members), Fraction(0)) if np.isfinite(
            [ppl[i] for i in members]).all() else Fraction(10)**400

    out = {"tuples": 0, "objective": None}
    if case["names"]:
        experts = [i for i in order if names[i] in case["names"]]
        candidates = experts
    elif not signals:
        draws = uniform(case["seed"], "experts", np.arange(bank))
        drawn = set(np.argsort(draws, kind="stable")[:n].tolist())
        experts = [i for i in order if i in drawn]
        candidates = experts
    else:
        candidates = order[:m]
        experts = candidates[:n]
        if "diversity" in signals:
            tuples = list(itertools.combinations(candidates, n))
            r_d = rankdata([mean(t) for t in tuples]) if n > 1 else np.zeros(len(tuples))
            value = [float(sum(place[list(t)]) + r_d[k]) for k, t in enumerate(tuples)]
            best = min(range(len(tuples)), key=lambda k: (
                value[k], total(tuples[k]), sorted(names[i].encode() for i in tuples[k])))
            experts = list(tuples[best])
            out = {"tuples": len(tuples), "objective": value[best]}
    out["experts"] = [names[i] for i in experts]
    out["candidates"] = [names[i] for i in candidates]
    out["mean_similarity"] = mean(experts) if len(experts) > 1 else None
    out["places"] = [[float(r_p[i]), float(r_a[i])] for i in range(bank)]
    with np.errstate(over="ignore", invalid="ignore"):
        shots = np.exp(nll)
        se = shots.std(axis=1, ddof=1) / np.sqrt(shots.shape[1]) if shots.shape[1] > 1 else np.full(bank, np.nan)
    out["perplexity_se"] = [float(s) if np.isfinite(s) else None for s in se]
    p = acc / nll.shape[1]
    out["accuracy_se"] = np.sqrt(p * (1 - p) / nll.shape[1]).tolist()
    out["best_single"] = names[min(range(bank), key=lambda i: (-acc[i], ppl[i], names[i].encode()))]
    return out


def random_case(rng, number):
    bank = int(rng.integers(1, 10))
    shots = int(rng.choice([1, 5, 5, 20]))
    names = sorted(rng.choice(NAMES, bank, replace=False).tolist(), key=str.encode)
    kind = number % 4
    levels = [0.1, 0.2] if kind == 0 else [0.05, 0.1, 0.2, 0.4] if kind == 1 else None
    nll = rng.choice(levels, (bank, 1)) * np.ones((1, shots)) if kind == 0 else (
        rng.choice(levels, (bank, shots)) if kind == 1 else rng.uniform(0.01, 2, (bank, shots)).round(3))
    if kind == 3:
        nll[rng.random(bank) < 0.3, 0] = 1000
    # Few levels of accuracy, so that ties are the rule.
    correct = (rng.random((bank, shots)) < rng.choice([0.2, 0.5, 0.8], (bank, 1))).astype(int)
    pairs = bank * (bank - 1) // 2
    style = int(rng.integers(0, 4))
    similarity = [np.full(pairs, 0.5), rng.choice([0.0, 0.25, 0.5], pairs), rng.uniform(-1, 1, pairs).round(3),
                  rng.choice([-0.5, 0.0, 0.1, 0.3], pairs)][style]
    m = int(rng.integers(1, bank + 3))
    signals = [s for i, s in enumerate(SIGNALS) if (number // 4 >> i) & 1] if number % 5 else SIGNALS
    explicit = rng.permutation(names)[: int(rng.integers(1, bank + 1))].tolist() if number % 29 == 0 else []
    return {"adapters": names, "shots": shots, "nll": nll.tolist(), "correct": correct.tolist(),
            "similarity": similarity.tolist(), "candidates": m, "count": int(rng.integers(1, min(m, bank) + 1)),
            "signals": signals, "names": explicit, "seed": int(rng.integers(0, 2**53))}


def main():
    rng = np.random.default_rng(20240815)
    cases = []
    for number in range(400):
        case = random_case(rng, number)
        case["expected"] = choose(case)
        cases.append(case)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")
    print(f"{OUT}: {len(cases)} cases, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
