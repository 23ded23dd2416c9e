"""`python -m evaluate report`: an evaluation as a folder that opens in any browser, offline.

folders.py reads evaluation folders, inside.py asks the model again, pictures.py draws, pages.py
says what stands on a page, build.py puts the folder together from template/.
"""
