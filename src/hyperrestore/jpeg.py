"""The head of a JPEG file -> how strongly it was compressed: tables, quality, and resolution of its colours."""
