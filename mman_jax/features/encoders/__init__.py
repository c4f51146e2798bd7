"""Pretrained encoders of speech, words and pictures, instead of features fitted here."""
