"""A clip's candidates go in, drawn ones are added; out they come in order, the caption first."""
