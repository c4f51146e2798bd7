"""Cells: what the rows of a batch consist of: utterances, their words, or their frames."""
