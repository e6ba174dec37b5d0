"""Choices and generations against lm-evaluation-harness 0.4.13, item by item: its own task definition, its HF model in
float32. tests/parity/make_harness installs it into .deps/harness.

ROCKET_HARNESS_ITEMS=500 compares so many items of every task, with and without examples (default: 30, and half of the
pairs of task and examples). ROCKET_HARNESS_MODEL=DIR adds a real model, e.g. that of make_smollm2."""

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import LAB, ROOT

HARNESS = Path(os.environ.get("ROCKET_HARNESS", ROOT / ".deps/harness"))
FORMS = ROOT.parent / "shared" / "data" / "forms"
GSM8K = ROOT.parent / "shared" / "data" / "gsm8k"
MBPP = ROOT.parent / "shared" / "data" / "mbpp"
ITEMS = int(os.environ.get("ROCKET_HARNESS_ITEMS", 30))
MODEL = os.environ.get("ROCKET_HARNESS_MODEL")
NEAR_TIE = 1e-5  # in log-likelihood

if not HARNESS.exists():
    pytest.skip(f"{HARNESS} does not exist; tests/parity/make_harness makes it", allow_module_level=True)
if not FORMS.exists():
    pytest.skip(f"{FORMS} does not exist", allow_module_level=True)
sys.path.append(str(HARNESS))
os.environ.update(HF_DATASETS_OFFLINE="1", HF_EVALUATE_OFFLINE="1")
lm_eval = pytest.importorskip("lm_eval")

import torch  # noqa: E402
from lm_eval.api.task import ConfigurableTask  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402
from peft import LoraConfig, get_peft_model  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM  # noqa: E402

# name: items, shots, and the task as lm-evaluation-harness's own files have it
CHOICES = {
    "arc_easy": ("arc_easy.test", "arc_easy.train",
                 {"doc_to_text": "Question: {{question}}\nAnswer:", "doc_to_target": "{{choices.label.index(answerKey)}}",
                  "doc_to_choice": "{{choices.text}}"}),
    "arc_challenge": ("arc_challenge.test", "arc_challenge.train",
                      {"doc_to_text": "Question: {{question}}\nAnswer:", "doc_to_target": "{{choices.label.index(answerKey)}}",
                       "doc_to_choice": "{{choices.text}}"}),
    "openbookqa": ("openbookqa.test", "openbookqa.test",
                   {"doc_to_text": "question", "doc_to_target": "{{choices.label.index(answerKey.lstrip())}}",
                    "doc_to_choice": "{{choices.text}}"}),
    "piqa": ("piqa.validation", "piqa.validation",
             {"doc_to_text": "Question: {{goal}}\nAnswer:", "doc_to_target": "label", "doc_to_choice": "{{[sol1, sol2]}}"}),
}
# Forms of tokenizers, with the tokens that begin and end a text.
TOKENIZERS = {"llama2_like": ("<s>", "</s>"), "llama3_like": ("<|begin_of_text|>", "</s>"), "mistral_like": ("<s>", "</s>"),
              "qwen2_like": (None, "<|endoftext|>")}


def write_lines(path, source, first, count):
    """Lines of a file of ../shared, JSONL; fewer where it has fewer."""
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)[first : first + count]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def lab_base(folder):
    """The lab's base with positions enough for real questions behind five examples."""
    shutil.copytree(ROOT / LAB / "base", folder / "base")
    config = json.loads((folder / "base/config.json").read_text())
    config["max_position_embeddings"] = 4096
    (folder / "base/config.json").write_text(json.dumps(config))
    return folder / "base", [ROOT / LAB / "bank/home", ROOT / LAB / "bank/tool"]


def random_base(folder, name):
    """A random Llama with a tokenizer of this form, and an adapter for it."""
    base, source = folder / "base", ROOT / "tests/data/tokenizers" / name
    shutil.copytree(source, base)
    begin, end = TOKENIZERS[name]
    (base / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": begin, "eos_token": end, "pad_token": end}))
    tokenizer = AutoTokenizer.from_pretrained(base)
    torch.manual_seed(1)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), hidden_size=64, intermediate_size=96, num_hidden_layers=2,
                                         num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=4096,
                                         initializer_range=0.15, bos_token_id=tokenizer.bos_token_id,
                                         eos_token_id=tokenizer.eos_token_id))
    model.save_pretrained(base)
    adapter = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    adapter.save_pretrained(folder / "bank/random")
    return base, [folder / "bank/random"]


@pytest.fixture(scope="session")
def bases(tmp_path_factory):
    made = {"lab": lab_base(tmp_path_factory.mktemp("lab"))}
    for name in TOKENIZERS:
        made[name] = random_base(tmp_path_factory.mktemp(name), name)
    return made


def rocket_items(rocket, folder, base, bank, task, **settings):
    """What rocket's evaluation of the base says of each item."""
    config = {
        "run": str(folder / "run"), "device": "cpu",
        "base": {"path": str(base)}, "bank": {"adapters": [str(path) for path in bank]},
        "task": task,
        "corpus": {"records": [str(LAB / "corpus.jsonl")], "limit": 5}, "encoder": {"path": str(LAB / "encoder")},
        "experts": {"names": [Path(bank[0]).name]}, "mixture": {"top_k": 1}, "selection": {"policy": "none"},
        "training": {"epochs": 0}, "evaluation": {"rivals": ["base"]}, **settings}
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    rocket("run", path, "--quiet")
    return [item for item in rocket.table(folder / "run", "items") if item["system"] == "base"]


def harness_samples(base, items, shots, fewshot, definition, new_tokens=None):
    """What lm-evaluation-harness says of each item: its samples in the order of the items."""
    task = ConfigurableTask(config={
        "task": "compared", "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"train": str(shots), "test": str(items)}},
        "fewshot_split": "train", "test_split": "test", "fewshot_config": {"sampler": "first_n"}, "num_fewshot": fewshot,
        **definition})
    model = harness_model(base, torch.float32, {} if new_tokens is None else {"max_length": 4096})
    result = lm_eval.evaluate(lm=model, task_dict={"compared": task}, log_samples=True, bootstrap_iters=0)
    return sorted(result["samples"]["compared"], key=lambda sample: sample["doc_id"])


def harness_model(base, dtype, more):
    return HFLM(pretrained=AutoModelForCausalLM.from_pretrained(base, dtype=dtype).eval(),
                tokenizer=AutoTokenizer.from_pretrained(base), batch_size=8, device="cpu", **more)


def exact_norm(norm, x):
    """transformers' RMSNorm computes in float32, whatever the model's type."""
    return norm.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon))


def exact_logprobs(base, sample):
    """The log-likelihoods of a sample's choices in float64, tokenised by the harness."""
    harness = harness_model(base, torch.float64, {})
    for module in harness.model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = functools.partial(exact_norm, module)
    found = []
    for context, continuation in sample["arguments"]:
        context, continuation = harness._encode_pair(context, continuation)
        with torch.no_grad():
            logits = harness.model(torch.tensor([context + continuation])).logits[0, len(context) - 1 : -1].double()
        found.append(float(torch.log_softmax(logits, -1)[range(len(continuation)), continuation].sum()))
    return found


def relative(found, expected):
    return float((np.abs(np.subtract(found, expected)) / np.maximum(1, np.abs(expected))).max())


def norm(logprobs, choices, length):
    return int(np.argmax(np.array(logprobs) / [length(choice) for choice in choices]))


def choices_of(doc):
    return [doc["sol1"], doc["sol2"]] if "sol1" in doc else doc["choices"]["text"]


def is_near_tie(values):
    best = sorted(values, reverse=True)
    return best[0] - best[1] < NEAR_TIE * max(1.0, abs(best[0]))


def compare_choices(found, samples, measure, what, base):
    assert len(found) == len(samples) > 0
    near, differences, distances = 0, [], []
    for item, sample in zip(found, samples):
        expected = [float(response[0][0]) for response in sample["resps"]]
        choices = choices_of(sample["doc"])
        distances.append(relative(item["logprobs"], expected))
        by_character = np.array(expected) / [len(choice) for choice in choices]
        by_byte = np.array(expected) / [len(choice.encode()) for choice in choices]
        if is_near_tie(expected) or is_near_tie(by_character) or is_near_tie(by_byte):
            near += 1
            continue
        said = (item["chosen"], item["correct"], item["correct_norm"], item["correct_bytes"], item["gold"])
        theirs = (int(np.argmax(expected)), sample["acc"] == 1, sample["acc_norm"] == 1, sample["acc_bytes"] == 1,
                  int(sample["target"]))
        if said != theirs:
            differences.append((item["item"], said, theirs, item["logprobs"], expected))
    print(what, "differences:", differences[:5])
    for ours, theirs in (("correct", "acc"), ("correct_norm", "acc_norm")):
        print(f"{what}: {theirs} by rocket {np.mean([item[ours] for item in found]):.4f}, "
              f"by the harness {np.mean([sample[theirs] for sample in samples]):.4f}")
    measure(f"{what}: {len(found)} items, {near} near ties: that differ", len(differences), 0)
    measure(f"{what}: near ties, share", near / len(found), 0.05)
    print(f"{what}: largest relative difference of a log-likelihood {max(distances):.3g}, median {np.median(distances):.3g}")
    # Both sums are float32. Where they are furthest apart, float64 says how far off each is.
    worst = int(np.argmax(distances))
    exact = exact_logprobs(base, samples[worst])
    theirs = [float(response[0][0]) for response in samples[worst]["resps"]]
    print(f"{what}: from float64, the harness is off by {relative(theirs, exact):.3g}")
    measure(f"{what}: largest difference, from float64", relative(found[worst]["logprobs"], exact), 1e-5)


# Every task with and without examples, or half of them: CI has two minutes.
PAIRS = [(task, fewshot) for task in CHOICES for fewshot in (0, 5)]
FEW = [("arc_easy", 0), ("arc_challenge", 5), ("openbookqa", 0), ("piqa", 5)]


@pytest.mark.parametrize("task, fewshot", PAIRS if ITEMS > 100 else FEW)
@pytest.mark.parametrize("base", ["lab", "real"])
def test_choices_are_those_of_the_harness(base, task, fewshot, rocket, bases, tmp_path, measure):
    path, bank = base_and_bank(base, bases, tmp_path)
    compare_task(task, fewshot, path, bank, rocket, tmp_path, measure, ITEMS, base)


@pytest.mark.parametrize("task, fewshot", PAIRS if ITEMS > 100 else [("piqa", 1)])
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_every_form_of_tokenizer_splits_as_the_harness_does(tokenizer, task, fewshot, rocket, bases, tmp_path, measure):
    path, bank = bases[tokenizer]
    compare_task(task, fewshot, path, bank, rocket, tmp_path, measure, ITEMS, tokenizer)


def compare_task(task, fewshot, path, bank, rocket, folder, measure, count, name):
    source, shot_source, definition = CHOICES[task]
    first = 0 if source != shot_source else 10
    items = write_lines(folder / "items.jsonl", FORMS / f"{source}.jsonl", first, count)
    shots = write_lines(folder / "shots.jsonl", FORMS / f"{shot_source}.jsonl", 0, 10)
    found = rocket_items(rocket, folder, path, bank, {
        "use": f"configs/tasks/{task}.yaml", "evaluation": str(items), "shots": str(shots), "k": 10, "fewshot": fewshot})
    metrics = [{"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in ("acc", "acc_norm", "acc_bytes")]
    samples = harness_samples(path, items, shots, fewshot,
                              {"output_type": "multiple_choice", "metric_list": metrics, **definition})
    compare_choices(found, samples, measure, f"{task}, {fewshot} shots, {name}", path)


def make_adapter(base, folder):
    """A PEFT adapter of random weights: the chain wants a bank."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)).save_pretrained(folder / "bank/one")
    return folder / "bank/one"


GSM8K_TASK = {
    "output_type": "generate_until", "doc_to_text": "Question: {{question}}\nAnswer:", "doc_to_target": "{{answer}}",
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True, "ignore_case": True,
                     "ignore_punctuation": False, "regexes_to_ignore": [",", "\\$", "(?s).*#### ", "\\.$"]}]}
GSM8K_FILTERS = {
    "gsm8k": {"function": "regex", "regex_pattern": "#### (\\-?[0-9\\.\\,]+)"},
    "gsm8k_flexible": {"function": "regex", "group_select": -1, "regex_pattern": "(-?[$0-9.,]{2,})|(-?[0-9]+)"},
}
# The harness's own, and some that a tiny model writes.
STOPS = ["Question:", "</s>", "<|im_end|>", "\n\n", " the b"]


# The lab's base, and where there is time a random model of each form of tokenizer; the real one.
GENERATING = ["lab", *(TOKENIZERS if ITEMS > 100 else ()), "real"]


def base_and_bank(name, bases, folder):
    if name != "real":
        return bases[name]
    if not MODEL:
        pytest.skip("ROCKET_HARNESS_MODEL names no model; tests/parity/make_smollm2 makes one")
    return MODEL, [make_adapter(MODEL, folder)]


@pytest.mark.parametrize("base", GENERATING)
def test_generations_and_what_is_found_in_them(base, rocket, bases, tmp_path, measure):
    path, bank = base_and_bank(base, bases, tmp_path)
    count, new_tokens, stops = (min(ITEMS, 200), 256, STOPS[:3]) if base == "real" else (min(ITEMS, 200), 32, STOPS)
    items = write_lines(tmp_path / "items.jsonl", GSM8K / "test.jsonl", 0, count)
    shots = write_lines(tmp_path / "shots.jsonl", GSM8K / "train.jsonl", 0, 5)
    filters = [{"name": task, "filter": [pattern, {"function": "take_first"}]} for task, pattern in GSM8K_FILTERS.items()]
    generated = harness_samples(path, items, shots, 5, {
        **GSM8K_TASK, "generation_kwargs": {"until": list(stops), "do_sample": False, "max_gen_toks": new_tokens},
        "filter_list": filters}, new_tokens)
    for task in GSM8K_FILTERS:
        (tmp_path / task).mkdir()
        found = rocket_items(rocket, tmp_path / task, path, bank, {
            "use": f"configs/tasks/{task}.yaml", "evaluation": str(items), "shots": str(shots), "k": 5, "stop": stops},
            scoring={"max_new_tokens": new_tokens})
        samples = [sample for sample in generated if sample["filter"] == task]
        compare_generations(found, samples, f"{task}, {base}", measure)


def compare_generations(found, samples, what, measure):
    assert len(found) == len(samples) > 0
    texts = [(item["generation"], sample["resps"][0][0]) for item, sample in zip(found, samples)]
    print([pair for pair in texts if pair[0] != pair[1]][:3])
    measure(f"{what}: generations of {len(texts)} that differ", sum(a != b for a, b in texts), 0)
    verdicts = [(item["correct"], sample["exact_match"] == 1) for item, sample in zip(found, samples)]
    measure(f"{what}: verdicts on {len(verdicts)}, {sum(b for _, b in verdicts)} right, that differ",
            sum(a != b for a, b in verdicts), 0)
    nothing = [(item["extracted"] is None, sample["filtered_resps"][0] == "[invalid]") for item, sample in zip(found, samples)]
    measure(f"{what}: nothing found, of {len(nothing)} that differ", sum(a != b for a, b in nothing), 0)


MBPP_TASK = {
    "output_type": "generate_until",
    "doc_to_text": "You are an expert Python programmer, and here is your task: {{text}} Your code should pass these tests:\n\n"
                   "{{test_list[0]}}\n{{test_list[1]}}\n{{test_list[2]}}\n[BEGIN]\n",
    "doc_to_target": "{% if is_fewshot %}{{code}}\n[DONE]{% else %}{{test_list[0]}}\n{{test_list[1]}}\n"
                     "{{test_list[2]}}{% endif %}",
    "target_delimiter": ""}


def write_programs(path, first, count, is_fewshot):
    records = [json.loads(line) for line in (MBPP / "mbpp.jsonl").read_text(encoding="utf-8").splitlines()]
    path.write_text("".join(json.dumps({**{name: record[name] for name in ("text", "code", "test_list")},
                                        "is_fewshot": is_fewshot}) + "\n" for record in records[first : first + count]))
    return path


def passes(references, predictions):
    """1 if the program and then the tests run without an error within three seconds, as code_eval of Hugging Face's
    evaluate has it; that metric itself is fetched from a hub."""
    program = predictions[0] + "\n" + references[0]
    try:
        return float(subprocess.run([sys.executable, "-"], input=program, text=True, capture_output=True, timeout=3).returncode == 0)
    except subprocess.TimeoutExpired:
        return 0.0


@pytest.mark.parametrize("base", GENERATING)
def test_programs_and_their_verdicts(base, rocket, bases, tmp_path, measure):
    path, bank = base_and_bank(base, bases, tmp_path)
    count, new_tokens = min(ITEMS, 200), 256 if base == "real" else 16
    # The examples are the tasks 2, 3 and 4; the test split begins at task 11.
    items = write_programs(tmp_path / "items.jsonl", 10, count, is_fewshot=False)
    shots = write_programs(tmp_path / "shots.jsonl", 1, 3, is_fewshot=True)
    found = rocket_items(rocket, tmp_path, path, bank,
                         {"use": "configs/tasks/mbpp.yaml", "evaluation": str(items), "shots": str(shots), "k": 3},
                         scoring={"max_new_tokens": new_tokens})
    samples = harness_samples(path, items, shots, 3, {
        **MBPP_TASK, "metric_list": [{"metric": passes, "aggregation": "mean", "higher_is_better": True}],
        "generation_kwargs": {"until": ["[DONE]"], "do_sample": False, "max_gen_toks": new_tokens}}, new_tokens)
    assert len(found) == len(samples) > 0
    texts = [(item["generation"], sample["resps"][0][0]) for item, sample in zip(found, samples)]
    print([pair for pair in texts if pair[0] != pair[1]][:3])
    measure(f"mbpp, {base}: generations of {len(texts)} that differ", sum(a != b for a, b in texts), 0)
    verdicts = [(item["correct"], sample["passes"] == 1) for item, sample in zip(found, samples)]
    print([(pair, text) for pair, text in zip(verdicts, texts) if pair[0] != pair[1]][:3])
    measure(f"mbpp, {base}: verdicts on {len(verdicts)}, {sum(b for _, b in verdicts)} right, that differ",
            sum(a != b for a, b in verdicts), 0)
