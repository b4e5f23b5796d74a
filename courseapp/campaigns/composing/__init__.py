"""The pages on which a sequence is written, a part of campaigns: their edge alone stands here, their words in `sequence_drafts.py`."""
