"""References for src/statistics. Writes tests/data/statistics/reference.json.

Needs NumPy 2.4, SciPy 1.17 and statsmodels 0.15, in an environment of their own: only this script uses statsmodels.

mcnemar: statsmodels.stats.contingency_tables.mcnemar(exact=True), held equal to scipy.stats.binomtest.
holm: statsmodels.stats.multitest.multipletests(method="holm").
power: the sum of the multinomial probabilities (scipy.stats.multinomial) of all outcomes that binomtest rejects.
comparison: the sets that the program draws (philox.py), gone through place by place in NumPy; and for one run
scipy.stats.bootstrap(method="percentile") with draws of its own, on the differences with the two pseudo-items.
"""
import itertools
import json
import pathlib

import numpy as np
import scipy.stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from philox import uniform

OUT = pathlib.Path(__file__).resolve().parents[1] / "data" / "statistics" / "reference.json"
SETS, SEED, SCIPY_SETS = 999, 11, 20_000


def mcnemar_case(only_a, only_b):
    p = float(mcnemar([[0, only_a], [only_b, 0]], exact=True).pvalue)
    if only_a + only_b:
        assert np.isclose(p, scipy.stats.binomtest(only_a, only_a + only_b).pvalue, rtol=1e-9)
    return {"only_a": only_a, "only_b": only_b, "p": p}


def holm_case(p):
    return {"p": p, "corrected": multipletests(p, method="holm")[1].tolist()}


def power_case(items, difference, discordance, level):
    up, down = (discordance + difference) / 2, (discordance - difference) / 2
    b, c = np.meshgrid(np.arange(items + 1), np.arange(items + 1), indexing="ij")
    b, c = b[b + c <= items], c[b + c <= items]
    chance = scipy.stats.multinomial.pmf(np.stack([b, c, items - b - c], 1), items, [up, down, 1 - up - down])
    p = np.minimum(1, 2 * scipy.stats.binom.cdf(np.minimum(b, c), b + c, 0.5))
    return {"items": items, "difference": difference, "discordance": discordance, "level": level,
            "power": float(chance[p <= level].sum())}


def drawn(stream, number, places):
    """The places of set `number`, one after the other."""
    return (uniform(SEED, stream, number * places + np.arange(places, dtype=np.uint64)) * places).astype(int)


def stretch(number, runs):
    index = 2 * (number * (runs - 1) + np.arange(runs - 1, dtype=np.uint64))
    normal = np.sqrt(-2 * np.log1p(-uniform(SEED, "comparison.spread", index))) * np.cos(
        2 * np.pi * uniform(SEED, "comparison.spread", index + np.uint64(1)))
    return np.sqrt(runs / (normal**2).sum())


def resampled(answers):
    """[sets, S] accuracies over the items alone, and [sets] what the pseudo-items add to a's lead over b."""
    runs, systems, items = answers.shape
    with_pseudo = np.concatenate([answers, np.zeros((runs, systems, 2))], axis=2)
    of_run = with_pseudo.mean(axis=2)
    accuracies, lean = [], []
    for number in range(SETS):
        places = drawn("comparison.items", number, items + 2)
        shares = with_pseudo[:, :, places].mean(axis=2)
        if runs > 1:
            shares += (stretch(number, runs) - 1) * (of_run - of_run.mean(axis=0))
            shares = shares[drawn("comparison.runs", number, runs)]
        accuracies.append(shares.mean(axis=0))
        lean.append(((places == items).sum() - (places == items + 1).sum()) / (items + 2))
    return np.array(accuracies), np.array(lean)


def pair(answers, accuracies, lean, a, b):
    runs = len(answers)
    difference = answers[:, a] - answers[:, b]
    only_a, only_b = int((difference > 0).sum()), int((difference < 0).sum())
    sets = accuracies[:, a] - accuracies[:, b] + lean
    low, high = np.clip(np.quantile(sets, [0.025, 0.975]), -1, 1)
    sides = min((sets >= -1e-12).sum(), (sets <= 1e-12).sum())
    row = {"a": a, "b": b, "difference": float(difference.mean()), "only_a": only_a, "only_b": only_b, "low": low, "high": high,
           "p": mcnemar_case(only_a, only_b)["p"] if runs == 1 else float(min(1, 2 * (sides + 1) / (SETS + 1)))}
    if runs == 1:
        found = scipy.stats.bootstrap((np.concatenate([difference[0], [1, -1]]),), np.mean, method="percentile",
                                      n_resamples=SCIPY_SETS, batch=500, rng=np.random.default_rng(5))
        row["scipy"] = list(found.confidence_interval)
    return row


def comparison_case(answers):
    runs, systems, items = answers.shape
    accuracies, lean = resampled(answers)
    pairs = [pair(answers, accuracies, lean, a, b) for a, b in itertools.combinations(range(systems), 2)]
    for row, corrected in zip(pairs, multipletests([row["p"] for row in pairs], method="holm")[1], strict=True):
        row["p_holm"] = float(corrected)
    lead = accuracies >= accuracies.max(axis=1, keepdims=True) - 1e-12
    return {"runs": runs, "systems": systems, "items": items, "sets": SETS, "seed": SEED,
            "correct": answers.astype(int).ravel().tolist(), "pairs": pairs,
            "best": (lead / lead.sum(axis=1, keepdims=True)).mean(axis=0).tolist()}


def answers_of(rng, runs, items, accuracies):
    """Hard and easy items, alike for all systems; runs differ a little."""
    hardness = rng.random(items) * 0.6 - 0.3
    run = rng.normal(0, 0.05, (runs, len(accuracies), 1))
    return (rng.random((runs, len(accuracies), items)) < np.array(accuracies)[:, None] + hardness + run).astype(float)


def main():
    rng = np.random.default_rng(1979)
    counts = [(0, 0), (1, 0), (0, 1), (5, 5), (0, 6), (12, 30), (31, 29), (300, 240), (5000, 5200), (40_000, 41_000), (3, 2000)]
    families = [[0.01], [0.5, 0.5], [0.04, 0.01, 0.03, 0.005], [1.0, 0.9, 1e-9, 0.02], rng.random(36).tolist(),
                (rng.random(10) ** 6).tolist()]
    cases = [answers_of(rng, 1, 30, [0.9, 0.95]), answers_of(rng, 1, 200, [0.3, 0.5, 0.6, 0.62]),
             answers_of(rng, 3, 60, [0.4, 0.7, 0.72]), answers_of(rng, 2, 40, [0.5, 0.9]),
             np.ones((1, 3, 12)), np.stack([np.ones((2, 9)), np.zeros((2, 9))], axis=1)]
    reference = {"mcnemar": [mcnemar_case(*pair) for pair in counts], "holm": [holm_case(p) for p in families],
                 "power": [power_case(*c) for c in [(30, 0.2, 0.3, 0.05), (100, 0.1, 0.25, 0.05), (100, 0.25, 0.25, 0.05),
                                                    (300, 0.1, 0.25, 0.05 / 6), (400, 0.03, 0.1, 0.05), (5, 0.5, 0.6, 0.05)]],
                 "comparison": [comparison_case(case) for case in cases]}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text("{\n" + ",\n".join(
        f'"{name}": [\n' + ",\n".join(json.dumps(case, separators=(",", ":")) for case in rows) + "\n]"
        for name, rows in reference.items()) + "\n}\n")
    print(f"{OUT}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
