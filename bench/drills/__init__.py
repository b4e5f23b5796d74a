"""Fault drills: `python -m bench.drills`. What is killed, cut and taken away, and what an outside ledger then says; see docs/drills.md."""
