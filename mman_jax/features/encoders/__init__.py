"""Pretrained encoders of speech, words and pictures, in place of what is fitted here."""
