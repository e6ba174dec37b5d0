"""Reference for the answers in generations, with Python's `regex`, `str` and `Fraction`.

    python tests/parity/make_answer_reference.py        (from the root of the repository)

Writes into tests/data/answers: patterns.json: [kind, pattern, text, answer or null] of exact and regex; text.json:
[pattern or null (exact), take, ignore_case, ignore_punctuation, text, answer or null]; numbers.json: [text, answer],
numbers that are known before they are written down. What is ignored is what lm-evaluation-harness ignores in
exact_match: case by str.lower, string.punctuation by str.translate. The other files of that folder are read by people.
"""

import decimal
import fractions
import itertools
import json
import random
import string
from pathlib import Path

import regex

OUT = Path("tests/data/answers")

# PCRE2 without UCP: \d, \b mean ASCII.
FLAGS = regex.ASCII | regex.VERSION0


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


PATTERNS = [r"####\s*(-?\d+)", r"(?i)result[^a-z]*([a-z ]+)", r"^(.*)$", r"(?:x|(y))", r"(é+)", r"\b(no)\b"]
PIECES = ["####", " ", "7", "-12", "result", "Result: ", "good", "y", "x", "é", "éé", "no", "nope", "\n", "ANSWER"]

TEXT_PIECES = ["Paris", "paris", "PARIS", " ", "  ", "\n", ".", "!", "'", "U.S.", "-", "—", "¿", "É", "é", "ß", "İ", "ΟΔΟΣ", "Σ", "ς", "_", "`",
               "$5", "a|b", "#### ", "#### ", "7", "~"]
TEXT_PATTERNS = [None, r"####\s*(\S+)", r"(?i)(paris[.!]?)", r"(?:-|(é))", r"([A-Z.]+)"]


def made(n, maker):
    return ["".join(maker.choice(PIECES) for _ in range(maker.randint(1, 9))) for _ in range(n)]


def spelled(value):
    """The shortest decimal, or the reduced fraction where none ends."""
    rest = value.denominator
    for factor in 2, 5:
        while rest % factor == 0:
            rest //= factor
    if rest > 1:
        return f"{value.numerator}/{value.denominator}"
    with decimal.localcontext(prec=200):
        text = format(decimal.Decimal(value.numerator) / value.denominator, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def grouped(digits, separator):
    return format(int(digits), ",").replace(",", separator)


def numerals(maker):
    """A number as people write it, and its value."""
    whole = maker.choice([maker.randint(0, 9), maker.randint(10, 999), maker.randint(1000, 9_999_999)])
    places = maker.choice([0, 0, 1, 2, 3])
    tail = "." + "".join(maker.choice("0123456789") for _ in range(places)) if places else ""
    value = fractions.Fraction(f"{whole}{tail}")
    groups = [",", "{,}", "\\,", "\u00a0", "\u202f", "\u2009", "'"]
    text = f"{whole}{tail}"
    form = maker.choice(["plain", "grouped", "scripts", "exponent", "power", "quotient", "latex", "mixed", "percent", "zeros", "million"])
    if form == "grouped" and whole >= 1000:
        text = grouped(whole, maker.choice(groups)) + tail
    elif form == "scripts":
        zero = maker.choice([0xFF10, 0x660, 0x6F0, 0x966, 0x1D7CE])
        text = text.translate({ord("0") + i: zero + i for i in range(10)})
    elif form == "exponent":
        shift = maker.randint(-9, 9)
        text, value = f"{text}{maker.choice('eE')}{shift:+d}", value * fractions.Fraction(10) ** shift
    elif form == "power":
        shift = maker.randint(-9, 9)
        value *= fractions.Fraction(10) ** shift
        raised = str(shift).translate(str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"))
        text += maker.choice([f" x 10^{shift}", f" \u00d7 10^{{{shift}}}", f"*10^{shift}", f" \\times 10^{{{shift}}}", f" \u00d7 10{raised}"])
    elif form in ("quotient", "latex", "mixed"):
        below = maker.randint(2, 40)
        value = fractions.Fraction(whole, below)
        text = f"{whole}/{below}" if form == "quotient" else f"\\{maker.choice(['frac', 'dfrac', 'tfrac'])}{{{whole}}}{{{below}}}"
        if form == "mixed":
            above = maker.randint(1, below - 1)
            text, value = f"{whole} {above}/{below}", whole + fractions.Fraction(above, below)
    elif form == "percent":
        text += maker.choice(["%", " %", "\\%"])
    elif form == "zeros":
        text = f"00{text}" if "." in text else f"00{text}.00"
    elif form == "million":
        text, value = f"{text} million", value * 1_000_000
    sign = maker.choice(["", "", "-", "\u2212"])
    if form not in ("percent", "latex", "mixed") and maker.random() < 0.3:
        currency = maker.choice("$\u20ac\u00a3\u00a5")
        text = maker.choice([f"{sign}{currency}{text}", f"{currency}{sign}{text}"])
    else:
        text = sign + text
    return text, -value if sign else value


SENTENCES = ["{}", "The answer is {}.", "#### {}", "\\boxed{{{}}}", "$\\boxed{{{}}}$", "Answer: {}", "**Answer:** {}\n\nI used 3 steps.", "There are 12 cats, so {}",
             "3 + 4 = 7. The final answer is {}", "{}\n\n### Instruction:\nCount to 5.\n\n### Response:\n1 2 3", "\u7b54\u6848\uff1a{}", "<think>Maybe 3?</think> {}",
             '{{"answer": "{}"}}', "<answer>{}</answer> in 2 steps", "Die Antwort ist {}", "The answer is not 17 but {}."]


def write(name, rows):
    (OUT / name).write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


def main():
    OUT.mkdir(exist_ok=True)
    maker = random.Random(5)
    rows = [["exact", "", text, exact(text)] for text in ["", "  a  b ", " \n ", "A", "a\u00a0b"] + made(300, maker)]
    rows += [["regex", pattern, text, first_group(pattern, text)] for pattern in PATTERNS for text in made(60, maker)]
    write("patterns.json", rows)
    maker, rows = random.Random(7), []
    for _ in range(2000):
        text, value = numerals(maker)
        rows.append([maker.choice(SENTENCES).format(text), spelled(value)])
    write("numbers.json", rows)
    maker, rows = random.Random(6), []
    for pattern, take, case, punctuation in itertools.product(TEXT_PATTERNS, ("first", "last"), (False, True), (False, True)):
        for _ in range(30):
            text = "".join(maker.choice(TEXT_PIECES) for _ in range(maker.randint(1, 9)))
            rows.append([pattern, take, case, punctuation, text, text_answer(pattern, take, case, punctuation, text)])
    write("text.json", rows)


main()
