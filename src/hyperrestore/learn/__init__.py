"""Photos and a recipe -> a model."""
