"""How to check: what every stage must agree on. Nothing to tune lives here."""
