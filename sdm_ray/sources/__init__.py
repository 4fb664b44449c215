"""What exists in the world: one module per data set, named as its `source:`, each yielding the same typed tables."""
