"""The forward and backward pass in numpy, written out from the equations."""
