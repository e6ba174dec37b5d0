"""Makes tests/data/adapters/forms: a tiny random base, one adapter in every form that PEFT saves and rocket takes, and the
logits that transformers and PEFT compute with each.

    OMP_NUM_THREADS=1 python tests/parity/make_lora_reference.py        (from the root)
"""

import json
import shutil
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

OUT = Path("tests/data/adapters/forms")
IDS = [1, 5, 9, 2, 17, 23, 11]

# name: what LoraConfig is given beside r = 3 and lora_alpha = 5
FORMS = {
    "list": {"target_modules": ["q_proj", "down_proj"]},
    "suffixes": {"target_modules": ["self_attn.v_proj", "layers.1.mlp.up_proj"]},
    "regex": {"target_modules": r".*\.layers\.[02]\..*(k|gate)_proj"},
    "all_linear": {"target_modules": "all-linear"},
    "exclude": {"target_modules": "all-linear", "exclude_modules": ["o_proj", "layers.0.mlp.up_proj"]},
    "layers": {"target_modules": ["q_proj", "v_proj"], "layers_to_transform": [0, 2]},
    "layers_pattern": {"target_modules": ["q_proj", "o_proj"], "layers_to_transform": 1, "layers_pattern": "layers"},
    "patterns": {"target_modules": "all-linear", "rank_pattern": {"q_proj": 5, r"layers\.1\.mlp\..*_proj": 2},
                 "alpha_pattern": {"down_proj": 7.5, "model.layers.2.self_attn.o_proj": 1}},
    "patterns_rslora": {"target_modules": ["q_proj", "up_proj"], "rank_pattern": {"up_proj": 4},
                        "alpha_pattern": {"q_proj": 9}, "use_rslora": True},
    "gaussian": {"target_modules": ["v_proj"], "init_lora_weights": "gaussian", "lora_dropout": 0.3},
    "fan_in_fan_out": {"target_modules": ["q_proj", "up_proj"], "fan_in_fan_out": True},
    "bias_all": {"target_modules": ["q_proj"], "bias": "all"},
    "bias_lora_only": {"target_modules": ["q_proj"], "bias": "lora_only"},
}
PICKLED = {"pickle_float32": torch.float32, "pickle_float16": torch.float16, "pickle_bfloat16": torch.bfloat16}


def make_base():
    torch.manual_seed(11)
    config = LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=4,
                         num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.2, tie_word_embeddings=False)
    LlamaForCausalLM(config).save_pretrained(OUT / "base")


def base():
    return AutoModelForCausalLM.from_pretrained(OUT / "base", dtype=torch.float32).eval()


def make_adapter(name, options):
    model = get_peft_model(base(), LoraConfig(r=3, lora_alpha=5, task_type="CAUSAL_LM", **options))
    torch.manual_seed(sum(map(ord, name)))
    for key, parameter in model.named_parameters():
        if "lora_" in key:
            parameter.data = torch.randn_like(parameter) * 0.3
    model.save_pretrained(OUT / name, safe_serialization=True)
    tidy(name)


def tidy(name):
    """What the model card and sets of unknown order would change from run to run."""
    (OUT / name / "README.md").unlink(missing_ok=True)
    path = OUT / name / "adapter_config.json"
    config = json.loads(path.read_text())
    for key, value in config.items():
        if key in ("target_modules", "exclude_modules") and isinstance(value, list):
            config[key] = sorted(value)
    config["base_model_name_or_path"] = "base"
    path.write_text(json.dumps(config, indent=1) + "\n")


def pickle_of(source, name, dtype):
    """The same tensors as adapter_model.bin; some of them as views of one storage, as older programs saved them."""
    shutil.copytree(OUT / source, OUT / name)
    path = OUT / name / "adapter_model.safetensors"
    tensors = {key: value.to(dtype) for key, value in load_file(path).items()}
    path.unlink()
    keys = sorted(tensors)
    whole = torch.cat([tensors[key].reshape(-1) for key in keys])
    at = 0
    for i, key in enumerate(keys):
        tensor = tensors[key]
        piece = whole[at : at + tensor.numel()].view(tensor.shape)
        at += tensor.numel()
        tensors[key] = [piece, tensor.t().contiguous().t(), torch.nn.Parameter(tensor)][i % 3]
    torch.save(tensors, OUT / name / "adapter_model.bin")


@torch.no_grad()
def logits(name):
    model = PeftModel.from_pretrained(base(), OUT / name).eval() if name else base()
    return [[float(f"{x:.9g}") for x in row] for row in model(torch.tensor([IDS])).logits[0].tolist()]


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    make_base()
    for name, options in FORMS.items():
        make_adapter(name, options)
    for name, dtype in PICKLED.items():
        pickle_of("patterns", name, dtype)
    plain = logits(None)
    reference = {"ids": IDS, "base": plain, "adapters": {name: logits(name) for name in [*FORMS, *PICKLED]}}
    assert all(rows != plain for rows in reference["adapters"].values())
    (OUT / "reference.json").write_text(json.dumps(reference, separators=(",", ":")) + "\n")


main()
