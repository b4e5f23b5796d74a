"""Who gets which mail, when: owns sequences, their versions and steps, and runs.

May ask authoring and below, and reads the journal. Never speaks SMTP, never sees health facts.
"""
