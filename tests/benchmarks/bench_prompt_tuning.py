"""Prompt tuning on minilm: ours against PEFT's at the same steps and learning rate.

The task is opinions, with 20 rows, three seeds, the same loop, batches and learning rates for all;
beside it the head alone and the commonest label. Run it with python; some fifteen minutes on two
cores. Measured once, mean test accuracy and seeds, the commonest label being at 50.0:

rate 3e-3   ours 78.2 (83.7, 72.7, 78.1), PEFT from sampled words, as ours starts, 71.4 (73.6, 66.0,
            74.6)
rate 1e-2   ours 66.5 (53.1, 68.2, 78.2), PEFT from sampled words 76.7 (75.6, 67.2, 87.4), PEFT from
            its default start 61.9 (64.6, 63.1, 58.1), head only 60.6 (61.2, 59.7, 60.9)

On validation, after six epochs with seed 0, ours was at 68 with 3e-3 and at 67 with 1e-2.
"""

from types import SimpleNamespace

import joblib
import peft
import torch

from peftlab import HeadOnly, PromptTuning, evaluate, load_backbone, load_task, train

ROWS, RATE, EPOCHS, SEEDS = 20, 3e-3, 8, (0, 1, 2)
INITS = {"PEFT, sampled words": "SAMPLE_VOCAB", "PEFT, its default": "RANDOM"}


def theirs(model, init):
    """PEFT's prompt tuning, with what `train` asks of an attachment."""
    config = peft.PromptTuningConfig(
        task_type="SEQ_CLS",
        num_virtual_tokens=ROWS,
        prompt_tuning_init=init,
        **({"tokenizer_name_or_path": model.config.name_or_path} if init == "SAMPLE_VOCAB" else {}),
    )
    wrapped = peft.get_peft_model(model, config)
    own = [p for p in wrapped.parameters() if p.requires_grad]
    return SimpleNamespace(
        model=wrapped,
        method="PEFT",
        merged=False,
        virtual_tokens=ROWS,
        parameters=lambda: own,
        parameters_by_rate=lambda: {None: own},
    )


def run(name, seed):
    """Test accuracy of one run."""
    torch.set_num_threads(1)
    task = load_task("opinions")
    model, tokenizer = load_backbone("minilm", task, seed=seed)
    torch.manual_seed(seed)
    if name in INITS:
        attachment = theirs(model, INITS[name])
    else:
        method = PromptTuning(prompt_length=ROWS) if name == "ours" else HeadOnly()
        attachment = method.attach(model)
    options = {"batch_size": 16, "seed": seed, "progress": False, "validate": False}
    train(attachment, tokenizer, task, learning_rate=RATE, epochs=EPOCHS, **options)
    return evaluate(attachment.model, tokenizer, task.test).accuracy


def main():
    names = ["ours", *INITS, "head only"]
    jobs = [joblib.delayed(run)(name, seed) for name in names for seed in SEEDS]
    found = joblib.Parallel(n_jobs=2)(jobs)
    for i, name in enumerate(names):
        own = [100 * a for a in found[i * len(SEEDS) : (i + 1) * len(SEEDS)]]
        print(f"{name}: {sum(own) / len(own):.1f} % ({', '.join(f'{a:.1f}' for a in own)})")
    majority = load_task("opinions").majority()
    print(f"commonest label: {100 * majority:.1f} %")


if __name__ == "__main__":
    main()
