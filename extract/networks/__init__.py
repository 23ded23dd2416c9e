"""Waveforms come in; tag logits and embeddings go out: YAMNet, VGGish, PANNs, and their weights."""
