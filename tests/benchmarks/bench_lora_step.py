"""A training step of our LoRA against PEFT's on minilm, as a ratio; run it with python.

Both models take the same batch in turn, so that a machine that changes its speed favours neither.
"""

import statistics
import time

import peft
import torch

from peftlab import LoRA, load_backbone, load_task
from peftlab.training.batches import collator, encode

STEPS = 30


def step(model, optimizer, batch):
    started = time.perf_counter()
    model(**batch).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return time.perf_counter() - started


def main():
    task = load_task("reviews")
    ours, tokenizer = load_backbone("minilm", task)
    LoRA(rank=8).attach(ours)
    theirs, _ = load_backbone("minilm", task)
    config = peft.LoraConfig(
        r=8, lora_alpha=16, target_modules=["query", "value"], modules_to_save=["classifier"]
    )
    theirs = peft.get_peft_model(theirs, config)
    batch = collator(tokenizer)(encode(tokenizer, task.train[:32]))
    pairs = []
    for model in (ours.train(), theirs.train()):
        parameters = [p for p in model.parameters() if p.requires_grad]
        pairs.append((model, torch.optim.AdamW(parameters, lr=1e-4)))
    ratios = []
    for i in range(STEPS + 3):
        order = (0, 1) if i % 2 else (1, 0)
        times = {j: step(*pairs[j], batch) for j in order}
        ratios.append(times[0] / times[1])
    ratios = sorted(ratios[3:])
    print(f"ours / PEFT, a step of {STEPS}: median {statistics.median(ratios):.3f}, ", end="")
    print(f"quartiles {ratios[STEPS // 4]:.3f} to {ratios[3 * STEPS // 4]:.3f}")


if __name__ == "__main__":
    main()
