"""How instructors change it: owns uploads, the import pipeline, its records and their undoing, the editor with its
drafts, and the course pages of staff.

May ask learning and below. Never shows an outcome or a technique lesson's ticks.
"""
