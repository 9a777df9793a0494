"""The model in PyTorch: cells, layers, head, and several networks that predict together."""
