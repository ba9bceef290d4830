"""A request -> restored files, folders and sheets; the Python API."""
