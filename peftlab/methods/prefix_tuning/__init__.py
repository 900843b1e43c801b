"""Prefix-tuning (Li and Liang, 2021): trained keys and values in every layer."""
