"""How many numbers a method trains and stores, in columns that the papers mix and we never do."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True)
class ParameterCount:
    """How many numbers a method trains and stores.

    The papers mix these columns. We never do.

    Args:
        trained: parameters that the method trains, without the head.
        stored: parameters that the method keeps after training, without the head.
        head: parameters of the freshly initialised task head, which trains with every method.
        backbone: parameters of the pretrained model.
    """

    trained: int
    stored: int
    head: int
    backbone: int

    @property
    def share(self) -> float:
        """Trained parameters as a share of the backbone's, without the head."""
        return self.trained / self.backbone

    def gradient_mib(self, bytes_per_number: int = 4) -> float:
        """Count the MiB of gradients while training, head included.

        Args:
            bytes_per_number: 4 for float32, 2 for half precision.

        Returns:
            MiB.
        """
        return (self.trained + self.head) * bytes_per_number / MIB

    def optimizer_mib(self, bytes_per_number: int = 4) -> float:
        """Count the MiB of AdamW's two moments while training, head included.

        Args:
            bytes_per_number: 4 for float32, 2 for half precision.

        Returns:
            MiB.
        """
        return 2 * self.gradient_mib(bytes_per_number)

    def checkpoint_mib(self, bytes_per_number: int = 4) -> float:
        """Count the MiB of what is stored after training, head included.

        Args:
            bytes_per_number: 4 for float32, 2 for half precision.

        Returns:
            MiB.
        """
        return (self.stored + self.head) * bytes_per_number / MIB

    def to_dict(self) -> dict[str, int | float]:
        """Counts, share and MiB as plain values."""
        return dataclasses.asdict(self) | {
            "share": self.share,
            "gradient_mib": self.gradient_mib(),
            "optimizer_mib": self.optimizer_mib(),
            "checkpoint_mib": self.checkpoint_mib(),
        }
