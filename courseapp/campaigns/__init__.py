"""Who gets which mail, when: owns sequences, their versions and steps, and runs; segments, which choose people.

May ask authoring and below, and reads the journal. Never speaks SMTP, never sees health facts.
"""
