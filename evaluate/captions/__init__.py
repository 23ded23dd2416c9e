"""A trained run and features, or sound, come in; captions by beam search go out."""
