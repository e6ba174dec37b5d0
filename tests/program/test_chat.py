"""prompt.template: chat, from the base's own template to scores and adapters; and rocket chat."""
import json
import pathlib
import shutil
import tempfile
import unittest

from small_world import LAB, differences, make_world, rocket

# The form of prompt.template: chatml, which ends an answer with EOS alone.
CHATML = ("{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\n' ~ m.content }}"
          "{{ eos_token if m.role == 'assistant' else '<|im_end|>\n' }}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


class Chat(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.config = make_world(self.folder, shots=6, items=6, records=200, retrieve=20)
        shutil.copytree(LAB / "base", self.folder / "base")
        self.write(CHATML)

    def write(self, template):
        (self.folder / "base/chat_template.jinja").write_text(template, encoding="utf-8")

    def job(self, name, run, *more, check=True, template="chat"):
        return rocket(name, self.config, "--set", f"base.path={self.folder}/base", "--set", f"run={self.folder}/{run}", "--set",
                      f"prompt.template={template}", *more, check=check)

    def test_the_same_text_gives_the_same_bits(self):
        self.job("run", "chat")
        self.job("run", "named", template="chatml")
        self.assertEqual(differences(self.folder / "chat", self.folder / "named"), [])

    def test_kept_chats_are_trained_on_as_turns(self):
        """As shots, which are not stored in between, the same chats in the same order give the same training."""
        lines = lambda name: [json.loads(line) for line in (self.folder / name).read_text().splitlines()]
        shots = lines("shots.jsonl")
        turns = [[{"role": role, "content": text} for shot in (a, b) for role, text in (("user", shot["instruction"]), ("assistant", shot["output"]))]
                 for a, b in zip(shots[1:], shots[2:] + shots[1:2])]
        chats = [{"messages": ([{"role": "system", "content": "Be right."}] if i % 2 else []) + some, "answer": "A"} for i, some in enumerate(turns)]
        write = lambda name, records: (self.folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))
        write("corpus.jsonl", chats)
        write("shot.jsonl", shots[:1])
        settings = ["--set", "experts.names=[home]", "--set", "mixture.top_k=1", "--set", "corpus.turns=last", "--set", "task.turns=last"]
        self.job("run", "kept", *settings, "--set", "selection.policy=similarity_only", "--set", f"task.shots={self.folder}/shot.jsonl",
                 "--set", "task.k=1")
        kept = lines("kept/selected.jsonl")
        self.assertEqual([[role for role, _ in record["before"]] for record in kept], [["user", "assistant"]] * 5)
        write("all.jsonl", [chats[record["record"]] for record in kept] + shots[:1])
        self.job("run", "asked", *settings, "--set", "selection.policy=none", "--set", f"task.shots={self.folder}/all.jsonl", "--set", "task.k=6")
        self.assertEqual(differences(self.folder / "kept", self.folder / "asked", files=("training.h5",)), [])

    def test_an_adapter_remembers_its_template(self):
        train = ("--set", f"adapter.records=[{LAB}/tasks/number/shots.jsonl]", "--set", "training.epochs=1", "--set", "adapter.rank=2")
        self.job("train-adapter", "ours", *train, "--set", "adapter.name=ours")
        self.job("train-adapter", "named", *train, "--set", "adapter.name=named", template="chatml")
        read = lambda run: (self.folder / run / "adapter" / run / "adapter_model.safetensors").read_bytes()
        self.assertEqual(read("ours"), read("named"))
        told = json.loads((self.folder / "ours/adapter/ours/rocket.json").read_text())["prompt"]
        self.assertEqual(told, {"template": "chat", "text": CHATML, "system": ""})
        bank = ("--set", f"bank.adapters=[{self.folder}/ours/adapter/ours, {self.folder}/named/adapter/named]", "--job", "score")
        said = self.job("check", "x", *bank).stdout
        self.assertIn("which is chat: named (chatml).", said)
        self.assertIn("chat_template.jinja; an answer ends with '</s>', and generation stops there", said)
        self.write(CHATML + "{# another #}")
        self.assertIn("which is chat: named (chatml), ours (chat).", self.job("check", "x", *bank).stdout)

    def test_of_named_templates_those_that_are_not_used_are_said(self):
        more = self.folder / "base/additional_chat_templates"
        more.mkdir()
        for name in ("tool_use", "rag"):
            (more / f"{name}.jinja").write_text(f"{name}: {{{{ messages[-1].content }}}}")
        self.assertIn("generation stops there; not used: rag, tool_use", self.job("check", "x", "--job", "score").stdout)
        chats = [{"messages": [{"role": "user", "content": "Hi"}], "tools": tools} for tools in (None, [])]
        made = rocket("chat", self.folder / "base", input="".join(json.dumps(chat) + "\n" for chat in chats)).stdout.splitlines()
        self.assertEqual([json.loads(line)["text"] for line in made], ["<s><|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "tool_use: Hi"])

    def test_what_cannot_be_used_is_said(self):
        said = lambda *more: self.job("check", "x", "--job", "score", *more, check=False)
        self.write("{% for m in messages %}{{ m.content | wordwrap }}{% endfor %}")
        done = said()
        self.assertEqual(done.returncode, 65)
        self.assertIn("chat_template.jinja:1:39: the filter 'wordwrap' is not known here", done.stderr)
        self.write(CHATML.replace("<|im_start|>assistant\n", "<|im_start|>assistant\n<think>\n"))
        done = said()
        self.assertEqual(done.returncode, 65)
        self.assertRegex(done.stderr, r"shots\.jsonl:1: .*chat_template\.jinja: with an answer the text does not begin with the prompt")
        self.write("{{ strftime_now('%Y') }}" + CHATML)
        self.assertIn("the template writes the date", said().stderr)
        self.assertEqual(said("--set", "prompt.date=2024-07-26").returncode, 0)
        done = said("--set", "prompt.date=26 July")
        self.assertEqual((done.returncode, "prompt.date: expected a day" in done.stderr), (78, True))
        done = self.job("check", "x", "--job", "score", "--set", "prompt.system=Be brief.", check=False, template="alpaca")
        self.assertEqual((done.returncode, "prompt.system: only prompt.template: chat reads it" in done.stderr), (78, True))
        (self.folder / "base/chat_template.jinja").unlink()
        done = said()
        self.assertEqual(done.returncode, 65)
        self.assertIn("no chat template", done.stderr)

    def test_rocket_chat(self):
        turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
        lines = [turns[:1], {"messages": turns, "add_generation_prompt": False}, [{"role": "user"}]]
        self.write(CHATML + "{{ '' if messages[0].content is defined else raise_exception('empty') }}")
        done = rocket("chat", self.folder / "base", input="".join(json.dumps(line) + "\n" for line in lines))
        made = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(made[0]["text"], "<s><|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
        self.assertEqual(made[1]["text"], "<s><|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes</s>")
        self.assertEqual(made[0]["ids"][0], 1)
        self.assertNotEqual(made[0]["ids"][1], 1, "the tokenizer adds no <s> of its own")
        self.assertIn("the template refuses this chat: empty", made[2]["error"])
        bad = rocket("chat", self.folder / "base", input="[1\n", check=False)
        self.assertEqual((bad.returncode, "stdin:1: expected a JSON list of messages" in bad.stderr), (65, True))


if __name__ == "__main__":
    unittest.main()
