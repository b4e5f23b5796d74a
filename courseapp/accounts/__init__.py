"""Who: owns users (a guest is a user without a contact), roles, sessions, sign-in requests, passwords.

May ask mailing and below. Never knows what anyone learns.
"""
