"""The pages of campaigns."""

from courseapp.campaigns.choosing.views import pages as segment_pages

BLUEPRINTS = (segment_pages,)
