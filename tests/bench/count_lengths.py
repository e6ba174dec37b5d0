"""count_lengths.py TOKENIZER NAME=FILE[:INSTRUCTION,INPUT,OUTPUT]... -> record_lengths.json beside this file.

What a training step costs depends on how unlike the lengths of its records are, so that the random Llama trains on lengths of
real ones: tokens of prompt (as rocket's templates write it) and of target, of a seeded sample, cut at 1,024 as in the paper.
The file that is there: Llama's tokenizer, dolly=dolly_3k.json gsm8k=train.jsonl:question,none,answer"""

import json
import random
import sys
from pathlib import Path

from transformers import AutoTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "parity"))
import oracle

SAMPLE, CUT = 240, 1024


def read_records(path):
    text = Path(path).read_text(encoding="utf-8")
    return json.loads(text) if text.lstrip().startswith("[") else oracle.read_lines(path)


def lengths(tokenizer, path, fields):
    records = random.Random(0).sample(read_records(path), SAMPLE)
    ours = [dict(zip(("instruction", "input", "output"), (record.get(field, "") for field in fields))) for record in records]
    cut = [(ids[:CUT], first) for ids, first in oracle.examples(tokenizer, ours)]
    return [[first, len(ids) - first] for ids, first in cut if len(ids) > first]     # else nothing is left to learn


def main(tokenizer, *sets):
    tokenizer, result = AutoTokenizer.from_pretrained(tokenizer), {}
    for name, source in (one.split("=") for one in sets):
        path, _, fields = source.partition(":")
        result[name] = lengths(tokenizer, path, (fields or "instruction,input,output").split(","))
    lines = [f" {json.dumps(name)}: {json.dumps(pairs)}" for name, pairs in result.items()]
    Path(__file__).with_name("record_lengths.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
