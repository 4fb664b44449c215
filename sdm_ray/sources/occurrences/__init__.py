"""Species occurrences into surveys."""
