"""The worker's door: builds the application, exposes its Celery app, and holds THE timetable.

celery -A worker worker -Q service,work      does the work
celery -A worker beat                        keeps the times; two at once are fine, every tick is idempotent
"""

import gc

from courseapp import create_app, load_parts
from courseapp.extensions import celery

flask_app = create_app()  # not `app`: celery -A worker looks for its own under that name first

load_parts("tasks")

gc.freeze()  # what is loaded by now stays: no garbage is looked for in it, which takes a tenth of a second each time

celery.conf.beat_schedule = {
    # task, seconds between ticks; wake-ups make them come sooner
    "service mail": {"task": "mailing.send_service", "schedule": 5.0, "options": {"expires": 5.0}},
    "all mail": {"task": "mailing.send_due", "schedule": 10.0, "options": {"expires": 10.0}},
    "streams": {"task": "mailing.watch", "schedule": 60.0, "options": {"expires": 60.0}},
    "alerts": {"task": "operations.read_news", "schedule": 60.0, "options": {"expires": 60.0}},
    "lost leases": {"task": "mailing.reap", "schedule": 30.0, "options": {"expires": 30.0}},
    "returned mail": {"task": "mailing.read_returned", "schedule": 60.0, "options": {"expires": 60.0}},
    "arrivals by domain": {"task": "mailing.renew_deliverability", "schedule": 3600.0, "options": {"expires": 3600.0}},
    "news": {"task": "campaigns.read_news", "schedule": 15.0, "options": {"expires": 15.0}},
    "purchases of guests": {"task": "billing.read_news", "schedule": 30.0, "options": {"expires": 30.0}},
    "sequences": {"task": "campaigns.advance_sequences", "schedule": 30.0, "options": {"expires": 30.0}},
    "quiet people": {"task": "campaigns.notice", "schedule": 900.0, "options": {"expires": 900.0}},
    "broadcasts": {"task": "campaigns.work_broadcasts", "schedule": 15.0, "options": {"expires": 15.0}},
    "contacts": {"task": "campaigns.work_contacts", "schedule": 30.0, "options": {"expires": 30.0}},
    "printed copies": {"task": "learning.build_copies", "schedule": 60.0, "options": {"expires": 60.0}},
    "events of Stripe": {"task": "billing.work_events", "schedule": 60.0, "options": {"expires": 60.0}},
    "missed events": {"task": "billing.find_missed", "schedule": 900.0, "options": {"expires": 900.0}},
    "comparing with Stripe": {"task": "billing.reconcile", "schedule": 900.0, "options": {"expires": 900.0}},
    "uploads": {"task": "authoring.work_uploads", "schedule": 30.0, "options": {"expires": 30.0}},
    "figures": {"task": "insights.renew_figures", "schedule": 3600.0, "options": {"expires": 3600.0}},
    "figures after mails": {"task": "insights.renew_mail_figures", "schedule": 600.0, "options": {"expires": 600.0}},
    "heartbeat": {"task": "operations.beat", "schedule": 15.0, "options": {"expires": 15.0}},
    "tidying": {"task": "operations.tidy", "schedule": 3600.0, "options": {"expires": 3600.0}},
}
