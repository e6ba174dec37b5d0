"""What trainers and hubs leave in an adapter's folder: rocket scores each form as PEFT does, or refuses what PEFT refuses."""

import json
import shutil

import numpy as np
import oracle
import pytest
import torch
import yaml
from conftest import LAB, TASK, read_h5
from peft import EvaConfig, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

SHOTS = 6
WITHOUT_EFFECT = ["b_zero", "a_zero", "alpha_zero", "alpha_patterns_zero"]


def base_tensors():
    return load_file(LAB / "base/model.safetensors")


def copies(*names):
    def add(tensors):
        base = base_tensors()
        for name in names:
            own = name.replace(".base_layer", "").replace("lm_head", "model.embed_tokens")
            tensors[f"base_model.model.{name}"] = base[own].clone()
    return add


def zero(factor):
    def fill(tensors):
        for name, tensor in tensors.items():
            if factor in name:
                tensor.zero_()
    return fill


LEFT = ...  # remove the key
FORMS = {  # name: (changed keys, change of the tensors)
    "plain": ({}, None),
    "loftq_left": ({"loftq_config": {"loftq_bits": 4, "loftq_iter": 1}}, None),
    "corda_left": ({"corda_config": {"corda_method": "kpm"}}, None),
    "eva_left": ({"eva_config": {"rho": 1.5}}, None),
    "lora_ga_left": ({"lora_ga_config": {"direction": "ArBr"}}, None),
    "eva": ({"init_lora_weights": "eva"}, None),
    "orthogonal": ({"init_lora_weights": "orthogonal"}, None),
    "mica": ({"init_lora_weights": "mica"}, None),
    "weight_tying": ({"ensure_weight_tying": True}, None),
    "no_alpha": ({"lora_alpha": LEFT}, None),
    "embedding_beside": ({}, copies("model.embed_tokens.weight")),
    "head_beside": ({}, copies("lm_head.weight")),
    "base_layers_beside": ({}, copies("lm_head.base_layer.weight", "model.layers.0.self_attn.q_proj.base_layer.weight")),
    "saved_copies": ({"modules_to_save": ["lm_head"]}, copies("lm_head.weight")),
    "norms_beside": ({}, copies("model.norm.weight", "model.layers.3.input_layernorm.weight")),
    "b_zero": ({}, zero("lora_B")),
    "a_zero": ({}, zero("lora_A")),
    "alpha_zero": ({"lora_alpha": 0}, None),
    "alpha_patterns_zero": ({"alpha_pattern": {"[a-z]*_proj": 0}}, None),
}


def write_form(folder, config, change):
    shutil.copytree(LAB / "bank/home", folder)
    about = json.loads((folder / "adapter_config.json").read_text())
    for key, value in config.items():
        about.pop(key) if value is LEFT else about.update({key: value})
    (folder / "adapter_config.json").write_text(json.dumps(about))
    if change:
        tensors = load_file(folder / "adapter_model.safetensors")
        change(tensors)
        save_file(tensors, folder / "adapter_model.safetensors")


def write_fresh(folder, **options):
    """As PEFT itself saves an adapter that was started so, with a B that was trained a little."""
    torch.manual_seed(5)
    model = get_peft_model(oracle.load_base(LAB / "base"), LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"],
                                                                     task_type="CAUSAL_LM", **options))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter += 0.05 * torch.randn_like(parameter)
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def bank(tmp_path_factory, in_root):
    folder = tmp_path_factory.mktemp("forms")
    for name, (config, change) in FORMS.items():
        write_form(folder / "bank" / name, config, change)
    write_fresh(folder / "bank/saved_eva", init_lora_weights="eva", eva_config=EvaConfig(rho=1.0))
    write_fresh(folder / "bank/saved_orthogonal", init_lora_weights="orthogonal")
    write_fresh(folder / "bank/saved_mica", init_lora_weights="mica")
    return folder


@pytest.fixture(scope="module")
def scored(rocket, bank):
    config = bank / "config.yaml"
    config.write_text(yaml.safe_dump({
        "run": str(bank / "run"), "device": "cpu", "base": {"path": str(LAB / "base")}, "bank": {"adapters": str(bank / "bank")},
        "task": {"shots": str(TASK / "shots.jsonl"), "k": SHOTS, "answer": "choice"}, "scoring": {"max_new_tokens": 1}}))
    rocket("score", config, "--quiet")
    return read_h5(bank / "run/score.h5")


def test_every_form_scores_as_in_peft(scored, bank, measure):
    tokenizer = oracle.AutoTokenizer.from_pretrained(LAB / "base")
    examples = oracle.examples(tokenizer, oracle.read_lines(TASK / "shots.jsonl")[:SHOTS])
    names = list(scored["adapter"])
    assert names[1:] == sorted([*FORMS, "saved_eva", "saved_mica", "saved_orthogonal"])
    worst = 0
    for row, name in enumerate(names[1:], 1):
        model = PeftModel.from_pretrained(oracle.load_base(LAB / "base"), bank / "bank" / name).eval()
        expected = np.array(oracle.mean_nll(model, examples))
        error = np.abs(scored["nll"][row] - expected).max()
        print(f"{name:22} {expected.mean():.7f} {error:.1e}")
        worst = max(worst, error)
    measure(f"nll of {len(names) - 1} forms of adapters: max error", worst, 2e-6)


def test_what_has_no_effect_is_what_peft_computes_as_the_base(scored):
    names = list(scored["adapter"])[1:]
    assert [name for name, effect in zip(names, scored["effect"]) if not effect] == sorted(WITHOUT_EFFECT)
    for name in WITHOUT_EFFECT:
        assert (scored["nll"][1 + names.index(name)] == scored["nll"][0]).all(), name


@pytest.mark.parametrize("key", ["r", "lora_alpha"])
def test_null_is_refused_by_both(rocket, tmp_path, key):
    write_form(tmp_path / "bad", {key: None}, None)
    with pytest.raises(TypeError):
        PeftModel.from_pretrained(oracle.load_base(LAB / "base"), tmp_path / "bad")
    about = json.loads(rocket("inspect", tmp_path / "bad", "--format", "json"))
    assert not about["usable"] and f"key '{key}': null" in about["reason"]


@pytest.mark.parametrize("prefix", ["_orig_mod.", "_fsdp_wrapped_module."])
def test_a_wrapped_name_does_nothing_in_peft_and_is_unwrapped(rocket, tmp_path, prefix):
    def wrap(tensors):
        for name in list(tensors):
            tensors[prefix + name] = tensors.pop(name)
    write_form(tmp_path / "wrapped", {}, wrap)
    model = PeftModel.from_pretrained(oracle.load_base(LAB / "base"), tmp_path / "wrapped")
    assert all((parameter == 0).all() for name, parameter in model.named_parameters() if "lora_B" in name)
    about = json.loads(rocket("inspect", tmp_path / "wrapped", "--format", "json"))
    assert about["usable"] and about["effect"] and f"'{prefix}'" in about["names"]
