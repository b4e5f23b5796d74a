"""Who runs this site, and what they make of it: owns the first owner's link, invitations of staff, and the pages of the site's settings.

May ask authoring and below. Never knows what anyone learns.
"""
