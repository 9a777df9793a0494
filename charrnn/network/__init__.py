"""The model in PyTorch: cells, layers, head, and ensembles."""
