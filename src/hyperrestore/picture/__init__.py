"""Image files: read, understood and written."""
