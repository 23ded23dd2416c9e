"""`python -m evaluate report`: an evaluation as a folder that opens in any browser, offline.

folders.py reads evaluation folders; material.py gathers what else there is: features, audio and,
by inside.py, the model asked again; timeline.py and pictures.py show tags and sound; pages.py says
what stands on a page; build.py puts the folder together from template/.
"""
