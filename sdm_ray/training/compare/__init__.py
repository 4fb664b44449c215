"""Ways to train and baselines, compared with few and with all labels."""
