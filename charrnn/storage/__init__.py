"""The checkpoint as a file: its format, a reader that trusts nothing, and what else is written."""
