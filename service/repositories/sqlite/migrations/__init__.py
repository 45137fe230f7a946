"""What brings the database of an earlier release to this one's schema.

``0002_what_it_does.sql`` leads from schema version 1 to 2, and so on without a gap; all of its
statements are one transaction, together with the new version's number. ``schema.sql`` is changed
with it: a test holds that a migrated file equals a fresh one. References are not enforced while
it runs, so that a table can be rebuilt, and are checked before it is committed.
"""
