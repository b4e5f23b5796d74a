"""What it adds up to: owns the figures of each course and of what people did after mails, counted once a day in groups of five, and the
pages that show them; and for owners what money adds up to, exact and without names.

May ask campaigns and below. Never shows of what people do here a number below five, nor one from which such a number follows, nor
anything of lessons that need the safety check.
"""
