"""How mail stands, for those who look after it: the edge of `mailing`, whose rows it shows; that room may know no roles."""
