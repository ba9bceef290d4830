"""The bytes of image files: their heads, boxes, chunks, tags and pages."""
