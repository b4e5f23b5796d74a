"""Keeping it running: owns heartbeats, readiness, metrics, the doctor, the launcher, export and erasure, backups.

May ask every room. Never holds a rule of the product.
"""
