"""What image files say besides their pixels, kept for the restored picture."""
