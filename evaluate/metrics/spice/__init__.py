"""Tokenised texts come in, SPICE's F goes out: SPICE 1.0's own classes, each text parsed once."""
