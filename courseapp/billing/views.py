"""Pages about money, gathered from the packages that hold them."""

from courseapp.billing.buying.views import pages as buying
from courseapp.billing.hearing.views import pages as hearing

BLUEPRINTS = (hearing, buying)
