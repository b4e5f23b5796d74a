"""What it adds up to: owns the figures of each course and of what people did after mails, counted once a day in groups of five, and the
pages that show them.

May ask campaigns and below. Never shows a number below five, nor one from which such a number follows, nor anything of lessons that
need the safety check.
"""
