"""Taking a course: the pages about one as a whole, and about all that are somebody's."""
