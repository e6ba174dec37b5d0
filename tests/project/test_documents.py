#!/usr/bin/env python3
"""docs/interface.md and docs/method.md say what the program does: held against its command line, the files and tables of
finished runs, the settings and the sources. Whatever is added to the program is red here until the pages have it.

test_documents.py INTERFACE_JSON, with ROCKET in the environment (tests/program/small_world.py)
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "program"))
from small_world import LAB, make_world, rocket  # noqa: E402

PAGES = {name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("interface.md", "method.md")}
INTERFACE = json.loads(pathlib.Path(sys.argv[1]).read_text())


def tables(page):
    """{head of the first column: [cells of each row]} of all tables of a page; tables of one head are joined."""
    found, head = {}, None
    for line in PAGES[page].splitlines():
        if not line.startswith("|"):
            head = None
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if head is None:
            head = cells[0]
            found.setdefault(head, [])
        elif not re.fullmatch(r"-+", cells[0]):
            found[head].append(cells)
    return found


def words(cell):
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def rows(head, column=None, page="interface.md"):
    """{each word of the first column: the words of that column, or all cells}."""
    return {name: cells if column is None else words(cells[column])
            for cells in tables(page)[head] for name in words(cells[0])}


PLAIN = [ROOT / "README.md", ROOT / "docs/glossary.md", *sorted((ROOT / "docs/guides").glob("*.md"))]
# Words with several meanings, or with one that only we know; and what to say.
UNUSED = {r"places?": "position, row, file and line", r"stands?|stood|standing": "is, is written", r"walk\w*": "read, search",
          r"fell": "was assigned", r"houses?|rooms?": "group, memory, folder", r"whom": "name the record or rank",
          r"at will": "again", r"likewise": "in the same way", r"anew": "again", r"beside": "next to, in the same folder",
          r"as it came": "unchanged", r"mend\w*": "correct", r"told": "reported", r"lies": "is"}


def defaults():
    """Sections and settings ("task", "task.k") of configs/defaults.yaml, in its order."""
    found, section = [], ""
    for line in (ROOT / "configs/defaults.yaml").read_text().splitlines():
        if match := re.match(r"(\w+):( |$)", line):
            section = match[1]
            found.append(section)
        elif match := re.match(r"  (\w+):", line):
            found.append(f"{section}.{match[1]}")
    return found


class Pages(unittest.TestCase):
    maxDiff = None

    def same(self, of, documented, existing):
        """Both are sets."""
        self.assertEqual(sorted(existing - documented), [], f"not documented: add to {of}")
        self.assertEqual(sorted(documented - existing), [], f"documented, but not in the program: {of}")


class Commands(Pages):
    def test_every_command_has_its_arguments_and_options(self):
        documented = {cells[0].strip("`"): cells for cells in tables("interface.md")["command"] if len(cells) == 4}
        self.same("docs/interface.md section 1, table of commands", set(documented), set(INTERFACE["commands"]))
        for name, command in INTERFACE["commands"].items():
            where = f"docs/interface.md section 1, row of `{name}`"
            self.same(where, set(words(documented[name][1])), set(command["arguments"]))
            self.same(where, set(words(documented[name][2])), set(command["options"]) - {"--help"})

    def test_options_before_a_command(self):
        section = PAGES["interface.md"].split("## 1. Commands")[1].split("| command |")[0]
        self.same("docs/interface.md section 1, text before the table", {w for w in words(section) if re.fullmatch("--\\w+", w)},
                  set(INTERFACE["options"]))

    def test_every_option_of_few_values_has_them(self):
        existing = {f"{name} {option}": set(about["choices"]) for name, command in INTERFACE["commands"].items()
                    for option, about in {**command["options"], **command["arguments"]}.items() if about["choices"]}
        documented = {option: set(values) for option, values in rows("option", 1).items()}
        self.same("docs/interface.md section 1, table of values", set(documented), set(existing))
        for option, values in existing.items():
            self.same(f"docs/interface.md section 1, values of {option}", documented[option], values)

    def test_actions_and_forms_have_a_row(self):
        commands = INTERFACE["commands"]
        self.same("docs/interface.md section 6", set(rows("action")), set(commands["sweep"]["arguments"]["ACTION"]["choices"]))
        self.same("docs/interface.md section 7", set(rows("form")), set(commands["export"]["options"]["--as"]["choices"]))

    def test_the_help_of_the_program_knows_them(self):
        for name, command in INTERFACE["commands"].items():
            text = rocket(name, "--help").stdout
            self.assertEqual([option for option in command["options"] if option not in text], [], name)

    def test_exit_codes(self):
        source = (ROOT / "src/base/error.h").read_text()
        existing = dict(re.findall(r"^  (\w+) = (\d+),", source.split("enum class ExitCode")[1].split("};")[0], re.M))
        documented = {words(cells[1])[0]: cells[0] for cells in tables("interface.md")["code"]}
        self.assertEqual(documented, existing, "docs/interface.md section 9")
        for code in existing.values():
            self.assertRegex(rocket("--help").stdout, rf"\b{code}\b")


class Settings(Pages):
    def test_every_section_has_a_row(self):
        self.same("docs/interface.md section 2", set(rows("section")), {key for key in defaults() if "." not in key})

    def test_settings_that_the_pages_name_exist(self):
        known = set(defaults())
        sections = {key for key in known if "." not in key}
        for page, text in PAGES.items():
            for name in words(text):
                key = re.match(r"(\w+)\.(\w+)(?=$|:| )", name)
                if key and key[1] in sections and not re.search(r"\.(h5|json|jsonl|yaml|html)\b", name):
                    self.assertIn(f"{key[1]}.{key[2]}", known, f"docs/{page}")

    def test_every_setting_is_explained_somewhere(self):
        text = "".join(PAGES.values()) + (ROOT / "configs/README.md").read_text()
        missing = [key for key in defaults() if "." in key and key not in text]
        self.assertEqual(missing, [], "explain them in docs/method.md, docs/interface.md or configs/README.md")

    def test_enumerations_of_the_method_are_the_settings(self):
        text = (ROOT / "configs/defaults.yaml").read_text()

        def values(key):
            name = key.split(".")[1]
            line = re.search(rf"^{key.split('.')[0]}:\n(?:  .*\n)*?  {name}: .*?# ([\w |]+)", text, re.M)
            return set(line[1].replace(" ", "").split("|"))
        for head, key in (("policy", "selection.policy"), ("value", "scoring.similarity"), ("kind", "task.answer"),
                          ("rival", "evaluation.rivals")):
            self.same(f"docs/method.md, table with the head '{head}'", set(rows(head, page="method.md")), values(key))


class Runs(Pages):
    """A finished chain of each kind of task, and a trained adapter."""

    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(cls.holder.name)
        config = make_world(folder / "generated", shots=4, records=300, items=6, retrieve=30, training={"epochs": 1})
        settings = json.loads(config.read_text())
        settings["evaluation"] = {"rivals": ["base", "task_lora", "lorahub"], "tune": [1.0e-4, 1.0e-3]}
        config.write_text(json.dumps(settings))
        rocket("run", config)
        cls.run_directory = folder / "generated" / "run"
        adapter = {"adapter.records": f"[{folder}/generated/shots.jsonl]", "training.epochs": 1}
        rocket("train-adapter", config, *[word for key, value in adapter.items() for word in ("--set", f"{key}={value}")])
        rocket("rationalize", config)
        cls.choices = cls.run_choices(folder)

    @classmethod
    def run_choices(cls, folder):
        """The lab's questions with their options as a list."""
        config = make_world(folder / "choices", shots=4, records=300, items=6, retrieve=30, training={"epochs": 1})
        for name in ("shots.jsonl", "items.jsonl"):
            path = folder / "choices" / name
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            for line in lines:
                line.update(options=["red", "blue", "green"], right=1)
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        settings = json.loads(config.read_text())
        settings["task"].update(answer="multiple_choice", choices="options", gold="right", prompt="{instruction}\nAnswer:")
        config.write_text(json.dumps(settings))
        rocket("run", config)
        return folder / "choices" / "run"

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()

    def shown(self, run, table):
        return json.loads(rocket("inspect", run, table, "--format", "json").stdout)

    def test_every_file_of_a_run(self):
        there = {path.name for run in (self.run_directory, self.choices) for path in run.iterdir()}
        self.same("docs/interface.md section 3, table of files", set(rows("file", 1)) - self.files_of_json(),
                  there | {"skipped.jsonl", ".claims", "rates"})  # these come and go

    def files_of_json(self):
        return {"expert/mixture.json"}

    def test_every_file_is_written_by_a_job_that_is_there(self):
        for cells in tables("interface.md")["file"]:
            if len(cells) == 3:
                for job in words(cells[1])[:1]:
                    self.assertIn(job, INTERFACE["commands"])

    def test_records_of_jobs(self):
        manifest = json.loads((self.run_directory / "manifest.json").read_text())
        documented = {name for name, cells in rows("key").items() if name not in self.build_keys()}
        for record in manifest["jobs"].values():
            self.same("docs/interface.md section 3, records of jobs", documented, set(record))
            self.same("docs/interface.md section 11", self.build_keys(), set(record["build"]))

    def build_keys(self):
        section = PAGES["interface.md"].split("## 11. Versions")[1]
        return set(re.findall(r"^\| `(\w+)` \|", section, re.M))

    def test_version_prints_the_object_of_the_records(self):
        printed = json.loads(rocket("--version", "--json").stdout)
        manifest = json.loads((self.run_directory / "manifest.json").read_text())
        self.assertEqual(manifest["jobs"]["score"]["build"], printed)
        self.assertEqual(manifest["rocket"], printed["version"])

    def test_keys_of_json_results(self):
        documented = {name: set(words(cells[1])) for name, cells in rows("file").items() if len(cells) == 2}
        for name, keys in documented.items():
            first = (self.run_directory / name).read_text()
            found = json.loads(first.splitlines()[0] if name.endswith(".jsonl") else first)
            self.same(f"docs/interface.md section 3, keys of {name}", keys, set(found))

    def test_events(self):
        documented = {name: set(words(cells[1])) for name, cells in rows("event").items()}
        seen = {}
        for path in (self.run_directory / "events").iterdir():
            for line in path.read_text().splitlines():
                event = json.loads(line)
                seen.setdefault(event["what"], set()).update(set(event) - {"time", "job", "what"})
        self.same("docs/interface.md section 3, events", set(documented), set(seen))
        for name, keys in seen.items():
            self.same(f"docs/interface.md section 3, event {name}", documented[name], keys)

    def test_tables(self):
        refused = rocket("inspect", self.run_directory, "none", check=False).stderr
        known = set(re.search(r"There are: (.*)", refused)[1].split(", "))
        documented = {name: words(cells[1]) for name, cells in rows("table").items()}
        self.same("docs/interface.md section 5", set(documented), known)
        for name in known:
            self.assert_columns(name, documented[name], self.run_directory)
        with_choices = rows("table with choices", 1)
        for name, columns in with_choices.items():
            self.assert_columns(name, columns, self.choices)
        for name in known - set(with_choices) - {"adapter_training", "rates"}:
            self.assert_columns(name, documented[name], self.choices)

    def assert_columns(self, name, columns, run):
        shown = self.shown(run, name)
        self.assertEqual(list(shown[0] if isinstance(shown, list) else shown), columns, f"docs/interface.md section 5, {name}")

    # name, type, shape of each data set
    TYPES = {"H5T_STRING": "string", "H5T_STD_U8LE": "uint8", "H5T_STD_I32LE": "int32", "H5T_STD_I64LE": "int64",
             "H5T_IEEE_F32LE": "float32", "H5T_IEEE_F64LE": "float64"}

    def data_sets(self, path):
        text = subprocess.run(["h5dump", "-H", path], capture_output=True, text=True, check=True).stdout
        found = {}
        for name, kind, space in re.findall(r'DATASET "([^"]+)" \{\s*DATATYPE\s+(\w+)[^\n]*(?:\n(?!\s*DATASPACE)[^\n]*)*\s*DATASPACE\s+SIMPLE \{ \(([^)]*)\)',
                                            text):
            found[name] = self.TYPES[kind], [int(size) for size in space.split(",")]
        return found

    def test_data_sets(self):
        if not shutil.which("h5dump"):
            self.skipTest("no h5dump")
        documented = {cells[0].strip("`"): cells for cells in tables("interface.md")["data set"]}
        seen, problems = set(), []
        for run in (self.run_directory, self.choices):
            sizes = {}
            for path in [*run.glob("rivals/lorahub/*.h5"), *sorted(run.glob("*.h5"), reverse=True)]:
                file = path.name.removeprefix("adapter_")
                if file != path.name:
                    sizes = {}  # another number of updates and experts
                for name, (kind, shape) in self.data_sets(path).items():
                    seen.add(f"{file}/{name}")
                    problems += self.problems(f"{file}/{name}", kind, shape, documented, sizes)
        self.assertEqual(problems, [], "docs/interface.md section 4")
        self.same("docs/interface.md section 4", set(documented), seen)

    def problems(self, name, kind, shape, documented, sizes):
        """`sizes` remembers what each letter of a shape stands for in a run."""
        if name not in documented:
            return []
        if documented[name][2] != kind:
            return [f"{name} is {kind}"]
        letters = documented[name][1].strip("[]").split(", ")
        if len(letters) != len(shape):
            return [f"{name} has the shape {shape}"]
        bases = [(letter.removesuffix(" + 1"), size - letter.endswith(" + 1")) for letter, size in zip(letters, shape)]
        return [f"{name}: {letter} is {size}, elsewhere {sizes[letter]}" for letter, size in bases
                if sizes.setdefault(letter, size) != size]


class Sources(Pages):
    """Comments cite sections that are there."""

    def test_citations(self):
        heads = {page: set(re.findall(r"^## (\d+)\. ", text, re.M)) for page, text in PAGES.items()}
        cited = 0
        for folder in ("src", "jobs", "tests", "tools", "slurm"):
            for path in (ROOT / folder).rglob("*"):
                if path.suffix not in {".h", ".cpp", ".cu", ".py", ".cmake", ".txt", ".sbatch", ".conf"}:
                    continue
                text = re.sub(r"\n\s*(//+|#)", "", path.read_text(encoding="utf-8", errors="replace"))
                self.assertNotRegex(text, r"\b(INTERFACE|METHOD) sections? \d", str(path))
                for page, number in re.findall(r"docs/(\w+\.md) +sections? (\d+)", text):
                    self.assertIn(number, heads[page], f"{path}: docs/{page} section {number}")
                    cited += 1
        self.assertGreater(cited, 10)

    def test_the_contents_list_is_that_of_the_headings(self):
        for page, text in PAGES.items():
            listed = re.findall(r"^\d+\. \[([^\]]+)\]\(#(\d+)-", text, re.M)
            self.assertEqual([(title, number) for number, title in re.findall(r"^## (\d+)\. (.*)$", text, re.M)], listed, page)


class Guides(unittest.TestCase):
    """README.md, the guides and the glossary: for readers who do not know the program yet."""

    def test_the_readme_is_short(self):
        self.assertLessEqual(len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()), 110)

    def test_words(self):
        for path in PLAIN:
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                text = re.sub(r"`[^`]*`|\]\([^)]*\)", "", line)
                for word, instead in UNUSED.items():
                    self.assertIsNone(re.search(rf"\b({word})\b", text, re.I), f"{path}:{number}: '{word}'; say: {instead}\n{line}")

    def test_every_guide_is_listed(self):
        listed = set(re.findall(r"\(docs/guides/([\w-]+\.md)\)", (ROOT / "README.md").read_text(encoding="utf-8")))
        self.assertEqual(listed, {path.name for path in (ROOT / "docs/guides").glob("*.md")})

    def test_links_lead_to_files_and_headings(self):
        for path in [*PLAIN, *(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md", ROOT / "configs/README.md",
                     ROOT / "slurm/README.md"]:
            for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
                if re.match(r"https?:|mailto:", target):
                    continue
                file, _, heading = target.partition("#")
                other = path.parent / file if file else path
                self.assertTrue(other.exists(), f"{path}: {target}")
                if heading:
                    self.assertIn(heading, self.headings(other), f"{path}: {target}")

    def headings(self, path):
        """The anchors of a page, as GitHub makes them."""
        found = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S), re.M)
        return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in found}

    def test_settings_exist(self):
        known = set(defaults())
        sections = {key for key in known if "." not in key}
        for path in PLAIN:
            for name in words(path.read_text(encoding="utf-8")):
                key = re.match(r"(\w+)\.(\w+)(?=$|:| )", name)
                if key and key[1] in sections and key[2] not in {"h5", "json", "jsonl", "yaml", "html", "py"}:
                    self.assertIn(f"{key[1]}.{key[2]}", known, str(path))

    def test_commands_and_options_exist(self):
        options = {*INTERFACE["options"], *(o for c in INTERFACE["commands"].values() for o in c["options"])}
        foreign = {"--bind-to", "--oversubscribe", "--dry-run", "--sweep", "--build-only", "--parquet", "--pty"}
        for path in PLAIN:
            for name in words(path.read_text(encoding="utf-8")):
                if command := re.match(r"rocket ([a-z][\w-]*)", name):
                    self.assertIn(command[1], INTERFACE["commands"], f"{path}: {name}")
                for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", name):
                    self.assertIn(option, options | foreign, f"{path}: {name}")

    def test_the_picture_is_that_of_the_table(self):
        with tempfile.NamedTemporaryFile(suffix=".svg") as drawn:
            subprocess.run([sys.executable, ROOT / "tools/lab/quickstart_picture.py", drawn.name], check=True)
            self.assertEqual(pathlib.Path(drawn.name).read_text(), (ROOT / "docs/quickstart.svg").read_text(),
                             "run tools/lab/quickstart_picture.py")
        picture = re.search(r"!\[([^\]]*)\]", (ROOT / "README.md").read_text(encoding="utf-8"))[1]
        shown = re.findall(r">(0\.\d\d)</text>", (ROOT / "docs/quickstart.svg").read_text())
        self.assertEqual(re.findall(r"0\.\d\d", picture), shown, "README.md, words for the picture")


unittest.main(argv=sys.argv[:1] + sys.argv[2:])
