"""Helpers of the tests of the command line."""

import uuid

USER = str(uuid.uuid4())
