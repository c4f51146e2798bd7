"""Features from pretrained encoders of speech, text and pictures."""
