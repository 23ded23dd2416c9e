"""`python -m evaluate report` and `dataset`: folders that open in any browser, offline.

folders.py reads evaluation folders; material.py gathers what else there is: features, audio and
the model asked again; compare.py and charts.py say what differs and what explains a score; pages.py
says what stands on a page; build.py puts the folder together from template/, which also holds what
the page of `evaluate serve` shares with it. dataset.py and dataset_page.py do it for features.
"""
