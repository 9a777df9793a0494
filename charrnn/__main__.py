"""Run the command line as `python -m charrnn`."""

from charrnn.cli import main

main()
