"""Small files of other programs, and what those programs make of them, for tests/unit/formats and text.

Usage: python tests/parity/make_formats_reference.py        (torch, transformers, peft, safetensors,
sentence-transformers; writes tests/data/formats)
"""

import gzip
import json
import pathlib
import shutil
import struct
import tempfile

import peft
import safetensors
import safetensors.torch
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Normalize
from sentence_transformers.base.modules import Transformer

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "formats"


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=True) + "\n")


def raw_bytes(tensor):
    return tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def tensors_of_all_types():
    torch.manual_seed(0)
    tensors = {
        "f64": torch.randn(2, 3, dtype=torch.float64),
        "f32": torch.randn(5),
        "f16": torch.randn(3, 1, 2).half(),
        "bf16": torch.randn(4).bfloat16(),
        "i64": torch.tensor([-(2**63), 2**63 - 1]),
        "i32": torch.tensor([[-7, 8]], dtype=torch.int32),
        "i16": torch.tensor([-300, 300, 5], dtype=torch.int16),
        "i8": torch.tensor([-128, 127, 1], dtype=torch.int8),
        "u8": torch.tensor([255, 0, 9], dtype=torch.uint8),
        "boolean": torch.tensor([True, False, True]),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 4),
        'odd "name" \u00e9\n': torch.ones(1),
    }
    return tensors


def make_safetensors():
    tensors = tensors_of_all_types()
    safetensors.torch.save_file(tensors, OUT / "types.safetensors", metadata={"who": "\u00e9"})
    (OUT / "types.safetensors").chmod(0o644)
    write_json(
        OUT / "types.json",
        {k: {"shape": list(v.shape), "bytes": raw_bytes(v).hex()} for k, v in tensors.items()},
    )
    make_written(tensors)


def make_written(tensors):
    """The bytes that rocket must write for these tensors; the safetensors library reads them back here."""
    names = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
             torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
             torch.bool: "BOOL"}
    header = {"__metadata__": {"format": "pt", "made by": "rocket"}}
    data = b""
    for name in sorted(tensors):
        piece = raw_bytes(tensors[name])
        header[name] = {"data_offsets": [len(data), len(data) + len(piece)], "dtype": names[tensors[name].dtype],
                        "shape": list(tensors[name].shape)}
        data += piece
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    path = OUT / "written.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata() == header["__metadata__"]
        assert set(file.keys()) == set(tensors)
        for name, tensor in tensors.items():
            assert torch.equal(file.get_tensor(name), tensor), name


LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
SMALL = LLAMA | {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 8,
                 "vocab_size": 100, "max_position_embeddings": 77}


def llama_forms():
    return {
        "defaults": LLAMA,
        "small": SMALL,
        "old": SMALL | {"rope_theta": 500000.0, "rope_scaling": None, "torch_dtype": "bfloat16",
                        "num_key_value_heads": 2, "tie_word_embeddings": True, "rms_norm_eps": 1e-5},
        "new": SMALL | {"rope_parameters": {"rope_theta": 1234.5, "rope_type": "default"}, "dtype": "float16",
                        "head_dim": 16, "eos_token_id": [5, 6]},
        "both": SMALL | {"rope_theta": 7.0, "rope_parameters": {"rope_theta": 8.0, "rope_type": "default"}},
        "scaling default": SMALL | {"rope_theta": 9.0, "rope_scaling": {"type": "default"}},
        "scaling wins": SMALL | {"rope_scaling": {"rope_type": "default", "rope_theta": 5.0},
                                 "rope_parameters": {"rope_theta": 8.0, "rope_type": "default"}},
        "parameters without theta": SMALL | {"rope_theta": 9.5, "rope_parameters": {"rope_type": "default"}},
        "nulls": SMALL | {"head_dim": None, "num_key_value_heads": None, "eos_token_id": None},
        "no model_type": {k: v for k, v in SMALL.items() if k != "model_type"},
        "partial rotation": SMALL | {"partial_rotary_factor": 0.5},
        "partial rotation of one": SMALL | {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 1.0}},
    }


SIZES = {k: v for k, v in SMALL.items() if k not in LLAMA}
OLD_YARN = {"rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}, "rope_theta": 1e6}


def mistral_forms():
    mistral = {"architectures": ["MistralForCausalLM"], "model_type": "mistral"}
    small = mistral | SIZES
    return {
        "defaults": mistral,
        "small": small,
        "no window": small | {"sliding_window": None},
        "own width": small | {"head_dim": 10, "num_key_value_heads": 2, "sliding_window": 3, "hidden_size": 60},
        "nulls": small | {"head_dim": None, "eos_token_id": None},
        "no model_type": {k: v for k, v in small.items() if k != "model_type"},
        "layer_types": small | {"head_dim": 8, "sliding_window": 5, "layer_types": ["sliding_attention"] * 2},
        "layer_types that are full": small | {"head_dim": 8, "sliding_window": 5, "layer_types": ["full_attention"] * 2},
        "layer_types without a window": small | {"head_dim": 8, "sliding_window": None, "layer_types": ["full_attention"] * 2},
    }


def ministral_forms():
    ministral = {"architectures": ["MinistralForCausalLM"], "model_type": "ministral", "head_dim": 8}
    small = ministral | SIZES
    return {
        "defaults": ministral,
        "small": small | {"sliding_window": 9},
        "full": small | {"sliding_window": 9, "layer_types": ["full_attention"] * 2},
        "sliding": small | {"sliding_window": 9, "layer_types": ["sliding_attention"] * 2},
        "by type": small | {"sliding_window": 9, "layer_types": ["full_attention", "sliding_attention"]},
        "no window": small | {"sliding_window": None},
    }


def qwen_forms(number):
    qwen = {"architectures": [f"Qwen{number}ForCausalLM"], "model_type": f"qwen{number}"}
    small = qwen | SIZES | {"num_key_value_heads": 4, "num_hidden_layers": 4}
    window = {"use_sliding_window": True, "sliding_window": 7}
    mixed = ["sliding_attention", "full_attention", "full_attention", "sliding_attention"]
    return {
        "defaults": qwen,
        "small": small,
        "null kv heads": small | {"num_key_value_heads": None},
        "window switched off": small | {"sliding_window": 7, "max_window_layers": 0},
        "window nowhere": small | window,
        "window from a layer on": small | window | {"max_window_layers": 3},
        "window by type": small | window | {"layer_types": mixed, "max_window_layers": 0},
        "null window": small | window | {"sliding_window": None, "max_window_layers": 0},
        "old yarn": small | OLD_YARN | {"tie_word_embeddings": True, "eos_token_id": [4, 5]},
        "no model_type": {k: v for k, v in small.items() if k != "model_type"},
        "attention_bias false": small | {"attention_bias": False},
    } | ({"biases": small | {"attention_bias": True, "head_dim": 6}} if number == 3 else {})


def rope_forms():
    length = {"original_max_position_embeddings": 16}
    llama3 = {"factor": 8, "low_freq_factor": 1, "high_freq_factor": 4.0}
    return {
        "biases": SMALL | {"attention_bias": True, "mlp_bias": True},
        "attention biases": SMALL | {"attention_bias": True},
        "llama3": SMALL | {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5} | llama3 | length},
        "old llama3": SMALL | {"rope_theta": 5e5, "rope_scaling": {"type": "llama3"} | llama3},
        "linear": SMALL | {"rope_parameters": {"rope_type": "linear", "rope_theta": 5e5, "factor": 2.5}},
        "dynamic": SMALL | {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
        "yarn": SMALL | {"rope_parameters": {"rope_type": "yarn", "rope_theta": 5e5, "factor": 3.0} | length},
        "old yarn": SMALL | OLD_YARN,
        "length beside": SMALL | OLD_YARN | {"original_max_position_embeddings": 20},
        "yarn, all set": SMALL | {"rope_parameters": {
            "rope_type": "yarn", "factor": 3.0, "mscale": 0.7, "mscale_all_dim": 0.2, "beta_fast": 16, "beta_slow": 2,
            "truncate": False} | length},
        "yarn, attention_factor": SMALL | {"rope_parameters": {"rope_type": "yarn", "factor": 3.0,
                                                               "attention_factor": 1.5, "mscale": 2.0} | length},
        "yarn, null factor": SMALL | {"rope_parameters": {"rope_type": "yarn", "factor": None} | length},
        "yarn, zeros": SMALL | {"rope_parameters": {"rope_type": "yarn", "factor": 3.0, "mscale": 0.7, "mscale_all_dim": 0,
                                                    "beta_fast": 0, "beta_slow": None} | length},
        "longrope": SMALL | {"rope_parameters": LONGROPE | length},
        "longrope with a factor": SMALL | {"rope_parameters": LONGROPE | {"factor": 3.0} | length},
        "longrope with attention_factor": SMALL | {"rope_parameters": LONGROPE | {"attention_factor": 1.2}},
        "old longrope": SMALL | {"rope_theta": 5e5, "rope_scaling": {"type": "longrope", "short_factor": [1.0] * 4,
                                                                     "long_factor": [2, 3, 4, 5]}} | length,
    }


LONGROPE = {"rope_type": "longrope", "rope_theta": 5e5, "short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [2.0, 3.0, 4.0, 5.0]}


def window_of(model, attention):
    own = getattr(attention, "sliding_window", None)
    return own or (type(model).__name__ == "MistralForCausalLM" and model.config.sliding_window) or 0


def decoder_facts(config):
    """What transformers makes of a configuration, read off the model that it builds."""
    model_type = config.get("model_type") or config["architectures"][0].split("For")[0].lower()
    if model_type == "mistral" and "layer_types" in config:
        model_type = "ministral"  # as AutoConfig does with files
    c = transformers.AutoConfig.for_model(model_type)
    c = type(c).from_dict(json.loads(json.dumps(config)))  # it writes into nested objects
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(c)
    layer, rope = model.model.layers[0], c.rope_parameters
    eos = c.eos_token_id
    return {
        "family": config.get("model_type") or c.model_type, "hidden": c.hidden_size, "layers": c.num_hidden_layers, "heads": c.num_attention_heads,
        "kv_heads": layer.self_attn.k_proj.out_features // layer.self_attn.head_dim,
        "head_dim": layer.self_attn.head_dim, "intermediate": c.intermediate_size, "vocabulary": c.vocab_size,
        "max_positions": c.max_position_embeddings, "norm_eps": c.rms_norm_eps, "tied_head": c.tie_word_embeddings,
        "qkv_bias": layer.self_attn.q_proj.bias is not None, "o_bias": layer.self_attn.o_proj.bias is not None,
        "mlp_bias": layer.mlp.down_proj.bias is not None, "qk_norm": hasattr(layer.self_attn, "q_norm"),
        "windows": [window_of(model, other.self_attn) for other in model.model.layers],
        "rope": {k: v for k, v in rope.items() if k != "type"}, "attention_factor": model.model.rotary_emb.attention_scaling,
        "eos_ids": [] if eos is None else eos if isinstance(eos, list) else [eos]}


def make_decoder_configs():
    forms = {"llama": llama_forms() | rope_forms(), "mistral": mistral_forms(), "ministral": ministral_forms(),
             "qwen2": qwen_forms(2), "qwen3": qwen_forms(3)}
    cases = [{"name": f"{family}: {name}", "config": config, "expected": decoder_facts(config)}
             for family, all_of_it in forms.items() for name, config in all_of_it.items()]
    (OUT / "decoder_configs.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")


# Families that differ from Llama in more: {family: what published files say, and further forms}.
FAMILY = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 8, "vocab_size": 100,
          "max_position_embeddings": 77, "pad_token_id": 0, "eos_token_id": 3}


def family_forms():
    def of(model_type, architecture, **forms):
        plain = {"model_type": model_type, "architectures": [architecture]}
        small = plain | FAMILY
        return model_type, {"defaults": plain, "small": small} | {name: small | form for name, form in forms.items()}

    by_type = {"full_attention": {"rope_type": "linear", "rope_theta": 5e5, "factor": 8.0},
               "sliding_attention": {"rope_type": "default", "rope_theta": 7e3}}
    types = ["full_attention", "sliding_attention"] * 2
    longrope = {"short_factor": [1.0, 1.1, 1.2], "long_factor": [2.0, 3.0, 4.0]}
    return dict([
        of("gemma2", "Gemma2ForCausalLM", numbers={"query_pre_attn_scalar": 144, "sliding_window": 9, "head_dim": 16},
           no_caps={"attn_logit_softcapping": None, "final_logit_softcapping": None}, types={"layer_types": types},
           exact={"hidden_activation": "gelu", "tie_word_embeddings": False}),
        of("gemma3_text", "Gemma3ForCausalLM", new={"rope_parameters": by_type}, pattern={"sliding_window_pattern": 3},
           old={"rope_theta": 2e4, "rope_local_base_freq": 50.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0}},
           cap={"final_logit_softcapping": 20.0}, types={"layer_types": types}),
        of("phi3", "Phi3ForCausalLM", window={"sliding_window": 5}, part={"partial_rotary_factor": 0.75},
           longrope={"rope_scaling": {"type": "longrope", **longrope}, "original_max_position_embeddings": 32,
                     "partial_rotary_factor": 0.75},
           su={"rope_parameters": {"rope_type": "su", "rope_theta": 3e3, "partial_rotary_factor": 0.75,
                                   "original_max_position_embeddings": 32, **longrope}},
           heads={"num_key_value_heads": 2, "eos_token_id": [5, 6]}),
        of("olmo2", "Olmo2ForCausalLM", heads={"num_key_value_heads": 2, "attention_bias": True}),
        of("granite", "GraniteForCausalLM", scales={"embedding_multiplier": 12, "attention_multiplier": 0.0078125,
                                                   "residual_multiplier": 0.22, "logits_scaling": 8.0}),
        of("smollm3", "SmolLM3ForCausalLM", layers={"no_rope_layers": [1, 0, 0, 1]}, interval={"no_rope_layer_interval": 2},
           window={"use_sliding_window": True, "sliding_window": 6}, off={"sliding_window": 6},
           types={"use_sliding_window": True, "sliding_window": 6, "layer_types": types}),
        of("gpt_neox", "GPTNeoXForCausalLM", old={"rotary_pct": 1.0, "rotary_emb_base": 500},
           new={"rope_parameters": {"rope_type": "linear", "rope_theta": 3e3, "factor": 2.0, "partial_rotary_factor": 0.5}},
           biases={"attention_bias": False}, in_turn={"use_parallel_residual": False, "hidden_act": "gelu_fast"}),
    ])


def family_facts(config):
    """The same as decoder_facts for models whose parts have other names."""
    c = type(transformers.AutoConfig.for_model(config["model_type"])).from_dict(json.loads(json.dumps(config)))
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(c).base_model
    attentions = [getattr(layer, "self_attn", None) or layer.attention for layer in model.layers]
    first = attentions[0]
    head_dim = getattr(first, "head_dim", None) or first.head_size
    last = {name.rpartition(".")[2]: module for name, module in model.layers[0].named_modules()}
    biased = [any(name in last and last[name].bias is not None for name in names)
              for names in (("q_proj", "qkv_proj", "query_key_value"), ("o_proj", "dense"), ("down_proj", "dense_4h_to_h"))]
    ropes = []
    for kind in ("full_attention", "sliding_attention") if "full_attention" in c.rope_parameters else ("",):
        rope, front = (c.rope_parameters[kind], kind + "_") if kind else (c.rope_parameters, "")
        ropes.append({"rope_type": rope["rope_type"], "rope_theta": rope["rope_theta"],
                      "width": 2 * getattr(model.rotary_emb, front + "inv_freq", torch.zeros(head_dim // 2)).numel(),
                      "attention_factor": getattr(model.rotary_emb, front + "attention_scaling", 1.0)})
    window = (lambda a: c.sliding_window) if config["model_type"] == "phi3" else (lambda a: getattr(a, "sliding_window", None))
    eos = c.eos_token_id
    return {"family": c.model_type,
            "shape": [c.hidden_size, c.num_hidden_layers, c.num_attention_heads,
                      getattr(c, "num_key_value_heads", None) or c.num_attention_heads, head_dim, c.intermediate_size,
                      c.vocab_size, c.max_position_embeddings],
            "norm_eps": getattr(c, "rms_norm_eps", None) or c.layer_norm_eps, "biases": biased,
            "windows": [window(a) or 0 for a in attentions], "turning": [bool(getattr(a, "use_rope", True)) for a in attentions],
            "ropes": ropes, "tied_head": c.tie_word_embeddings, "attention_scale": first.scaling,
            "numbers": [getattr(getattr(model, "embed_tokens", None), "scalar_embed_scale", getattr(c, "embedding_multiplier", 1.0)),
                        getattr(c, "residual_multiplier", 1.0), 1 / getattr(c, "logits_scaling", 1.0),
                        0 if c.model_type == "gemma3_text" else getattr(c, "attn_logit_softcapping", None) or 0,
                        getattr(c, "final_logit_softcapping", None) or 0],
            "eos_ids": [] if eos is None else eos if isinstance(eos, list) else [eos]}


def make_family_configs():
    cases = [{"name": f"{family}: {name}", "config": config, "expected": family_facts(config)}
             for family, forms in family_forms().items() for name, config in forms.items()]
    (OUT / "family_configs.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")


def make_bert_configs():
    bert = {"architectures": ["BertModel"], "model_type": "bert"}
    forms = {"defaults": bert,
             "small": bert | {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "vocab_size": 50,
                              "intermediate_size": 32, "max_position_embeddings": 40, "type_vocab_size": 1,
                              "layer_norm_eps": 1e-5, "hidden_act": "gelu_new"}}
    cases = []
    for name, config in forms.items():
        c = transformers.BertConfig.from_dict(config)
        cases.append({"name": name, "config": config, "expected": {
            "hidden": c.hidden_size, "layers": c.num_hidden_layers, "heads": c.num_attention_heads,
            "intermediate": c.intermediate_size, "vocabulary": c.vocab_size,
            "max_positions": c.max_position_embeddings, "type_vocabulary": c.type_vocab_size,
            "norm_eps": c.layer_norm_eps, "activation": c.hidden_act}})
    write_json(OUT / "bert_configs.json", cases)


def make_sentence_encoders():
    """The small files that sentence-transformers of today writes beside a BERT."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        shutil.copytree(OUT.parent.parent / "lab" / "encoder", folder / "from")
        for mode in ["cls", "mean", "max", ("cls", "mean")]:
            name = mode if isinstance(mode, str) else "_".join(mode)
            transformer = Transformer(str(folder / "from"))
            model = SentenceTransformer(modules=[transformer, Pooling(64, pooling_mode=mode), Normalize()], device="cpu")
            model.save(str(folder / name))
            target = OUT / "sentence_encoders" / name
            for file in ["modules.json", "1_Pooling/config.json", "sentence_bert_config.json"]:
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                if (folder / name / file).exists():
                    shutil.copy(folder / name / file, target / file)


def tiny_llama():
    config = transformers.LlamaConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=12, num_attention_heads=2,
                                      vocab_size=16, max_position_embeddings=8)
    return transformers.LlamaForCausalLM(config)


ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def lora_cases():
    return {
        "plain": dict(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj"]),
        "rslora": dict(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj"], use_rslora=True),
        "default targets": dict(r=2),
        "regex": dict(r=2, target_modules=r".*\.layers\.[02]\.self_attn\.(q|v)_proj"),
        "all-linear": dict(r=2, target_modules="all-linear"),
        "patterns": dict(r=4, lora_alpha=6, target_modules=ALL,
                         rank_pattern={"layers.1.self_attn.q_proj": 3, "q_proj": 5, "model.layers.2.mlp.up_proj": 7,
                                       "^model.layers.0.self_attn.k_proj": 9, "layer.*v_proj": 2, "proj": 99},
                         alpha_pattern={r"self_attn\.[qk]_proj": 11, r"layers.1\..*": 0.5, "down_proj": 13}),
        "order decides": dict(r=4, target_modules=ALL, rank_pattern={"q_proj": 5, "layers.1.self_attn.q_proj": 3}),
        "rslora patterns": dict(r=4, lora_alpha=6, target_modules=ALL, use_rslora=True,
                                rank_pattern={"k_proj": 9}, alpha_pattern={"k_proj": 2, "o_proj": 3}),
        "alternation": dict(r=4, target_modules=ALL, rank_pattern={"q_proj|v_proj": 6, "k_proj": 3},
                            alpha_pattern={"o_pro[j]": 5}),
        "dots": dict(r=4, target_modules=ALL, rank_pattern={"self_attn.q.proj": 6, "attn.k_proj": 7, "": 3}),
        "layers": dict(r=2, target_modules=["q_proj", "model.layers.0.self_attn.v_proj"],
                       layers_to_transform=[1, 11]),
        "one layer": dict(r=2, target_modules=["q_proj"], layers_to_transform=1, layers_pattern="layers"),
        "layers pattern": dict(r=2, target_modules=["q_proj"], layers_to_transform=[2], layers_pattern=["h", "layers"]),
        "exclude": dict(r=2, target_modules=ALL, exclude_modules=["k_proj", "layers.1.self_attn.q_proj"]),
        "exclude prefix": dict(r=2, target_modules=ALL, exclude_modules=r"model\.layers\.0|model\.layers\.2.*up_proj"),
        "exclude regex": dict(r=2, target_modules=ALL, exclude_modules=r".*\.mlp\..*|model\.layers\.0\..*"),
    }


def saved_config(settings):
    """adapter_config.json as save_pretrained writes it, but for the order of patterns: it sorts keys, and the
    order matters to the reader. Returns the file's content and what PEFT reads back from it."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "adapter_config.json"
        peft.LoraConfig(task_type="CAUSAL_LM", **settings).save_pretrained(folder)
        written = json.loads(file.read_text())
        written |= {k: settings[k] for k in ("rank_pattern", "alpha_pattern") if k in settings}
        for key in ("target_modules", "exclude_modules"):  # sets to PEFT
            if isinstance(written[key], list):
                written[key] = sorted(written[key])
        file.write_text(json.dumps(written))
        return written, peft.LoraConfig.from_pretrained(folder)


def make_adapter_configs():
    cases = []
    for name, settings in lora_cases().items():
        base = tiny_llama()
        modules = [n for n, m in base.named_modules() if isinstance(m, torch.nn.Linear) and n != "lm_head"]
        written, config = saved_config(settings)
        model = peft.get_peft_model(base, config)
        found = {n: m for n, m in model.base_model.model.named_modules() if isinstance(m, peft.tuners.lora.LoraLayer)}
        expected = {n: [m.r["default"], m.scaling["default"]] for n, m in found.items()}
        cases.append({"name": name, "config": written, "modules": modules, "expected": expected})
    (OUT / "adapter_configs.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")


def key(instruction, text):
    return " ".join((instruction + "\n" + text).lower().split())


def make_decontamination_keys():
    # Every code point that has a lower case or is white space, a few hundred at a time; and difficult texts.
    special = [chr(c) for c in range(0x110000)
               if not 0xD800 <= c <= 0xDFFF and (chr(c).lower() != chr(c) or chr(c).isspace()) and c != 0x3A3]
    texts = ["".join("a" + c + "b" for c in special[i:i + 400]) for i in range(0, len(special), 400)]
    texts += ["", " ", "\t\n ", "  A  B ", "\u00a0x\u00a0", "\u200bX\u200b", "\u2028Y\u2029", "\ufeffZ",
              "\u0130STANBUL", "Stra\u00dfe STRASSE \u1e9e", "\u01c5 \u01c8", "\U00010400", "a\x00B", "e\u0301 \u00c9",
              "\x1cA\x1d\x1e\x1fB\x85C"]
    cases = [{"instruction": t, "input": u, "key": key(t, u)} for t in texts for u in ("", "In Put\n")]
    write_json(OUT / "decontamination_keys.json", cases)


def make_records():
    records = [
        {"instruction": "plain", "input": "", "output": "x"},
        {"instruction": "line \u2028 and \u2029 and \u0085 and \x0c and \x0b", "input": "\r\n\t", "output": "\u0000"},
        {"instruction": "\U0001f600 \u00e9 \"quoted\" \\ /", "input": None, "output": "y", "rationale": "because",
         "answer": "A", "tests": ["assert f(1) == 2", ""]},
        {"instruction": "", "output": "", "extra": [1, {"deep": [None, True]}]},
    ]
    lines = [json.dumps(r, ensure_ascii=i % 2 == 1) for i, r in enumerate(records)]
    assert "\u2028" not in lines[1]
    lines.append(json.dumps(records[1], ensure_ascii=False))
    records.append(records[1])
    write_json(OUT / "records_expected.json", records)
    text = "\n".join(lines) + "\n"
    (OUT / "records.jsonl").write_bytes(text.encode())
    (OUT / "records_crlf.jsonl").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n\r\n").encode())
    (OUT / "records_array.json").write_text(json.dumps(records, indent=2, ensure_ascii=False))
    (OUT / "records.jsonl.gz").write_bytes(gzip.compress(text[:50].encode(), mtime=0) +
                                           gzip.compress(text[50:].encode(), mtime=0))


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    make_safetensors()
    make_decoder_configs()
    make_family_configs()
    make_bert_configs()
    make_sentence_encoders()
    make_adapter_configs()
    make_decontamination_keys()
    make_records()


if __name__ == "__main__":
    main()
