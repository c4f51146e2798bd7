"""Text: a CNN on word vectors, and TF-IDF."""
