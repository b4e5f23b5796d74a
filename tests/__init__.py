"""Tests, the harness they run on, and the tests about the code itself (code/)."""
