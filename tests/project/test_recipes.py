#!/usr/bin/env python3
"""The recipes of CONTRIBUTING.md name every file that their example touches: its pattern leads to these and no others."""
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ("src", "jobs")  # compared both ways; of configs, docs and tests the named files must hold the pattern
SUFFIXES = {".h", ".cpp", ".cu", ".py", ".txt", ".yaml", ".md"}


def recipes():
    """{title: (pattern, files)}."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## 5. A first change")[1].split("\n## ")[0]
    found = {}
    for section in text.split("\n### ")[1:]:
        pattern = re.search(r"Pattern: `(.*)`$", section, re.M)
        if pattern:
            found[section.splitlines()[0]] = pattern[1], re.findall(r"^\| `([^`]+)` \|", section, re.M)
    return found


def holds(path, pattern):
    return re.search(pattern, (ROOT / path).read_text(encoding="utf-8", errors="replace")) is not None


class Recipes(unittest.TestCase):
    def test_four_changes_are_explained(self):
        self.assertEqual(set(recipes()), {"A new setting", "A new job", "A new model family", "A new kind of answer"})

    def test_the_sources_with_the_pattern_are_those_of_the_table(self):
        for title, (pattern, files) in recipes().items():
            there = {str(path.relative_to(ROOT)) for folder in SOURCES for path in (ROOT / folder).rglob("*")
                     if path.suffix in SUFFIXES and path.name != "README.md" and holds(path.relative_to(ROOT), pattern)}
            named = {name for name in files if name.startswith(SOURCES)}
            self.assertEqual(sorted(there - named), [], f"CONTRIBUTING.md, '{title}': files that the table lacks")
            self.assertEqual(sorted(named - there), [], f"CONTRIBUTING.md, '{title}': files without the pattern")

    def test_all_other_files_are_there(self):
        made = {"configs/answers.md", "tests/data/answers/forms.json", "tests/unit/scoring/answer_test.cpp"}  # other spellings
        for title, (pattern, files) in recipes().items():
            for name in files:
                self.assertTrue((ROOT / name).is_file(), f"{title}: {name}")
                if not name.startswith(SOURCES) and name not in made:
                    self.assertTrue(holds(name, pattern), f"{title}: {name}")


unittest.main()
