"""Stage one: a folder of clips becomes shards of features."""
