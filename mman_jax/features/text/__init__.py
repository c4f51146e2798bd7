"""Features of transcripts, and readers of files of words."""
