"""Keeping it running: owns heartbeats, readiness, metrics, the doctor, the launcher, export and erasure, backups, questions.

May ask every room. Never holds a rule of the product.
"""
