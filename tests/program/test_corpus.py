"""The corpus as users have it: broken lines, several files and forms, chats, contamination by runs of words."""
import bz2
import glob
import gzip
import io
import json
import lzma
import os
import pathlib
import pickle
import re
import subprocess
import tarfile
import tempfile
import unittest

from small_world import LAB, ROCKET, differences, environment, make_world, rocket

import test_bad_input as bad


def lines_of(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines()]


def stored(file, dataset):
    """A list of whole numbers of an HDF5 file."""
    dump = subprocess.run(["h5dump", "-y", "-w", "0", "-d", dataset, str(file)], capture_output=True, text=True, check=True).stdout
    return [int(n) for n in re.findall(r"-?\d+", dump.partition("DATA {")[2])]


class CorpusTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def world(self, name, write=None, **settings):
        """A world whose corpus `write(folder, records)` replaces; returns its configuration and run directory."""
        config = make_world(self.folder / name, records=120, shots=4, items=4, retrieve=30)
        if write:
            write(self.folder / name, lines_of(self.folder / name / "corpus.jsonl"))
        for key, value in settings.items():
            bad.edit_config(config, key.replace("__", "."), value)
        return config, self.folder / name / "run"

    def embed_and_select(self, config, **options):
        return rocket("embed", config, **options).stderr + rocket("select", config, **options).stderr

    def test_broken_records_are_left_out_listed_and_have_no_index(self):
        broken = ["{", '{"instruction": "no output"}', "caf\udce9", "[]", '{"instruction": true, "output": "x"}']

        def spoil(folder, records):
            lines = [json.dumps(r) for r in records]
            for i, line in enumerate(broken):
                lines.insert(20 * i + 7, line)
            (folder / "corpus.jsonl").write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
        clean, clean_run = self.world("clean")
        spoiled, run = self.world("spoiled", spoil, corpus__on_error="skip")
        self.embed_and_select(clean)
        said = self.embed_and_select(spoiled, ranks=2)
        self.assertIn("120 records, 5 broken ones left out", said)
        self.assertEqual(differences(clean_run, run, ("embed.h5", "select.h5", "selected.jsonl")), [])
        skipped = lines_of(run / "skipped.jsonl")
        self.assertEqual([s["line"] for s in skipped], [20 * i + 8 for i in range(5)])
        self.assertEqual({s["file"] for s in skipped}, {str(self.folder / "spoiled" / "corpus.jsonl")})
        for entry, reason in zip(skipped, ["no valid JSON", "no 'output'", "no valid JSON", "got a list", "got a boolean"]):
            self.assertIn(reason, entry["reason"])
        self.assertIn("5 broken records left out", rocket("inspect", run).stdout)
        self.assertFalse((clean_run / "skipped.jsonl").exists())
        bad.edit_config(spoiled, "corpus.on_error", "stop")
        done = rocket("embed", spoiled, check=False)
        self.assertEqual(done.returncode, bad.CONFIG)
        self.assertIn("corpus.on_error", done.stderr)
        done = rocket("embed", spoiled, "--fresh", check=False)
        self.assertEqual(done.returncode, bad.DATA)
        self.assertIn("corpus.jsonl:8: no valid JSON", done.stderr)
        self.assertFalse((run / "skipped.jsonl").exists())

    def test_every_form_of_a_corpus_gives_the_same_selection(self):
        def forms(folder, records):
            (folder / "corpus.jsonl").unlink()
            (folder / "a.json").write_text(json.dumps(records[:40], indent=1), encoding="utf-8")
            with gzip.open(folder / "b.jsonl.gz", "wt", encoding="utf-8") as file:
                file.writelines(json.dumps(r) + "\n" for r in records[40:80])
            (folder / "c.json").write_text("\n".join(json.dumps(r) for r in records[80:84]), encoding="utf-8")
            for name, pack, some in (("g.jsonl.bz2", bz2.compress, records[84:87]), ("h.json.xz", lzma.compress, records[87:90])):
                (folder / name).write_bytes(pack("\n".join(json.dumps(r) for r in some).encode()))
            (folder / "d.jsonl").write_text(json.dumps(records[90:100]), encoding="utf-8")
            (folder / "e.json").write_text("\n".join(json.dumps(r, indent=2) for r in records[100:110]), encoding="utf-8")
            with open(folder / "f.jsonl", "w", encoding="utf-8") as file:  # as json.dump in a loop leaves it
                for i, record in enumerate(records[110:]):
                    json.dump({**record, "score": float("nan"), "seen": float("-inf")}, file, indent=i % 2 * 4 or None)
        plain, plain_run = self.world("plain")
        mixed, run = self.world("mixed", forms, corpus__records=[str(self.folder / "mixed" / f"[{names}].js*") for names in ("abc", "gh", "def")])
        self.embed_and_select(plain)
        self.embed_and_select(mixed)
        self.assertEqual(differences(plain_run, run, ("embed.h5", "select.h5", "selected.jsonl")), [])

    def test_chats_are_selected_as_instructions(self):
        def question(record):
            return record["instruction"] + ("\n" + record["input"] if record["input"] else "")

        def chats(folder, records):
            with open(folder / "corpus.jsonl", "w", encoding="utf-8") as file:
                for i, r in enumerate(records):
                    turns = [{"role": "user", "content": question(r)}, {"role": "assistant", "content": r["output"]}]
                    if i % 2:
                        turns.insert(0, {"role": "system", "content": "Be short."})
                    file.write(json.dumps({"messages": turns}) + "\n")
        config, run = self.world("chats", chats)
        self.embed_and_select(config)
        records = lines_of(LAB / "corpus.jsonl")[:120]
        for line in lines_of(run / "selected.jsonl"):
            front = "Be short.\n\n" if line["record"] % 2 else ""
            self.assertEqual(line["instruction"], front + question(records[line["record"]]))
            self.assertEqual(line["output"], records[line["record"]]["output"])

    def test_an_empty_corpus_is_an_error_unless_none_is_chosen(self):
        config, run = self.world("empty", lambda folder, records: (folder / "corpus.jsonl").write_text("\n[]\n{\n"),
                                 corpus__on_error="skip")
        for job in ("embed", "check"):
            done = rocket(job, config, check=False)
            self.assertEqual(done.returncode, bad.DATA, done.stderr)
            self.assertIn("no records in 1 files", done.stderr)
            self.assertIn("the first for: ", done.stderr)
        self.assertEqual(len(lines_of(run / "skipped.jsonl")), 2)
        bad.edit_config(config, "selection.policy", "none")
        self.embed_and_select(config)
        self.assertEqual((run / "selected.jsonl").read_text(), "")

    def test_patterns_find_all_folders_and_pipes_are_refused(self):
        def scatter(folder, records):
            for i, name in enumerate(("a.jsonl", "x/b.jsonl", "x/y/c.jsonl")):
                (folder / "deep" / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / "deep" / name).write_text("".join(json.dumps(r) + "\n" for r in records[40 * i:40 * i + 40]))
        config, _ = self.world("deep", scatter)
        deep = self.folder / "deep" / "deep"
        found = sorted(glob.glob(f"{deep}/**/*.jsonl", recursive=True))
        self.assertEqual(len(found), 3)
        self.assertIn("120 records", rocket("check", config, "--set", f"corpus.records=[{deep}/**/*.jsonl]").stdout)
        os.mkfifo(deep / "pipe.jsonl")
        (deep / "x" / "gone.jsonl").symlink_to("nowhere.jsonl")
        for setting, what in ((f"corpus.records=[{deep}/*.jsonl]", "is a pipe"), (f"task.shots={deep}/pipe.jsonl", "is a pipe"),
                              (f"task.evaluation={deep}/pipe.jsonl", "is a pipe"), (f"corpus.records=[{deep}/x/*.jsonl]", "which does not exist"),
                              (f"corpus.records=['{deep}/**.jsonl']", "component of its own"), (f"corpus.records=[{deep}/x/y*]", "folders only")):
            done = rocket("check", config, "--set", setting, check=False)
            self.assertEqual(done.returncode, bad.CONFIG, (setting, done.stderr))
            self.assertIn(what, done.stderr)
        line = f"{ROCKET} dedup <(cat {found[0]}) --encoder {LAB}/encoder"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=environment(), timeout=300)
        self.assertEqual(done.returncode, bad.CONFIG, done.stderr)
        self.assertIn("is a pipe", done.stderr)
        (deep / "empty.jsonl").write_text("\n")
        done = rocket("dedup", deep / "empty.jsonl", "--encoder", LAB / "encoder", check=False)
        self.assertEqual(done.returncode, bad.DATA, done.stderr)
        self.assertIn("no records", done.stderr)

    def test_a_folder_that_datasets_saved_stands_for_its_files(self):
        config, _ = self.world("saved")
        saved = LAB.parent / "data/formats/arrow"
        done = rocket("check", config, "--set", f"corpus.records=[{saved}/splits]", check=False)
        self.assertEqual(done.returncode, bad.CONFIG, done.stderr)
        self.assertIn(f"name one of them: {saved}/splits/train, {saved}/splits/test", done.stderr)
        done = rocket("check", config, "--set", f"corpus.records=[{saved}/plain]", "--set", "selection.retrieve=20", check=False)
        if "not built into this program" not in done.stderr:
            self.assertIn("25 records", done.stdout, done.stderr)

    def test_files_of_other_kinds_are_named(self):
        config, _ = self.world("kinds")
        text = '{"instruction": "a", "output": "b"}\n'
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            entry = tarfile.TarInfo("a.jsonl")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
        for name, content, what in (("a.jsonl", text.encode("utf-16"), "UTF-16"), ("b.jsonl", lzma.compress(text.encode(), lzma.FORMAT_ALONE), "an lzma file: unpack it"),
                                    ("c.jsonl.gz", archive.getvalue(), "a tar archive"), ("d.jsonl", pickle.dumps([text]), "pickle"),
                                    ("e.parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
                                    ("f.jsonl", b'{"instruction": "a", "output": NaN}\n', "f.jsonl:1: output: key 'output': NaN is no value of JSON"),
                                    ("g.json", json.dumps({"instruction": "a", "output": "b"}, indent=1)[:-1].encode(), "a bracket is not closed"),
                                    ("h.csv", b"instruction,output\na,b\n", "looks like CSV")):
            path = self.folder / name
            path.write_bytes(content)
            done = rocket("embed", config, "--set", f"corpus.records=[{path}]", check=False)
            self.assertEqual(done.returncode, bad.DATA, (name, done.stderr))
            self.assertIn(what, done.stderr)

    def test_turns_of_chats_are_chosen_and_the_others_counted(self):
        def chats(folder, records):
            with open(folder / "corpus.jsonl", "w", encoding="utf-8") as file:
                for i in range(0, 120, 2):
                    turns = [{"role": role, "content": text} for r in records[i:i + 2]
                             for role, text in (("user", r["instruction"]), ("assistant", r["output"]))]
                    turns[1].update({"loss": False} if i % 4 else {})
                    file.write(json.dumps({"system_prompt": "Be short.", "conversations": turns}) + "\n")
        found = {}
        for turns in ("first", "last", "all"):
            config, run = self.world(turns, chats, corpus__turns=turns, selection__threshold=1)
            said = self.embed_and_select(config)
            found[turns] = lines_of(run / "selected.jsonl"), said
        self.assertIn("30 assistant turns of chats are no outputs (corpus.turns: first), 30 assistant turns are marked", found["first"][1])
        self.assertIn("30 assistant turns of chats are no outputs (corpus.turns: last)", found["last"][1])
        self.assertNotIn("are no outputs", found["all"][1])
        records = lines_of(LAB / "corpus.jsonl")[:120]
        for line in found["last"][0]:
            earlier, now = records[2 * line["record"]], records[2 * line["record"] + 1]
            self.assertEqual(line["instruction"], f"Be short.\n\nUser: {earlier['instruction']}\n\nAssistant: {earlier['output']}"
                                                  f"\n\nUser: {now['instruction']}")
            self.assertEqual(line["output"], now["output"])
        self.assertLess(max(line["record"] for line in found["last"][0]), 60)
        self.assertGreater(max(line["record"] for line in found["all"][0]), 60)

    def test_shots_and_items_may_be_chats_of_several_turns(self):
        """Against a world that holds by hand what the turns become."""
        def chat(earlier, now, **more):
            turns = [("user", earlier["instruction"]), ("assistant", earlier["output"]), ("user", now["instruction"] + "\n" + now["input"])]
            return {"messages": [{"role": role, "content": text} for role, text in turns], "answer": now["answer"], **more}

        def plain(earlier, now, **more):
            return {"instruction": f"User: {earlier['instruction']}\n\nAssistant: {earlier['output']}\n\n"
                                   f"User: {now['instruction']}\n{now['input']}", "answer": now["answer"], **more}
        runs = {}
        for name, form in (("chats", chat), ("by-hand", plain)):
            config, runs[name] = make_world(self.folder / name, adapters=("home",), records=30, shots=3, items=3), self.folder / name / "run"
            earlier = lines_of(self.folder / name / "corpus.jsonl")
            for file in ("shots.jsonl", "items.jsonl"):
                path = self.folder / name / file
                now = [form(e, record, rationale=record["rationale"]) for e, record in zip(earlier, lines_of(path))]
                path.write_text("".join(json.dumps(line) + "\n" for line in now), encoding="utf-8")
            for job in ("score", "embed"):
                said = rocket(job, config, "--set", "task.turns=last").stderr
                if (name, job) == ("chats", "score"):
                    self.assertIn("shots.jsonl: 3 assistant turns of chats are no outputs (task.turns: last)", said)
        self.assertEqual(differences(runs["by-hand"], runs["chats"], ("score.h5", "embed.h5")), [])

    def test_mapped_fields_that_no_record_has_are_named(self):
        config, run = self.world("mapped")
        fields = "{input: contxt, system: setup, answer: gold}"
        said = "corpus.fields: input is mapped to 'contxt', which none of 120 records has; they have: 'instruction', 'input', 'output'"
        for done in (rocket("check", config, "--set", f"corpus.fields={fields}"), rocket("embed", config, "--set", f"corpus.fields={fields}")):
            self.assertEqual((done.stdout + done.stderr).count(said), 1, done.stdout + done.stderr)
            self.assertIn("system is mapped to 'setup'", done.stdout + done.stderr)
            self.assertNotIn("gold", done.stdout + done.stderr)  # nobody reads answers of a corpus
        fields = "{input: contxt, rationale: why}"
        for job, names in (("score", ("shots",)), ("check", ("shots", "items")), ("rationalize", ("shots",))):
            done = rocket(job, config, "--set", f"task.fields={fields}", "--set", f"run={run}-{job}")
            text = done.stdout + done.stderr
            for name in names:
                self.assertIn(f"{name}.jsonl: task.fields: input is mapped to 'contxt', which none of 4 records has; they have: 'instruction'", text)
            self.assertEqual("rationale is mapped to 'why'" in text, job != "rationalize", text)
            self.assertNotIn("items.jsonl: task.fields: rationale", text)  # evaluate does not read it

    def test_files_that_are_named_twice_and_folders_that_are_passed_over_are_said(self):
        config, run = self.world("twice")
        folder = self.folder / "twice"
        (folder / "data/more").mkdir(parents=True)
        for name in ("a.jsonl", "more/b.jsonl"):
            (folder / "data" / name).write_text((folder / "corpus.jsonl").read_text())
        records = f"corpus.records=[{folder}/data/*.jsonl, {folder}/data/*]"
        for job in ("check", "embed"):
            done = rocket(job, config, "--set", records)
            self.assertIn(f"corpus.records: named more than once, read once: {folder}/data/a.jsonl", done.stdout + done.stderr)
            self.assertIn(f"{folder}/data/* also matches 1 folder, whose files are not read: {folder}/data/more", done.stdout + done.stderr)
        self.assertIn("120 records", rocket("check", config, "--set", records).stdout)
        kept = self.folder / "kept.jsonl"
        done = rocket("dedup", folder / "data/a.jsonl", f"{folder}/data/*", "--encoder", LAB / "encoder", "--output", kept)
        self.assertIn("dedup: 120 records", done.stderr)
        self.assertIn("read once", done.stderr)
        self.assertIn("also matches 1 folder", done.stderr)

    def test_reasoning_and_tools_that_are_not_read_are_counted(self):
        def chats(folder, records):
            with open(folder / "corpus.jsonl", "w", encoding="utf-8") as file:
                for i, r in enumerate(records):
                    answer = {"role": "assistant", "content": r["output"], **({"reasoning_content": "Let me see."} if i % 3 == 0 else {})}
                    file.write(json.dumps({"messages": [{"role": "user", "content": r["instruction"]}, answer],
                                           **({"tools": [{"type": "function"}]} if i % 4 == 0 else {})}) + "\n")
        config, run = self.world("reasoning", chats)
        said = f"{self.folder}/reasoning/corpus.jsonl: not read: 'reasoning_content' of 40 turns, 'tools' of 30 records"
        for done in (rocket("check", config), rocket("embed", config),
                     rocket("train-adapter", config, "--set", f"adapter.records=[{self.folder}/reasoning/corpus.jsonl]", "--set", "training.epochs=1"),
                     rocket("dedup", self.folder / "reasoning/corpus.jsonl", "--encoder", LAB / "encoder", "--output", self.folder / "kept")):
            self.assertIn(said, done.stdout + done.stderr)

    def test_the_similarity_curve_counts_no_record_that_was_removed(self):
        def chart(name, write):
            config, run = self.world(name, write, selection__retrieve=20)
            rocket("run", config)
            found = re.search(r"<svg(?:(?!</svg>).)*Similarity of the corpus to the shots.*?</svg>", (run / "report.html").read_text(), re.S)
            return run, found.group()

        def contaminate(folder, records):
            with open(folder / "corpus.jsonl", "a", encoding="utf-8") as file:
                file.writelines(json.dumps({**item, "output": "x"}) + "\n" for item in lines_of(folder / "shots.jsonl"))
        _, clean = chart("clean", None)
        run, spoiled = chart("spoiled", contaminate)
        self.assertEqual(len(set(stored(run / "select.h5", "decontaminated")) & set(range(120, 124))), 4)
        self.assertEqual(spoiled, clean)

    def test_records_that_share_words_with_the_task_go_first(self):
        def contaminate(folder, records):
            item = lines_of(folder / "items.jsonl")[1]
            words = (item["instruction"] + " " + item["input"]).split()
            assert len(words) > 8, words
            records[30]["output"] += " " + " ".join(words[:8]).upper() + "!"
            records[32] = {**item, "output": "x"}
            (folder / "corpus.jsonl").write_text("".join(json.dumps({k: r[k] for k in ("instruction", "input", "output")}) + "\n"
                                                         for r in records), encoding="utf-8")
        removed = {}
        for mode in ("exact", "ngram"):
            config, run = self.world(mode, contaminate, selection__decontaminate=mode, selection__ngram=8)
            said = self.embed_and_select(config)
            removed[mode] = stored(run / "select.h5", "decontaminated"), stored(run / "select.h5", "decontaminated_ngram"), said
        self.assertIn(32, removed["exact"][0])
        self.assertNotIn(30, removed["exact"][0])
        self.assertEqual(removed["exact"][1], [])
        self.assertTrue({30, 32} <= set(removed["ngram"][0]))
        self.assertIn(30, removed["ngram"][1])
        self.assertNotIn(32, removed["ngram"][1])
        self.assertIn(f"{len(removed['ngram'][1])} as sharing 8 words in a row", removed["ngram"][2])


if __name__ == "__main__":
    unittest.main()
