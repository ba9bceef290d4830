"""The page: a local server that shows photos, turns the dial and hands out what the command line writes."""
