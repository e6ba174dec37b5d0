"""Compares `rocket tokenize` with the `tokenizers` library, and with transformers where a folder holds older files only.

    python tests/parity/compare_tokenizers.py ROCKET TEXTS MODEL...

TEXTS: a folder; all strings in its .json and .jsonl files are compared, and 60,000 made ones (tokenizer_strings.py). Each
MODEL is a folder with a tokenizer. Ids with and without specials, and the text that the ids decode to, must be the same.
"""

import json
import subprocess
import sys
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


def lines_of(rocket, folder, lines, *flags):
    done = subprocess.run([rocket, "tokenize", folder, *flags], input="".join(json.dumps(line) + "\n" for line in lines),
                          capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


def differences(rocket, folder, texts):
    """[(what, text, expected, found), ...]"""
    tokenizer = library(folder)
    expected = [e.ids for e in tokenizer.encode_batch_fast(texts)]
    plain = [e.ids for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    decoded = tokenizer.decode_batch(expected, skip_special_tokens=False)
    found = [("ids", expected, lines_of(rocket, folder, texts)), ("plain", plain, lines_of(rocket, folder, texts, "--plain")),
             ("decoded", decoded, lines_of(rocket, folder, expected, "--decode"))]
    result = []
    for what, wanted, got in found:
        assert len(wanted) == len(got)
        result += [(what, text, w, g) for text, w, g in zip(texts, wanted, got) if w != g]
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
