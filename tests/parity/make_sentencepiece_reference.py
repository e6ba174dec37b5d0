"""Small SentencePiece models, and what transformers makes of folders that hold nothing else.

    python tests/parity/make_sentencepiece_reference.py        (from the root of the repository)

Writes tests/data/tokenizers/{llama_model,llama_legacy_model,xlmr_model}, tests/data/tokenizers/t5_like/tokenizer.json (whose
rules of normalisation are a few of our own: the usual ones take 300 KB in base64) and sentencepiece_encodings.jsonl.
Training is the same in every run on one machine; where a file is there it stays.
"""

import json
import tempfile
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer

from make_tokenizer_reference import OUT, TEXTS, corpus, encoding

RULES = [("ﬁ", "fi"), ("½", "1/2"), ("　", " "), ("\t", " "), ("\r", " "), ("\n", " "), ("\u200b", ""), ("\u00a0", " "), ("Ａ", "A"), ("e\u0301", "é"),
         ("…", "..."), ("①", "1"), ("\u2028", " ")]

FOLDERS = {
    "llama_model": ("tokenizer.model", {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True}),
    "llama_legacy_model": ("tokenizer.model", {"tokenizer_class": "LlamaTokenizerFast", "legacy": True, "add_eos_token": True,
                                               "add_bos_token": True}),
    "xlmr_model": ("sentencepiece.bpe.model", {
        "tokenizer_class": "XLMRobertaTokenizer",
        "mask_token": {"__type": "AddedToken", "content": "<mask>", "lstrip": True, "normalized": True, "rstrip": False,
                       "single_word": False}}),
}


def train(target, **options):
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder) / "m"
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(line for text in corpus() for line in text.splitlines()), model_prefix=str(prefix), num_threads=1,
            minloglevel=2, **options)
        prefix.with_suffix(".model").rename(target)


def charsmap():
    """Compiled from RULES, by training a model with them."""
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "rules.tsv"
        rules.write_text("".join(f"{' '.join(f'{ord(c):X}' for c in old)}\t{' '.join(f'{ord(c):X}' for c in new)}\n"
                                 for old, new in RULES))
        model = Path(folder) / "rules.model"
        train(model, vocab_size=300, model_type="unigram", normalization_rule_tsv=str(rules), hard_vocab_limit=False)
        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString(model.read_bytes())
    return proto


def t5_like(target):
    """As transformers converts T5: rules, spaces at the end, runs of spaces, then Metaspace."""
    if target.exists():
        return
    proto = charsmap()
    tokenizer = Tokenizer(models.Unigram([(p.piece, p.score) for p in proto.pieces], unk_id=0))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap), normalizers.Strip(left=False, right=True),
        normalizers.Replace(Regex(" {2,}"), "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 2)])
    target.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(target), pretty=False)


def main():
    train(OUT / "llama_model/tokenizer.model", vocab_size=900, model_type="bpe", byte_fallback=True, split_digits=True,
          normalization_rule_name="identity", remove_extra_whitespaces=False, allow_whitespace_only_pieces=True,
          user_defined_symbols=["<|user|>", "  "], character_coverage=0.99)
    train(OUT / "llama_legacy_model/tokenizer.model", vocab_size=600, model_type="bpe", byte_fallback=True,
          normalization_rule_name="identity", character_coverage=0.98)
    train(OUT / "xlmr_model/sentencepiece.bpe.model", vocab_size=600, model_type="unigram", normalization_rule_name="nmt_nfkc",
          character_coverage=0.995)
    t5_like(OUT / "t5_like/tokenizer.json")
    with open(OUT / "sentencepiece_encodings.jsonl", "w") as out:
        for name in [*FOLDERS, "t5_like"]:
            if name in FOLDERS:
                (OUT / name / "tokenizer_config.json").write_text(json.dumps(FOLDERS[name][1], indent=1) + "\n")
                tokenizer = AutoTokenizer.from_pretrained(OUT / name)._tokenizer
            else:
                tokenizer = Tokenizer.from_file(str(OUT / name / "tokenizer.json"))
            for text in TEXTS:
                out.write(json.dumps(encoding(tokenizer, name, text)) + "\n")


if __name__ == "__main__":
    main()
