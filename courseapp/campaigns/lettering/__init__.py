"""The pages of one letter of a sequence's draft, a part of campaigns: their edge alone stands here."""
