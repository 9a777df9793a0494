"""Checkpoint files: their format and a reader for untrusted files; exports and atomic writes."""
