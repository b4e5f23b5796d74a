"""Whom we may write to, and at which hours: owns addresses, consents by purpose, suppression, zone and language.

May ask the journal. Never sends, never knows users.
"""
