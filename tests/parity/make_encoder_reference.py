"""Makes tests/data/encoders: tiny random sentence encoders of every family and form, as sentence-transformers saves
them, each with the token ids and the vectors that sentence-transformers computes of some texts in float64.

    OMP_NUM_THREADS=1 python tests/parity/make_encoder_reference.py        (from the root)
"""

import json
import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer, models
from tokenizers.processors import TemplateProcessing
from torch import nn
from transformers import (AutoTokenizer, BertConfig, BertModel, CamembertConfig, CamembertModel, DistilBertConfig,
                          DistilBertModel, Gemma3TextConfig, Gemma3TextModel, GteConfig, GteModel, ModernBertConfig, ModernBertModel,
                          MPNetConfig, MPNetModel, NomicBertConfig, NomicBertModel, Qwen3Config, Qwen3Model, RobertaConfig, RobertaModel,
                          XLMRobertaConfig, XLMRobertaModel)

OUT = Path("tests/data/encoders")
TOKENIZERS = Path("tests/data/tokenizers")
LONGEST = 30
TEXTS = ["", "The quick brown fox jumps over the lazy dog.", "a", "instruction:Add the numbers.\ninput:3 and 4\noutput:7",
         "Grüße aus München, ça va? 東京は大きい。", "one two three four five six seven eight nine ten " * 12,
         "Before <pad> and [PAD] behind.", "  spaces   between\tand\nlines "]
FAMILIES = {"bert": (BertConfig, BertModel), "xlm-roberta": (XLMRobertaConfig, XLMRobertaModel),
            "roberta": (RobertaConfig, RobertaModel), "camembert": (CamembertConfig, CamembertModel),
            "mpnet": (MPNetConfig, MPNetModel), "distilbert": (DistilBertConfig, DistilBertModel),
            "qwen3": (Qwen3Config, Qwen3Model), "gemma3": (Gemma3TextConfig, Gemma3TextModel),
            "modernbert": (ModernBertConfig, ModernBertModel), "nomic_bert": (NomicBertConfig, NomicBertModel), "gte": (GteConfig, GteModel)}
UNPADDED = ("bert", "distilbert", "qwen3", "gemma3", "modernbert", "nomic_bert", "gte")
PADDING = {"bert_like": "[PAD]", "qwen2_like": "<|endoftext|>"}  # by tokenizer


def random_model(family, vocabulary, longest, seed, types):
    config_class, model_class = FAMILIES[family]
    padded = family not in UNPADDED
    torch.manual_seed(seed)
    shape = dict(vocab_size=vocabulary, max_position_embeddings=longest + 10 + 2 * padded, initializer_range=0.3,
                 pad_token_id=1 if padded else 0)
    if family == "distilbert":
        model = model_class(config_class(dim=18, n_layers=2, n_heads=3, hidden_dim=25, **shape))
    elif family == "qwen3":
        model = model_class(config_class(hidden_size=18, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1, head_dim=6,
                                         intermediate_size=25, tie_word_embeddings=True, **(shape | {"pad_token_id": None})))
    elif family in ("modernbert", "nomic_bert"):
        # In two of five layers a row sees the four rows on either side.
        more = {"local_attention": 9, "global_attn_every_n_layers": 2} if family == "modernbert" else {}
        model = model_class(config_class(hidden_size=18, num_hidden_layers=5 if more else 2, num_attention_heads=3, intermediate_size=25,
                                         **more, **shape))
    elif family == "gte":
        model = model_class(config_class(hidden_size=18, num_hidden_layers=2, num_attention_heads=3, intermediate_size=25,
                                         type_vocab_size=types, **shape))
    elif family == "gemma3":  # EmbeddingGemma: rows look ahead, in two of three layers by five rows
        model = model_class(config_class(hidden_size=18, num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=1, head_dim=6,
                                         intermediate_size=25, query_pre_attn_scalar=6, use_bidirectional_attention=True, sliding_window=10,
                                         layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                                         **(shape | {"pad_token_id": None})))
    else:
        more = {} if family == "mpnet" else {"type_vocab_size": 1 if padded else 2}
        model = model_class(config_class(hidden_size=18, num_hidden_layers=2, num_attention_heads=3, intermediate_size=25,
                                         **shape, **more), add_pooling_layer=False)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            nn.init.uniform_(parameter, -0.5, 1.5)
    return model


def rename(folder, prefix):
    """As a checkpoint of a model with a head has it."""
    path = folder / "model.safetensors"
    save_file({prefix + key: tensor for key, tensor in load_file(path).items()}, path, metadata={"format": "pt"})


def pickle(folder):
    """As models of before 2023, and bge-m3 still, have it."""
    for path in folder.rglob("model.safetensors"):
        torch.save(load_file(path), path.with_name("pytorch_model.bin"))
        path.unlink()


NOMIC_KEYS = {"hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head", "intermediate_size": "n_inner",
              "max_position_embeddings": "n_positions", "layer_norm_eps": "layer_norm_epsilon"}


def as_nomic_published_it(folder):
    """Settings as in nomic-embed-text-v1.5. transformers saves the tensors under its authors' names."""
    config = json.loads((folder / "config.json").read_text())
    config = {NOMIC_KEYS.get(key, key): value for key, value in config.items() if key not in ("rope_parameters", "head_dim", "hidden_act")}
    config.update(activation_function="swiglu", rotary_emb_base=1000, rotary_emb_fraction=1.0, rotary_emb_interleaved=False, prenorm=False,
                  qkv_proj_bias=False, mlp_fc1_bias=False, mlp_fc2_bias=False, rotary_scaling_factor=None)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


NTK = {"rope_theta": 5000, "rope_scaling": {"factor": 2.0, "type": "ntk"}}


def turn_by_ntk(encoder):
    """What the program of GTE's authors makes of NTK: its equations, in float32."""
    theta, factor = NTK["rope_theta"], NTK["rope_scaling"]["factor"]
    rotary = encoder[0].auto_model.rotary_emb
    width = 2 * len(rotary.inv_freq)
    rotary.inv_freq.copy_(1.0 / ((theta * factor) ** (torch.arange(0, width, 2).float() / width)) / factor ** (2 / width))


def as_gte_published_it(folder):
    """Settings as in gte-base-en-v1.5. transformers saves the tensors under its authors' names."""
    config = json.loads((folder / "config.json").read_text())
    config = {key: value for key, value in config.items() if key not in ("rope_parameters", "tie_word_embeddings")}
    config.update(architectures=["NewModel"], model_type="new", layer_norm_type="layer_norm", logn_attention_clip1=False,
                  logn_attention_scale=False, pack_qkv=True, position_embedding_type="rope", unpad_inputs=False,
                  use_memory_efficient_attention=False, **NTK)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def say_lower_case(folder, work):
    """As versions before 6 saved it: a word in a file, and the tokenizer as it was."""
    shutil.copy(work / "tokenizer.json", folder)
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": LONGEST, "do_lower_case": True}) + "\n")


def dense_modules(layers):
    return [models.Dense(a, b, bias=bias, activation_function=activation) for a, b, bias, activation in layers]


def make(name, family, tokenizer, pooling, dense=(), normalize=True, prefix="", prompts=None, pickled=False, lower_case=False, longest=LONGEST, published=None, types=1, changed=None):
    folder, work = OUT / name, OUT / "work"
    work.mkdir(parents=True)
    tokens = AutoTokenizer.from_pretrained(TOKENIZERS / tokenizer)
    tokens.pad_token = PADDING.get(tokenizer, "<pad>")
    if family == "qwen3":  # as Qwen3-Embedding has it: the last token, which is pooled, is the end of the text
        end = ("<|endoftext|>", tokens.convert_tokens_to_ids("<|endoftext|>"))
        tokens.backend_tokenizer.post_processor = TemplateProcessing(single="$A <|endoftext|>", special_tokens=[end])
    random_model(family, len(tokens), longest, len(name), types).save_pretrained(work)
    tokens.save_pretrained(work)
    modules = [models.Transformer(str(work), max_seq_length=longest, do_lower_case=lower_case), models.Pooling(18, pooling_mode=pooling)]
    modules += dense_modules(dense) + ([models.Normalize()] if normalize else [])
    encoder = SentenceTransformer(modules=modules, device="cpu", prompts=prompts)
    encoder.save(str(folder), create_model_card=False)
    if changed:
        changed(encoder)
    encoder.double()
    vectors = torch.nn.functional.normalize(torch.stack([encoder.encode(text, convert_to_tensor=True) for text in TEXTS]))
    if prefix:
        rename(folder, prefix)
    if pickled:
        pickle(folder)
    if published:
        published(folder)
    if lower_case:
        say_lower_case(folder, work)
    reference = {"texts": TEXTS, "ids": [encoder.tokenize([text])["input_ids"][0].tolist() for text in TEXTS],
                 "embeddings": [[float(f"{x:.9g}") for x in row] for row in vectors.tolist()]}
    (folder / "reference.json").write_text(json.dumps(reference, separators=(",", ":"), ensure_ascii=False) + "\n")
    shutil.rmtree(work)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    tanh, none = nn.Tanh(), nn.Identity()
    make("bert_cls_like_bge", "bert", "bert_like", "cls")
    make("bert_dense", "bert", "bert_like", "mean", dense=[(18, 10, True, tanh), (10, 7, False, none)])
    make("xlmr_mean_like_e5", "xlm-roberta", "xlmr_like", "mean", prompts={"query": "query: ", "passage": "passage: "})
    make("xlmr_cls_like_bge_m3", "xlm-roberta", "xlmr_like", "cls", prefix="roberta.")
    make("xlmr_dense_pickled", "xlm-roberta", "xlmr_like", "cls", dense=[(18, 9, True, tanh)], pickled=True)
    make("roberta_mean", "roberta", "roberta_like", "mean", normalize=False)
    make("roberta_lower_cased", "roberta", "roberta_like", "mean", lower_case=True)
    make("camembert_mean", "camembert", "xlmr_like", "mean", prefix="roberta.")
    # Distances in classes of one each, of several, and in the last one.
    make("mpnet_mean", "mpnet", "xlmr_like", "mean", longest=200)
    make("mpnet_max_prefixed", "mpnet", "xlmr_like", "max", prefix="mpnet.")
    make("distilbert_weightedmean", "distilbert", "bert_like", "weightedmean", prefix="distilbert.")
    make("distilbert_mean_sqrt_len", "distilbert", "bert_like", "mean_sqrt_len_tokens", dense=[(18, 9, True, tanh)])
    make("qwen3_lasttoken", "qwen3", "qwen2_like", "lasttoken", prompts={"query": "Instruct: Find.\nQuery:"})
    make("gemma3_dense", "gemma3", "xlmr_like", "mean", dense=[(18, 24, False, none), (24, 18, False, none)],
         prompts={"query": "task: search result | query: ", "document": "title: none | text: "})
    make("modernbert_mean", "modernbert", "xlmr_like", "mean")
    make("modernbert_cls_prefixed", "modernbert", "roberta_like", "cls", prefix="model.")
    make("nomic_mean", "nomic_bert", "bert_like", "mean", prompts={"search_query": "search_query: "})
    make("nomic_as_published", "nomic_bert", "bert_like", "mean", published=as_nomic_published_it)
    make("gte_cls", "gte", "xlmr_like", "cls")
    make("gte_as_published", "gte", "bert_like", "cls", prefix="new.", published=as_gte_published_it, types=0, changed=turn_by_ntk)
    make("xlmr_lasttoken", "xlm-roberta", "xlmr_like", "lasttoken")
    size = sum(os.path.getsize(path) for path in OUT.rglob("*") if path.is_file())
    print(f"{OUT}: {size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
