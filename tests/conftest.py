"""Settings of the whole test run: no network, one thread, property tests that repeat."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported

import hypothesis
import torch

torch.set_num_threads(1)
hypothesis.settings.register_profile("peftlab", deadline=None, max_examples=20, derandomize=True)
hypothesis.settings.load_profile("peftlab")
