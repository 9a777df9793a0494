"""Truncated BPTT: lanes of a text, steps, evaluations, and checkpoints to resume from."""
