"""The parts of the fake Stripe server; what it does and does not do stands in `tests/fakes/stripe_server.py`.

wire         form bodies, error bodies, pages of lists
validation   parameters against the SDK's own `stripe.params` types
shapes       objects with every field that the SDK's class of it has
books        what the server knows: objects, events, the time
routing      which function answers which path;   expanding: `expand`
money        discounts, prorations, amounts in words
catalogue    products and prices;   customers;   discounts: coupons and promotion codes
paying       payment intents, charges, cards;   refunds: refunds and disputes
invoicing    invoices, their lines and payments
subscribing  subscriptions: begin, change, pay, end;   proration: what a change of plan costs
subscriptions  the same, as the API shows and changes them
checkout     sessions;   buying: what happens when somebody pays
portal       configurations and sessions of the Customer Portal
calendar     what becomes due when the clock is advanced
webhooks     endpoints;   delivery: signed calls, and what can go wrong with them
idempotency  what was answered to a key;   faults: answers that go wrong;   saving: a file that outlives a restart
control      orders of tests;   steering: the same from the side of a test
pages        HTML;   checkout_pages, portal_pages: what the buttons do
server       puts it together;   listening: the lines of HTTP
"""
