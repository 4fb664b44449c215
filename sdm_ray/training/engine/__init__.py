"""What every training shares: the training loop, its launch on ranks, checkpoints and reporting."""
