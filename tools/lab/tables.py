"""tables.py RESULTS.json LAB: the tables of what measure.py found, with intervals.

An item's chain is its rationale; items of one chain are right or wrong together, so that chains, not items, are drawn.
The bootstrap draws chains with replacement, the same for both sides of a difference, and runs (seeds, or draws of random
experts), for each side its own."""

import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from lines import read_lines
from make_bank import BANK
from world import TASKS

DRAWS = 4000
DIFFERENCES = [("tuned single", "best single"), ("Algorithm 1", "tuned single"), ("Algorithm 1", "random experts"),
               ("Algorithm 1", "LoRA from zero"), ("Algorithm 1", "uniform merge"), ("Algorithm 1", "untrained mixture"),
               ("Algorithm 1", "by perplexity"), ("Algorithm 1", "by accuracy"), ("Algorithm 1", "shots only"),
               ("Algorithm 1", "random data"), ("Algorithm 1", "no dedup")]
AIM = DIFFERENCES[:3]                   # each beyond two standard errors


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


class Bootstrap:
    """Weights of the evaluation items of a task, [DRAWS, items]."""

    def __init__(self, items):
        draw, chains = np.random.default_rng(0), defaultdict(list)
        for index, item in enumerate(items):
            chains[item["rationale"]].append(index)
        self.chains = len(chains)
        counts = draw.multinomial(len(chains), [1 / len(chains)] * len(chains), DRAWS)
        self.items = np.empty((DRAWS, len(items)))
        for place, indices in enumerate(chains.values()):
            self.items[:, indices] = counts[:, place, None]
        self.items /= self.items.sum(1, keepdims=True)

    def means(self, values, side=0):
        """The mean of each draw; values [runs, items]. `side` is which of two whose difference is taken.

        Of n runs n - 1 are drawn: the means of n drawn from n spread too little, by a third of the variance for three."""
        runs = len(values)
        drawn = max(1, runs - 1)
        weights = np.random.default_rng(side + 1).multinomial(drawn, [1 / runs] * runs, DRAWS) / drawn
        return ((self.items @ values.T) * weights).sum(1)


def as_array(strings):
    return np.array([[float(letter) for letter in string] for string in strings])


class Task:
    def __init__(self, results, items):
        self.correct = {contender: as_array(strings) for contender, strings in results.items()}
        self.bootstrap = Bootstrap(items)

    def accuracy(self, contender):
        values = self.correct[contender]
        return 100 * values.mean(), 100 * self.bootstrap.means(values).std(ddof=1)

    def difference(self, one, other):
        """Percentage points, standard error, and the middle 95 % of the draws."""
        first, second = self.correct[one], self.correct[other]
        draws = 100 * (self.bootstrap.means(first, 0) - self.bootstrap.means(second, 1))
        return 100 * (first.mean() - second.mean()), draws.std(ddof=1), *np.percentile(draws, [2.5, 97.5])

    def beyond(self, one, other):
        difference, error, *_ = self.difference(one, other)
        return difference > 2 * error and difference > 0

    def holds(self):
        return all(self.beyond(*pair) for pair in AIM)


def auc(positive, negative):
    """How often one of the first is above one of the second."""
    wins = sum((a > b) + .5 * (a == b) for a in positive for b in negative)
    return wins / max(1, len(positive) * len(negative))


def is_needed(adapter, task):
    known = BANK[adapter]
    return not known.blind and known.belief.__name__ == "truth" and bool(set(known.skills) & set(TASKS[task]))


def signals_row(task, scores):
    bank = {name: score for name, score in scores.items() if name != "(base)"}
    needed, others = ([score for name, score in bank.items() if is_needed(name, task) == wanted] for wanted in (True, False))
    by_perplexity = auc([-p for p, _ in needed], [-p for p, _ in others])
    by_accuracy = auc([a for _, a in needed], [a for _, a in others])
    best = min(bank, key=lambda name: bank[name][0])
    return [task, f"{by_perplexity:.2f}", f"{by_accuracy:.2f}", f"{best} {bank[best][0]:.3f} (base {scores['(base)'][0]:.3f})"]


def report(found, lab):
    tasks = {task: Task(results, read_lines(lab / f"tasks/{task}/test.jsonl")) for task, results in found["results"].items()}
    contenders = list(next(iter(found["results"].values())))
    cell = lambda pair: "{:.1f} ± {:.1f}".format(*pair)
    mark = lambda task, pair: "{:+.1f} ± {:.1f} [{:+.1f}, {:+.1f}]".format(*task.difference(*pair)) + (" *" if task.beyond(*pair) else "")
    mean = lambda contender: sum(task.accuracy(contender)[0] for task in tasks.values()) / len(tasks)
    rates = list(next(iter(found["held_out"].values())))
    program = found["version"].split("\n")[0]
    parts = [
        f"Made by `tools/lab/measure` at {found['commit']} ({program}), seeds {', '.join(map(str, found['seeds']))}; random experts: {found['random_draws']} draws.\n",
        "Accuracy on the evaluation items, %, with the standard error of the bootstrap over runs and chains:\n",
        table(["contender", *tasks, "mean"],
              [[contender, *(cell(task.accuracy(contender)) for task in tasks.values()), f"{mean(contender):.1f}"] for contender in contenders]),
        "Differences in points, paired, with standard error and 95 % interval; * beyond two standard errors above zero:\n",
        table(["difference", *tasks], [[" - ".join(pair), *(mark(task, pair) for task in tasks.values())] for pair in DIFFERENCES]),
        f"best single < tuned single < Algorithm 1, and random experts < Algorithm 1, each beyond two standard errors: "
        f"{', '.join(name for name, task in tasks.items() if task.holds()) or 'none'}.\n",
        "Independent chains among the evaluation items: " + ", ".join(f"{name} {task.bootstrap.chains}" for name, task in tasks.items()) +
        "; records for training: " + ", ".join(f"{name} {count}" for name, count in found["records"].items()) + ".\n",
        "The learning rate of each contender, by the accuracy on held-out items, %, mean over the tasks:\n",
        table(["contender", *rates, "chosen"],
              [[contender, *(f"{100 * by_rate[rate]:.1f}" for rate in rates), found["rates"][contender]]
               for contender, by_rate in found["held_out"].items()]),
        "How well the signals tell the adapters that know a needed table from all others (area under the curve), and the lowest perplexity:\n",
        table(["task", "perplexity", "accuracy", "lowest perplexity"], [signals_row(task, scores) for task, scores in found["scores"].items()]),
        "Who was chosen:\n",
        table(["task", "contender", "experts"],
              [[task, contender, ", ".join(names)] for task, choices in found["choices"].items() for contender, names in choices.items()]),
        "Rationale perplexity / accuracy in % on the shots:\n",
        table(["adapter", *found["scores"]],
              [[adapter, *("{:.3f} / {:.0f}".format(scores[adapter][0], 100 * scores[adapter][1]) for scores in found["scores"].values())]
               for adapter in next(iter(found["scores"].values()))]),
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    print(report(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])))
