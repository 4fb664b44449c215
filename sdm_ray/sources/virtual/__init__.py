"""A virtual landscape whose true species probabilities are known."""
