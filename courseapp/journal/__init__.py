"""What happened: owns domain events and one receipt per event and reader.

May ask nobody. Never says what follows from an event.
"""
