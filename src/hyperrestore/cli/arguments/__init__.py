"""What a person types: the commands, their options and what they accept."""
