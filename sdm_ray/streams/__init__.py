"""Ray Data over the stores."""
