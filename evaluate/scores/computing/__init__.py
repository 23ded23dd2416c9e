"""What `evaluate/scores/score.py` puts scores together from: means, intervals, what is left out."""
