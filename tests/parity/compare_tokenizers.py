"""Compares `rocket tokenize` with the `tokenizers` library, and with transformers where a folder holds older files only.

    python tests/parity/compare_tokenizers.py ROCKET TEXTS MODEL...

TEXTS: a folder; all strings in its .json and .jsonl files are compared, and 60,000 made ones (tokenizer_strings.py). Each
MODEL is a folder with a tokenizer. Ids with and without specials, and the text that the ids decode to, must be the same.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tokenizers import Tokenizer

from tokenizer_strings import Maker, texts_of


def library(folder):
    file = Path(folder) / "tokenizer.json"
    if not file.exists():
        from transformers import AutoTokenizer
        return AutoTokenizer.from_pretrained(folder)._tokenizer
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def as_lines(values):
    """As rocket writes them, too, where they are lists of ids."""
    return [json.dumps(value, separators=(",", ":")) for value in values]


class Rocket:
    """`rocket tokenize` at work beside this process."""

    def __init__(self, rocket, folder, lines, *flags):
        self.stdin, self.stdout = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
        self.stdin.writelines(line + "\n" for line in lines)
        self.stdin.seek(0)
        self.process = subprocess.Popen([rocket, "tokenize", folder, *flags], stdin=self.stdin, stdout=self.stdout)

    def lines(self):
        assert self.process.wait() == 0, self.process.args
        with self.stdin, self.stdout:
            self.stdout.seek(0)
            return self.stdout.read().split("\n")[:-1]


def encoded(tokenizer, texts):
    """The ids of all texts, each with specials and without. The specials are the last step of the library, which is not
    made to encode the texts twice for them; that it would give the same is looked at on some texts."""
    plain = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    whole = [tokenizer.post_process(encoding).ids for encoding in plain]
    assert whole[:2000] == [encoding.ids for encoding in tokenizer.encode_batch_fast(texts[:2000])]
    return whole, [encoding.ids for encoding in plain]


def differences(rocket, folder, texts, lines=None):
    """[(what, text, expected, found), ...]; `lines`: the texts as JSON, if they are known."""
    lines = lines or as_lines(texts)
    ids, plain = Rocket(rocket, folder, lines), Rocket(rocket, folder, lines, "--plain")
    tokenizer = library(folder)
    expected, without = encoded(tokenizer, texts)
    expected_lines = as_lines(expected)
    decoded = Rocket(rocket, folder, expected_lines, "--decode")
    back = tokenizer.decode_batch(expected, skip_special_tokens=False)
    result = []
    for what, wanted, got in (("ids", expected_lines, ids.lines()), ("plain", as_lines(without), plain.lines()),
                              ("decoded", back, map(json.loads, decoded.lines()))):
        result += [(what, text, w, g) for text, w, g in zip(texts, wanted, got, strict=True) if w != g]
    return result


def main():
    rocket, folder, models = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    files = sorted(p for p in folder.rglob("*.json*") if p.suffix in (".json", ".jsonl") and "tokenizers" not in p.parts)
    texts = Maker(1).make(60_000) + list(dict.fromkeys(t for file in files for t in texts_of(file)))
    failed = False
    for model in models:
        begin = time.time()
        found = differences(rocket, model, texts)
        failed |= bool(found)
        print(f"{model}: {len(texts):,} strings, {len(found)} differences, {time.time() - begin:.0f} s", flush=True)
        for what, text, wanted, got in found[:5]:
            print(f"  {what} of {text[:200]!r}:\n    expected {str(wanted)[:300]}\n    found    {str(got)[:300]}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
