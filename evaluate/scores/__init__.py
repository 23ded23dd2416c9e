"""Predictions come in; scores with intervals go out, as files and as tables. Loads no torch."""
