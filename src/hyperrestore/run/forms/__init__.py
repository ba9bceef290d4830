"""A model in the forms that other programs read; each is compared with the engine before it is written."""
