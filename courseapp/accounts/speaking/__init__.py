"""Choosing a language: what the foot of each page offers, where a site has several."""
