"""Prefix-tuning beside PEFT's, as ratios: a training step of an encoder, a token that is generated.

Both models take their turns, so that a machine that changes its speed favours neither. PEFT refuses
the encoders of newer releases of transformers ("does not support past key values"); the first ratio
then is missing. Run it with python; a minute on one core.

Measured, one core of a busy machine, median and quartiles of ours / PEFT: the step 0.96 (0.85 to
1.04), 48 tokens 1.01 (0.93 to 1.06), on transformers 5.0 and PEFT 0.18; the tokens 0.95 (0.91 to
1.16) on transformers 5.24 and PEFT 0.21.
"""

import statistics
import time
import warnings
from functools import partial

import peft
import torch
import transformers

from peftlab import PrefixTuning, load_backbone, load_task
from peftlab.training.batches import collator, encode

TURNS, ROWS, TOKENS = 12, 20, 48


def attached(model):
    """Our prefix; without its MLP, as PEFT's."""
    PrefixTuning(prefix_length=ROWS, reparametrization_width=0).attach(model)
    return model


def wrapped(model, kind):
    """PEFT's prefix."""
    return peft.get_peft_model(
        model, peft.PrefixTuningConfig(task_type=kind, num_virtual_tokens=ROWS)
    )


def step(model, optimizer, batch):
    """A training step."""
    model(**batch).loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def training_steps():
    """Both training steps: minilm, batches of 32 sentences."""
    task = load_task("reviews")
    (ours, tokenizer), (theirs, _) = (load_backbone("minilm", task) for _ in range(2))
    batch = collator(tokenizer)(encode(tokenizer, task.train[:32]))
    calls = []
    for model in (attached(ours), wrapped(theirs, "SEQ_CLS")):
        own = [p for p in model.train().parameters() if p.requires_grad]
        calls.append(partial(step, model, torch.optim.AdamW(own, lr=1e-4), batch))
    return calls


def generations():
    """Both generations: a GPT-2 of 6 layers and width 384, greedy, batches of 4."""
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0)
    config = transformers.GPT2Config(n_embd=384, n_layer=6, n_head=6, vocab_size=8000, **ends)
    torch.manual_seed(0)
    models = [transformers.GPT2LMHeadModel(config).eval() for _ in range(2)]
    ids = torch.randint(5, 8000, (4, 32))
    settings = {"min_new_tokens": TOKENS, "max_new_tokens": TOKENS, "do_sample": False}
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    both = attached(models[0]), wrapped(models[1], "CAUSAL_LM")
    return [partial(model.generate, **inputs, **settings) for model in both]


def compare(name, calls):
    """Print the ratio of the two calls' times."""
    ratios = []
    for turn in range(TURNS + 2):
        times = {}
        for i in (0, 1) if turn % 2 else (1, 0):
            started = time.perf_counter()
            calls[i]()
            times[i] = time.perf_counter() - started
        ratios.append(times[0] / times[1])
    low, middle, high = statistics.quantiles(ratios[2:], n=4)
    print(f"{name}: {middle:.2f} ({low:.2f} to {high:.2f})")


def main():
    warnings.simplefilter("ignore")
    print("transformers", transformers.__version__, "PEFT", peft.__version__)
    try:
        compare("training step, minilm, 32 sentences, P=20", training_steps())
    except ValueError as error:
        print("training step: PEFT refuses:", error)
    compare(f"generation of {TOKENS} tokens, GPT-2 of 6 layers, P=20", generations())


if __name__ == "__main__":
    main()
