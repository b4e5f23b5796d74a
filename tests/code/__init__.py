"""Tests that read the source and keep its rules."""
