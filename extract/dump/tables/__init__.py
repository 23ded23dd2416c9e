"""A captions file comes in, of any form; entries go out: a clip's id, captions, name and split."""
