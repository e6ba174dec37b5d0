#!/usr/bin/env python3
"""The version of a build follows git: tools/cmake/commit.cmake on repositories and folders made here.

test_commit.py CMAKE GIT BUILD_FOLDER
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CMAKE, GIT, BUILD = sys.argv[1:4]
WHO = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@localhost", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@localhost",
       "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}


class Commit(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        self.source = self.folder / "source"
        shutil.copytree(ROOT / "tools" / "cmake", self.source / "tools" / "cmake")
        shutil.copy(ROOT / ".gitattributes", self.source)

    def git(self, *arguments):
        return subprocess.run([GIT, "-C", self.source, *arguments], check=True, capture_output=True, text=True,
                              env={**os.environ, **WHO}).stdout.strip()

    def commit(self):
        self.git("init", "-q")
        self.git("add", ".")
        self.git("commit", "-qm", "one")
        return self.git("rev-parse", "HEAD")

    def written(self, source=None, git=GIT):
        """(hash, dirty, released) of the file that a build compiles."""
        output = self.folder / "commit.cpp"
        subprocess.run([CMAKE, f"-DSOURCE={source or self.source}", f"-DTEMPLATE={ROOT}/src/buildinfo/commit.cpp.in",
                        f"-DOUTPUT={output}", "-DVERSION=1.2.3", f"-DGIT={git}", "-P", ROOT / "tools/cmake/commit.cmake"], check=True)
        hash_, dirty, released = re.search(r'return \{"(\w*)", (\w+), (\w+)\}', output.read_text()).groups()
        return hash_, dirty == "true", released == "true"

    def test_a_commit_and_its_changes(self):
        head = self.commit()
        self.assertEqual(self.written(), (head, False, False))
        (self.source / "not-tracked").write_text("")
        self.assertEqual(self.written(), (head, False, False))
        (self.source / ".gitattributes").write_text("")
        self.assertEqual(self.written(), (head, True, False))

    def test_only_the_tag_of_the_version_releases(self):
        head = self.commit()
        self.git("tag", "v1.2.4")
        self.assertEqual(self.written(), (head, False, False))
        self.git("tag", "-a", "v1.2.3", "-m", "release")
        self.assertEqual(self.written(), (head, False, True))
        (self.source / ".gitattributes").write_text("")
        self.assertEqual(self.written(), (head, True, False))

    def test_an_unchanged_commit_leaves_the_file_alone(self):
        self.commit()
        self.written()
        before = (self.folder / "commit.cpp").stat().st_mtime_ns
        self.written()
        self.assertEqual((self.folder / "commit.cpp").stat().st_mtime_ns, before)

    def test_a_tarball_of_git_archive_knows_its_commit(self):
        head = self.commit()
        self.git("tag", "v1.2.3")
        unpacked = self.folder / "unpacked"
        unpacked.mkdir()
        self.git("archive", "-o", self.folder / "source.tar", "HEAD")
        subprocess.run(["tar", "-xf", self.folder / "source.tar", "-C", unpacked], check=True)
        self.assertEqual(self.written(unpacked), (head, False, True))

    def test_sources_without_git_have_no_commit(self):
        self.assertEqual(self.written(), ("", False, False))
        self.assertEqual(self.written(git=""), ("", False, False))
        # Another project's repository around the sources is not theirs.
        subprocess.run([GIT, "init", "-q", self.folder], check=True, env={**os.environ, **WHO})
        self.assertEqual(self.written(), ("", False, False))

    def test_a_new_commit_compiles_one_file_and_links_one_library(self):
        rules = pathlib.Path(BUILD, "build.ninja")
        if not rules.exists():
            self.skipTest("not a build of Ninja")
        # What stands in front of || makes an output again when it changes; a phony rule makes nothing.
        made = {}
        for outputs, rule, inputs in re.findall(r"^build ([^:]+): (\S+)(.*)$", rules.read_text().replace("$\n", ""), re.M):
            if rule != "phony":
                made[outputs.split(" | ")[0]] = inputs.split("||")[0].split()
        changed, again = {"generated/buildinfo/commit.cpp"}, set()
        while True:
            more = {output for output, inputs in made.items()
                    if any(i.removeprefix(BUILD + "/") in changed for i in inputs)} - again
            if not more:
                break
            again |= more
            changed |= more
        self.assertEqual(sorted(pathlib.Path(name).name for name in again), ["commit.cpp.o", "librocket_commit.so"])


unittest.main(argv=sys.argv[:1])
