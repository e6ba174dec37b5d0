"""make_corpus.py FOLDER: the open instructions -> corpus.jsonl; what each is about -> corpus_kinds.jsonl (for checks only).

More than half belong to no task. What does speaks of two fifths of the keys only, and of those sometimes wrongly;
every tenth record is a rewording of an earlier one."""

import random
import sys
from pathlib import Path

import world
from lines import write_lines
from records import chatter, composition, normalised, reworded, single
from world import COMPOSITIONS, DISTRACTORS, SKILLS, covered

RECORDS, SEED, WRONG, RECENT = 20000, 11, .07, 4000


def writer(draw):
    """The belief of one record's writer: one answer a key, seven in a hundred wrong."""
    said = {}

    def belief(table, key):
        wrong = draw.random() < WRONG
        return said.setdefault((table, key), world.falsehood(table, key) if wrong else world.truth(table, key))
    return belief


def corpus():
    draw, records, seen = random.Random(SEED), [], set()
    kinds = {"reworded": .10, "single": .26, "composition": .12, "distractor": .40, "chatter": .12}
    while len(records) < RECORDS:
        kind = draw.choices(list(kinds), kinds.values())[0]
        if kind == "reworded" and not records:
            continue
        record = {
            "reworded": lambda: {**reworded(draw.choice(records[-RECENT:]), draw), "reworded": True},
            "single": lambda: single(draw.choice(SKILLS), draw, writer(draw), covered),
            "composition": lambda: composition(draw.choice(list(COMPOSITIONS)), draw, writer(draw), covered),
            "distractor": lambda: single(draw.choice(DISTRACTORS), draw, writer(draw)),
            "chatter": lambda: chatter(draw),
        }[kind]()
        if normalised(record) not in seen:
            seen.add(normalised(record))
            records.append(record)
    return records


def main(folder):
    records = corpus()
    write_lines(folder / "corpus.jsonl", [{key: record[key] for key in ("instruction", "input", "output")} for record in records])
    write_lines(folder / "corpus_kinds.jsonl",
                [{"kind": record["kind"], "reworded": record.get("reworded", False)} for record in records])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
