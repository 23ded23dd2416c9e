"""A TOML file and settings come in; a checked recipe goes out."""
