"""What is written about a map for those who use it: the ODMAP table and the model card."""
