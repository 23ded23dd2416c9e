"""The makers' official files come in; state dicts that fit a network exactly go out."""
