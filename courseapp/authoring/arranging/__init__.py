"""Pages about a course's lessons as a whole, a part of authoring: their order, and reviews of them. Its edge alone stands here."""
