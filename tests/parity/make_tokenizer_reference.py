"""Reference for the tokenizers: small tokenizer.json files of every kind that rocket reads, and what the
`tokenizers` library makes of difficult strings with them.

    python tests/parity/make_tokenizer_reference.py        (from the root of the repository)

Writes tests/data/tokenizers/<name>/tokenizer.json where there is none, encodings.jsonl (text, ids, offsets in bytes, decodes) and
examples.json (prompt, target, what is a target).
"""

import json
import re
import unicodedata
from pathlib import Path

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors,
                        trainers)

OUT = Path("tests/data/tokenizers")
LAB = Path("tests/lab")

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")

PROSE = [
    "The quick brown fox doesn't jump over 12 lazy dogs; it'll wait until 2,048.", "I'm sure WE'RE THE'VE fine.",
    "Ein süßer Bär aß Äpfel über Ärger und Öl.", "Ça va déjà être à l'école naïve.", "你好世界，今天天气很好。",
    "Привет мир, как дела?", "def f(x):\n    return (x + 3) * 2\n\n\tfor i in range(10):\n        print(i)\n",
    "नमस्ते दुनिया", "مرحبا بالعالم", "こんにちは世界", "안녕하세요 세계", "x = [1, 2, 3]  # comment\r\n",
]

TEXTS = [
    "", " ", "  ", "\n", "\t", "\r\n", "a", "ab", "Hello world", " Hello  world ", "Hello   \n\n   world\n",
    "it's I'm we'll they'VE HE'D don't 's 't", "1 12 123 1234 12345 3.14 1,000,000", "²½Ⅷ٣४",
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\nWhat is the job of Zekor?\n\n### Response:\nFacts: Zekor works as miner. Answer: miner",
    "### Instruction:\n\n### Input:\nx\n\n### Response:\n\n\n### Response:\n", "\n\n### Input:", "a</s>b<s>c<pad>",
    "</s></s>", " </s> ", "</ s>", "<s", "[CLS] [MASK][SEP]x[UNK] [PAD]", "naïve café Zürich ÀÉÎ", "İstanbul ıI ſs ß ẞ",
    "e\u0301 e\u0323\u0301 a\u0308\u0327 o\u0302\u0307", "\u0301abc", "각 \u1100\u1161\u11a8 가\u11a8 \u1100\u1161",
    "ক\u09c7\u09be க\u0bc6\u0bbe", "Å Å Ω", "ﬁ ﬂ ①", "你好，世界。今天\u3000很好", "𠀀𠮷\u2b820", "日本語のテキスト", "한국어 텍스트",
    "नमस्ते ক্ষি தமிழ் ไทยน้ำ", "العَرَبِيَّة עִבְרִית", "Привет, мир!", "😀 👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪", "𝒜𝓫𐍈", "\U00031350\U0002ebf0\U0001e030",
    "\x00\x01\x1f\x7f\x80\x85\xa0\xad", "a\u200bb\u200cc\u200dd\u2060e\ufefff", "a\u180eb\u2028c\u2029d\u202fe\u205ff",
    "\ufffd\ufffe\ue000\U000f0000", "....!!!???---___", "«quotes» “curly” …", "$1,234.50 + 50% = ?", "a_b-c.d/e\\f|g",
    "snake_case camelCase HTTPServer v1.2.3", "if (x<3) { return x*2; } // c", "\tindent\n\t\tmore\n", "x\n\n\ny", "x \n y",
    "    four spaces", "trailing   ", "a" * 120, "ab" * 70, "é" * 60, " " * 75, "\n" * 40 + "x", "1" * 50, "!?" * 30,
    "supercalifragilisticexpialidocious", "Zekor sells Dukul in Kafal for 7 coins", "<tag>x</tag>", "foo<tag>bar", "foo <tag> bar",
    "<left>  x", "x  <left>", "x <right>  y", "x<right>\n\ty", "x  <both>  y", "<both><both> <both>", "word", "sword words word-word word",
    " word ", "éword word\u0301", "Größe GRÖSSE größe", "CaFÉ café cafe", "new token here", "<|im_start|>user\nHi<|im_end|>\n",
    "<a><a b><a b c>", "<é> <e\u0301>", "aaa aaaa aaaaa aaaaaa", "the them then these", "\u02b0\u2e2f\ua788", "\u061d\u0890\u07fd",
    "\u1f21\u0c3c\u0301 e\u0345\u1abf\u0301", "\u32ff\U0001e030\ua7f2\U0001fbf5", "ｶﾞﾊﾟ \u1100ﾡ ㈱№ﬃ㎏",
    "\u200b\u200bx ﬁn½ e\u0301Ａ\u00a0\u0301…\r\n", "x\u2581y \u2581z\u2581\u2581 w", "  <|user|> hi <|user|>there  ", "a-B-c|D||e!?f 12|3",
    "[INST] x [/INST]y", "``quoted`` ''t''", "<0x41><0xE2> <0x", "x <mask> y<mask>", "日本\x00語 \ue000\U0010ffff", "\u1c89\ua7cb\ua7dc\U00010d50\U00016ea0 \U00013460x\u0897<word>",
]


def corpus():
    with open(LAB / "corpus.jsonl") as lines:
        records = [json.loads(line) for line, _ in zip(lines, range(400))]
    return [r["instruction"] + "\n" + r["output"] for r in records] + PROSE * 20


def byte_level(pattern, vocab=500, **bpe):
    tokenizer = Tokenizer(models.BPE(**bpe))
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    train(tokenizer, trainers.BpeTrainer(vocab_size=vocab, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                         show_progress=False))
    return tokenizer


def train(tokenizer, trainer):
    tokenizer.train_from_iterator(corpus(), trainer)


def llama3_like():
    tokenizer = byte_level(LLAMA3, ignore_merges=True)
    tokenizer.add_special_tokens(["<|begin_of_text|>", "</s>", "<pad>"])
    template = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|> $B",
        special_tokens=[("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return tokenizer


def qwen2_like():
    tokenizer = byte_level(QWEN2)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "</s>"])
    return tokenizer


def roberta_like():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=True)])
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Fuse()])
    # No alphabet: bytes that the prose lacks are unknown.
    train(tokenizer, trainers.BpeTrainer(vocab_size=420, special_tokens=["<s>", "</s>", "<unk>", "<pad>"],
                                         show_progress=False))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    return tokenizer


def added_like():
    tokenizer = byte_level(LLAMA3, vocab=400)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()])
    tokenizer.decoder = None
    tokenizer.add_tokens([
        AddedToken("word", single_word=True, normalized=False), AddedToken("<left>", lstrip=True),
        AddedToken("<right>", rstrip=True), AddedToken("<both>", lstrip=True, rstrip=True, normalized=False),
        AddedToken("CAFÉ", normalized=True), AddedToken("new token", normalized=True), AddedToken("<a>", normalized=False),
        AddedToken("<a b", normalized=False), AddedToken("<a b c>", normalized=False), AddedToken("aaaa", normalized=True),
        AddedToken("the", normalized=False), AddedToken("them", single_word=True, normalized=False), AddedToken("<é>", normalized=False),
    ])
    tokenizer.add_special_tokens([AddedToken("<tag>", special=True), AddedToken("</s>", special=True)])
    return tokenizer


def removed_like():
    """Matches of the inverted pattern go: what some files write for a pre-tokenizer that finds words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"'s|'t| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+"), "removed", invert=True),
        pre_tokenizers.Split("-", "removed"), pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    train(tokenizer, trainers.BpeTrainer(vocab_size=350, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return tokenizer


def wordpiece(normalizer, **options):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", **options))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    train(tokenizer, trainers.WordPieceTrainer(vocab_size=450, show_progress=False,
                                               special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    return tokenizer


def bert_like():
    tokenizer = wordpiece(normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()]),
                          max_input_chars_per_word=20)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    return tokenizer


def cased_bert_like():
    tokenizer = wordpiece(normalizers.BertNormalizer(lowercase=False, strip_accents=None))
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]",
                                                             special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def with_bytes(tokenizer):
    """A trained BPE with Llama's specials and bytes in front of its vocabulary."""
    saved = json.loads(tokenizer.to_str())
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    pieces += sorted(saved["model"]["vocab"], key=saved["model"]["vocab"].get)
    saved["model"]["vocab"] = {piece: i for i, piece in enumerate(pieces)}
    saved["model"].update(byte_fallback=True, fuse_unk=True)
    return Tokenizer.from_str(json.dumps(saved))


LLAMA_DECODER = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(content=" ", left=1)]


def llama2_like():
    """Spaces as the old conversion has them: two normalizers, no pre-tokenizer, specials in normalised text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    train(tokenizer, trainers.BpeTrainer(vocab_size=600, limit_alphabet=90, show_progress=False))
    tokenizer.pre_tokenizer = None
    tokenizer = with_bytes(tokenizer)
    tokenizer.model.unk_token = "<unk>"
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence(LLAMA_DECODER)
    tokenizer.add_special_tokens([AddedToken(t, normalized=True, special=True) for t in ("<unk>", "<s>", "</s>")])
    tokenizer.add_special_tokens(["<|user|>", "<pad>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return tokenizer


def mistral_like():
    """The new conversion: Metaspace that cuts nothing and prepends to the first text only; merges across words."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    train(tokenizer, trainers.BpeTrainer(vocab_size=700, limit_alphabet=60, max_token_length=12, show_progress=False))
    tokenizer = with_bytes(tokenizer)
    tokenizer.decoder = decoders.Sequence(LLAMA_DECODER)
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>", "[INST]", "[/INST]"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return tokenizer


def unigram(normalizer, pre_tokenizer, specials, vocab=500):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    train(tokenizer, trainers.UnigramTrainer(vocab_size=vocab, special_tokens=specials, unk_token="<unk>", show_progress=False))
    return tokenizer


def xlmr_like():
    tokenizer = unigram(
        normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]),
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]),
        ["<s>", "<pad>", "</s>", "<unk>"])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=False, add_prefix_space=False)
    return tokenizer


def unigram_bytes():
    """Unigram with byte fallback and without most characters; the old form of Metaspace."""
    tokenizer = unigram(normalizers.Sequence([normalizers.Strip(left=False, right=True), normalizers.NFKD()]),
                        pre_tokenizers.Metaspace(prepend_scheme="never"), ["<unk>"], vocab=400)
    saved = json.loads(tokenizer.to_str())
    rare = [piece for piece in saved["model"]["vocab"] if len(piece[0]) > 1 or piece[0].isascii() or piece[0] == "\u2581"]
    saved["model"]["vocab"] = rare + [[f"<0x{byte:02X}>", 0.0] for byte in range(256)]
    saved["model"]["byte_fallback"] = True
    tokenizer = Tokenizer.from_str(json.dumps(saved))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="never")])
    return tokenizer


def pieces_like():
    """Characters as symbols, unknown ones side by side, and every way to cut."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip(), normalizers.Replace("``", '"')])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split("-", "merged_with_previous"), pre_tokenizers.Split(Regex("[A-Z]"), "merged_with_next"),
        pre_tokenizers.Split(Regex("[0-9]"), "contiguous"), pre_tokenizers.CharDelimiterSplit("|"),
        pre_tokenizers.Punctuation("merged_with_previous"), pre_tokenizers.Whitespace()])
    train(tokenizer, trainers.BpeTrainer(vocab_size=400, limit_alphabet=80, special_tokens=["[UNK]"], show_progress=False))
    tokenizer.decoder = decoders.Sequence([decoders.Replace(Regex("[.!?]"), "\u2026</w>"), decoders.BPEDecoder(),
                                           decoders.Strip(content="t", right=1), decoders.Strip(content="e", left=2)])
    return tokenizer


def symbols_like():
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex("[aeiou]"), "merged_with_previous", invert=True),
        pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Metaspace(replacement="_", prepend_scheme="always")])
    train(tokenizer, trainers.BpeTrainer(vocab_size=300, limit_alphabet=50, special_tokens=["[UNK]"], show_progress=False))
    tokenizer.decoder = decoders.Metaspace(replacement="_")
    return tokenizer


MADE = {f.__name__: f for f in (llama3_like, qwen2_like, roberta_like, added_like, removed_like, bert_like, cased_bert_like,
                                llama2_like, mistral_like, xlmr_like, unigram_bytes, pieces_like, symbols_like)}


def byte_offsets(text, offsets):
    places = [0]
    for character in text:
        places.append(places[-1] + len(character.encode()))
    return [[places[begin], places[end]] for begin, end in offsets]


def encoding(tokenizer, name, text):
    plain = tokenizer.encode(text, add_special_tokens=False)
    ids = tokenizer.encode(text).ids
    # Where normalisation joins characters, the library counts the first one only.
    stable = name == "roberta_like" or all(unicodedata.is_normalized(form, text) for form in ("NFC", "NFD"))
    # To the library every byte of unknown characters side by side stands for all of them, and what replaces a match
    # for its last character.
    replaced = r"``|\s\s|[ﾞﾟ]" if name in ("pieces_like", "t5_like") else "[ﾞﾟ]"
    stable = stable and name != "unigram_bytes" and not re.search(replaced, text)
    return {"tokenizer": name, "text": text, "plain": plain.ids, "ids": ids,
            "offsets": byte_offsets(text, plain.offsets) if stable else None,
            "decoded": tokenizer.decode(ids, skip_special_tokens=False),
            "decoded_without_specials": tokenizer.decode(ids, skip_special_tokens=True)}


EXAMPLES = [
    ["The answer is", " yes"], ["The answer is ", "yes"], ["ab", "cdef"], ["Answer:", ""], ["", "target"], ["", ""],
    ["### Response:\n", "\n\nx"], ["x\n\n### Resp", "onse:\nAnswer: 7"], ["é", "\u0301e"], ["👍", "🏽"], ["a", "</s>"],
    ["a", "b</s>"], ["a", "b</s></s>"], ["a</s>", ""], ["a", "</s>b"], ["a", "b</s> "], ["<s>a", "b"], ["<|begin_of_text|>a", "b"],
    ["a<s>", "b"], ["12", "34"], ["line\n", "\nline"], ["naïve", " café"], ["中", "文"], ["don", "'t"], ["Zekor sel", "ls Dukul"],
]


def example(tokenizer, name, eos, prompt, target):
    text = prompt + target
    leading = tokenizer.encode("").ids
    encoded = tokenizer.encode(text, add_special_tokens=False)
    tokens = [(i, end > len(prompt)) for i, (_, end) in zip(encoded.ids, encoded.offsets)]
    while tokens and tokens[-1] == (eos, True):
        tokens.pop()
    if encoded.ids[: len(leading)] == leading:
        leading = []
    for_prompt = tokenizer.encode(prompt, add_special_tokens=False).ids
    start = tokenizer.encode("").ids
    return {"tokenizer": name, "eos": eos, "prompt": prompt, "target": target,
            "ids": leading + [i for i, _ in tokens] + [eos],
            "targets": sum(is_target for _, is_target in tokens) + 1,
            "for_generation": (start if for_prompt[: len(start)] != start else []) + for_prompt}


def load(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def without_trimming(tokenizer):
    """Offsets as they are: trimming makes them begin behind the space that is part of the token."""
    if isinstance(tokenizer.post_processor, processors.RobertaProcessing):
        ids = tokenizer.encode("").ids
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", ids[0]), ("</s>", ids[1])])
    return tokenizer


def main():
    folders = {"lab_base": LAB / "base", "lab_encoder": LAB / "encoder"}
    for name, make in MADE.items():
        folders[name] = OUT / name
        folders[name].mkdir(parents=True, exist_ok=True)
        if not (folders[name] / "tokenizer.json").exists():  # some trainers end otherwise in every run
            make().save(str(folders[name] / "tokenizer.json"), pretty=False)
    with open(OUT / "encodings.jsonl", "w") as out:
        for name, folder in folders.items():
            tokenizer = without_trimming(load(folder))
            for text in TEXTS:
                out.write(json.dumps(encoding(tokenizer, name, text)) + "\n")
    examples = []
    for name in ("lab_base", "llama3_like", "qwen2_like"):
        tokenizer = load(folders[name])
        examples += [example(tokenizer, name, tokenizer.token_to_id("</s>"), *pair) for pair in EXAMPLES]
    (OUT / "examples.json").write_text(json.dumps(examples, indent=0) + "\n")


if __name__ == "__main__":
    main()
