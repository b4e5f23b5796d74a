"""What it adds up to: owns the figures of each course, counted once a day in groups of five, and the page that shows them.

May ask campaigns and below. Never shows a number below five, nor one from which such a number follows, nor anything of lessons that
need the safety check.
"""
