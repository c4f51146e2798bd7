"""Features of speech, and sound cut into utterances."""
