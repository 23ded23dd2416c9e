"""A dump folder comes in; a plan goes out: which clips there are, their captions, their files."""
