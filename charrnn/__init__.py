"""Learn the style of a text, one character at a time, and write more of it.

The command line is in `charrnn.cli`. This package imports none of its modules: those that need torch are imported
where they are used, so that sampling starts at once.
"""

__version__ = "0.1.0"
