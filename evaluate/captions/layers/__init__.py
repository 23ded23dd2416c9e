"""A model's weights come in; its layers compute, in float32, bf16 or int8, for a search to use."""
