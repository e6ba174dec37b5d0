"""References for n-gram decontamination, with plain sets of tuples: writes tests/data/formats/decontamination_ngrams.json.

A case: n, protected records, and records with what is to be said of them (0 clean, 1 equal, 2 shares words).
"""
import json
import pathlib
import random
import unicodedata

OUT = pathlib.Path(__file__).resolve().parents[1] / "data" / "formats" / "decontamination_ngrams.json"
SEPARATORS = [" ", "  ", "\n", ", ", ". ", " - ", "! (", '"', "\u2014", "\u00a0", "_", "/"]
WORDS = ["the", "River", "of", "42", "\u00c9cole", "e\u0301tude", "\u65e5\u672c", "na\u00efve", "\u0394\u03b5\u03bb\u03c4\u03b1", "x\u00b2",
         "STRASSE", "\u0939\u093f\u0928\u094d\u0926\u0940", "3", "b\u0130g"]


def words(text):
    parted = "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in text)
    return tuple(word.lower() for word in parted.split())


def question(record):
    return record["instruction"] + "\n" + record["input"]


def folded(record):
    return " ".join(question(record).lower().split())


def ngrams(sequence, n):
    return {sequence[i:i + n] for i in range(len(sequence) - n + 1)}


def verdict(record, protected, n):
    if folded(record) in {folded(p) for p in protected}:
        return 1
    shorts = {words(question(p)) for p in protected if 0 < len(words(question(p))) < n}
    if words(question(record)) in shorts:
        return 2
    forbidden = set().union(*(ngrams(words(question(p)), n) for p in protected))
    return 2 if ngrams(words(question(record) + "\n" + record["output"]), n) & forbidden else 0


def text_of(rng, count):
    return "".join(rng.choice(WORDS) + rng.choice(SEPARATORS) for _ in range(count))


def record_of(rng, longest):
    return {key: text_of(rng, rng.randrange(longest)) for key in ("instruction", "input", "output")}


def written_otherwise(rng, sequence):
    return "".join((w.upper() if rng.random() < 0.3 and w.upper().lower() == w else w) + rng.choice(SEPARATORS) for w in sequence)


def mixed(rng, protected, n):
    """A record into which a run of a protected question was copied: n words, one more, or one less."""
    source = words(question(rng.choice(protected)))
    length = n + rng.choice([-1, 0, 1])
    first = rng.randrange(max(1, len(source) - length + 1))
    record = record_of(rng, 8)
    key = rng.choice(["instruction", "input", "output"])
    record[key] += written_otherwise(rng, source[first:first + length]) + text_of(rng, 3)
    return record


def case(rng, n):
    protected = [record_of(rng, 2 * n + 2) for _ in range(4)] + [{"instruction": "", "input": "?!", "output": ""}]
    short = {"instruction": "the River", "input": "", "output": ""}
    protected.append(short)
    records = [mixed(rng, protected[:4], n) for _ in range(30)] + [record_of(rng, 8) for _ in range(10)]
    records += [{**rng.choice(protected), "output": "x"},
                {**short, "instruction": " The  RIVER\n"}, {**short, "instruction": "the-river!"},
                {**short, "input": "of"}, {"instruction": "...", "input": "", "output": ""}]
    return {"n": n, "protected": protected, "records": records, "verdicts": [verdict(r, protected, n) for r in records]}


def main():
    rng = random.Random(5)
    cases = [case(rng, n) for n in (3, 5, 8, 13)]
    counts = [sum(c["verdicts"].count(v) for c in cases) for v in (0, 1, 2)]
    assert min(counts) >= 8, counts
    OUT.write_text(json.dumps(cases, ensure_ascii=False, indent=0), encoding="utf-8")
    print(counts, OUT.stat().st_size)


if __name__ == "__main__":
    main()
