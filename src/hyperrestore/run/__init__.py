"""A network for one level and a picture -> the restored picture, tile by tile."""
