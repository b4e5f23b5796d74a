"""Tiers given by staff, a part of billing: the pages stand here, the words beside the others."""
