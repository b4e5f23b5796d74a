"""How instructors change it: owns the import pipeline, its records, and the course pages of staff.

May ask learning and below. Never shows an outcome or a technique lesson's ticks.
"""
