"""What a model knows: where it is surprised, what its neurons follow, how far back it looks."""
