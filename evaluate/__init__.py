"""Stage three: captions by beam search, scores, tables."""
