"""Makes tests/data/families: a tiny random model of every family of decoders, PEFT adapters of every form on it, and what
transformers and PEFT compute with them.

    OMP_NUM_THREADS=1 python tests/parity/make_family_reference.py [NAME...]       (from the root; no name: all)

NAME/model-*.safetensors    weights, as save_pretrained writes them, in the types that published models have
NAME/adapters/FORM          adapters as PEFT writes them
ropes.json                  rotary embeddings of published models
NAME/cases.json             configurations for these weights (config.json in its old and new forms) with nll and greedy ids
"""

import itertools
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

OUT = Path("tests/data/families")
STOP = 7
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
FORMS = {
    "qv": dict(r=2, lora_alpha=3, target_modules=["q_proj", "v_proj"]),
    "all_linear": dict(r=2, lora_alpha=4, target_modules="all-linear"),
    "rslora": dict(r=3, lora_alpha=2, target_modules=["k_proj", "o_proj", "up_proj"], use_rslora=True),
    "patterns": dict(r=2, lora_alpha=4, target_modules=ALL, rank_pattern={"q_proj": 1, "layers.1.mlp.down_proj": 3},
                     alpha_pattern={"q_proj": 5, "o_proj": 1}),
}
# What the adapters of FORMS change, where a family's linear layers have other names.
PHI = {"q_proj": "qkv_proj", "k_proj": "qkv_proj", "v_proj": "qkv_proj", "gate_proj": "gate_up_proj", "up_proj": "gate_up_proj"}
NEOX = {"q_proj": "query_key_value", "k_proj": "query_key_value", "v_proj": "query_key_value", "o_proj": "dense",
        "gate_proj": "dense_h_to_4h", "up_proj": "dense_h_to_4h", "down_proj": "dense_4h_to_h"}
LINEARS = {"phi3": PHI, "gpt_neox": NEOX}
GRADIENTS = ["model.layers.0.self_attn.k_proj", "model.layers.1.mlp.down_proj"]
GRADIENTS_OF = {"phi3": ["model.layers.0.self_attn.qkv_proj", "model.layers.1.mlp.gate_up_proj"],
                "gpt_neox": ["gpt_neox.layers.0.attention.query_key_value", "gpt_neox.layers.1.mlp.dense_4h_to_h"],
                "gemma2": ["model.layers.0.self_attn.k_proj", "model.layers.1.mlp.gate_proj"],
                "olmo2": ["model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"]}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 300.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}
YARN = {"rope_type": "yarn", "rope_theta": 300.0, "factor": 4.0, "original_max_position_embeddings": 16}

LONGROPE = {"rope_type": "longrope", "rope_theta": 300.0, "original_max_position_embeddings": 16,
            "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7], "long_factor": [1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0]}


def new(**rope):
    return {"rope_parameters": rope}


def old(theta, **scaling):
    """As transformers 4 wrote it."""
    return {"rope_parameters": None, "rope_theta": theta, "rope_scaling": scaling}


FAMILIES = {
    "llama": dict(
        dtype=torch.float32, shard="24KB", settings=dict(attention_bias=True, mlp_bias=True, head_dim=16),
        cases={
            "no biases": dict(attention_bias=False, mlp_bias=False),
            "attention biases alone": dict(mlp_bias=False),
            "llama3": new(**LLAMA3),
            "llama3 old form": old(1e4, type="llama3", factor=8, low_freq_factor=1, high_freq_factor=4,
                                   original_max_position_embeddings=8),
            "linear": new(rope_type="linear", rope_theta=1e4, factor=2.5),
            "linear old form": old(1e4, type="linear", factor=4.0),
            "dynamic": new(rope_type="dynamic", rope_theta=1e4, factor=4.0) | {"max_position_embeddings": 16},
            "dynamic old form": old(500.0, type="dynamic", factor=3) | {"max_position_embeddings": 20},
            "yarn": new(**YARN),
            "yarn whose length stands beside": old(1e4, type="yarn", factor=4.0, finetuned=True)
            | {"original_max_position_embeddings": 16},
            "yarn with attention_factor": new(**YARN, attention_factor=0.7, beta_fast=0.5, beta_slow=0.05),
            "yarn with mscale": new(**YARN, mscale=0.8, mscale_all_dim=0.3),
            "yarn not truncated": new(**YARN, truncate=False, beta_fast=0.7, beta_slow=0.1),
            "yarn by the ratio of lengths": new(**(YARN | {"factor": None})),
            "yarn with zeros": new(**YARN, mscale=0.8, mscale_all_dim=0, beta_fast=0),
            "longrope": new(**LONGROPE),
            "longrope old form": old(1e4, type="longrope", long_factor=LONGROPE["long_factor"],
                                     short_factor=LONGROPE["short_factor"]) | {"original_max_position_embeddings": 20},
            "longrope with factors": new(**LONGROPE, factor=2.0, attention_factor=0.8),
            "partial rotation that is not heeded": dict(partial_rotary_factor=0.5),
        }),
    "mistral": dict(
        dtype=torch.bfloat16, settings=dict(head_dim=6, sliding_window=None, num_key_value_heads=1),
        cases={
            "window": dict(sliding_window=6),
            "window of two": dict(sliding_window=2),
            "window with yarn": dict(sliding_window=11) | new(**YARN),
            "layer_types": dict(sliding_window=6, layer_types=["sliding_attention"] * 2),
            "layer_types that are full": dict(sliding_window=6, layer_types=["full_attention"] * 2),
        }),
    "ministral": dict(
        dtype=torch.bfloat16, settings=dict(head_dim=6, sliding_window=5, num_key_value_heads=1),
        cases={
            "full": dict(layer_types=["full_attention"] * 2),
            "window by layer_types": dict(layer_types=["full_attention", "sliding_attention"]),
        }),
    "qwen2": dict(
        dtype=torch.float16, settings=dict(tie_word_embeddings=True, num_hidden_layers=3),
        cases={
            "yarn": dict(old(1e6, type="yarn", factor=4.0, original_max_position_embeddings=16)),
            "window from a layer on": dict(use_sliding_window=True, sliding_window=5, max_window_layers=1,
                                           layer_types=None),
            "window by layer_types": dict(use_sliding_window=True, sliding_window=9, layer_types=[
                "sliding_attention", "full_attention", "sliding_attention"]),
            "switched off window": dict(use_sliding_window=False, sliding_window=5, max_window_layers=0,
                                        layer_types=None),
            "attention_bias false": dict(attention_bias=False),
        }),
    "qwen3": dict(
        dtype=torch.bfloat16, shard="6KB", settings=dict(head_dim=8, attention_bias=True),
        cases={
            "no biases": dict(attention_bias=False),
            "window": dict(use_sliding_window=True, sliding_window=7, max_window_layers=1, layer_types=None),
            "yarn": new(**YARN),
        }),
}


SCALES = dict(embedding_multiplier=3.0, attention_multiplier=0.3, residual_multiplier=0.22, logits_scaling=1.7)
BY_TYPE = {"full_attention": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0},
           "sliding_attention": {"rope_type": "default", "rope_theta": 100.0}}

FAMILIES |= {
    "granite": dict(
        dtype=torch.bfloat16, settings=SCALES | dict(attention_bias=True, mlp_bias=True),
        cases={
            "no biases": dict(attention_bias=False, mlp_bias=False),
            "without multipliers": dict(embedding_multiplier=1.0, attention_multiplier=1.0, residual_multiplier=1.0,
                                        logits_scaling=1.0),
            "yarn": new(**YARN),
        }),
    "smollm3": dict(
        dtype=torch.bfloat16, settings=dict(tie_word_embeddings=True, num_hidden_layers=3, no_rope_layer_interval=2),
        cases={
            "layers that turn by list": dict(no_rope_layers=[0, 1, 1]),
            "window without rotation": dict(use_sliding_window=True, sliding_window=5, layer_types=None),
            "window by layer_types": dict(use_sliding_window=True, sliding_window=6, layer_types=[
                "sliding_attention", "full_attention", "full_attention"]),
            "yarn": new(**YARN),
        }),
    "olmo2": dict(
        dtype=torch.bfloat16, settings=dict(),
        cases={"llama3": new(**LLAMA3)}),
    "phi3": dict(
        dtype=torch.bfloat16, settings=dict(num_attention_heads=2, num_key_value_heads=1),
        cases={
            "window": dict(sliding_window=6),
            "partial rotation": dict(partial_rotary_factor=0.75, rope_parameters=None, rope_theta=1e4),
            "longrope": new(**(LONGROPE | {"short_factor": [1.0, 1.2, 1.4, 1.6], "long_factor": [1.5, 2.5, 3.5, 4.5]}))
            | {"original_max_position_embeddings": 16},
            "longrope old form, in part": old(1e4, type="longrope", short_factor=[1.0, 1.2, 1.4], long_factor=[1.5, 2.5, 3.5])
            | {"original_max_position_embeddings": 20, "partial_rotary_factor": 0.75},
        }),
    "gemma2": dict(
        dtype=torch.bfloat16, settings=dict(tie_word_embeddings=True, head_dim=8, sliding_window=6, num_hidden_layers=3,
                                            query_pre_attn_scalar=5, attn_logit_softcapping=3.0,
                                            final_logit_softcapping=4.0),
        cases={
            "no caps": dict(attn_logit_softcapping=None, final_logit_softcapping=None),
            "cap of attention alone": dict(final_logit_softcapping=None),
            "layer_types": dict(layer_types=["full_attention", "sliding_attention", "full_attention"]),
            "layer_types that are not there": dict(layer_types=None),
            "another scale of scores": dict(query_pre_attn_scalar=256),
        }),
    "gemma3_text": dict(
        dtype=torch.bfloat16, settings=dict(tie_word_embeddings=True, head_dim=8, sliding_window=6, num_hidden_layers=3,
                                            query_pre_attn_scalar=5, rope_parameters=BY_TYPE, sliding_window_pattern=2),
        cases={
            "cap of logits": dict(final_logit_softcapping=4.0),
            "old form": dict(rope_parameters=None, rope_theta=5000.0, rope_local_base_freq=50.0, sliding_window_pattern=2,
                             layer_types=None, rope_scaling={"rope_type": "linear", "factor": 8.0}),
            "layer_types": dict(layer_types=["full_attention", "sliding_attention", "full_attention"]),
        }),
    "gpt_neox": dict(
        dtype=torch.float16, settings=dict(num_attention_heads=2, rope_parameters=new(
            rope_type="default", rope_theta=1e4, partial_rotary_factor=0.25)["rope_parameters"]),
        cases={
            "in turn": dict(use_parallel_residual=False),
            "old form": dict(rope_parameters=None, rotary_pct=0.5, rotary_emb_base=500),
            "no attention biases": dict(attention_bias=False),
            "gelu by tanh": dict(hidden_act="gelu_fast"),
            "whole heads, linear": new(rope_type="linear", rope_theta=1e4, factor=2.5, partial_rotary_factor=1.0),
        }),
}


SMALL = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=8, patch_size=4)
OF_QWEN = dict(depth=1, hidden_size=16, num_heads=2, intermediate_size=16, out_hidden_size=16, patch_size=2)
MROPE = {"rope_type": "default", "rope_theta": 300.0, "mrope_section": [2, 1, 1]}


def flat(config):
    """As Qwen2.5-VL was published: settings of the language model beside the others."""
    text = {key: value for key, value in config["text_config"].items() if key != "rope_parameters"}
    return text | {key: value for key, value in config.items() if key != "text_config"} | {
        "rope_theta": 300.0, "rope_scaling": {"type": "mrope", "mrope_section": [2, 1, 1]}}


# Models that read images, too: the settings and the cases are of their language models.
FAMILIES |= {
    "gemma3": dict(
        dtype=torch.bfloat16, vision=dict(SMALL, model_type="siglip_vision_model"), outer=dict(mm_tokens_per_image=4, tie_word_embeddings=True),
        settings=dict(model_type="gemma3_text", head_dim=8, sliding_window=6, num_hidden_layers=3, query_pre_attn_scalar=5,
                      rope_parameters=BY_TYPE, sliding_window_pattern=2),
        older="language_model.model.",
        cases={"old form": dict(rope_parameters=None, rope_theta=5000.0, rope_local_base_freq=50.0, sliding_window_pattern=2,
                                layer_types=None, rope_scaling={"rope_type": "linear", "factor": 8.0})}),
    "llava": dict(
        dtype=torch.float16, vision=dict(SMALL, model_type="clip_vision_model", projection_dim=16), outer=dict(image_token_index=39),
        settings=dict(model_type="llama", head_dim=8), older="language_model.model.", cases={"llama3": new(**LLAMA3)}),
    "mistral3": dict(
        dtype=torch.bfloat16, vision=dict(SMALL, model_type="pixtral", head_dim=8), outer=dict(tie_word_embeddings=False),
        settings=dict(model_type="mistral", head_dim=8, sliding_window=None), cases={"window": dict(sliding_window=6)}),
    "qwen2_5_vl": dict(
        dtype=torch.bfloat16, vision=dict(OF_QWEN, window_size=8, fullatt_block_indexes=[0]), outer=dict(tie_word_embeddings=True),
        settings=dict(num_attention_heads=2, num_key_value_heads=1, rope_parameters=MROPE), older="model.", cases={"flat": flat}),
    "qwen3_vl": dict(
        dtype=torch.bfloat16, vision=dict(OF_QWEN, num_position_embeddings=4, deepstack_visual_indexes=[0]), outer={},
        settings=dict(head_dim=8, rope_parameters=MROPE | {"mrope_interleaved": True}),
        cases={"biases": dict(attention_bias=False), "yarn": new(**YARN, mrope_section=[2, 1, 1])}),
}
TOWER = "model.language_model."


class Unfair(Exception):
    pass


def rounded(tensor):
    return [float(f"{x:.9g}") for x in tensor.detach().double().flatten().tolist()]


def sequences_of(vocabulary):
    generator = torch.Generator().manual_seed(5)
    return [torch.randint(0, vocabulary, (n,), generator=generator).tolist() for n in (9, 41, 1, 23, 16, 17, 41)]


def one_sequence_alone(model):
    """`dynamic` rotary embeddings remember the longest text so far: each text gets new ones."""
    inner = (model.base_model.model if isinstance(model, PeftModel) else model).base_model
    inner.rope_deltas = None
    inner = getattr(inner, "language_model", inner)
    inner.rotary_emb = type(inner.rotary_emb)(config=inner.config)


def nll(model, ids):
    one_sequence_alone(model)
    logits = model(input_ids=torch.tensor([ids])).logits[0].float()
    return torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:], dtype=torch.long), reduction="none")


def greedy(model, ids):
    one_sequence_alone(model)
    found = model.generate(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                           do_sample=False, max_new_tokens=14, eos_token_id=STOP, pad_token_id=0,
                           return_dict_in_generate=True, output_logits=True)
    new_ids = found.sequences[0, len(ids):].tolist()
    best = torch.stack([logits[0].topk(2).values for logits in found.logits])
    margin = float((best[:, 0] - best[:, 1]).min())
    if margin < 1e-4:
        raise Unfair(f"a generation is decided by {margin}")
    return [i for i in new_ids if i != STOP]


@torch.no_grad()
def results(model, sequences):
    model.eval()
    return {"nll": [rounded(nll(model, ids)) for ids in sequences], "greedy": [greedy(model, ids[:19]) for ids in sequences]}


def gradients(name, model, sequences):
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    names = GRADIENTS_OF.get(name, GRADIENTS)
    if "vision" in FAMILIES[name]:
        names = [one.replace("model.", TOWER) for one in names]
    weights = [model.get_submodule(module).weight.requires_grad_(True) for module in names]
    values = torch.cat([nll(model, ids) for ids in sequences])
    return {n: rounded(g) for n, g in zip(names, torch.autograd.grad(values.mean(), weights))}


def make_weights(name, about, seed):
    settings = dict(vocab_size=40, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4,
                    num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.3, bos_token_id=1,
                    eos_token_id=STOP, pad_token_id=None, tie_word_embeddings=False) | about["settings"]
    torch.manual_seed(seed)
    if "vision" in about:
        config = AutoConfig.for_model(name, text_config=settings, vision_config=about["vision"], **about["outer"])
        model = AutoModelForImageTextToText.from_config(config).to(about["dtype"])
    else:
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **settings)).to(about["dtype"])
    for key, parameter in model.named_parameters():
        if "norm" in key and not key.endswith(".bias"):
            torch.nn.init.uniform_(parameter, *((-0.5, 0.5) if name.startswith("gemma") else (0.5, 1.5)))
        elif key.endswith(".bias"):
            torch.nn.init.uniform_(parameter, -0.5, 0.5)
    folder = OUT / name
    model.save_pretrained(folder, **({"max_shard_size": about["shard"]} if "shard" in about else {}))
    for other in ("generation_config.json", "config.json"):
        (folder / other).unlink()
    return json.loads(model.config.to_json_string(use_diff=False)) | {"dtype": str(about["dtype"]).removeprefix("torch.")}


def settings_of(name, settings):
    """With the names that the family has for these layers."""
    names = LINEARS.get(name, {})
    if "vision" in FAMILIES[name]:  # which has layers of the same names
        some = ALL if settings["target_modules"] == "all-linear" else settings["target_modules"]
        return settings | {"target_modules": rf"{TOWER}layers\..*\.(?:{'|'.join(some)})".replace("model.language", r"model\.language")}

    def renamed(value):
        if isinstance(value, list):
            return sorted({renamed(one) for one in value})
        if isinstance(value, dict):
            return {renamed(key): one for key, one in value.items()}
        front, _, last = value.rpartition(".") if isinstance(value, str) else ("", "", value)
        return f"{front}.{names[last]}" if front and last in names else names.get(value, value) if names else value

    return {key: renamed(value) if key in ("target_modules", "rank_pattern", "alpha_pattern") else value
            for key, value in settings.items()}


def make_adapters(name, base):
    for seed, (form, settings) in enumerate(FORMS.items()):
        torch.manual_seed(seed)
        settings = settings_of(name, settings)
        model = get_peft_model(base(), LoraConfig(task_type="CAUSAL_LM", **settings))
        for key, parameter in model.named_parameters():
            if "lora_B" in key:
                torch.nn.init.normal_(parameter, std=0.3)
        folder = OUT / name / "adapters" / form
        model.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)
        config = json.loads((folder / "adapter_config.json").read_text())
        config["base_model_name_or_path"] = None  # a folder of this moment
        config = {k: sorted(v) if k == "target_modules" and isinstance(v, list) else v for k, v in config.items()}
        (folder / "adapter_config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}) + "\n")


def with_config(name, config):
    """The weights under another config.json, in float32."""
    with tempfile.TemporaryDirectory() as folder:
        for file in (OUT / name).glob("model*"):
            shutil.copy(file, folder)
        Path(folder, "config.json").write_text(json.dumps(config))
        # LibTorch's attention knows no cap.
        kind = AutoModelForImageTextToText if "vision" in FAMILIES[name] else AutoModelForCausalLM
        return kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


def changed_config(name, config, changes):
    if callable(changes):
        return changes(config)
    if "vision" in FAMILIES[name]:
        return config | {"text_config": changed_config("llama", config["text_config"], changes)}
    return {k: v for k, v in (config | changes).items() if not (k in changes and v is None) or k == "sliding_window"}


def name_as_before(folder, older):
    """As PEFT wrote an adapter when the layers of the language model had these names."""
    path = folder / "adapter_model.safetensors"
    save_file({key.replace(TOWER, older): value for key, value in load_file(path).items()}, path, metadata={"format": "pt"})
    config = json.loads((folder / "adapter_config.json").read_text())
    config["target_modules"] = config["target_modules"].replace(TOWER.replace("model.language", r"model\.language"), older)
    (folder / "adapter_config.json").write_text(json.dumps(config) + "\n")


def make_fair_family(name, about):
    """With the first seed for which rounding decides no generation."""
    for seed in itertools.count(11):
        shutil.rmtree(OUT / name, ignore_errors=True)
        (OUT / name).mkdir(parents=True)
        try:
            return make_family(name, about, seed)
        except Unfair as why:
            print(f"{name}: seed {seed}: {why}")


def make_family(name, about, seed):
    config = make_weights(name, about, seed)
    make_adapters(name, lambda: with_config(name, config))
    sequences = sequences_of(config.get("text_config", config)["vocab_size"])
    cases = []
    for case, changes in {"as it is": {}, **about["cases"]}.items():
        changed = changed_config(name, config, changes)
        found = {"name": case, "config": changed, "base": results(with_config(name, changed), sequences)}
        for form in FORMS if case == "as it is" else ["all_linear"]:
            model = PeftModel.from_pretrained(with_config(name, changed), OUT / name / "adapters" / form)
            found[form] = results(model, sequences)
        if case == "as it is":
            found["gradients"] = gradients(name, with_config(name, changed), sequences)
        cases.append(found)
    if "older" in about:
        name_as_before(OUT / name / "adapters" / "rslora", about["older"])
    (OUT / name / "cases.json").write_text(json.dumps({"sequences": sequences, "cases": cases}, separators=(",", ":")) + "\n")


def sized(**settings):
    """Of the width and length of published models; rotary embeddings need no more of them."""
    return dict(hidden_size=128, num_attention_heads=1, num_key_value_heads=1, head_dim=128) | settings


ROPES = {
    "Llama 3.1": ("llama", sized(max_position_embeddings=131072, rope_parameters=dict(
        rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=8192))),
    "Qwen2.5 with yarn": ("qwen2", sized(max_position_embeddings=131072, rope_parameters=dict(
        rope_type="yarn", rope_theta=1e6, factor=4.0, original_max_position_embeddings=32768))),
    "Llama 2 with linear": ("llama", sized(max_position_embeddings=16384, rope_parameters=dict(
        rope_type="linear", rope_theta=1e4, factor=8.0))),
    "Qwen3": ("qwen3", sized(max_position_embeddings=40960, rope_parameters=dict(rope_type="default", rope_theta=1e6))),
}


def make_ropes():
    """Cosines and sines of late positions, where an angle magnifies the rounding of its frequency."""
    cases = []
    for name, (family, settings) in ROPES.items():
        config = AutoConfig.for_model(family, **json.loads(json.dumps(settings)))
        rope = AutoModelForCausalLM.from_config(AutoConfig.for_model(
            family, vocab_size=8, intermediate_size=8, num_hidden_layers=1, **settings)).model.rotary_emb
        positions = [1, config.max_position_embeddings // 3, config.max_position_embeddings - 1]
        cos, sin = rope(torch.zeros(1), torch.tensor([positions]))
        cases.append({"name": name, "config": {"model_type": family, **settings}, "positions": positions,
                      "cos": rounded(cos[0, :, :64]), "sin": rounded(sin[0, :, :64])})
    (OUT / "ropes.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")


def main():
    names = sys.argv[1:] or list(FAMILIES)
    for name in names:
        make_fair_family(name, FAMILIES[name])
    if not sys.argv[1:]:
        make_ropes()
    for path in OUT.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    size = sum(os.path.getsize(p) for p in OUT.rglob("*") if p.is_file())
    print(f"{OUT}: {size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
