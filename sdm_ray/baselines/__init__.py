"""What a species model is compared with: forests, boosting, regressions, maximum entropy."""
