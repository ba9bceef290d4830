"""Hyperrestore inside other Python programs, a file for each; docs/guide/hosts.md shows how.

No file imports its host before it needs it. What is not installed is a `MissingExtraError`.
"""
