"""Shards come in; padded batches with freshly drawn tags go out."""
