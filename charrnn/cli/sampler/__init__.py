"""Texts as the command line writes them."""
