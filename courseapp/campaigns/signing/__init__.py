"""Signing up for mails from other sites, a part of campaigns: its public edge alone; words in `signing_up.py` and `asking.py`."""
