"""What every training shares: the loop, its ranks, its checkpoints."""
