"""Reference for the answers in generations: the patterns of the interface, word for word, with Python's `regex`.

    python tests/parity/make_answer_reference.py        (from the root of the repository)

Writes tests/data/answers.json: [kind, pattern, text, answer or null], and tests/data/answers_text.json:
[pattern or null (exact), take, ignore_case, ignore_punctuation, text, answer or null]. What is ignored is what
lm-evaluation-harness ignores in exact_match: case by str.lower, string.punctuation by str.translate.
"""

import decimal
import itertools
import json
import random
import string
import unicodedata
from pathlib import Path

import regex

OUT = Path("tests/data/answers.json")
OUT_TEXT = Path("tests/data/answers_text.json")

# PCRE2 without UCP: \d, \b mean ASCII.
FLAGS = regex.ASCII | regex.VERSION0
CHOICE = [r"(?i:\banswer\b)[^A-Za-z0-9\n]*(?i:is\b|:)?[^A-Za-z0-9\n]*([A-J])(?![A-Za-z0-9'])",
          r"(?<![A-Za-z0-9])([A-J])(?![A-Za-z0-9'])"]
BOOLEAN = [r"(?i)\banswer\b[^A-Za-z0-9\n]*(?:is\b|:)?[^A-Za-z0-9\n]*(yes|no|true|false)\b", r"(?i)\b(yes|no|true|false)\b"]
NUMBER = r"-?(?:\d[\d,]*)?\.?\d+"


def last_else_first(patterns, text):
    matches = list(regex.finditer(patterns[0], text, FLAGS))
    match = matches[-1] if matches else regex.search(patterns[1], text, FLAGS)
    return match and match.group(1)


def boolean(text):
    word = last_else_first(BOOLEAN, text)
    return word and ("yes" if word.lower() in ("yes", "true") else "no")


def number(text):
    matches = list(regex.finditer(NUMBER, text, FLAGS))
    if not matches:
        return None
    digits = matches[-1].group().replace(",", "")
    before = text[: matches[-1].start()][-1:]
    if digits[0] == "-" and before and (before == ")" or unicodedata.category(before)[0] in "LN"):
        digits = digits[1:]
    with decimal.localcontext(prec=1000):
        value = decimal.Decimal(digits)
        if value == 0:
            return "0"
        written = format(value, "f")
    return written.rstrip("0").rstrip(".") if "." in written else written


def exact(text):
    return regex.sub(r"\p{White_Space}+", " ", text).strip(" ")


def first_group(pattern, text):
    match = regex.search(pattern, text, FLAGS)
    return None if match is None or match.group(1) is None else exact(match.group(1))


def compared(text, ignore_case, ignore_punctuation):
    """The two small sigmas are one letter here; Python's choice depends on the neighbours."""
    if ignore_case:
        text = text.lower().replace("\u03c2", "\u03c3")
    if ignore_punctuation:
        text = text.translate(str.maketrans("", "", string.punctuation))
    return exact(text)


def text_answer(pattern, take, ignore_case, ignore_punctuation, text):
    if pattern is None:
        return compared(text, ignore_case, ignore_punctuation)
    matches = list(regex.finditer(pattern, text, FLAGS))
    group = matches[0 if take == "first" else -1].group(1) if matches else None
    return None if group is None else compared(group, ignore_case, ignore_punctuation)


def code(text):
    """Fences open and close in turn."""
    blocks, at = [], 0
    while opening := regex.compile(r"`{3,}").search(text, at):
        body = opening.end()
        if language := regex.compile(r"[A-Za-z0-9_+#. \t\r-]*\n").match(text, body):
            body = language.end()
        closing = regex.compile("`{%d,}" % len(opening.group())).search(text, body)
        blocks.append((closing is not None, text[body : closing.start() if closing else len(text)]))
        if closing is None:
            break
        at = closing.end()
    closed = [block for is_closed, block in blocks if is_closed]
    if blocks:
        return closed[-1] if closed else blocks[-1][1]
    return text.rsplit("Answer:", 1)[-1].strip(" \t\r\n")


KINDS = {"choice": lambda t: last_else_first(CHOICE, t), "boolean": boolean, "number": number, "exact": exact, "code": code}
PATTERNS = [r"####\s*(-?\d+)", r"(?i)result[^a-z]*([a-z ]+)", r"^(.*)$", r"(?:x|(y))", r"(é+)", r"\b(no)\b"]

PIECES = {
    "choice": ["answer", "Answer", "ANSWER", "answers", " is ", "is", "Is", ":", "(", ")", ".", ",", " ", "\n", "-", "—", "A", "B", "C",
               "D", "J", "K", "I", "I'm", "A's", "b", "1", "é", "“", "*", "The ", "Be", "option "],
    "boolean": ["answer", "Answer", "ANSWERS", " is ", "is", ":", "(", ")", ".", " ", "\n", "-", "—", "yes", "No", "TRUE", "false",
                "not", "yesterday", "1", "é", "“", "*", "_", "because "],
    "number": ["1", "2", "34", "0", "007", ",", ",", ".", ".", "-", "-", " ", "$", "%", ")", "(", "x", "é", "e", "/", "\n", "²", "−", "٣",
               "1,234", "5.50", "..", "--", "="],
    "exact": ["a", "B", " ", "  ", "\n", "\t", "\u00a0", "\u3000", "é", ".", "\u200b"],
    "code": ["```", "```", "```python\n", "````", "`", "\n", "def f(x): return x", "Answer:", "Answer: ", "answer:", " ", "x = 1\n", "a b",
             "```\n", "\r\n", "éü"],
    "regex": ["####", " ", "7", "-12", "result", "Result: ", "good", "y", "x", "é", "éé", "no", "nope", "\n", "ANSWER"],
}

TEXT_PIECES = ["Paris", "paris", "PARIS", " ", "  ", "\n", ".", "!", "'", "U.S.", "-", "—", "¿", "É", "é", "ß", "İ", "ΟΔΟΣ", "Σ", "ς", "_", "`",
               "$5", "a|b", "#### ", "#### ", "7", "~"]
TEXT_PATTERNS = [None, r"####\s*(\S+)", r"(?i)(paris[.!]?)", r"(?:-|(é))", r"([A-Z.]+)"]

AWKWARD = {
    "choice": ["The answer is (B).", "Answer: (b) B", "answer is: C", "Answer: Answer: C", "Answer: A\nAnswer: D", "I think B", "A man", "I'd say C",
               "answer: None of A or B", "the answer\nB", "B", "b", "(B)", "", "K", "Answer: A1 B", "ANSWER IS J!", "Answer:\tD", "é B", "éB", "Bé",
               "anſwer: B, A", "A. red\nB. blue\nAnswer: B. blue", "The answer is definitely B", "answer - is - : C", "Answer: the answer is D'"],
    "boolean": ["yes, because no", "Answer: no, not yes", "True", "the answer is FALSE.", "yesterday", "noyes", "Answer: yes\nAnswer: no", "nothing",
                "answer is: True", "not true", "éno", "yes_", ""],
    "number": ["$1,234.50", "-3", "2/3", "1e3", "10-3", "x-3", "(4)-3", "= -3", "--3", "- 3", "1.2.3", "5.", ".5", "-.5", "-0", "00012.500", "0.0",
               "1,2", "1, 2", "10,20,30", "1,,2", "3,", "2024-01-02", "50%", "−3", "é-3", "²-3", "٣ 4", "1 000", "none", "", ",5", "1,234,567.8900",
               "9" * 60, "The total is 7 dollars.", "#### 42", "7\n", "-,5", "5-", "12.-3"],
    "exact": ["  a  b ", "", " \n ", "A", "a\u00a0b"],
    "code": ["", "Answer: def f(x): return x", "Answer: a\nAnswer: b", "```python\nx\n```", "```\nx\n```\nthen\n```py\ny\n```", "```x```", "```python\nx",
             "a\n```\nx\n```\nb\n```\nunfinished", "Answer: ```python\nx\n```", "````\n```\nx\n```\n````", "answer: x", " def f(): pass \n", "```", "``````",
             "```python\r\nx\r\n```", "Answer: x ```y``` z", "```def f(x):\n  return x\n```"],
}


def made(kind, n, maker):
    return ["".join(maker.choice(PIECES[kind]) for _ in range(maker.randint(1, 9))) for _ in range(n)]


def main():
    maker = random.Random(5)
    rows = [[kind, "", text, find(text)] for kind, find in KINDS.items()
            for text in AWKWARD[kind] + made(kind, 700, maker) if kind != "choice" or "ſ" not in text]
    rows += [["regex", pattern, text, first_group(pattern, text)] for pattern in PATTERNS for text in made("regex", 60, maker)]
    OUT.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    maker, rows = random.Random(6), []
    for pattern, take, case, punctuation in itertools.product(TEXT_PATTERNS, ("first", "last"), (False, True), (False, True)):
        for _ in range(30):
            text = "".join(maker.choice(TEXT_PIECES) for _ in range(maker.randint(1, 9)))
            rows.append([pattern, take, case, punctuation, text, text_answer(pattern, take, case, punctuation, text)])
    OUT_TEXT.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


main()
