"""The exercise of lab 00: what LoRA costs."""

from __future__ import annotations

from peftlab.lessons.exercise import Exercise, whole_numbers

LORA_COUNT = Exercise(
    solution=lambda width, layers, rank, adapted: layers * adapted * 2 * rank * width,
    inputs=whole_numbers(width=(64, 512), layers=(5, 13), rank=(3, 9), adapted=(3, 6)),
    mistakes={
        "that counts one of the two factors: A has rank x width numbers, B as many again": (
            lambda width, layers, rank, adapted: layers * adapted * rank * width
        ),
        "that is a single block: every one of the layers has its own A and B": (
            lambda width, layers, rank, adapted: adapted * 2 * rank * width
        ),
        "that is one projection in each block: multiply by the number of adapted projections": (
            lambda width, layers, rank, adapted: layers * 2 * rank * width
        ),
        "that is W itself, which is what full fine-tuning trains; the rank has to appear": (
            lambda width, layers, rank, adapted: layers * adapted * width * width
        ),
        "W is counted too; it is frozen, and only A and B train": (
            lambda width, layers, rank, adapted: (
                layers * adapted * (width * width + 2 * rank * width)
            )
        ),
        "the sides of A and B are added; a matrix has rows times columns numbers": (
            lambda width, layers, rank, adapted: layers * adapted * 2 * (rank + width)
        ),
        "a bias is counted beside each pair of factors; LoRA adds none": (
            lambda width, layers, rank, adapted: layers * adapted * (2 * rank * width + width)
        ),
        "two biases are counted beside each pair of factors; LoRA adds none": (
            lambda width, layers, rank, adapted: (
                layers * adapted * (2 * rank * width + rank + width)
            )
        ),
        "that multiplies the sizes of A and B; the two factors stand side by side, so add them": (
            lambda width, layers, rank, adapted: layers * adapted * (rank * width) ** 2
        ),
    },
    praise="2 r D for each adapted D x D projection: it grows with the width, "
    "full fine-tuning with its square.",
)
