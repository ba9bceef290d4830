"""Films: their pictures are restored, all else is copied."""
