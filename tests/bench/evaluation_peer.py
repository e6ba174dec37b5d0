"""One system by lm-evaluation-harness, as its command line does it: evaluation_peer.py MODEL TASK.json BATCH [ADAPTER]."""

import json
import sys

import lm_eval
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM

model, task, batch, *adapter = sys.argv[1:]
system = HFLM(pretrained=model, dtype="float32", max_length=4096, batch_size=int(batch), device="cpu", peft=adapter[0] if adapter else None)
result = lm_eval.evaluate(lm=system, task_dict={"compared": ConfigurableTask(config=json.load(open(task)))}, bootstrap_iters=0)
print(json.dumps(result["results"]["compared"]))
