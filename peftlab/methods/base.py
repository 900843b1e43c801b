"""What a method is: a frozen set of hyperparameters that can be attached to a model and counted.

This file imports neither torch nor transformers, so that counting answers at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from peftlab import anatomy
from peftlab.anatomy import ParameterCount
from peftlab.methods.hyperparameters import declared
from peftlab.methods.kinds import Number

if TYPE_CHECKING:
    from peftlab.attach import Attachment
    from peftlab.tasks import Task


@dataclass(frozen=True)
class Paper:
    """Where a method was published.

    Args:
        title: of the paper.
        authors: their family names, with commas between them.
        arxiv: the id, such as "2106.09685".
        date: of the version that was read, such as "2021-10-16".
    """

    title: str
    authors: str
    arxiv: str
    date: str

    @property
    def url(self) -> str:
        """The page of the abstract."""
        return f"https://arxiv.org/abs/{self.arxiv}"


class Described:
    """Hyperparameters that are checked as they are declared, in a frozen dataclass.

    Attributes:
        name: on the command line and in files, such as "prompt_tuning".
        title: for people, such as "prompt tuning".
        paper: where it was published; None for what methods are compared with.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[Paper | None] = None

    def __post_init__(self) -> None:
        """Check every hyperparameter by its declaration, and keep it in its usual form."""
        for name, declaration in declared(self).items():
            object.__setattr__(self, name, declaration.check(name, getattr(self, name)))

    def hyperparameters(self) -> dict[str, Any]:
        """The hyperparameters as plain values, ready for JSON."""
        return dataclasses.asdict(self)


class Method(Described):
    """The contract of a method.

    A method is a frozen, keyword-only dataclass. Its fields are hyperparameters, declared as in
    `peftlab.methods.hyperparameters`. It attaches itself to a model in place. It also counts, in
    closed form and without a model, how many parameters it adds.
    """

    def attach(self, model: Any) -> Attachment:
        """Freeze the backbone and add what this method trains, in place.

        An attach that raises leaves the model as it was.

        Args:
            model: a transformers model of a supported family.

        Returns:
            The handle on the change: it reports, saves, merges and detaches.

        Raises:
            TypeError: `model` is not a transformers model.
            ValueError: the family or a hyperparameter does not fit, or a method is already
                attached.
        """
        raise NotImplementedError

    def prepare(self, task: Task) -> Task:
        """Give the task its texts as the method wants them; most methods change nothing.

        Args:
            task: as `load_task` gives it.

        Returns:
            The task, as it is or with other texts.
        """
        return task

    def _added(self, config: Any, head: str | None) -> int:
        """Parameters that the method trains, in closed form."""
        raise NotImplementedError

    def _stored(self, config: Any, head: str | None) -> int:
        """Parameters that are left after training, in closed form; all of them by default."""
        return self._added(config, head)

    def parameter_count(self, config: Any, head: str | None = None) -> ParameterCount:
        """Count in closed form, without a model; equal to what `attach` adds, exactly.

        Args:
            config: a transformers config, or any object with the same attributes.
            head: the task head (see `anatomy.HEADS`); None counts the bare backbone.

        Returns:
            What trains, what is stored, the head and the backbone, each counted apart.

        Raises:
            ValueError: the family, the head or a hyperparameter does not fit.
        """
        return ParameterCount(
            trained=self._added(config, head),
            stored=self._stored(config, head),
            head=anatomy.head_parameters(config, head),
            backbone=anatomy.backbone_parameters(config, head),
        )

    @property
    def size_name(self) -> str | None:
        """The hyperparameter that makes the method larger, such as "rank"; None if it has none.

        It is the first whole number that counts.
        """
        for name, own in declared(self).items():
            if isinstance(own, Number) and own.integer and own.counts:
                return name
        return None

    @property
    def positions(self) -> int:
        """How many positions it takes from the text; most methods take none."""
        return 0

    def resized(self, size: int) -> Self:
        """Make the method larger or smaller; its other hyperparameters stay.

        Args:
            size: of the hyperparameter `size_name`, at least 1.

        Returns:
            The method with that size.

        Raises:
            ValueError: the method has no size.
        """
        if self.size_name is None:
            raise ValueError(f"{self.title} has no size; it trains what it trains")
        return dataclasses.replace(self, **{self.size_name: size})

    def alternatives(self, config: Any, head: str | None) -> Sequence[Self]:
        """List what a method without a size can be on a backbone.

        Args:
            config: see `parameter_count`.
            head: see `parameter_count`.

        Returns:
            At least one method.
        """
        return [self]

    @classmethod
    def named_as_today(cls, stored: dict[str, Any]) -> dict[str, Any]:
        """Rename the tensors of older files, where a method has renamed its parameters since.

        Args:
            stored: the tensors of a file, by their names in it.

        Returns:
            The same tensors, by the names that they have today.
        """
        return stored
