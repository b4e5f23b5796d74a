"""Who learns what: owns enrolments, completions, positions in films, safety outcomes, and the one gate `can_open`.

May ask catalog and below. Never sends campaign mail, never lets an outcome be seen by another.
"""
