"""What leaves by email: owns streams, letters, the outbox, message building, the SMTP door, unsubscribing, and what comes back.

May ask contacts and the journal. Never knows courses or users.
"""
