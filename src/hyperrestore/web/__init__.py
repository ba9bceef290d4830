"""The page: a local server that shows photos, turns the dial and serves what the command line would write."""
