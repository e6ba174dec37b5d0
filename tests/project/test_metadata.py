#!/usr/bin/env python3
"""The files that describe the project agree with each other: version, licence, citation, notices."""
import hashlib
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMUNITY = ["docs/SUPPORT.md", "docs/SECURITY.md", "docs/CODE_OF_CONDUCT.md", "CONTRIBUTING.md"]


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


class Metadata(unittest.TestCase):
    def test_one_version(self):
        version = re.search(r"^project\(rocket VERSION ([\d.]+)", text("CMakeLists.txt"), re.M)[1]
        self.assertEqual(re.search(r"^version: (.*)$", text("CITATION.cff"), re.M)[1], version)
        newest = re.search(r"^## (.*)$", text("CHANGELOG.md"), re.M)[1]
        self.assertRegex(newest, rf"^(Unreleased: )?{re.escape(version)}( \(\d{{4}}-\d\d-\d\d\))?$")
        if not newest.startswith("Unreleased"):
            self.assertRegex(newest, r"\(", "a released version has its date")

    def test_the_licence_is_the_whole_text(self):
        digest = hashlib.sha256(" ".join(text("LICENSE").split()).encode()).hexdigest()
        self.assertEqual(digest, "0ffddef9e48f8a09aed5caf2d44f7ba1c1be2d9b8e0a6f693b1635b2d5566645", "LICENSE is not Apache-2.0 as published")
        self.assertRegex(text("CITATION.cff"), r"(?m)^license: Apache-2.0$")

    def test_notice_names_all_files_of_others(self):
        licences = [p.parent.relative_to(ROOT) for p in (ROOT / "tests").rglob("LICENSE*")]
        self.assertTrue(licences)
        for folder in licences:
            self.assertIn(str(folder), text("NOTICE"))
        for folder in re.findall(r"^  (\S+/\S+) ", text("NOTICE"), re.M):
            self.assertTrue((ROOT / folder / "LICENSE").is_file(), folder)

    def test_the_citation_is_one(self):
        try:
            import yaml
        except ImportError:
            self.skipTest("no PyYAML")
        citation = yaml.safe_load(text("CITATION.cff"))
        self.assertEqual(citation["cff-version"], "1.2.0")
        for of in (citation, *citation["references"]):
            self.assertTrue(of["authors"] and of["title"])
        self.assertIn("2408.15915", citation["references"][0]["url"])

    def test_nobody_is_sent_to_an_address(self):
        for name in COMMUNITY:
            self.assertNotRegex(text(name), r"[\w.]+@[\w-]+\.\w+", name)

    def test_links_lead_to_files(self):
        tracked = [ROOT / name for name in COMMUNITY] + sorted((ROOT / "docs").glob("*.md")) + [ROOT / "CHANGELOG.md"]
        for path in tracked:
            for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
                if not target.startswith("http"):
                    self.assertTrue((path.parent / target).exists(), f"{path.name}: {target}")


unittest.main()
