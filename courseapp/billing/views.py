"""Pages about money, gathered from the packages that hold them."""

from courseapp.billing.giving.views import pages as gift_pages

BLUEPRINTS = (gift_pages,)
