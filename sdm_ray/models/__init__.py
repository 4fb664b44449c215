"""Plain torch models."""
