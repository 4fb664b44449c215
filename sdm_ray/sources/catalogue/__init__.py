"""The sources that `prepare` knows and what each needs to be told. Light: nothing heavy is imported here."""
