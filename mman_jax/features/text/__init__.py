"""Features of transcripts, and files of words."""
