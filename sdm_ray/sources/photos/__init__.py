"""Photos and patches into image shards."""
