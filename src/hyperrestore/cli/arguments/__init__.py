"""The commands, their options and what these accept."""
