"""Analyses of a model: surprisal, what its neurons respond to, how much context it uses."""
