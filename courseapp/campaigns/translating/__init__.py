"""The pages of a broadcast in another language, a part of campaigns: their edge alone stands here, their words in `broadcasts.py`."""
