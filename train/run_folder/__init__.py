"""A model in training comes in; a run's files go out: weights, state, metrics, curves, card."""
