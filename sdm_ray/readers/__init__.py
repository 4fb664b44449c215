"""Files as people publish them: tables, points and polygons."""
