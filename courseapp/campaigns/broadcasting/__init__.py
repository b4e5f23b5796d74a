"""Files sent piece by piece (tus 1.0), a part of authoring: its edge alone stands here, its words in `parts.py` beside it."""
