"""What brings the database of an earlier release to this one's schema.

``0002_what_it_does.sql`` leads from schema version 1 to 2, and so on without a gap; all of its
statements are one transaction, together with the new version's number. ``schema.sql`` is changed
with it. Instances of the release before go on running meanwhile, so a migration makes only changes
that they can live with: it expands in one release and contracts in the next one.
"""
