"""All pages of billing: its edges stand in a part of their own each."""

from courseapp.billing.buying.views import pages as buying
from courseapp.billing.cataloguing.views import pages as cataloguing
from courseapp.billing.giving.views import pages as giving
from courseapp.billing.hearing.views import pages as hearing
from courseapp.billing.watching.views import pages as watching

BLUEPRINTS = (hearing, buying, cataloguing, giving, watching)
