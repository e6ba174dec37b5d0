#!/usr/bin/env python3
"""cmake --install into a fresh prefix, which is then moved: everything works from there.

test_install.py CMAKE BUILD_FOLDER
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CMAKE, BUILD = sys.argv[1], pathlib.Path(sys.argv[2])
# Nothing of this session may help the program to find its files.
ENVIRONMENT = {name: value for name, value in os.environ.items()
               if name not in {"ROCKET", "ROCKET_SITE", "LD_LIBRARY_PATH", "LD_PRELOAD"}}


def run(*command, cwd, **more):
    done = subprocess.run([str(word) for word in command], cwd=cwd, env={**ENVIRONMENT, **more}, capture_output=True, text=True,
                          timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.holder.name)
        run(CMAKE, "--install", BUILD, "--prefix", cls.folder / "first", cwd=ROOT)
        cls.prefix = cls.folder / "moved" / "here"
        cls.prefix.parent.mkdir()
        (cls.folder / "first").rename(cls.prefix)
        cls.program = cls.prefix / "bin" / "rocket"
        cls.share = cls.prefix / "share"
        cls.interface = json.loads((BUILD / "documentation" / "interface.json").read_text())

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()

    def one(self, pattern):
        found = list(self.prefix.glob(pattern))
        self.assertEqual(len(found), 1, f"{pattern}: {found}")
        return found[0]

    def test_the_program_runs_from_any_folder(self):
        about = json.loads(run(self.program, "--version", "--json", cwd="/"))
        self.assertRegex(about["version"], r"^\d+\.\d+\.\d+")
        # A lab configuration has paths of the repository, and nothing else here comes from there.
        plan = run(self.program, "check", self.share / "rocket/configs/lab-number.yaml", cwd=ROOT)
        self.assertIn("experts", plan)
        linked = run(self.program, "--version", cwd="/", PATH=f"{self.program.parent}:{os.environ['PATH']}")
        self.assertTrue(linked.startswith(f"rocket {about['version']}\n"), linked)

    def test_libraries_come_from_the_prefix(self):
        for library in ("librocket_engine.so", "librocket_version.so"):
            for line in run("ldd", self.one(f"lib*/**/{library}"), cwd="/").splitlines():
                if "librocket" in line:
                    self.assertIn(str(self.prefix), line)

    def test_submit_finds_its_program(self):
        config = self.share / "rocket/configs/lab-number.yaml"
        plan = run(self.share / "rocket/slurm/submit", "--dry-run", config, cwd=self.folder)
        self.assertIn(f"ROCKET={self.program}", plan)
        self.assertIn(f"ROCKET_SITE={self.share}/rocket/slurm/site.conf", plan)
        self.assertIn(f"{self.share}/rocket/slurm/rocket.sbatch", plan)

    def test_configurations_and_documentation_are_whole(self):
        for folder, target in (("configs", "rocket/configs"), ("slurm", "rocket/slurm"), ("docs", "doc/rocket/docs")):
            there = {p.relative_to(self.share / target) for p in (self.share / target).rglob("*") if p.is_file()}
            here = {p.relative_to(ROOT / folder) for p in (ROOT / folder).rglob("*") if p.is_file()}
            self.assertEqual(there, here, folder)
        for name in ("README.md", "LICENSE", "NOTICE", "CITATION.cff", "CHANGELOG.md", "CONTRIBUTING.md"):
            self.assertTrue((self.share / "doc/rocket" / name).is_file(), name)

    def test_links_of_the_documentation_lead_somewhere(self):
        for page in (self.share / "doc/rocket").rglob("*.md"):
            text = re.sub(r"^ *```.*?^ *```$|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
            for target in re.findall(r"\]\(([^)#\s]+)", text):
                if not target.startswith("http"):
                    self.assertTrue((page.parent / target).exists(), f"{page.relative_to(self.share)}: {target}")

    def test_every_command_has_a_manual_page(self):
        pages = {p.name for p in (self.share / "man/man1").iterdir()}
        self.assertEqual(pages, {"rocket.1", *(f"rocket-{name}.1" for name in self.interface["commands"])})
        if shutil.which("groff"):
            for page in (self.share / "man/man1").iterdir():
                done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", page], capture_output=True, text=True)
                self.assertEqual(done.stderr, "", page)
        for name, command in self.interface["commands"].items():
            text = (self.share / f"man/man1/rocket-{name}.1").read_text().replace("\\-", "-")
            for option in {**command["options"], **command["arguments"]}:
                self.assertIn(option, text)

    def completed(self, *words):
        script = self.one("share/bash-completion/completions/rocket")
        text = f'source {script}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _rocket; printf "%s\\n" "${{COMPREPLY[@]}}"'
        return run("bash", "-c", text, "bash", *words, cwd=self.share / "rocket").split()

    def test_bash_completes(self):
        self.assertEqual(set(self.completed("rocket", "")) - {"--help", "--json", "--version"}, set(self.interface["commands"]))
        self.assertEqual(self.completed("rocket", "export", "--as", "merged_m"), ["merged_model"])
        self.assertEqual(self.completed("rocket", "check", "--j"), ["--job"])
        self.assertIn("configs/lab-number.yaml", self.completed("rocket", "run", "configs/lab-n"))
        self.assertIn("comparison", self.completed("rocket", "sweep", "x", "comp"))

    def test_other_shells_read_their_completions(self):
        tried = 0
        for shell, flag, script in (("zsh", "-n", "share/zsh/site-functions/_rocket"),
                                    ("fish", "--no-execute", "share/fish/vendor_completions.d/rocket.fish")):
            text = self.one(script).read_text()
            for name in self.interface["commands"]:
                self.assertIn(name, text)
            if shutil.which(shell):
                run(shell, flag, self.one(script), cwd="/", HOME=str(self.folder))
                tried += 1
        if tried == 0:
            print("neither zsh nor fish is here: their completions were not read", file=sys.stderr)

    def test_the_modulefile_sets_paths_of_the_prefix(self):
        module = self.one("share/modulefiles/rocket/*")
        if not shutil.which("tclsh"):
            self.skipTest("no tclsh")
        script = self.folder / "load.tcl"
        script.write_text(f"""
            foreach name {{prepend-path setenv conflict module-whatis}} {{ proc $name args "puts \\"$name \\$args\\"" }}
            set ModulesCurrentModulefile {module}
            source {module}
            """)
        lines = run("tclsh", script, cwd="/").splitlines()
        self.assertIn(f"prepend-path PATH {self.prefix}/bin", lines)
        self.assertIn(f"prepend-path MANPATH {self.prefix}/share/man", lines)
        self.assertIn(f"setenv ROCKET_CONFIGS {self.share}/rocket/configs", lines)
        self.assertTrue(module.read_text().startswith("#%Module"))

    def test_no_installed_text_names_a_folder_of_this_machine(self):
        for path in self.prefix.rglob("*"):
            if path.is_file() and path.suffix != ".so" and path != self.program:
                text = path.read_text(encoding="utf-8")
                for folder in (str(ROOT), str(self.folder)):
                    self.assertIsNone(re.search(re.escape(folder) + r"\b", text), f"{path} names {folder}")


unittest.main(argv=sys.argv[:1])
