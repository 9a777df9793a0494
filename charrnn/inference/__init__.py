"""The forward pass in numpy, written out from the equations, and the way back along it."""
