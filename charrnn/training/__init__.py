"""Truncated BPTT: lanes of a text, steps, evaluations, and a checkpoint to go on from."""
