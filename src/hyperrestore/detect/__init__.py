"""Which level a picture needs."""
