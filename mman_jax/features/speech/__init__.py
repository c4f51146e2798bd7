"""Speech features, and segmentation of audio into utterances."""
