"""Keeping it running: owns heartbeats, readiness, metrics, the doctor, the launcher, export and erasure, support and its questions.

May ask every room. Never holds a rule of the product.
"""
