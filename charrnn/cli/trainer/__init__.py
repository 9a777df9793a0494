"""A training as the command line runs it."""
