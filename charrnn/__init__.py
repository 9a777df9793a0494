"""Learn the style of a text, one character at a time, and write more of it.

The command line lives in `charrnn.cli`. Importing this package imports nothing else: what needs torch is
imported where it is used, so that sampling starts at once.
"""

__version__ = "0.1.0"
