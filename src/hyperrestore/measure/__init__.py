"""Clean pictures degraded, and restored pictures scored."""
