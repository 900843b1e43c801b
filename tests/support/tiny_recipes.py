"""Recipes that run in a second, and their tokenizers."""

from functools import cache

from peftlab.pretraining.corpus import train_tokenizer
from peftlab.pretraining.recipes import Recipe

SMALL = {"layers": 2, "width": 32, "row": 32, "rows": 2, "interval": 3, "tokens": 12 * 64}
RECIPES = {
    "gpt2": Recipe(name="tiny-gpt", family="gpt2", **SMALL),
    "bert": Recipe(name="tiny-bert", family="bert", causal=0.5, **SMALL),
}


@cache
def tokenizers():
    """A tokenizer for each of `RECIPES`, trained once."""
    return {family: train_tokenizer(recipe, documents=300) for family, recipe in RECIPES.items()}
