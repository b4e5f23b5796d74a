"""How mail arrives, for those who look after it: another edge of `mailing`, whose rows it shows; that room may know no roles."""
