"""Training: packing of pieces, optimisers, the training loop, checkpoints."""
