"""The training run behind `charrnn train`."""
