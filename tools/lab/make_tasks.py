"""make_tasks.py FOLDER: the items of the six tasks -> tasks/TASK/{shots,held_out,test}.jsonl.

Shots begin their chains at a third of the keys, inside what the corpus covers; the other two files at all keys.
held_out is for choosing settings, test for evaluating; no text is in two of the three. Where a task has chains for
more evaluation items, there are more: chains, not items, make a mean sure."""

import random
import re
import sys
from pathlib import Path

import world
from lines import write_lines
from records import item, normalised

TESTED_AT = (0, 1, 5, 8, -3)
SHOTS, HELD_OUT = 50, 100
EVALUATION = {"choice_hard": 300, "choice_easy": 300, "choice_two": 300,    # chains: one a person, of whom there are 96
              "boolean": 900, "number": 900, "code": 900}                   # two keys, more than a thousand chains


def tests_of(program):
    value = eval("lambda x: " + program.split("return ")[1])
    return [f"assert f({x}) == {value(x)}" for x in TESTED_AT]


def wanted(record, chosen, count):
    """Of a boolean task half the answers are yes, and no item compares equal prices."""
    if record["kind"] != "boolean":
        return True
    a, b = re.search(r"(\d) against (\d)", record["output"]).groups()
    return a != b and sum(other["answer"] == record["answer"] for other in chosen) < count / 2


def items(task, count, seed, keys, taken):
    """`count` items with the truth as rationale, none of them in `taken`, which they join."""
    draw, chosen = random.Random(seed), []
    while len(chosen) < count:
        new = item(task, draw, world.truth, keys)
        if normalised(new) in taken or not wanted(new, chosen, count):
            continue
        taken.add(normalised(new))
        chosen.append(new)
    return [as_example(record) for record in chosen]


def as_example(record):
    example = {"instruction": record["instruction"], "input": record["input"], "output": record["answer"],
               "answer": record["answer"], "rationale": record["output"]}
    if record["kind"] == "code":
        example["tests"] = tests_of(record["answer"])
    return example


def main(folder):
    for place, task in enumerate(world.TASKS):
        taken = set()
        for name, count, keys in (("shots", SHOTS, world.asked_in_shots), ("held_out", HELD_OUT, world.every_key),
                                  ("test", EVALUATION[task], world.every_key)):
            write_lines(folder / f"tasks/{task}/{name}.jsonl", items(task, count, f"{name}/{place}", keys, taken))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
