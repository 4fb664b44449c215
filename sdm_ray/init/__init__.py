"""`sdm-ray init`: a folder of job configurations for a person's own table and rasters."""
