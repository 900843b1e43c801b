"""Runs: one trial with one seed, many of them side by side, and their stored records."""
