"""The views of `charrnn inspect`."""
