#!/usr/bin/env python3
"""README.md and the guides: their commands run, their links lead somewhere, their prose is plain.

test_guides.py, with ROCKET in the environment (tests/program/small_world.py)
"""
import gzip
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "program"))
from small_world import LAB, ROCKET, environment  # noqa: E402

GUIDES = [ROOT / "README.md", *(ROOT / "docs/guides" / f"{name}.md" for name in (
    "files", "models", "score-a-bank", "select-data", "train", "evaluate", "generate", "deduplicate", "gpus", "troubleshooting"))]
PAGES = [*GUIDES, *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]

# What a test cannot run: it builds or installs, needs a GPU or a cluster, or stands for the reader's own files.
NOT_RUN = ["tools/quickstart", "tools/test", "tools/gpu-bundle", "tools/gpu-check", "python3 -m pip install", "module load", "cmake -B build",
           "cmake --build build", "$EDITOR", "slurm/submit", "build/rocket rationalize my-task.yaml"]

# Words of our own that hide the field's.
PRIVATE = ["walk", "walks", "house", "stands on", "stand on", "fell to", "whoever", "hither"]


def commands():
    """(page, command) of all indented blocks, in the order of the guides."""
    for page in GUIDES:
        for line in page.read_text(encoding="utf-8").splitlines():
            command = re.sub(r"\s+#.*$", "", line.strip())
            if line.startswith("    ") and not re.match(r"#|system |\w+ +\(|(base|best_single|uniform_merge|expert) ", command) and command:
                yield page.name, command


class Commands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.folder = pathlib.Path(cls.temporary.name)
        for name in ("configs", "tests", "tools"):
            (cls.folder / name).symlink_to(ROOT / name)
        (cls.folder / "build").mkdir()
        (cls.folder / "build/rocket").symlink_to(ROCKET)
        (cls.folder / "models").mkdir()
        (cls.folder / "models/all-MiniLM-L6-v2").symlink_to(LAB / "encoder")
        (cls.folder / "data").mkdir()
        records = (LAB / "corpus.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        with gzip.open(cls.folder / "data/a.jsonl.gz", "wt", encoding="utf-8") as file:
            file.write("".join(records[:300]))
        shutil.copy(LAB / "tasks/choice_hard/test.jsonl", cls.folder / "prompts.jsonl")
        # The reader's own task is the lab's: all guides look at one run.
        (cls.folder / "runs").mkdir()
        (cls.folder / "runs/my-task").symlink_to("lab-choice_hard")

    def test_they_run(self):
        ran = 0
        for page, command in commands():
            if any(command.startswith(prefix) for prefix in NOT_RUN):
                continue
            done = subprocess.run(command, shell=True, cwd=self.folder, env=environment(), capture_output=True, text=True, timeout=300)
            self.assertEqual(done.returncode, 0, f"{page}: {command}\n{done.stdout[-500:]}{done.stderr[-1500:]}")
            ran += 1
        self.assertGreater(ran, 20)


class Text(unittest.TestCase):
    def test_links_lead_somewhere(self):
        seen = 0
        for page in [*PAGES, ROOT / "src/README.md", ROOT / "tests/README.md", ROOT / "configs/README.md", ROOT / "slurm/README.md"]:
            for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
                if "://" not in target:
                    self.assertTrue((page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}")
                    seen += 1
        self.assertGreater(seen, 60)

    def test_every_guide_is_in_the_readme(self):
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        for guide in (ROOT / "docs/guides").glob("*.md"):
            self.assertIn(f"(docs/guides/{guide.name})", text)
            self.assertIn(guide, GUIDES)

    def test_prose_is_plain(self):
        for page in PAGES:
            text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
            lines = [line for line in text.splitlines() if not line.startswith(("|", "    ", "#", "!"))]
            for line in lines:
                self.assertLessEqual(len(line), 120, f"{page.name}: {line}")
            prose = " ".join(re.sub(r"^\s*(\*|\d+\.) ", ". ", line) if line else "." for line in lines)
            lengths = sorted(len(s.split()) for s in re.split(r"[.?!:;](?=\s|$)", prose) if s.split())
            self.assertLessEqual(statistics.mean(lengths), 15, f"{page.name}: words a sentence")
            if page in GUIDES:
                self.assertLessEqual(lengths[int(0.9 * len(lengths))], 25, f"{page.name}: words of the longest tenth of sentences")
                for word in PRIVATE:
                    self.assertNotRegex(prose, rf"\b{word}\b", page.name)

    def test_the_readme_is_short(self):
        self.assertLessEqual(len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()), 110)


if __name__ == "__main__":
    unittest.main()
