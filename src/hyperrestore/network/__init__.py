"""The idea, the networks that it makes adjustable, and their weights in a file."""
