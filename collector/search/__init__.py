"""Searching the files of a run: lines that hold words or match regular expressions, of all files at once."""
