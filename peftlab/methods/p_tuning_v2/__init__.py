"""P-Tuning v2 (Liu et al., 2021): prefix-tuning's mechanism for understanding tasks."""
