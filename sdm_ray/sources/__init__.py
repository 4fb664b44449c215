"""What exists in the world: one module per data set."""
