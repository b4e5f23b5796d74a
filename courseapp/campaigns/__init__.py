"""Who gets which mail, when: owns sequences, their versions and steps, and runs; segments, which choose people; broadcasts; lists of
contacts.

May ask authoring and below, and reads the journal. Never speaks SMTP, never sees health facts.

Its pages stand in packages, each with a blueprint of its own; published letters are the blueprint `letters` of `views.py`:

    broadcasting → broadcasts        broadcasts: written, sent, paused, cancelled
    choosing     → segments          segments, and the courses marked as sensitive
    composing    → sequence_drafts   drafts of sequences
    lettering    → sequence_letters  letters of a draft
    sequencing   → sequences         sequences: read, paused, put away, people moved
    contacting   → contacts          contacts brought in and taken out
    signing      → signup            signing up from other sites
"""
