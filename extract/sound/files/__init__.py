"""A file of sound comes in; samples of each channel, block by block, go out, to its true end."""
