#!/usr/bin/env python3
"""The documents are plain technical English: short sentences, short lines, and no words of our own for what the field
has a word for. `test_language.py --list` prints the figures of each document."""
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MEAN, TENTH, LONGEST, CELL = 15, 20, 32, 40  # words: the mean, what nine of ten do not exceed, the most, the most in a table
WIDTH = 120  # columns of a line of prose

# A dated log of measurements is a record that is not changed afterwards. The others are written by programs.
EXCEPT = {"tests/bench/LOG.md", "configs/answers.md", "tests/lab/measured/results.md", "tests/lab/measured/world.md"}

# Words that this project once used in a sense of its own -> the words of the field. Quoted code is not looked at.
WORDS = {
    r"walk(s|ed|ing)?": "go through, pass",
    r"rooms?|houses?": "module, folder, cluster",
    r"contenders?": "systems",
    r"who (fell|stands|was dropped)|to whom|because of whom|who dropped whom": "which record dropped which",
    r"stands? (apart|alone|behind|beside|for)|stand in front": "is separate, follows, denotes",
    r"go(es)? before": "takes precedence over, precedes",
    r"insides": "activations",
    r"wears? (\w+ )?off": "forget",
    r"at will": "any number of times",
    r"manners": "conduct",
    r"anew": "again",
    r"mend(s|ed|ing)?": "repair",
    r"(the )?specials": "special tokens",
    r"tell apart|told apart|tells? (\w+ )?from all others": "distinguish, separate",
    r"(its|their|no) company": "the rest of the batch",
    r"(who|which) believes what": "what each writer believes",
    r"holds? (it )?up": "block",
    r"(put|puts|in|with|by|at|of|its|one|another) place(?! in)": "position, file and line, field, rank",
    r"pretended": "simulated",
    r"gets? further": "make progress",
    r"laboratory world": "laboratory",
    r"newcomer's|by turns with": "in turn",
}


def documents():
    """Every page that git tracks; without git, all pages outside of builds and hidden folders."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"], cwd=ROOT,
                            capture_output=True, text=True)
    names = listed.stdout.split() if listed.returncode == 0 else [
        str(path.relative_to(ROOT)) for path in ROOT.rglob("*.md")
        if not path.relative_to(ROOT).parts[0].startswith((".", "build"))]
    return sorted(set(names) - EXCEPT)


def prose(text):
    """[(number, line)] outside of code blocks, headings and drawings."""
    fenced, found = False, []
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and not line.startswith(("    ", "#")):
            found.append((number, line))
    return found


def sentences(text):
    """The sentences of paragraphs and lists, as lists of words. Cells of tables are phrases, and are left out."""
    lines = [line for _, line in prose(text) if not line.startswith("|")]
    joined = " ".join(re.sub(r"^\s*(\*|\d+\.) ", ". ", line) if line else "." for line in lines)
    joined = re.sub(r"\]\([^)]*\)", "]", joined)  # where a link leads is not read
    return [sentence.split() for sentence in re.split(r"[.?!][*)\"]*(?=\s|$)", joined) if sentence.split()]


def figures(text):
    """Words a sentence: mean, what nine of ten do not exceed, the longest."""
    counts = sorted(map(len, sentences(text)))
    return sum(counts) / len(counts), counts[len(counts) * 9 // 10], counts[-1]


def problems_of_sentences(name, text):
    mean, tenth, _ = figures(text)
    if mean > MEAN:
        yield f"{name}: {mean:.1f} words a sentence, at most {MEAN}"
    for words in sentences(text):
        if len(words) > (LONGEST if tenth <= TENTH else TENTH):
            yield f"{name}: {len(words)} words: {' '.join(words)}"


def problems_of_tables(name, text):
    for number, line in prose(text):
        for cell in line.split("|")[1:-1] if line.startswith("|") else ():
            for sentence in re.split(r"[.?!:;](?=\s|$)", re.sub(r"\]\([^)]*\)", "]", cell)):
                if len(sentence.split()) > CELL:
                    yield f"{name}:{number}: {len(sentence.split())} words:{sentence}"


def problems_of_lines(name, text):
    for number, line in prose(text):
        if len(line) > WIDTH and not line.startswith("|"):
            yield f"{name}:{number}: {len(line)} columns: {line}"


def problems_of_words(name, text):
    for number, line in prose(text):
        for pattern, instead in WORDS.items():
            if found := re.search(rf"\b({pattern})\b", re.sub(r"`[^`]*`", "``", line), re.I):
                yield f"{name}:{number}: '{found[0]}', say: {instead}: {line}"


class Language(unittest.TestCase):
    def check(self, problems_of):
        found = [problem for name in documents() for problem in problems_of(name, (ROOT / name).read_text(encoding="utf-8"))]
        self.assertEqual(len(found), 0, "\n" + "\n".join(found))

    def test_there_are_documents(self):
        self.assertLessEqual({"README.md", "docs/guides/train.md", "tests/lab/README.md"}, set(documents()))

    def test_sentences_are_short(self):
        self.check(problems_of_sentences)

    def test_sentences_of_tables_are_short(self):
        self.check(problems_of_tables)

    def test_lines_are_short(self):
        self.check(problems_of_lines)

    def test_words_are_those_of_the_field(self):
        self.check(problems_of_words)

    def test_the_readme_is_an_entrance(self):
        self.assertLessEqual(len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()), 110)


if "--list" in sys.argv:
    for name in documents():
        mean, tenth, longest = figures((ROOT / name).read_text(encoding="utf-8"))
        print(f"{name:36} mean {mean:4.1f}, nine of ten at most {tenth}, longest {longest}")
else:
    unittest.main(argv=sys.argv[:1])
