"""One linked view of a sound, as values that templates lay out: in comes a sound, features and a
caption, out come its spectrogram, tags and words on one time axis.

axis.py puts them on it; pictures.py draws, sounds.py makes small copies, timeline.py sums up tags,
inside.py asks the model about a caption, words.py marks and compares words.
"""
