"""make_tokenizer.py FOLDER: byte-level BPE on the world's text -> base/tokenizer.json. Every name is one token, and so is
each fixed part of the prompt template: a record is short enough for a small model."""

import random
import sys
from pathlib import Path

import world
from records import WITH_INPUT, WITHOUT_INPUT, base_record
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

RECORDS, VOCABULARY = 8000, 1600
SPECIAL = ["<pad>", "<s>", "</s>"]          # ids 0, 1, 2


def names():
    lists = [words for table in world.TABLES.values() for words in (table.keys, table.values)]
    return sorted({" " + word for words in lists for word in words})


def text():
    draw = random.Random(3)
    for _ in range(RECORDS):
        record = base_record(draw)
        yield from (record["instruction"], record["input"], " " + record["instruction"], " " + record["input"], record["output"])
    for _ in range(1000):
        yield from names()


def template_parts():
    before, rest = WITH_INPUT.split("{instruction}")
    between, after = rest.split("{input}")
    return [before, WITHOUT_INPUT.split("{instruction}")[0], between, after]


def train():
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(text(), trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(template_parts()), special_tokens=SPECIAL, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    bpe.add_tokens([AddedToken(part, normalized=False, special=False) for part in template_parts()])
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token=SPECIAL[0], bos_token=SPECIAL[1], eos_token=SPECIAL[2])


def main(folder):
    tokenizer = train()
    split = [name for name in names() if len(tokenizer.tokenize(name)) > 1]
    if split:
        sys.exit(f"names of more than one token: {split}; VOCABULARY must be larger")
    tokenizer.save_pretrained(folder / "base")
    print("vocabulary", len(tokenizer))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
