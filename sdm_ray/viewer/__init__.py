"""The page that shows a map in a browser, from the map's own Zarr store, and the server behind it."""
