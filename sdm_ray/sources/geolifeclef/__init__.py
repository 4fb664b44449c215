"""The GeoLifeCLEF challenges and GeoPlant."""
