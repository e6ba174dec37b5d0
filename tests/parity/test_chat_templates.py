"""`rocket chat` gives the texts and the ids of transformers' apply_chat_template: public templates (make_chat_templates), each
with all chats of chats.py; and the template that SmolLM2 brings (make_smollm2)."""

import copy
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from chats import CHATS
from conftest import LAB, ROOT

TEMPLATES = sorted(Path(ROOT, ".deps/chat_templates").glob("*.jinja"))
SMOLLM2 = Path(ROOT, os.environ.get("ROCKET_HARNESS_MODEL", ".deps/smollm2"))
DATE = "2024-07-26"
# Templates that refuse most chats, since they need tools or variables of their own.
FEWER = {"llama.cpp-CohereForAI-c4ai-command-r-plus-tool_use": 4, "llama.cpp-fireworks-ai-llama-3-firefunction-v2": 4,
         "llama.cpp-NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use": 8, "llama.cpp-NousResearch-Hermes-3-Llama-3.1-8B-tool_use": 8}


@pytest.fixture(scope="session")
def on_that_day():
    """strftime_now tells the day that --date tells."""
    import datetime

    import transformers.utils.chat_template_utils as utils

    class Day(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromisoformat(DATE)

    utils.datetime = Day


def expected(tokenizer, chat):
    chat = copy.deepcopy(chat)
    try:
        text = tokenizer.apply_chat_template(chat.pop("messages"), tokenize=False, **chat)
    except Exception as problem:  # whatever the template or Jinja says
        return {"error": str(problem)}
    return {"text": text, "ids": tokenizer(text, add_special_tokens=False)["input_ids"]}


def found(rocket, folder):
    lines = "".join(json.dumps(chat) + "\n" for chat in CHATS)
    done = subprocess.run([rocket.path, "chat", str(folder), "--date", DATE], input=lines, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


def compare(rocket, folder):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    equal = 0
    for chat, ours in zip(CHATS, found(rocket, folder), strict=True):
        theirs = expected(tokenizer, chat)
        if "error" in theirs:
            assert "error" in ours, (chat, theirs, ours)
            continue
        assert ours == theirs, chat
        equal += 1
    return equal


def test_there_are_templates():
    if not TEMPLATES:
        pytest.skip("no .deps/chat_templates; tests/parity/make_chat_templates makes it")
    assert len(TEMPLATES) >= 200 and len(CHATS) >= 60


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.stem)
def test_public_template(rocket, on_that_day, tmp_path, template):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(ROOT, LAB, "base", name), tmp_path)
    shutil.copy(template, tmp_path / "chat_template.jinja")
    assert compare(rocket, tmp_path) >= FEWER.get(template.stem, 15)


@pytest.mark.parametrize("form", ["list", "files"])
def test_named_templates(rocket, on_that_day, tmp_path, form):
    """Command A's three: chats with tools take the one for them."""
    named = {name: Path(ROOT, ".deps/chat_templates", f"axolotl-command_a{end}.jinja")
             for name, end in (("default", ""), ("tool_use", "_tool_use"), ("rag", "_rag"))}
    if not all(path.exists() for path in named.values()):
        pytest.skip("no .deps/chat_templates; tests/parity/make_chat_templates makes it")
    shutil.copy(Path(ROOT, LAB, "base", "tokenizer.json"), tmp_path)
    settings = json.loads(Path(ROOT, LAB, "base", "tokenizer_config.json").read_text())
    if form == "list":
        settings["chat_template"] = [{"name": name, "template": path.read_text()} for name, path in named.items()]
    else:
        (tmp_path / "additional_chat_templates").mkdir()
        shutil.copy(named.pop("default"), tmp_path / "chat_template.jinja")
        for name, path in named.items():
            shutil.copy(path, tmp_path / "additional_chat_templates" / f"{name}.jinja")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert compare(rocket, tmp_path) >= 15


def test_a_real_tokenizer(rocket, on_that_day):
    if not (SMOLLM2 / "tokenizer.json").exists():
        pytest.skip(f"no {SMOLLM2}; tests/parity/make_smollm2 makes it")
    assert compare(rocket, SMOLLM2) >= 50
