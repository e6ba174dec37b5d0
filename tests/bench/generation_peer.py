"""Greedy answers of a peer, as JSON lines on stdout in the order of the prompts:
generation_peer.py transformers|vllm MODEL PROMPTS.jsonl NEW_TOKENS BATCH [ADAPTER]
generation_peer.py llama MODEL.gguf PROMPTS.jsonl NEW_TOKENS THREADS"""

import json
import sys

kind, model_path, prompts_path, new_tokens, number, *adapter = sys.argv[1:]
prompts = [json.loads(line)["prompt"] for line in open(prompts_path, encoding="utf-8")]
new_tokens, number = int(new_tokens), int(number)


def by_transformers():
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_path, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32).eval()
    if adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter[0])
    answers, order = [None] * len(prompts), sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    for first in range(0, len(order), number):
        chosen = order[first : first + number]
        batch = tokenizer([prompts[i] for i in chosen], return_tensors="pt", padding=True)
        with torch.no_grad():
            ids = model.generate(**batch, max_new_tokens=new_tokens, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        for i, row in zip(chosen, ids[:, batch["input_ids"].shape[1] :]):
            answers[i] = tokenizer.decode(row, skip_special_tokens=True)
    return answers


def by_vllm():
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    llm = LLM(model=model_path, dtype="float32", max_model_len=1024, enable_lora=bool(adapter), max_lora_rank=8, max_num_seqs=256)
    made = llm.generate(prompts, SamplingParams(temperature=0, max_tokens=new_tokens),
                        lora_request=LoRARequest("one", 1, adapter[0]) if adapter else None, use_tqdm=False)
    return [output.outputs[0].text for output in made]


def by_llama():
    from llama_cpp import Llama

    llama = Llama(model_path, n_ctx=2048, n_threads=number, n_threads_batch=number, verbose=False)
    return [llama(prompt, max_tokens=new_tokens, temperature=0)["choices"][0]["text"] for prompt in prompts]


for answer in {"transformers": by_transformers, "vllm": by_vllm, "llama": by_llama}[kind]():
    print(json.dumps({"generation": answer}))
