"""Contacts brought in and taken out, a part of campaigns: their edges stand here, their words beside those of sequences."""
