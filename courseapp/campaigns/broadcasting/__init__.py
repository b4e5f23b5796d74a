"""The pages of broadcasts, a part of campaigns: their edge alone stands here, their words in `broadcasts.py`."""
