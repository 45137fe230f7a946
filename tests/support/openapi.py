"""The OpenAPI document, as the tests read it."""

import json
import re

from service.app import ROUTES
from service.web.openapi.document import document

DOCUMENT = json.loads(json.dumps(document(ROUTES, "/")))


def erased(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


OPERATIONS = {
    (method.upper(), erased(path)): operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}
